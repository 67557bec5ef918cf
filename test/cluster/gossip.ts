/** Gossipers among each other, in virtual time. `npm run gossip` does the same with hundreds of nodes. */
import t from 'tap'
import { type GossipNode, GossipWorld } from '../support/gossip-world.ts'
import { testSeed } from '../support/random.ts'

const seed = testSeed()
t.comment(`TEST_SEED=${seed}`)

/** Everybody is up everywhere. */
function whole(options: Partial<ConstructorParameters<typeof GossipWorld>[0]> & { nodes: number }): GossipWorld {
  const world = new GossipWorld({ seed, ...options })
  world.startAll(500)
  world.run(600)
  if (world.until(() => world.isWhole(), 60_000) === Number.POSITIVE_INFINITY)
    throw new Error('the cluster is not whole')
  // Intervals are known, so that phi means what it says.
  world.run(10_000)
  forgetChanges(world)
  return world
}

function forgetChanges(world: GossipWorld): void {
  for (const { changes, log } of world.nodes) {
    changes.length = 0
    log.length = 0
  }
}

const others = (world: GossipWorld, node: GossipNode) => world.running.filter((other) => other !== node)
const changes = (nodes: readonly GossipNode[]) => [...new Set(nodes.flatMap((node) => node.changes))].sort()

t.test('three nodes know each other as soon as they are there, in whatever order they start', (t) => {
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
  ]) {
    const world = new GossipWorld({ seed, nodes: 3, seeds: 1, members: false })
    for (const index of order) {
      world.start(world.nodes[index]!)
      world.run(150)
    }
    t.ok(world.until(() => world.isWhole(), 5_000, 10) < 1_500)
  }
  t.end()
})

t.test('what others wait for is told before the next round', (t) => {
  const world = whole({ nodes: 4 })
  for (let i = 0; i < 5; i++) {
    const { gossiper, hostId } = world.nodes[i % 4]!
    gossiper.setLocal('RPC_READY', `ready ${i}`)
    gossiper.hurry()
    const told = () =>
      world.nodes.every((node) => node.gossiper.state(hostId)?.values.get('RPC_READY')?.value === `ready ${i}`)
    t.ok(world.until(told, 60_000, 10) < 300)
  }
  t.same(changes(world.nodes), [])
  t.end()
})

t.test('what a node says reaches all in a few rounds', (t) => {
  const world = whole({ nodes: 48 })
  for (let i = 0; i < 5; i++) {
    const node = world.nodes[i * 7]!
    node.gossiper.setLocal('LOAD', `load ${i}`)
    const told = () =>
      world.nodes.every(({ gossiper }) => gossiper.state(node.hostId)?.values.get('LOAD')?.value === `load ${i}`)
    const rounds = world.until(told, 60_000) / 1_000
    t.ok(rounds <= 2 + Math.log2(48), `${rounds} rounds`)
  }
  t.same(changes(world.nodes), [])
  t.end()
})

t.test('with every fifth message lost nobody goes down', (t) => {
  const world = whole({ nodes: 16, loss: 0.2 })
  world.run(180_000)
  t.same(changes(world.nodes), [])
  t.end()
})

t.test('a killed node is suspect, then down, and up when it starts again', (t) => {
  const world = whole({ nodes: 8 })
  const node = world.nodes[3]!
  world.kill(node)
  const suspected = world.until(
    () => others(world, node).every((o) => o.gossiper.standing(node.hostId) !== 'alive'),
    30_000,
  )
  const down = world.until(() => others(world, node).every((o) => !o.gossiper.isAlive(node.hostId)), 30_000)
  t.ok(suspected >= 2_000 && suspected < 9_000, `suspect after ${suspected} ms`)
  t.ok(suspected + down < 12_000, `down after ${suspected + down} ms`)
  t.same(changes(others(world, node)), ['down 3'])
  forgetChanges(world)
  world.restart(node)
  t.ok(world.until(() => world.isWhole(), 30_000) < 6_000)
  t.same(changes(others(world, node)), ['up 3'])
  t.end()
})

t.test('a restart too quick to be missed is a going down and a coming up', (t) => {
  const world = whole({ nodes: 5 })
  world.run(1_000)
  world.restart(world.nodes[2]!)
  world.run(5_000)
  for (const node of others(world, world.nodes[2]!)) t.same(node.changes, ['down 2', 'up 2'])
  t.ok(world.isWhole())
  t.end()
})

t.test('who says that it stops is down at once, also for those whom it did not reach', (t) => {
  const world = whole({ nodes: 12 })
  const node = world.nodes[5]!
  world.connected = (from, to) => from !== node || to.index % 2 === 0
  node.gossiper.announceShutdown()
  world.run(50)
  t.same(changes(world.nodes.filter((o) => o !== node && o.index % 2 === 0)), ['down 5'])
  world.connected = () => true
  t.ok(world.until(() => others(world, node).every((o) => !o.gossiper.isAlive(node.hostId)), 10_000) < 5_000)
  // Its process still takes connections, and others still say that it lived.
  world.run(30_000)
  t.same(changes(others(world, node)), ['down 5'])
  world.restart(node)
  t.ok(world.until(() => world.isWhole(), 30_000) < 6_000)
  t.end()
})

