/** Commands about compactions. Source: Cassandra's nodetool, its words and outputs. */
import type { RunningCompaction } from '../../lib/server/admin/compaction-control.ts'
import { UsageError } from './arguments.ts'
import { type Command, FORMAT, HUMAN, keyspaceAndTables } from './command.ts'
import { bytesText, jsonText, table, yamlText } from './text.ts'

const MIB = 1024 * 1024

/** Cassandra's words for the kinds of compactions. */
const KINDS: Readonly<Record<string, string>> = {
  compaction: 'Compaction',
  major: 'Major compaction',
  'user-defined': 'User defined compaction',
  tombstones: 'Tombstone Compaction',
  garbage: 'Remove deleted data',
}

const compact: Command = {
  help: 'Force a (major) compaction on one or more tables or user-defined compaction on given SSTables',
  options: [
    { names: ['-s', '--split-output'], help: 'Use -s to not create a single big file' },
    { names: ['--user-defined'], help: 'Use --user-defined to submit listed files for user-defined compaction' },
  ],
  arguments: '[--] [<keyspace> <tables>...] or <SSTable file>...',
  run({ client, words }) {
    if (words.has('--user-defined')) {
      if (words.has('-s')) throw new UsageError('Invalid option combination: User defined compaction can not be split')
      return client.post('compact', { sstables: words.arguments })
    }
    return client.post('compact', { ...keyspaceAndTables(words), splitOutput: words.has('-s') })
  },
}

const stop: Command = {
  help: 'Stop compaction',
  options: [
    {
      names: ['-id', '--compaction-id'],
      value: 'compactionId',
      help: 'Use -id to stop a compaction by the specified id',
    },
  ],
  arguments: '[--] <compaction type>',
  run: ({ client, words }) => client.post('stop', { id: words.value('-id'), type: words.arguments[0] ?? null }),
}

interface Stats {
  readonly concurrent: number
  readonly pending: readonly { readonly keyspace: string; readonly table: string; readonly tasks: number }[]
  readonly completed: number
  readonly aborted: number
  readonly bytesRead: number
  readonly recentPerMinute: number
  readonly meanPerHour: number
  readonly bytesPerSecond: number
  readonly running: readonly RunningCompaction[]
}

const compactionstats: Command = {
  help: 'Print statistics on compactions',
  options: [HUMAN, { names: ['-V', '--vtable'], help: 'Display fields matching vtable output' }],
  async run({ client, words, print }) {
    const stats = await client.get<Stats>('compactionstats')
    const human = words.has('-H')
    const rows: string[][] = [
      ['concurrent compactors', String(stats.concurrent)],
      ['pending tasks', String(stats.pending.reduce((sum, { tasks }) => sum + tasks, 0))],
      ...stats.pending.map((one) => [one.keyspace, one.table, String(one.tasks)]),
      ['compactions completed', String(stats.completed)],
      ['data compacted', bytesText(stats.bytesRead, human)],
      ['compactions aborted', String(stats.aborted)],
      ['compactions reduced', '0'],
      ['sstables dropped from compaction', '0'],
      ['15 minute rate', `${stats.recentPerMinute.toFixed(2)}/minute`],
      ['mean rate', `${stats.meanPerHour.toFixed(2)}/hour`],
      [
        'compaction throughput (MiB/s)',
        stats.bytesPerSecond === 0 ? 'throttling disabled (0)' : (stats.bytesPerSecond / MIB).toFixed(1),
      ],
    ]
    if (stats.running.length > 0) rows.push(...(words.has('-V') ? vtableRows(stats, human) : runningRows(stats, human)))
    print(table(rows))
    return stats
  },
}

function share({ completedBytes, totalBytes }: RunningCompaction): string {
  return totalBytes === 0 ? 'n/a' : `${((100 * completedBytes) / totalBytes).toFixed(2)}%`
}

function kindText(kind: string): string {
  return KINDS[kind] ?? kind
}

function runningRows(stats: Stats, human: boolean): string[][] {
  return [
    ['id', 'compaction type', 'keyspace', 'table', 'completed', 'total', 'unit', 'progress'],
    ...stats.running.map((task) => [
      task.id,
      kindText(task.kind),
      task.keyspace,
      task.name,
      bytesText(task.completedBytes, human),
      bytesText(task.totalBytes, human),
      'bytes',
      share(task),
    ]),
    remaining(stats),
  ]
}

function vtableRows(stats: Stats, human: boolean): string[][] {
  return [
    [
      'keyspace',
      'table',
      'task id',
      'completion ratio',
      'kind',
      'progress',
      'sstables',
      'total',
      'unit',
      'target directory',
    ],
    ...stats.running.map((task) => [
      task.keyspace,
      task.name,
      task.id,
      share(task),
      kindText(task.kind),
      bytesText(task.completedBytes, human),
      String(task.sstables),
      bytesText(task.totalBytes, human),
      'bytes',
      task.directory,
    ]),
    remaining(stats),
  ]
}

function remaining({ running, bytesPerSecond }: Stats): string[] {
  const left = running.reduce((sum, { completedBytes, totalBytes }) => sum + totalBytes - completedBytes, 0)
  const seconds = Math.floor(left / bytesPerSecond)
  const two = (value: number): string => String(value).padStart(2, '0')
  const text =
    bytesPerSecond === 0
      ? 'n/a'
      : `${Math.floor(seconds / 3600)}h${two(Math.floor(seconds / 60) % 60)}m${two(seconds % 60)}s`
  return ['active compaction remaining time', text]
}

