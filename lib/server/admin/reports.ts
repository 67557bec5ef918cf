/** What a node has counted, for the administration interface. Source: tablestats, tablehistograms, proxyhistograms, info, tpstats of Cassandra's nodetool. */
import { getHeapStatistics } from 'node:v8'
import { verbName } from '../../../cluster/internode/verbs.ts'
import type { FileDescription } from '../../../storage/store-words.ts'
import { Histogram } from '../../base/histogram.ts'
import type { Latency } from '../../base/latency.ts'
import type { TableFigures } from '../../metrics.ts'
import { resolutionOf } from '../../schema/resolution.ts'
import { isSystemKeyspace } from '../../schema/system-tables.ts'
import type { TableSchema } from '../../schema/table.ts'
import { type AdminNode, chosenTables } from './admin-node.ts'
import { namedPosition } from './named-partition.ts'
import { AdminError, type Parameters, usage } from './parameters.ts'

/** Null where there is nothing to divide by. */
export interface TableStatsReport {
  readonly keyspace: string
  readonly table: string
  readonly files: number
  readonly maxFileBytes: number
  /** SSTables and bytes by level; null where the strategy has none. */
  readonly levels: readonly { readonly files: number; readonly bytes: number }[] | null
  readonly liveBytes: number
  readonly totalBytes: number
  readonly snapshotBytes: number
  readonly compressionRatio: number | null
  readonly partitions: number
  readonly memtableRecords: number
  readonly memtableBytes: number
  readonly flushes: number
  readonly reads: number
  readonly readMs: number | null
  readonly writes: number
  readonly writeMs: number | null
  readonly bytesRepaired: number
  readonly bytesUnrepaired: number
  readonly bloomFalsePositives: number
  readonly bloomFalseRatio: number
  readonly filterBytes: number
  readonly indexBytes: number
  readonly minPartitionBytes: number
  readonly maxPartitionBytes: number
  readonly meanPartitionBytes: number
  readonly liveRowsPerRead: number | null
  readonly maxLiveRowsPerRead: number
  readonly tombstonesPerRead: number | null
  readonly maxTombstonesPerRead: number
  readonly droppableRatio: number
  /** Of a table that keeps concurrent versions; null: it does not. */
  readonly siblings: {
    /** Live versions of each row that was read in the last minutes. */
    readonly perRead: number | null
    readonly maxPerRead: number
    /** Writes that left more than one, and those that would have left too many. */
    readonly made: number
    readonly refused: number
    /** Actors that contexts have forgotten. */
    readonly pruned: number
  } | null
}

/** With names (`keyspace` or `keyspace.table`): only those, or with `ignore` all but those. */
export async function tableStats(node: AdminNode, parameters: Parameters): Promise<{ tables: TableStatsReport[] }> {
  const names = parameters.texts('names')
  const ignore = parameters.flag('ignore')
  const named = new Set(names.flatMap((name) => namedTables(node, name)).map(({ id }) => id))
  const snapshots = new Map<string, number>()
  for (const { tableId, freedBytes } of (await node.store.snapshots?.list()) ?? [])
    snapshots.set(tableId, (snapshots.get(tableId) ?? 0) + freedBytes)
  const tables = node.metrics
    .tables()
    .filter(({ table }) => names.length === 0 || named.has(table.id) !== ignore)
    .map((figures) => statsOf(node, figures, snapshots.get(figures.table.id) ?? 0))
  return { tables }
}

function namedTables(node: AdminNode, name: string): TableSchema[] {
  const dot = name.indexOf('.')
  const keyspace = node.schema().keyspaces.get(dot < 0 ? name : name.slice(0, dot))
  if (!keyspace || keyspace.isVirtual) throw usage(`Unknown keyspace: ${dot < 0 ? name : name.slice(0, dot)}`)
  if (dot < 0) return [...keyspace.tables.values()]
  const table = keyspace.tables.get(name.slice(dot + 1))
  if (!table) throw usage(`Unknown tables: ${name.slice(dot + 1)} in keyspace: ${keyspace.name}`)
  return [table]
}

