/** The least timestamp of anything in a memtable: what a compaction must know before it drops a tombstone that might cover something here. */
import { CellFlag, compareTimestamps, RowReader, readInt32 } from '../model/row.ts'

export class LeastTimestamp {
  readonly #row = new RowReader()
  /** As two halves, signed and unsigned; after all timestamps while nothing was observed. */
  high: number = Number.POSITIVE_INFINITY
  low = 0

  #take(high: number, low: number): void {
    if (compareTimestamps(high, low, this.high, this.low) >= 0) return
    this.high = high
    this.low = low
  }

  row(buffer: Buffer, start: number, end: number): void {
    const row = this.#row.reset(buffer, start, end)
    if (row.hasLiveness) this.#take(row.livenessTsHigh, row.livenessTsLow)
    if (row.hasDeletion) this.#take(row.deletionTsHigh, row.deletionTsLow)
    while (row.next()) if ((row.flags & CellFlag.ROW_TIMESTAMP) === 0) this.#take(row.tsHigh, row.tsLow)
  }

  /** A deletion's bytes begin at `start`. */
  deletion(buffer: Buffer, start: number): void {
    this.#take(readInt32(buffer, start), readInt32(buffer, start + 4) >>> 0)
  }
}
