/** Placement against a slow obvious version, and against what a real Cassandra and the Node driver say of their rings. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Replication } from '../../../cluster/coordinator/levels.ts'
import { Placements, positionAfter, tokenPosition } from '../../../cluster/ring/placement.ts'
import type { RingNode, Topology } from '../../../cluster/ring/topology.ts'
import { type Dice, forAll } from '../../support/random.ts'
import {
  hostId,
  network,
  randomReplication,
  randomTopology,
  ringNode,
  simple,
  sortTokens,
  topologyOf,
} from '../../support/rings.ts'

const MIN = -(2n ** 63n)
const MAX = 2n ** 63n - 1n

/** All nodes as they are met from the token on, each once. */
function order(nodes: readonly RingNode[], token: bigint): RingNode[] {
  const entries = nodes.flatMap((node) => node.tokens.map((text) => ({ token: BigInt(text), node })))
  entries.sort((a, b) => (a.token < b.token ? -1 : 1))
  const around = [...entries.filter((entry) => entry.token >= token), ...entries.filter((entry) => entry.token < token)]
  return [...new Set(around.map(({ node }) => node))]
}

/** Replicas from their definition: the first of each rack, and as many more as there are racks too few. */
function obvious(replication: Replication, nodes: readonly RingNode[], token: bigint): string[] {
  const met = order(nodes, token)
  const { datacenters, factor } = replication
  if (datacenters === null) return met.slice(0, factor).map((node) => node.hostId)
  const chosen = new Set<RingNode>()
  for (const [datacenter, count] of datacenters) {
    const inside = met.filter((node) => node.datacenter === datacenter)
    const firsts = inside.filter((node) => inside.find(({ rack }) => rack === node.rack) === node)
    for (const node of firsts.slice(0, count)) chosen.add(node)
    const others = inside.filter((node) => !firsts.includes(node))
    for (const node of others.slice(0, Math.max(0, count - firsts.length))) chosen.add(node)
  }
  return met.filter((node) => chosen.has(node)).map((node) => node.hostId)
}

/** A token, often one at or beside a node's. */
function someToken(dice: Dice, topology: Topology): bigint {
  if (dice.chance(0.4)) return BigInt.asIntN(64, (BigInt(dice.int(2 ** 32)) << 32n) | BigInt(dice.int(2 ** 32)))
  const node = dice.pick([...topology.nodes.values()])
  return BigInt.asIntN(64, BigInt(dice.pick(node.tokens)) + BigInt(dice.int(3) - 1))
}

const names = (nodes: readonly RingNode[]): string[] => nodes.map((node) => node.hostId)

t.test('replicas of a token are those of the definition', (t) => {
  forAll(400, (dice) => {
    const topology = randomTopology(dice)
    const replication = randomReplication(dice)
    const placement = new Placements().of(replication, topology)
    for (let i = 0; i < 20; i++) {
      const token = someToken(dice, topology)
      const { natural, pending } = placement.atPosition(tokenPosition(token))
      t.same(names(natural), obvious(replication, [...topology.nodes.values()], token))
      t.same(pending, [])
    }
  })
  t.end()
})

t.test('nodes that join or leave: who will own a key and does not yet is pending', (t) => {
  forAll(400, (dice) => {
    const topology = randomTopology(dice, ['normal', 'normal', 'joining', 'leaving'])
    const replication = randomReplication(dice)
    const placement = new Placements().of(replication, topology)
    const nodes = [...topology.nodes.values()]
    const now = nodes.filter(({ status }) => status !== 'joining')
    const joining = nodes.filter(({ status }) => status === 'joining')
    for (let i = 0; i < 10; i++) {
      const token = someToken(dice, topology)
      const { natural, pending } = placement.atPosition(tokenPosition(token))
      t.same(names(natural), obvious(replication, now, token))
      const later = [nodes.filter(({ status }) => status !== 'leaving'), ...joining.map((node) => [...now, node])]
      const soon = new Set(later.flatMap((ring) => obvious(replication, ring, token)))
      for (const name of names(natural)) soon.delete(name)
      for (const name of soon) t.ok(names(pending).includes(name), 'who will be a replica is pending')
      for (const node of pending) t.notOk(natural.includes(node))
      if (joining.length === 1 && now.every(({ status }) => status === 'normal'))
        t.same(new Set(names(pending)), soon, 'and nobody else')
    }
  })
  t.end()
})

