/**
 * Which tombstones and expired cells a compaction may leave out. Source: Cassandra's CompactionController and DeletionPurger.
 *
 * One goes when it is older than gc_grace, so that every replica had the time to hear of it, and nothing outside the compaction may hold data of its
 * partition with a timestamp at or below its own: that would come back to life. What lies outside: memtables, known by the least timestamp that they
 * hold; SSTables, by theirs, by their bounds and by their bloom filters.
 *
 * A row with a context (model/row-merge.ts): what has a dot and expired goes at once, as the context still says that it was seen. When its newest dot is past
 * gc_grace the context goes as a tombstone would, if the row has no version; else it forgets what it may (causal/prune.ts). Nothing outside may hold
 * a dot as old as what is forgotten.
 *
 * An expired cell that has to stay loses its value (CellFlag.TOMBSTONE and EXPIRING): it is ordered among other versions as it was before, so that a
 * compaction never changes what a read sees, whichever SSTables it takes.
 *
 * A row that is hidden by its cell of presence goes with that cell: what else it holds would be seen without it.
 */
import type { ByteWriter } from '../../lib/base/bytes.ts'
import {
  type ContextEntry,
  counterHigh,
  counterLow,
  greatestCounter,
  MICROS_PER_SECOND,
  withoutEntries,
} from '../model/causal/context.ts'
import { prunableEntries } from '../model/causal/prune.ts'
import { CellFlag, compareTimestamps, PRESENCE_COLUMN_ID, RowReader, readInt32 } from '../model/row.ts'
import { RowWriter } from '../model/row-writer.ts'
import { compareBytes } from '../sstable/block.ts'

/** Two halves of a timestamp, high signed and low unsigned; the infinities are before and after all. */
export interface Timestamp {
  readonly high: number
  readonly low: number
}

export const BEFORE_ALL: Timestamp = { high: Number.NEGATIVE_INFINITY, low: 0 }
export const AFTER_ALL: Timestamp = { high: Number.POSITIVE_INFINITY, low: 0 }

export function readTimestamp(bytes: Uint8Array): Timestamp {
  return { high: readInt32(bytes, 0), low: readInt32(bytes, 4) >>> 0 }
}

export function isBefore(a: Timestamp, b: Timestamp): boolean {
  return compareTimestamps(a.high, a.low, b.high, b.low) < 0
}

/** An SSTable that is not part of the compaction. */
export interface Outsider {
  readonly minTimestamp: Timestamp
  readonly minPosition: Uint8Array
  readonly maxPosition: Uint8Array
  /** Whether it may hold the partition, as its filter knows; for positions within the bounds. */
  mayHold(position: Buffer): boolean | Promise<boolean>
}

/** Below which timestamps nothing outside holds data of a partition. */
export class PurgeBounds {
  readonly #outsiders: readonly Outsider[]
  readonly #floor: Timestamp

  /** `floor`: no memtable holds an older timestamp. */
  constructor(outsiders: readonly Outsider[], floor: Timestamp) {
    this.#floor = floor
    this.#outsiders = outsiders
      .filter(({ minTimestamp }) => isBefore(minTimestamp, floor))
      .sort((a, b) =>
        compareTimestamps(a.minTimestamp.high, a.minTimestamp.low, b.minTimestamp.high, b.minTimestamp.low),
      )
  }

  find(position: Buffer): Timestamp | Promise<Timestamp> {
    return this.#from(0, position)
  }

