/**
 * Mutations of views. A row is written as a whole: what was there is deleted, what is there now comes after it.
 * Timestamps are the node's own (IndexClock), each later than all before: the order in which a base row changed at this node is the order in which
 * its views do, whatever timestamps clients gave, and no tombstone of a view ever hides what comes later.
 */
import { MutationWriter } from '../../storage/model/mutation.ts'
import { ANNOTATION_COLUMN_ID, RowReader } from '../../storage/model/row.ts'
import { encodePosition } from '../types/partition-key.ts'
import type { ViewRow } from './view-row.ts'

export class ViewWriter {
  readonly #nextTimestamp: () => number
  readonly #mutation = new MutationWriter()
  readonly #cells = new RowReader()
  readonly #token = new Int32Array(2)

  constructor(nextTimestamp: () => number) {
    this.#nextTimestamp = nextTimestamp
  }

  /** What a view had of a row is gone. The mutation is a copy. */
  remove(viewId: Buffer, row: ViewRow, nowSeconds: number): Buffer {
    const writer = this.#begin(viewId, row)
    const { high, low } = this.#time()
    writer.rowDeletion(high, low, nowSeconds)
    writer.endRow()
    return Buffer.from(writer.finish())
  }

  /** The view has this row, and nothing of one that it had in its place. The mutation is a copy. */
  put(viewId: Buffer, row: ViewRow, nowSeconds: number): Buffer {
    const writer = this.#begin(viewId, row)
    const before = this.#time()
    const { high, low } = this.#time()
    const { ttl, expiresAt } = row
    writer.liveness(high, low, ttl, expiresAt)
    writer.rowDeletion(before.high, before.low, nowSeconds)
    const cells = this.#cells.reset(row.cells)
    while (cells.next()) this.#cell(cells, row, high, low)
    if (row.spelling !== null)
      if (ttl === 0) writer.cell(ANNOTATION_COLUMN_ID, high, low, row.spelling)
      else writer.expiringCell(ANNOTATION_COLUMN_ID, high, low, ttl, expiresAt, row.spelling)
    writer.endRow()
    return Buffer.from(writer.finish())
  }

  /** No cell outlives its row. */
  #cell(cell: RowReader, row: ViewRow, high: number, low: number): void {
    const { buffer, columnId, hasPath } = cell
    const value = buffer.subarray(cell.valueStart, cell.valueEnd)
    const path = buffer.subarray(cell.pathStart, cell.pathEnd)
    let { ttl } = cell
    let expiresAt = cell.isExpiring ? cell.localDeletionTime : 0
    if (row.expiresAt > 0 && (expiresAt === 0 || expiresAt > row.expiresAt)) {
      ttl = row.ttl
      expiresAt = row.expiresAt
    }
    const writer = this.#mutation
    if (expiresAt === 0)
      if (hasPath) writer.pathCell(columnId, path, high, low, value)
      else writer.cell(columnId, high, low, value)
    else if (hasPath) writer.expiringPathCell(columnId, path, high, low, ttl, expiresAt, value)
    else writer.expiringCell(columnId, high, low, ttl, expiresAt, value)
  }

  #begin(viewId: Buffer, { key, clustering }: ViewRow): MutationWriter {
    encodePosition(key, this.#token)
    this.#mutation.begin(viewId, this.#token[0]!, this.#token[1]!, key)
    this.#mutation.beginRow(clustering)
    return this.#mutation
  }

  #time(): { readonly high: number; readonly low: number } {
    const timestamp = this.#nextTimestamp()
    return { high: Math.floor(timestamp / 2 ** 32), low: timestamp >>> 0 }
  }
}
