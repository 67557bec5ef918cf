/**
 * The law by which two versions of a row become one; memtable, reads, compaction and repair all call it.
 * Source: Apache Cassandra 5's reconciliation of liveness, deletions and cells, ties included (checked against the server).
 * Always: commutative, associative and idempotent, byte for byte, over rows that merge itself or a RowWriter has made
 * (a row whose own deletions shadow something of it becomes normal at its first merge).
 *
 * Rows with a context are joined by it whatever the table's law is (causal/join.ts): they meet rows of tables that keep no versions where a table
 * was altered, or is being altered. The laws differ in what deletions cover of such a row, and in how it is shown.
 */
import type { ByteWriter } from '../../lib/base/bytes.ts'
import { CausalJoin } from './causal/join.ts'
import { Coverage, cellOrder, cellPlace, deletionOrder, livenessOrder } from './cell-order.ts'

export { Coverage }

import { CellFlag, compareTimestamps, PRESENCE_COLUMN_ID, RowFlag, RowReader } from './row.ts'
import { RowWriter } from './row-writer.ts'

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
  /** Whether a deletion covers all that is not newer, so that what holds nothing newer need not be looked at. */
  readonly isByTimestamp: boolean
}

/** Laws have no memory of their own but what a call needs: one serves all tables of a thread. */
export function createLaws(): Laws {
  return { lww: new LastWriteWins(), vclock: new CausalVersions() }
}

export type Laws = Readonly<Record<'lww' | 'vclock', Resolution>>

/** Each cell has one value: that with the greatest timestamp. Of a row with versions it is the newest version that counts (causal/flatten.ts). */
export class LastWriteWins implements Resolution {
  readonly isByTimestamp = true
  /** Made when the first row with a context is met. */
  #join: CausalJoin | null = null
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
    if (((a[aStart]! | b[bStart]!) & RowFlag.CAUSAL) !== 0) {
      this.#joining().merge(out, a, aStart, aEnd, b, bStart, bEnd)
      return
    }
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

  #joining(): CausalJoin {
    this.#join ??= new CausalJoin({ keepsDotted: false })
    return this.#join
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
    if ((row[start]! & RowFlag.CAUSAL) !== 0) {
      this.#joining().applyDeletion(out, row, start, end, tsHigh, tsLow)
      return
    }
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
    if ((row[start]! & RowFlag.CAUSAL) !== 0) return this.#joining().coverage(row, start, end, tsHigh, tsLow)
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
    if (reader.hasContext) return false
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

  /**
   * Writes the reader's cell unless it is covered. Complex deletions come before the cells that they cover. A cell of presence stays: without it what is
   * newer than the deletion would be seen. Who writes a deletion into a row that has one writes the cell, too.
   */
  #copy(from: RowReader, raw: boolean): void {
    if (this.#covers(from.tsHigh, from.tsLow) && from.columnId !== PRESENCE_COLUMN_ID) return
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

/**
 * The law of vector-clock tables. Deletions by timestamp say nothing of what has a dot; a row is shown with all its versions, and nothing settles
 * which there are but to have looked everywhere. Rows that were written before merge as in other tables.
 */
export class CausalVersions implements Resolution {
  readonly isByTimestamp = false
  readonly #plain = new LastWriteWins()
  readonly #join = new CausalJoin({ keepsDotted: true })

  merge(out: ByteWriter, a: Buffer, aStart: number, aEnd: number, b: Buffer, bStart: number, bEnd: number): void {
    const law = ((a[aStart]! | b[bStart]!) & RowFlag.CAUSAL) !== 0 ? this.#join : this.#plain
    law.merge(out, a, aStart, aEnd, b, bStart, bEnd)
  }

  applyDeletion(out: ByteWriter, row: Buffer, start: number, end: number, tsHigh: number, tsLow: number): void {
    const law = (row[start]! & RowFlag.CAUSAL) !== 0 ? this.#join : this.#plain
    law.applyDeletion(out, row, start, end, tsHigh, tsLow)
  }

  coverage(row: Buffer, start: number, end: number, tsHigh: number, tsLow: number): number {
    const law = (row[start]! & RowFlag.CAUSAL) !== 0 ? this.#join : this.#plain
    return law.coverage(row, start, end, tsHigh, tsLow)
  }

  settles(): boolean {
    return false
  }
}
