/**
 * The law by which two versions of a row become one; memtable, reads, compaction and repair all call it.
 * Source: Apache Cassandra 5's reconciliation of liveness, deletions and cells, ties included (checked against the server).
 * Always: commutative, associative and idempotent, byte for byte, over rows that merge itself or a RowWriter has made
 * (a row whose own deletions shadow something of it becomes normal at its first merge).
 */
import type { ByteWriter } from '../../lib/base/bytes.ts'
import { CellFlag, compareRanges, compareTimestamps, RowReader, RowWriter } from './row.ts'

/** How much of a row a deletion covers. */
export const Coverage = { NONE: 0, SOME: 1, ALL: 2 } as const

/** Which law holds is chosen per table. Rows are handed as ranges of bytes; results are appended to `out` as one row. */
export interface Resolution {
  merge(out: ByteWriter, a: Buffer, aStart: number, aEnd: number, b: Buffer, bStart: number, bEnd: number): void
  /** Leaves out whatever the deletion covers (timestamp at or below its own). What is left may be the empty row. */
  applyDeletion(out: ByteWriter, row: Buffer, start: number, end: number, tsHigh: number, tsLow: number): void
  /** What applyDeletion would do, so that rows which it leaves alone need no copy. */
  coverage(row: Buffer, start: number, end: number, tsHigh: number, tsLow: number): number
  /**
   * Whether versions all of whose timestamps are at or below the given one cannot change what a reader of these columns (ids, ascending,
   * each of one cell) sees of the row.
   */
  settles(row: Buffer, columns: readonly number[], nowSeconds: number, tsHigh: number, tsLow: number): boolean
}

/** Each cell has one value: that with the greatest timestamp. */
export class LastWriteWins implements Resolution {
  readonly #a = new RowReader()
  readonly #b = new RowReader()
  readonly #writer = new RowWriter()
  /** The merged row's deletion, and the complex deletion of the column at hand. */
  #deleted = false
  #deletionHigh = 0
  #deletionLow = 0
  #complexColumn = -1
  #complexHigh = 0
  #complexLow = 0

  merge(out: ByteWriter, a: Buffer, aStart: number, aEnd: number, b: Buffer, bStart: number, bEnd: number): void {
    const left = this.#a.reset(a, aStart, aEnd)
    const right = this.#b.reset(b, bStart, bEnd)
    const writer = this.#writer
    writer.out = out
    writer.begin()
    const deletion = !right.hasDeletion ? left : !left.hasDeletion || deletionOrder(left, right) < 0 ? right : left
    this.#deleted = deletion.hasDeletion
    this.#deletionHigh = deletion.deletionTsHigh
    this.#deletionLow = deletion.deletionTsLow
    const liveness = !right.hasLiveness ? left : !left.hasLiveness || livenessOrder(left, right) < 0 ? right : left
    const alive = liveness.hasLiveness && !this.#covers(liveness.livenessTsHigh, liveness.livenessTsLow)
    if (alive)
      writer.liveness(liveness.livenessTsHigh, liveness.livenessTsLow, liveness.livenessTtl, liveness.livenessExpiresAt)
    if (deletion.hasDeletion)
      writer.deletion(deletion.deletionTsHigh, deletion.deletionTsLow, deletion.deletionLocalTime)
    const leftRaw = left.hasLiveness === alive && (!alive || left === liveness || livenessOrder(left, right) === 0)
    const rightRaw = right.hasLiveness === alive && (!alive || right === liveness || livenessOrder(left, right) === 0)
    this.#cells(leftRaw, rightRaw)
  }

