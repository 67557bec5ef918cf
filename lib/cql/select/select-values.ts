/** Columns of the current row as separate values, for filters, expressions and sorting. Views: valid until the next row is loaded. */
import type { PartitionData, RowData } from '../../../storage/model/command.ts'
import { readInt32 } from '../../../storage/model/row.ts'
import { ByteWriter } from '../../base/bytes.ts'
import type { TableSchema } from '../../schema/table.ts'
import { type OutputItem, RowEncoder } from './select-encoder.ts'

export class RowValues {
  /** By item. */
  readonly values: (Buffer | null)[]
  readonly #encoder: RowEncoder
  readonly #scratch = new ByteWriter(256)

  constructor(table: TableSchema, items: readonly OutputItem[]) {
    this.#encoder = new RowEncoder(table, items)
    this.values = new Array<Buffer | null>(items.length).fill(null)
  }

  partition(partition: PartitionData, nowSeconds: number): void {
    this.#encoder.partition(partition, nowSeconds)
  }

  /** Null: the partition has but its static row. */
  load(row: RowData | null): void {
    const scratch = this.#scratch
    scratch.reset()
    this.#encoder.row(row, scratch)
    splitValues(scratch.buffer, 0, this.values)
  }

  /** Values that stay. */
  copy(): (Buffer | null)[] {
    return this.values.map((value) => value && Buffer.from(value))
  }
}

/** Cuts `values.length` [value]s that begin at `start` into views; answers where they end. */
export function splitValues(bytes: Buffer, start: number, values: (Buffer | null)[]): number {
  let at = start
  for (let i = 0; i < values.length; i++) {
    const length = readInt32(bytes, at)
    at += 4
    values[i] = length < 0 ? null : bytes.subarray(at, at + length)
    if (length > 0) at += length
  }
  return at
}
