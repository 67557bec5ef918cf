/** Writes through a coordinator to replicas: every order of acknowledgements, failures, losses and delays, held against a slow count. */
import t from 'tap'
import { CounterLeader } from '../../../cluster/coordinator/counter-leader.ts'
import type { CoordinatorEnvironment } from '../../../cluster/coordinator/environment.ts'
import { RequestLatencies } from '../../../cluster/coordinator/latencies.ts'
import { quorumOf } from '../../../cluster/coordinator/levels.ts'
import { ReplicaWrites } from '../../../cluster/coordinator/replica-writes.ts'
import { TruncationMarks } from '../../../cluster/coordinator/truncation-marks.ts'
import { WriteCoordinator } from '../../../cluster/coordinator/write.ts'
import { WritePlans } from '../../../cluster/coordinator/write-plans.ts'
import { Verb } from '../../../cluster/internode/verbs.ts'
import { FailureReason, type RequestError } from '../../../lib/base/errors.ts'
import { Consistency } from '../../../lib/types/consistency.ts'
import { createDice, type Dice, testSeeds } from '../../support/random.ts'
import { mutationAt, type NodeSpec, ReplicaWorld, type WorldNode } from '../../support/replica-world.ts'
import { network, simple } from '../../support/rings.ts'
import { bugsIn } from '../../support/write-sides.ts'

function leaderOf({ replica, timestampMicros }: CoordinatorEnvironment): CounterLeader {
  return new CounterLeader({ replica, timestampMicros, shard: Buffer.alloc(16), nowSeconds: () => 0 })
}

const noBatchlog = { keep: async () => () => {} }

function serve(world: ReplicaWorld): Map<WorldNode, WriteCoordinator> {
  const coordinators = new Map<WorldNode, WriteCoordinator>()
  for (const node of world.nodes.values()) {
    const { environment } = node
    const plans = new WritePlans(environment)
    const writes = new WriteCoordinator({
      environment,
      plans,
      latencies: new RequestLatencies(),
      batchlog: noBatchlog,
      counters: leaderOf(environment),
      causal: leaderOf(environment),
      applyLate: (mutations) => environment.replica.apply(mutations),
    })
    node.serve(writes, new ReplicaWrites({ environment, plans, marks: new TruncationMarks() }))
    coordinators.set(node, writes)
  }
  return coordinators
}

type Outcome = { readonly error: RequestError | null; readonly appliedThen: readonly number[] }

/** What the client was told, and who had the mutation then. */
async function written(
  world: ReplicaWorld,
  coordinator: WriteCoordinator,
  mutation: Buffer,
  level: number,
  kind: 'SIMPLE' | 'UNLOGGED_BATCH' = 'SIMPLE',
): Promise<Outcome> {
  const text = mutation.toString('hex')
  const holders = (): number[] =>
    [...world.nodes.values()].flatMap(({ applied }, i) => (applied.includes(text) ? [i] : []))
  let outcome: Outcome | null = null
  try {
    const done = coordinator.write([mutation], kind, level, 'ks')
    if (done === undefined) outcome = { error: null, appliedThen: holders() }
    else
      done.then(
        () => {
          outcome = { error: null, appliedThen: holders() }
        },
        (error: RequestError) => {
          outcome = { error, appliedThen: holders() }
        },
      )
  } catch (error) {
    outcome = { error: error as RequestError, appliedThen: holders() }
  }
  // The bytes belong to the caller again.
  const kept = Buffer.from(mutation)
  mutation.fill(0)
  await world.clock.advance(10_000)
  kept.copy(mutation)
  return outcome!
}

const NODES: NodeSpec[] = [1, 2, 3].map((number) => ({ number }))

t.test('three replicas: the level decides when the client is told', async (t) => {
  const world = new ReplicaWorld(createDice(1), simple(3), NODES)
  const coordinator = serve(world).get(world.node(1))!
  const mutation = mutationAt(1, 'a')
  for (const level of [
    Consistency.ONE,
    Consistency.TWO,
    Consistency.QUORUM,
    Consistency.ALL,
    Consistency.LOCAL_QUORUM,
  ]) {
    const { error } = await written(world, coordinator, mutation, level)
    t.equal(error, null)
  }
  for (const node of world.nodes.values()) t.equal(node.applied.length, 5)
  t.same(world.node(1).hints, [])
  t.equal(world.clock.pendingTimers, 0)
})

