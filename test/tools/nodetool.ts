/** polyxena-nodetool prints what Cassandra's does: its recorded outputs, from a node that answers with the same figures. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { TableStatsReport } from '../../lib/server/admin/reports.ts'
import type { ListedSnapshot } from '../../lib/server/admin/snapshot-operations.ts'
import { type Asked, RefusedError, UnreachableError } from '../../tools/nodetool/client.ts'
import { runTool } from '../../tools/nodetool/run.ts'

const GOLDEN = join(dirname(fileURLToPath(import.meta.url)), '../../../test/golden/nodetool')

interface Recorded {
  readonly words: string[]
  readonly stdout: string
  readonly status: number
}

function recorded(name: string): Recorded {
  const text = readFileSync(join(GOLDEN, `${name}.txt`), 'utf8')
  const [, command, stdout, status] =
    /^\$ nodetool (.*)\n([\s\S]*?)(?:--- stderr ---[\s\S]*)?--- exit status (\d) ---\n$/.exec(text)!
  return { words: command!.split(' '), stdout: stdout!, status: Number(status) }
}

interface Ran {
  readonly stdout: string
  readonly stderr: string
  readonly status: number
  /** What the node was asked. */
  readonly asked: readonly (readonly [string, unknown])[]
}

async function run(words: readonly string[], answers: Readonly<Record<string, unknown>>): Promise<Ran> {
  const asked: [string, unknown][] = []
  let stdout = ''
  let stderr = ''
  const answer = async <T>(name: string, values: unknown): Promise<T> => {
    asked.push([name, values])
    const found = answers[name]
    if (found instanceof Error) throw found
    return (found ?? {}) as T
  }
  const client: Asked = { get: answer, post: answer }
  const status = await runTool(words, {
    connect: () => client,
    print(text) {
      stdout += text
    },
    printError(text) {
      stderr += text
    },
  })
  return { stdout, stderr, status, asked }
}

async function matches(t: Test, name: string, answers: Readonly<Record<string, unknown>>): Promise<Ran> {
  const golden = recorded(name)
  const ran = await run(golden.words, answers)
  t.equal(ran.stdout, golden.stdout, name)
  t.equal(ran.status, golden.status, name)
  return ran
}

t.test('snapshots', async (t) => {
  await matches(t, 'snapshot', {})
  const { asked } = await matches(t, 'snapshot-table', {})
  t.match(asked, [['snapshot', { tag: 'only-users', tables: ['shop.users'], keyspaces: [], skipFlush: false }]])
  const { stderr } = await matches(t, 'snapshot-dup2', {
    snapshot: new RefusedError('failure', 'Snapshot x already exists.'),
  })
  t.equal(stderr, 'error: Snapshot x already exists.\n')
  await matches(t, 'clearsnapshot', {})
  await matches(t, 'clearsnapshot-all', {})
  await matches(t, 'listsnapshots-none', { snapshots: { snapshots: [], trueBytes: 0 } })
  const one = (
    tag: string,
    table: string,
    trueBytes: number,
    diskBytes: number,
    createdAt: string,
  ): ListedSnapshot => ({
    tag,
    keyspace: 'shop',
    table,
    trueBytes,
    diskBytes,
    createdAt,
    expiresAt: null,
    ephemeral: false,
  })
  const snapshots = [
    one('before-upgrade', 'users', 1239, 277105, '2026-11-21T01:20:35.318Z'),
    one('before-upgrade', 'hits', 1085, 6472, '2026-11-21T01:20:35.318Z'),
    one('before-upgrade', 'events', 1178, 76401, '2026-11-21T01:20:35.318Z'),
    one('only-users', 'users', 1239, 277105, '2026-11-21T01:20:35.451Z'),
  ]
  await matches(t, 'listsnapshots', { snapshots: { snapshots, trueBytes: 0 } })
})

const IDLE = {
  concurrent: 2,
  pending: [],
  completed: 7,
  aborted: 0,
  bytesRead: 80656,
  recentPerMinute: 0.39,
  meanPerHour: 78.2,
  bytesPerSecond: 64 * 1024 * 1024,
  running: [],
}
const task = (id: string, completedBytes: number, totalBytes: number) => ({
  id,
  kind: 'major',
  keyspace: 'shop',
  name: 'events',
  sstables: 1,
  completedBytes,
  totalBytes,
  directory: '/var/lib/cassandra/data/shop/events-6e69b230e54911f1b05567e0031d7800',
})
const active = (meanPerHour: number, first: number, second: number) => ({
  ...IDLE,
  pending: [{ keyspace: 'shop', table: 'events', tasks: 2 }],
  completed: 18,
  bytesRead: 2481440,
  recentPerMinute: 0.96,
  meanPerHour,
  bytesPerSecond: 1024 * 1024,
  running: [
    task('138a3000-e54a-11f1-b055-67e0031d7800', first, 15181635),
    task('138a08f0-e54a-11f1-b055-67e0031d7800', second, 709593),
  ],
})

