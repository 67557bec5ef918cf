/** Who may not take part is told why, in one line, before it leaves a trace. */
import t from 'tap'
import { EMPTY_TOPOLOGY, type RingNode, type Topology } from '../../cluster/ring/topology.ts'
import { SILENT_LOG } from '../../lib/runtime/node/log.ts'
import { type AdmissionOptions, checkAdmission, checkMembership } from '../../lib/server/cluster/admission.ts'
import { StartError } from '../../lib/server/start-error.ts'
import { type GossipNode, GossipWorld } from '../support/gossip-world.ts'
import { testSeed } from '../support/random.ts'

const seed = testSeed()
t.comment(`TEST_SEED=${seed}`)

const ID = '00000000-0000-4000-8000-000000000001'
const OTHER_ID = '00000000-0000-4000-8000-000000000002'

/** Three nodes of a founded cluster, up. */
function world(): GossipWorld {
  const made = new GossipWorld({
    seed,
    nodes: 3,
    members: false,
    gossiper: { cluster: () => ({ name: 'Test Cluster', id: ID }) },
  })
  made.startAll(200)
  made.run(5_000)
  return made
}

/** The message of its refusal; null: it may start. */
async function admit(
  world: GossipWorld,
  node: GossipNode,
  over: Partial<AdmissionOptions> = {},
): Promise<string | null> {
  node.phase = 'running'
  const warnings: string[] = []
  const outcome = checkAdmission({
    messenger: node.messenger,
    clock: node.clock,
    log: { ...SILENT_LOG, warn: (_source, message) => warnings.push(message) },
    clusterName: 'Test Cluster',
    seeds: world.nodes.slice(0, 3).map(({ endpoint }) => endpoint),
    clusterId: '',
    topology: EMPTY_TOPOLOGY,
    otherClusters: new Map(),
    ...over,
  }).then(
    () => (warnings.length > 0 ? `warned: ${warnings[0]}` : null),
    (error: unknown) => {
      if (!(error instanceof StartError)) throw error
      return error.message
    },
  )
  // Answers, and the questions that follow from them.
  for (let i = 0; i < 4; i++) {
    await new Promise((resolve) => setImmediate(resolve))
    world.run(1_100)
  }
  return outcome
}

t.test('a new node, a node that comes back, and one that has moved may start', async (t) => {
  const there = world()
  t.equal(await admit(there, there.add()), null)
  const node = there.nodes[1]!
  there.kill(node)
  t.equal(await admit(there, node, { clusterId: ID }), null)
  const moved = there.add({ hostId: node.hostId })
  node.phase = 'dead'
  t.equal(await admit(there, moved, { clusterId: ID }), null)
})

t.test('nobody answers: nothing can be known', async (t) => {
  const there = new GossipWorld({ seed, nodes: 4 })
  t.equal(await admit(there, there.nodes[3]!), null)
})

t.test('a copy of a data directory is refused while the other runs', async (t) => {
  const there = world()
  const twin = there.add({ hostId: there.nodes[2]!.hostId })
  t.match(await admit(there, twin, { clusterId: ID }), /with the host id of this one .* copied/)
  // Also when only the seeds are asked, of whom it is none.
  const seeds = [there.nodes[0]!.endpoint]
  t.match(await admit(there, twin, { clusterId: ID, seeds }), /with the host id of this one .* copied/)
})

t.test('another cluster: by its name, by its id', async (t) => {
  const there = world()
  const node = there.add()
  const { endpoint } = there.nodes[0]!
  for (const other of there.nodes.slice(0, 3)) other.phase = 'dead'
  const met = new Map([[endpoint, 'Other']])
  t.match(
    await admit(there, node, { otherClusters: met }),
    `The node at ${endpoint} is of cluster 'Other', this one of 'Test Cluster'`,
  )
  const founded = world()
  t.match(await admit(founded, founded.add(), { clusterId: OTHER_ID }), /belongs to another cluster .* same name/)
})

t.test('clocks: a little off is well, more is told, far off is refused, whichever way', async (t) => {
  for (const [skewMs, expected] of [
    [300, null],
    [2_000, /^warned: .* 2\.\d s ahead of|^warned: .* 1\.9 s ahead of/],
    [-2_000, /^warned: .* behind/],
    [60_000, /clock of this machine .* ahead of .* \(10 s at most\)/],
    [-60_000, /clock of this machine .* behind .* \(10 s at most\)/],
  ] as const) {
    const there = world()
    const node = there.add()
    node.skewMs = skewMs
    const told = await admit(there, node)
    if (expected === null) t.equal(told, null)
    else t.match(told, expected, `${skewMs} ms`)
  }
  const there = world()
  there.nodes[1]!.skewMs = 3_600_000
  t.equal(await admit(there, there.add()), null, 'one wrong clock among several refuses nobody')
})

t.test('an address that a live node has is refused, and that of a dead one is the ring’s to judge', async (t) => {
  const there = world()
  const node = there.add()
  const { hostId } = there.nodes[2]!
  const messenger = { ...node.messenger, self: { hostId: node.hostId, endpoint: there.nodes[2]!.endpoint } }
  const seeds = there.nodes.slice(0, 2).map(({ endpoint }) => endpoint)
  t.match(await admit(there, node, { messenger, seeds }), new RegExp(`belongs to another node that is up .*${hostId}`))
  there.kill(there.nodes[2]!)
  there.run(30_000)
  t.equal(await admit(there, node, { messenger, seeds }), null)
})

t.test('who was removed, or was in the ring of another cluster, does not come back with its data', (t) => {
  const self = { hostId: ID }
  const topology: Topology = { nodes: new Map([[ID, {} as RingNode]]) }
  checkMembership(self, null, { clusterId: ID, topology: EMPTY_TOPOLOGY })
  checkMembership(self, ID, { clusterId: ID, topology })
  t.throws(() => checkMembership(self, ID, { clusterId: ID, topology: EMPTY_TOPOLOGY }), /was removed from the cluster/)
  t.throws(() => checkMembership(self, OTHER_ID, { clusterId: ID, topology }), /belongs to another cluster/)
  t.end()
})
