/** Tokens of new nodes: everybody owns what its capacity says, of a million keys too. */
import t from 'tap'
import { allocateTokens, tokenCount } from '../../../cluster/ring/allocation.ts'
import { Placements } from '../../../cluster/ring/placement.ts'
import { changeTopology, EMPTY_TOPOLOGY, type Topology } from '../../../cluster/ring/topology.ts'
import { murmur3Token } from '../../../lib/base/hash/murmur3.ts'
import { createSeededRandom } from '../../../lib/runtime/simulated/random.ts'
import { testSeed } from '../../support/random.ts'
import { network, ringNode, sortTokens, topologyOf } from '../../support/rings.ts'

interface Plan {
  readonly nodes: number
  readonly racks?: number
  readonly numTokens?: number
  /** Of the nodes in turn. */
  readonly capacities?: readonly number[]
}

/** Nodes that join one after the other. */
function grown(seed: number, { nodes, racks = 1, numTokens = 128, capacities = [1] }: Plan): Topology {
  const random = createSeededRandom(seed)
  let topology = EMPTY_TOPOLOGY
  for (let number = 1; number <= nodes; number++) {
    const place = {
      datacenter: 'dc1',
      rack: `rack${number % racks}`,
      capacity: capacities[number % capacities.length]!,
    }
    const count = tokenCount(numTokens, place.capacity)
    const tokens = allocateTokens(topology, { ...place, count, random: random.stream(String(number)) })
    topology = changeTopology(topology, { kind: 'join-start', node: ringNode(number, { ...place, tokens }) })
  }
  return topology
}

/** The largest load of a node by what its capacity says, and the least. */
function extremes(topology: Topology, loads: ReadonlyMap<string, number>): { largest: number; least: number } {
  let capacity = 0
  let load = 0
  for (const node of topology.nodes.values()) {
    capacity += node.capacity
    load += loads.get(node.hostId) ?? 0
  }
  const ratios = [...topology.nodes.values()].map(
    (node) => (loads.get(node.hostId) ?? 0) / load / (node.capacity / capacity),
  )
  return { largest: Math.max(...ratios), least: Math.min(...ratios) }
}

function ownership(topology: Topology, factor: number): ReturnType<typeof extremes> {
  return extremes(topology, new Placements().of(network({ dc1: factor }), topology).ownership())
}

const KEYS = 1_000_000

/** Of a million keys, by halves as placements take them. */
function positionsOfKeys(): Int32Array {
  const positions = new Int32Array(2 * KEYS)
  const token = new Int32Array(2)
  const key = Buffer.alloc(8)
  for (let i = 0; i < KEYS; i++) {
    key.writeInt32BE(i, 4)
    murmur3Token(key, 0, 8, token)
    positions[2 * i] = token[0]! ^ -0x80000000
    positions[2 * i + 1] = token[1]!
  }
  return positions
}

t.test('10 nodes, 128 tokens, a million keys', (t) => {
  const seed = testSeed()
  const positions = positionsOfKeys()
  for (const capacities of [[1], [1, 2]]) {
    const topology = grown(seed, { nodes: 10, capacities })
    for (const factor of [1, 3]) {
      const placement = new Placements().of(network({ dc1: factor }), topology)
      const counts = placement.sets.map(() => 0)
      for (let i = 0; i < positions.length; i += 2) counts[placement.at(positions[i]!, positions[i + 1]!).index]!++
      const loads = new Map<string, number>()
      for (const { natural, index } of placement.sets)
        for (const node of natural) loads.set(node.hostId, (loads.get(node.hostId) ?? 0) + counts[index]!)
      const { largest, least } = extremes(topology, loads)
      const what = `seed ${seed}, capacities ${capacities}, ${factor} replicas: ${least.toFixed(3)} to ${largest.toFixed(3)}`
      t.ok(largest < 1.05 && least > 0.95, what)
      t.comment(what)
    }
  }
  t.end()
})

t.test('rings of other sizes', (t) => {
  const seed = testSeed()
  const even = (plan: Plan, factor: number, bound: number): void => {
    const { largest, least } = ownership(grown(seed, plan), factor)
    const what = `seed ${seed}, ${JSON.stringify(plan)}, ${factor} replicas: ${least.toFixed(3)} to ${largest.toFixed(3)}`
    t.ok(largest < 1 + bound && least > 1 - bound, what)
  }
  for (const nodes of [2, 3, 4, 6]) even({ nodes }, 1, 0.03)
  for (const factor of [1, 2, 3]) {
    even({ nodes: 10, numTokens: 32 }, factor, 0.1)
    even({ nodes: 9, racks: 3, numTokens: 32 }, factor, 0.08)
  }
  even({ nodes: 12, racks: 3, numTokens: 32, capacities: [1, 1, 1, 3] }, 1, 0.08)
  t.end()
})

t.test('a ring of random tokens becomes more even with each new node', (t) => {
  const seed = testSeed()
  const random = createSeededRandom(seed)
  const tokens = (): string[] =>
    sortTokens(Array.from({ length: 16 }, () => String(random.fill(Buffer.alloc(8)).readBigInt64BE())))
  let topology = topologyOf(...[1, 2, 3].map((number) => ringNode(number, { tokens: tokens() })))
  for (let number = 4; number <= 9; number++) {
    const place = { datacenter: 'dc1', rack: 'rack1', capacity: 1 }
    const own = allocateTokens(topology, { ...place, count: 32, random })
    topology = changeTopology(topology, { kind: 'join-start', node: ringNode(number, { tokens: own }) })
  }
  for (const factor of [1, 3]) {
    const { largest } = ownership(topology, factor)
    t.ok(largest < 1.15, `seed ${seed}, ${factor} replicas: ${largest}`)
  }
  t.end()
})

t.test('another data centre begins as if it were alone, with tokens of its own', (t) => {
  const first = grown(1, { nodes: 3 })
  const tokens = allocateTokens(first, {
    datacenter: 'dc2',
    rack: 'rack1',
    count: 128,
    capacity: 1,
    random: createSeededRandom(1).stream('1'),
  })
  t.equal(tokens.length, 128)
  changeTopology(first, { kind: 'join-start', node: ringNode(9, { datacenter: 'dc2', tokens }) })
  t.end()
})

t.test('how many tokens', (t) => {
  t.same([tokenCount(128, 1), tokenCount(128, 0.5), tokenCount(16, 2), tokenCount(1, 0.1)], [128, 64, 32, 1])
  t.end()
})
