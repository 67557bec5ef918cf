/**
 * What replicas are told to write, byte by byte.
 *
 * MUTATION           := flags u8 (1: hand on) | written at 8 | if to be handed on: write id 8, count u8, endpoint* | mutation*
 * MUTATION_FORWARDED := written at 8 | write id 8 | remaining ms u32 | endpoint of the coordinator | mutation*
 * MUTATION_DONE      := write id 8 | outcome u16 (DONE, or a FailureReason)
 * endpoint           := length u8, ASCII        mutation := length u32, bytes of storage/model/mutation.ts
 * `written at`: µs of the coordinator's hybrid clock when the write began; a table that was truncated later does not take it.
 * All mutations of a message are applied at once, as one record of the commit log. MUTATION is answered with nothing.
 */
import { ByteReader, BytesError, type ByteWriter } from '../../lib/base/bytes.ts'
import { validateMutation } from '../../storage/model/validation.ts'
import type { Endpoint } from '../internode/messenger.ts'

const HAND_ON = 1

/** No FailureReason. */
export const DONE = 0xffff

const TWO_32 = 4294967296

/** Below 2^53. */
export function putMicros(out: ByteWriter, micros: number): void {
  out.int32(Math.floor(micros / TWO_32))
  out.int32(micros % TWO_32)
}

export function readMicros(reader: ByteReader): number {
  return reader.uint32() * TWO_32 + reader.uint32()
}

export function putMutation(out: ByteWriter, mutation: Uint8Array): void {
  out.int32(mutation.length)
  out.bytes(mutation)
}

function putEndpoint(out: ByteWriter, endpoint: Endpoint): void {
  out.uint8(endpoint.length)
  out.utf8(endpoint)
}

function readEndpoint(reader: ByteReader): Endpoint {
  return reader.utf8(reader.uint8())
}

/** What comes before the mutations. `others` are to get them from who gets the message. */
export function putMutationHead(
  out: ByteWriter,
  writtenAt: number,
  writeId: Uint8Array | null,
  others: readonly { readonly endpoint: Endpoint }[],
): void {
  out.uint8(others.length === 0 ? 0 : HAND_ON)
  putMicros(out, writtenAt)
  if (others.length === 0) return
  out.bytes(writeId!)
  out.uint8(others.length)
  for (const { endpoint } of others) putEndpoint(out, endpoint)
}

export interface MutationMessage {
  readonly writtenAt: number
  /** Null: nothing is to be handed on. */
  readonly writeId: Buffer | null
  readonly others: readonly Endpoint[]
  /** The bytes of all mutations, as they are handed on. */
  readonly body: Buffer
  readonly mutations: readonly Buffer[]
}

const NOBODY: readonly Endpoint[] = []

/** Views of the payload. Throws BytesError on what no coordinator sends; after that, cursors can trust the mutations. */
export function readMutationMessage(payload: Buffer): MutationMessage {
  const reader = new ByteReader(payload)
  const flags = reader.uint8()
  if ((flags & ~HAND_ON) !== 0) throw new BytesError(`mutation flags ${flags}`)
  const writtenAt = readMicros(reader)
  if (flags === 0) return { writtenAt, writeId: null, others: NOBODY, ...readMutations(reader) }
  const writeId = reader.view(8)
  const others: Endpoint[] = []
  for (let count = reader.uint8(); count > 0; count--) others.push(readEndpoint(reader))
  return { writtenAt, writeId, others, ...readMutations(reader) }
}

/** All that are left. */
export function readMutations(
  reader: ByteReader,
  options: { readonly isToLeader?: boolean } = {},
): { readonly body: Buffer; readonly mutations: Buffer[] } {
  const body = reader.buffer.subarray(reader.position, reader.end)
  const mutations: Buffer[] = []
  while (reader.remaining() > 0) {
    const mutation = reader.view(reader.uint32())
    validateMutation(mutation, options)
    mutations.push(mutation)
  }
  if (mutations.length === 0) throw new BytesError('a message without mutations')
  return { body, mutations }
}

/** Those of a leader: mutations that are not to be written as they are. */
export function readLedMutations(reader: ByteReader): Buffer[] {
  return readMutations(reader, { isToLeader: true }).mutations
}

export function putForwarded(
  out: ByteWriter,
  message: { readonly writtenAt: number; readonly writeId: Uint8Array; readonly remainingMs: number },
  coordinator: Endpoint,
): void {
  putMicros(out, message.writtenAt)
  out.bytes(message.writeId)
  out.int32(Math.max(0, Math.floor(message.remainingMs)))
  putEndpoint(out, coordinator)
}

export interface ForwardedMessage {
  readonly writtenAt: number
  readonly writeId: Buffer
  readonly remainingMs: number
  readonly coordinator: Endpoint
  readonly mutations: readonly Buffer[]
}

export function readForwarded(payload: Buffer): ForwardedMessage {
  const reader = new ByteReader(payload)
  const writtenAt = readMicros(reader)
  const writeId = reader.view(8)
  const remainingMs = reader.uint32()
  const coordinator = readEndpoint(reader)
  return { writtenAt, writeId, remainingMs, coordinator, mutations: readMutations(reader).mutations }
}

export function encodeDone(writeId: Uint8Array, reason: number | null): Buffer {
  const bytes = Buffer.allocUnsafe(10)
  bytes.set(writeId, 0)
  bytes.writeUInt16BE(reason ?? DONE, 8)
  return bytes
}

/** `reason` null: it was applied. */
export function readDone(payload: Buffer): { incarnation: number; name: number; reason: number | null } {
  const reader = new ByteReader(payload)
  const incarnation = reader.uint32()
  const name = reader.uint32()
  const outcome = reader.uint16()
  return { incarnation, name, reason: outcome === DONE ? null : outcome }
}
