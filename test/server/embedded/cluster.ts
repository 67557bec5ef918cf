/** A cluster inside this process, as its users meet it: nodes that stop and die, links that are cut, time that moves, and a driver that knows who holds what. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'cassandra-driver'
import t, { type Test } from 'tap'
import { murmur3Token } from '../../../lib/base/hash/murmur3.ts'
import { type ClusterOptions, type StartedCluster, startCluster } from '../../../lib/index.ts'
import { Consistency } from '../../../lib/types/consistency.ts'
import { plainParameters } from '../../../protocol/requests.ts'
import { rowsOf, ToolClient, VERSION } from '../../../tools/support/client.ts'

async function started(t: Test, options: ClusterOptions): Promise<StartedCluster> {
  const cluster = await startCluster({ memory: true, ...options })
  t.teardown(() => cluster.close())
  return cluster
}

/** Rows of a statement at QUORUM, through one node. */
type Session = (text: string) => Promise<ReturnType<typeof rowsOf>>

async function connect(t: Test, cluster: StartedCluster, number: number): Promise<Session> {
  const { address, port } = cluster.node(number)
  const client = await ToolClient.connect(address, port)
  t.teardown(() => client.close())
  return async (query) => {
    const parameters = plainParameters(VERSION, Consistency.QUORUM)
    const response = await client.request({ kind: 'query', query, parameters })
    return response.kind === 'rows' ? rowsOf(response) : []
  }
}

const KEYSPACE = "CREATE KEYSPACE app WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 3}"
const TABLE = 'CREATE TABLE app.users (id int PRIMARY KEY, name text)'

t.test('three nodes: what a quorum has taken outlives any one of them', async (t) => {
  const cluster = await started(t, { nodes: 3 })
  t.equal(cluster.contactPoints.length, 3)
  const one = await connect(t, cluster, 1)
  await one(KEYSPACE)
  await one(TABLE)
  const insert = (session: Session, id: number) =>
    session(`INSERT INTO app.users (id, name) VALUES (${id}, 'user ${id}')`)
  const count = async (session: Session) => (await session('SELECT id FROM app.users')).length
  for (let id = 0; id < 20; id++) await insert(one, id)
  t.equal(await count(await connect(t, cluster, 3)), 20)

  await cluster.node(2).kill()
  t.notOk(cluster.node(2).isRunning)
  for (let id = 20; id < 30; id++) await insert(one, id)
  t.equal(await count(one), 30)
  const figures = await one('SELECT name, value FROM system_views.polyxena_metrics')
  const stored = figures.find((row) => row.get('name')!.bytes!.toString() === 'hints_stored')
  t.ok(stored!.get('value')!.bytes!.readDoubleBE(0) > 0, 'hints are counted')
  await cluster.node(2).restart()
  const two = await connect(t, cluster, 2)
  t.equal(await count(two), 30, 'a quorum knows what one of them missed')

  await cluster.node(3).stop()
  t.equal(await count(two), 30)
  await cluster.node(3).restart()

  await two("INSERT INTO app.users (id, name) VALUES (101, 'ten days') USING TTL 864000")
  t.equal(await count(two), 31)
  cluster.clock.advance('11d')
  t.equal(await count(two), 30, 'what lived ten days is gone after eleven')
  t.throws(() => cluster.clock.advance(-1), RangeError)
})

t.test('in a directory: what a killed node had written it finds again', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'polyxena-embedded-'))
  const cluster = await startCluster({ nodes: 2, directory })
  t.teardown(async () => {
    await cluster.close()
    rmSync(directory, { recursive: true })
  })
  const one = await connect(t, cluster, 1)
  await one("CREATE KEYSPACE app WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 2}")
  await one(TABLE)
  for (let id = 0; id < 5; id++) await one(`INSERT INTO app.users (id, name) VALUES (${id}, 'x')`)
  t.ok(existsSync(join(directory, 'node2', 'identity.json')))
  const { hostId } = cluster.node(2)
  await cluster.node(2).kill()
  await cluster.node(2).restart()
  t.equal(cluster.node(2).hostId, hostId, 'it is the same node')
  const two = await connect(t, cluster, 2)
  t.equal((await two('SELECT id FROM app.users')).length, 5)
})

t.test('a part that is no majority serves no quorum', async (t) => {
  const cluster = await started(t, { nodes: 3, settings: { write_request_timeout: 300 } })
  const two = await connect(t, cluster, 2)
  await two(KEYSPACE)
  await two(TABLE)
  const one = await connect(t, cluster, 1)
  cluster.partition([1], [2, 3])
  await t.rejects(one("INSERT INTO app.users (id, name) VALUES (1, 'x')"), { code: 'WRITE_TIMEOUT' })
  await two("INSERT INTO app.users (id, name) VALUES (2, 'y')")
  cluster.heal()
  await cluster.settle()
  t.equal((await one('SELECT * FROM app.users WHERE id = 2')).length, 1)
  t.throws(() => cluster.node(4), /numbered from 1 to 3/)
  t.throws(() => cluster.partition([4], [1]), RangeError)
})

/** Addresses of those who hold a key. */
function holders(cluster: StartedCluster, key: Buffer): string[] {
  const { placement } = cluster.node(1).started!.cluster.placed('app')!
  const token = new Int32Array(2)
  murmur3Token(key, 0, key.length, token)
  return placement.at(token[0]! ^ -0x80000000, token[1]!).natural.map(({ clientAddress }) => clientAddress)
}

t.test('two data centres: every node tells of all, and drivers know who holds what', async (t) => {
  const cluster = await started(t, { dcs: { dc1: 2, dc2: 2 } })
  const { contactPoints, localDataCenter } = cluster
  const client = new Client({ contactPoints: [contactPoints[0]!], localDataCenter })
  try {
    await client.connect()
    await client.execute(
      "CREATE KEYSPACE app WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 2, 'dc2': 1}",
    )
    await client.execute(TABLE)
    await client.metadata.refreshKeyspace('app')
    const datacenters = client.hosts.values().map(({ datacenter }) => datacenter)
    t.same(datacenters.sort(), ['dc1', 'dc1', 'dc2', 'dc2'])
    const key = Buffer.alloc(4)
    const wrong: number[] = []
    for (let id = 0; id < 10_000; id++) {
      key.writeInt32BE(id)
      const theirs = client.getReplicas('app', key).map(({ address }) => address.split(':')[0])
      if (theirs.sort().join() !== holders(cluster, key).sort().join()) wrong.push(id)
    }
    t.same(wrong, [])
    const peers = await client.execute('SELECT peer, data_center, native_port, host_id FROM system.peers_v2')
    t.same(
      new Set(peers.rows.map((row) => String(row.host_id))),
      new Set([2, 3, 4].map((number) => cluster.node(number).hostId)),
    )
  } finally {
    await client.shutdown()
  }
})