t.test('too few replicas: refused with the numbers before anything is sent', async (t) => {
  const world = new ReplicaWorld(createDice(2), simple(3), NODES)
  const coordinator = serve(world).get(world.node(1))!
  world.setAlive(world.node(2), false)
  world.setAlive(world.node(3), false)
  const { error } = await written(world, coordinator, mutationAt(1, 'a'), Consistency.QUORUM)
  t.match(error, {
    code: 'UNAVAILABLE',
    message: 'Cannot achieve consistency level QUORUM',
    fields: { required: 2, alive: 1, consistency: Consistency.QUORUM },
  })
  t.same(world.sent, [])
  t.same(world.node(1).applied, [])
  t.same(world.node(1).hints, [])
  world.setAlive(world.node(3), true)
  t.equal(
    (await written(world, coordinator, mutationAt(1, 'b'), Consistency.QUORUM)).error,
    null,
    'plans follow who is alive',
  )
  t.same(
    world.node(1).hints.map(({ hostId }) => hostId),
    [world.node(2).self.hostId],
  )
})

t.test('EACH_QUORUM names the data centre that has too few', async (t) => {
  const specs = [1, 2, 3, 4, 5, 6].map((number) => ({ number, datacenter: number % 2 === 0 ? 'dc2' : 'dc1' }))
  const world = new ReplicaWorld(createDice(3), network({ dc1: 3, dc2: 3 }), specs)
  const coordinator = serve(world).get(world.node(1))!
  world.setAlive(world.node(2), false)
  world.setAlive(world.node(4), false)
  const { error } = await written(world, coordinator, mutationAt(1, 'a'), Consistency.EACH_QUORUM)
  t.match(error, {
    code: 'UNAVAILABLE',
    message: 'Cannot achieve consistency level EACH_QUORUM in DC dc2',
    fields: { required: 2, alive: 1 },
  })
  t.equal((await written(world, coordinator, mutationAt(1, 'b'), Consistency.LOCAL_QUORUM)).error, null)
})

t.test('another data centre gets one copy, handed on by the one who gets it', async (t) => {
  const specs = [1, 2, 3, 4, 5, 6].map((number) => ({ number, datacenter: number > 3 ? 'dc2' : 'dc1' }))
  const world = new ReplicaWorld(createDice(4), network({ dc1: 3, dc2: 3 }), specs)
  const coordinator = serve(world).get(world.node(1))!
  const { error } = await written(world, coordinator, mutationAt(1, 'a'), Consistency.ALL)
  t.equal(error, null)
  const remote = new Set([4, 5, 6].map((number) => world.node(number).self.endpoint))
  t.equal(world.sent.filter(({ verb, to }) => verb === Verb.MUTATION && remote.has(to)).length, 1)
  t.equal(
    world.sent.filter(({ verb, from, to }) => verb === Verb.MUTATION_FORWARDED && remote.has(from) && remote.has(to))
      .length,
    2,
  )
  for (const node of world.nodes.values()) t.equal(node.applied.length, 1)
})

t.test('who should hand on cannot be reached: the others are sent to directly', async (t) => {
  const specs = [1, 4, 5].map((number) => ({ number, datacenter: number > 3 ? 'dc2' : 'dc1' }))
  const world = new ReplicaWorld(createDice(5), network({ dc1: 1, dc2: 2 }), specs)
  const coordinator = serve(world).get(world.node(1))!
  world.unreachable.add(world.node(4).self.endpoint)
  for (let i = 0; i < 4; i++) {
    const { error } = await written(world, coordinator, mutationAt(1, `a${i}`), Consistency.TWO)
    t.equal(error, null)
  }
  t.equal(world.node(5).applied.length >= 4, true)
  t.equal(
    new Set(
      world
        .node(1)
        .hints.filter(({ hostId }) => hostId === world.node(4).self.hostId)
        .map(({ mutation }) => mutation),
    ).size,
    4,
  )
})

t.test('ANY is met by a hint, and by nothing less', async (t) => {
  const world = new ReplicaWorld(createDice(6), simple(1), NODES)
  const node = world.node(1)
  const coordinator = serve(world).get(node)!
  const owner = world.node(2)
  const mutation = ownedBy(world, owner)
  world.setAlive(owner, false)
  t.equal((await written(world, coordinator, mutation, Consistency.ANY)).error, null)
  t.equal(node.hints.length, 1)
  const refused = { code: 'UNAVAILABLE', fields: { required: 1, alive: 0 } }
  t.match((await written(world, coordinator, mutation, Consistency.ONE)).error, refused)
  node.mayHint = false
  t.match((await written(world, coordinator, mutation, Consistency.ANY)).error, refused)
  node.mayHint = true
  world.setAlive(owner, true)
  world.unreachable.add(owner.self.endpoint)
  t.equal((await written(world, coordinator, mutation, Consistency.ANY)).error, null)
  t.match((await written(world, coordinator, mutation, Consistency.ONE)).error, { code: 'WRITE_FAILURE' })
})

