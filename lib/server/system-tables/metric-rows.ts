/**
 * The tables of system_views that tell what was counted. Source: the same tables of Cassandra 5.0.6; but latencies are given in ms as their names
 * say (there the p50th_ms and its like are a thousandth of it). polyxena_tables, polyxena_siblings and polyxena_metrics are our own, for what Cassandra shows by JMX alone.
 */

import { KIND_NAMES } from '../../../storage/compaction/task.ts'
import type { TableReport } from '../../../storage/table-report.ts'
import type { Histogram } from '../../base/histogram.ts'
import type { Latency } from '../../base/latency.ts'
import type { Metrics, TableFigures } from '../../metrics.ts'
import { resolutionOf } from '../../schema/resolution.ts'
import { consistencyName } from '../../types/consistency.ts'
import type { PlainRow } from './plain-values.ts'

const MIB = 1024 * 1024

/** What each table shows of a table's figures. */
const OF_TABLE: Readonly<Record<string, (figures: TableFigures, metrics: Metrics) => PlainRow>> = {
  local_read_latency: ({ report }) => latencyRow(report?.metrics.reads),
  local_scan_latency: ({ report }) => latencyRow(report?.metrics.scans),
  local_write_latency: ({ report }) => latencyRow(report?.metrics.writes),
  coordinator_read_latency: ({ coordinator }) => latencyRow(coordinator.reads),
  coordinator_scan_latency: ({ coordinator }) => latencyRow(coordinator.scans),
  coordinator_write_latency: ({ coordinator }) => latencyRow(coordinator.writes),
  tombstones_per_read: ({ report }) => perReadRow(report, report?.metrics.tombstonesPerRead),
  rows_per_read: ({ report }) => perReadRow(report, report?.metrics.rowsPerRead),
  disk_usage: ({ report }) => mebibytes(report?.totalFileBytes),
  max_partition_size: ({ report }) => mebibytes(report?.maxPartitionBytes),
  max_sstable_size: ({ report }) => mebibytes(report?.maxFileBytes),
  max_sstable_duration: ({ report }) => ({ max_sstable_duration: Math.floor((report?.maxDurationMicros ?? 0) / 1000) }),
  polyxena_tables: ({ table, report }, metrics) => ({
    ...tableRow(report),
    pending_compactions: metrics.compactions?.pending(table.id) ?? 0,
  }),
}

/** Rows of the table of that name; null when it is none of these. */
export function metricRows(table: string, metrics: Metrics): PlainRow[] | null {
  if (table === 'polyxena_siblings') return siblingRows(metrics)
  const ofTable = OF_TABLE[table]
  if (ofTable)
    return metrics.tables().map((figures) => ({
      keyspace_name: figures.table.keyspace,
      table_name: figures.table.name,
      ...ofTable(figures, metrics),
    }))
  switch (table) {
    case 'caches':
      return cacheRows(metrics)
    case 'cql_metrics':
      return statementRows(metrics)
    case 'batch_metrics':
      return batchRows(metrics)
    case 'sstable_tasks':
      return taskRows(metrics)
    case 'thread_pools':
      return poolRows(metrics)
    case 'polyxena_metrics':
      return nodeMetricRows(metrics)
    default:
      return null
  }
}

/** Of the tables that keep concurrent versions. */
function siblingRows(metrics: Metrics): PlainRow[] {
  return metrics
    .tables()
    .filter(({ table }) => resolutionOf(table.options) === 'vclock')
    .map(({ table, coordinator: { siblings }, report }) => ({
      keyspace_name: table.keyspace,
      table_name: table.name,
      contexts_pruned: report?.metrics.prunings ?? 0,
      ...percentiles(siblings.perRead),
      rows_read: siblings.rowsRead,
      writes_led_beside_others: siblings.made,
      writes_refused: siblings.refused,
    }))
}

function latencyRow(latency: Latency | undefined): PlainRow {
  const ms = (share: number): number => (latency?.micros.percentile(share) ?? 0) / 1000
  return {
    count: latency?.count ?? 0,
    max_ms: ms(1),
    p50th_ms: ms(0.5),
    p99th_ms: ms(0.99),
    per_second: rounded(latency?.perSecond ?? 0),
  }
}

function perReadRow(report: TableReport | null, histogram: Histogram | undefined): PlainRow {
  const count = report ? report.metrics.reads.count + report.metrics.scans.count : 0
  return { count, ...percentiles(histogram) }
}

function percentiles(histogram: Histogram | undefined): PlainRow {
  return {
    max: histogram?.max ?? 0,
    p50th: histogram?.percentile(0.5) ?? 0,
    p99th: histogram?.percentile(0.99) ?? 0,
  }
}

/** Rounded up, as there. */
function mebibytes(bytes = 0): PlainRow {
  return { mebibytes: Math.ceil(bytes / MIB) }
}

