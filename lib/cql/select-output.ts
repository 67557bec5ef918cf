/** Where the rows of a SELECT go: encoded into the bytes of the result one by one. */
import type { PartitionData, RowData } from '../../storage/model/command.ts'
import type { ByteWriter } from '../base/bytes.ts'
import type { RowEncoder } from './select-encoder.ts'
import type { RowOutput } from './select-scan.ts'

/** Plain columns: from storage's bytes to the result's. */
export class ColumnOutput implements RowOutput {
  count = 0
  readonly #encoder: RowEncoder
  readonly #out: ByteWriter

  constructor(encoder: RowEncoder, out: ByteWriter) {
    this.#encoder = encoder
    this.#out = out
  }

  get bytes(): number {
    return this.#out.length
  }

  partition(partition: PartitionData, nowSeconds: number): void {
    this.#encoder.partition(partition, nowSeconds)
  }

  row(row: RowData | null): boolean {
    this.#encoder.row(row, this.#out)
    this.count += 1
    return true
  }

  end(): void {}
}
