/**
 * What a client is told when replicas are too few, silent or failing. Source: the words and numbers of Cassandra 5's UnavailableException,
 * RequestTimeoutException and RequestFailureException.
 */
import { FailureReason, ReplicaFailure, RequestError } from '../../lib/base/errors.ts'
import { Consistency, consistencyName } from '../../lib/types/consistency.ts'
import { parseInet } from '../../lib/types/inet.ts'
import type { Endpoint } from '../internode/messenger.ts'

/** `datacenter`: where they are too few; null: altogether. */
export function unavailable(
  level: number,
  required: number,
  alive: number,
  datacenter: string | null = null,
): RequestError {
  const consistency = toldLevel(level)
  const where = datacenter === null ? '' : ` in DC ${datacenter}`
  return new RequestError('UNAVAILABLE', `Cannot achieve consistency level ${consistencyName(consistency)}${where}`, {
    consistency,
    required,
    alive,
  })
}

/** Serial levels are told as the quorums that they need, as Cassandra does. */
function toldLevel(level: number): number {
  if (level === Consistency.SERIAL) return Consistency.QUORUM
  if (level === Consistency.LOCAL_SERIAL) return Consistency.LOCAL_QUORUM
  return level
}

export interface Replies {
  readonly level: number
  readonly received: number
  readonly blockFor: number
}

export interface ReplicaError {
  readonly endpoint: Endpoint
  /** A FailureReason. */
  readonly reason: number
}

export function writeTimeout({ level, received, blockFor }: Replies, writeType: string): RequestError {
  return new RequestError('WRITE_TIMEOUT', `Operation timed out - received only ${received} responses.`, {
    consistency: level,
    received: told(received, blockFor),
    blockFor,
    writeType,
  })
}

/** Of a lightweight transaction; before v5 it is told as any other write timeout. */
export function casTimeout({ level, received, blockFor }: Replies, contentions: number): RequestError {
  const said = told(received, blockFor)
  return new RequestError(
    'WRITE_TIMEOUT',
    `CAS operation timed out: received ${said} of ${blockFor} required responses after ${contentions} contention retries`,
    { consistency: level, received: said, blockFor, writeType: 'CAS', contentions },
  )
}

export function writeFailure(replies: Replies, failures: readonly ReplicaError[], writeType: string): RequestError {
  const { level, received, blockFor } = replies
  return new RequestError('WRITE_FAILURE', failureText(received, failures), {
    consistency: level,
    received,
    blockFor,
    writeType,
    failures: failures.map(failedReplica),
  })
}

export function readTimeout({ level, received, blockFor }: Replies, dataPresent: boolean): RequestError {
  return new RequestError('READ_TIMEOUT', `Operation timed out - received only ${received} responses.`, {
    consistency: level,
    received,
    blockFor,
    dataPresent,
  })
}

export function readFailure(replies: Replies, failures: readonly ReplicaError[], dataPresent: boolean): RequestError {
  const { level, received, blockFor } = replies
  return new RequestError('READ_FAILURE', failureText(received, failures), {
    consistency: level,
    received,
    blockFor,
    dataPresent,
    failures: failures.map(failedReplica),
  })
}

/** A level that was met after the client was told otherwise is not told as met. */
function told(received: number, blockFor: number): number {
  return received < blockFor ? received : blockFor - 1
}

function failureText(received: number, failures: readonly ReplicaError[]): string {
  const each = failures.map(({ endpoint, reason }) => `${reasonName(toldReason(reason))} from /${endpoint}`)
  return `Operation failed - received ${received} responses and ${failures.length} failures: ${each.join(', ')}`
}

const REASON_NAMES = new Map<number, string>(Object.entries(FailureReason).map(([name, code]) => [code, name]))

export function reasonName(reason: number): string {
  return REASON_NAMES.get(reason) ?? 'UNKNOWN'
}

function failedReplica({ endpoint, reason }: ReplicaError): { address: Uint8Array; reason: number } {
  return { address: addressOf(endpoint), reason: toldReason(reason) }
}

/** Drivers know of no rings that change; that nodes have other metadata is what it comes to. */
function toldReason(reason: number): number {
  return reason === FailureReason.COORDINATOR_BEHIND ? FailureReason.INCOMPATIBLE_SCHEMA : reason
}

/** Of 'address:port': 4 or 16 bytes. A name is told as 0.0.0.0. */
function addressOf(endpoint: Endpoint): Uint8Array {
  return parseInet(endpoint.slice(0, endpoint.lastIndexOf(':'))) ?? Buffer.alloc(4)
}

const REPLICA_ERRORS = new Set(['StorageError', 'NoRoomError', 'CorruptionError', 'SnapshotError', 'ReplicaFailure'])

/** What storage says of itself or hands on from the disk; anything else is a bug, and passes as it is. */
export function isReplicaFailure(cause: unknown): cause is Error {
  if (!(cause instanceof Error)) return false
  if (REPLICA_ERRORS.has(cause.name)) return true
  return typeof (cause as Error & { code?: unknown }).code === 'string'
}

/** Why a replica's own work failed, as others are told. */
export function reasonOf(cause: unknown): number {
  return cause instanceof ReplicaFailure ? cause.reasonCode : FailureReason.UNKNOWN
}
