/**
 * What was written to a table since its last flush, sorted: records in slabs outside V8's heap, found through an ordered index.
 * A record's key is position | kind u8 | clustering or start of range (docs/formats.md); its value is a row, a deletion (timestamp 8,
 * localDeletionTime 4), or for a range its deletion and then its end.
 * Always: one record a key, merged when it is written; a partition's range tombstones do not overlap; a record's bytes never change
 * (a new value is a new record), so views given to readers stay true.
 */
import { ByteWriter } from '../lib/base/bytes.ts'
import { LeastTimestamp } from './memtable/least-timestamp.ts'
import { IndexCursor, OrderedIndex } from './memtable/ordered-index.ts'
import { MemtableParts } from './memtable/parts.ts'
import { insertRange, type RangeStore } from './memtable/ranges.ts'
import { Slabs } from './memtable/slabs.ts'
import { compareDeletions } from './model/deletion.ts'
import type { Resolution } from './model/merge.ts'
import { EntryKind, type MutationReader } from './model/mutation.ts'
import { compareRanges, RowFlag } from './model/row.ts'
import type { Source, SourceCursor } from './read/source.ts'
import type { Span } from './read/span.ts'

export class Memtable implements Source {
  readonly #slabs = new Slabs()
  readonly #index = new OrderedIndex(this.#slabs)
  /** May be another when the table is altered. */
  resolution: Resolution
  readonly #key = new ByteWriter(256)
  readonly #merged = new ByteWriter(1024)
  #ranges: RangeStore | null = null
  /** Whether there is any, so that reads need not look for them. */
  hasPartitionDeletions = false
  hasRangeTombstones = false
  hasStaticRows = false
  readonly isFile = false
  readonly maxTimestamp = null
  readonly leastTimestamp = new LeastTimestamp()
  /** Mutations applied. */
  writes = 0

  constructor(resolution: Resolution) {
    this.resolution = resolution
  }

  /** Records held. */
  get size(): number {
    return this.#index.size
  }

  /** Memory taken: what was overwritten counts until the memtable is dropped. */
  get bytes(): number {
    return this.#slabs.bytes + this.#index.bytes
  }

  get isEmpty(): boolean {
    return this.#index.size === 0
  }

  /** Takes in every entry of a mutation that stands at its beginning. */
  apply(mutation: MutationReader): void {
    this.writes++
    const key = this.#key
    key.reset()
    key.slice(mutation.buffer, mutation.positionStart, mutation.positionEnd)
    const positionLength = key.length
    while (mutation.next()) {
      key.length = positionLength
      key.uint8(mutation.kind)
      key.slice(mutation.buffer, mutation.boundStart, mutation.boundEnd)
      const isRow = mutation.kind === EntryKind.ROW || mutation.kind === EntryKind.STATIC_ROW
      if (isRow) this.leastTimestamp.row(mutation.buffer, mutation.valueStart, mutation.valueEnd)
      else this.leastTimestamp.deletion(mutation.buffer, mutation.valueStart)
      switch (mutation.kind) {
        case EntryKind.STATIC_ROW:
          this.hasStaticRows = true
          this.#putRow(mutation.buffer, mutation.valueStart, mutation.valueEnd)
          break
        case EntryKind.ROW:
          this.#putRow(mutation.buffer, mutation.valueStart, mutation.valueEnd)
          break
        case EntryKind.PARTITION_DELETION:
          this.hasPartitionDeletions = true
          this.#putDeletion(mutation.buffer, mutation.valueStart, mutation.valueEnd)
          break
        default:
          this.#putRange(mutation, positionLength)
      }
    }
  }

