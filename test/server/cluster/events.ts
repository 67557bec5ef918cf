/** What clients are told of other nodes, and system tables of peers, as topology and gossip change. */
import t from 'tap'
import { changeTopology } from '../../../cluster/ring/topology.ts'
import { createSimulatedClock, type SimulatedClock } from '../../../lib/runtime/simulated/clock.ts'
import { createSystemSchema } from '../../../lib/schema/system-tables.ts'
import { ClusterEvents } from '../../../lib/server/cluster/cluster-events.ts'
import { gossipRows } from '../../../lib/server/system-tables/gossip-rows.ts'
import type { ServerEvent } from '../../../protocol/responses.ts'
import { type RecordedCluster, recordedCluster } from '../../support/recorded-cluster.ts'

const TWO = '57b21c9b-0a3e-4428-9050-e7911ce2ed0c'
const THREE = '1ab807ff-9553-4dde-a241-69732edefda9'

function say(world: RecordedCluster, hostId: string, key: string, value: string): void {
  const state = world.states.get(hostId)!
  const values = new Map(state.values).set(key, { value, version: 1_000 })
  world.states.set(hostId, { ...state, values })
}

function watched(world: RecordedCluster): { events: ClusterEvents; told: string[]; clock: SimulatedClock } {
  const told: string[] = []
  const clock = createSimulatedClock()
  const events = new ClusterEvents(world.cluster, clock, (event: ServerEvent) => {
    if (event.kind !== 'SCHEMA_CHANGE') told.push(`${event.change} ${event.address.join('.')}:${event.port}`)
  })
  return { events, told, clock }
}

t.test('up and down, once each, as they are heard', (t) => {
  const world = recordedCluster(createSystemSchema())
  const { events, told } = watched(world)
  t.same(told, [], 'of what is so at the start nobody is told')
  const live = (hostId: string, alive: boolean): void => {
    if (alive) world.dead.delete(hostId)
    else world.dead.add(hostId)
    for (const listener of world.listeners) listener(hostId, alive)
  }
  live(TWO, false)
  live(TWO, true)
  t.same(told.splice(0), ['DOWN 127.0.26.2:9042', 'UP 127.0.26.2:9042'])
  events[Symbol.dispose]()
  live(TWO, false)
  t.same(told, [])
  t.equal(world.listeners.size, 0)
  t.end()
})

t.test('a node counts as up only when it says that clients may come', async (t) => {
  const world = recordedCluster(createSystemSchema())
  const { events, told, clock } = watched(world)
  say(world, TWO, 'RPC_READY', 'false')
  await clock.advance(1_000)
  t.same(told.splice(0), ['DOWN 127.0.26.2:9042'])
  say(world, TWO, 'RPC_READY', 'true')
  await clock.advance(1_000)
  t.same(told.splice(0), ['UP 127.0.26.2:9042'])
  events[Symbol.dispose]()
})

t.test('a node joins: told when it serves; it moves to another address; it is removed', (t) => {
  const world = recordedCluster(createSystemSchema())
  const { events, told } = watched(world)
  const change = (next: Parameters<typeof changeTopology>[1]): void => {
    world.topology = changeTopology(world.topology, next)
    events.look()
  }
  const hostId = '1ab807ff-9553-4dde-a241-69732edefda0'
  const three = world.topology.nodes.get(THREE)!
  const node = { ...three, hostId, endpoint: '127.0.26.4:7000', clientAddress: '127.0.26.4', tokens: ['5'] }
  world.dead.add(hostId)
  change({ kind: 'join-start', node: { ...node, status: 'joining' } })
  t.equal(world.cluster.peers().length, 2, 'who joins is no peer yet')
  change({ kind: 'join-finish', hostId })
  t.same(told, [], 'it does not serve yet')
  t.equal(world.cluster.peers().length, 3)
  world.states.set(hostId, { ...world.states.get(THREE)!, hostId })
  world.dead.delete(hostId)
  events.look()
  t.same(told.splice(0), ['NEW_NODE 127.0.26.4:9042', 'UP 127.0.26.4:9042'])
  change({ kind: 'address', hostId, endpoint: '127.0.26.5:7000', clientAddress: '127.0.26.5', clientPort: 9043 })
  t.same(told.splice(0), ['REMOVED_NODE 127.0.26.4:9042', 'NEW_NODE 127.0.26.5:9043', 'UP 127.0.26.5:9043'])
  change({ kind: 'remove', hostId })
  t.same(told.splice(0), ['REMOVED_NODE 127.0.26.5:9043'])
  events.look()
  t.same(told, [])
  events[Symbol.dispose]()
  t.end()
})

t.test('peers, with the schema that they say they have', (t) => {
  const world = recordedCluster(createSystemSchema())
  const own = world.cluster.schema().version
  say(world, TWO, 'SCHEMA', own)
  const versions = (): (string | null)[] => world.cluster.peers().map(({ schemaVersion }) => schemaVersion)
  t.same(versions(), [own, '8e1ba6e8-5d1f-3903-a084-c69f844642b3'])
  world.reached.set(THREE, 1)
  t.same(versions(), [own, own], 'it is known what node 3 has, before it says so')
  world.reached.clear()
  world.dead.add(THREE)
  t.same(versions(), [own, own], 'nobody waits for a node that is away')
  t.match(world.cluster.peers()[0], {
    address: '127.0.26.2',
    port: 7000,
    nativeAddress: '127.0.26.2',
    nativePort: 9042,
    datacenter: 'dc1',
    rack: 'rack1',
    hostId: TWO,
  })
  t.equal(world.cluster.peers()[0]!.tokens.length, 16)
  t.end()
})

t.test('system_views.gossip_info', (t) => {
  const rows = gossipRows('gossip_info', recordedCluster(createSystemSchema()).cluster)!
  t.equal(rows.length, 3)
  t.match(rows[1], {
    address: '127.0.26.2',
    port: 7000,
    generation: 1795223738,
    heartbeat: 337,
    dc: 'dc1',
    dc_version: 12,
    release_version: '5.0.6',
    rpc_ready: 'true',
    host_id: TWO,
    native_address_and_port: '127.0.26.2:9042',
  })
  t.notOk('tokens' in rows[1]!)
  t.equal(gossipRows('caches', recordedCluster(createSystemSchema()).cluster), null)
  t.end()
})
