/** Nodes of a cluster start: in any order, again, elsewhere, with data to fetch; or are refused, and told why. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { Client, types } from 'cassandra-driver'
import t from 'tap'
import type { Settings } from '../../../lib/config/settings.ts'
import type { Log } from '../../../lib/runtime/runtime.ts'
import { StartError, type StartedNode, startNode } from '../../../lib/server/node.ts'
import { rowsOf, ToolClient } from '../../../tools/support/client.ts'
import { temporaryDirectory } from '../../../tools/support/directory.ts'
import { loopbackNetwork } from '../../support/loopback.ts'
import { createMemoryLog } from '../../support/messengers.ts'

const network = await loopbackNetwork()
const { path: directory } = temporaryDirectory('start')

const running = new Set<StartedNode>()
t.afterEach(async () => {
  await Promise.all([...running].map(stop))
})

interface Given {
  readonly data?: string
  readonly seeds?: readonly number[]
  readonly settings?: Partial<Settings>
  readonly log?: Log
}

async function start(
  host: number,
  { data = `node${host}`, seeds = [1], settings = {}, log }: Given = {},
): Promise<StartedNode> {
  const node = await startNode({
    ...(log && { log }),
    directory: join(directory, data),
    address: `${network}.${host}`,
    port: 9042,
    settings: {
      seeds: seeds.map((seed) => `${network}.${seed}`),
      storage_port: 7000,
      num_tokens: 8,
      drain_grace: 0,
      ballast_size: 0,
      ...settings,
    },
  })
  running.add(node)
  return node
}

async function stop(node: StartedNode): Promise<void> {
  running.delete(node)
  await node.close()
}

async function connected(host: number): Promise<Client> {
  const client = new Client({
    contactPoints: [`${network}.${host}:9042`],
    localDataCenter: 'datacenter1',
    queryOptions: { prepare: true, consistency: types.consistencies.one },
    pooling: { warmup: false },
  })
  await client.connect()
  return client
}

async function peersOf(host: number): Promise<string[]> {
  const client = await connected(host)
  const { rows } = await client.execute('SELECT peer FROM system.peers')
  await client.shutdown()
  return rows.map(({ peer }) => String(peer)).sort()
}

t.test(
  'the seed comes last; a node comes back with its identity, also at another address, and the others follow',
  async (t) => {
    const early = [start(2, { data: 'b' }), start(3, { data: 'c' })]
    const [b, c] = await Promise.all([...early, start(1, { data: 'a' })])
    t.same(await peersOf(2), [`${network}.1`, `${network}.3`])
    const { hostId } = c!
    await stop(c!)
    const moved = await start(4, { data: 'c' })
    t.equal(moved.hostId, hostId)
    t.same(await peersOf(2), [`${network}.1`, `${network}.4`])
    t.same(await peersOf(4), [`${network}.1`, `${network}.2`])

    // A copy of a directory, of which the node runs; the address of another; another cluster; another data centre than before.
    await stop(b!)
    cpSync(join(directory, 'b'), join(directory, 'copy'), { recursive: true, filter: (path) => !path.endsWith('LOCK') })
    const again = await start(2, { data: 'b' })
    const refused = async (why: RegExp, host: number, given: Given): Promise<void> => {
      await t.rejects(start(host, given), StartError)
      await t.rejects(start(host, given), why)
    }
    await refused(/with the host id of this one .* copied/, 5, { data: 'copy' })
    await refused(/is in use by another process/, 2, { data: 'new' })
    await refused(/is of cluster 'Test Cluster', this one of 'Other'/, 5, {
      data: 'other',
      settings: { cluster_name: 'Other' },
    })
    await refused(/Saved cluster name Test Cluster != configured name Other/, 5, {
      data: 'copy',
      settings: { cluster_name: 'Other' },
    })
    t.same(await peersOf(1), [`${network}.2`, `${network}.4`], 'nobody has left a trace')
    t.equal(again.hostId, b!.hostId)
  },
)

t.test('nodes that found a cluster have as many tokens as each of them asks for', async (t) => {
  const settings: Partial<Settings>[] = [{ num_tokens: 4 }, { num_tokens: 12 }, { num_tokens: 5, capacity: 200 }]
  const nodes = await Promise.all(
    settings.map((own, i) => start(i + 1, { data: `tokens${i}`, seeds: [1, 2, 3], settings: own })),
  )
  const counts = nodes.map(async ({ address, port }) => {
    const client = await ToolClient.connect(address, port)
    const [local] = rowsOf(await client.query('SELECT tokens FROM system.local'))
    client.close()
    return local!.get('tokens')!.bytes!.readInt32BE(0)
  })
  t.same(await Promise.all(counts), [4, 12, 10])

  const log = createMemoryLog()
  await stop(nodes[1]!)
  await start(2, { data: 'tokens1', seeds: [1, 2, 3], settings: { num_tokens: 7 }, log })
  t.match(log.lines.join('\n'), /WARN The settings ask for 7 tokens: this node keeps the 12 that/)
})

t.test('a data directory of another cluster of the same name is refused', async (t) => {
  await stop(await start(1, { data: 'one' }))
  const foreign = await start(2, { data: 'two', seeds: [2] })
  await stop(foreign)
  await start(1, { data: 'one' })
  const error = await start(2, { data: 'two' }).catch((error: unknown) => error)
  t.ok(error instanceof StartError && error.message.includes('belongs to another cluster'), String(error))
})

t.test('a node joins while writes go on: it has what it owns, and all of it is found without the others', async (t) => {
  await start(1, { data: 'x' })
  await start(2, { data: 'y' })
  const client = await connected(1)
  await client.execute("CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await client.execute('CREATE TABLE shop.t (k int, c int, v text, s text static, PRIMARY KEY (k, c))')
  await client.execute('CREATE INDEX ON shop.t (v)')
  const write = (k: number) =>
    client.execute('INSERT INTO shop.t (k, c, v, s) VALUES (?, ?, ?, ?)', [k, 1, `v${k % 20}`, 'static'])
  for (let k = 0; k < 400; k += 40) await Promise.all(Array.from({ length: 40 }, (_, i) => write(k + i)))
  for (let k = 0; k < 400; k += 10) await client.execute('DELETE FROM shop.t WHERE k = ?', [k])
  let next = 400
  let joined = false
  const writing = (async () => {
    while (!joined) {
      await write(next)
      next++
    }
  })()
  const third = await start(3, { data: 'z' })
  joined = true
  await writing
  t.ok(next > 400)
  // With one copy of each row nobody else can answer for what the third owns now.
  const rows = await client.execute('SELECT k FROM shop.t', [], { fetchSize: 100_000 })
  const expected = Array.from({ length: next }, (_, k) => k).filter((k) => k >= 400 || k % 10 !== 0)
  t.same(
    rows.rows.map(({ k }) => Number(k)).sort((a, b) => a - b),
    expected,
  )
  const found = await client.execute("SELECT k FROM shop.t WHERE v = 'v7'")
  t.same(
    found.rows.map(({ k }) => Number(k)).sort((a, b) => a - b),
    expected.filter((k) => k % 20 === 7),
    'by the index',
  )
  const { memtableBytes, fileBytes } = third.store.reports.statistics
  t.ok(memtableBytes + fileBytes > 0)
  const own = third.store.reports.statistics.reads
  t.ok(own > 0, 'it was asked')
  await client.shutdown()
})
