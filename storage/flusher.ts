/**
 * Decides when memtables are written out, and in which order things happen to a table: its flushes, truncations and its drop never overlap, so
 * that what the manifest says of it follows the order in which they were asked for. Tables do not wait for each other.
 * Always: a memtable stays readable until its file is; a failed flush loses nothing and is tried again; memory stays within its budget, for
 * writers slow down before it is used up, and wait when it is.
 * Source: the cleanup threshold is Cassandra's memtable_cleanup_threshold for one flush at a time.
 */
import type { Clock, Log } from '../lib/runtime/runtime.ts'
import { BackPressure } from './back-pressure.ts'
import { StorageError } from './errors.ts'

export interface FlusherOptions {
  readonly clock: Clock
  readonly log: Log
  /** Memory of all memtables, those being flushed included. */
  readonly bytesMax: number
  /** All there is to choose from, with the memory that is written to: what a flush would free. */
  readonly tables: () => Iterable<{ readonly id: string; readonly activeBytes: number }>
  /** Writes out everything of a table that was written before this call, and frees its memory. */
  readonly flush: (id: string) => Promise<void>
}

/** The largest memtable is flushed when those that are written to take this share of the budget: the rest is for writes meanwhile. */
const CLEANUP_SHARE = 0.4
/**
 * Writers slow down when what is in no file yet takes this share of the budget, and most at the second. A memtable's memory is freed when all of it
 * is in its file: then there may be as much again as is flushed at once, and with it the budget is used up.
 */
const PACED_SHARE = 0.45
const SLOWEST_SHARE = 0.6
/** Of the budget; beyond it writes are refused while flushes fail. */
const REFUSED_SHARE = 1.25
/** Smaller flushes tell nothing of how fast they are. */
const MEASURED_BYTES_MIN = 1024 * 1024
const RETRY_MS_MIN = 100
const RETRY_MS_MAX = 30_000
const SOURCE = 'storage/flusher.ts'

export class Flusher {
  readonly #options: FlusherOptions
  readonly #pressure: BackPressure
  /** Memory of all memtables, those that are not written to any more included, and of these alone. */
  #bytes = 0
  #frozenBytes = 0
  /** Of memtables that are being written down, what is written. */
  #writtenBytes = 0
  #freedBytes = 0
  #debt = 0
  /** Of each table, what was asked for last; in their order. */
  readonly #queues = new Map<string, Promise<void>>()
  readonly #asked = new Map<string, Promise<void>>()
  /** A flush that nobody asked for is under way, or waits to be tried again. */
  #trying = false
  #wake = (): void => {}
  #room: { readonly promise: Promise<void>; readonly resolve: () => void } | null = null
  #failure: unknown = null
  #closed = false
  flushes = 0
  /** Writes that had to wait. */
  stalls = 0

