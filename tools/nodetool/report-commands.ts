/** Commands that show what a node counts. Source: Cassandra's nodetool, its words and outputs. */
import type { Percentiles, TableHistograms } from '../../lib/server/admin/reports.ts'
import { UsageError } from './arguments.ts'
import { type Command, FORMAT } from './command.ts'
import { tablestats } from './tablestats.ts'
import { bytesText, jsonText, table, yamlText } from './text.ts'

const MIB = 1024 * 1024
const SHARES = ['50%', '75%', '95%', '98%', '99%', 'Min', 'Max']

const tablehistograms: Command = {
  help: 'Print statistic histograms for a given table',
  arguments: '[--] [<keyspace> <table> | <keyspace.table>]',
  async run({ client, words, print }) {
    const given = words.arguments.length === 1 ? words.arguments[0]!.split('.') : words.arguments
    if (given.length !== 0 && given.length !== 2)
      throw new UsageError('tablehistograms requires keyspace and table name arguments')
    const [keyspace, name] = given
    const answer = await client.get<{ tables: TableHistograms[] }>('tablehistograms', { keyspace, table: name })
    for (const one of answer.tables) print(histogramsText(one))
    return answer
  },
}

function histogramsText(one: TableHistograms): string {
  const cell = (text: string, width: number): string => text.padStart(width)
  const row = (first: string, cells: readonly string[]): string =>
    `${first.padEnd(10)}${cells.map((text) => cell(text, 18)).join('')}\n`
  const time = (value: number | null | undefined): string => (value ?? 0).toFixed(2)
  const size = (value: number | null | undefined): string =>
    value === null || value === undefined ? 'NaN' : String(Math.round(value))
  const hasNone = one.partitionBytes[0] === null
  const rows = SHARES.map((share, i) =>
    row(share, [
      time(one.readMicros[i]),
      time(one.writeMicros[i]),
      time(one.sstables[i]),
      size(one.partitionBytes[i]),
      size(one.cells[i]),
    ]),
  )
  const head = row('Percentile', ['Read Latency', 'Write Latency', 'SSTables', 'Partition Size', 'Cell Count'])
  const units = row('', ['(micros)', '(micros)', '', '(bytes)', ''])
  const none = hasNone ? "No SSTables exists, unable to calculate 'Partition Size' and 'Cell Count' percentiles\n" : ''
  return `${none}${one.keyspace}/${one.table} histograms\n${head}${units}${rows.join('')}\n`
}

const PROXY = ['read', 'write', 'range', 'casRead', 'casWrite', 'viewWrite']

const proxyhistograms: Command = {
  help: 'Print statistic histograms for network operations',
  async run({ client, print }) {
    const answer = await client.get<Record<string, Percentiles>>('proxyhistograms')
    const titles = [
      'Read Latency',
      'Write Latency',
      'Range Latency',
      'CAS Read Latency',
      'CAS Write Latency',
      'View Write Latency',
    ]
    const row = (first: string, cells: readonly string[]): string =>
      `${first.padEnd(10)}${cells.map((text) => text.padStart(19)).join('')}\n`
    print('proxy histograms\n')
    print(row('Percentile', titles))
    print(
      row(
        '',
        titles.map(() => '(micros)'),
      ),
    )
    for (const [i, share] of SHARES.entries())
      print(
        row(
          share,
          PROXY.map((name) => (answer[name]?.[i] ?? 0).toFixed(2)),
        ),
      )
    print('\n')
    return answer
  },
}

interface Cache {
  readonly name: string
  readonly bytes: number
  readonly bytesMax: number
  readonly entries: number
  readonly hits: number
  readonly misses: number
}

interface Info {
  readonly id: string
  readonly nativeTransportActive: boolean
  readonly gossipActive: boolean
  readonly loadBytes: number
  readonly rawBytes: number
  readonly generation: number
  readonly uptimeSeconds: number
  readonly heapBytes: number
  readonly heapBytesMax: number
  readonly offHeapBytes: number
  readonly datacenter: string
  readonly rack: string
  readonly exceptions: number
  readonly caches: readonly Cache[]
  readonly repairedShare: number
  readonly tokens: readonly string[]
  readonly problems: readonly string[]
}

const info: Command = {
  help: 'Print node information (uptime, load, ...)',
  options: [{ names: ['-T', '--tokens'], help: 'Display all tokens' }],
  async run({ client, words, print }) {
    const answer = await client.get<Info>('info')
    const line = (name: string, value: string | number | boolean): void => print(`${name.padEnd(23)}: ${value}\n`)
    const mebibytes = (bytes: number): string => (bytes / MIB).toFixed(2)
    line('ID', answer.id)
    line('Gossip active', answer.gossipActive)
    line('Native Transport active', answer.nativeTransportActive)
    line('Load', bytesText(answer.loadBytes))
    line('Uncompressed load', bytesText(answer.rawBytes))
    line('Generation No', answer.generation)
    line('Uptime (seconds)', answer.uptimeSeconds)
    line('Heap Memory (MB)', `${mebibytes(answer.heapBytes)} / ${mebibytes(answer.heapBytesMax)}`)
    line('Off Heap Memory (MB)', mebibytes(answer.offHeapBytes))
    line('Data Center', answer.datacenter)
    line('Rack', answer.rack)
    line('Exceptions', answer.exceptions)
    line('Key Cache', cacheText(answer.caches, 'KeyCache', 14400))
    line('Row Cache', cacheText(answer.caches, 'RowCache', 0))
    line('Counter Cache', cacheText(answer.caches, 'CounterCache', 7200))
    for (const cache of answer.caches)
      if (!CASSANDRA_CACHES.has(cacheKey(cache.name)))
        line(cache.name === 'blocks' ? 'Block Cache' : cache.name, cacheText(answer.caches, cache.name, 0))
    line('Percent Repaired', `${(answer.repairedShare * 100).toFixed(1)}%`)
    if (words.has('-T')) for (const token of answer.tokens) line('Token', token)
    else if (answer.tokens.length === 1) line('Token', answer.tokens[0]!)
    else line('Token', `(invoke with -T/--tokens to see all ${answer.tokens.length} tokens)`)
    line('Bootstrap state', 'COMPLETED')
    line('Bootstrap failed', false)
    line('Decommissioning', false)
    line('Decommission failed', false)
    for (const problem of answer.problems) line('Problem', problem)
    return answer
  },
}

