/** From the versions of a row that the sources hold to the one that a reader sees: merged, deletions applied, liveness judged. */
import { ByteWriter } from '../../lib/base/bytes.ts'
import { greatestCounter, MICROS_PER_SECOND } from '../model/causal/context.ts'
import { flatRow } from '../model/causal/flatten.ts'
import { compareDeletions } from '../model/deletion.ts'
import { Coverage, type Resolution } from '../model/merge.ts'
import { ANNOTATION_COLUMN_ID, CellFlag, PRESENCE_COLUMN_ID, RowFlag, RowReader, readInt32 } from '../model/row.ts'

export class RowResolver {
  readonly #resolution: Resolution
  readonly #nowSeconds: number
  readonly #gcBefore: number
  readonly #reader = new RowReader()
  /** Made when the first row has to be merged. */
  #writers: [ByteWriter, ByteWriter] | null = null
  /** Tombstones younger than gc_grace in the rows judged: dead cells, or the row's own deletion where it has no cell. */
  tombstones = 0

  constructor(resolution: Resolution, nowSeconds: number, gcGraceSeconds: number) {
    this.#resolution = resolution
    this.#nowSeconds = nowSeconds
    this.#gcBefore = nowSeconds - gcGraceSeconds
  }

  /** Two versions as one, in memory of its own. */
  merge(a: Buffer, b: Buffer): Buffer {
    const writer = this.#scratch(0)
    this.#resolution.merge(writer, a, 0, a.length, b, 0, b.length)
    return writer.copy()
  }

  /** Several versions as one, in memory of its own. */
  mergeAll(versions: number, version: (index: number) => Buffer): Buffer {
    let row = version(0)
    for (let i = 1; i < versions; i++) {
      const next = version(i)
      const writer = this.#scratch(i & 1)
      this.#resolution.merge(writer, row, 0, row.length, next, 0, next.length)
      row = writer.view()
    }
    return Buffer.from(row)
  }

  #scratch(which: number): ByteWriter {
    this.#writers ??= [new ByteWriter(1024), new ByteWriter(1024)]
    const writer = this.#writers[which]!
    writer.reset()
    return writer
  }

  /** Whether readers are to see another row than is stored: one with versions, in a table that resolves by timestamps now. */
  isFlattened(row: Buffer, start = 0): boolean {
    return (row[start]! & RowFlag.CAUSAL) !== 0 && this.#resolution.isByTimestamp
  }

  flat(row: Buffer): Buffer {
    return flatRow(this.#resolution, row, this.#nowSeconds)
  }

  /** The row without what the deletion (its bytes, null: none) covers; null when nothing is left. */
  applyDeletion(row: Buffer, deletion: Buffer | null): Buffer | null {
    if (deletion === null) return row
    const tsHigh = readInt32(deletion, 0)
    const tsLow = readInt32(deletion, 4) >>> 0
    switch (this.#resolution.coverage(row, 0, row.length, tsHigh, tsLow)) {
      case Coverage.NONE:
        return row
      case Coverage.ALL:
        return null
      default: {
        const writer = this.#scratch(0)
        this.#resolution.applyDeletion(writer, row, 0, row.length, tsHigh, tsLow)
        return writer.copy()
      }
    }
  }

  /** Whether a reader sees the row; counts its tombstones. */
  isLive(row: Buffer, start = 0, end = row.length): boolean {
    const reader = this.#reader.reset(row, start, end)
    const now = this.#nowSeconds
    const rowLive = reader.livenessIsLive(now)
    let cellLive = false
    let dead = 0
    while (reader.next()) {
      const flags = reader.flags
      if (reader.columnId >= PRESENCE_COLUMN_ID) {
        if (reader.columnId === ANNOTATION_COLUMN_ID) continue
        if (reader.columnId === PRESENCE_COLUMN_ID) {
          cellLive = reader.saysPresent(now)
          if (reader.isLive(now)) continue
        }
      }
      if ((flags & (CellFlag.TOMBSTONE | CellFlag.EXPIRING | CellFlag.COMPLEX_DELETION)) === 0) cellLive = true
      else if (reader.isLive(now)) cellLive = true
      else if ((flags & CellFlag.COMPLEX_DELETION) === 0 && reader.localDeletionTime >= this.#gcBefore) dead++
    }
    if (dead > 0) this.tombstones += dead
    else if (!rowLive && !cellLive && this.#isDeleted(reader)) this.tombstones++
    return rowLive || cellLive
  }

  /** Whether something says that the row was deleted, less than gc_grace ago. */
  #isDeleted(row: RowReader): boolean {
    if (row.hasDeletion && row.deletionLocalTime >= this.#gcBefore) return true
    if (!row.hasContext) return false
    return greatestCounter(row.buffer, row.contextStart, row.contextEnd) >= this.#gcBefore * MICROS_PER_SECOND
  }
}

/** The greater of two deletions' bytes, either of which may be missing. */
export function greaterDeletion(a: Buffer | null, b: Buffer | null): Buffer | null {
  if (a === null) return b
  if (b === null) return a
  return compareDeletions(a, 0, b, 0) >= 0 ? a : b
}
