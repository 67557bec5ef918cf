/** A coordinator that has not heard of the ring's last change: refused, it learns of it and does the request again, within its time. */
import t from 'tap'
import { CounterLeader } from '../../../cluster/coordinator/counter-leader.ts'
import { deliver } from '../../../cluster/coordinator/deliver.ts'
import type { CoordinatorEnvironment } from '../../../cluster/coordinator/environment.ts'
import { RequestLatencies } from '../../../cluster/coordinator/latencies.ts'
import { ReadCoordinator } from '../../../cluster/coordinator/read.ts'
import { ReplicaWrites } from '../../../cluster/coordinator/replica-writes.ts'
import { TruncationMarks } from '../../../cluster/coordinator/truncation-marks.ts'
import { WriteCoordinator } from '../../../cluster/coordinator/write.ts'
import { WritePlans } from '../../../cluster/coordinator/write-plans.ts'
import { Verb } from '../../../cluster/internode/verbs.ts'
import { Placement } from '../../../cluster/ring/placement.ts'
import { FailureReason, type RequestError } from '../../../lib/base/errors.ts'
import { Consistency } from '../../../lib/types/consistency.ts'
import { ALL_ROWS } from '../../../storage/model/command.ts'
import { createDice } from '../../support/random.ts'
import { mutationAt, ReplicaWorld, TABLE, type WorldNode } from '../../support/replica-world.ts'
import { hostId, network, simple } from '../../support/rings.ts'
import { serveWrites } from '../../support/write-sides.ts'

interface Scene {
  readonly world: ReplicaWorld
  readonly writes: (number: number) => WriteCoordinator
  readonly reads: (number: number) => ReadCoordinator
}

/** Node 4 has joined, of which those in `behind` have not heard. `key` is of 1, 2 and 3 before, and of 4, 1 and 2 now (with three replicas). */
function joined(factor: number, behind: readonly number[]): Scene {
  const specs = [1, 2, 3, 4].map((number) => ({ number }))
  const world = new ReplicaWorld(createDice(1), simple(factor), specs)
  const nodes = new Map([...world.topology.nodes].filter(([id]) => id !== hostId(4)))
  const former = new Placement(world.replication, { nodes })
  const writes = new Map<WorldNode, WriteCoordinator>()
  const reads = new Map<WorldNode, ReadCoordinator>()
  for (const node of world.nodes.values()) {
    const isBehind = behind.some((number) => node === world.node(number))
    node.former = isBehind ? former : null
    node.epoch = isBehind ? 1 : 2
    node.ringEpoch = isBehind ? 0 : 2
    const { environment } = node
    const plans = new WritePlans(environment)
    const latencies = new RequestLatencies()
    const replica = new ReplicaWrites({ environment, plans, marks: new TruncationMarks() })
    const write = new WriteCoordinator({
      environment,
      plans,
      latencies,
      batchlog: { keep: async () => () => {} },
      counters: leaderOf(environment),
      causal: leaderOf(environment),
      applyLate: (mutations, writtenAt) => replica.apply(mutations, writtenAt, environment.epoch()),
    })
    const read = new ReadCoordinator({ environment, latencies, repairs: replica, table: () => null })
    node.serve(write, replica, read)
    writes.set(node, write)
    reads.set(node, read)
  }
  return {
    world,
    writes: (number) => writes.get(world.node(number))!,
    reads: (number) => reads.get(world.node(number))!,
  }
}

function leaderOf({ replica, timestampMicros }: CoordinatorEnvironment): CounterLeader {
  return new CounterLeader({ replica, timestampMicros, shard: Buffer.alloc(16), nowSeconds: () => 0 })
}

function holders(world: ReplicaWorld, mutation: Buffer): number[] {
  const text = mutation.toString('hex')
  return [1, 2, 3, 4].filter((number) => world.nodes.get(hostId(number))?.applied.includes(text))
}