t.test('compactions', async (t) => {
  await matches(t, 'compactionstats', { compactionstats: IDLE })
  await matches(t, 'compactionstats-human', { compactionstats: { ...IDLE, meanPerHour: 78.18 } })
  await matches(t, 'compactionstats-active', { compactionstats: active(137.64, 9524962, 411816) })
  await matches(t, 'compactionstats-active-human', { compactionstats: active(137.36, 10715204, 457695) })
  // Its last column was wider: the recording has another path.
  const vtable = recorded('compactionstats-active-vtable')
  const { stdout: shown } = await run(vtable.words, { compactionstats: active(137.31, 10715204, 457695) })
  const trimmed = (text: string): string[] => text.split('\n').map((line) => line.trimEnd())
  t.same(trimmed(shown), trimmed(vtable.stdout))
  const golden = recorded('compactionhistory').stdout.trimEnd().split('\n').slice(2)
  const history = golden.map((line) => {
    const match = /^(\S+) (\S+) +(\S+) +(\S+) (\d+) +(\d+) +\{(.*?)\} +/.exec(line)!
    return {
      id: match[1],
      kind: 'compaction',
      keyspace: match[2],
      name: match[3],
      compactedAtMs: Date.parse(`${match[4]}Z`),
      bytesIn: Number(match[5]),
      bytesOut: Number(match[6]),
      rowsMerged: match[7]!.split(', ').map((pair) => pair.split(':').map(Number)),
    }
  })
  await matches(t, 'compactionhistory', { compactionhistory: { history } })
  const { stdout } = await run(['compactionhistory', '-F', 'json'], { compactionhistory: { history } })
  t.match(
    recorded('compactionhistory-json').stdout,
    stdout.slice(stdout.indexOf('{\n    "keyspace_name" : "system_schema"'), stdout.lastIndexOf('\n  }')),
  )
  const limits = { bytesPerSecond: 64 * 1024 * 1024, concurrent: 2 }
  for (const name of ['getcompactionthroughput', 'getcompactionthroughput-mib', 'getconcurrentcompactors'])
    await matches(t, name, { compactionlimits: limits })
  await matches(t, 'statusautocompaction', {
    autocompaction: { tables: [{ keyspace: 'shop', table: 'users', running: true }] },
  })
})

/** The figures of the recorded tablestats. */
const USERS: TableStatsReport = {
  keyspace: 'shop',
  table: 'users',
  files: 1,
  maxFileBytes: 151663,
  levels: null,
  liveBytes: 151663,
  totalBytes: 151663,
  snapshotBytes: 0,
  compressionRatio: 0.4604303300249009,
  partitions: 3000,
  memtableRecords: 0,
  memtableBytes: 0,
  flushes: 2,
  reads: 1030,
  readMs: 0.833,
  writes: 3075,
  writeMs: 0.408,
  bytesRepaired: 0,
  bytesUnrepaired: 228104,
  bloomFalsePositives: 0,
  bloomFalseRatio: 0,
  filterBytes: 3760,
  indexBytes: 384,
  minPartitionBytes: 18,
  maxPartitionBytes: 86,
  meanPartitionBytes: 85,
  liveRowsPerRead: 1,
  maxLiveRowsPerRead: 1,
  tombstonesPerRead: 1,
  maxTombstonesPerRead: 1,
  droppableRatio: 0,
  siblings: null,
}

/** Lines whose figures are sums over more than the table, or of memory that is laid out otherwise. */
const OTHERWISE = /(Count|Latency): \d|Off heap memory used|Bloom filter (space|off heap)|Compression metadata/

