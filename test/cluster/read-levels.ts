/** Reads of several replicas, case by case: levels and their errors, slow and failing replicas, repair before the answer, indexes, what is asked of whom. */
import t from 'tap'
import { Verb } from '../../cluster/internode/verbs.ts'
import { ReplicaFailure, RequestError } from '../../lib/base/errors.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import { ALL_ROWS, type ReadCommand, type ReadResult } from '../../storage/model/command.ts'
import { type ReplicaNode, Replicas, type ReplicasOptions, TABLE, TABLE_BYTES } from '../support/replicas.ts'
import { simple } from '../support/rings.ts'
import { type Change, encodePosition, encodeWrite, NOW, storeView } from '../support/storage-model.ts'

const NETWORK = 'org.apache.cassandra.locator.NetworkTopologyStrategy'
const three: ReplicasOptions = { nodes: 3, replication: simple(3) }
const twoDatacenters: ReplicasOptions = {
  nodes: 6,
  datacenters: ['dc1', 'dc2'],
  replication: {
    strategy: NETWORK,
    factor: 6,
    datacenters: new Map([
      ['dc1', 3],
      ['dc2', 3],
    ]),
  },
}

function row(clustering: string, ts: bigint, value: string): Change {
  const cell = { column: 0, path: null, kind: 'live' as const, ts, localTime: 0, ttl: 0, value }
  return { kind: 'row', isStatic: false, clustering, liveness: null, deletion: null, cells: [cell] }
}

function mutation(partition: string, ...changes: Change[]): Buffer {
  return encodeWrite({ partition, changes }, TABLE_BYTES)
}

function command(more: Partial<ReadCommand> = {}): ReadCommand {
  return {
    ...ALL_ROWS,
    table: TABLE,
    target: { kind: 'partition', position: encodePosition('p') },
    limit: 100,
    nowSeconds: NOW,
    ...more,
  }
}

function values(result: ReadResult): string[] {
  return storeView(result, NOW).flatMap(({ rows }) =>
    rows.flatMap(({ cells }) => cells.map((cell) => cell.slice(4, 5))),
  )
}

async function failure(reading: Promise<unknown>): Promise<RequestError> {
  try {
    await reading
  } catch (error) {
    if (error instanceof RequestError) return error
    throw error
  }
  throw new Error('it did not fail')
}

const taken = (replicas: Replicas, verb: number): number[] => replicas.nodes.map(({ taken: by }) => by.get(verb) ?? 0)

t.test('one replica that is this node answers at once', async (t) => {
  await using replicas = await new Replicas(three).open()
  await replicas.nodes[1]!.store.apply([mutation('p', row('a', 1n, 'x'))])
  for (const level of [Consistency.ONE, Consistency.LOCAL_ONE]) {
    const result = replicas.nodes[1]!.reads.read(command(), level, 'k')
    t.notOk(result instanceof Promise)
    t.same(values(result as ReadResult), ['x'])
    const range = replicas.nodes[1]!.reads.read(
      command({ target: { kind: 'range', start: null, end: null } }),
      level,
      'k',
    )
    t.notOk(range instanceof Promise)
  }
  t.notOk(replicas.nodes[0]!.reads.read(command(), Consistency.ALL, 'system') instanceof Promise, 'its own data')
  t.same(
    [taken(replicas, Verb.READ), taken(replicas, Verb.RANGE_READ)],
    [
      [0, 0, 0],
      [0, 0, 0],
    ],
  )
})

t.test('a quorum of equal replicas: one digest, no repair', async (t) => {
  await using replicas = await new Replicas(three).open()
  for (const { store } of replicas.nodes) await store.apply([mutation('p', row('a', 1n, 'x'))])
  t.same(values(await replicas.read(0, command(), Consistency.QUORUM)), ['x'])
  t.equal(
    taken(replicas, Verb.READ).reduce((a, b) => a + b),
    1,
  )
  const { counts } = replicas.nodes[0]!.reads
  t.same([counts.digestMismatches, counts.repairs], [0, 0])
})

