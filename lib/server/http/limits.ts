/** What clients may ask of key-value over HTTP at once; beyond each limit they are told so, and nothing grows without bound. */

export interface HttpLimits {
  /** Of the body of a PUT. Default 10 MiB, and never more than a mutation may be. */
  readonly valueBytesMax: number
  /** Bodies that come in or are being stored, and answers that their clients have not taken. Default 64 MiB. */
  readonly inFlightBytesMax: number
  /** Connections at once; more are refused. */
  readonly connectionsMax: number
  /** Requests of one connection that are not answered yet; more are told 429. */
  readonly requestsPerConnectionMax: number
  /** Of all connections; more are told 503. */
  readonly requestsMax: number
  /** The request line and all headers together. A key of 64 KiB - 1 bytes is three times as long in a URL. */
  readonly headerBytesMax: number
  readonly urlBytesMax: number
  readonly headersMs: number
  readonly requestMs: number
  readonly idleMs: number
  /** A body that stands still for so long is given up. */
  readonly bodyStallMs: number
  /** A body has so long, and as much more as it needs at the least rate. */
  readonly bodyMs: number
  readonly bodyBytesPerSecondMin: number
  /** How long a client whose body is refused, or sends what is no request, is listened to, so that it reads the answer before its connection ends. */
  readonly lingerMs: number
  /** An answer that is not taken in so long is given up. */
  readonly answerMs: number
}

const KIB = 1024
const MIB = 1024 * KIB

export const HTTP_LIMITS: HttpLimits = {
  valueBytesMax: 10 * MIB,
  inFlightBytesMax: 64 * MIB,
  connectionsMax: 10_000,
  requestsPerConnectionMax: 128,
  requestsMax: 2_048,
  headerBytesMax: 256 * KIB,
  urlBytesMax: 200 * KIB,
  headersMs: 10_000,
  requestMs: 600_000,
  idleMs: 60_000,
  bodyStallMs: 10_000,
  bodyMs: 30_000,
  bodyBytesPerSecondMin: 32 * KIB,
  lingerMs: 2_000,
  answerMs: 120_000,
}

/** Plain numbers that the service counts and metrics read. */
export interface HttpCounters {
  /** Held now: see HttpLimits.inFlightBytesMax. */
  bytes: number
  connections: number
  requests: number
  /** Answers by status. */
  readonly statuses: Map<number, number>
  /** Requests whose client went away before it had its answer, or its body was whole. */
  aborted: number
  /** Exceptions that were bugs of ours. */
  incidents: number
}

export function createHttpCounters(): HttpCounters {
  return { bytes: 0, connections: 0, requests: 0, statuses: new Map(), aborted: 0, incidents: 0 }
}
