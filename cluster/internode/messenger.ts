/**
 * What nodes say to each other, as those see it who say it: a verb, bytes, and perhaps an answer.
 * Source: Cassandra's net/MessagingService, with its three kinds of connections (small, large, urgent).
 * Always: a ReplyHandler hears of each request exactly once, never within the call that sends it; messages of one lane between two nodes
 * arrive in the order in which they were sent, as long as the connection lives. A message may be lost; while it lives it is never altered.
 */

/** 'address:port' of a node's door for other nodes; '[address]:port' when the address is of IPv6. */
export type Endpoint = string

export interface Sender {
  readonly hostId: string
  readonly endpoint: Endpoint
}

/** Copied before the call that is given it returns. */
export type Payload = Uint8Array | readonly Uint8Array[]

export interface Incoming {
  readonly verb: number
  readonly from: Sender
  /** A view, valid until the handler's first await: who keeps it copies it. */
  readonly payload: Buffer
  /** The sender's, when it sent this. */
  readonly epoch: number
  /** How long the sender waits for the answer; 0: it expects none. */
  readonly remainingMs: number
}

/**
 * What it returns answers a request (undefined: an empty answer), and is of no use to a one-way message. A ReplicaFailure answers with its
 * reason, any other error is a bug: it is logged, and answered as UNKNOWN.
 */
export type Handler = (message: Incoming) => Payload | undefined | Promise<Payload | undefined>

export interface ReplyHandler {
  /** The payload is a view of this turn. */
  replied(from: Endpoint, payload: Buffer): void
  /** A reason of FailureReason. TIMEOUT: nothing was heard, it may have been done. NODE_DOWN: it was never sent. */
  failed(from: Endpoint, reason: number): void
}

/** By lane: gossip goes past all else, and what is large does not stand in the way of what is small. */
export type Lane = 'gossip' | 'small' | 'large'

export const LANES: readonly Lane[] = ['gossip', 'small', 'large']

export interface LaneCounts {
  /** Waiting here: not yet handed to the operating system. */
  readonly pending: number
  readonly pendingBytes: number
  readonly sent: number
  readonly sentBytes: number
  /** Not sent: they expired, the queue was full, or the node could not be reached. */
  readonly dropped: number
  readonly connected: boolean
}

export interface PeerCounts {
  readonly endpoint: Endpoint
  readonly lanes: Readonly<Record<Lane, LaneCounts>>
}

export interface VerbCounts {
  readonly verb: number
  /** One-way messages and requests, both to other nodes. */
  readonly sent: number
  readonly received: number
  /** Answers to requests of ours. */
  readonly replied: number
  readonly failed: number
  readonly timedOut: number
  /** Never sent. */
  readonly dropped: number
}

export interface MessengerCounts {
  readonly peers: readonly PeerCounts[]
  readonly verbs: readonly VerbCounts[]
  /** Requests that wait for their answer. */
  readonly waiting: number
  /** Requests of others that are being worked on. */
  readonly serving: number
  readonly connectionsIn: number
  /** Connections that were refused, or closed because of what came through them. */
  readonly refused: number
}

export interface Messenger {
  readonly self: Sender
  /** One handler a verb. */
  handle(verb: number, handler: Handler): void
  /** One way. False: it was not even queued (the node cannot be reached, the queue is full). */
  send(to: Endpoint, verb: number, payload: Payload): boolean
  request(to: Endpoint, verb: number, payload: Payload, timeoutMs: number, reply: ReplyHandler): void
  counts(): MessengerCounts
  /** Requests that wait fail; connections are closed. May be called twice. */
  close(): Promise<void>
}