interface Told {
  readonly error: RequestError | null
  readonly atMs: number
}

async function told(world: ReplicaWorld, done: Promise<unknown> | undefined): Promise<Told> {
  let outcome: Told | null = null
  const tell = (error: RequestError | null): void => {
    outcome ??= { error, atMs: world.clock.monotonicMs() - began }
  }
  const began = world.clock.monotonicMs()
  if (done === undefined) tell(null)
  else done.then(() => tell(null), tell)
  await world.clock.advance(10_000)
  return outcome!
}

const key = (text: string): Buffer => mutationAt(-1, text)
const { QUORUM, ALL } = Consistency

t.test('a write that is refused is written by the ring as it is now', async (t) => {
  const { world, writes } = joined(3, [1])
  const mutation = key('a')
  const { error, atMs } = await told(world, writes(1).write([mutation], 'SIMPLE', QUORUM, 'ks'))
  t.equal(error, null)
  t.ok(atMs < 1_000)
  t.same(holders(world, mutation), [1, 2, 4])
  for (const node of world.nodes.values()) t.same(node.hints, [], 'who refused it and holds it no more misses nothing')
  t.equal(world.clock.pendingTimers, 0)
  world.sent.length = 0
  t.equal((await told(world, writes(1).write([key('b')], 'SIMPLE', ALL, 'ks'))).error, null)
  t.equal(world.sent.length, 2, 'from then on it goes by that ring')
})

t.test('what enough of the former replicas took is acknowledged, and brought to those of now', async (t) => {
  const { world, writes } = joined(3, [1, 2])
  world.unreachable.add('10.0.0.3:7000')
  const first = key('a')
  t.equal((await told(world, writes(1).write([first], 'SIMPLE', QUORUM, 'ks'))).error, null)
  t.same(holders(world, first), [1, 2], 'nobody knew better')
  world.unreachable.clear()
  const second = key('b')
  t.equal((await told(world, writes(1).write([second], 'SIMPLE', QUORUM, 'ks'))).error, null)
  t.same(holders(world, second), [1, 2, 4], 'the third did')
})

t.test('who cannot catch up tells its client a failure, and keeps hints', async (t) => {
  const { world, writes } = joined(3, [1])
  world.node(1).catchesUp = async () => {}
  const mutation = key('a')
  const { error } = await told(world, writes(1).write([mutation], 'SIMPLE', QUORUM, 'ks'))
  t.equal(error?.code, 'WRITE_FAILURE')
  t.match(error?.fields, { received: 1, blockFor: 2 })
  t.same(
    error?.fields.failures?.map(({ reason }) => reason),
    [FailureReason.INCOMPATIBLE_SCHEMA, FailureReason.INCOMPATIBLE_SCHEMA],
  )
  t.same(
    world
      .node(1)
      .hints.map(({ hostId: id }) => id)
      .sort(),
    [hostId(2), hostId(3)],
  )
  t.equal(world.clock.pendingTimers, 0)
})

t.test("catching up takes no longer than the request's time", async (t) => {
  const { world, writes, reads } = joined(3, [1])
  world.node(1).catchesUp = () => new Promise((resolve) => void world.clock.after(9_000, resolve))
  const write = await told(world, writes(1).write([key('a')], 'SIMPLE', QUORUM, 'ks'))
  t.equal(write.error?.code, 'WRITE_TIMEOUT')
  t.match(write.error?.fields, { received: 1, blockFor: 2 })
  t.ok(write.atMs >= 2_000 && write.atMs < 2_100)
  const read = await told(world, reads(1).read(readOf('a'), QUORUM, 'ks') as Promise<unknown>)
  t.equal(read.error?.code, 'READ_FAILURE')
  t.ok(read.atMs <= 5_000)
})