  #cells(leftRaw: boolean, rightRaw: boolean): void {
    const left = this.#a
    const right = this.#b
    this.#complexColumn = -1
    let moreLeft = left.next()
    let moreRight = right.next()
    while (moreLeft && moreRight) {
      const order = cellPlace(left, right)
      if (order < 0) {
        this.#copy(left, leftRaw)
        moreLeft = left.next()
      } else if (order > 0) {
        this.#copy(right, rightRaw)
        moreRight = right.next()
      } else {
        if (cellOrder(left, right) < 0) this.#copy(right, rightRaw)
        else this.#copy(left, leftRaw)
        moreLeft = left.next()
        moreRight = right.next()
      }
    }
    while (moreLeft) {
      this.#copy(left, leftRaw)
      moreLeft = left.next()
    }
    while (moreRight) {
      this.#copy(right, rightRaw)
      moreRight = right.next()
    }
    this.#writer.end()
  }

  applyDeletion(out: ByteWriter, row: Buffer, start: number, end: number, tsHigh: number, tsLow: number): void {
    const reader = this.#a.reset(row, start, end)
    const writer = this.#writer
    writer.out = out
    writer.begin()
    this.#deleted = true
    this.#deletionHigh = tsHigh
    this.#deletionLow = tsLow
    const alive = reader.hasLiveness && !this.#covers(reader.livenessTsHigh, reader.livenessTsLow)
    if (alive)
      writer.liveness(reader.livenessTsHigh, reader.livenessTsLow, reader.livenessTtl, reader.livenessExpiresAt)
    if (reader.hasDeletion && !this.#covers(reader.deletionTsHigh, reader.deletionTsLow))
      writer.deletion(reader.deletionTsHigh, reader.deletionTsLow, reader.deletionLocalTime)
    this.#complexColumn = -1
    while (reader.next()) this.#copy(reader, alive || !reader.hasLiveness)
    writer.end()
  }

  coverage(row: Buffer, start: number, end: number, tsHigh: number, tsLow: number): number {
    const reader = this.#a.reset(row, start, end)
    this.#deleted = true
    this.#deletionHigh = tsHigh
    this.#deletionLow = tsLow
    let covered = false
    let kept = false
    if (reader.hasLiveness) {
      if (this.#covers(reader.livenessTsHigh, reader.livenessTsLow)) covered = true
      else kept = true
    }
    if (reader.hasDeletion) {
      if (this.#covers(reader.deletionTsHigh, reader.deletionTsLow)) covered = true
      else kept = true
    }
    while (!(covered && kept) && reader.next()) {
      if (this.#covers(reader.tsHigh, reader.tsLow)) covered = true
      else kept = true
    }
    return !covered ? Coverage.NONE : kept ? Coverage.SOME : Coverage.ALL
  }

  settles(row: Buffer, columns: readonly number[], nowSeconds: number, tsHigh: number, tsLow: number): boolean {
    const reader = this.#a.reset(row)
    if (reader.hasDeletion && compareTimestamps(reader.deletionTsHigh, reader.deletionTsLow, tsHigh, tsLow) >= 0)
      return true
    if (!reader.hasLiveness || compareTimestamps(reader.livenessTsHigh, reader.livenessTsLow, tsHigh, tsLow) <= 0)
      return false
    if (reader.livenessTtl > 0 && reader.livenessExpiresAt <= nowSeconds) return false
    let settled = 0
    while (settled < columns.length && reader.next()) {
      if (reader.columnId < columns[settled]!) continue
      if (reader.columnId > columns[settled]!) return false
      if (compareTimestamps(reader.tsHigh, reader.tsLow, tsHigh, tsLow) <= 0) return false
      settled++
    }
    return settled === columns.length
  }

  #covers(tsHigh: number, tsLow: number): boolean {
    return this.#deleted && compareTimestamps(tsHigh, tsLow, this.#deletionHigh, this.#deletionLow) <= 0
  }

  /** Writes the reader's cell unless it is covered. Complex deletions come before the cells that they cover. */
  #copy(from: RowReader, raw: boolean): void {
    if (this.#covers(from.tsHigh, from.tsLow)) return
    if (from.columnId === this.#complexColumn) {
      if (compareTimestamps(from.tsHigh, from.tsLow, this.#complexHigh, this.#complexLow) <= 0) return
    } else if ((from.flags & CellFlag.COMPLEX_DELETION) !== 0) {
      this.#complexColumn = from.columnId
      this.#complexHigh = from.tsHigh
      this.#complexLow = from.tsLow
    }
    if (raw) this.#writer.copyCellBytes(from)
    else this.#writer.copyCell(from)
  }
}

/** Order of two cells within a row: by column, complex deletion first, then by path, those with dots after the others. */
export function cellPlace(a: RowReader, b: RowReader): number {
  if (a.columnId !== b.columnId) return a.columnId - b.columnId
  const flags = a.flags | b.flags
  if ((flags & (CellFlag.COMPLEX_DELETION | CellFlag.PATH)) === 0) return 0
  const aDeletion = (a.flags & CellFlag.COMPLEX_DELETION) !== 0
  if (aDeletion !== ((b.flags & CellFlag.COMPLEX_DELETION) !== 0)) return aDeletion ? -1 : 1
  const dotted = (a.flags & CellFlag.DOTTED) - (b.flags & CellFlag.DOTTED)
  return dotted !== 0 ? dotted : compareRanges(a.buffer, a.pathStart, a.pathEnd, b.buffer, b.pathStart, b.pathEnd)
}

/** Positive when a wins. An expiring cell beats one that does not expire, so that the outcome hangs on no clock. */
export function cellOrder(a: RowReader, b: RowReader): number {
  const byTimestamp = compareTimestamps(a.tsHigh, a.tsLow, b.tsHigh, b.tsLow)
  if (byTimestamp !== 0) return byTimestamp
  const ending = CellFlag.TOMBSTONE | CellFlag.EXPIRING | CellFlag.COMPLEX_DELETION
  if (((a.flags | b.flags) & ending) !== 0) {
    const aEnds = (a.flags & ending) !== 0
    if (aEnds !== ((b.flags & ending) !== 0)) return aEnds ? 1 : -1
    const aExpires = (a.flags & CellFlag.EXPIRING) !== 0
    if (aExpires !== ((b.flags & CellFlag.EXPIRING) !== 0)) return aExpires ? -1 : 1
    if (a.localDeletionTime !== b.localDeletionTime) return a.localDeletionTime - b.localDeletionTime
    // Both expire then. One may have, and lost its value: it has been seen to.
    const valueless = (a.flags & CellFlag.TOMBSTONE) - (b.flags & CellFlag.TOMBSTONE)
    if (valueless !== 0) return valueless
  }
  const byValue = compareRanges(a.buffer, a.valueStart, a.valueEnd, b.buffer, b.valueStart, b.valueEnd)
  return byValue !== 0 ? byValue : b.ttl - a.ttl
}

/** Positive when a's liveness supersedes b's; 0 only when they are equal. */
export function livenessOrder(a: RowReader, b: RowReader): number {
  const byTimestamp = compareTimestamps(a.livenessTsHigh, a.livenessTsLow, b.livenessTsHigh, b.livenessTsLow)
  if (byTimestamp !== 0) return byTimestamp
  if ((a.livenessTtl === 0) !== (b.livenessTtl === 0)) return a.livenessTtl === 0 ? -1 : 1
  if (a.livenessExpiresAt !== b.livenessExpiresAt) return a.livenessExpiresAt - b.livenessExpiresAt
  return b.livenessTtl - a.livenessTtl
}

export function deletionOrder(a: RowReader, b: RowReader): number {
  const byTimestamp = compareTimestamps(a.deletionTsHigh, a.deletionTsLow, b.deletionTsHigh, b.deletionTsLow)
  return byTimestamp !== 0 ? byTimestamp : a.deletionLocalTime - b.deletionLocalTime
}