function statsOf(node: AdminNode, figures: TableFigures, snapshotBytes: number): TableStatsReport {
  const { table, report } = figures
  const files = node.store.reports.liveFiles(table.id)
  const metrics = report?.metrics
  const raw = report?.rawBytes ?? 0
  const repaired = files.filter(({ repairedAtMs }) => repairedAtMs > 0)
  const bytesRepaired = repaired.reduce((sum, { statistics }) => sum + statistics.rawBytes, 0)
  const bloom = report?.bloom
  const sizes = partitionSizes(files)
  return {
    keyspace: table.keyspace,
    table: table.name,
    files: files.length,
    maxFileBytes: report?.maxFileBytes ?? 0,
    levels: isLeveled(table) ? levelsOf(files) : null,
    liveBytes: report?.fileBytes ?? 0,
    totalBytes: report?.totalFileBytes ?? 0,
    snapshotBytes,
    compressionRatio: raw === 0 ? null : report!.fileBytes / raw,
    partitions: report?.partitions ?? 0,
    memtableRecords: report?.memtableRecords ?? 0,
    memtableBytes: report?.memtableBytes ?? 0,
    flushes: metrics?.flushes ?? 0,
    reads: metrics ? metrics.reads.count + metrics.scans.count : 0,
    readMs: metrics ? meanMs([metrics.reads, metrics.scans]) : null,
    writes: metrics?.writes.count ?? 0,
    writeMs: metrics ? meanMs([metrics.writes]) : null,
    bytesRepaired,
    bytesUnrepaired: raw - bytesRepaired,
    bloomFalsePositives: bloom?.falsePositives ?? 0,
    bloomFalseRatio: bloom ? bloom.falsePositives / Math.max(1, bloom.falsePositives + bloom.negatives) : 0,
    filterBytes: report?.filterBytes ?? 0,
    indexBytes: report?.indexBytes ?? 0,
    minPartitionBytes: sizes[0]?.value ?? 0,
    maxPartitionBytes: report?.maxPartitionBytes ?? 0,
    meanPartitionBytes: report && report.partitions > 0 ? Math.round(raw / report.partitions) : 0,
    liveRowsPerRead: mean([metrics?.rowsPerRead]),
    maxLiveRowsPerRead: metrics?.rowsPerRead.max ?? 0,
    tombstonesPerRead: mean([metrics?.tombstonesPerRead]),
    maxTombstonesPerRead: metrics?.tombstonesPerRead.max ?? 0,
    droppableRatio: report?.droppableRatio ?? 0,
    siblings: siblingsOf(figures),
  }
}

function siblingsOf({ table, coordinator, report }: TableFigures): TableStatsReport['siblings'] {
  if (resolutionOf(table.options) !== 'vclock') return null
  const { perRead, made, refused } = coordinator.siblings
  const pruned = report?.metrics.prunings ?? 0
  return { perRead: mean([perRead]), maxPerRead: perRead.max, made, refused, pruned }
}

function isLeveled(table: TableSchema): boolean {
  return table.options.compaction.get('class')?.endsWith('LeveledCompactionStrategy') ?? false
}

/** Cassandra shows nine. */
const LEVELS = 9

function levelsOf(files: readonly FileDescription[]): { files: number; bytes: number }[] {
  const levels = Array.from({ length: LEVELS }, () => ({ files: 0, bytes: 0 }))
  for (const { level, fileBytes } of files) {
    const own = levels[Math.min(level, LEVELS - 1)]!
    own.files += 1
    own.bytes += fileBytes
  }
  return levels
}

/** Of what was recorded in the last minutes. */
function mean(histograms: readonly (Histogram | undefined)[]): number | null {
  let sum = 0
  let total = 0
  for (const histogram of histograms)
    for (const { value, count } of histogram?.buckets() ?? []) {
      sum += value * count
      total += count
    }
  return total === 0 ? null : sum / total
}

function meanMs(latencies: readonly Latency[]): number | null {
  const micros = mean(latencies.map((latency) => latency.micros))
  return micros === null ? null : micros / 1000
}