t.test('what is too few is refused before anything is asked', async (t) => {
  await using replicas = await new Replicas(three).open()
  replicas.setAlive(1, false)
  replicas.setAlive(2, false)
  const refused = (level: number): unknown[] => {
    try {
      void replicas.nodes[0]!.reads.read(command(), level, 'k')
    } catch (error) {
      const { code, fields } = error as RequestError
      return [code, fields.required, fields.alive]
    }
    return []
  }
  t.same(refused(Consistency.QUORUM), ['UNAVAILABLE', 2, 1])
  t.same(refused(Consistency.ALL), ['UNAVAILABLE', 3, 1])
  t.same(refused(Consistency.TWO), ['UNAVAILABLE', 2, 1])
  t.same(refused(Consistency.ONE), [])
  t.same(taken(replicas, Verb.READ), [0, 0, 0])
})

t.test('levels of two data centres', async (t) => {
  await using replicas = await new Replicas(twoDatacenters).open()
  const near = [0, 2, 4]
  for (const { store } of replicas.nodes) await store.apply([mutation('p', row('a', 1n, 'x'))])
  const asks = async (level: number): Promise<[number, number]> => {
    const before = taken(replicas, Verb.READ)
    await replicas.read(0, command(), level)
    const more = taken(replicas, Verb.READ).map((count, i) => count - before[i]!)
    const inNear = near.reduce((sum, i) => sum + more[i]!, 0)
    return [inNear, more.reduce((a, b) => a + b) - inNear]
  }
  t.same(await asks(Consistency.LOCAL_QUORUM), [1, 0])
  t.same(await asks(Consistency.QUORUM), [2, 1], 'the near ones first')
  t.same(await asks(Consistency.EACH_QUORUM), [1, 2])
  t.same(await asks(Consistency.ALL), [2, 3])
  for (const i of [1, 3]) replicas.setAlive(i, false)
  t.same(await asks(Consistency.LOCAL_QUORUM), [1, 0])
  const error = await failure(Promise.resolve().then(() => replicas.read(0, command(), Consistency.EACH_QUORUM)))
  t.match(error.message, 'in DC dc2')
  t.same([error.code, error.fields.required, error.fields.alive], ['UNAVAILABLE', 2, 1])
})

t.test('silence is a timeout with true numbers', async (t) => {
  await using replicas = await new Replicas(three).open()
  replicas.nodes[1]!.state = 'silent'
  replicas.nodes[2]!.state = 'silent'
  const error = await failure(replicas.read(0, command(), Consistency.QUORUM))
  t.equal(error.code, 'READ_TIMEOUT')
  const { received, blockFor, dataPresent } = error.fields
  t.same({ received, blockFor, dataPresent }, { received: 1, blockFor: 2, dataPresent: true })
  t.ok(replicas.clock.monotonicMs() <= 5_010)
})

t.test('a replica that fails is made up for; when none is left its reason is told', async (t) => {
  await using replicas = await new Replicas(three).open()
  for (const { store } of replicas.nodes) await store.apply([mutation('p', row('a', 1n, 'x'))])
  const [contact, third] = replicas.replicasOf(encodePosition('p')).filter((node) => node !== replicas.nodes[0])
  const at = replicas.nodes.indexOf(third!)
  const lacking = new ReplicaFailure('INDEX_NOT_AVAILABLE', 6, 'not built')
  contact!.failure = lacking
  for (let n = 0; n < 3; n++) t.same(values(await replicas.read(0, command(), Consistency.QUORUM)), ['x'])
  replicas.nodes[0]!.failure = lacking
  t.same(values(await replicas.read(0, command(), Consistency.ONE)), ['x'], 'others read what this node cannot')
  const error = await failure(replicas.read(at, command(), Consistency.QUORUM))
  t.equal(error.code, 'READ_FAILURE')
  t.same([error.fields.received, error.fields.blockFor], [1, 2])
  t.same(new Set(error.fields.failures!.map(({ reason }) => reason)), new Set([6]))
  t.match(error.message, 'INDEX_NOT_AVAILABLE')
})

