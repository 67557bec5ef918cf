/**
 * The hybrid clock: µs of the wall clock, but never the same twice and never back, so that of two writes through this node the later has the
 * greater timestamp. Source: Kulkarni et al., Logical Physical Clocks (2014), with the counter folded into the µs.
 */
import type { Clock } from '../runtime/runtime.ts'

export class HybridClock {
  readonly #clock: Clock
  #last = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Strictly greater than any it gave before; below 2^53. */
  next(): number {
    const wall = this.#clock.wallMicros()
    this.#last = wall > this.#last ? wall : this.#last + 1
    return this.#last
  }

  /** Timestamps seen elsewhere (replayed from the log, later: from peers) are behind all that come. */
  observe(micros: number): void {
    if (micros > this.#last) this.#last = micros
  }
}
