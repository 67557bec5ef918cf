/**
 * Batches that a node keeps for coordinators until they are written: a table of its own in the node's storage, which no CQL name reaches.
 *
 *   partition: the batch's id (16 bytes) → one row, column 0: what its coordinator sent (batchlog.ts)
 *
 * Always: a batch is kept when `put` has resolved. Its row has the timestamp 1, its deletion 2: no clock is trusted.
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import { murmur3Token } from '../../lib/base/hash/murmur3.ts'
import { ALL_ROWS, type ReadCommand, type ReadPoint, type ReadResult } from '../../storage/model/command.ts'
import { MutationWriter } from '../../storage/model/mutation.ts'
import { RowReader } from '../../storage/model/row.ts'

export const BATCH_ID_BYTES = 16
const COLUMN = 0
const NO_CLUSTERING = Buffer.alloc(0)
/** Of one read of all. */
const PAGE_BYTES = 1024 * 1024

/** A table of the node's storage. */
export interface BatchTable {
  /** 16 bytes. */
  readonly idBytes: Buffer
  /** Lower-case UUID. */
  readonly id: string
  apply(mutations: readonly Buffer[]): Promise<void> | undefined
  read(command: ReadCommand): ReadResult | Promise<ReadResult>
  nowSeconds(): number
}

export interface KeptBatch {
  readonly id: Buffer
  readonly content: Buffer
}

export class BatchStore {
  readonly #table: BatchTable
  readonly #writer = new MutationWriter()
  readonly #token = new Int32Array(2)

  constructor(table: BatchTable) {
    this.#table = table
  }

  put(id: Buffer, content: Uint8Array): Promise<void> | undefined {
    return this.#table.apply([this.putting(id, content)])
  }

  /** What `put` writes, for who writes it beside other things. A copy. */
  putting(id: Buffer, content: Uint8Array): Buffer {
    const writer = this.#begin(id)
    writer.beginRow(NO_CLUSTERING)
    writer.row.cell(COLUMN, 0, 1, content)
    writer.endRow()
    return Buffer.from(writer.finish())
  }

  remove(id: Buffer): Promise<void> | undefined {
    const writer = this.#begin(id)
    writer.partitionDeletion(0, 2, this.#table.nowSeconds())
    return this.#table.apply([writer.finish()])
  }

  #begin(id: Buffer): MutationWriter {
    murmur3Token(id, 0, id.length, this.#token)
    this.#writer.begin(this.#table.idBytes, this.#token[0]!, this.#token[1]!, id)
    return this.#writer
  }

  /** Null: it was removed. */
  async get(id: Buffer): Promise<Buffer | null> {
    murmur3Token(id, 0, id.length, this.#token)
    const out = new ByteWriter(32)
    out.int32(this.#token[0]! ^ 0x80000000)
    out.int32(this.#token[1]!)
    out.uint16(id.length)
    out.bytes(id)
    const { partitions } = await this.#table.read(this.#command({ kind: 'partition', position: out.view() }, null))
    const row = partitions[0]?.rows[0]?.row
    return row === undefined ? null : contentOf(row)
  }

  async *all(): AsyncGenerator<KeptBatch> {
    let after: ReadPoint | null = null
    for (;;) {
      const target = { kind: 'range', start: null, end: null } as const
      const result: ReadResult = await this.#table.read(this.#command(target, after))
      const kept = result.partitions.flatMap(({ key, rows }) =>
        rows.map(({ row }) => ({ id: Buffer.from(key), content: contentOf(row) })),
      )
      const last = result.partitions.at(-1)
      after = last
        ? { position: Buffer.from(last.position), clustering: null, partitionDone: true, rowsGiven: 0 }
        : null
      yield* kept
      if (!result.more || after === null) return
    }
  }

  #command(target: ReadCommand['target'], after: ReadPoint | null): ReadCommand {
    return {
      ...ALL_ROWS,
      table: this.#table.id,
      target,
      byteLimit: PAGE_BYTES,
      nowSeconds: this.#table.nowSeconds(),
      after,
    }
  }
}

/** A copy. */
function contentOf(row: Buffer): Buffer {
  const reader = new RowReader().reset(row)
  return reader.next() ? Buffer.from(row.subarray(reader.valueStart, reader.valueEnd)) : NO_CLUSTERING
}
