/** How well a cache does: its counters as they are, and rates of the last minute. */

/** What every cache counts. */
export interface CountedCache {
  readonly bytes: number
  readonly bytesMax: number
  readonly entries: number
  readonly hits: number
  readonly misses: number
}

export interface CacheReport extends CountedCache {
  readonly name: string
  readonly hitsPerSecond: number
  readonly requestsPerSecond: number
}

const RATE_SECONDS = 60

export class CacheRates {
  readonly #name: string
  readonly #cache: CountedCache
  #hits = 0
  #requests = 0
  #hitsPerSecond = 0
  #requestsPerSecond = 0

  constructor(name: string, cache: CountedCache) {
    this.#name = name
    this.#cache = cache
  }

  /** Called every few seconds. */
  tick(seconds: number): void {
    const { hits, misses } = this.#cache
    const kept = Math.exp(-seconds / RATE_SECONDS)
    const hitRate = (hits - this.#hits) / seconds
    const requestRate = (hits + misses - this.#requests) / seconds
    this.#hitsPerSecond = hitRate + (this.#hitsPerSecond - hitRate) * kept
    this.#requestsPerSecond = requestRate + (this.#requestsPerSecond - requestRate) * kept
    this.#hits = hits
    this.#requests = hits + misses
  }

  report(): CacheReport {
    const { bytes, bytesMax, entries, hits, misses } = this.#cache
    return {
      name: this.#name,
      bytes,
      bytesMax,
      entries,
      hits,
      misses,
      hitsPerSecond: this.#hitsPerSecond,
      requestsPerSecond: this.#requestsPerSecond,
    }
  }
}
