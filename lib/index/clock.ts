/**
 * Timestamps of index entries: this node's own, each later than all it gave before, in this run and in those before it.
 * Always: a time is given only below what the ledger was told, and the ledger's note goes into the commit log before what is written at it.
 */

/** Keeps, for ever, the times that were taken. */
export interface TimeLedger {
  /** µs; 0 if none was ever taken. */
  readonly reserved: number
  reserve(untilMicros: number): void
}

/** A note is made once in so long; after a restart times go on from the last note. */
const BLOCK_MICROS = 3_600_000_000

export class IndexClock {
  readonly #wallMicros: () => number
  readonly #ledger: TimeLedger
  #last: number
  #reserved: number

  constructor(wallMicros: () => number, ledger: TimeLedger) {
    this.#wallMicros = wallMicros
    this.#ledger = ledger
    this.#last = ledger.reserved
    this.#reserved = ledger.reserved
  }

  next(): number {
    this.#last = Math.max(this.#last + 1, this.#wallMicros())
    if (this.#last >= this.#reserved) {
      this.#reserved = this.#last + BLOCK_MICROS
      this.#ledger.reserve(this.#reserved)
    }
    return this.#last
  }
}
