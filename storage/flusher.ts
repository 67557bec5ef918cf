/**
 * Decides when memtables are written out, and does one thing at a time: flushes, truncations and drops never overlap, so that what the
 * manifest says of a table follows the order in which it was asked for.
 * Always: a memtable stays readable until its file is; a failed flush loses nothing and is tried again; writers wait when it falls behind.
 */
import type { Clock, Log } from '../lib/runtime/runtime.ts'
import { StorageError } from './errors.ts'

export interface FlusherOptions {
  readonly clock: Clock
  readonly log: Log
  /** Memory of memtables at which the largest is flushed. */
  readonly bytesMax: number
  /** All there is to choose from, with the memory that a flush would free. */
  readonly tables: () => Iterable<{ readonly id: string; readonly memtableBytes: number }>
  /** Writes out everything of a table that was written before this call, and frees its memory. */
  readonly flush: (id: string) => Promise<void>
}

/** Beyond this many times the budget writers wait. */
const STALL_FACTOR = 2
/** Beyond this many times the budget, while flushes fail, writes are refused. */
const REFUSE_FACTOR = 3
const RETRY_MS_MIN = 100
const RETRY_MS_MAX = 30_000
const SOURCE = 'storage/flusher.ts'

export class Flusher {
  readonly #options: FlusherOptions
  /** Memory of all memtables, those being flushed included. */
  #bytes = 0
  /** Work in the order in which it was asked for. */
  #queue: Promise<void> = Promise.resolve()
  readonly #asked = new Map<string, Promise<void>>()
  /** A flush that nobody asked for is under way, or waits to be tried again. */
  #trying = false
  #wake = (): void => {}
  #room: { readonly promise: Promise<void>; readonly resolve: () => void } | null = null
  #failure: unknown = null
  #closed = false
  flushes = 0
  stalls = 0

  constructor(options: FlusherOptions) {
    this.#options = options
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Why the last flush failed; null when it did not. */
  get failure(): unknown {
    return this.#failure
  }

  /** Throws StorageError when there is no memory for another write and none can be freed. */
  check(): void {
    if (this.#failure !== null && this.#bytes > this.#options.bytesMax * REFUSE_FACTOR)
      throw new StorageError('memtables are full and cannot be flushed', { cause: this.#failure })
  }

  /** Tells that memtables grew (or, negative, shrank). */
  add(bytes: number): void {
    this.#bytes += bytes
    if (bytes > 0 && this.#bytes > this.#options.bytesMax) this.#choose()
    if (this.#room && this.#bytes <= this.#options.bytesMax * STALL_FACTOR) {
      this.#room.resolve()
      this.#room = null
    }
  }

  /** What a writer should wait for before it goes on; undefined: nothing. */
  room(): Promise<void> | undefined {
    if (this.#bytes <= this.#options.bytesMax * STALL_FACTOR) return undefined
    if (this.#room === null) {
      let resolve = (): void => {}
      const promise = new Promise<void>((done) => {
        resolve = done
      })
      this.#room = { promise, resolve }
    }
    this.stalls++
    return this.#room.promise
  }

  /** Flushes a table once what was asked for before is done. Fails as the flush does. */
  flush(id: string): Promise<void> {
    const asked = this.#asked.get(id)
    if (asked) return asked
    const promise = this.run(async () => {
      this.#asked.delete(id)
      await this.#options.flush(id)
      this.flushes++
      this.#failure = null
    })
    this.#asked.set(id, promise)
    return promise
  }

  /** Does something in its turn. */
  run(work: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(work)
    this.#queue = done.catch(() => {})
    return done
  }

  /** No flush begins by itself any more; resolves when what was asked for is done. */
  async close(): Promise<void> {
    this.#closed = true
    this.#wake()
    await this.#queue
  }

  /** One flush at a time by itself: of the largest. */
  #choose(): void {
    if (this.#closed || this.#trying || this.#asked.size > 0) return
    let largest: { readonly id: string; readonly memtableBytes: number } | null = null
    for (const table of this.#options.tables()) if (table.memtableBytes > (largest?.memtableBytes ?? 0)) largest = table
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
        this.#options.log.error(SOURCE, `a flush of ${id} failed; it is tried again in ${delayMs} ms`, cause)
        await new Promise<void>((resolve) => {
          this.#wake = resolve
          this.#options.clock.after(delayMs, resolve)
        })
        delayMs = Math.min(delayMs * 2, RETRY_MS_MAX)
      }
    }
    this.#trying = false
    if (this.#bytes > this.#options.bytesMax) this.#choose()
  }
}
