/** A node joins a ring with data while writes go on and everything that can fail does: what its sources acknowledged it has. */
import t from 'tap'
import type { Replication } from '../../../cluster/coordinator/levels.ts'
import { Verb } from '../../../cluster/internode/verbs.ts'
import { Placement } from '../../../cluster/ring/placement.ts'
import { changeTopology, EMPTY_TOPOLOGY, type RingNode, type Topology } from '../../../cluster/ring/topology.ts'
import { Mirror } from '../../../cluster/streaming/mirror.ts'
import { type Fetch, planJoin, planLeave, StreamError } from '../../../cluster/streaming/plan.ts'
import { isWithin } from '../../../cluster/streaming/source.ts'
import { createDice, type Dice, testSeed } from '../../support/random.ts'
import {
  dump,
  hostIdAt,
  KEYSPACE,
  randomMutation,
  type StreamNode,
  StreamWorld,
  TABLE,
} from '../../support/stream-world.ts'

const seed = testSeed()
t.comment(`TEST_SEED=${seed}`)

const simple = (factor: number): Replication => ({ strategy: 'SimpleStrategy', factor, datacenters: null })
const KEYSPACES = [{ names: [KEYSPACE], replication: simple(3) }]

function ringNode(dice: Dice, index: number, status: 'normal' | 'joining'): RingNode {
  const tokens = new Set<bigint>()
  while (tokens.size < 8) tokens.add(BigInt.asIntN(64, (BigInt(dice.int(2 ** 31)) << 33n) + BigInt(dice.int(2 ** 31))))
  return {
    hostId: hostIdAt(index),
    endpoint: `10.0.0.${index}:7000`,
    clientAddress: `10.0.0.${index}`,
    clientPort: 9042,
    datacenter: 'dc1',
    rack: 'r1',
    tokens: [...tokens].sort((a, b) => (a < b ? -1 : 1)).map(String),
    status,
    capacity: 1,
  }
}

/** So many normal nodes, and one that joins, the last. */
function ring(dice: Dice, count: number): Topology {
  let topology = EMPTY_TOPOLOGY
  for (let i = 0; i < count; i++)
    topology = changeTopology(topology, { kind: 'join-start', node: ringNode(dice, i, 'normal') })
  return changeTopology(topology, { kind: 'join-start', node: ringNode(dice, count, 'joining') })
}

type Tap = Pick<typeof t, 'same'>

/** One with the first token of a range that is fetched. */
function mutationIn({ parts }: Fetch): Buffer {
  const mutation = randomMutation(createDice(1), 1_000_000)
  const { start } = parts[0]!.ranges[0]!
  mutation.set(start ?? Buffer.alloc(8), 16)
  return mutation
}

interface Scene {
  readonly dice: Dice
  readonly world: StreamWorld
  readonly topology: Topology
  readonly joining: StreamNode
  /** By coordinators that know nothing of the node that joins: acknowledged by two replicas, or not. */
  write(): Promise<void>
  check(t: Tap, plan: readonly Fetch[]): Promise<void>
  readonly acknowledged: { mutation: Buffer; by: Set<string> }[]
}

async function scene(dice: Dice, nodes = 4): Promise<Scene> {
  const world = new StreamWorld(dice)
  const topology = ring(dice, nodes)
  for (const { hostId, endpoint } of topology.nodes.values()) await world.add(hostId, endpoint)
  const joining = world.nodes.at(-1)!
  const before = new Placement(simple(3), topology)
  const acknowledged: { mutation: Buffer; by: Set<string> }[] = []
  /** What a replica has and did not acknowledge. */
  const refused: { hostId: string; mutation: Buffer }[] = []
  let timestamp = 1
  return {
    dice,
    world,
    topology,
    joining,
    acknowledged,
    async write() {
      const mutation = randomMutation(dice, timestamp++)
      const by = new Set<string>()
      for (const { hostId } of before.atPosition(mutation.subarray(16, 24)).natural) {
        const node = world.nodes.find((one) => one.hostId === hostId)!
        // A third of the replicas is missed: hints and repairs may bring it later, or not.
        if (!node.isUp || dice.chance(0.3)) continue
        const { source } = node
        void (async () => await source.apply([mutation]))().then(
          () => {
            // A process that died meanwhile acknowledges nothing.
            if (node.source === source) by.add(hostId)
            else refused.push({ hostId, mutation })
          },
          () => refused.push({ hostId, mutation }),
        )
      }
      acknowledged.push({ mutation, by })
    },
    /** What each source has acknowledged, deletions too, the new node has: byte for byte, as it got nothing else. */
    async check(t, plan) {
      for (const { from, parts } of plan) {
        for (const { hostId, mutation } of refused)
          if (hostId === from.hostId && parts.some(({ ranges }) => isWithin(ranges, mutation.subarray(16, 24))))
            await joining.store.apply([mutation])
        const source = world.nodes.find(({ hostId }) => hostId === from.hostId)!
        for (const { ranges } of parts)
          for (const { start, end } of ranges)
            t.same(await dump(joining.store, start, end), await dump(source.store, start, end))
      }
    },
  }
}

