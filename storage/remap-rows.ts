/**
 * Rows of one table as rows of another with the same columns under other ids: what a restore into a table that was dropped and made again does.
 * Always: nothing but column ids changes, and cells that were void (their column was dropped) are left out.
 */
import { BytesError, ByteWriter } from '../lib/base/bytes.ts'
import { ANNOTATION_COLUMN_ID, compareTimestamps, RowReader, VERSION_COLUMN_ID } from './model/row.ts'
import { RowWriter } from './model/row-writer.ts'

/** What becomes of a column's cells: the id of the table's own column, and up to which timestamp (µs) they are void; null: all of them are. */
export interface ColumnFate {
  readonly id: number
  readonly voidUpToMicros: bigint | null
}

interface Fate {
  readonly id: number
  readonly isVoidBefore: boolean
  readonly high: number
  readonly low: number
}

/** The cells of one column, side by side in a row. */
interface Run {
  readonly fate: Fate
  readonly start: number
  readonly end: number
}

const kept = (id: number): Fate => ({ id, isVoidBefore: false, high: 0, low: 0 })

export class RowRemapper {
  readonly #fates = new Map<number, Fate | null>([
    [ANNOTATION_COLUMN_ID, kept(ANNOTATION_COLUMN_ID)],
    [VERSION_COLUMN_ID, kept(VERSION_COLUMN_ID)],
  ])
  readonly #columns: ReadonlyMap<number, ColumnFate | null>
  /** Of the rows within versions; made when there is one. */
  #inner: RowRemapper | null = null
  readonly #reader = new RowReader()
  readonly #out = new ByteWriter(1024)
  readonly #writer = new RowWriter(this.#out)

  constructor(columns: ReadonlyMap<number, ColumnFate | null>) {
    this.#columns = columns
    for (const [id, fate] of columns) {
      const micros = fate?.voidUpToMicros ?? null
      this.#fates.set(
        id,
        fate && {
          id: fate.id,
          isVoidBefore: micros !== null,
          high: Number(BigInt.asIntN(32, (micros ?? 0n) >> 32n)),
          low: Number(BigInt.asUintN(32, micros ?? 0n)),
        },
      )
    }
  }

  /** A copy; null when nothing of the row is left. Throws BytesError on a cell of a column that is not known. */
  remap(row: Buffer): Buffer | null {
    const runs = this.#runs(row)
    const from = this.#reader
    const to = this.#writer
    this.#out.reset()
    to.begin()
    to.copyHead(from)
    for (const { fate, start, end } of runs) {
      from.cellEnd = start
      while (from.cellEnd < end && from.next()) {
        if (fate.isVoidBefore && compareTimestamps(from.tsHigh, from.tsLow, fate.high, fate.low) <= 0) continue
        if (from.columnId === VERSION_COLUMN_ID) this.#version(from, to)
        else {
          from.columnId = fate.id
          to.copyCell(from)
        }
      }
    }
    const isEmpty = to.isEmpty
    to.end()
    return isEmpty ? null : this.#out.copy()
  }

  /** One of which nothing is left is not there any more, but was seen. */
  #version(from: RowReader, to: RowWriter): void {
    this.#inner ??= new RowRemapper(this.#columns)
    const { buffer, columnId, pathStart, pathEnd, tsHigh, tsLow, ttl, localDeletionTime, valueStart, valueEnd } = from
    const row = this.#inner.remap(buffer.subarray(valueStart, valueEnd))
    const path = buffer.subarray(pathStart, pathEnd)
    if (row !== null) to.dottedCell(columnId, path, tsHigh, tsLow, ttl, localDeletionTime, row)
  }

  /** Those that stay, in the order of their new ids. */
  #runs(row: Buffer): Run[] {
    const reader = this.#reader.reset(row)
    const runs: Run[] = []
    let column = -1
    let start = reader.cellsStart
    const end = (at: number): void => {
      if (column < 0) return
      const fate = this.#fates.get(column)
      if (fate === undefined) throw new BytesError(`a cell of column ${column}, of which nothing is known`)
      if (fate) runs.push({ fate, start, end: at })
    }
    while (reader.next()) {
      if (reader.columnId === column) continue
      end(reader.cellStart)
      column = reader.columnId
      start = reader.cellStart
    }
    end(row.length)
    return runs.sort((a, b) => a.fate.id - b.fate.id)
  }
}
