/** What clients see of a damaged SSTable, and what the failure policies do to a node. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'cassandra-driver'
import t from 'tap'
import { StartError, type StartedNode, startNode } from '../../lib/index.ts'
import { FailurePolicy } from '../../lib/server/failure-policy.ts'
import { CorruptionError, StorageError } from '../../storage/errors.ts'

const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {} }

function connect(node: StartedNode): Client {
  return new Client({
    contactPoints: [node.address],
    protocolOptions: { port: node.port },
    localDataCenter: 'datacenter1',
    queryOptions: { consistency: 1 },
  })
}

/** The file that holds a text, and where. */
function find(directory: string, text: string): { path: string; at: number } {
  for (const name of readdirSync(directory, { recursive: true }) as string[]) {
    if (!name.endsWith('.sst')) continue
    const path = join(directory, name)
    const at = readFileSync(path).indexOf(text)
    if (at >= 0) return { path, at }
  }
  throw new Error('no SSTable holds it')
}

t.test(
  'a damaged SSTable: READ_FAILURE for what touches it, answers for the rest, and its policy at the next start',
  async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'polyxena-damage-'))
    const tables = join(directory, 'tables')
    const settings = { disk_failure_policy: 'ignore' } as const
    let node = await startNode({ directory, settings })
    let client = connect(node)
    await client.execute("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
    // Each row beyond a block, so that a look-up of one does not meet the others.
    await client.execute("CREATE TABLE k.t (key int PRIMARY KEY, v text) WITH compression = {'enabled': false}")
    for (const key of [1, 2, 3])
      await client.execute(`INSERT INTO k.t (key, v) VALUES (${key}, 'value ${key} ${'x'.repeat(70_000)}')`)
    await node.store.flush()
    await client.shutdown()
    await node.close()
    const { path, at } = find(tables, 'value 2')
    const bytes = readFileSync(path)
    bytes[at]! ^= 1
    writeFileSync(path, bytes)
    node = await startNode({ directory, settings })
    client = connect(node)
    const read = (key: number): Promise<string> =>
      client.execute(`SELECT v FROM k.t WHERE key = ${key}`).then((result) => String(result.first().v).slice(0, 7))
    await t.rejects(read(2), { code: 0x1300 })
    t.equal(await read(1), 'value 1')
    t.equal(await read(3), 'value 3')
    await client.shutdown()
    await node.close()
    writeFileSync(path, bytes.subarray(0, bytes.length - 1))
    await t.rejects(startNode({ directory, settings: { disk_failure_policy: 'die' } }), StartError)
    node = await startNode({ directory })
    client = connect(node)
    await t.rejects(client.execute('SELECT v FROM k.t'), { code: 0x1300 })
    await client.execute("INSERT INTO k.t (key, v) VALUES (4, 'new')")
    t.match(node.store.reports.problems, [/1 SSTables of k\.t are damaged/])
    t.equal(
      (readdirSync(join(directory, 'quarantine'), { recursive: true }) as string[]).filter((name) =>
        name.endsWith('.sst'),
      ).length,
      1,
    )
    await client.shutdown()
    await node.close()
    rmSync(directory, { recursive: true })
  },
)

t.test('the words of the policies', async (t) => {
  const cases = [
    { disk: 'best_effort', log: 'stop_commit', stops: '' },
    { disk: 'ignore', log: 'ignore', stops: '' },
    { disk: 'stop', log: 'stop', stops: 'io log' },
    { disk: 'stop_paranoid', log: 'stop', stops: 'damage io log' },
    { disk: 'die', log: 'die', stops: '' },
  ] as const
  const damage = new CorruptionError('/f', 0, 'the block does not match its checksum')
  const io = new CorruptionError('/f', 0, 'the disk cannot read it', { cause: { code: 'EIO' } })
  for (const { disk, log, stops } of cases) {
    const stopped: string[] = []
    let died = 0
    for (const event of ['damage', 'io', 'log'] as const) {
      const policy = new FailurePolicy({ disk_failure_policy: disk, commit_failure_policy: log }, silent)
      const { damage: reaction, onFailure } = policy.storeSettings
      if (event === 'log') onFailure(new StorageError('failed'))
      else reaction.onDamage!(event === 'io' ? io : damage)
      // What happened before the node served clients counts when it does.
      policy.serving(async () => {
        stopped.push(event)
      })
      died += await Promise.race([
        policy.died.then(() => 1),
        new Promise<number>((resolve) => setImmediate(resolve, 0)),
      ])
    }
    t.equal(stopped.join(' '), stops, disk)
    t.equal(died, disk === 'die' ? 3 : 0, disk)
  }
})