t.test('an interval is cut where the replicas change', (t) => {
  forAll(300, (dice) => {
    const topology = randomTopology(dice, ['normal', 'normal', 'joining'])
    const placement = new Placements().of(randomReplication(dice), topology)
    const bound = (): Buffer | null => {
      if (dice.chance(0.3)) return null
      const position = tokenPosition(someToken(dice, topology))
      return dice.chance(0.5) ? position : Buffer.concat([position, Buffer.from([0, 1, dice.int(256)])])
    }
    const [start, end] = [bound(), bound()]
    const ranges = placement.ranges(start, end)
    if (start && end && Buffer.compare(start, end) >= 0) {
      t.same(ranges, [])
      return
    }
    t.same([ranges[0]!.start, ranges.at(-1)!.end], [start, end])
    const set = (nodes: readonly RingNode[]): string => names(nodes).sort().join()
    const both = ({ natural, pending }: { natural: readonly RingNode[]; pending: readonly RingNode[] }): string =>
      `${set(natural)}|${set(pending)}`
    ranges.forEach((range, i) => {
      const next = ranges[i + 1]
      if (next) {
        t.same(range.end, next.start)
        t.not(both(range.replicas), both(next.replicas), 'neighbours differ')
      }
      if (range.start && range.end) t.ok(Buffer.compare(range.start, range.end) < 0, 'no range is empty')
    })
    for (let i = 0; i < 20; i++) {
      const position = Buffer.concat([tokenPosition(someToken(dice, topology)), Buffer.from([0, 1, dice.int(256)])])
      if ((start && Buffer.compare(position, start) < 0) || (end && Buffer.compare(position, end) >= 0)) continue
      const range = ranges.find((one) => one.end === null || Buffer.compare(position, one.end) < 0)!
      t.equal(both(range.replicas), both(placement.atPosition(position)))
    }
  })
  t.end()
})

t.test('ends of the token range', (t) => {
  const topology = topologyOf(ringNode(1, { tokens: [String(MIN), '0'] }), ringNode(2, { tokens: [String(MAX)] }))
  const placement = new Placements().of(simple(1), topology)
  const owner = (token: bigint): string => placement.atPosition(tokenPosition(token)).natural[0]!.hostId
  t.same([MIN, MIN + 1n, 0n, 1n, MAX].map(owner), [1, 1, 1, 2, 2].map(hostId))
  t.same(
    placement.ranges(null, null).map(({ start, end, replicas }) => [start, end, replicas.natural[0]!.hostId]),
    [
      [null, positionAfter(0n), hostId(1)],
      [positionAfter(0n), null, hostId(2)],
    ],
  )
  t.end()
})

t.test('a node alone owns everything, a ring of nobody nothing', (t) => {
  const alone = new Placements().of(simple(3), topologyOf(ringNode(1)))
  t.same(names(alone.at(0, 0).natural), [hostId(1)])
  t.equal(alone.ranges(null, null).length, 1)
  t.same([...alone.ownership()], [[hostId(1), 1]])
  const local = { strategy: 'org.apache.cassandra.locator.LocalStrategy', factor: 1, datacenters: null }
  t.same(new Placements().of(local, topologyOf(ringNode(1))).at(5, 5).natural, [])
  const joining = topologyOf(ringNode(1, { status: 'joining' }))
  const nobody = new Placements().of(simple(1), joining)
  t.same(nobody.at(0, 0).natural, [])
  t.same(names(nobody.at(0, 0).pending), [hostId(1)])
  t.same(new Placements().of(simple(1), topologyOf()).ranges(null, null), [
    { start: null, end: null, replicas: { natural: [], pending: [], index: 0 } },
  ])
  t.end()
})

t.test('equal replications of one topology share one table', (t) => {
  const placements = new Placements()
  const topology = topologyOf(ringNode(1), ringNode(2))
  t.equal(placements.of(network({ dc1: 2, dc2: 1 }), topology), placements.of(network({ dc2: 1, dc1: 2 }), topology))
  t.not(placements.of(network({ dc1: 2 }), topology), placements.of(network({ dc1: 1 }), topology))
  t.not(placements.of(simple(1), topology), placements.of(simple(1), topologyOf(ringNode(1), ringNode(2))))
  t.end()
})

t.test('the ranges of a real Cassandra: NetworkTopologyStrategy, dc1 2, dc2 1', (t) => {
  const path = join(dirname(), '../../../../test/golden/nodetool/describering.txt')
  const ranges = Array.from(
    readFileSync(path, 'utf8').matchAll(/TokenRange\(start_token:(-?\d+), end_token:(-?\d+), endpoints:\[([^\]]*)\]/g),
    ([, after, token, endpoints]) => ({ after: after!, token: token!, endpoints: endpoints!.split(', ') }),
  )
  t.equal(ranges.length, 48)
  const tokens = new Map<string, string[]>()
  for (const { token, endpoints } of ranges) {
    const owner = endpoints[0]!
    tokens.set(owner, [...(tokens.get(owner) ?? []), token])
  }
  const nodes = Array.from(tokens, ([address, own], i) =>
    ringNode(i + 1, {
      endpoint: `${address}:7000`,
      datacenter: address === '127.0.26.3' ? 'dc2' : 'dc1',
      tokens: sortTokens(own),
    }),
  )
  const placement = new Placements().of(network({ dc1: 2, dc2: 1 }), topologyOf(...nodes))
  const ours = placement.tokenRanges()
  t.equal(ours.length, 48)
  for (const { after, token, replicas } of ours) {
    const theirs = ranges.find((range) => range.token === String(token))!
    t.equal(String(after), theirs.after)
    t.same(
      replicas.natural.map(({ endpoint }) => endpoint),
      theirs.endpoints.map((address) => `${address}:7000`),
    )
  }
  t.end()
})

function dirname(): string {
  return fileURLToPath(new URL('.', import.meta.url))
}
