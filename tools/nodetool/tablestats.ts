/** `tablestats`, also as cfstats. Source: Cassandra's nodetool, its words, its order of lines and its JSON. */
import type { TableStatsReport } from '../../lib/server/admin/reports.ts'
import { UsageError } from './arguments.ts'
import { type Command, FORMAT, HUMAN } from './command.ts'
import { bytesText, javaDouble, jsonText, memoryText, yamlText } from './text.ts'

const LINE = '----------------\n'

/** What tables can be sorted by, greatest first; names the other way. */
const SORT_KEYS: Readonly<Record<string, (table: TableStatsReport) => number | string>> = {
  average_live_cells_per_slice_last_five_minutes: (table) => table.liveRowsPerRead ?? 0,
  average_tombstones_per_slice_last_five_minutes: (table) => table.tombstonesPerRead ?? 0,
  bloom_filter_false_positives: (table) => table.bloomFalsePositives,
  bloom_filter_false_ratio: (table) => table.bloomFalseRatio,
  bloom_filter_off_heap_memory_used: (table) => table.filterBytes,
  bloom_filter_space_used: (table) => table.filterBytes,
  compacted_partition_maximum_bytes: (table) => table.maxPartitionBytes,
  compacted_partition_mean_bytes: (table) => table.meanPartitionBytes,
  compacted_partition_minimum_bytes: (table) => table.minPartitionBytes,
  full_name: (table) => `${table.keyspace}.${table.table}`,
  local_read_count: (table) => table.reads,
  local_read_latency_ms: (table) => table.readMs ?? 0,
  local_write_latency_ms: (table) => table.writeMs ?? 0,
  maximum_live_cells_per_slice_last_five_minutes: (table) => table.maxLiveRowsPerRead,
  maximum_tombstones_per_slice_last_five_minutes: (table) => table.maxTombstonesPerRead,
  memtable_cell_count: (table) => table.memtableRecords,
  memtable_data_size: (table) => table.memtableBytes,
  memtable_off_heap_memory_used: (table) => table.memtableBytes,
  memtable_switch_count: (table) => table.flushes,
  number_of_partitions_estimate: (table) => table.partitions,
  off_heap_memory_used_total: offHeap,
  percent_repaired: percentRepaired,
  read_latency: (table) => table.readMs ?? 0,
  reads: (table) => table.reads,
  space_used_by_snapshots_total: (table) => table.snapshotBytes,
  space_used_live: (table) => table.liveBytes,
  space_used_total: (table) => table.totalBytes,
  sstable_compression_ratio: (table) => table.compressionRatio ?? -1,
  sstable_count: (table) => table.files,
  max_sstable_size: (table) => table.maxFileBytes,
  table_name: (table) => table.table,
  write_latency: (table) => table.writeMs ?? 0,
  writes: (table) => table.writes,
}

export const tablestats: Command = {
  help: 'Print statistics on tables',
  options: [
    FORMAT,
    HUMAN,
    { names: ['-i'], help: 'Ignore the list of tables and display the remaining tables' },
    { names: ['-l', '--sstable-location-check'], help: 'Taken for the sake of scripts: there is one location' },
    {
      names: ['-s', '--sort'],
      value: 'sort_key',
      help: `Sort tables by specified sort key (${Object.keys(SORT_KEYS).join(', ')})`,
    },
    { names: ['-t', '--top'], value: 'top', help: 'Show only the top K tables for the sort key' },
  ],
  arguments: '[--] [<keyspace.table>...]',
  async run({ client, words, print }) {
    const format = words.value('-F')
    if (format !== null && format !== 'json' && format !== 'yaml')
      throw new UsageError('arguments for -F are json,yaml only.')
    const sort = words.value('-s')
    if (sort !== null && !SORT_KEYS[sort])
      throw new UsageError(`argument for sort must be one of: ${Object.keys(SORT_KEYS).join(', ')}`)
    const top = words.number('-t')
    if (top !== null && sort === null) throw new UsageError('cannot filter top K tables without specifying a sort key.')
    if (top !== null && top <= 0) throw new UsageError('argument for top must be a positive integer.')
    const asked = { names: words.arguments, ignore: words.has('-i') }
    const answer = await client.get<{ tables: TableStatsReport[] }>('tablestats', asked)
    const human = words.has('-H')
    if (format !== null)
      print(format === 'json' ? `${jsonText(asMap(answer.tables, human))}\n` : yamlText(asMap(answer.tables, human)))
    else if (sort !== null) print(sortedText(answer.tables, { sort, top, human }))
    else print(keyspacesText(answer.tables, human))
    return answer
  },
}