t.test('tables', async (t) => {
  const shown = (text: string): string[] => text.split('\n').filter((line) => !OTHERWISE.test(line))
  const human = recorded('tablestats-human')
  const { stdout } = await run(human.words, { tablestats: { tables: [USERS] } })
  t.same(shown(stdout), shown(human.stdout))
  const top = recorded('tablestats-top')
  const levels = Array.from({ length: 9 }, (_, i) => ({ files: i === 0 ? 1 : 0, bytes: i === 0 ? 68334 : 0 }))
  const tables = [
    { ...USERS, table: 'events', reads: 21, levels },
    USERS,
    ...Array.from({ length: 50 }, (_, i) => ({ ...USERS, table: `t${i}`, reads: 0 })),
  ]
  const sorted = (await run(top.words, { tablestats: { tables } })).stdout
  t.equal(sorted.split('\n')[0], top.stdout.split('\n')[0])
  t.match(sorted, /Table: shop\.users\n[\s\S]*Table: shop\.events\n/)
  t.match(
    sorted,
    '\tSSTables in each level: [1, 0, 0, 0, 0, 0, 0, 0, 0]\n\tSSTable bytes in each level: [68334, 0, 0, 0, 0, 0, 0, 0, 0]\n',
  )
  await matches(t, 'tablestats-bad', { tablestats: new RefusedError('usage', 'Unknown keyspace: nosuch') })
  t.equal((await run(['tablestats', '-F', 'xml'], {})).status, 1)
  const json = JSON.parse(
    (await run(['tablestats', '-F', 'json', 'shop.users'], { tablestats: { tables: [USERS] } })).stdout,
  )
  t.match(json, {
    total_number_of_tables: 1,
    shop: { tables: { users: { sstable_count: 1, local_read_latency_ms: '0.833' } } },
  })
  const versions = { ...USERS, siblings: { perRead: 1.5, maxPerRead: 3, made: 7, refused: 2, pruned: 4 } }
  t.match(
    (await run(['tablestats', 'shop.users'], { tablestats: { tables: [versions] } })).stdout,
    '\t\tAverage siblings per row read (last five minutes): 1.5\n\t\tMaximum siblings per row read (last five minutes): 3\n' +
      '\t\tWrites that left siblings: 7\n\t\tWrites refused for too many siblings: 2\n\t\tActors pruned from contexts: 4\n',
  )
  const sstables = [
    { path: '/var/lib/cassandra/data/shop/users-6c86e870e54911f1a31b2fd701297bec/nb-1-big-Data.db', level: 0 },
  ]
  await matches(t, 'getsstables', { sstables: { sstables } })
})

t.test('histograms', async (t) => {
  const columns = (name: string): number[][] => {
    const rows = recorded(name)
      .stdout.split('\n')
      .filter((line) => /^(\d\d%|Min|Max)/.test(line))
    const cells = rows.map((line) => line.slice(10).trim().split(/ +/).map(Number))
    return cells[0]!.map((_, column) => cells.map((row) => row[column]!))
  }
  const [readMicros, writeMicros, sstables, partitionBytes, cells] = columns('tablehistograms-busy')
  const table = { keyspace: 'shop', table: 'users', readMicros, writeMicros, sstables, partitionBytes, cells }
  await matches(t, 'tablehistograms-busy', { tablehistograms: { tables: [table] } })
  const [read, write, range, casRead, casWrite, viewWrite] = columns('proxyhistograms-busy')
  await matches(t, 'proxyhistograms-busy', { proxyhistograms: { read, write, range, casRead, casWrite, viewWrite } })
})

t.test('wrong usage, and a node that is not there', async (t) => {
  await matches(t, 'unknown-command', {})
  await matches(t, 'statusbackup', { backup: { running: false } })
  const usage = async (words: string[], message: string): Promise<void> => {
    const { stdout, status } = await run(words, {})
    t.equal(stdout, `nodetool: ${message}\nSee 'nodetool help' or 'nodetool help <command>'.\n`)
    t.equal(status, 1)
  }
  await usage(['drain', 'x'], 'Found unexpected parameters: [x]')
  await usage(['refresh', 'shop'], 'refresh requires ks and cf args')
  await usage(['import', 'shop', 'users'], 'import requires keyspace, table name and directories')
  await usage(['getsstables', 'shop'], 'getsstables requires ks, cf and key args')
  await usage(['-p', 'x', 'info'], 'port: can not convert "x" to a int')
  await usage(['snapshot', '-t'], "Required values for option 'tag' not provided")
  const gone = {
    node: new UnreachableError("ConnectException: 'Connection refused (Connection refused)'."),
    backup: new UnreachableError('x'),
  }
  t.match(await run(['statusbinary'], gone), { stdout: 'not running\n', status: 0 })
  t.match(await run(['-h', '127.0.0.9', '-p', '7', 'statusbackup'], gone), {
    stderr: "nodetool: Failed to connect to '127.0.0.9:7' - x\n",
    status: 2,
  })
})

t.test('words: options before and after, a command has its own of the same name, json for all', async (t) => {
  const { asked } = await run(['-p', '7199', 'import', '-p', 'shop', 'users', 'import/shop/users'], {})
  t.same(asked[0]![1], {
    keyspace: 'shop',
    table: 'users',
    directories: ['import/shop/users'],
    snapshot: null,
    copy: true,
  })
  const flush = await run(['flush', '--', '-kt', 'users'], {})
  t.same(flush.asked, [['flush', { keyspace: '-kt', tables: ['users'] }]])
  const json = await run(['statusbackup', '--format', 'json'], { backup: { running: true, failures: 0 } })
  t.same(JSON.parse(json.stdout), { running: true, failures: 0 })
  t.match((await run(['help'], {})).stdout, /\n {4}listsnapshots +Lists all the snapshots/)
  t.match((await run(['help', 'snapshot'], {})).stdout, /polyxena-nodetool snapshot - Take a snapshot/)
})