t.test('ANY waits until all hints of a write are durable', async (t) => {
  const world = new ReplicaWorld(createDice(6), simple(1), NODES)
  const node = world.node(1)
  const coordinator = serve(world).get(node)!
  world.setAlive(world.node(2), false)
  const mutation = ownedBy(world, world.node(2))
  const ready: (() => void)[] = []
  for (const [name, last] of [
    ['each with its own sync', 'later'],
    ['the last at once', 'at once'],
  ] as const) {
    let stored = 0
    node.keptWhen = () => {
      if (++stored === 2 && last === 'at once') return undefined
      return new Promise((resolve) => void ready.push(resolve))
    }
    let isDone = false
    const done = coordinator.write([mutation, mutation], 'UNLOGGED_BATCH', Consistency.ANY, 'ks')?.then(() => {
      isDone = true
    })
    if (last === 'later') ready.pop()!()
    await world.clock.advance(1)
    t.equal(stored, 2)
    t.equal(isDone || done === undefined, false, `${name}: the first is not durable yet`)
    ready.pop()!()
    await world.clock.advance(1)
    t.ok(isDone, name)
  }
})

/** A mutation whose one replica is that node. */
function ownedBy(world: ReplicaWorld, node: WorldNode): Buffer {
  for (let token = 0; ; token += 0x10000000) {
    const mutation = mutationAt(token, 'x')
    const { natural } = world.placement.at(mutation.readInt32BE(16), mutation.readInt32BE(20))
    if (natural[0]!.hostId === node.self.hostId) return mutation
  }
}

t.test('a table that a replica does not know yet is looked for in the metadata', async (t) => {
  const world = new ReplicaWorld(createDice(7), simple(3), NODES)
  const coordinator = serve(world).get(world.node(1))!
  world.node(1).epoch = 5
  world.node(2).knows = false
  world.node(3).knows = false
  world.node(3).epoch = 5
  const { error } = await written(world, coordinator, mutationAt(1, 'a'), Consistency.ALL)
  t.equal(world.node(2).applied.length, 1, 'it was behind')
  t.match(error, { code: 'WRITE_FAILURE', fields: { blockFor: 3, writeType: 'SIMPLE' } })
  t.same(error!.fields.failures, [{ address: Buffer.from([10, 0, 0, 3]), reason: FailureReason.INCOMPATIBLE_SCHEMA }])
})

/** How many acknowledgements a level needs, said again and in another way. */
function needed(level: number, factors: ReadonlyMap<string, number>, local: string): ReadonlyMap<string, number> {
  let all = 0
  for (const count of factors.values()) all += count
  switch (level) {
    case Consistency.ONE:
      return new Map([['', 1]])
    case Consistency.TWO:
      return new Map([['', 2]])
    case Consistency.QUORUM:
      return new Map([['', quorumOf(all)]])
    case Consistency.ALL:
      return new Map([['', all]])
    case Consistency.LOCAL_ONE:
      return new Map([[local, 1]])
    case Consistency.LOCAL_QUORUM:
      return new Map([[local, quorumOf(factors.get(local)!)]])
    default:
      return new Map(Array.from(factors, ([name, count]) => [name, quorumOf(count)]))
  }
}

const LEVELS = [
  Consistency.ONE,
  Consistency.TWO,
  Consistency.QUORUM,
  Consistency.ALL,
  Consistency.LOCAL_ONE,
  Consistency.LOCAL_QUORUM,
  Consistency.EACH_QUORUM,
]

