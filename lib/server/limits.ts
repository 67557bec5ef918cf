/**
 * What clients may ask of a node at once, and who is counting. Beyond each limit a connection waits, is told OVERLOADED or is closed;
 * nothing grows without bound.
 */

export interface ClientLimits {
  /** Connections at once; more are refused. Default 10 000: each costs some 20 KiB, and a file descriptor. */
  readonly connectionsMax: number
  /** Connections that are served before they have said who they are; more wait their turn. Default 256. */
  readonly handshakesMax: number
  /** From being served to READY or AUTH_SUCCESS, in ms. Default 10 s. */
  readonly handshakeMs: number
  /** The largest body before that, in bytes. Default 64 KiB. */
  readonly handshakeBodyBytesMax: number
  /** The largest body after that, as sent and as decompressed. Default 16 MiB, as Cassandra's native_transport_max_frame_size. */
  readonly bodyBytesMax: number
  /** Requests of one connection being executed; beyond, it is not read. Default 2048. */
  readonly requestsMax: number
  /** Bytes of all requests being executed, and those of one address; beyond, their connections are not read. */
  readonly requestBytesMax: number
  readonly requestBytesPerAddressMax: number
  /** Answers that a client does not take: above the first it is not read (1 MiB), above the second it is closed (16 MiB). */
  readonly unsentBytesPause: number
  readonly unsentBytesMax: number
  /** A client that takes nothing of what waits for it for so long is closed, in ms. Default 30 s. */
  readonly stalledMs: number
  /** Without a request for so long, in ms, a connection is closed; 0: never. Default 0, as Cassandra's native_transport_idle_timeout. */
  readonly idleMs: number
}

const KIB = 1024
const MIB = 1024 * KIB

export const CLIENT_LIMITS: ClientLimits = {
  connectionsMax: 10_000,
  handshakesMax: 256,
  handshakeMs: 10_000,
  handshakeBodyBytesMax: 64 * KIB,
  bodyBytesMax: 16 * MIB,
  requestsMax: 2048,
  requestBytesMax: 128 * MIB,
  requestBytesPerAddressMax: 32 * MIB,
  unsentBytesPause: MIB,
  unsentBytesMax: 16 * MIB,
  stalledMs: 30_000,
  idleMs: 0,
}

/** What one address has in flight. */
export interface AddressAccount {
  bytes: number
  connections: number
}

/** The bytes of requests in flight, and of those that have come in part; who waits for them to become fewer. */
export class RequestBudget {
  readonly #limits: ClientLimits
  readonly #accounts = new Map<string, AddressAccount>()
  readonly #waiting = new Set<() => void>()
  #bytes = 0
  #partialBytes = 0

  constructor(limits: ClientLimits) {
    this.#limits = limits
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Opens (or joins) the account of an address; each call is undone by leave(). */
  join(address: string): AddressAccount {
    let account = this.#accounts.get(address)
    if (account === undefined) {
      account = { bytes: 0, connections: 0 }
      this.#accounts.set(address, account)
    }
    account.connections += 1
    return account
  }

  leave(address: string): void {
    const account = this.#accounts.get(address)
    if (account === undefined) return
    account.connections -= 1
    if (account.connections === 0) this.#accounts.delete(address)
  }

  take(account: AddressAccount, bytes: number): void {
    account.bytes += bytes
    this.#bytes += bytes
  }

  give(account: AddressAccount, bytes: number): void {
    account.bytes -= bytes
    this.#bytes -= bytes
    if (this.#waiting.size === 0) return
    // Each looks for itself whether it may go on, and waits again if not.
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const retry of waiting) retry()
  }

  isExhausted(account: AddressAccount): boolean {
    return this.#bytes >= this.#limits.requestBytesMax || account.bytes >= this.#limits.requestBytesPerAddressMax
  }

  /** Calls `retry` once, when something was given back. */
  wait(retry: () => void): void {
    this.#waiting.add(retry)
  }

  forget(retry: () => void): void {
    this.#waiting.delete(retry)
  }

  /** Bytes of requests that have come in part only. False: together they are more than all requests may have. */
  addPartial(bytes: number): boolean {
    this.#partialBytes += bytes
    return bytes <= 0 || this.#partialBytes <= this.#limits.requestBytesMax
  }
}

/** Plain numbers that connections count and metrics read. */
export interface ClientCounters {
  connectionsOpened: number
  connectionsRefused: number
  requests: number
  /** Answered with ERROR, whatever the code. */
  errors: number
  protocolErrors: number
  overloaded: number
  /** Exceptions that were bugs of ours. */
  incidents: number
  /** Connections closed because the client did not take its answers. */
  stalled: number
  /** Connections closed because they did not finish their handshake in time. */
  handshakesTimedOut: number
  events: number
}

export function createClientCounters(): ClientCounters {
  return {
    connectionsOpened: 0,
    connectionsRefused: 0,
    requests: 0,
    errors: 0,
    protocolErrors: 0,
    overloaded: 0,
    incidents: 0,
    stalled: 0,
    handshakesTimedOut: 0,
    events: 0,
  }
}
