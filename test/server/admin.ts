/** The administration interface of a real node, and polyxena-nodetool over it: what they do, and whom they refuse. */
import { spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { type StartedNode, startNode } from '../../lib/index.ts'
import { AdminClient, type AdminPlace } from '../../tools/nodetool/client.ts'
import { runTool } from '../../tools/nodetool/run.ts'
import { rowsOf, ToolClient } from '../../tools/support/client.ts'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..')
/** A command that hangs is killed, long after the busiest machine would have run it. */
const LIMIT_MS = 180_000
const directory = mkdtempSync(join(tmpdir(), 'polyxena-admin-'))
const data = join(directory, 'data')
const socket = join(directory, 'admin')
t.teardown(() => rmSync(directory, { recursive: true }))

let node: StartedNode
let client: ToolClient

t.before(async () => {
  node = await startNode({ directory: data, settings: { admin_socket: socket } })
  t.equal(await node.admin, socket)
  client = await ToolClient.connect(node.address, node.port)
  await cql("CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await cql('CREATE TYPE shop.address (street text, number int)')
  await cql('CREATE TABLE shop.users (id int PRIMARY KEY, name text, email text, home frozen<address>)')
})

async function cql(text: string): Promise<string[]> {
  const rows = rowsOf(await client.query(text))
  return rows.map((row) => [...row.values()].map(({ bytes }) => bytes?.toString() ?? 'null').join(' ')).sort()
}

/** The tool in this process, but for its standard output. */
async function tool(...words: string[]): Promise<{ status: number; output: string }> {
  let output = ''
  const print = (text: string): void => {
    output += text
  }
  const connect = (place: AdminPlace) => new AdminClient(place)
  return { status: await runTool(['--socket', socket, ...words], { connect, print, printError: print }), output }
}

async function command(...words: string[]): Promise<{ status: number | null; output: string }> {
  const child = spawn(process.execPath, [join(ROOT, 'dist/tools/admin.js'), ...words], { timeout: LIMIT_MS })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      output += String(chunk)
    })
  return { status: await new Promise((resolve) => child.once('close', resolve)), output }
}

async function ask(method: string, path: string, options: { body?: string; headers?: Record<string, string> } = {}) {
  return new Promise<{ status: number; body: Record<string, unknown> }>((resolve, reject) => {
    const asked = request({ socketPath: socket, method, path, headers: { host: 'localhost', ...options.headers } })
    asked.on('error', reject)
    asked.on('response', (answer) => {
      let text = ''
      answer.on('data', (chunk) => {
        text += String(chunk)
      })
      answer.on('end', () => resolve({ status: answer.statusCode!, body: JSON.parse(text) }))
    })
    asked.end(options.body)
  })
}

const post = (action: string, values: object) => ask('POST', `/v1/${action}`, { body: JSON.stringify(values) })

