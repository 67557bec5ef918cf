/**
 * What nodes say to each other about the metadata log. Control messages: JSON, each with the cluster that it is about, so that nothing of another
 * cluster is ever taken for its own. The payloads of entries are opaque text.
 */
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import type { Endpoint } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
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

/** Reads a message and looks at its form; what has another is no message, and fails whoever sent it. */
export function decodeMessage<T>(payload: Buffer, form: Form): T {
  let message: unknown
  try {
    message = JSON.parse(payload.toString())
  } catch {
    message = undefined
  }
  if (!form(message))
    throw new ReplicaFailure(
      'UNKNOWN',
      FailureReason.UNKNOWN,
      'a message about metadata of a form that is unknown here',
    )
  return message as T
}

export type Form = (value: unknown) => boolean

const text: Form = (value) => typeof value === 'string'
const count: Form = (value) => Number.isSafeInteger(value) && (value as number) >= 0
const flag: Form = (value) => typeof value === 'boolean'
const list =
  (item: Form): Form =>
  (value) =>
    Array.isArray(value) && value.every(item)
const orNull =
  (form: Form): Form =>
  (value) =>
    value === null || form(value)
const fields =
  (forms: Readonly<Record<string, Form>>): Form =>
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    Object.entries(forms).every(([name, form]) => form((value as Record<string, unknown>)[name]))
/** By its `kind`. */
const oneOf =
  (kinds: Readonly<Record<string, Form>>): Form =>
  (value) => {
    const { kind } = (value ?? {}) as { kind?: unknown }
    return typeof kind === 'string' && Object.hasOwn(kinds, kind) && kinds[kind]!(value)
  }

/** One that is so high that none could be above it would end all. */
const BALLOT_MICROS_MAX = 2 ** 52
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const ballot = fields({
  micros: (value) => count(value) && (value as number) < BALLOT_MICROS_MAX,
  node: (value) => typeof value === 'string' && UUID.test(value),
})
const proposal = fields({ ballot, value: text })
const entry = fields({ epoch: count, payload: text })
const instance = { clusterId: text, seeds: orNull(list(text)), epoch: count, to: text }
const noPart = { decided: fields({ epoch: count }), absent: fields({ why: text }) }

/** What is asked with a verb, and what answers it. */
export const FORMS: Readonly<Record<number, { readonly request: Form; readonly answer: Form }>> = {
  [Verb.METADATA_DISCOVER]: {
    request: fields({ clusterName: text }),
    answer: fields({
      clusterName: text,
      clusterId: text,
      epoch: count,
      hostId: text,
      seeds: orNull(list(text)),
      candidate: text,
    }),
  },
  [Verb.METADATA_PREPARE]: {
    request: fields({ ...instance, ballot }),
    answer: oneOf({
      promised: fields({ accepted: orNull(proposal), committed: orNull(proposal) }),
      refused: fields({ by: ballot }),
      ...noPart,
    }),
  },
  [Verb.METADATA_PROPOSE]: {
    request: fields({ ...instance, proposal }),
    answer: oneOf({ accepted: () => true, refused: fields({ by: ballot, never: flag }), ...noPart }),
  },
  [Verb.METADATA_COMMIT]: {
    request: fields({ clusterId: text, seeds: orNull(list(text)), entry }),
    answer: fields({ epoch: count }),
  },
  [Verb.METADATA_FETCH]: {
    request: fields({ clusterId: text, since: count, snapshot: orNull(fields({ epoch: count, part: count })) }),
    answer: fields({
      clusterId: text,
      epoch: count,
      isInProgress: flag,
      entries: list(entry),
      snapshot: orNull(fields({ epoch: count, head: text, parts: count })),
      part: orNull(text),
    }),
  },
  [Verb.METADATA_REACHED]: {
    request: fields({ clusterId: text, epoch: count, hostIds: list(text) }),
    answer: () => true,
  },
}