interface Weighted {
  readonly value: number
  readonly count: number
}

function partitionSizes(files: readonly FileDescription[]): Weighted[] {
  const counts = new Map<number, number>()
  for (const { statistics } of files)
    for (const { bytes, count } of statistics.partitionSizes) {
      const value = Math.min(bytes, statistics.maxPartitionBytes)
      counts.set(value, (counts.get(value) ?? 0) + count)
    }
  return ascending(counts)
}

/** What is known is the mean of each SSTable. */
function cellCounts(files: readonly FileDescription[]): Weighted[] {
  const counts = new Map<number, number>()
  for (const { statistics } of files) {
    const value = Math.round(statistics.cells / Math.max(1, statistics.partitions))
    counts.set(value, (counts.get(value) ?? 0) + statistics.partitions)
  }
  return ascending(counts)
}

function ascending(counts: ReadonlyMap<number, number>): Weighted[] {
  return Array.from(counts, ([value, count]) => ({ value, count })).sort((a, b) => a.value - b.value)
}

/** At 50, 75, 95, 98, 99 %, the least and the greatest; null: nothing was recorded. */
export type Percentiles = readonly (number | null)[]

const SHARES = [0.5, 0.75, 0.95, 0.98, 0.99]

function percentilesOf(found: readonly Weighted[]): Percentiles {
  if (found.length === 0) return [...SHARES, 0, 1].map(() => null)
  const total = found.reduce((sum, { count }) => sum + count, 0)
  const at = (share: number): number => {
    let sum = 0
    for (const { value, count } of found) {
      sum += count
      if (sum >= total * share) return value
    }
    return found.at(-1)!.value
  }
  return [...SHARES.map(at), found[0]!.value, found.at(-1)!.value]
}

function recorded(...histograms: readonly Histogram[]): Percentiles {
  const counts = new Map<number, number>()
  for (const histogram of histograms)
    for (const { value, count } of histogram.buckets()) counts.set(value, (counts.get(value) ?? 0) + count)
  return percentilesOf(ascending(counts)).map((value) => value ?? 0)
}

export interface TableHistograms {
  readonly keyspace: string
  readonly table: string
  readonly readMicros: Percentiles
  readonly writeMicros: Percentiles
  readonly sstables: Percentiles
  readonly partitionBytes: Percentiles
  readonly cells: Percentiles
}

export function tableHistograms(node: AdminNode, parameters: Parameters): { tables: TableHistograms[] } {
  const keyspace = parameters.text('keyspace')
  const name = parameters.text('table')
  if (keyspace !== null) {
    const found = name === null ? undefined : node.schema().keyspaces.get(keyspace)?.tables.get(name)
    if (!found || found.isVirtual) throw usage(`Unknown table ${keyspace}.${name ?? ''}`)
  }
  const tables = node.metrics
    .tables()
    .filter(({ table }) => keyspace === null || (table.keyspace === keyspace && table.name === name))
  return {
    tables: tables.map(({ table, report }) => {
      const files = node.store.reports.liveFiles(table.id)
      const metrics = report?.metrics
      const none = new Histogram()
      return {
        keyspace: table.keyspace,
        table: table.name,
        readMicros: recorded(metrics?.reads.micros ?? none),
        writeMicros: recorded(metrics?.writes.micros ?? none),
        sstables: recorded(metrics?.tablesPerRead ?? none),
        partitionBytes: percentilesOf(partitionSizes(files)),
        cells: percentilesOf(cellCounts(files)),
      }
    }),
  }
}

/** Times at the coordinator; of conditional writes nothing is kept yet. */
export function proxyHistograms(node: AdminNode): Record<string, Percentiles> {
  const all = node.metrics.tables().map(({ coordinator }) => coordinator)
  const none = recorded(new Histogram())
  return {
    read: recorded(...all.map(({ reads }) => reads.micros)),
    write: recorded(...all.map(({ writes }) => writes.micros)),
    range: recorded(...all.map(({ scans }) => scans.micros)),
    casRead: none,
    casWrite: none,
    viewWrite: none,
  }
}