t.test('a node that joins has what its sources have, while they are written to', async (t) => {
  for (let run = 0; run < 2; run++) {
    const { dice, world, topology, joining, write, check } = await scene(createDice(seed + run))
    for (let i = 0; i < 800; i++) await write()
    const plan = planJoin(topology, joining.hostId, KEYSPACES, () => true)
    t.ok(plan.length > 0)
    const joiner = world.joiner(joining)
    await world.finish(joiner.fetch(plan), async () => {
      if (dice.chance(0.7)) await write()
    })
    // After the last page, until the ring has changed.
    for (let i = 0; i < 50; i++) await write()
    await world.clock.advance(3_000)
    await check(t, plan)
    t.ok(joiner.counts.pages > 3 && joiner.counts.retries === 0, `${joiner.counts.pages} pages`)
    world.isJoining = () => false
    for (const node of world.nodes) node.source.ringChanged()
    t.ok(world.nodes.every(({ source }) => source.sessions === 0))
  }
})

t.test('of every quorum that acknowledged a write, enough are among the new replicas', async (t) => {
  const { dice, world, topology, joining, write, acknowledged } = await scene(createDice(seed))
  for (let i = 0; i < 500; i++) await write()
  const plan = planJoin(topology, joining.hostId, KEYSPACES, () => true)
  await world.finish(world.joiner(joining).fetch(plan), async () => {
    if (dice.chance(0.7)) await write()
  })
  await world.clock.advance(3_000)
  const after = new Placement(simple(3), changeTopology(topology, { kind: 'join-finish', hostId: joining.hostId }))
  let moved = 0
  for (const { mutation, by } of acknowledged) {
    if (by.size < 2) continue
    const natural = after.atPosition(mutation.subarray(16, 24)).natural.map(({ hostId }) => hostId)
    if (!natural.includes(joining.hostId)) continue
    moved++
    const source = [...by].find((hostId) => !natural.includes(hostId))
    const has = natural.filter((hostId) => by.has(hostId)).length + (source === undefined ? 0 : 1)
    t.ok(has >= 2)
  }
  t.ok(moved > 0)
})

t.test(
  'messages are lost, sources restart, writes do not get through: it is fetched again, and all is there',
  async (t) => {
    for (let run = 0; run < 3; run++) {
      const { dice, world, topology, joining, write, check } = await scene(createDice(seed + 100 + run))
      for (let i = 0; i < 300; i++) await write()
      const plan = planJoin(topology, joining.hostId, KEYSPACES, () => true)
      const joiner = world.joiner(joining)
      let faults = true
      let lost = 0
      /** A source that restarts after that has forgotten its promise; coordinators know of the new node by then. */
      const sealed = new Set<StreamNode>()
      world.fate = (verb, _from, to) => {
        if (verb === Verb.STREAM_SEAL) sealed.add(to)
        if (!faults || !dice.chance(verb === Verb.STREAM_WRITE ? 0.004 : 0.1)) return 'arrives'
        lost++
        return dice.chance(0.5) ? 'lost' : 'answer lost'
      }
      let steps = 0
      await world.finish(joiner.fetch(plan), async () => {
        steps++
        // The last part is quiet, so that it ends.
        faults = steps < 600
        if (faults && dice.chance(0.05)) await write()
        const one = dice.pick(world.nodes.slice(0, 4))
        if (faults && dice.chance(0.01) && !sealed.has(one)) world.restart(one)
      })
      await world.clock.advance(5_000)
      await check(t, plan)
      t.ok(lost === 0 || joiner.counts.retries > 0)
    }
  },
)

t.test(
  'once it is sealed, a write that does not get through is not acknowledged, until the ring has changed',
  async (t) => {
    const { world, topology, joining } = await scene(createDice(seed))
    const plan = planJoin(topology, joining.hostId, KEYSPACES, () => true)
    await world.finish(world.joiner(joining).fetch(plan))
    joining.isUp = false
    const source = world.nodes.find(({ hostId }) => hostId === plan[0]!.from.hostId)!
    const within = () => mutationIn(plan[0]!)
    const outcome = Promise.resolve(source.source.apply([within()])).then(
      () => 'acknowledged',
      (error: Error) => error.message,
    )
    t.match(await world.finish(outcome), /a replica to be, does not take a write/)
    world.isJoining = () => false
    source.source.ringChanged()
    t.equal(source.source.apply([within()]), undefined, 'as before')
  },
)