  constructor(options: FlusherOptions) {
    this.#options = options
    this.#pressure = new BackPressure(options.clock)
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Why the last flush failed; null when it did not. */
  get failure(): unknown {
    return this.#failure
  }

  /** How far other work, compaction, is behind, in [0, 1]: writers slow down for it as they do for memory. */
  get debt(): number {
    return this.#debt
  }

  set debt(debt: number) {
    this.#debt = Math.min(1, Math.max(0, debt))
  }

  /** Throws StorageError when there is no memory for another write and none can be freed. */
  check(): void {
    if (this.#failure !== null && this.#bytes > this.#options.bytesMax * REFUSED_SHARE)
      throw new StorageError('memtables are full and cannot be flushed', { cause: this.#failure })
  }

  /** Tells that a memtable that is written to grew. */
  grew(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes - this.#frozenBytes > this.#options.bytesMax * CLEANUP_SHARE) this.#choose()
  }

  /** Tells that a memtable of so many bytes is not written to any more. */
  froze(bytes: number): void {
    this.#frozenBytes += bytes
  }

  /** Tells that so many bytes of such a memtable are in its file; negative: that they do not count any more. */
  wrote(bytes: number): void {
    this.#writtenBytes += bytes
  }

  /** Tells that such a memtable is no more. */
  freed(bytes: number): void {
    this.#bytes -= bytes
    this.#frozenBytes -= bytes
    this.#freedBytes += bytes
    if (this.#bytes <= this.#options.bytesMax) this.#letIn()
  }

  #letIn(): void {
    this.#room?.resolve()
    this.#room = null
  }

  /** What a writer of so many bytes should wait for before it goes on; undefined: nothing. */
  room(bytes: number): Promise<void> | undefined {
    const { bytesMax } = this.#options
    const unwritten = (this.#bytes - this.#writtenBytes) / bytesMax
    if (unwritten <= PACED_SHARE && this.#debt === 0) return undefined
    const full = this.full()
    if (full !== undefined) {
      this.stalls++
      return full
    }
    const filled = (unwritten - PACED_SHARE) / (SLOWEST_SHARE - PACED_SHARE)
    const wait = this.#pressure.wait(bytes, Math.min(1, Math.max(filled, this.#debt)))
    if (wait !== undefined) this.stalls++
    return wait
  }

  /** Resolves when memory is within its budget; undefined: it is. While flushes fail nothing is waited for that may never come. */
  full(): Promise<void> | undefined {
    if (this.#bytes <= this.#options.bytesMax || this.#failure !== null || this.#closed) return undefined
    if (this.#room === null) {
      let resolve = (): void => {}
      const promise = new Promise<void>((done) => {
        resolve = done
      })
      this.#room = { promise, resolve }
    }
    return this.#room.promise
  }

  /** Flushes a table once what was asked for before is done. Fails as the flush does. */
  flush(id: string): Promise<void> {
    const asked = this.#asked.get(id)
    if (asked) return asked
    const promise = this.run(id, async () => {
      this.#asked.delete(id)
      const beganMs = this.#options.clock.monotonicMs()
      const freedBefore = this.#freedBytes
      await this.#options.flush(id)
      const freed = this.#freedBytes - freedBefore
      if (freed >= MEASURED_BYTES_MIN) this.#pressure.emptied(freed, this.#options.clock.monotonicMs() - beganMs)
      this.flushes++
      this.#failure = null
    })
    this.#asked.set(id, promise)
    return promise
  }

  /** Does something to a table in its turn. */
  run(id: string, work: () => Promise<void>): Promise<void> {
    const done = (this.#queues.get(id) ?? Promise.resolve()).then(work)
    const settled = done
      .catch(() => {})
      .finally(() => {
        if (this.#queues.get(id) === settled) this.#queues.delete(id)
      })
    this.#queues.set(id, settled)
    return done
  }

  /** No flush begins by itself any more; resolves when what was asked for is done. */
  async close(): Promise<void> {
    this.#closed = true
    this.#wake()
    this.#letIn()
    while (this.#queues.size > 0) await Promise.all(this.#queues.values())
  }

  /** One flush at a time by itself: of the largest. */
  #choose(): void {
    if (this.#closed || this.#trying) return
    let largest: { readonly id: string; readonly activeBytes: number } | null = null
    for (const table of this.#options.tables()) if (table.activeBytes > (largest?.activeBytes ?? 0)) largest = table
    if (largest) void this.#keepTrying(largest.id)
  }

  async #keepTrying(id: string): Promise<void> {
    this.#trying = true
    let delayMs = RETRY_MS_MIN
    while (!this.#closed) {
      try {
        await this.flush(id)
        break
      } catch (cause) {
        this.#failure = cause
        this.#letIn()
        this.#options.log.error(SOURCE, `a flush of ${id} failed; it is tried again in ${delayMs} ms`, cause)
        await new Promise<void>((resolve) => {
          this.#wake = resolve
          this.#options.clock.after(delayMs, resolve)
        })
        delayMs = Math.min(delayMs * 2, RETRY_MS_MAX)
      }
    }
    this.#trying = false
    this.grew(0)
  }
}