export function info(node: AdminNode): object {
  const { identity, store, metrics, clock } = node
  const { statistics } = store.reports
  const tables = metrics.tables()
  const sum = (of: (report: NonNullable<(typeof tables)[number]['report']>) => number): number =>
    tables.reduce((total, { report }) => total + (report ? of(report) : 0), 0)
  const users = tables.filter(({ table }) => !isSystemKeyspace(table.keyspace))
  const raw = users.reduce((total, { report }) => total + (report?.rawBytes ?? 0), 0)
  const repaired = users.reduce(
    (total, { table }) =>
      total +
      node.store.reports
        .liveFiles(table.id)
        .reduce((bytes, file) => bytes + (file.repairedAtMs > 0 ? file.statistics.rawBytes : 0), 0),
    0,
  )
  return {
    id: identity.hostId,
    gossipActive: node.mode() === 'SERVING',
    nativeTransportActive: node.cql() !== null,
    loadBytes: statistics.fileBytes,
    rawBytes: sum(({ rawBytes }) => rawBytes),
    generation: identity.generation,
    uptimeSeconds: Math.floor((clock.monotonicMs() - node.startedAtMs) / 1000),
    heapBytes: metrics.memory.heapBytes,
    heapBytesMax: getHeapStatistics().heap_size_limit,
    offHeapBytes: sum(({ filterBytes, indexBytes, memtableBytes }) => filterBytes + indexBytes + memtableBytes),
    datacenter: identity.datacenter,
    rack: identity.rack,
    exceptions: metrics.clients.counters.incidents,
    caches: statistics.caches,
    repairedShare: raw === 0 ? 1 : repaired / raw,
    tokens: node.cluster.self().tokens,
    problems: store.reports.problems,
  }
}

/** Since the start: nobody's look makes it begin anew. */
export function garbage(node: AdminNode): object {
  const { pauses, memory } = node.metrics
  const { count, longestMs, totalMs } = pauses.collections
  return {
    observedMs: node.clock.monotonicMs() - node.startedAtMs,
    collections: count,
    maxMs: longestMs,
    totalMs,
    bufferBytes: memory.bufferBytes,
  }
}

export function threadPools(node: AdminNode): object {
  const { store, clients } = node.metrics
  const pool = (name: string, completed: number): object => ({
    name,
    active: 0,
    pending: 0,
    completed,
    blocked: 0,
    allTimeBlocked: 0,
  })
  return {
    pools: [
      pool('MutationStage', store.writes),
      pool('ReadStage', store.reads),
      pool('MemtableFlushWriter', store.flushes),
      pool('Native-Transport-Requests', clients.counters.requests),
    ],
    dropped: (node.cluster.messages()?.verbs ?? []).map(({ verb, dropped }) => ({ type: verbName(verb), dropped })),
  }
}

/** SSTables that may hold a partition, its key as text (`1`, `a:b`), or in hexadecimal. */
export function sstablesOf(node: AdminNode, parameters: Parameters): { sstables: { path: string; level: number }[] } {
  const keyspace = parameters.required('keyspace')
  const name = parameters.required('table')
  const table = node.schema().keyspaces.get(keyspace)?.tables.get(name)
  if (!table || table.isVirtual) throw new AdminError('failure', `ColumnFamilyStore for ${keyspace}/${name} not found.`)
  const found = node.store.reports.liveFiles(table.id, namedPosition(node, table, parameters))
  return { sstables: found.map(({ path, level }) => ({ path, level })) }
}

export function dataPaths(node: AdminNode, parameters: Parameters): { tables: object[] } {
  const names = parameters.texts('names')
  const tables = names.length === 0 ? chosenTables(node, null, []) : names.flatMap((name) => namedTables(node, name))
  return {
    tables: tables.map(({ keyspace, name, id }) => ({
      keyspace,
      table: name,
      paths: node.directory === null ? [] : [`${node.directory}/tables/${keyspace}/${name}-${id.replaceAll('-', '')}`],
    })),
  }
}