function sortedText(
  tables: readonly TableStatsReport[],
  { sort, top, human }: { sort: string; top: number | null; human: boolean },
): string {
  const key = SORT_KEYS[sort]!
  const sorted = [...tables].sort((a, b) => {
    const x = key(a)
    const y = key(b)
    if (typeof x === 'string') return x < String(y) ? -1 : 1
    return Number(y) - x
  })
  const shown = sorted.slice(0, top ?? sorted.length)
  const note = top === null ? '' : ` (showing top ${top} by ${sort})`
  const texts = shown.map((one) => `\tTable: ${one.keyspace}.${one.table}\n${linesOf(one, human, '\t')}\n`)
  return `Total number of tables: ${tables.length}${note}\n${LINE}${texts.join('')}${LINE}`
}

function keyspacesText(tables: readonly TableStatsReport[], human: boolean): string {
  let text = `Total number of tables: ${tables.length}\n${LINE}`
  for (const keyspace of new Set(tables.map((one) => one.keyspace))) {
    const own = tables.filter((one) => one.keyspace === keyspace)
    const sum = sumOf(own)
    text += `Keyspace: ${keyspace}\n\tRead Count: ${sum.reads}\n\tRead Latency: ${javaDouble(sum.readMs)} ms\n`
    text += `\tWrite Count: ${sum.writes}\n\tWrite Latency: ${javaDouble(sum.writeMs)} ms\n\tPending Flushes: 0\n`
    for (const one of own) text += `\t\tTable: ${one.table}\n${linesOf(one, human, '\t\t')}\n`
    text += LINE
  }
  return text
}

function sumOf(tables: readonly TableStatsReport[]): {
  reads: number
  readMs: number | null
  writes: number
  writeMs: number | null
} {
  const mean = (
    count: (one: TableStatsReport) => number,
    ms: (one: TableStatsReport) => number | null,
  ): number | null => {
    let total = 0
    let weight = 0
    for (const one of tables) {
      total += (ms(one) ?? 0) * count(one)
      weight += ms(one) === null ? 0 : count(one)
    }
    return weight === 0 ? null : total / weight
  }
  return {
    reads: tables.reduce((sum, one) => sum + one.reads, 0),
    writes: tables.reduce((sum, one) => sum + one.writes, 0),
    readMs: mean(
      (one) => one.reads,
      (one) => one.readMs,
    ),
    writeMs: mean(
      (one) => one.writes,
      (one) => one.writeMs,
    ),
  }
}

function offHeap({ filterBytes, indexBytes, memtableBytes }: TableStatsReport): number {
  return filterBytes + indexBytes + memtableBytes
}

function percentRepaired({ bytesRepaired, bytesUnrepaired }: TableStatsReport): number {
  const all = bytesRepaired + bytesUnrepaired
  return all === 0 ? 100 : Math.round((1000 * bytesRepaired) / all) / 10
}

function fixed(value: number | null, digits: number): string {
  return value === null ? 'NaN' : value.toFixed(digits)
}

function ratio({ reads, writes }: TableStatsReport): string {
  return (writes === 0 ? 0 : reads / writes).toFixed(5)
}

