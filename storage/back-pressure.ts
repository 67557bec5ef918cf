/**
 * How long a writer waits when memory is filled faster than it is emptied: not at all below a threshold, then as long as it takes to let through
 * a multiple of what is emptied, from twice at no pressure to a twentieth at full. So writes settle at the pace of the flushes, with memory to
 * spare, and whoever writes more waits more: delays are a few milliseconds for many writers, where waiting for a flush to end would be seconds.
 */
import type { Clock } from '../lib/runtime/runtime.ts'

/** Multiples of what is emptied that are let through at no pressure, and at full pressure. */
const PACE_MAX = 2
const PACE_MIN = 0.05
/** Bytes per millisecond until something was measured: a slow disk's. */
const RATE_FIRST = 16 * 1024
/** What is emptied slower than this counts as this much, so that no delay is endless. */
const RATE_MIN = 1024
/** No writer waits longer: clients give up after two seconds, as Cassandra's do. */
const DELAY_MS_MAX = 1_000
/** Less is not worth a timer. */
const DELAY_MS_MIN = 1

export class BackPressure {
  readonly #clock: Clock
  #rate = RATE_FIRST
  /** When what was let through will have been let through, at its pace. */
  #freeAtMs = 0
  /** Writers of one millisecond share a promise. */
  #slot: { readonly atMs: number; readonly promise: Promise<void> } | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** So many bytes of memory were given back within so many milliseconds of work. */
  emptied(bytes: number, durationMs: number): void {
    const rate = Math.max(RATE_MIN, bytes / Math.max(1, durationMs))
    this.#rate = this.#rate === RATE_FIRST ? rate : (this.#rate + rate) / 2
  }

  /** What a writer of so many bytes should wait for, at a pressure in [0, 1]; undefined: nothing. */
  wait(bytes: number, pressure: number): Promise<void> | undefined {
    const nowMs = this.#clock.monotonicMs()
    const pace = PACE_MIN + (PACE_MAX - PACE_MIN) * (1 - pressure)
    const letThroughMs = Math.max(this.#freeAtMs, nowMs) + bytes / (pace * this.#rate)
    const delayMs = Math.min(letThroughMs - nowMs, DELAY_MS_MAX)
    this.#freeAtMs = nowMs + delayMs
    if (delayMs < DELAY_MS_MIN) return undefined
    const atMs = Math.ceil(nowMs + delayMs)
    if (this.#slot?.atMs !== atMs) {
      const promise = new Promise<void>((resolve) => {
        this.#clock.after(atMs - nowMs, resolve)
      })
      this.#slot = { atMs, promise }
    }
    return this.#slot.promise
  }
}
