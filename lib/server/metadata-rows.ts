/**
 * The rows in which a node keeps the metadata log: a table of its own in the node's storage, which no CQL name reaches.
 *
 *   partition 'log'       (epoch, 0)    → one entry
 *   partition 'snapshot'  (epoch, part) → the whole schema at that epoch, cut into parts
 *   partition 'head'      (0, 0)        → which snapshot counts, how many parts it has, and what else there is besides the schema
 *   partition 'acceptor'  (0, 0)        → what this node promised and accepted for the entry that is next
 *
 * Always: timestamps are epochs, or numbers that count up, so no clock is trusted.
 */
import { ALL_ROWS, type ReadCommand, type ReadResult } from '../../storage/model/command.ts'
import { MutationWriter } from '../../storage/model/mutation.ts'
import { RowReader } from '../../storage/model/row.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import type { StoredTable } from '../../storage/table-store.ts'
import { uuidBytes } from '../base/uuid.ts'
import { systemTableId } from '../schema/system-tables.ts'
import { NATIVE } from '../types/names.ts'
import { decodeClustering, encodeClustering } from '../types/ordered.ts'
import { encodePosition } from '../types/partition-key.ts'

export const METADATA_TABLE_ID = systemTableId('system', 'polyxena_metadata')

export const METADATA_TABLE: StoredTable = {
  keyspace: 'system',
  name: 'polyxena_metadata',
  durableWrites: true,
  isEssential: true,
  hasClustering: true,
  options: { ...DEFAULT_TABLE_OPTIONS, gcGraceSeconds: 0 },
}

const CLUSTERING = [
  { type: NATIVE.bigint, reversed: false },
  { type: NATIVE.int, reversed: false },
]
const PAYLOAD_COLUMN = 0

export type MetadataPartition = 'log' | 'snapshot' | 'head' | 'acceptor'

export interface MetadataRow {
  readonly epoch: number
  readonly part: number
  readonly payload: string
}

/** Makes the log's mutations; each is a copy. */
export class MetadataWriter {
  readonly #mutation = new MutationWriter()
  readonly #table = uuidBytes(METADATA_TABLE_ID)
  readonly #token = new Int32Array(2)

  entry(epoch: number, payload: string): Buffer {
    return this.#row('log', epoch, 0, epoch, payload)
  }

  part(epoch: number, part: number, payload: string): Buffer {
    return this.#row('snapshot', epoch, part, epoch, payload)
  }

  head(epoch: number, payload: string): Buffer {
    return this.#row('head', 0, 0, epoch, payload)
  }

  /** `sequence`: greater than that of the row that it replaces. */
  acceptor(sequence: number, payload: string): Buffer {
    return this.#row('acceptor', 0, 0, sequence, payload)
  }

  /** Deletes the partition's rows of epochs below `end`. */
  forget(partition: MetadataPartition, end: number, timestamp: number, nowSeconds: number): Buffer {
    this.#begin(partition)
    this.#mutation.rangeTombstone(
      Buffer.alloc(0),
      clusteringOf(end, 0),
      Math.floor(timestamp / 2 ** 32),
      timestamp | 0,
      nowSeconds,
    )
    return Buffer.from(this.#mutation.finish())
  }

  #begin(partition: MetadataPartition): void {
    const key = Buffer.from(partition)
    encodePosition(key, this.#token)
    this.#mutation.begin(this.#table, this.#token[0]!, this.#token[1]!, key)
  }

  #row(partition: MetadataPartition, epoch: number, part: number, timestamp: number, payload: string): Buffer {
    const high = Math.floor(timestamp / 2 ** 32)
    const low = timestamp | 0
    this.#begin(partition)
    this.#mutation.beginRow(clusteringOf(epoch, part))
    this.#mutation.row.liveness(high, low, 0, 0)
    this.#mutation.row.cell(PAYLOAD_COLUMN, high, low, Buffer.from(payload))
    this.#mutation.endRow()
    return Buffer.from(this.#mutation.finish())
  }
}

function clusteringOf(epoch: number, part: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(BigInt(epoch))
  const partBytes = Buffer.alloc(4)
  partBytes.writeInt32BE(part)
  return encodeClustering(CLUSTERING, [bytes, partBytes])
}

export interface RowStore {
  read(command: ReadCommand): ReadResult | Promise<ReadResult>
}

/** The partition's rows from an epoch on, in order; no more of them than fit in `bytesMax`, but one. */
export async function readMetadata(
  store: RowStore,
  partition: MetadataPartition,
  from: number,
  bytesMax = Number.POSITIVE_INFINITY,
): Promise<MetadataRow[]> {
  const result = await store.read({
    ...ALL_ROWS,
    table: METADATA_TABLE_ID,
    target: { kind: 'partition', position: encodePosition(Buffer.from(partition), new Int32Array(2)) },
    slices: [{ start: clusteringOf(from, 0), end: Buffer.from([0xff]) }],
    byteLimit: bytesMax,
    nowSeconds: 0,
  })
  const found: MetadataRow[] = []
  const reader = new RowReader()
  for (const { rows } of result.partitions)
    for (const { clustering, row } of rows) {
      const [epoch, part] = decodeClustering(CLUSTERING, clustering)
      reader.reset(row)
      while (reader.next())
        if (reader.columnId === PAYLOAD_COLUMN)
          found.push({
            epoch: Number(epoch!.readBigInt64BE()),
            part: part!.readInt32BE(),
            payload: reader.buffer.toString('utf8', reader.valueStart, reader.valueEnd),
          })
    }
  return found
}