interface History {
  readonly history: readonly {
    readonly id: string
    readonly kind: string
    readonly keyspace: string
    readonly name: string
    readonly compactedAtMs: number
    readonly bytesIn: number
    readonly bytesOut: number
    readonly rowsMerged: readonly (readonly [number, number])[]
  }[]
}

const compactionhistory: Command = {
  help: 'Print history of compaction',
  options: [FORMAT, HUMAN],
  async run({ client, words, print }) {
    const format = words.value('-F')
    if (format !== null && format !== 'json' && format !== 'yaml')
      throw new UsageError('arguments for -F are json,yaml only.')
    const answer = await client.get<History>('compactionhistory')
    const human = words.has('-H')
    const rows = answer.history.map((one) => ({
      keyspace_name: one.keyspace,
      bytes_out: one.bytesOut,
      bytes_in: one.bytesIn,
      compaction_properties: `{compaction_type:${kindText(one.kind)}}`,
      columnfamily_name: one.name,
      rows_merged: `{${one.rowsMerged.map(([files, rows]) => `${files}:${rows}`).join(', ')}}`,
      id: one.id,
      compacted_at: new Date(one.compactedAtMs).toISOString().slice(0, -1),
    }))
    if (format === 'json') print(`${jsonText({ CompactionHistory: rows })}\n`)
    else if (format === 'yaml') print(yamlText({ CompactionHistory: rows }))
    else if (rows.length === 0) print('There is no compaction history\n')
    else {
      const head = [
        'id',
        'keyspace_name',
        'columnfamily_name',
        'compacted_at',
        'bytes_in',
        'bytes_out',
        'rows_merged',
        'compaction_properties',
      ]
      const cells = rows.map((row) => [
        row.id,
        row.keyspace_name,
        row.columnfamily_name,
        row.compacted_at,
        bytesText(row.bytes_in, human),
        bytesText(row.bytes_out, human),
        row.rows_merged,
        row.compaction_properties,
      ])
      print(`Compaction History: \n${table([head, ...cells])}`)
    }
    return answer
  },
}

function automatic(enabled: boolean): Command {
  return {
    help: `${enabled ? 'Enable' : 'Disable'} autocompaction for the given keyspace and table`,
    arguments: '[--] [<keyspace> <tables>...]',
    run: ({ client, words }) => client.post('autocompaction', { ...keyspaceAndTables(words), enabled }),
  }
}

const statusautocompaction: Command = {
  help: 'status of autocompaction of the given keyspace and table',
  options: [{ names: ['-a', '--all'], help: 'Show auto compaction status for each keyspace/table' }],
  arguments: '[--] [<keyspace> <tables>...]',
  async run({ client, words, print }) {
    const answer = await client.get<{ tables: { keyspace: string; table: string; running: boolean }[] }>(
      'autocompaction',
      keyspaceAndTables(words),
    )
    const { tables } = answer
    const word = (running: boolean): string => (running ? 'running' : 'not running')
    if (words.has('-a'))
      print(
        table([['Keyspace', 'Table', 'Status'], ...tables.map((one) => [one.keyspace, one.table, word(one.running)])]),
      )
    else {
      const running = tables.filter((one) => one.running).length
      print(`${running === tables.length ? 'running' : running === 0 ? 'not running' : 'partially running'}\n`)
    }
    return answer
  },
}

interface Limits {
  readonly bytesPerSecond: number
  readonly concurrent: number
}

const getcompactionthroughput: Command = {
  help: 'Print the MiB/s throughput cap for compaction in the system as a rounded number',
  options: [
    {
      names: ['-d', '--precise-mib'],
      help: 'Print the MiB/s throughput cap for compaction in the system as a precise number (double)',
    },
  ],
  async run({ client, words, print }) {
    const limits = await client.get<Limits>('compactionlimits')
    const mebibytes = limits.bytesPerSecond / MIB
    print(
      `Current compaction throughput: ${words.has('-d') ? `${mebibytes.toFixed(1)} MiB/s` : `${Math.round(mebibytes)} MB/s`}\n`,
    )
    return limits
  },
}

const setcompactionthroughput: Command = {
  help: 'Set the MiB/s throughput cap for compaction in the system, or 0 to disable throttling',
  arguments: '[--] <compaction_throughput>',
  run: ({ client, words }) =>
    client.post('compactionlimits', { bytesPerSecond: wholeArgument(words.arguments, 'compaction_throughput') * MIB }),
}

const getconcurrentcompactors: Command = {
  help: 'Get the number of concurrent compactors in the system.',
  async run({ client, print }) {
    const limits = await client.get<Limits>('compactionlimits')
    print(`Current concurrent compactors in the system is: \n${limits.concurrent}\n`)
    return limits
  },
}

const setconcurrentcompactors: Command = {
  help: 'Set number of concurrent compactors in the system.',
  arguments: '[--] <value>',
  run: ({ client, words }) =>
    client.post('compactionlimits', { concurrent: wholeArgument(words.arguments, 'concurrent_compactors') }),
}

function wholeArgument(given: readonly string[], name: string): number {
  if (given.length !== 1) throw new UsageError(`Required parameters are missing: ${name}`)
  const number = Number(given[0])
  if (!Number.isInteger(number)) throw new UsageError(`${name}: can not convert "${given[0]}" to a int`)
  return number
}

export const COMPACTION_COMMANDS: Readonly<Record<string, Command>> = {
  compact,
  stop,
  compactionstats,
  compactionhistory,
  enableautocompaction: automatic(true),
  disableautocompaction: automatic(false),
  statusautocompaction,
  getcompactionthroughput,
  setcompactionthroughput,
  getconcurrentcompactors,
  setconcurrentcompactors,
}
