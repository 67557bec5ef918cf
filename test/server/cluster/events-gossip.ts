/** What clients are told of a node that restarts, with gossip as it is: DOWN, then UP, each once, and UP soon after it serves. */
import t from 'tap'
import type { RingNode } from '../../../cluster/ring/topology.ts'
import { createSystemSchema } from '../../../lib/schema/system-tables.ts'
import { ClusterEvents } from '../../../lib/server/cluster/cluster-events.ts'
import { KnownCluster } from '../../../lib/server/cluster/known-cluster.ts'
import type { ServerEvent } from '../../../protocol/responses.ts'
import { type GossipNode, GossipWorld } from '../../support/gossip-world.ts'

/** Three nodes that serve clients, and what the clients of the first were told since one looked last. */
function watchedWorld(seed: number): { world: GossipWorld; told: () => string[]; restarted: GossipNode } {
  const world = new GossipWorld({ seed, nodes: 3 })
  const [self, , restarted] = world.nodes
  const nodes = new Map(world.nodes.map((node) => [node.hostId, ringNode(node)]))
  const schema = createSystemSchema()
  world.startAll()
  for (const { gossiper } of world.nodes) gossiper.setLocal('RPC_READY', 'true')
  world.until(() => world.isWhole(), 30_000)
  world.run(10_000)
  const cluster = new KnownCluster({
    clusterName: 'Test Cluster',
    generation: 0,
    self: nodes.get(self!.hostId)!,
    metadata: { state: { schema, topology: { nodes } } },
    loadBytes: () => 0,
    hearsay: self!.gossiper,
    messages: () => null,
  })
  const told: string[] = []
  new ClusterEvents(cluster, self!.clock, (event: ServerEvent) => {
    if (event.kind !== 'SCHEMA_CHANGE') told.push(`${event.change} ${event.address.join('.')}`)
  })
  return { world, told: () => told.splice(0), restarted: restarted! }
}

function ringNode({ hostId, endpoint, index }: GossipNode): RingNode {
  const clientAddress = endpoint.slice(0, endpoint.lastIndexOf(':'))
  const place = { datacenter: 'dc1', rack: 'rack1', tokens: [String(index)], status: 'normal', capacity: 1 } as const
  return { hostId, endpoint, clientAddress, clientPort: 9042, ...place }
}

for (const { name, awayMs, startsMs } of [
  { name: 'at once, and serves before anybody hears of it', awayMs: 300, startsMs: 0 },
  { name: 'before anybody missed it', awayMs: 1_200, startsMs: 500 },
  { name: 'when it was suspect', awayMs: 4_800, startsMs: 500 },
  { name: 'at about the time at which others gave it up', awayMs: 7_000, startsMs: 500 },
  { name: 'when others had long given it up', awayMs: 30_000, startsMs: 500 },
])
  t.test(`a node is back ${name}`, (t) => {
    for (let seed = 1; seed <= 20; seed++) {
      const { world, told, restarted } = watchedWorld(seed)
      const address = ringNode(restarted).clientAddress
      world.kill(restarted)
      world.run(awayMs)
      // Generations are seconds; no process starts twice in one.
      world.restart(restarted, { generation: 1_800_000_000 })
      restarted.gossiper.setLocal('RPC_READY', 'false')
      world.run(startsMs)
      const before = told()
      t.notOk(before.includes(`UP ${address}`), `it does not serve yet, seed ${seed}`)
      restarted.gossiper.setLocal('RPC_READY', 'true')
      restarted.gossiper.hurry()
      world.run(3_000)
      t.same([...before, ...told()], [`DOWN ${address}`, `UP ${address}`], `seed ${seed}`)
      world.run(30_000)
      t.same(told(), [], `nothing comes after that, seed ${seed}`)
    }
    t.end()
  })