t.test('tombstones beyond the threshold fail at once', async (t) => {
  await using replicas = await new Replicas(three).open()
  const dead: Change[] = Array.from({ length: 20 }, (_, i) => ({
    kind: 'row',
    isStatic: false,
    clustering: String.fromCharCode(97 + i),
    liveness: null,
    deletion: { ts: 1n, localTime: NOW },
    cells: [],
  }))
  for (const { store } of replicas.nodes) await store.apply([mutation('p', ...dead)])
  const error = await failure(replicas.read(0, command({ tombstonesMax: 10 }), Consistency.QUORUM))
  t.equal(error.code, 'READ_FAILURE')
  t.ok(error.fields.failures!.every(({ reason }) => reason === 1))
  const result = await replicas.read(0, command({ tombstonesMax: 20 }), Consistency.QUORUM)
  t.equal(result.tombstones, 20, 'for the warning')
})

t.test('a slow replica is spoken for by a third', async (t) => {
  for (const [policy, most] of [
    ['10ms', 15],
    ['ALWAYS', 5],
    ['MIN(99p,20ms)', 25],
  ] as const) {
    await using replicas = await new Replicas({ ...three, table: { speculativeRetry: policy } }).open()
    for (const { store } of replicas.nodes) await store.apply([mutation('p', row('a', 1n, 'x'))])
    const [, , third] = replicas.replicasOf(encodePosition('p'))
    for (const node of replicas.nodes) if (node !== replicas.nodes[0] && node !== third) node.delayMs = 1_000
    if (third === replicas.nodes[0]) for (const node of replicas.nodes.slice(1, 2)) node.delayMs = 1
    t.same(values(await replicas.read(0, command(), Consistency.QUORUM)), ['x'])
    t.ok(replicas.clock.monotonicMs() <= most, `${policy}: ${replicas.clock.monotonicMs()} ms`)
  }
  await using replicas = await new Replicas({ ...three, table: { speculativeRetry: 'NEVER' } }).open()
  for (const node of replicas.nodes) node.delayMs = 500
  await replicas.read(0, command(), Consistency.QUORUM)
  t.ok(replicas.clock.monotonicMs() >= 500)
  t.equal(replicas.nodes[0]!.reads.counts.speculations, 0)
})

t.test('what was slow is asked later, and tried again', async (t) => {
  await using replicas = await new Replicas({
    ...three,
    nodes: 4,
    replication: { ...three.replication, factor: 3 },
  }).open()
  const holders = replicas.replicasOf(encodePosition('p'))
  const outside = replicas.nodes.findIndex((node) => !holders.includes(node))
  const asked = async (): Promise<number> => {
    const before = taken(replicas, Verb.READ)
    await replicas.read(outside, command(), Consistency.ONE)
    return taken(replicas, Verb.READ).findIndex((count, i) => count > before[i]!)
  }
  const first = await asked()
  t.equal(replicas.nodes[first], holders[0], 'in the order of the ring')
  holders[0]!.delayMs = 400
  await asked()
  await replicas.clock.advance(200)
  await asked()
  t.not(await asked(), first)
  holders[0]!.delayMs = 1
  let isBack = false
  for (let n = 0; n < 1_500 && !isBack; n++) {
    await replicas.clock.advance(100)
    isBack = (await asked()) === first
  }
  t.ok(isBack)
})

t.test('none of those that a quorum asks is a slow one, wherever it stands in the ring', async (t) => {
  await using replicas = await new Replicas({ ...three, nodes: 4 }).open()
  const holders = replicas.replicasOf(encodePosition('p'))
  const outside = replicas.nodes.findIndex((node) => !holders.includes(node))
  const asked = async (): Promise<ReplicaNode[]> => {
    const before = taken(replicas, Verb.READ)
    await replicas.read(outside, command(), Consistency.QUORUM)
    return replicas.nodes.filter((_, i) => taken(replicas, Verb.READ)[i]! > before[i]!)
  }
  const [first, second, third] = holders
  t.same(new Set(await asked()), new Set([first, second]), 'in the order of the ring')
  second!.delayMs = 400
  for (let n = 0; n < 3; n++) {
    await asked()
    await replicas.clock.advance(200)
  }
  t.same(new Set(await asked()), new Set([first, third]))
})

