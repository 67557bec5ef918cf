/** polyxena-sstable: what it shows of a data directory is what was written, in sstabledump's shape; damage is found, named, and passed over. */
import { spawn } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { startNode } from '../../lib/index.ts'
import { openNodeDisk } from '../../lib/runtime/node/disk.ts'
import { type DumpOptions, dumpLog, dumpTable } from '../../tools/offline/dump.ts'
import { describeTable, metadataText } from '../../tools/offline/metadata.ts'
import { timeText } from '../../tools/offline/row-text.ts'
import { verifyPath } from '../../tools/offline/verify.ts'
import { ToolClient } from '../../tools/support/client.ts'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..')
const directory = mkdtempSync(join(tmpdir(), 'polyxena-sstable-'))
const data = join(directory, 'data')
const disk = openNodeDisk()
t.teardown(() => rmSync(directory, { recursive: true }))

/** What the recorded dump of Cassandra was made of. */
const STATEMENTS = [
  "CREATE KEYSPACE snap_k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  'CREATE TYPE snap_k.ut (a int, b text)',
  'CREATE TABLE snap_k.t (a int, b int, s text static, v text, u frozen<ut>, m map<text, int>, PRIMARY KEY (a, b))',
  "INSERT INTO snap_k.t (a, b, s, v, u, m) VALUES (1, 1, 'st', 'vv', {a: 1, b: 'x'}, {'k': 1})",
  "INSERT INTO snap_k.t (a, b, v) VALUES (1, 2, 'x') USING TTL 500000",
  'DELETE FROM snap_k.t WHERE a = 1 AND b > 5 AND b <= 9',
  'DELETE FROM snap_k.t WHERE a = 2',
  'DELETE v FROM snap_k.t WHERE a = 1 AND b = 3',
  'DELETE FROM snap_k.t WHERE a = 1 AND b = 4',
  "UPDATE snap_k.t SET m = m + {'z': 2} WHERE a = 3 AND b = 1",
]

let file = ''

t.before(async () => {
  const node = await startNode({ directory: data })
  const client = await ToolClient.connect(node.address, node.port)
  for (const statement of STATEMENTS) await client.query(statement)
  await node.store.flush()
  await client.query('CREATE TABLE snap_k.big (a int PRIMARY KEY, b bigint, c list<int>)')
  const texts = Array.from(
    { length: 1200 },
    (_, i) => `INSERT INTO snap_k.big (a, b, c) VALUES (${i}, ${2n ** 62n + BigInt(i)}, [${i}])`,
  )
  await Promise.all(texts.map((text) => client.query(text)))
  await node.store.flush()
  await client.query("INSERT INTO snap_k.t (a, b, v) VALUES (9, 9, 'in the log only')")
  client.close()
  // As it lies while the node runs.
  copy(data, join(directory, 'running'))
  await node.close()
  file = sstables('t')[0]!
})

function copy(from: string, to: string): void {
  mkdirSync(to)
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.isDirectory()) copy(join(from, entry.name), join(to, entry.name))
    else if (entry.isFile()) copyFileSync(join(from, entry.name), join(to, entry.name))
  }
}

function sstables(table: string): string[] {
  const [folder] = readdirSync(join(data, 'tables/snap_k')).filter((name) => name.startsWith(`${table}-`))
  return readdirSync(join(data, 'tables/snap_k', folder!))
    .filter((name) => name.endsWith('.sst'))
    .map((name) => join(data, 'tables/snap_k', folder!, name))
}

const OPTIONS: DumpOptions = { raw: false, nowSeconds: 0, keysOnly: false, lines: false, key: null }

async function dump(path: string, options: Partial<DumpOptions> = {}): Promise<{ text: string; problems: string[] }> {
  let text = ''
  const problems: string[] = []
  const output = {
    write(part: string): undefined {
      text += part
    },
    problem: (error: Error) => void problems.push(error.message),
  }
  const count = await dumpTable(disk, path, { ...OPTIONS, ...options }, output)
  t.equal(count, problems.length)
  return { text, problems }
}

type Json = Record<string, unknown>

/** Without places and times, range tombstones first and cells by name, as the two files lay them out otherwise. */
function comparable(dumped: Json[]): unknown {
  const mask = (_: string, value: unknown): unknown => {
    if (typeof value === 'string' && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value)) return 'time'
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    const { position: _p, token: _t, ...rest } = value as Json
    if (Array.isArray(rest.cells))
      rest.cells = [...rest.cells].sort((a: Json, b: Json) => (String(a.name) < String(b.name) ? -1 : 1))
    return rest
  }
  const partitions = JSON.parse(JSON.stringify(dumped, mask)) as { rows: Json[] }[]
  const rank = ({ type }: Json): number => (type === 'static_block' ? 0 : type === 'range_tombstone_bound' ? 1 : 2)
  for (const partition of partitions) partition.rows.sort((a, b) => rank(a) - rank(b))
  return partitions
}

t.test('dump has the shape of sstabledump', async (t) => {
  const { text, problems } = await dump(file)
  const golden = JSON.parse(readFileSync(join(ROOT, 'test/golden/sstabledump.json'), 'utf8'))
  t.same(comparable(JSON.parse(text)), comparable(golden))
  t.same(problems, [])
  t.equal((await dump(file, { keysOnly: true, lines: true })).text, '[ "1" ]\n[ "2" ]\n[ "3" ]\n')
  const one = JSON.parse((await dump(file, { key: '2' })).text)
  t.match(one, [{ partition: { key: ['2'], token: '-3248873570005575792' }, rows: [] }])
  const lines = (await dump(file, { lines: true, raw: true })).text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.equal(lines.length, 3)
  t.match(lines[1], { partition: { deletion_info: { marked_deleted: /^\d{16}$/, local_delete_time: /^\d{10}$/ } } })
})

