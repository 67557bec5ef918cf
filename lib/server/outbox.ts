/**
 * A connection's answers on their way to the socket: gathered, written at once, and watched while the client does not take them.
 * Always: what a client has not taken is bounded; above the first limit it is not read, above the second, or when it takes nothing for too long, it is gone.
 */

import { Encoder } from '../../protocol/encoder.ts'
import { BufferPool } from '../base/buffer-pool.ts'
import type { Clock, Socket } from '../runtime/runtime.ts'
import type { ClientLimits } from './limits.ts'

/** Bytes of one connection, and connections, that do not wait for the end of the turn. */
const BYTES_DUE_MAX = 64 * 1024
const OUTBOXES_DUE_MAX = 32

/**
 * What all connections of a listener share: memory for answers, and the end of the turn, when they are written, those of all connections one after
 * another. A client of many connections is woken once then, and is not in the way while its other requests are worked at.
 */
export class OutboxTurns {
  readonly buffers = new BufferPool()
  readonly #clock: Clock
  #due: Outbox[] = []
  /** The one that was due when the last turn ended, if it was the only one. */
  #alone: Outbox | null = null
  readonly #endTurn = (): void => {
    this.#alone = this.#due.length === 1 ? this.#due[0]! : null
    this.flush()
  }

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Nobody else has had answers since the last turn ended: a client that waits for one answer at a time need not wait for the turn's end too. */
  isAlone(outbox: Outbox): boolean {
    return outbox === this.#alone
  }

  add(outbox: Outbox): void {
    this.#alone = null
    this.#due.push(outbox)
    if (this.#due.length === 1) this.#clock.soon(this.#endTurn)
    else if (this.#due.length >= OUTBOXES_DUE_MAX) this.flush()
  }

  flush(): void {
    const due = this.#due
    this.#due = []
    for (let i = 0; i < due.length; i++) due[i]!.flush()
  }
}

export interface OutboxOwner {
  /** The client takes its answers too slowly (or no longer so): stop reading it, go on reading it. */
  setSlow(isSlow: boolean): void
  /** It does not take them at all. */
  stalled(): void
}

export class Outbox {
  /** Answers are written here, each in one go. */
  readonly encoder: Encoder
  readonly #socket: Socket
  readonly #turns: OutboxTurns
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

  constructor(socket: Socket, turns: OutboxTurns, clock: Clock, limits: ClientLimits, owner: OutboxOwner) {
    this.encoder = new Encoder(turns.buffers)
    this.#socket = socket
    this.#turns = turns
    this.#clock = clock
    this.#limits = limits
    this.#owner = owner
  }

  /** Writes what was gathered. */
  flush(): void {
    this.#flushIsDue = false
    if (this.encoder.length === 0 || this.#isClosed) return
    const bytes = this.encoder.lend()
    this.#written += bytes.length
    const isTaken = this.#socket.write(bytes)
    const unsent = this.#socket.pendingBytes
    this.encoder.recover(unsent === 0)
    if (isTaken || unsent === 0) return
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

  /** Writes what was gathered if it is much. */
  flushMuch(): void {
    if (this.encoder.length >= BYTES_DUE_MAX) this.flush()
  }

  /** What came in one piece was looked at. */
  flushAfterInput(): void {
    if (this.#turns.isAlone(this)) this.flush()
    else this.flushSoon()
  }

  /** Writes at the end of this turn: what else comes until then goes along, unless it is much. */
  flushSoon(): void {
    this.flushMuch()
    if (this.#flushIsDue || this.encoder.length === 0 || this.#isClosed) return
    this.#flushIsDue = true
    this.#turns.add(this)
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
