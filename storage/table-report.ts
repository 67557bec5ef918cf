/** One table's counts and sizes as they are now, from its metrics and the statistics of its SSTables. */
import { droppableBefore } from './sstable/statistics.ts'
import type { TableMetrics } from './table-metrics.ts'
import type { TableStore } from './table-store.ts'

export interface TableReport {
  readonly metrics: TableMetrics
  readonly files: number
  /** Live SSTables; and with those that wait for the last read that uses them. */
  readonly fileBytes: number
  readonly totalFileBytes: number
  readonly maxFileBytes: number
  /** Keys and values, before compression. */
  readonly rawBytes: number
  readonly memtableBytes: number
  readonly memtableRecords: number
  /** Bloom filters and index roots. */
  readonly filterBytes: number
  readonly indexBytes: number
  readonly bloom: { readonly positives: number; readonly falsePositives: number; readonly negatives: number }
  /** Of SSTables; partitions that lie in several count in each. */
  readonly partitions: number
  readonly maxPartitionBytes: number
  readonly tombstones: number
  /** Of the greatest and least timestamp in an SSTable, in µs. */
  readonly maxDurationMicros: number
  /** Share of droppable tombstones and expired cells among cells, 0 to 1. */
  readonly droppableRatio: number
}

export function reportTable(table: TableStore, nowSeconds: number): TableReport {
  const gcBefore = nowSeconds - table.gcGraceSeconds
  const sum = {
    fileBytes: 0,
    maxFileBytes: 0,
    rawBytes: 0,
    filterBytes: 0,
    indexBytes: 0,
    partitions: 0,
    maxPartitionBytes: 0,
    tombstones: 0,
    maxDurationMicros: 0,
  }
  let droppable = 0
  let cells = 0
  for (const { reader } of table.files) {
    const { statistics } = reader
    sum.fileBytes += reader.fileBytes
    sum.maxFileBytes = Math.max(sum.maxFileBytes, reader.fileBytes)
    sum.rawBytes += statistics.rawBytes
    sum.filterBytes += reader.filterBytes
    sum.indexBytes += reader.indexBytes
    sum.partitions += statistics.partitions
    sum.maxPartitionBytes = Math.max(sum.maxPartitionBytes, statistics.maxPartitionBytes)
    sum.tombstones += statistics.tombstones
    sum.maxDurationMicros = Math.max(sum.maxDurationMicros, duration(statistics))
    droppable += droppableBefore(statistics, gcBefore)
    cells += statistics.cells + statistics.tombstones
  }
  return {
    ...sum,
    metrics: table.metrics,
    files: table.files.length,
    totalFileBytes: sum.fileBytes + table.retiredFileBytes,
    memtableBytes: table.memtableBytes,
    memtableRecords: table.memtable.size,
    bloom: table.metrics.bloom(table.files.map(({ reader }) => reader)),
    droppableRatio: cells === 0 ? 0 : Math.min(1, droppable / cells),
  }
}

function duration({
  minTimestamp,
  maxTimestamp,
}: {
  minTimestamp: Buffer | null
  maxTimestamp: Buffer | null
}): number {
  if (minTimestamp === null || maxTimestamp === null) return 0
  return Number(maxTimestamp.readBigInt64BE() - minTimestamp.readBigInt64BE())
}
