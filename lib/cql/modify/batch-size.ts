/**
 * How large a batch is: what the thresholds of batch_size_warn_threshold and batch_size_fail_threshold are compared with, and what the client is told.
 * Source: Cassandra's dataSize() of partition updates, rows and cells (checked against the server): rows that statements write together are one
 * row, keys of partitions do not count, values count as CQL's bytes.
 * Reads mutations that are finished, so that writing them counts nothing; only batches that may reach a threshold are looked at.
 */

import { LastWriteWins } from '../../../storage/model/merge.ts'
import { EntryKind, MutationReader } from '../../../storage/model/mutation.ts'
import { PRESENCE_COLUMN_ID, RowReader } from '../../../storage/model/row.ts'
import { ByteWriter } from '../../base/bytes.ts'
import type { TableSchema } from '../../schema/table.ts'
import { decodeClustering, decodePath } from '../../types/ordered.ts'
import type { WriteTarget } from './modify-sink.ts'

/** What Cassandra counts for the parts of an update, in bytes, besides values. */
const PARTITION_BYTES = 29
const ROW_BYTES = 21
const CELL_BYTES = 20
const EXPIRY_BYTES = 12
const COMPLEX_BYTES = 12
/** A counter's delta is a context of one shard. */
const DELTA_BYTES = 36
const RANGES_BYTES = 4
const RANGE_BYTES = 12

/** No part of a mutation counts for more than so many times its bytes: the smallest cell, of four, counts 32. */
const BYTES_PER_BYTE_MAX = 12

interface Partition {
  readonly table: TableSchema
  /** By clustering, one character a byte. */
  readonly rows: Map<string, Buffer>
  staticRow: Buffer | null
  ranges: number
  rangeBytes: number
}

/** At least one of the batch's thresholds may be reached. */
export function mayReach(mutations: readonly Buffer[], threshold: number): boolean {
  let bytes = 0
  for (const mutation of mutations) bytes += mutation.length
  return bytes * BYTES_PER_BYTE_MAX > threshold
}

/** The size of the mutations, each of the table at the same place. */
export function batchBytes(mutations: readonly Buffer[], targets: readonly WriteTarget[]): number {
  const partitions = new Map<string, Partition>()
  const reader = new MutationReader()
  const law = new LastWriteWins()
  for (let i = 0; i < mutations.length; i++) {
    reader.reset(mutations[i]!)
    const key = reader.buffer.toString('latin1', reader.tableStart, reader.positionEnd)
    let partition = partitions.get(key)
    if (partition === undefined) {
      partition = { table: targets[i]!.table, rows: new Map(), staticRow: null, ranges: 0, rangeBytes: 0 }
      partitions.set(key, partition)
    }
    while (reader.next()) addEntry(partition, reader, law)
  }
  let bytes = 0
  for (const partition of partitions.values()) bytes += partitionBytes(partition)
  return bytes
}

function addEntry(partition: Partition, reader: MutationReader, law: LastWriteWins): void {
  const { buffer, boundStart, boundEnd } = reader
  if (reader.kind === EntryKind.STATIC_ROW) partition.staticRow = mergedRow(partition.staticRow, reader, law)
  else if (reader.kind === EntryKind.RANGE_TOMBSTONE) {
    partition.ranges++
    const { table } = partition
    partition.rangeBytes += clusteringBytes(table, buffer.subarray(boundStart, boundEnd))
    partition.rangeBytes += clusteringBytes(table, buffer.subarray(reader.rangeEndStart, reader.rangeEndEnd))
  } else if (reader.kind === EntryKind.ROW) {
    const clustering = buffer.toString('latin1', boundStart, boundEnd)
    partition.rows.set(clustering, mergedRow(partition.rows.get(clustering) ?? null, reader, law))
  }
}

/** The row at the reader, with what was written of it before. */
function mergedRow(before: Buffer | null, reader: MutationReader, law: LastWriteWins): Buffer {
  const { buffer, valueStart, valueEnd } = reader
  if (before === null) return buffer.subarray(valueStart, valueEnd)
  const out = new ByteWriter(before.length + valueEnd - valueStart)
  law.merge(out, before, 0, before.length, buffer, valueStart, valueEnd)
  return out.view()
}

function partitionBytes({ table, rows, staticRow, ranges, rangeBytes }: Partition): number {
  let bytes = PARTITION_BYTES + rangeBytes
  if (ranges > 0) bytes += RANGES_BYTES + ranges * RANGE_BYTES
  const reader = new RowReader()
  if (staticRow !== null) bytes += rowBytes(table, reader.reset(staticRow))
  for (const [clustering, row] of rows)
    bytes += ROW_BYTES + clusteringBytes(table, Buffer.from(clustering, 'latin1')) + rowBytes(table, reader.reset(row))
  return bytes
}

/** Liveness and cells of the row at whose beginning the reader stands. */
function rowBytes(table: TableSchema, reader: RowReader): number {
  let bytes = reader.livenessTtl === 0 ? 0 : EXPIRY_BYTES
  let complexColumn = -1
  while (reader.next()) {
    const { columnId } = reader
    // What goes with the row and is no column's.
    if (columnId >= PRESENCE_COLUMN_ID) break
    if (table.isCounter) {
      bytes += reader.isComplexDeletion ? CELL_BYTES : CELL_BYTES + DELTA_BYTES
      continue
    }
    if ((reader.hasPath || reader.isComplexDeletion) && columnId !== complexColumn) {
      bytes += COMPLEX_BYTES
      complexColumn = columnId
    }
    if (reader.isComplexDeletion) continue
    bytes += CELL_BYTES + reader.valueEnd - reader.valueStart
    if (reader.hasPath) bytes += pathBytes(table, reader)
  }
  return bytes
}

/** Of a set's element, a map's key, a list's position, or a field's number. */
function pathBytes(table: TableSchema, { columnId, buffer, pathStart, pathEnd }: RowReader): number {
  const type = table.columnsById[columnId]?.type
  if (type?.kind === 'set') return decodePath(type.element, buffer.subarray(pathStart, pathEnd)).length
  if (type?.kind === 'map') return decodePath(type.key, buffer.subarray(pathStart, pathEnd)).length
  return pathEnd - pathStart
}

/** The values of a clustering or of a range's bound; the byte that puts a bound after its values is none. */
function clusteringBytes(table: TableSchema, clustering: Buffer): number {
  let bytes = 0
  for (const value of decodeClustering(table.clustering, clustering)) bytes += value?.length ?? 0
  return bytes
}
