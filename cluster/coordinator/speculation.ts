/**
 * When a slow read is asked of one replica more. Source: Cassandra's SpeculativeRetryPolicy: `99p`, `50ms`, `MIN(99p,50ms)`, `MAX(…)`, `ALWAYS`, `NEVER`,
 * over the latencies of the table's reads at this coordinator.
 * Always: reads of a table that wait are in the order in which their time comes, with one timer for the first.
 */
import type { Histogram } from '../../lib/base/histogram.ts'
import type { Clock } from '../../lib/runtime/runtime.ts'

/** ms from the beginning of a read; 0: at once; Infinity: never. `unknownMs` is taken for a percentile of nothing. */
export function speculationDelay(policy: string, micros: Histogram, unknownMs: number): number {
  if (policy === 'ALWAYS') return 0
  if (policy === 'NEVER') return Number.POSITIVE_INFINITY
  const hybrid = /^(MIN|MAX)\(([^,]+),([^,]+)\)$/.exec(policy)
  if (hybrid === null) return delayOf(policy, micros, unknownMs)
  const [a, b] = [delayOf(hybrid[2]!, micros, unknownMs), delayOf(hybrid[3]!, micros, unknownMs)]
  return hybrid[1] === 'MIN' ? Math.min(a, b) : Math.max(a, b)
}

function delayOf(part: string, micros: Histogram, unknownMs: number): number {
  const value = Number.parseFloat(part)
  if (part.endsWith('ms')) return value
  const known = micros.percentile(value / 100)
  return known === 0 ? unknownMs : known / 1000
}

/** What may be asked of one more. */
export interface Speculative {
  readonly isOver: boolean
  speculate(): void
}

/** Delays are looked up anew after so long. */
const REFRESH_MS = 500

/** Of one table. */
export class TableSpeculation {
  readonly #clock: Pick<Clock, 'monotonicMs' | 'after'>
  readonly #delay: () => number
  #delayMs = Number.POSITIVE_INFINITY
  #refreshedMs = Number.NEGATIVE_INFINITY
  /** In the order in which they were added; those before `#first` are gone. */
  #waiting: { readonly read: Speculative; readonly dueMs: number }[] = []
  #first = 0
  #timer: Disposable | null = null

  constructor(clock: Pick<Clock, 'monotonicMs' | 'after'>, delay: () => number) {
    this.#clock = clock
    this.#delay = delay
  }

  delayAt(nowMs: number): number {
    if (nowMs - this.#refreshedMs >= REFRESH_MS) {
      this.#refreshedMs = nowMs
      this.#delayMs = this.#delay()
    }
    return this.#delayMs
  }

  add(read: Speculative, nowMs: number, delayMs: number): void {
    this.#waiting.push({ read, dueMs: nowMs + delayMs })
    if (this.#timer === null) this.#arm(delayMs)
  }

  #arm(delayMs: number): void {
    this.#timer = this.#clock.after(Math.max(1, delayMs), () => {
      this.#timer = null
      this.#due()
    })
  }

  /** A read that came later may be due sooner, if the delay became less: it waits for those before it. */
  #due(): void {
    const now = this.#clock.monotonicMs()
    while (this.#first < this.#waiting.length) {
      const { read, dueMs } = this.#waiting[this.#first]!
      if (!read.isOver && dueMs > now) break
      this.#first++
      if (!read.isOver) read.speculate()
    }
    if (this.#first === this.#waiting.length) {
      this.#waiting = []
      this.#first = 0
      return
    }
    if (this.#first > 1024) {
      this.#waiting = this.#waiting.slice(this.#first)
      this.#first = 0
    }
    this.#arm(this.#waiting[this.#first]!.dueMs - now)
  }

  close(): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = null
    this.#waiting = []
    this.#first = 0
  }
}