async function anyWeather(dice: Dice, seed: number): Promise<string[]> {
  const problems: string[] = []
  const datacenters = 1 + dice.int(2)
  const specs = Array.from({ length: 3 * datacenters + (dice.chance(0.5) ? 1 : 0) }, (_, i) => ({
    number: i + 1,
    datacenter: `dc${1 + (i % datacenters)}`,
    joining: i >= 3 * datacenters,
  }))
  const factors = new Map(Array.from({ length: datacenters }, (_, i) => [`dc${i + 1}`, 1 + dice.int(3)]))
  const world = new ReplicaWorld(dice, network(Object.fromEntries(factors)), specs)
  const coordinators = serve(world)
  world.weather = {
    loss: dice.pick([0, 0.1, 0.5]),
    delayMs: dice.pick([1, 50, 1_500]),
    failure: dice.pick([0, 0, 0.3]),
    slow: dice.pick([0, 0.2]),
  }
  for (const node of world.nodes.values()) if (dice.chance(0.15)) world.setAlive(node, false)
  for (const node of world.nodes.values()) if (dice.chance(0.1)) world.unreachable.add(node.self.endpoint)
  const node = dice.pick([...world.nodes.values()].filter(({ self }) => self.status === 'normal'))
  world.setAlive(node, true)
  for (let i = 0; i < 4; i++) {
    const level = dice.pick(LEVELS)
    const mutation = mutationAt(dice.int(2 ** 32), `${seed}-${i}`)
    const text = mutation.toString('hex')
    const replicas = world.placement.at(mutation.readInt32BE(16), mutation.readInt32BE(20))
    const all = [...replicas.natural, ...replicas.pending]
    const sentBefore = world.sent.length
    const { error, appliedThen } = await written(world, coordinators.get(node)!, mutation, level)
    const hosts = [...world.nodes.keys()]
    const say = (what: string): number => problems.push(`TEST_SEED=${seed}: ${what}`)
    if (error === null) {
      for (const [name, count] of needed(level, factors, node.self.datacenter)) {
        const counted = (datacenter: string): boolean => name === '' || name === datacenter
        const pending = replicas.pending.filter(({ datacenter }) => counted(datacenter)).length
        const holders = all.filter(
          ({ hostId, datacenter }) => counted(datacenter) && appliedThen.includes(hosts.indexOf(hostId)),
        )
        if (holders.length < count + pending)
          say(`level ${level} acknowledged with ${holders.length} of ${count} + ${pending}`)
      }
    } else if (error.code === 'UNAVAILABLE') {
      // Others may still pass on an earlier write, or answer for it.
      const sent = world.sent.slice(sentBefore).filter(({ from }) => from === node.self.endpoint)
      if (sent.length > 0 || appliedThen.length > 0) say('something was done before UNAVAILABLE')
      if (namesWhatIsShort(level) && error.fields.alive! >= error.fields.required!)
        say('UNAVAILABLE although enough are alive')
    } else {
      if (!['WRITE_TIMEOUT', 'WRITE_FAILURE'].includes(error.code)) say(`${error.code} ${error.stack}`)
      if (error.code === 'WRITE_TIMEOUT' && error.fields.received! >= error.fields.blockFor!)
        say('a timeout with all received')
      if (error.code === 'WRITE_FAILURE' && error.fields.failures!.length === 0) say('a failure of nobody')
    }
    if (error?.code === 'UNAVAILABLE') continue
    for (const { hostId } of all) {
      const has = world.nodes.get(hostId)!.applied.includes(text)
      const hinted = node.hints.some((hint) => hint.hostId === hostId && hint.mutation === text)
      if (!has && !hinted && hostId !== node.self.hostId) say(`no hint for ${hostId}`)
    }
    for (const { hostId, applied } of [...world.nodes.values()].map(({ self, applied: those }) => ({
      hostId: self.hostId,
      applied: those,
    })))
      if (applied.includes(text) && !all.some((replica) => replica.hostId === hostId))
        say('written where it does not belong')
  }
  await world.clock.advance(60_000)
  if (world.clock.pendingTimers > 0) problems.push(`TEST_SEED=${seed}: ${world.clock.pendingTimers} timers are left`)
  for (const stack of bugsIn(world)) problems.push(`TEST_SEED=${seed}: ${stack}`)
  return problems
}

/**
 * Whether the numbers of UNAVAILABLE show what is short, as Cassandra gives them where replicas are pending: LOCAL_ONE names one, and
 * EACH_QUORUM the sums of all data centres, one of which may have more than it needs.
 */
function namesWhatIsShort(level: number): boolean {
  return level !== Consistency.LOCAL_ONE && level !== Consistency.EACH_QUORUM
}

t.test('acknowledged is what enough replicas have; who has not got it has a hint', async (t) => {
  for (const seed of testSeeds(40)) t.same(await anyWeather(createDice(seed), seed), [])
})