t.test('a batch is written again as a whole', async (t) => {
  const { world, writes } = joined(3, [1])
  const parts = [key('a'), mutationAt(1, 'b')]
  t.equal((await told(world, writes(1).write(parts, 'BATCH', QUORUM, 'ks'))).error, null)
  t.same(holders(world, parts[0]!), [1, 2, 4])
  t.same(holders(world, parts[1]!), [1, 2, 3])
  for (const node of world.nodes.values()) t.same(node.hints, [])
})

t.test('a leader that refuses has led nothing: one of the ring as it is now leads, once', async (t) => {
  const { world, writes } = joined(2, [3])
  t.equal((await told(world, writes(3).write([key('a')], 'COUNTER', ALL, 'ks'))).error, null)
  const led = new Set([...world.nodes.values()].flatMap(({ applied }) => applied))
  t.equal(led.size, 1)
  t.same(
    [1, 2, 3, 4].filter((number) => world.node(number).applied.length > 0),
    [1, 4],
  )
})

t.test('what was led by the former ring is brought to the replicas of now, and not led again', async (t) => {
  const { world, writes } = joined(3, [1])
  t.equal((await told(world, writes(1).write([key('a')], 'COUNTER', QUORUM, 'ks'))).error, null)
  const led = new Set([...world.nodes.values()].flatMap(({ applied }) => applied))
  t.equal(led.size, 1)
  t.same(
    [1, 2, 3, 4].filter((number) => world.node(number).applied.length > 0),
    [1, 2, 4],
  )
})

function readOf(text: string): Parameters<ReadCoordinator['read']>[0] {
  const mutation = key(text)
  const position = mutation.subarray(16, 16 + 8 + 2 + text.length)
  return { ...ALL_ROWS, table: TABLE, target: { kind: 'partition', position }, nowSeconds: 0, after: null }
}

t.test('a read that is refused asks those who hold it now', async (t) => {
  const { world, reads } = joined(3, [1])
  t.equal((await told(world, reads(1).read(readOf('a'), ALL, 'ks') as Promise<unknown>)).error, null)
  const asked = new Set(world.sent.filter(({ verb }) => verb === Verb.READ).map(({ to }) => to))
  t.ok(asked.has('10.0.0.4:7000'))
  const range = { ...readOf('a'), target: { kind: 'range' as const, start: null, end: null } }
  const { world: other, reads: again } = joined(3, [1])
  t.equal((await told(other, again(1).read(range, QUORUM, 'ks') as Promise<unknown>)).error, null)
})

t.test('what is delivered for others comes to the replicas of now', async (t) => {
  const { world } = joined(3, [1])
  const { environment } = world.node(1)
  const plans = new WritePlans(environment)
  const replica = new ReplicaWrites({ environment, plans, marks: new TruncationMarks() })
  const mutation = key('a')
  t.equal((await told(world, deliver({ environment, plans, replica }, [mutation], 1))).error, null)
  t.same(holders(world, mutation), [1, 2, 4])
  t.same(world.node(1).hints, [])
})

t.test('who hands on and lags is passed over: the coordinator sends it itself', async (t) => {
  const specs = [1, 2, 3].map((number) => ({ number, datacenter: number === 1 ? 'dc1' : 'dc2' }))
  const world = new ReplicaWorld(createDice(1), network({ dc1: 1, dc2: 2 }), specs)
  for (const node of world.nodes.values()) {
    const isBehind = node === world.node(2)
    node.epoch = isBehind ? 1 : 2
    node.ringEpoch = isBehind ? 0 : 2
  }
  const coordinator = serveWrites(world).get(world.node(1))!.writes
  for (const text of ['a', 'b']) {
    const mutation = key(text)
    const { error, atMs } = await told(world, coordinator.write([mutation], 'SIMPLE', ALL, 'ks'))
    t.equal(error, null)
    t.ok(atMs < 100, 'no replica was waited for in vain')
    t.same(holders(world, mutation), [1, 2, 3])
    t.equal(world.node(1).epoch, 2, 'there was nothing to catch up with')
  }
})