function linesOf(one: TableStatsReport, human: boolean, indent: string): string {
  const bytes = (count: number): string => bytesText(count, human)
  const levels = one.levels
  const lines = [
    `SSTable count: ${one.files}`,
    'Old SSTable count: 0',
    `Max SSTable size: ${memoryText(one.maxFileBytes)}`,
    ...(levels === null
      ? []
      : [
          `SSTables in each level: [${levels.map(({ files }) => files).join(', ')}]`,
          `SSTable bytes in each level: [${levels.map((level) => bytes(level.bytes)).join(', ')}]`,
        ]),
    `Space used (live): ${bytes(one.liveBytes)}`,
    `Space used (total): ${bytes(one.totalBytes)}`,
    `Space used by snapshots (total): ${bytes(one.snapshotBytes)}`,
    `Off heap memory used (total): ${bytes(offHeap(one))}`,
    `SSTable Compression Ratio: ${one.compressionRatio === null ? '-1.00000' : one.compressionRatio.toFixed(5)}`,
    `Number of partitions (estimate): ${one.partitions}`,
    `Memtable cell count: ${one.memtableRecords}`,
    `Memtable data size: ${bytes(one.memtableBytes)}`,
    `Memtable off heap memory used: ${bytes(one.memtableBytes)}`,
    `Memtable switch count: ${one.flushes}`,
    'Speculative retries: 0',
    `Local read count: ${one.reads}`,
    `Local read latency: ${fixed(one.readMs, 3)} ms`,
    `Local write count: ${one.writes}`,
    `Local write latency: ${fixed(one.writeMs, 3)} ms`,
    `Local read/write ratio: ${ratio(one)}`,
    'Pending flushes: 0',
    `Percent repaired: ${javaDouble(percentRepaired(one))}`,
    `Bytes repaired: ${memoryText(one.bytesRepaired)}`,
    `Bytes unrepaired: ${memoryText(one.bytesUnrepaired)}`,
    'Bytes pending repair: 0B',
    `Bloom filter false positives: ${one.bloomFalsePositives}`,
    `Bloom filter false ratio: ${one.bloomFalseRatio.toFixed(5)}`,
    `Bloom filter space used: ${bytes(one.filterBytes)}`,
    `Bloom filter off heap memory used: ${bytes(one.filterBytes)}`,
    `Index summary off heap memory used: ${bytes(one.indexBytes)}`,
    `Compression metadata off heap memory used: ${bytes(0)}`,
    `Compacted partition minimum bytes: ${one.minPartitionBytes}`,
    `Compacted partition maximum bytes: ${one.maxPartitionBytes}`,
    `Compacted partition mean bytes: ${one.meanPartitionBytes}`,
    `Average live cells per slice (last five minutes): ${javaDouble(one.liveRowsPerRead)}`,
    `Maximum live cells per slice (last five minutes): ${one.maxLiveRowsPerRead}`,
    `Average tombstones per slice (last five minutes): ${javaDouble(one.tombstonesPerRead)}`,
    `Maximum tombstones per slice (last five minutes): ${one.maxTombstonesPerRead}`,
    `Droppable tombstone ratio: ${one.droppableRatio.toFixed(5)}`,
    ...siblingLines(one),
  ]
  return lines.map((line) => `${indent}${line}\n`).join('')
}

/** Cassandra has no such tables. */
function siblingLines({ siblings }: TableStatsReport): string[] {
  if (siblings === null) return []
  return [
    `Average siblings per row read (last five minutes): ${javaDouble(siblings.perRead)}`,
    `Maximum siblings per row read (last five minutes): ${siblings.maxPerRead}`,
    `Writes that left siblings: ${siblings.made}`,
    `Writes refused for too many siblings: ${siblings.refused}`,
    `Actors pruned from contexts: ${siblings.pruned}`,
  ]
}

