/** polyxena-nodetool's commands about the cluster print what Cassandra's printed of the same nodes, tokens and gossip. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { MessengerCounts } from '../../cluster/internode/messenger.ts'
import { changeTopology } from '../../cluster/ring/topology.ts'
import type { Schema } from '../../lib/schema/keyspace.ts'
import type { AdminNode } from '../../lib/server/admin/admin-node.ts'
import { REPORTS } from '../../lib/server/admin/operations.ts'
import { AdminError, Parameters } from '../../lib/server/admin/parameters.ts'
import { type Asked, RefusedError } from '../../tools/nodetool/client.ts'
import { runTool } from '../../tools/nodetool/run.ts'
import { NODETOOL, type RecordedCluster, recordedCluster } from '../support/recorded-cluster.ts'
import { changed, createSchemaWorld } from '../support/schema-world.ts'

async function shop(...more: readonly string[]): Promise<Schema> {
  const world = createSchemaWorld({ dc1: 2, dc2: 1 })
  await changed(
    world,
    "CREATE KEYSPACE shop WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 2, 'dc2': 1}",
  )
  await changed(world, 'CREATE TABLE shop.users (id int PRIMARY KEY, email text)')
  for (const statement of more) await changed(world, statement)
  return world.environment.schema.current
}

interface Ran {
  readonly stdout: string
  readonly stderr: string
  readonly status: number
}

/** The tool, the interface's reports, the cluster: everything but HTTP. */
async function run({ cluster }: RecordedCluster, words: readonly string[]): Promise<Ran> {
  const node = {
    cluster,
    schema: () => cluster.schema(),
    clock: { wallMicros: () => 0 },
    cql: () => ({ address: '127.0.26.1', port: 9042 }),
    mode: () => 'SERVING',
    metrics: { coordinator: { counts: { repairs: 9 } } },
  } as unknown as AdminNode
  const client: Asked = {
    async get<T>(report: string, values = {}): Promise<T> {
      try {
        const answer = REPORTS[report]!(node, new Parameters(new Map(Object.entries(values))))
        return JSON.parse(JSON.stringify(answer)) as T
      } catch (error) {
        if (error instanceof AdminError) throw new RefusedError(error.kind, error.message)
        throw error
      }
    },
    post: () => Promise.reject(new Error('nothing is changed here')),
  }
  let stdout = ''
  let stderr = ''
  const status = await runTool(words, {
    connect: () => client,
    print(text) {
      stdout += text
    },
    printError(text) {
      stderr += text
    },
  })
  return { stdout, stderr, status }
}

/** Lines in any order where `sorted`: Cassandra's order is that of its hash tables. */
async function matches(t: Test, world: RecordedCluster, name: string, sorted = false): Promise<void> {
  const text = readFileSync(join(NODETOOL, `${name}.txt`), 'utf8')
  const [, command, stdout, status] =
    /^\$ nodetool (.*)\n([\s\S]*?)(?:--- stderr ---[\s\S]*)?--- exit status (\d) ---\n$/.exec(text)!
  const ran = await run(world, command!.split(' '))
  const shown = (lines: string): string => (sorted ? lines.split('\n').sort().join('\n') : lines)
  t.equal(shown(ran.stdout), shown(stdout!), name)
  t.equal(ran.status, Number(status), name)
}

const KIB = 1024
const [ONE, TWO, THREE] = [
  'b36e9fa0-8c04-424a-b5f9-7a3710da0f35',
  '57b21c9b-0a3e-4428-9050-e7911ce2ed0c',
  '1ab807ff-9553-4dde-a241-69732edefda9',
] as const

function load(world: RecordedCluster, ...kib: readonly number[]): RecordedCluster {
  for (const [i, hostId] of [ONE, TWO, THREE].entries()) world.loads.set(hostId, Math.round(kib[i]! * KIB))
  return world
}

t.test('who is there, and what they own', async (t) => {
  const world = load(recordedCluster(await shop()), 460.13, 113.52, 113.54)
  await matches(t, world, 'status', true)
  await matches(t, world, 'status-keyspace', true)
  await matches(t, world, 'ring-keyspace')
  load(world, 605.95, 468.23, 468.25)
  await matches(t, world, 'status-port', true)
  await matches(t, world, 'ring-all')
  const { stdout } = await run(world, ['--format', 'json', 'status'])
  t.equal(JSON.parse(stdout).nodes.length, 3)
})

