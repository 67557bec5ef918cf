/**
 * Which rows a statement writes to: one row by the terms of its key (the hot path), or what the restrictions of WHERE give.
 * Source: CQL 3.4.7; messages are those of Cassandra 5.0.
 */
import { ByteWriter } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { encodeComponent, encodeNoValues } from '../../types/ordered.ts'
import { KEY_BYTES_MAX, serializePartitionKey } from '../../types/partition-key.ts'
import { type Environment, type QueryOptions, UNSET } from '../statement.ts'
import type { Value } from '../terms/terms.ts'
import type { Restrictions } from '../where/restrictions.ts'
import type { MutationSink } from './modify-sink.ts'

export const NO_CLUSTERING: Buffer = Buffer.alloc(0)

/** One row's key, as terms by position. */
export class RowKey {
  readonly #partitionColumns: readonly ColumnSchema[]
  readonly #clusteringColumns: readonly ColumnSchema[]
  readonly #partition: readonly Value[]
  readonly #clustering: readonly Value[]

  constructor(table: TableSchema, partition: readonly Value[], clustering: readonly Value[]) {
    this.#partitionColumns = table.partitionKey
    this.#clusteringColumns = table.clustering
    this.#partition = partition
    this.#clustering = clustering
  }

  /** The serialised partition key; it may be a view of the request. */
  partitionKey(options: QueryOptions, environment: Environment): Buffer {
    const terms = this.#partition
    if (terms.length === 1) {
      const key = bindKeyPart(terms[0]!, this.#partitionColumns[0]!, options, environment)
      checkPartitionKey(key)
      return key
    }
    const values = new Array<Buffer>(terms.length)
    let size = 0
    for (let i = 0; i < terms.length; i++) {
      const value = bindKeyPart(terms[i]!, this.#partitionColumns[i]!, options, environment)
      size += value.length
      values[i] = value
    }
    if (size > KEY_BYTES_MAX) throw keyTooLong(size)
    const key = serializePartitionKey(values)
    checkPartitionKey(key)
    return key
  }

  /** The encoded clustering, whole also where terms are given for its first columns alone; valid until the sink's encoder is used again. */
  clustering(sink: MutationSink, options: QueryOptions, environment: Environment): Uint8Array {
    const terms = this.#clustering
    if (terms.length === 0) return NO_CLUSTERING
    const out = sink.clustering
    out.reset()
    let size = 0
    for (let i = 0; i < terms.length; i++) {
      const column = this.#clusteringColumns[i]!
      const value = bindKeyPart(terms[i]!, column, options, environment)
      size += value.length
      encodeComponent(column.type, column.reversed, value, out)
    }
    encodeNoValues(this.#clusteringColumns.length - terms.length, out)
    if (size > KEY_BYTES_MAX) throw keyTooLong(size)
    return out.view()
  }

  /** The clustering's own bytes: a [value] for each column. */
  spelling(options: QueryOptions, environment: Environment): Buffer {
    const out = new ByteWriter(64)
    this.#clusteringColumns.forEach((column, i) => {
      const term = this.#clustering[i]
      if (term === undefined) {
        out.int32(-1)
        return
      }
      const value = bindKeyPart(term, column, options, environment)
      out.int32(value.length)
      out.bytes(value)
    })
    return out.view()
  }
}

/** One row's key where WHERE gives it by = alone; null when it takes more than that. */
export function rowKeyOf(table: TableSchema, restrictions: Restrictions): RowKey | null {
  const { partitionKeyTerms, clusteringTerms, restrictsClustering } = restrictions
  if (partitionKeyTerms === null) return null
  if (!restrictsClustering) return new RowKey(table, partitionKeyTerms, [])
  return clusteringTerms === null ? null : new RowKey(table, partitionKeyTerms, clusteringTerms)
}

function bindKeyPart(term: Value, column: ColumnSchema, options: QueryOptions, environment: Environment): Buffer {
  const value = term.bind(options, environment)
  if (value === null) throw invalid(`Invalid null value in condition for column ${column.name}`)
  if (value === UNSET) throw invalid(`Invalid unset value for column ${column.name}`)
  return value
}

export function checkPartitionKey(key: Buffer): void {
  if (key.length === 0) throw invalid('Key may not be empty')
  if (key.length > KEY_BYTES_MAX) throw keyTooLong(key.length)
}

function keyTooLong(size: number): Error {
  return invalid(`Key length of ${size} is longer than maximum of ${KEY_BYTES_MAX}`)
}