function tableRow(report: TableReport | null): PlainRow {
  if (report === null) return {}
  const { metrics, bloom } = report
  const { tablesPerRead } = metrics
  return {
    bloom_false_positives: bloom.falsePositives,
    bloom_negatives: bloom.negatives,
    bloom_positives: bloom.positives,
    compacted_bytes_read: metrics.compactedBytesRead,
    compacted_bytes_written: metrics.compactedBytesWritten,
    compactions: metrics.compactions,
    compression_ratio: ratio(report.fileBytes, report.rawBytes),
    disk_bytes: report.fileBytes,
    disk_bytes_total: report.totalFileBytes,
    droppable_tombstone_ratio: report.droppableRatio,
    filter_bytes: report.filterBytes,
    flushed_bytes: metrics.flushedBytes,
    flushes: metrics.flushes,
    index_bytes: report.indexBytes,
    max_partition_bytes: report.maxPartitionBytes,
    mean_partition_bytes: report.partitions === 0 ? 0 : Math.round(report.rawBytes / report.partitions),
    memtable_bytes: report.memtableBytes,
    memtable_records: report.memtableRecords,
    partitions: report.partitions,
    reads: metrics.reads.count,
    scans: metrics.scans.count,
    sstables: report.files,
    sstables_per_read_max: tablesPerRead.max,
    sstables_per_read_p50th: tablesPerRead.percentile(0.5),
    sstables_per_read_p99th: tablesPerRead.percentile(0.99),
    write_amplification: ratio(metrics.flushedBytes + metrics.compactedBytesWritten, metrics.flushedBytes),
    writes: metrics.writes.count,
    written_bytes: metrics.mutationBytes,
  }
}

/** No value where there is nothing to divide by. */
function ratio(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole
}

function rounded(perSecond: number): number {
  return Math.round(perSecond * 1000) / 1000
}

function cacheRows({ store }: Metrics): PlainRow[] {
  return store.caches.map(({ name, bytes, bytesMax, entries, hits, misses, hitsPerSecond, requestsPerSecond }) => ({
    name,
    capacity_bytes: bytesMax,
    entry_count: entries,
    hit_count: hits,
    hit_ratio: hits / (hits + misses),
    recent_hit_rate_per_second: Math.round(hitsPerSecond),
    recent_request_rate_per_second: Math.round(requestsPerSecond),
    request_count: hits + misses,
    size_bytes: bytes,
  }))
}

function statementRows({ statements }: Metrics): PlainRow[] {
  const { prepared, preparedEvicted, preparedExecuted, regularExecuted } = statements
  const executed = preparedExecuted + regularExecuted
  return namedValues({
    prepared_statements_count: prepared,
    prepared_statements_evicted: preparedEvicted,
    prepared_statements_executed: preparedExecuted,
    prepared_statements_ratio: executed === 0 ? 0 : preparedExecuted / executed,
    regular_statements_executed: regularExecuted,
  })
}

function batchRows({ statements }: Metrics): PlainRow[] {
  return (['counter', 'logged', 'unlogged'] as const).map((type) => {
    const histogram = statements.partitionsPerBatch[type]
    return {
      name: `partitions_per_${type}_batch`,
      max: Math.round(histogram.max),
      p50th: histogram.percentile(0.5),
      p99th: histogram.percentile(0.99),
      p999th: histogram.percentile(0.999),
    }
  })
}

/** Of Cassandra's pools those whose work this node does too, one after the other on its event loop or as jobs. */
function poolRows(metrics: Metrics): PlainRow[] {
  const { store, clients, compactions } = metrics
  const pool = (name: string, completed: number, pending = 0, active = 0, most = 1): PlainRow => ({
    name,
    active_tasks: active,
    active_tasks_limit: most,
    blocked_tasks: 0,
    blocked_tasks_all_time: 0,
    completed_tasks: completed,
    pending_tasks: pending,
  })
  const compacting = compactions?.running.length ?? 0
  const compacted = compactions?.counts.completed ?? 0
  const waiting = Math.max(0, pendingCompactions(metrics) - compacting)
  return [
    pool('CompactionExecutor', compacted, waiting, compacting, compactions?.concurrent ?? 1),
    pool('MemtableFlushWriter', store.flushes),
    pool('MutationStage', store.writes),
    pool('Native-Transport-Requests', clients.counters.requests),
    pool('ReadStage', store.reads),
  ]
}

function pendingCompactions(metrics: Metrics): number {
  const { compactions } = metrics
  if (compactions === null) return 0
  return metrics.tables().reduce((sum, { table }) => sum + compactions.pending(table.id), 0)
}

function taskRows({ compactions }: Metrics): PlainRow[] {
  return (compactions?.running ?? []).map((task) => ({
    keyspace_name: task.keyspace,
    table_name: task.name,
    task_id: task.id,
    completion_ratio: task.totalBytes === 0 ? 0 : task.completedBytes / task.totalBytes,
    kind: KIND_NAMES[task.kind].toLowerCase(),
    progress: task.completedBytes,
    sstables: task.sstables,
    target_directory: task.directory,
    total: task.totalBytes,
    unit: 'bytes',
  }))
}