/** As -F json and yaml show it. */
function asMap(tables: readonly TableStatsReport[], human: boolean): Record<string, unknown> {
  const map: Record<string, unknown> = {}
  for (const keyspace of new Set(tables.map((one) => one.keyspace))) {
    const own = tables.filter((one) => one.keyspace === keyspace)
    const sum = sumOf(own)
    map[keyspace] = {
      write_latency_ms: sum.writeMs ?? Number.NaN,
      tables: Object.fromEntries(own.map((one) => [one.table, tableMap(one, human)])),
      read_latency_ms: sum.readMs ?? Number.NaN,
      pending_flushes: 0,
      write_count: sum.writes,
      read_latency: sum.readMs ?? Number.NaN,
      read_count: sum.reads,
    }
  }
  return { ...map, total_number_of_tables: tables.length }
}

function tableMap(one: TableStatsReport, human: boolean): Record<string, unknown> {
  const bytes = (count: number): string => bytesText(count, human)
  return {
    memtable_switch_count: one.flushes,
    speculative_retries: 0,
    average_live_cells_per_slice_last_five_minutes: one.liveRowsPerRead ?? Number.NaN,
    local_read_latency_ms: fixed(one.readMs, 3),
    sstable_count: one.files,
    compacted_partition_minimum_bytes: one.minPartitionBytes,
    sstable_compression_ratio: one.compressionRatio ?? -1,
    max_sstable_size: one.maxFileBytes,
    memtable_off_heap_memory_used: bytes(one.memtableBytes),
    bloom_filter_space_used: bytes(one.filterBytes),
    compacted_partition_maximum_bytes: one.maxPartitionBytes,
    droppable_tombstone_ratio: one.droppableRatio.toFixed(5),
    compression_metadata_off_heap_memory_used: bytes(0),
    bloom_filter_false_ratio: one.bloomFalseRatio.toFixed(5),
    percent_repaired: percentRepaired(one),
    average_tombstones_per_slice_last_five_minutes: one.tombstonesPerRead ?? Number.NaN,
    bloom_filter_off_heap_memory_used: bytes(one.filterBytes),
    bytes_pending_repair: 0,
    maximum_tombstones_per_slice_last_five_minutes: one.maxTombstonesPerRead,
    memtable_cell_count: one.memtableRecords,
    memtable_data_size: bytes(one.memtableBytes),
    local_write_latency_ms: fixed(one.writeMs, 3),
    pending_flushes: 0,
    local_read_count: one.reads,
    bloom_filter_false_positives: one.bloomFalsePositives,
    off_heap_memory_used_total: bytes(offHeap(one)),
    index_summary_off_heap_memory_used: bytes(one.indexBytes),
    sstables_in_each_level: (one.levels ?? []).map(({ files }) => String(files)),
    sstable_bytes_in_each_level: (one.levels ?? []).map((level) => bytes(level.bytes)),
    space_used_total: bytes(one.totalBytes),
    local_write_count: one.writes,
    local_read_write_ratio: ratio(one),
    number_of_partitions_estimate: one.partitions,
    bytes_repaired: one.bytesRepaired,
    maximum_live_cells_per_slice_last_five_minutes: one.maxLiveRowsPerRead,
    space_used_live: bytes(one.liveBytes),
    compacted_partition_mean_bytes: one.meanPartitionBytes,
    old_sstable_count: 0,
    bytes_unrepaired: one.bytesUnrepaired,
    space_used_by_snapshots_total: bytes(one.snapshotBytes),
    ...(one.siblings && {
      average_siblings_per_row_read_last_five_minutes: one.siblings.perRead ?? Number.NaN,
      maximum_siblings_per_row_read_last_five_minutes: one.siblings.maxPerRead,
      writes_that_left_siblings: one.siblings.made,
      writes_refused_for_siblings: one.siblings.refused,
      actors_pruned_from_contexts: one.siblings.pruned,
    }),
  }
}
