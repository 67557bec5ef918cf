/**
 * What nodes say to each other about the metadata log. Control messages: JSON, each with the cluster that it is about, so that nothing of another
 * cluster is ever taken for its own. The payloads of entries are opaque text.
 */
import { ReplicaFailure } from '../../lib/base/errors.ts'
import type { Endpoint } from '../internode/messenger.ts'
import type { Ballot } from '../paxos/ballot.ts'
import type { PrepareReply, Proposal, ProposeReply } from '../paxos/core.ts'

export interface LoggedEntry {
  readonly epoch: number
  readonly payload: string
}

/** "Who are you?" Asked of seeds by nodes that belong to no cluster yet. */
export interface DiscoverRequest {
  readonly clusterName: string
}

export interface Discovery {
  readonly clusterName: string
  /** Empty: none was founded, as far as it knows. */
  readonly clusterId: string
  readonly epoch: number
  readonly hostId: string
  /** The seeds that it was given, if it is one of them; sorted. */
  readonly seeds: readonly Endpoint[] | null
  /** What it would be in a new cluster; opaque here. */
  readonly candidate: string
}

/** Of which instance a message of Paxos is: of a cluster, or of the founding of one among these seeds. */
export interface InstanceName {
  readonly clusterId: string
  /** Present only when clusterId is empty. */
  readonly seeds: readonly Endpoint[] | null
  readonly epoch: number
  /** Host id (founding: endpoint) of the participant that is asked: another node may have its address by now. */
  readonly to: string
}

export interface PrepareRequest extends InstanceName {
  readonly ballot: Ballot
}

export interface ProposeRequest extends InstanceName {
  readonly proposal: Proposal<string>
}

/** The acceptor takes no part: it knows the instance's decision already, or is none of its participants. */
export type NoPart =
  | { readonly kind: 'decided'; readonly epoch: number }
  | { readonly kind: 'absent'; readonly why: string }

export type PrepareAnswer = PrepareReply<string> | NoPart
export type ProposeAnswer = ProposeReply | NoPart

/** What was decided, said to everybody. */
export interface CommitMessage {
  readonly clusterId: string
  readonly seeds: readonly Endpoint[] | null
  readonly entry: LoggedEntry
}

export interface CommitAnswer {
  readonly epoch: number
}

/** Said one way, after a decision: these have it, so nobody need ask them. */
export interface ReachedMessage {
  readonly clusterId: string
  readonly epoch: number
  readonly hostIds: readonly string[]
}

/** Entries after an epoch, or a part of a snapshot. */
export interface FetchRequest {
  /** Empty: of whatever cluster there is. */
  readonly clusterId: string
  readonly since: number
  readonly snapshot: { readonly epoch: number; readonly part: number } | null
}

export interface FetchAnswer {
  readonly clusterId: string
  readonly epoch: number
  /** It accepted something for the entry after `epoch`. */
  readonly isInProgress: boolean
  readonly entries: readonly LoggedEntry[]
  /** The entries are not kept any more: this is what there is, to be fetched part by part. */
  readonly snapshot: { readonly epoch: number; readonly head: string; readonly parts: number } | null
  /** The part that was asked for; null: there is a newer snapshot by now. */
  readonly part: string | null
}

export function encodeMessage(message: object): Buffer {
  return Buffer.from(JSON.stringify(message))
}

/** The bytes came through a checked frame from a node of the same version; what cannot be read fails the request. */
export function decodeMessage<T>(payload: Buffer): T {
  try {
    return JSON.parse(payload.toString()) as T
  } catch (cause) {
    throw Object.assign(new ReplicaFailure('UNKNOWN', 0, 'a message about metadata that is no JSON'), { cause })
  }
}
