/**
 * How two rows one of which has a context become one: what has a dot is there if both have it, or one has it and the other has not seen it; all else
 * merges as in other rows. Source: Preguiça et al., Dotted Version Vectors (2012); Almeida, Shoker, Baquero (2018) for causal deltas.
 * Always: commutative, associative and idempotent, byte for byte, over rows whose contexts cover their dots.
 */
import { ByteWriter } from '../../../lib/base/bytes.ts'
import { Coverage, cellOrder, cellPlace, deletionOrder, livenessOrder } from '../cell-order.ts'
import { CellFlag, compareRanges, compareTimestamps, RowReader } from '../row.ts'
import { RowWriter } from '../row-writer.ts'
import { appendJoined, coversDot } from './context.ts'

export class CausalJoin {
  /** Deletions say nothing of what has a dot; else they cover dots by their counters. */
  readonly #keepsDotted: boolean
  readonly #a = new RowReader()
  readonly #b = new RowReader()
  readonly #writer = new RowWriter()
  readonly #context = new ByteWriter(128)
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
    this.#writeContext()
    const leftRaw = left.hasLiveness === alive && (!alive || left === liveness || livenessOrder(left, right) === 0)
    const rightRaw = right.hasLiveness === alive && (!alive || right === liveness || livenessOrder(left, right) === 0)
    this.#cells(leftRaw, rightRaw)
    writer.end()
  }

  #writeContext(): void {
    const { buffer: a, contextStart: aStart, contextEnd: aEnd } = this.#a
    const { buffer: b, contextStart: bStart, contextEnd: bEnd } = this.#b
    if (!this.#b.hasContext) this.#writer.context(a, aStart, aEnd)
    else if (!this.#a.hasContext || compareRanges(a, aStart, aEnd, b, bStart, bEnd) === 0)
      this.#writer.context(b, bStart, bEnd)
    else {
      const joined = this.#context
      joined.reset()
      appendJoined(joined, a, aStart, aEnd, b, bStart, bEnd)
      this.#writer.context(joined.buffer, 0, joined.length)
    }
  }

  #cells(leftRaw: boolean, rightRaw: boolean): void {
    const left = this.#a
    const right = this.#b
    this.#complexColumn = -1
    let moreLeft = left.next()
    let moreRight = right.next()
    while (moreLeft || moreRight) {
      const order = !moreRight ? -1 : !moreLeft ? 1 : cellPlace(left, right)
      if (order < 0) {
        if (!isSeen(left, right)) this.#copy(left, leftRaw)
        moreLeft = left.next()
      } else if (order > 0) {
        if (!isSeen(right, left)) this.#copy(right, rightRaw)
        moreRight = right.next()
      } else {
        if (cellOrder(left, right) < 0) this.#copy(right, rightRaw)
        else this.#copy(left, leftRaw)
        moreLeft = left.next()
        moreRight = right.next()
      }
    }
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
    writer.context(row, reader.contextStart, reader.contextEnd)
    this.#complexColumn = -1
    while (reader.next()) this.#copy(reader, alive || !reader.hasLiveness)
    writer.end()
  }

  /** Never all: the context stays. */
  coverage(row: Buffer, start: number, end: number, tsHigh: number, tsLow: number): number {
    const reader = this.#a.reset(row, start, end)
    this.#deleted = true
    this.#deletionHigh = tsHigh
    this.#deletionLow = tsLow
    let covered =
      (reader.hasLiveness && this.#covers(reader.livenessTsHigh, reader.livenessTsLow)) ||
      (reader.hasDeletion && this.#covers(reader.deletionTsHigh, reader.deletionTsLow))
    while (!covered && reader.next())
      covered = !(reader.isDotted && this.#keepsDotted) && this.#covers(reader.tsHigh, reader.tsLow)
    return covered ? Coverage.SOME : Coverage.NONE
  }

  #covers(tsHigh: number, tsLow: number): boolean {
    return this.#deleted && compareTimestamps(tsHigh, tsLow, this.#deletionHigh, this.#deletionLow) <= 0
  }

  /** Writes the reader's cell unless a deletion covers it. Complex deletions come before the cells that they cover. */
  #copy(from: RowReader, raw: boolean): void {
    if (from.isDotted) {
      if (!this.#keepsDotted && this.#covers(from.tsHigh, from.tsLow)) return
    } else {
      if (this.#covers(from.tsHigh, from.tsLow)) return
      if (from.columnId === this.#complexColumn) {
        if (compareTimestamps(from.tsHigh, from.tsLow, this.#complexHigh, this.#complexLow) <= 0) return
      } else if ((from.flags & CellFlag.COMPLEX_DELETION) !== 0) {
        this.#complexColumn = from.columnId
        this.#complexHigh = from.tsHigh
        this.#complexLow = from.tsLow
      }
    }
    if (raw) this.#writer.copyCellBytes(from)
    else this.#writer.copyCell(from)
  }
}

/** Whether the reader's current cell is one that the other row had seen, and has not. */
function isSeen(reader: RowReader, other: RowReader): boolean {
  if (!reader.isDotted || !other.hasContext) return false
  return coversDot(other.buffer, reader.buffer, reader.pathStart, other.contextStart, other.contextEnd)
}