t.test('a network in two parts: each holds the other for down and nobody else, and after that all is well', (t) => {
  const world = whole({ nodes: 9 })
  const part = ({ index }: GossipNode) => index < 3
  world.connected = (from, to) => part(from) === part(to)
  world.run(40_000)
  for (const node of world.nodes)
    for (const other of world.nodes) t.equal(node.gossiper.isAlive(other.hostId), part(node) === part(other))
  forgetChanges(world)
  world.connected = () => true
  t.ok(world.until(() => world.isWhole(), 60_000) < 30_000)
  world.run(20_000)
  for (const node of world.nodes) t.equal(node.changes.length, part(node) ? 6 : 3, 'each came up once')
  t.end()
})

t.test('who cannot be reached is not up, whatever others say of it', (t) => {
  const world = new GossipWorld({ seed, nodes: 4 })
  const [a, b] = [world.nodes[0]!, world.nodes[3]!]
  world.connected = (from, to) => from !== a || to !== b
  world.startAll(500)
  world.run(20_000)
  t.equal(a.gossiper.isAlive(b.hostId), false)
  t.ok(a.gossiper.state(b.hostId), 'although it is known')
  t.equal(world.nodes[1]!.gossiper.isAlive(b.hostId), true)
  world.connected = () => true
  t.ok(world.until(() => world.isWhole(), 10_000) < 5_000)
  t.end()
})

t.test('a process that was stopped convicts nobody when it goes on, and says that what it knows is old', (t) => {
  const world = whole({ nodes: 6 })
  const node = world.nodes[4]!
  world.pause(node)
  t.ok(world.until(() => others(world, node).every((o) => !o.gossiper.isAlive(node.hostId)), 60_000) < 30_000)
  world.run(300_000)
  const dead = world.nodes[1]!
  world.kill(dead)
  world.run(60_000)
  forgetChanges(world)
  world.resume(node)
  for (const other of others(world, node))
    t.equal(node.gossiper.standing(other.hostId), 'suspect', 'until it was heard')
  t.equal(node.woken.length, 1)
  t.ok(node.woken[0]! > 350_000)
  t.ok(world.until(() => world.isWhole(), 60_000) < 10_000)
  t.ok(world.until(() => !node.gossiper.isAlive(dead.hostId), 60_000) < 25_000, 'who died meanwhile is found out')
  t.same(node.changes, ['down 1'])
  t.same(changes(others(world, node)), ['up 4'])
  t.end()
})

t.test('a node of another cluster is neither heard nor answered', (t) => {
  for (const cluster of [
    { name: 'Other Cluster', id: null },
    { name: 'Test Cluster', id: '00000000-0000-4000-8000-000000000002' },
  ]) {
    const ours = { name: 'Test Cluster', id: '00000000-0000-4000-8000-000000000001' }
    const world = new GossipWorld({ seed, nodes: 3, members: false, gossiper: { cluster: () => ours } })
    const stranger = world.add({ options: { cluster: () => cluster } })
    world.startAll(300)
    world.run(10_000)
    const mine = world.nodes.slice(0, 3)
    for (const node of mine) t.equal(node.gossiper.state(stranger.hostId), null)
    t.same(stranger.gossiper.states().length, 1)
    t.ok(
      mine.some(({ log }) => log.filter((line) => line.includes('another cluster')).length === 1),
      'said once',
    )
    t.ok(
      mine.some(({ gossiper }) => gossiper.counts.refused > 1),
      'and counted',
    )
    t.equal(changes(mine).filter((change) => change.endsWith('3')).length, 0)
  }
  t.end()
})

t.test('a stranger that is silent is forgotten by all, and comes back when it does', (t) => {
  const world = new GossipWorld({ seed, nodes: 6, members: false })
  world.startAll(300)
  world.run(8_000)
  t.ok(world.isWhole())
  const node = world.nodes[5]!
  world.kill(node)
  world.run(90_000)
  for (const other of others(world, node)) t.equal(other.gossiper.state(node.hostId), null)
  world.restart(node)
  t.ok(world.until(() => world.isWhole(), 30_000) < 6_000)
  t.end()
})

t.test('a node that forgot its generation goes on with a greater one', (t) => {
  const world = whole({ nodes: 4 })
  const node = world.nodes[1]!
  world.restart(node, { generation: 1_000 })
  t.ok(
    world.until(() => world.isWhole() && node.gossiper.state(node.hostId)!.generation > 1_700_000_000, 30_000) < 10_000,
  )
  world.run(5_000)
  t.ok(world.isWhole())
  t.same(node.conflicts, [])
  t.end()
})

t.test('of two nodes with one host id the earlier is told, and a change of address is none', (t) => {
  const world = whole({ nodes: 4 })
  const [first] = world.nodes
  const twin = world.add({ hostId: first!.hostId, options: { generation: 1_800_000_000 } })
  world.start(twin)
  world.run(10_000)
  t.same(first!.conflicts.slice(0, 1), [twin.endpoint])
  t.same(twin.conflicts, [])
  const moved = world.nodes[2]!
  world.kill(moved)
  const there = world.add({ hostId: moved.hostId, options: { generation: 1_800_000_000 } })
  world.start(there)
  world.run(10_000)
  t.same(there.conflicts, [])
  const told = world.nodes[3]!.gossiper.state(moved.hostId)!
  t.equal(told.values.get('INTERNAL_ADDRESS_AND_PORT')!.value, there.endpoint)
  t.equal(world.nodes[3]!.gossiper.isAlive(moved.hostId), true)
  t.end()
})
