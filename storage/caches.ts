/** The store's caches by their names: blocks of SSTables, blocks of their indexes, heads of partitions. Each has a budget of bytes; 0: it is off. */
import type { BlockCache } from './cache.ts'
import { CacheRates, type CacheReport } from './cache-report.ts'
import type { Files } from './files.ts'
import { RowCache } from './row-cache.ts'
import type { CacheName } from './store-words.ts'

export class Caches {
  readonly rows: RowCache
  /** Those there are: without files there is nothing to keep blocks of. */
  readonly #byName: ReadonlyMap<CacheName, BlockCache | RowCache>
  readonly #rates: readonly CacheRates[]

  constructor(files: Files | null, rowCacheBytes: number) {
    this.rows = new RowCache(rowCacheBytes)
    const byName = new Map<CacheName, BlockCache | RowCache>()
    if (files) byName.set('blocks', files.cache).set('keys', files.indexCache)
    this.#byName = byName.set('rows', this.rows)
    this.#rates = [...byName].map(([name, cache]) => new CacheRates(name, cache))
  }

  /** Forgets what a cache holds. */
  clear(name: CacheName): void {
    // Of the row cache: of all tables.
    this.#byName.get(name)?.clear('')
  }

  /** False: the cache is off, and stays so until a start with other settings. */
  resize(name: CacheName, bytesMax: number): boolean {
    const cache = this.#byName.get(name)
    if (cache === undefined || cache.bytesMax === 0) return bytesMax === 0
    cache.bytesMax = bytesMax
    return true
  }

  /** Called every few seconds. */
  tick(seconds: number): void {
    for (const rates of this.#rates) rates.tick(seconds)
  }

  report(): readonly CacheReport[] {
    return this.#rates.map((rates) => rates.report())
  }
}