  /** The outsiders ascend by their least timestamps: the first that may hold the partition decides. */
  #from(start: number, position: Buffer): Timestamp | Promise<Timestamp> {
    for (let i = start; i < this.#outsiders.length; i++) {
      const { minTimestamp, minPosition, maxPosition, mayHold } = this.#outsiders[i]!
      if (compareBytes(minPosition, 0, minPosition.length, position) > 0) continue
      if (compareBytes(maxPosition, 0, maxPosition.length, position) < 0) continue
      const may = mayHold(position)
      if (may instanceof Promise) return may.then((does) => (does ? minTimestamp : this.#from(i + 1, position)))
      if (may) return minTimestamp
    }
    return this.#floor
  }
}

/** What was purged: the conditions must still hold when the compaction's result takes its inputs' place. */
export interface Purged {
  readonly count: number
  /** The greatest timestamp of anything that was left out. */
  readonly timestamp: Timestamp
  readonly minPosition: Uint8Array
  readonly maxPosition: Uint8Array
}

const NOWHERE: Buffer = Buffer.alloc(0)

export class Purger {
  readonly #nowSeconds: number
  readonly #gcBefore: number
  readonly #reader = new RowReader()
  /** Made when there is something to purge: reads make a Purger each. */
  #writer: RowWriter | null = null
  /** Of the partition at hand: what is older may go. */
  #high = Number.NEGATIVE_INFINITY
  #low = 0
  #position: Buffer = NOWHERE
  #count = 0
  #maxHigh = Number.NEGATIVE_INFINITY
  #maxLow = 0
  #first: Buffer | null = null
  #last: Buffer | null = null
  /** Entries of contexts that were forgotten. */
  prunings = 0

  constructor(nowSeconds: number, gcGraceSeconds: number) {
    this.#nowSeconds = nowSeconds
    this.#gcBefore = nowSeconds - gcGraceSeconds
  }