t.test('no answer before a quorum has it', async (t) => {
  await using replicas = await new Replicas(three).open()
  await replicas.nodes[0]!.store.apply([mutation('p', row('a', 2n, 'y'))])
  for (const i of [1, 2]) await replicas.nodes[i]!.store.apply([mutation('p', row('a', 1n, 'x'))])
  const partner = replicas.replicasOf(encodePosition('p')).find((node) => node !== replicas.nodes[0])!
  for (const node of replicas.nodes) if (node !== replicas.nodes[0] && node !== partner) node.state = 'silent'
  t.same(values(await replicas.read(0, command(), Consistency.QUORUM)), ['y'])
  t.same(
    taken(replicas, Verb.READ_REPAIR).reduce((a, b) => a + b),
    1,
  )
  t.same(values(await partner.store.read(command())), ['y'], 'it has it')
})

t.test('a repair that is not acknowledged is a timeout', async (t) => {
  await using replicas = await new Replicas(three).open()
  await replicas.nodes[0]!.store.apply([mutation('p', row('a', 2n, 'y'))])
  for (const node of replicas.nodes) node.refuses.add(Verb.READ_REPAIR)
  const error = await failure(replicas.read(0, command(), Consistency.QUORUM))
  t.equal(error.code, 'READ_TIMEOUT')
  t.same([error.fields.received, error.fields.blockFor, error.fields.dataPresent], [1, 2, true])
  await using lax = await new Replicas({ ...three, table: { readRepair: 'NONE' } }).open()
  await lax.nodes[0]!.store.apply([mutation('p', row('a', 2n, 'y'))])
  for (const node of lax.nodes) node.refuses.add(Verb.READ_REPAIR)
  t.same(values(await lax.read(0, command(), Consistency.QUORUM)), ['y'])
})

t.test('a deletion that one replica has is seen, and given to the other', async (t) => {
  await using replicas = await new Replicas(three).open()
  replicas.setAlive(2, false)
  const both = mutation('p', row('a', 1n, 'x'), row('b', 1n, 'y'), row('c', 1n, 'z'))
  for (const i of [0, 1]) await replicas.nodes[i]!.store.apply([both])
  const range = { kind: 'range' as const, start: 'a', end: 'b', ts: 2n, localTime: NOW }
  await replicas.nodes[1]!.store.apply([mutation('p', range)])
  t.same(values(await replicas.read(0, command(), Consistency.QUORUM)), ['y', 'z'])
  t.same(values(await replicas.nodes[0]!.store.read(command())), ['y', 'z'])
  await replicas.nodes[0]!.store.apply([mutation('p', { kind: 'partition', ts: 3n, localTime: NOW })])
  const one = command({ slices: [{ start: Buffer.from('b'), end: Buffer.from('b`'), single: true }] })
  t.same(values(await replicas.read(1, one, Consistency.QUORUM)), [])
  t.same(values(await replicas.nodes[1]!.store.read(command())), [], 'all of the partition')
  t.equal(replicas.nodes[1]!.reads.counts.digestMismatches, 1, 'nothing that is live differed')
})

t.test('a node that does not know the table refuses; one whose epoch is behind catches up', async (t) => {
  await using replicas = await new Replicas({ ...three, replication: { ...three.replication, factor: 3 } }).open()
  for (const i of [1, 2]) replicas.nodes[i]!.knowsTable = false
  const error = await failure(replicas.read(0, command(), Consistency.QUORUM))
  t.equal(error.code, 'READ_FAILURE')
  t.ok(error.fields.failures!.every(({ reason }) => reason === 3))
  for (const i of [1, 2]) replicas.nodes[i]!.knowsTable = true
  replicas.nodes[0]!.epoch = 5
  await replicas.read(0, command(), Consistency.ALL)
  t.same(
    replicas.nodes.map(({ epoch }) => epoch),
    [5, 5, 5],
  )
})

t.test('a coordinator whose ring is old learns of the new one, and asks again', async (t) => {
  await using replicas = await new Replicas(three).open()
  for (const { store } of replicas.nodes) await store.apply([mutation('p', row('a', 1n, 'x'))])
  for (const i of [1, 2]) {
    replicas.nodes[i]!.knowsTable = false
    replicas.nodes[i]!.epoch = 2
  }
  replicas.nodes[0]!.caughtUp = () => {
    for (const i of [1, 2]) replicas.nodes[i]!.knowsTable = true
  }
  t.same(values(await replicas.read(0, command(), Consistency.QUORUM)), ['x'])
  t.equal(replicas.nodes[0]!.epoch, 2)
})
