/**
 * Keeps a compaction to so many bytes a second. Source: token bucket. The rate lies in shared memory: whoever shares the node's
 * `compaction_throughput` among the jobs that run changes it while they run, in whichever thread they are.
 */
import type { Clock } from '../../lib/runtime/runtime.ts'

/** What was not used is saved for so long. */
const BURST_MS = 100
/** No sleep is longer: the rate may have changed. */
const SLEEP_MS_MAX = 250
/** Nor shorter: what rounding leaves owing would be slept off in no time, for ever. */
const SLEEP_MS_MIN = 1

export class Throttle {
  readonly #clock: Clock
  readonly #signal: AbortSignal
  /** Bytes a second; 0: no limit. */
  readonly #rate: Float64Array
  /** Bytes that were taken and not yet waited for. */
  #owed = 0
  #paidMs: number

  constructor(clock: Clock, signal: AbortSignal, rate: Float64Array) {
    this.#clock = clock
    this.#signal = signal
    this.#rate = rate
    this.#paidMs = clock.monotonicMs()
  }

  /** Resolves when so many more bytes may be taken; rejects when the signal is aborted. */
  async take(bytes: number): Promise<void> {
    this.#owed += bytes
    for (;;) {
      this.#signal.throwIfAborted()
      const rate = this.#rate[0]!
      const nowMs = this.#clock.monotonicMs()
      const earned = (rate * (nowMs - this.#paidMs)) / 1000
      this.#paidMs = nowMs
      if (rate === 0) this.#owed = 0
      else this.#owed = Math.max(this.#owed - earned, (-rate * BURST_MS) / 1000)
      if (this.#owed <= 0) return
      await this.#sleep(Math.min(SLEEP_MS_MAX, Math.max(SLEEP_MS_MIN, (this.#owed / rate) * 1000)))
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        timer[Symbol.dispose]()
        this.#signal.removeEventListener('abort', end)
        resolve()
      }
      const timer = this.#clock.after(ms, end)
      this.#signal.addEventListener('abort', end, { once: true })
    })
  }
}