  /** Null: nothing was. */
  get purged(): Purged | null {
    if (this.#count === 0) return null
    return {
      count: this.#count,
      timestamp: { high: this.#maxHigh, low: this.#maxLow },
      minPosition: this.#first!,
      maxPosition: this.#last!,
    }
  }

  /** Begins a partition; what is older than the bound may be purged in it. */
  within(position: Buffer, bound: Timestamp): void {
    this.#position = position
    this.#high = bound.high
    this.#low = bound.low
  }

  /** Whether the age of a deletion (its bytes) would let it go. */
  isOld(deletion: Uint8Array): boolean {
    return readInt32(deletion, 8) >>> 0 < this.#gcBefore
  }

  /** Whether a deletion goes. */
  takesDeletion(deletion: Uint8Array): boolean {
    return this.#takes(readInt32(deletion, 0), readInt32(deletion, 4) >>> 0, readInt32(deletion, 8) >>> 0)
  }

  #takes(tsHigh: number, tsLow: number, localDeletionTime: number): boolean {
    return localDeletionTime < this.#gcBefore && this.#takesOlder(tsHigh, tsLow)
  }

  #takesOlder(tsHigh: number, tsLow: number): boolean {
    if (compareTimestamps(tsHigh, tsLow, this.#high, this.#low) >= 0) return false
    this.#count += 1
    if (compareTimestamps(tsHigh, tsLow, this.#maxHigh, this.#maxLow) > 0) {
      this.#maxHigh = tsHigh
      this.#maxLow = tsLow
    }
    if (this.#first === null) this.#first = this.#position
    this.#last = this.#position
    return true
  }

  /** Whether purge would change the row if everything old might go. */
  isCandidate(bytes: Buffer): boolean {
    const row = this.#reader.reset(bytes)
    const now = this.#nowSeconds
    const gcBefore = this.#gcBefore
    if (row.hasLiveness && row.livenessTtl > 0 && row.livenessExpiresAt <= now && row.livenessExpiresAt < gcBefore)
      return true
    if (row.hasDeletion && row.deletionLocalTime < gcBefore) return true
    while (row.next()) {
      const { flags } = row
      if ((flags & CellFlag.EXPIRING) !== 0) {
        if ((flags & CellFlag.TOMBSTONE) === 0) {
          if (row.localDeletionTime <= now) return true
        } else if (row.localDeletionTime - row.ttl < gcBefore) return true
      } else if ((flags & (CellFlag.TOMBSTONE | CellFlag.COMPLEX_DELETION)) !== 0 && row.localDeletionTime < gcBefore)
        return true
    }
    return row.hasContext && this.#forgetsSome(row)
  }

  /** Of a row none of whose dots has expired. */
  #forgetsSome(row: RowReader): boolean {
    const { buffer, contextStart, contextEnd } = row
    if (!this.#isPast(greatestCounter(buffer, contextStart, contextEnd))) return false
    const dots = dotsOf(row, this.#nowSeconds)
    return dots.length === 0 || prunableEntries(buffer, contextStart, contextEnd, dots).length > 0
  }

  /** Whether a dot is past gc_grace. */
  #isPast(counter: number): boolean {
    return counter < this.#gcBefore * MICROS_PER_SECOND
  }

  /** Writes what stays of the row's context. */
  #context(row: RowReader, writer: RowWriter): void {
    const { buffer, contextStart, contextEnd } = row
    const newest = greatestCounter(buffer, contextStart, contextEnd)
    let gone: readonly ContextEntry[] = []
    if (this.#isPast(newest)) {
      const dots = dotsOf(row, this.#nowSeconds)
      if (dots.length === 0) {
        if (this.#takesOlder(counterHigh(newest), counterLow(newest))) return
      } else
        gone = prunableEntries(buffer, contextStart, contextEnd, dots).filter(({ last }) =>
          this.#takesOlder(counterHigh(last), counterLow(last)),
        )
    }
    this.prunings += gone.length
    const context = withoutEntries(buffer, contextStart, contextEnd, gone)
    writer.context(context, 0, context.length)
  }

  /** Appends what stays of the row; false when nothing does. */
  purge(out: ByteWriter, bytes: Buffer): boolean {
    const row = this.#reader.reset(bytes)
    this.#writer ??= new RowWriter(out)
    const writer = this.#writer
    const now = this.#nowSeconds
    writer.out = out
    writer.begin()
    const dead = row.hasLiveness && row.livenessTtl > 0 && row.livenessExpiresAt <= now
    const alive =
      row.hasLiveness && !(dead && this.#takes(row.livenessTsHigh, row.livenessTsLow, row.livenessExpiresAt))
    if (alive) writer.liveness(row.livenessTsHigh, row.livenessTsLow, row.livenessTtl, row.livenessExpiresAt)
    if (row.hasDeletion && !this.#takes(row.deletionTsHigh, row.deletionTsLow, row.deletionLocalTime))
      writer.deletion(row.deletionTsHigh, row.deletionTsLow, row.deletionLocalTime)
    if (row.hasContext) this.#context(row, writer)
    const raw = alive === row.hasLiveness
    const isGone = this.#takesPresence(row)
    while (!isGone && row.next()) {
      const { flags } = row
      if ((flags & CellFlag.EXPIRING) !== 0) {
        if (row.localDeletionTime <= now) {
          if (row.isDotted) continue
          // The time for which it lived counts towards gc_grace: it was never more alive elsewhere than here.
          if (!this.#takes(row.tsHigh, row.tsLow, row.localDeletionTime - row.ttl)) writer.expiredCell(row)
          continue
        }
      } else if ((flags & (CellFlag.TOMBSTONE | CellFlag.COMPLEX_DELETION)) !== 0) {
        if (this.#takes(row.tsHigh, row.tsLow, row.localDeletionTime)) continue
      }
      if (raw) writer.copyCellBytes(row)
      else writer.copyCell(row)
    }
    writer.end()
    return !writer.isEmpty
  }

  /** Whether the row's cell of presence is dead and goes. The reader stands before the first cell, then and after. */
  #takesPresence(row: RowReader): boolean {
    let isGone = false
    while (!isGone && row.next()) {
      if (row.columnId !== PRESENCE_COLUMN_ID || row.isLive(this.#nowSeconds)) continue
      const since = row.isExpiring ? row.localDeletionTime - row.ttl : row.localDeletionTime
      isGone = this.#takes(row.tsHigh, row.tsLow, since)
    }
    row.rewind()
    return isGone
  }
}

/** Where the dots of the row begin that have not expired; the reader stands before the first cell again. */
function dotsOf(row: RowReader, nowSeconds: number): number[] {
  const dots: number[] = []
  row.rewind()
  while (row.next()) if (row.isDotted && row.isLive(nowSeconds)) dots.push(row.pathStart)
  row.rewind()
  return dots
}