const CASSANDRA_CACHES = new Set(['keycache', 'rowcache', 'countercache'])

function cacheKey(name: string): string {
  const key = name.replaceAll(/[^A-Za-z]/g, '').toLowerCase()
  return key.endsWith('cache') ? key : `${key.replace(/s$/, '')}cache`
}

function cacheText(caches: readonly Cache[], name: string, saveSeconds: number): string {
  const found = caches.find((cache) => cacheKey(cache.name) === cacheKey(name))
  const { entries, bytes, bytesMax, hits, misses } = found ?? { entries: 0, bytes: 0, bytesMax: 0, hits: 0, misses: 0 }
  const requests = hits + misses
  const rate = requests === 0 ? 'NaN' : (hits / requests).toFixed(3)
  const capacity = bytesMax % MIB === 0 && bytesMax > 0 ? `${bytesMax / MIB} MiB` : bytesText(bytesMax)
  const saved = found ? 0 : saveSeconds
  return `entries ${entries}, size ${bytesText(bytes)}, capacity ${capacity}, ${hits} hits, ${requests} requests, ${rate} recent hit rate, ${saved} save period in seconds`
}

interface Pools {
  readonly pools: readonly {
    readonly name: string
    readonly active: number
    readonly pending: number
    readonly completed: number
    readonly blocked: number
    readonly allTimeBlocked: number
  }[]
  /** By what messages to other nodes are about. */
  readonly dropped: readonly { readonly type: string; readonly dropped: number }[]
}

const tpstats: Command = {
  help: 'Print usage statistics of thread pools',
  options: [FORMAT],
  async run({ client, words, print }) {
    const format = words.value('-F')
    if (format !== null && format !== 'json' && format !== 'yaml')
      throw new UsageError('arguments for -F are json,yaml only.')
    const answer = await client.get<Pools>('tpstats')
    const { pools } = answer
    const map = {
      ThreadPools: Object.fromEntries(
        pools.map((pool) => [
          pool.name,
          {
            TotalBlockedTasks: pool.allTimeBlocked,
            ActiveTasks: pool.active,
            PendingTasks: pool.pending,
            CurrentlyBlockedTasks: pool.blocked,
            CompletedTasks: pool.completed,
          },
        ]),
      ),
      DroppedMessage: Object.fromEntries(answer.dropped.map(({ type, dropped }) => [type, dropped])),
      WaitLatencies: {},
    }
    if (format === 'json') print(`${jsonText(map)}\n`)
    else if (format === 'yaml') print(yamlText(map))
    else {
      const head = ['Pool Name', 'Active', 'Pending', 'Completed', 'Blocked', 'All time blocked']
      const rows = pools.map((pool) =>
        [pool.name, pool.active, pool.pending, pool.completed, pool.blocked, pool.allTimeBlocked].map(String),
      )
      print(table([head, ...rows]))
      // How long they waited is not known.
      const dropped = answer.dropped.map((one) => [one.type, String(one.dropped), '0.0', '0.0', '0.0', '0.0'])
      const titles = ['Message type', 'Dropped', '50%', '95%', '99%', 'Max']
      print(`\nLatencies waiting in queue (micros) per dropped message types\n${table([titles, ...dropped])}`)
    }
    return answer
  },
}

const gcstats: Command = {
  help: 'Print GC Statistics',
  async run({ client, print }) {
    const answer = await client.get<{
      observedMs: number
      collections: number
      maxMs: number
      totalMs: number
      bufferBytes: number
    }>('gcstats')
    const cell = (text: string | number): string => String(text).padStart(20)
    const titles = [
      'Interval (ms)',
      'Max GC Elapsed (ms)',
      'Total GC Elapsed (ms)',
      'Stdev GC Elapsed (ms)',
      'GC Reclaimed (MB)',
      'Collections',
    ]
    print(`${titles.map(cell).join('')}${'Direct Memory Bytes'.padStart(25)}\n`)
    const values = [
      Math.round(answer.observedMs),
      Math.round(answer.maxMs),
      Math.round(answer.totalMs),
      'NaN',
      'NaN',
      answer.collections,
    ]
    print(`${values.map(cell).join('')}${String(answer.bufferBytes).padStart(25)}\n`)
    return answer
  },
}

export const REPORT_COMMANDS: Readonly<Record<string, Command>> = {
  tablestats,
  cfstats: tablestats,
  tablehistograms,
  proxyhistograms,
  info,
  tpstats,
  gcstats,
}