t.test('who is down, who joins, who leaves', async (t) => {
  const world = load(recordedCluster(await shop()), 1, 2, 3)
  world.dead.add(TWO)
  const joining = { ...world.topology.nodes.get(THREE)!, hostId: ONE.replace('b', 'c'), endpoint: '127.0.26.4:7000' }
  world.topology = changeTopology(world.topology, {
    kind: 'join-start',
    node: { ...joining, status: 'joining', tokens: ['7'], clientAddress: '127.0.26.4' },
  })
  world.topology = changeTopology(world.topology, { kind: 'leave-start', hostId: THREE })
  const { stdout } = await run(world, ['status'])
  t.match(stdout, /^UN {2}127\.0\.26\.1 /m)
  t.match(stdout, /^DN {2}127\.0\.26\.2 /m)
  t.match(stdout, /^UL {2}127\.0\.26\.3 /m)
  t.match(stdout, /^UJ {2}127\.0\.26\.4 {2}\? +1 +0\.0% /m, 'nothing is known of what it has')
  t.match((await run(world, ['ring', 'shop'])).stdout, /^127\.0\.26\.2 {7}rack1 {7}Down {3}Normal /m)
})

t.test('shares, when keyspaces differ or are none of users', async (t) => {
  const other = "CREATE KEYSPACE other WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
  const world = load(recordedCluster(await shop(other)), 1, 2, 3)
  const all = await run(world, ['status'])
  t.match(all.stdout, /\?\s+b36e9fa0/)
  t.match(all.stdout, /\nNote: Non-system keyspaces don't have the same replication settings/)
  const one = await run(world, ['status', 'other'])
  const shares = Array.from(one.stdout.matchAll(/ (\d+\.\d)% /g), ([, share]) => Number(share))
  t.equal(Math.round(shares.reduce((sum, share) => sum + share, 0)), 100)
  t.same(await run(world, ['status', 'nosuch']), {
    stdout: '',
    stderr: 'error: The keyspace nosuch, does not exist\n',
    status: 2,
  })
  t.match((await run(world, ['status', 'system'])).stderr, /LocalStrategy/)
})

t.test('the cluster as a whole', async (t) => {
  const world = recordedCluster(await shop())
  const version = world.cluster.schema().version
  for (const state of world.states.values())
    (state.values as Map<string, unknown>).set('SCHEMA', { value: version, version: 1 })
  const expected = readFileSync(join(NODETOOL, 'describecluster.txt'), 'utf8')
    .replace('8e1ba6e8-5d1f-3903-a084-c69f844642b3', version)
    .replace(/^\$.*\n|--- exit.*\n/gm, '')
  const { stdout } = await run(world, ['describecluster'])
  const head = (text: string): string => text.slice(0, text.indexOf('Keyspaces:'))
  t.equal(head(stdout), head(expected))
  t.match(stdout, /\n\tshop -> Replication class: NetworkTopologyStrategy \{dc\d=\d, dc\d=\d\}\n/)
  t.match(stdout, /\n\tsystem_schema -> Replication class: LocalStrategy \{\}\n/)
  world.dead.add(TWO).add(THREE)
  const away = (await run(world, ['describecluster'])).stdout
  t.match(
    away,
    `${version}: [127.0.26.1]\n\n\t\tUNREACHABLE: [127.0.26.2, 127.0.26.3]\n\nStats for all nodes:\n\tLive: 1\n`,
  )
  t.match(away, '\tdc2 #Nodes: 1 #Down: 1\n')
})

t.test('gossip, silence, ranges, replicas', async (t) => {
  const world = recordedCluster(await shop())
  // Cassandra also tells in the form of versions before 4.0.
  const old = /^ {2}(STATUS|INTERNAL_IP|RPC_ADDRESS):.*\n/gm
  const golden = readFileSync(join(NODETOOL, 'gossipinfo.txt'), 'utf8')
    .replace(old, '')
    .replace(/^\$.*\n|--- exit.*\n/gm, '')
  t.equal((await run(world, ['gossipinfo'])).stdout.replace(old, ''), golden)
  world.phis.set(TWO, 0.31515571).set(THREE, 0.36952543)
  await matches(t, world, 'failuredetector')
  await matches(t, world, 'getendpoints')
  await matches(t, world, 'getendpoints-bad')
  const { stdout } = await run(world, ['describering', 'shop'])
  const theirs = readFileSync(join(NODETOOL, 'describering.txt'), 'utf8')
  const ranges = (text: string): string[] =>
    text
      .split('\n')
      .filter((line) => line.startsWith('\tTokenRange('))
      .sort()
  t.equal(ranges(stdout).length, 48)
  t.same(ranges(stdout), ranges(theirs))
  const bad = await run(world, ['describering', 'nosuch'])
  t.equal(bad.status, 2)
  t.match(bad.stderr, 'error: No such keyspace: nosuch')
})

t.test('messages', async (t) => {
  const lane = { pending: 0, pendingBytes: 0, sent: 0, sentBytes: 0, dropped: 0, connected: true }
  const lanes = { gossip: { ...lane, sent: 1009 }, small: { ...lane, sent: 11_441 }, large: { ...lane, sent: 2 } }
  const counts = { peers: [{ endpoint: '127.0.26.2:7000', lanes }] } as unknown as MessengerCounts
  await matches(t, recordedCluster(await shop(), counts), 'netstats')
})