t.test('an SSTable says itself what its columns are', async (t) => {
  const alone = join(directory, 'alone')
  mkdirSync(alone)
  const [big] = sstables('big')
  copyFileSync(big!, join(alone, '1.sst'))
  t.match(
    (await dump(join(alone, '1.sst'), { key: '7' })).text,
    /"value" : 4611686018427387911\b/,
    'it says itself what its columns are',
  )
})

t.test('damage in the middle costs one block; without its end a file is read as well', async (t) => {
  const damaged = join(directory, 'damaged')
  mkdirSync(damaged)
  const path = join(damaged, '1.sst')
  const [big] = sstables('big')
  const bytes = readFileSync(big!)
  const keys = async (): Promise<{ count: number; problems: string[] }> => {
    const { text, problems } = await dump(path, { keysOnly: true, lines: true })
    return { count: text.trimEnd().split('\n').length, problems }
  }
  writeFileSync(path, bytes)
  t.same(await keys(), { count: 1200, problems: [] })
  const middle = bytes.length >> 1
  for (const at of [middle, middle + 1, middle + 2]) {
    const broken = Buffer.from(bytes)
    broken[at]! ^= 0xff
    writeFileSync(path, broken)
    const { count, problems } = await keys()
    t.ok(count > 800 && count < 1200, `${count} partitions`)
    t.match(problems, [/1\.sst is damaged at offset \d+/])
    const bad: string[] = []
    await verifyPath(disk, damaged, { good() {}, bad: (_, error) => void bad.push(error.message) })
    t.match(bad, [/1\.sst is damaged at offset \d+/])
  }
  writeFileSync(path, bytes)
  truncateSync(path, middle)
  const cut = await keys()
  t.ok(cut.count > 300 && cut.count < 1200, `${cut.count} partitions`)
  t.ok(cut.problems.length > 0)
})

t.test('dump-log shows what is in the log only, with names of tables that have no SSTable', async (t) => {
  let text = ''
  const output = {
    write(part: string): undefined {
      text += part
    },
    problem: (error: Error) => t.fail(error.message),
  }
  t.equal(await dumpLog(disk, join(directory, 'running'), { raw: false, nowSeconds: 0 }, output), 0)
  const last = JSON.parse(text.trimEnd().split('\n').at(-1)!)
  t.match(last, {
    keyspace: 'snap_k',
    table: 't',
    key: ['9'],
    rows: [{ clustering: [9], cells: [{ name: 'v', value: 'in the log only' }] }],
  })
})

t.test('verify: a data directory, of a running node too', async (t) => {
  for (const path of [data, join(directory, 'running')]) {
    const good: string[] = []
    await verifyPath(disk, path, {
      good: (found) => void good.push(found.slice(path.length)),
      bad: (_, error) => t.fail(error.message),
    })
    t.ok(good.includes('/tables/MANIFEST'))
    for (const table of ['t', 'big']) t.ok(good.some((found) => found.startsWith(`/tables/snap_k/${table}-`)))
    t.ok(good.some((found) => found.startsWith('/commitlog/')))
  }
  const broken = join(directory, 'broken')
  copy(join(directory, 'running'), broken)
  const manifest = readFileSync(join(broken, 'tables/MANIFEST'))
  manifest[40]! ^= 1
  writeFileSync(join(broken, 'tables/MANIFEST'), manifest)
  const [segment] = readdirSync(join(broken, 'commitlog'))
  const log = readFileSync(join(broken, 'commitlog', segment!))
  log[100]! ^= 1
  writeFileSync(join(broken, 'commitlog', segment!), log)
  const bad: string[] = []
  await verifyPath(disk, broken, { good() {}, bad: (path) => void bad.push(path.slice(broken.length)) })
  t.same(bad.sort(), [`/commitlog/${segment}`, '/tables/MANIFEST'])
})

t.test('metadata', async (t) => {
  const described = await describeTable(disk, file, { nowSeconds: 4_000_000_000, gcGraceSeconds: 0 })
  t.match(described, {
    Table: 'snap_k.t',
    'SSTable Level': 0,
    totalRows: 6,
    Partitions: 3,
    'TTL max': 500000,
    KeyType: ['Int32Type'],
    'First token': '-4069959284402364209 (1)',
  })
  t.ok((described['Estimated droppable tombstones'] as number) > 0.5)
  t.match(metadataText(described), /\nMinimum timestamp: \d{4}-\d\d-\d\dT[\d:.]+Z \(\d{16}\)\n/)
})

t.test('the command', async (t) => {
  const run = async (...words: string[]): Promise<{ status: number | null; stdout: string }> => {
    const child = spawn(process.execPath, [join(ROOT, 'dist/tools/sstable.js'), ...words], { timeout: 180_000 })
    let stdout = ''
    child.stdout.on('data', (chunk) => {
      stdout += String(chunk)
    })
    return { status: await new Promise((resolve) => child.once('close', resolve)), stdout }
  }
  t.match(await run('dump', '-e', '-l', file), { status: 0, stdout: '[ "1" ]\n[ "2" ]\n[ "3" ]\n' })
  t.equal((await run('verify', join(directory, 'damaged'))).status, 2)
  t.equal((await run('nosuch')).status, 1)
})

t.test('times', async (t) => {
  t.equal(timeText(1795262553777987n), '2026-11-21T12:02:33.777987Z')
  t.equal(timeText(1795262553777000n), '2026-11-21T12:02:33.777Z')
  t.equal(timeText(1795262553000000n), '2026-11-21T12:02:33Z')
  t.equal(timeText(-1n), '1969-12-31T23:59:59.999999Z')
  t.equal(timeText(2n ** 63n - 1n), String(2n ** 63n - 1n))
})
