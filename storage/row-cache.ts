/**
 * The heads of partitions, merged, within a budget of bytes shared by all tables of a store: Cassandra's row cache (`row_cache_size`, off by default, and
 * `caching = {'rows_per_partition': 'ALL'|n}`). What was used least recently goes first.
 * Always: a head is what a read would give now. A write to its partition drops it in the turn in which the write becomes visible, and whoever was
 * reading that partition to fill the cache may not put in what it read.
 */
import type { PartitionHead } from './read/head.ts'

/** What an entry and a row take beside their bytes, roughly. */
const ENTRY_BYTES = 400
const ROW_BYTES = 250
/** A head larger than this share of the cache is not kept. */
const LARGEST_SHARE = 16

/** Given to one who reads a partition in order to keep it. */
export interface Filling {
  readonly key: string
}

export class RowCache {
  #bytesMax: number
  /** In the order of their last use. Null: too large to be kept, until it is written to. */
  readonly #heads = new Map<string, PartitionHead | null>()
  readonly #fillings = new Map<string, Filling>()
  #bytes = 0
  hits = 0
  misses = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  get bytesMax(): number {
    return this.#bytesMax
  }

  /** What is beyond it goes at once, the longest unused first. */
  set bytesMax(bytes: number) {
    this.#bytesMax = bytes
    this.#shrink()
  }

  get entries(): number {
    return this.#heads.size
  }

  /** Bytes of rows beyond which a head need not be read: it would not be kept. */
  get headBytesMax(): number {
    return Math.floor(this.#bytesMax / LARGEST_SHARE)
  }

  /** `table` is any text that no other table has. */
  get(table: string, position: Buffer): PartitionHead | null {
    const key = keyOf(table, position)
    const head = this.#heads.get(key)
    if (!head) return null
    this.#heads.delete(key)
    this.#heads.set(key, head)
    return head
  }

  /** Null: somebody fills it already, or it is known to be too large. */
  begin(table: string, position: Buffer): Filling | null {
    const key = keyOf(table, position)
    if (this.#fillings.has(key) || this.#heads.get(key) === null) return null
    const filling = { key }
    this.#fillings.set(key, filling)
    return filling
  }

  /** Takes the head in, unless the partition was written to since begin(). Null: it is too large, or could not be read. */
  end(filling: Filling, head: PartitionHead | null): void {
    const { key } = filling
    if (this.#fillings.get(key) !== filling) return
    this.#fillings.delete(key)
    this.#remove(key)
    this.#heads.set(key, head)
    this.#bytes += bytesOf(key, head)
    this.#shrink()
  }

  #shrink(): void {
    for (const oldest of this.#heads.keys()) {
      if (this.#bytes <= this.#bytesMax) break
      this.#remove(oldest)
    }
  }

  /** Gives up a filling whose read failed. */
  abort(filling: Filling): void {
    if (this.#fillings.get(filling.key) === filling) this.#fillings.delete(filling.key)
  }

  /** The partition whose position lies there was written to. */
  invalidate(table: string, bytes: Buffer, start: number, end: number): void {
    if (this.#heads.size === 0 && this.#fillings.size === 0) return
    const key = table + bytes.toString('latin1', start, end)
    this.#fillings.delete(key)
    this.#remove(key)
  }

  /** Forgets a table: it was truncated or dropped, or data came in past its memtable. '': forgets all. */
  clear(table: string): void {
    for (const key of this.#fillings.keys()) if (key.startsWith(table)) this.#fillings.delete(key)
    for (const key of this.#heads.keys()) if (key.startsWith(table)) this.#remove(key)
  }

  #remove(key: string): void {
    const head = this.#heads.get(key)
    if (head === undefined) return
    this.#heads.delete(key)
    this.#bytes -= bytesOf(key, head)
  }
}

function keyOf(table: string, position: Buffer): string {
  return table + position.toString('latin1')
}

function bytesOf(key: string, head: PartitionHead | null): number {
  return ENTRY_BYTES + key.length + (head === null ? 0 : head.bytes + head.rows.length * ROW_BYTES)
}
