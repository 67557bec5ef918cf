/**
 * A connection's answers on their way to the socket: gathered, written at once, and watched while the client does not take them.
 * Always: what a client has not taken is bounded; above the first limit it is not read, above the second, or when it takes nothing for too long, it is gone.
 */

import { Encoder } from '../../protocol/encoder.ts'
import type { Clock, Socket } from '../runtime/runtime.ts'
import type { ClientLimits } from './limits.ts'

export interface OutboxOwner {
  /** The client takes its answers too slowly (or no longer so): stop reading it, go on reading it. */
  setSlow(isSlow: boolean): void
  /** It does not take them at all. */
  stalled(): void
}

export class Outbox {
  /** Answers are written here, each in one go. */
  readonly encoder = new Encoder()
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #limits: ClientLimits
  readonly #owner: OutboxOwner
  #flushIsDue = false
  #isSlow = false
  #isClosed = false
  /** All bytes ever written to the socket. */
  #written = 0
  /** The largest single write since the client had taken all: one answer may be larger than the limit on what waits. */
  #largest = 0
  #takenAtCheck = 0
  #stallTimer: Disposable | null = null

  constructor(socket: Socket, clock: Clock, limits: ClientLimits, owner: OutboxOwner) {
    this.#socket = socket
    this.#clock = clock
    this.#limits = limits
    this.#owner = owner
  }

  /** Writes what was gathered. */
  flush(): void {
    if (this.encoder.length === 0 || this.#isClosed) return
    const bytes = this.encoder.take()
    this.#written += bytes.length
    if (this.#socket.write(bytes)) return
    const unsent = this.#socket.pendingBytes
    if (bytes.length > this.#largest) this.#largest = bytes.length
    if (unsent > this.#limits.unsentBytesMax + this.#largest) {
      this.#owner.stalled()
      return
    }
    if (this.#stallTimer === null) this.#watch()
    if (!this.#isSlow && unsent > this.#limits.unsentBytesPause) {
      this.#isSlow = true
      this.#owner.setSlow(true)
    }
  }

  /** Writes at the end of this turn: what else comes until then goes along. */
  flushSoon(): void {
    if (this.#flushIsDue || this.#isClosed) return
    this.#flushIsDue = true
    this.#clock.soon(() => {
      this.#flushIsDue = false
      this.flush()
    })
  }

  /** The client has taken everything. */
  drained(): void {
    this.#stallTimer?.[Symbol.dispose]()
    this.#stallTimer = null
    this.#largest = 0
    if (!this.#isSlow || this.#isClosed) return
    this.#isSlow = false
    this.#owner.setSlow(false)
  }

  close(): void {
    this.#isClosed = true
    this.#stallTimer?.[Symbol.dispose]()
    this.#stallTimer = null
  }

  #watch(): void {
    this.#takenAtCheck = this.#written - this.#socket.pendingBytes
    this.#stallTimer = this.#clock.after(this.#limits.stalledMs, () => {
      this.#stallTimer = null
      if (this.#isClosed || this.#socket.pendingBytes === 0) return
      if (this.#written - this.#socket.pendingBytes <= this.#takenAtCheck) this.#owner.stalled()
      else this.#watch()
    })
  }
}