t.test(
  'when it has joined, what it acknowledges is where it was fetched from, too, unless that node is down',
  async (t) => {
    const { dice, world, topology, joining } = await scene(createDice(seed))
    const plan = planJoin(topology, joining.hostId, KEYSPACES, () => true)
    const down = new Set<string>()
    const mirror = new Mirror({
      messenger: joining.messenger,
      fetched: plan,
      keyspaceOf: () => KEYSPACE,
      isAlive: (hostId) => !down.has(hostId),
      former: () => [],
      knows: () => true,
    })
    let sent = 0
    for (let i = 0; i < 300; i++) {
      const mutation = randomMutation(dice, i + 1)
      const promises = mirror.send([mutation])
      sent += promises.length
      if (promises.length > 0) void joining.data.apply([mutation])
      for (const promise of promises) await world.finish(promise)
    }
    t.ok(sent > 0)
    for (const { from, parts } of plan) {
      const source = world.nodes.find(({ hostId }) => hostId === from.hostId)!
      for (const { ranges } of parts)
        for (const { start, end } of ranges)
          t.same(await dump(source.store, start, end), await dump(joining.store, start, end))
      source.isUp = false
    }
    const covered = (): Promise<string> =>
      world.finish(
        mirror.send([mutationIn(plan[0]!)])[0]!.then(
          () => 'acknowledged',
          (error: Error) => error.message,
        ),
      )
    t.match(await covered(), /does not take a write/)
    const promise = covered()
    for (const { from } of plan) down.add(from.hostId)
    t.equal(await promise, 'acknowledged')
    t.same(mirror.send([mutationIn(plan[0]!)]), [])
  },
)

t.test('a source that is down for long ends the joining, which can be begun anew', async (t) => {
  const { world, topology, joining, write, check } = await scene(createDice(seed))
  for (let i = 0; i < 300; i++) await write()
  const plan = planJoin(topology, joining.hostId, KEYSPACES, () => true)
  const source = world.nodes.find(({ hostId }) => hostId === plan[0]!.from.hostId)!
  source.isUp = false
  const first = world.joiner(joining)
  await t.rejects(world.finish(first.fetch(plan)), StreamError)
  t.match(first.counts.pages, Number)
  // The others were told that their sessions are over.
  await world.clock.advance(100)
  t.ok(world.nodes.every((node) => node === source || node.source.sessions === 0))
  world.restart(source)
  const second = world.joiner(joining)
  await world.finish(second.fetch(plan))
  await check(t, plan)
})

t.test('a table that is emptied while it is fetched does not come back', async (t) => {
  for (let run = 0; run < 2; run++) {
    const { dice, world, topology, joining, write, check } = await scene(createDice(seed + 200 + run))
    for (let i = 0; i < 300; i++) await write()
    const plan = planJoin(topology, joining.hostId, KEYSPACES, () => true)
    const joiner = world.joiner(joining, { pageBytes: 200 })
    const at = 5 + dice.int(20)
    let steps = 0
    await world.finish(joiner.fetch(plan), async () => {
      steps++
      if (steps === at) {
        const atMs = Math.floor(world.clock.wallMicros() / 1000)
        // The node that joins first, the others when they hear of it.
        joiner.truncated(TABLE, atMs)
        await joining.store.truncate(TABLE, [], atMs)
        for (const node of world.nodes.slice(0, 4))
          world.clock.after(dice.int(400), () => void node.store.truncate(TABLE, [], atMs))
      }
      if (steps > at + 100 && dice.chance(0.3)) await write()
    })
    await world.clock.advance(3_000)
    await check(t, plan)
  }
})

t.test('a bound on bytes a second is kept', async (t) => {
  const { world, topology, joining, write } = await scene(createDice(seed))
  for (let i = 0; i < 800; i++) await write()
  const plan = planJoin(topology, joining.hostId, KEYSPACES, () => true)
  const joiner = world.joiner(joining, { bytesPerSecond: 10_000 })
  const startMs = world.clock.monotonicMs()
  await world.finish(joiner.fetch(plan))
  const seconds = (world.clock.monotonicMs() - startMs) / 1_000
  t.ok(joiner.counts.bytes / seconds < 12_000, `${joiner.counts.bytes} bytes in ${seconds} s`)
})

