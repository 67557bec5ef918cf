/**
 * How two rows become one, and what a deletion leaves of a row: by timestamps, and of what has a dot by contexts: it is there if both rows have it, or
 * one has it and the other has not seen it. Rows without a context are the case in which neither has seen a dot.
 * Sources: Apache Cassandra 5's reconciliation of liveness, deletions and cells, ties included (checked against the server); Preguiça et al., Dotted
 * Version Vectors (2012); Almeida, Shoker, Baquero (2018) for causal deltas.
 * Always: commutative, associative and idempotent, byte for byte, over rows that RowMerge itself or a RowWriter has made and whose contexts cover their
 * dots (a row whose own deletions shadow something of it becomes normal at its first merge).
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import { appendJoined, coversDot } from './causal/context.ts'
import { cellOrder, cellPlace, deletionOrder, livenessOrder } from './cell-order.ts'
import { CellFlag, compareRanges, compareTimestamps, PRESENCE_COLUMN_ID, RowReader } from './row.ts'
import { RowWriter } from './row-writer.ts'

/** How much of a row a deletion covers. */
export const Coverage = { NONE: 0, SOME: 1, ALL: 2 } as const

/** What the laws of tables (merge.ts) have in common: they differ in what deletions say of dots. It has no memory but what a call needs. */
export class RowMerge {
  /** Deletions say nothing of what has a dot; else they cover dots by their counters. */
  readonly #keepsDotted: boolean
  readonly #a = new RowReader()
  readonly #b = new RowReader()
  readonly #writer = new RowWriter()
  /** Two contexts as one; made when two that differ are met. */
  #joined: ByteWriter | null = null
  /** The merged row's deletion, and the complex deletion of the column at hand. */
  #deleted = false
  #deletionHigh = 0
  #deletionLow = 0
  #complexColumn = -1
  #complexHigh = 0
  #complexLow = 0

  constructor({ keepsDotted }: { readonly keepsDotted: boolean }) {
    this.#keepsDotted = keepsDotted
  }

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
    if (left.hasContext || right.hasContext) this.#context()
    const leftRaw = left.hasLiveness === alive && (!alive || left === liveness || livenessOrder(left, right) === 0)
    const rightRaw = right.hasLiveness === alive && (!alive || right === liveness || livenessOrder(left, right) === 0)
    this.#cells(leftRaw, rightRaw)
  }

  /** Writes what either row has seen. */
  #context(): void {
    const { buffer: a, contextStart: aStart, contextEnd: aEnd } = this.#a
    const { buffer: b, contextStart: bStart, contextEnd: bEnd } = this.#b
    if (!this.#b.hasContext) this.#writer.context(a, aStart, aEnd)
    else if (!this.#a.hasContext || compareRanges(a, aStart, aEnd, b, bStart, bEnd) === 0)
      this.#writer.context(b, bStart, bEnd)
    else {
      this.#joined ??= new ByteWriter(128)
      const joined = this.#joined
      joined.reset()
      appendJoined(joined, a, aStart, aEnd, b, bStart, bEnd)
      this.#writer.context(joined.buffer, 0, joined.length)
    }
  }

  #cells(leftRaw: boolean, rightRaw: boolean): void {
    const left = this.#a
    const right = this.#b
    const leftMayBeSeen = right.hasContext
    const rightMayBeSeen = left.hasContext
    this.#complexColumn = -1
    let moreLeft = left.next()
    let moreRight = right.next()
    while (moreLeft && moreRight) {
      const order = cellPlace(left, right)
      if (order < 0) {
        if (!(leftMayBeSeen && isSeen(left, right))) this.#copy(left, leftRaw)
        moreLeft = left.next()
      } else if (order > 0) {
        if (!(rightMayBeSeen && isSeen(right, left))) this.#copy(right, rightRaw)
        moreRight = right.next()
      } else {
        if (cellOrder(left, right) < 0) this.#copy(right, rightRaw)
        else this.#copy(left, leftRaw)
        moreLeft = left.next()
        moreRight = right.next()
      }
    }
    while (moreLeft) {
      if (!(leftMayBeSeen && isSeen(left, right))) this.#copy(left, leftRaw)
      moreLeft = left.next()
    }
    while (moreRight) {
      if (!(rightMayBeSeen && isSeen(right, left))) this.#copy(right, rightRaw)
      moreRight = right.next()
    }
    this.#writer.end()
  }

  /** Leaves out whatever the deletion covers (timestamp at or below its own). What is left may be the empty row. */
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
    if (reader.hasContext) writer.context(row, reader.contextStart, reader.contextEnd)
    this.#complexColumn = -1
    while (reader.next()) this.#copy(reader, alive || !reader.hasLiveness)
    writer.end()
  }

  /** What applyDeletion would do, so that rows which it leaves alone need no copy. */
  coverage(row: Buffer, start: number, end: number, tsHigh: number, tsLow: number): number {
    const reader = this.#a.reset(row, start, end)
    this.#deleted = true
    this.#deletionHigh = tsHigh
    this.#deletionLow = tsLow
    let covered = false
    // A context stays, whatever is deleted.
    let kept = reader.hasContext
    if (reader.hasLiveness) {
      if (this.#covers(reader.livenessTsHigh, reader.livenessTsLow)) covered = true
      else kept = true
    }
    if (reader.hasDeletion) {
      if (this.#covers(reader.deletionTsHigh, reader.deletionTsLow)) covered = true
      else kept = true
    }
    while (!(covered && kept) && reader.next()) {
      if (this.#coversCell(reader)) covered = true
      else kept = true
    }
    return !covered ? Coverage.NONE : kept ? Coverage.SOME : Coverage.ALL
  }

  #covers(tsHigh: number, tsLow: number): boolean {
    return this.#deleted && compareTimestamps(tsHigh, tsLow, this.#deletionHigh, this.#deletionLow) <= 0
  }

  /** Whether the row's deletion covers the reader's cell. */
  #coversCell(reader: RowReader): boolean {
    return this.#covers(reader.tsHigh, reader.tsLow) && !(this.#keepsDotted && reader.isDotted)
  }

  /**
   * Writes the reader's cell unless it is covered. Complex deletions come before the cells that they cover; of what has a dot they say nothing. A cell
   * of presence stays: without it what is newer than the deletion would be seen. Who writes a deletion into a row that has one writes the cell, too.
   */
  #copy(from: RowReader, raw: boolean): void {
    if (this.#coversCell(from) && from.columnId !== PRESENCE_COLUMN_ID) return
    if (from.columnId === this.#complexColumn) {
      if (!from.isDotted && compareTimestamps(from.tsHigh, from.tsLow, this.#complexHigh, this.#complexLow) <= 0) return
    } else if ((from.flags & CellFlag.COMPLEX_DELETION) !== 0) {
      this.#complexColumn = from.columnId
      this.#complexHigh = from.tsHigh
      this.#complexLow = from.tsLow
    }
    if (raw) this.#writer.copyCellBytes(from)
    else this.#writer.copyCell(from)
  }
}

/** Whether the reader's current cell is one that the other row, which has a context, had seen and has no more. */
function isSeen(reader: RowReader, other: RowReader): boolean {
  if (!reader.isDotted) return false
  return coversDot(other.buffer, reader.buffer, reader.pathStart, other.contextStart, other.contextEnd)
}
