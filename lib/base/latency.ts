/**
 * How often something was done, how long it took, and at what rate. The count is exact; the clock is read for each of the first
 * ALWAYS times and for one in EVERY after that, whose time then counts for all of them: two looks at a clock cost as much as a short read saves.
 */
import { Histogram } from './histogram.ts'

const ALWAYS = 1024
const EVERY = 8
/** Weight of the past in a one-minute rate, per second. Source: the load average of Unix, as in Dropwizard's meters. */
const RATE_SECONDS = 60

export class Latency {
  count = 0
  /** µs. */
  readonly micros = new Histogram()
  /** Of the last minute, per second. */
  perSecond = 0
  #countAtTick = 0

  /** Counts one more; true: tell how long it takes. */
  begins(): boolean {
    const count = ++this.count
    return count <= ALWAYS || count % EVERY === 0
  }

  /** For how many the one that begins() counted last stands in what is sampled; 0: it is left out. */
  get weight(): number {
    if (this.count <= ALWAYS) return 1
    return this.count % EVERY === 0 ? EVERY : 0
  }

  /** The time of one for which begins() was true. */
  sampled(ms: number): void {
    this.micros.record(ms * 1000, this.count <= ALWAYS ? 1 : EVERY)
  }

  /** The time of one that is told for itself alone, whatever begins() said. */
  single(ms: number): void {
    this.micros.record(ms * 1000)
  }

  /** Called every few seconds. */
  tick(seconds: number): void {
    const rate = (this.count - this.#countAtTick) / seconds
    this.#countAtTick = this.count
    const kept = Math.exp(-seconds / RATE_SECONDS)
    this.perSecond = rate + (this.perSecond - rate) * kept
    if (this.perSecond < 1e-6) this.perSecond = 0
    this.micros.age(kept)
  }
}