function nodeMetricRows(metrics: Metrics): PlainRow[] {
  const { store, clients, pauses, memory, compactions, coordinator, metadata } = metrics
  const compacted = compactions?.counts
  return namedValues({
    client_connections: clients.connections,
    client_connections_opened: clients.counters.connectionsOpened,
    client_connections_refused: clients.counters.connectionsRefused,
    client_errors: clients.counters.errors,
    client_incidents: clients.counters.incidents,
    client_overloaded: clients.counters.overloaded,
    client_protocol_errors: clients.counters.protocolErrors,
    client_requests: clients.counters.requests,
    client_stalled: clients.counters.stalled,
    commitlog_bytes: store.commitLogBytes,
    commitlog_pending_bytes: store.commitLogPendingBytes,
    compaction_bytes_read: compacted?.bytesRead ?? 0,
    compaction_bytes_written: compacted?.bytesWritten ?? 0,
    compactions: compacted?.completed ?? 0,
    compactions_failed: compacted?.failed ?? 0,
    compactions_pending: pendingCompactions(metrics),
    compactions_running: compactions?.running.length ?? 0,
    compactions_stopped: compacted?.stopped ?? 0,
    garbage_collection_longest_ms: pauses.collections.longestMs,
    garbage_collection_ms: pauses.collections.totalMs,
    garbage_collections: pauses.collections.count,
    ...hintValues(metrics),
    ...httpValues(metrics),
    memory_buffer_bytes: memory.bufferBytes,
    memory_heap_bytes: memory.heapBytes,
    memory_resident_bytes: memory.residentBytes,
    memtable_bytes: store.memtableBytes,
    memtable_flushes: store.flushes,
    memtable_stalls: store.stalls,
    metadata_appended: metadata.appended,
    metadata_contended: metadata.contended,
    metadata_epoch: metadata.epoch,
    metadata_is_member: metadata.isMember ? 1 : 0,
    metadata_members: metadata.members,
    metadata_snapshots_taken: metadata.snapshotsTaken,
    metadata_without_majority: metadata.withoutMajority,
    read_digest_mismatches: coordinator.counts.digestMismatches,
    read_extra_rounds: coordinator.counts.extraRounds,
    read_failovers: coordinator.counts.failovers,
    read_repair_timeouts: coordinator.counts.repairTimeouts,
    read_repaired_partitions: coordinator.counts.repairedPartitions,
    read_repairs: coordinator.counts.repairs,
    read_speculations: coordinator.counts.speculations,
    read_speculations_without_replica: coordinator.counts.speculationsWithoutSpare,
    sstable_bytes: store.fileBytes,
    sstables: store.files,
    stall_longest_ms: pauses.stalls.longestMs,
    stall_ms: pauses.stalls.totalMs,
    stalls: pauses.stalls.count,
    tables: store.tables,
    ...levelValues(metrics),
  })
}

/** Of what other nodes missed. `dropped`: not kept, so that only repair brings it to them. */
function hintValues({ hints }: Metrics): Record<string, number> {
  if (hints === null) return {}
  const { stored, sent, dropped, expired } = hints
  const pendingBytes = hints.hosts.reduce((total, { bytes }) => total + bytes, 0)
  return {
    hints_dropped: dropped,
    hints_expired: expired,
    hints_pending_bytes: pendingBytes,
    hints_sent: sent,
    hints_stored: stored,
  }
}

/** Of keys and values over HTTP: answers by status, as far as there were any. */
function httpValues({ http }: Metrics): Record<string, number> {
  const statuses = [...http.statuses].sort(([a], [b]) => a - b)
  return {
    http_aborted: http.aborted,
    ...Object.fromEntries(statuses.map(([status, count]) => [`http_answers_${status}`, count])),
    http_bytes_in_flight: http.bytes,
    http_connections_opened: http.connections,
    http_incidents: http.incidents,
    http_requests: http.requests,
  }
}

/** Of the levels at which this node was asked to read. */
function levelValues({ coordinator }: Metrics): Record<string, number> {
  const values: Record<string, number> = {}
  coordinator.readsByLevel.forEach((latency, level) => {
    const name = `reads_${consistencyName(level)?.toLowerCase()}`
    values[name] = latency?.count ?? 0
    values[`${name}_p50th_us`] = latency?.micros.percentile(0.5) ?? 0
    values[`${name}_p99th_us`] = latency?.micros.percentile(0.99) ?? 0
  })
  return values
}

function namedValues(values: Readonly<Record<string, number>>): PlainRow[] {
  return Object.entries(values).map(([name, value]) => ({ name, value }))
}