t.test('a snapshot brings back what was truncated, dropped, or overwritten', async (t) => {
  await cql("INSERT INTO shop.users (id, name, email, home) VALUES (1, 'ada', 'a@x', {street: 's', number: 1})")
  await cql("INSERT INTO shop.users (id, name) VALUES (2, 'bob')")
  t.match(await tool('snapshot', '-t', 'first', 'shop'), { status: 0, output: /Snapshot directory: first\n$/ })
  t.match(await tool('snapshot', '-t', 'first', 'shop'), {
    status: 2,
    output: /error: Snapshot first already exists\.\n$/,
  })
  await cql('TRUNCATE shop.users')
  t.same(await cql('SELECT name FROM shop.users'), [])
  const listed = await ask('GET', '/v1/snapshots')
  const tags = (listed.body.snapshots as { tag: string; table: string }[]).map(({ tag }) => tag)
  t.equal(tags.length, 2)
  t.match(tags[1], /^truncated-\d+-users$/)
  t.match(await post('import', { keyspace: 'shop', table: 'users', snapshot: 'first' }), {
    status: 200,
    body: { files: 1 },
  })
  t.same(await cql('SELECT name FROM shop.users'), ['ada', 'bob'])

  await cql('DROP TABLE shop.users')
  const folder = join(data, 'snapshots/first/shop')
  const schema = readFileSync(join(folder, readdirSync(folder)[0]!, 'schema.cql'), 'utf8')
  t.match(
    schema,
    /^CREATE TYPE IF NOT EXISTS shop\.address \(\n {4}street text,\n {4}number int\n\);\nCREATE TABLE IF NOT EXISTS shop\.users \(/,
  )
  // Made again by hand: another id, and the columns under other ids.
  await cql('CREATE TABLE shop.users (id int PRIMARY KEY, home frozen<address>, age int, name text, email text)')
  t.match(await tool('import', '--snapshot', 'first', 'shop', 'users'), { status: 0, output: '' })
  t.same(await cql('SELECT name, email, home.street FROM shop.users'), ['ada a@x s', 'bob null null'])

  await cql('DROP TABLE shop.users')
  for (const statement of schema.split(';\n').filter((text) => text.trim() !== '')) await cql(statement)
  t.match(await tool('import', '--snapshot', 'first', 'shop', 'users'), { status: 0, output: '' })
  t.same(await cql('SELECT name, email, home.street FROM shop.users'), ['ada a@x s', 'bob null null'], 'by schema.cql')
})

t.test('indexes of a restored table know what came', async (t) => {
  await cql('CREATE TABLE shop.indexed (id int PRIMARY KEY, email text)')
  await cql("INSERT INTO shop.indexed (id, email) VALUES (1, 'a@x')")
  await post('snapshot', { tag: 'indexed', tables: ['shop.indexed'] })
  await cql('TRUNCATE shop.indexed')
  await cql('CREATE INDEX ON shop.indexed (email)')
  await cql("INSERT INTO shop.indexed (id, email) VALUES (2, 'b@x')")
  t.match(await post('import', { keyspace: 'shop', table: 'indexed', snapshot: 'indexed' }), { body: { files: 1 } })
  for (const [email, id] of [
    ['a@x', 1],
    ['b@x', 2],
  ])
    t.same(await cql(`SELECT id FROM shop.indexed WHERE email = '${email}'`), [
      `\0\0\0${String.fromCharCode(Number(id))}`,
    ])
})

t.test('a table that has other columns refuses', async (t) => {
  await cql('CREATE TABLE shop.others (id int PRIMARY KEY, name text, email int)')
  await cql('CREATE TABLE shop.wide (id int, c int, name text, email text, home frozen<address>, PRIMARY KEY (id, c))')
  const [folder] = readdirSync(join(data, 'snapshots/first/shop'))
  const directories = [`snapshots/first/shop/${folder}`]
  const refused = async (table: string): Promise<unknown> =>
    (await post('import', { keyspace: 'shop', table, directories })).body
  t.match(await refused('others'), { kind: 'failure', error: /column email has another type: text, not int$/ })
  t.match(await refused('wide'), { kind: 'failure', error: /its clustering has 0 columns, the table's 1$/ })
  t.match(await tool('import', 'shop', 'others', ...directories), {
    status: 2,
    output: /^error: .* cannot be taken in: /,
  })
  t.match(await post('import', { keyspace: 'shop', table: 'users', snapshot: 'nosuch' }), { status: 500 })
})

t.test('files that are laid into import/ are taken in by refresh', async (t) => {
  const [folder] = readdirSync(join(data, 'snapshots/first/shop'))
  const from = join(data, 'snapshots/first/shop', folder!)
  const upload = join(data, 'import/shop/users')
  mkdirSync(upload, { recursive: true })
  await cql('TRUNCATE shop.users')
  for (const name of readdirSync(from)) copyFileSync(join(from, name), join(upload, name))
  t.same(await tool('refresh', 'shop', 'users'), { status: 0, output: '' })
  t.same(await cql('SELECT name FROM shop.users'), ['ada', 'bob'])
  t.same(readdirSync(upload), [])
  writeFileSync(join(upload, '1.sst'), 'no SSTable')
  t.match(await tool('refresh', 'shop', 'users'), { status: 2, output: /1\.sst is damaged at offset/ })
  t.same(readdirSync(upload), ['1.sst'], 'what is not taken in stays')
})

t.test('incremental backups are switched while the node runs', async (t) => {
  t.same(await tool('statusbackup'), { status: 0, output: 'not running\n' })
  t.same(await tool('enablebackup'), { status: 0, output: '' })
  await cql("INSERT INTO shop.others (id, name) VALUES (1, 'n')")
  t.same(await tool('flush', 'shop', 'others'), { status: 0, output: '' })
  t.same((await ask('GET', '/v1/backup')).body, { running: true, failures: 0 })
  t.equal((await post('backup', { enabled: false })).status, 200)
  const [folder] = readdirSync(join(data, 'backups/shop'))
  t.match(folder, /^others-[0-9a-f]{32}$/)
  t.equal(readdirSync(join(data, 'backups/shop', folder!)).length, 1)
})

t.test('reports', async (t) => {
  t.match(await tool('version'), { status: 0, output: 'ReleaseVersion: 5.0.6\n' })
  const status = await tool('status')
  t.match(
    status.output,
    /^Datacenter: datacenter1\n=+\nStatus=Up\/Down\n\|\/ State=Normal\/Leaving\/Joining\/Moving\n-- {2}Address {4}Load/,
  )
  t.match(
    status.output,
    new RegExp(`\nUN  127\\.0\\.0\\.1  [\\d.]+ (KiB|bytes)  128     100\\.0% {12}${node.hostId}  rack1\n\n$`),
  )
  t.match((await tool('describecluster')).output, /\tsystem_schema -> Replication class: LocalStrategy \{\}\n/)
  t.match((await tool('info')).output, /\nNative Transport active: true\n/)
  const stats = (await ask('GET', '/v1/tablestats?names=shop.users')).body.tables as Record<string, unknown>[]
  t.match(stats, [{ table: 'users', files: 1, partitions: 2, snapshotBytes: Number }])
  t.equal(stats.length, 1)
  t.equal(
    ((await ask('GET', '/v1/tablestats?names=shop&ignore=true')).body.tables as { keyspace: string }[]).some(
      ({ keyspace }) => keyspace === 'shop',
    ),
    false,
  )
  t.match((await ask('GET', '/v1/tablehistograms?keyspace=shop&table=users')).body, { tables: [{ table: 'users' }] })
  const found = (await ask('GET', '/v1/sstables?keyspace=shop&table=users&key=1')).body.sstables as { path: string }[]
  t.match(found, [{ path: /\/tables\/shop\/users-[0-9a-f]{32}\/\d{10}\.sst$/ }])
  t.same((await ask('GET', '/v1/sstables?keyspace=shop&table=users&key=77')).body.sstables, [])
  for (const report of ['info', 'tpstats', 'gcstats', 'proxyhistograms', 'datapaths', 'node', 'tablehistograms'])
    t.equal((await ask('GET', `/v1/${report}`)).status, 200, report)
  t.equal((await post('verify', { keyspace: 'shop' })).status, 200)
})

t.test('compactions, as they are asked for', async (t) => {
  await cql('CREATE TABLE shop.events (id int PRIMARY KEY, v text)')
  t.same(await tool('disableautocompaction', 'shop', 'events'), { status: 0, output: '' })
  t.same(await tool('statusautocompaction', 'shop', 'events'), { status: 0, output: 'not running\n' })
  for (let i = 0; i < 3; i++) {
    await cql(`INSERT INTO shop.events (id, v) VALUES (${i}, 'v')`)
    await post('flush', { keyspace: 'shop', tables: ['events'] })
  }
  const files = async (): Promise<string[]> => {
    const { body } = await ask('GET', '/v1/datapaths?names=shop.events')
    const [path] = (body.tables as { paths: string[] }[])[0]!.paths
    return readdirSync(path!).filter((name) => name.endsWith('.sst'))
  }
  t.equal((await files()).length, 3)
  const [first, second] = await files()
  t.same(await tool('compact', '--user-defined', first!, second!), { status: 0, output: '' })
  t.same(await tool('compact', 'shop', 'events'), { status: 0, output: '' })
  const history = await tool('compactionhistory')
  t.match(
    history.output,
    /^Compaction History: \nid +keyspace_name columnfamily_name compacted_at +bytes_in bytes_out rows_merged compaction_properties +\n/,
  )
  t.match(history.output, / shop +events +\S+ \d+ +\d+ +\{1:3\} +\{compaction_type:Major compaction\} +\n/)
  t.match(
    (await tool('compactionstats')).output,
    /^concurrent compactors +\d+ +\npending tasks +0 +\ncompactions completed +[2-9]/,
  )
  for (const words of [
    ['scrub', 'shop', 'events'],
    ['upgradesstables', '-a', 'shop', 'events'],
    ['garbagecollect', 'shop', 'events'],
  ])
    t.same(await tool(...words), { status: 0, output: '' }, words.join(' '))
  t.same(await cql('SELECT id FROM shop.events'), ['\0\0\0\0', '\0\0\0\x01', '\0\0\0\x02'])
  t.same(await tool('stop', 'COMPACTION'), { status: 0, output: '' })
  t.match(await tool('stop', 'NOSUCH'), { status: 1, output: /^nodetool: compaction_type: can not convert "NOSUCH"/ })
  t.same(await tool('setcompactionthroughput', '12'), { status: 0, output: '' })
  t.same(await tool('getcompactionthroughput'), { status: 0, output: 'Current compaction throughput: 12 MB/s\n' })
  t.same(await tool('setconcurrentcompactors', '2'), { status: 0, output: '' })
  t.match(await tool('getconcurrentcompactors'), { status: 0, output: /\n2\n$/ })
  t.match(await tool('setcompactionthroughput', '-5'), { status: 1, output: /^nodetool: Invalid data rate/ })
  t.match(await tool('compact', '--user-defined', 'nosuch.sst'), {
    status: 2,
    output: /^error: Invalid sstable file nosuch/,
  })
})

t.test('caches', async (t) => {
  await cql('SELECT name FROM shop.users')
  t.same(await tool('invalidatekeycache'), { status: 0, output: '' })
  t.same((await ask('GET', '/v1/info')).body.problems, [])
  t.equal((await post('invalidatecache', { name: 'blocks' })).status, 200)
  const caches = (await ask('GET', '/v1/info')).body.caches as { name: string; entries: number; bytesMax: number }[]
  t.match(
    caches.find(({ name }) => name === 'blocks'),
    { entries: 0 },
  )
  t.same(await cql('SELECT name FROM shop.users'), ['ada', 'bob'])
  t.same(await tool('setcachecapacity', '5', '0', '0'), { status: 0, output: '' })
  t.match(((await ask('GET', '/v1/info')).body.caches as object[])[1], { name: 'keys', bytesMax: 5 * 1024 * 1024 })
  t.match(await tool('setcachecapacity', '5', '1', '0'), { status: 2, output: /^error: Setting capacity of NopCache/ })
  t.equal((await tool('setcachecapacity', '5')).status, 1)
})

t.test('the command', async (t) => {
  t.same(await command('--socket', socket, 'statusbinary'), { status: 0, output: 'running\n' })
  t.match(await command('--socket', socket, 'nosuch'), { status: 1, output: /^nodetool: Found unexpected/ })
  t.match(await command('--socket', `${socket}.none`, 'info'), { status: 2, output: /^nodetool: Failed to connect/ })
})

t.test('wrong usage', async (t) => {
  const usage = async (words: string[], message: string): Promise<void> => {
    const { status, output } = await tool(...words)
    t.ok(output.endsWith(`nodetool: ${message}\nSee 'nodetool help' or 'nodetool help <command>'.\n`), output)
    t.equal(status, 1)
  }
  await usage(['flush', 'nosuch'], 'Keyspace [nosuch] does not exist.')
  await usage(['snapshot', '-t', 'x', 'nosuch'], 'Keyspace nosuch does not exist')
  await usage(['snapshot', '-t', 'x', '-kt', 'shop.nosuch'], 'Unknown keyspace/cf pair (shop.nosuch)')
  await usage(['snapshot', '-t', 'x', '--ttl', '5s', 'shop'], 'ttl for snapshot must be at least 60 seconds')
  await usage(['clearsnapshot'], 'Specify snapshot name or --all')
  t.match(await tool('flush', 'shop', 'nosuch'), {
    status: 2,
    output: 'error: Unknown keyspace/cf pair (shop.nosuch)\n',
  })
  t.match(await tool('snapshot', '-t', 'a/b', 'shop'), { status: 2, output: 'error: Snapshot name cannot contain /\n' })
})

t.test('only programs of this machine may ask, and nothing beyond the data', async (t) => {
  t.equal((await ask('GET', '/v1/info', { headers: { origin: 'http://localhost' } })).status, 403)
  t.equal((await ask('GET', '/v1/info', { headers: { host: 'example.org' } })).status, 403)
  t.equal((await ask('GET', '/v1/nosuch')).status, 400)
  t.equal((await ask('GET', '/v1/constructor')).status, 400)
  t.equal((await ask('GET', '/v1/flush')).status, 400, 'a GET changes nothing')
  t.equal((await ask('GET', '/')).status, 404)
  t.equal((await ask('POST', '/v1/flush', { body: '[' })).status, 400)
  t.equal((await ask('POST', '/v1/flush', { body: '"x"' })).status, 400)
  t.equal((await post('flush', { keyspace: 5 })).status, 400)
  t.equal((await ask('POST', '/v1/flush', { body: `"${'x'.repeat(1024 * 1024)}"` })).status, 413)
  for (const path of ['/etc', '../x', 'snapshots/../..', 'tables/shop', '', 'commitlog'])
    t.equal((await post('import', { keyspace: 'shop', table: 'users', directories: [path] })).status, 400, path)
  const answered = await new Promise<string>((resolve) => {
    const jmx = net.connect({ path: socket }, () => jmx.write('JRMI\0\x02K'))
    let text = ''
    jmx.on('data', (chunk) => {
      text += String(chunk)
    })
    jmx.on('close', () => resolve(text))
  })
  t.match(answered, /no JMX/)
})

t.test('drain: no clients any more, all is in files; then the node ends', async (t) => {
  client.close()
  t.same(await tool('drain'), { status: 0, output: '' })
  t.same(await tool('statusbinary'), { status: 0, output: 'not running\n' })
  t.same(await tool('statusgossip'), { status: 0, output: 'not running\n' })
  t.match(await tool('netstats'), { status: 0, output: /^Mode: DRAINED\n/ })
  t.match(await tool('info'), { status: 0, output: /^Gossip active +: false\nNative Transport active: false\n/m })
  for (const words of [
    'status',
    'tablestats',
    'compactionstats',
    'gossipinfo',
    'tpstats',
    'describecluster',
    'listsnapshots',
  ])
    t.match(await tool(words), { status: 0 }, words)
  t.same(await tool('drain'), { status: 0, output: '' }, 'it is drained already')
  for (const words of ['flush', 'compact', 'snapshot']) t.match(await tool(words), { status: Number }, words)
  await t.rejects(ToolClient.connect(node.address, node.port))
  await node.close()
  t.match(await tool('info'), { status: 2, output: /^nodetool: Failed to connect to '.*' - ConnectException/ })
})

t.test('a node that stands still is not waited for; what it has begun is', async (t) => {
  const silent = net.createServer()
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  const { port } = silent.address() as net.AddressInfo
  const connect = (place: AdminPlace) => new AdminClient(place, 200)
  let told = ''
  const printError = (text: string): void => {
    told += text
  }
  for (const name of ['status', 'drain'])
    t.equal(await runTool(['-p', String(port), name], { connect, print: () => {}, printError }), 2, name)
  const once = `nodetool: Failed to connect to '127.0.0.1:${port}' - SocketTimeoutException: 'Read timed out'.\n`
  t.equal(told, once.repeat(2))
  silent.close()

  const slow = createServer((_, answer) => void setTimeout(() => answer.end('{"done": true}'), 3_000))
  await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve))
  const place = { host: '127.0.0.1', port: (slow.address() as net.AddressInfo).port, socket: null }
  t.same(await new AdminClient(place, 2_000).post('compact', { keyspaces: ['shop'] }), { done: true })
  slow.close()
})

t.test('a place that is taken or not on loopback costs only the interface', async (t) => {
  const holder = net.createServer()
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve))
  const { port } = holder.address() as net.AddressInfo
  for (const settings of [{ admin_port: port }, { admin_port: port, admin_address: '0.0.0.0' }]) {
    const other = await startNode({ memory: true, settings })
    t.equal(await other.admin, null)
    await other.close()
  }
  holder.close()
})
