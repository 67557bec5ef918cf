/**
 * The hybrid clock: µs of the wall clock, but never the same twice and never back, and behind nothing that a message from another node
 * carried: of two writes of which the coordinator of the second has heard of the first, through however many nodes, the later has the greater
 * timestamp. Source: Kulkarni et al., Logical Physical Clocks (2014), with the counter folded into the µs.
 * Always: what this node gives is at most SKEW_MAX ahead of the greatest it read from its own wall clock, or follows what it gave or had to pass; a clock
 * that is further ahead is told of, not followed, so that no node drags the others into the future.
 */
import type { TimeLedger } from '../index/clock.ts'
import type { Clock } from '../runtime/runtime.ts'

/** So far ahead of what is given the ledger is told; after a restart times go on from there, or from the wall clock if that is later. */
const BLOCK_MICROS = 1_000_000

/** Clocks of a cluster that keep time by NTP differ by a few ms; beyond this something is wrong with one of them. */
export const SKEW_MAX_MICROS = 500_000

export interface HybridClockCounts {
  /** Messages whose clock was too far ahead to be followed. */
  readonly refused: number
  /** How far the furthest of them was ahead, in µs. */
  readonly aheadMicrosMax: number
}

export class HybridClock {
  readonly #clock: Clock
  readonly #report: (message: string) => void
  #last = 0
  #refused = 0
  #aheadMicrosMax = 0
  readonly #ledger: TimeLedger | null
  #reserved: number

  /**
   * `report` is told once, when the first clock is too far off to be followed. With a ledger no time is given below one that was given before a
   * restart, however the wall clock was set meanwhile.
   */
  constructor(clock: Clock, report: (message: string) => void = () => {}, ledger: TimeLedger | null = null) {
    this.#clock = clock
    this.#report = report
    this.#ledger = ledger
    this.#reserved = ledger?.reserved ?? Number.POSITIVE_INFINITY
    if (ledger !== null) this.#last = ledger.reserved
  }

  get counts(): HybridClockCounts {
    return { refused: this.#refused, aheadMicrosMax: this.#aheadMicrosMax }
  }

  /** Strictly greater than any it gave before; below 2^53. */
  next(): number {
    const wall = this.#clock.wallMicros()
    this.#last = wall > this.#last ? wall : this.#last + 1
    if (this.#last >= this.#reserved) this.#reserve()
    return this.#last
  }

  #reserve(): void {
    this.#reserved = this.#last + BLOCK_MICROS
    this.#ledger?.reserve(this.#reserved)
  }

  /** What messages carry: no less than any that it gave, and than any that it follows. */
  now(): number {
    const wall = this.#clock.wallMicros()
    return wall > this.#last ? wall : this.#last
  }

  /** Another node's `now`, from a message: all that comes is greater, unless it is too far ahead. */
  observe(micros: number): void {
    if (micros <= this.#last) return
    const ahead = micros - this.#clock.wallMicros()
    if (ahead <= SKEW_MAX_MICROS) this.#last = micros
    else this.#refuse(ahead)
  }

  /** All that comes is greater, however far ahead it is: for what the cluster has decided and later writes must not fall behind. */
  pass(micros: number): void {
    if (micros > this.#last) this.#last = micros
  }

  #refuse(ahead: number): void {
    this.#refused++
    if (ahead > this.#aheadMicrosMax) this.#aheadMicrosMax = ahead
    if (this.#refused === 1)
      this.#report(
        `A node's clock is ${Math.round(ahead / 1000)} ms ahead of this one's, more than ${SKEW_MAX_MICROS / 1000} ms: timestamps do not follow it, ` +
          'and the order of writes through different nodes may not be theirs. Look at the clocks of the cluster.',
      )
  }
}