  #putRow(buffer: Buffer, start: number, end: number): void {
    const index = this.#index
    const slabs = this.#slabs
    const key = this.#key
    const merged = this.#merged
    if (index.locateNear(key.buffer, 0, key.length)) {
      const old = index.valueAt(index.leaf, index.slot)
      const slab = slabs.slab(old)
      const oldStart = slabs.start(old)
      const oldEnd = oldStart + slabs.length(old)
      merged.reset()
      this.resolution.merge(merged, slab, oldStart, oldEnd, buffer, start, end)
      const same = compareRanges(slab, oldStart, oldEnd, merged.buffer, 0, merged.length) === 0
      if (!same) index.setValue(slabs.add(merged.buffer, 0, merged.length))
      return
    }
    const keyAddress = slabs.add(key.buffer, 0, key.length)
    if ((buffer[start]! & RowFlag.DELETION) !== 0) {
      // A row with a deletion of its own may hold what it covers: merging makes it normal.
      merged.reset()
      this.resolution.merge(merged, buffer, start, end, buffer, start, end)
      index.insert(keyAddress, slabs.add(merged.buffer, 0, merged.length))
    } else index.insert(keyAddress, slabs.add(buffer, start, end))
  }

  #putDeletion(buffer: Buffer, start: number, end: number): void {
    const index = this.#index
    const slabs = this.#slabs
    const key = this.#key
    if (index.locate(key.buffer, 0, key.length)) {
      const old = index.valueAt(index.leaf, index.slot)
      if (compareDeletions(buffer, start, slabs.slab(old), slabs.start(old)) > 0)
        index.setValue(slabs.add(buffer, start, end))
    } else index.insert(slabs.add(key.buffer, 0, key.length), slabs.add(buffer, start, end))
  }

  #putRange(mutation: MutationReader, positionLength: number): void {
    this.hasRangeTombstones = true
    const buffer = mutation.buffer
    this.#ranges ??= new MemtableRanges(this.#index, this.#slabs)
    insertRange(this.#ranges, {
      prefix: Buffer.from(this.#key.buffer.subarray(0, positionLength + 1)),
      start: Buffer.from(buffer.subarray(mutation.boundStart, mutation.boundEnd)),
      end: Buffer.from(buffer.subarray(mutation.rangeEndStart, mutation.rangeEndEnd)),
      deletion: Buffer.from(buffer.subarray(mutation.valueStart, mutation.valueEnd)),
    })
  }

  /** The value under a key, or null. */
  get(key: Buffer, start = 0, end = key.length): Buffer | null {
    const index = this.#index
    if (!index.locate(key, start, end)) return null
    return this.#view(index.valueAt(index.leaf, index.slot))
  }

  /** There is nothing cheaper than to look. */
  mayHold(_position: Buffer): boolean {
    return true
  }

  mayHoldRows(): boolean {
    return true
  }

  mayHoldRow(): boolean {
    return true
  }

  cursor(): MemtableCursor {
    return new MemtableCursor(this.#index, this.#slabs)
  }

  /** All records, for whoever writes them down. The memtable must not be written to until the last part was made. */
  parts(): MemtableParts {
    const cursor = this.cursor()
    cursor.seek(Buffer.alloc(0))
    return new MemtableParts(cursor)
  }

  #view(address: number): Buffer {
    const at = this.#slabs.start(address)
    return this.#slabs.slab(address).subarray(at, at + this.#slabs.length(address))
  }
}

/** Walks a memtable; views are made only when they are asked for. It stays true while the memtable is written to. */
class MemtableCursor implements SourceCursor {
  readonly #cursor: IndexCursor
  readonly #slabs: Slabs

  constructor(index: OrderedIndex, slabs: Slabs) {
    this.#cursor = new IndexCursor(index)
    this.#slabs = slabs
  }

  get valid(): boolean {
    return this.#cursor.valid
  }

  /** To the first record at or after the key. */
  seek(key: Buffer): undefined {
    this.#cursor.seek(key)
  }

  /** To the last record before the key. */
  seekBefore(key: Buffer): undefined {
    this.#cursor.seekBefore(key)
  }

  next(): undefined {
    this.#cursor.next()
  }

  previous(): undefined {
    this.#cursor.previous()
  }

  get key(): Buffer {
    return this.#view(this.#cursor.key)
  }

  get value(): Buffer {
    return this.#view(this.#cursor.value)
  }

  keyInto(span: Span): void {
    this.#into(span, this.#cursor.key)
  }

  valueInto(span: Span): void {
    this.#into(span, this.#cursor.value)
  }

  #into(span: Span, address: number): void {
    const start = this.#slabs.start(address)
    span.set(this.#slabs.slab(address), start, start + this.#slabs.length(address))
  }

  get recordBytes(): number {
    return this.#slabs.storedBytes(this.#cursor.key) + this.#slabs.storedBytes(this.#cursor.value)
  }

  /** Copies key and value, each after its length, without making views. */
  copyRecord(target: Uint8Array, at: number): void {
    const next = this.#slabs.copyStored(this.#cursor.key, target, at)
    this.#slabs.copyStored(this.#cursor.value, target, next)
  }

  #view(address: number): Buffer {
    const at = this.#slabs.start(address)
    return this.#slabs.slab(address).subarray(at, at + this.#slabs.length(address))
  }
}

/** Range tombstones of a memtable as insertRange wants them. */
class MemtableRanges implements RangeStore {
  readonly #index: OrderedIndex
  readonly #slabs: Slabs
  readonly #cursor: MemtableCursor

  constructor(index: OrderedIndex, slabs: Slabs) {
    this.#index = index
    this.#slabs = slabs
    this.#cursor = new MemtableCursor(index, slabs)
  }

  floor(key: Buffer): { key: Buffer; value: Buffer } | null {
    const cursor = this.#cursor
    cursor.seek(key)
    if (!cursor.valid || !cursor.key.equals(key)) cursor.seekBefore(key)
    return cursor.valid ? { key: cursor.key, value: cursor.value } : null
  }

  after(key: Buffer): { key: Buffer; value: Buffer } | null {
    const cursor = this.#cursor
    cursor.seek(key)
    if (cursor.valid && cursor.key.equals(key)) cursor.next()
    return cursor.valid ? { key: cursor.key, value: cursor.value } : null
  }

  put(key: Buffer, value: Buffer): void {
    const index = this.#index
    const address = this.#slabs.add(value, 0, value.length)
    if (index.locate(key, 0, key.length)) index.setValue(address)
    else index.insert(this.#slabs.add(key, 0, key.length), address)
  }

  remove(key: Buffer): void {
    if (this.#index.locate(key, 0, key.length)) this.#index.remove()
  }
}
