/**
 * The laws by which two versions of a row become one; memtable, reads, compaction and repair all call them. What they have in common is row-merge.ts.
 * Rows with a context are joined by it whatever the table's law is: they meet rows of tables that keep no versions where a table was altered, or is
 * being altered. The laws differ in what deletions cover of such a row, and in how it is shown.
 */
import type { ByteWriter } from '../../lib/base/bytes.ts'
import { compareTimestamps, RowReader } from './row.ts'
import { Coverage, RowMerge } from './row-merge.ts'

export { Coverage }

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
export class LastWriteWins extends RowMerge implements Resolution {
  readonly isByTimestamp = true
  readonly #reader = new RowReader()

  constructor() {
    super({ keepsDotted: false })
  }

  settles(row: Buffer, columns: readonly number[], nowSeconds: number, tsHigh: number, tsLow: number): boolean {
    const reader = this.#reader.reset(row)
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
}

/**
 * The law of vector-clock tables. Deletions by timestamp say nothing of what has a dot; a row is shown with all its versions, and nothing settles
 * which there are but to have looked everywhere. Rows that were written before merge as in other tables.
 */
export class CausalVersions extends RowMerge implements Resolution {
  readonly isByTimestamp = false

  constructor() {
    super({ keepsDotted: true })
  }

  settles(): boolean {
    return false
  }
}