t.test('the plan: from whom whose place is taken; if that one is down, from enough others; or not at all', (t) => {
  const dice = createDice(seed)
  const topology = ring(dice, 5)
  const joining = [...topology.nodes.values()].at(-1)!
  const after = new Placement(simple(3), changeTopology(topology, { kind: 'join-finish', hostId: joining.hostId }))
  const before = new Placement(simple(3), topology)
  const inRange = (plan: readonly Fetch[], token: Buffer) =>
    plan
      .filter(({ parts }) =>
        parts.some(({ ranges }) =>
          ranges.some(({ start, end }) => (!start || start.compare(token) <= 0) && (!end || token.compare(end) < 0)),
        ),
      )
      .map(({ from }) => from.hostId)
      .sort()
  const plan = planJoin(topology, joining.hostId, KEYSPACES, () => true)
  const down = [...topology.nodes.keys()][0]!
  const partial = planJoin(topology, joining.hostId, KEYSPACES, (hostId) => hostId !== down)
  for (let i = 0; i < 300; i++) {
    const token = randomMutation(dice, 1).subarray(16, 24)
    const old = before.atPosition(token).natural.map(({ hostId }) => hostId)
    const now = after.atPosition(token).natural.map(({ hostId }) => hostId)
    const left = old.filter((hostId) => !now.includes(hostId))
    t.same(inRange(plan, token), now.includes(joining.hostId) ? left : [])
    if (!now.includes(joining.hostId)) t.same(inRange(partial, token), [])
    else if (left[0] === down) t.same(inRange(partial, token), old.filter((hostId) => hostId !== down).sort())
    else t.same(inRange(partial, token), left)
  }
  t.throws(() => planJoin(topology, joining.hostId, KEYSPACES, () => false), StreamError)
  // Fewer nodes than replicas: nobody leaves, and one is enough.
  const few = ring(dice, 2)
  const third = [...few.nodes.values()].at(-1)!
  t.equal(planJoin(few, third.hostId, KEYSPACES, () => true).length, 1)
  t.same(
    planJoin(few, third.hostId, [], () => true),
    [],
  )
  t.end()
})

t.test('the plan for one that leaves: from itself, or if it is dead from somebody of every quorum', (t) => {
  const dice = createDice(seed)
  let topology: Topology = EMPTY_TOPOLOGY
  for (let i = 0; i < 6; i++) {
    const datacenter = i < 4 ? 'dc1' : 'dc2'
    topology = changeTopology(topology, { kind: 'join-start', node: { ...ringNode(dice, i, 'normal'), datacenter } })
  }
  const [leaving, two, three, four] = [...topology.nodes.keys()] as [string, string, string, string]
  topology = changeTopology(topology, { kind: 'leave-start', hostId: leaving })
  const replication: Replication = {
    strategy: 'org.apache.cassandra.locator.NetworkTopologyStrategy',
    factor: 5,
    datacenters: new Map([
      ['dc1', 3],
      ['dc2', 2],
    ]),
  }
  const keyspaces = [{ names: ['shop'], replication }]
  const before = new Placement(replication, topology)
  const after = new Placement(replication, changeTopology(topology, { kind: 'remove', hostId: leaving }))
  const planOf = (hostId: string, ...down: readonly string[]) =>
    planLeave(topology, { leaving, hostId }, keyspaces, (other) => !down.includes(other))
  const sources = (plan: readonly Fetch[], token: Buffer): string[] =>
    plan
      .filter(({ parts }) => parts.some(({ ranges }) => isWithin(ranges, token)))
      .map(({ from }) => from.hostId)
      .sort()
  for (const hostId of [two, three, four]) {
    const alive = planOf(hostId)
    const dead = planOf(hostId, leaving)
    for (let i = 0; i < 200; i++) {
      const token = randomMutation(dice, 1).subarray(16, 24)
      const old = before.atPosition(token).natural.map((node) => node.hostId)
      const gains = after.atPosition(token).natural.some((node) => node.hostId === hostId) && !old.includes(hostId)
      t.same(sources(alive, token), gains ? [leaving] : [])
      t.same(sources(dead, token), gains ? old.filter((other) => other !== leaving).sort() : [])
    }
    // Three of five are there, but of the three of dc1 only one: a local quorum may have been the other two.
    const others = [two, three, four].filter((other) => other !== hostId)
    t.throws(() => planOf(hostId, leaving, others[0]!), StreamError)
    const [group] = keyspaces
    t.ok(
      planLeave(
        topology,
        { leaving, hostId },
        [{ ...group!, isOptional: true }],
        (other) => other !== leaving && other !== others[0],
      ).length > 0,
    )
  }
  t.end()
})
