/** Logged batches: kept by others before they are written, and written by them when their coordinator dies; on a disk that loses power, too. */
import t from 'tap'
import { BatchStore, type BatchTable } from '../../../cluster/coordinator/batch-store.ts'
import { RequestLatencies } from '../../../cluster/coordinator/latencies.ts'
import { WriteSide } from '../../../cluster/coordinator/write-side.ts'
import { Verb } from '../../../cluster/internode/verbs.ts'
import type { RequestError } from '../../../lib/base/errors.ts'
import { uuidBytes } from '../../../lib/base/uuid.ts'
import { createSimulatedClock, type SimulatedClock } from '../../../lib/runtime/simulated/clock.ts'
import { openSimulatedDisk, type SimulatedDisk } from '../../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../../lib/runtime/simulated/random.ts'
import { Consistency } from '../../../lib/types/consistency.ts'
import { openStore, type Store } from '../../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../../storage/table-options.ts'
import { settled } from '../../support/power-loss.ts'
import { createDice, type Dice, testSeed, testSeeds } from '../../support/random.ts'
import { mutationAt, type NodeSpec, ReplicaWorld, type WorldNode } from '../../support/replica-world.ts'
import { simple } from '../../support/rings.ts'
import { memoryRuntime, storageRuntime } from '../../support/storage-runtime.ts'
import { bugsIn } from '../../support/write-sides.ts'

const BATCH_TABLE = '99999999-0000-1000-8000-000000000000'
const STORED = {
  keyspace: 'system',
  name: 'b',
  durableWrites: true,
  hasClustering: false,
  options: DEFAULT_TABLE_OPTIONS,
}

const SMALL = { memtableBytesMax: 1_000_000, commitLog: { mode: 'group', segmentBytes: 16 * 1024 } } as const

function tableIn(store: Store): BatchTable {
  return {
    id: BATCH_TABLE,
    idBytes: uuidBytes(BATCH_TABLE),
    apply: (mutations) => store.apply(mutations),
    read: (command) => store.read(command),
    nowSeconds: () => 1_700_000_000,
  }
}

interface Sides {
  readonly of: Map<WorldNode, WriteSide>
  readonly stores: Map<WorldNode, BatchStore>
}

async function serve(world: ReplicaWorld): Promise<Sides> {
  const of = new Map<WorldNode, WriteSide>()
  const stores = new Map<WorldNode, BatchStore>()
  for (const node of world.nodes.values()) {
    const store = await openStore({ runtime: memoryRuntime(world.clock), directory: null })
    await store.registerTable(BATCH_TABLE, STORED)
    const { environment } = node
    const side = new WriteSide({
      environment,
      latencies: new RequestLatencies(),
      batches: tableIn(store),
      truncations: [],
    })
    node.serve(side)
    await side.start()
    of.set(node, side)
    stores.set(node, new BatchStore(tableIn(store)))
  }
  return { of, stores }
}

async function kept(store: BatchStore): Promise<number> {
  let count = 0
  for await (const _ of store.all()) count++
  return count
}

/** Mutations of partitions all over the ring. */
function batchOf(name: string, size = 4): Buffer[] {
  return Array.from({ length: size }, (_, i) => mutationAt(Math.floor((i * 2 ** 32) / size), `${name}-${i}`))
}

const SPECS: NodeSpec[] = [1, 2, 3, 4].map((number) => ({ number, rack: `r${number % 2}` }))

t.test('two others keep a batch until it is written', async (t) => {
  const world = new ReplicaWorld(createDice(1), simple(2), SPECS)
  const { of, stores } = await serve(world)
  const node = world.node(1)
  const done = of.get(node)!.writes.write(batchOf('a'), 'BATCH', Consistency.ALL, 'ks')
  await world.clock.advance(100)
  await done
  const asked = world.sent.filter(({ verb }) => verb === Verb.BATCH_STORE).map(({ to }) => world.at(to).self)
  t.equal(asked.length, 2)
  t.equal(new Set(asked.map(({ rack }) => rack)).size, 2, 'of two racks')
  t.notOk(asked.some(({ hostId }) => hostId === node.self.hostId))
  for (const store of stores.values()) t.equal(await kept(store), 0)
  for (const side of of.values()) t.equal(side.batchlog.replayed, 0)
})

t.test('a batch that cannot be kept is refused before any of it is written', async (t) => {
  const world = new ReplicaWorld(createDice(2), simple(1), SPECS)
  const { of } = await serve(world)
  const { writes } = of.get(world.node(1))!
  const attempt = async (): Promise<RequestError> => {
    const done = writes.write(batchOf('a'), 'BATCH', Consistency.ONE, 'ks')!.then(
      () => null,
      (error: RequestError) => error,
    )
    await world.clock.advance(5_000)
    return (await done)!
  }
  world.weather = { ...world.weather, loss: 1 }
  t.match(await attempt(), {
    code: 'WRITE_TIMEOUT',
    fields: { writeType: 'BATCH_LOG', consistency: Consistency.TWO, received: 0, blockFor: 2 },
  })
  t.ok([...world.nodes.values()].every(({ applied }) => applied.length === 0))
  world.weather = { ...world.weather, loss: 0 }
  world.unreachable.add(world.node(2).self.endpoint)
  world.unreachable.add(world.node(3).self.endpoint)
  world.unreachable.add(world.node(4).self.endpoint)
  t.match(await attempt(), { code: 'WRITE_FAILURE', fields: { writeType: 'BATCH_LOG' } })
  t.ok([...world.nodes.values()].every(({ applied }) => applied.length === 0))
})

async function dyingCoordinators(dice: Dice, seed: number): Promise<string[]> {
  const problems: string[] = []
  const world = new ReplicaWorld(dice, simple(1 + dice.int(3)), SPECS)
  const { of, stores } = await serve(world)
  world.weather = {
    loss: dice.pick([0, 0.05, 0.2]),
    delayMs: dice.pick([1, 20, 300]),
    failure: dice.pick([0, 0.1]),
    slow: 0,
  }
  const node = world.node(1)
  const batches: { texts: string[]; mutations: Buffer[]; acknowledged: boolean }[] = []
  for (let i = 0; i < 4; i++) {
    const mutations = batchOf(`${seed}-${i}`, 2 + dice.int(4))
    const batch = { texts: mutations.map((mutation) => mutation.toString('hex')), mutations, acknowledged: false }
    batches.push(batch)
    of.get(node)!
      .writes.write(mutations, 'BATCH', dice.pick([Consistency.ONE, Consistency.ALL]), 'ks')!
      .then(
        () => {
          batch.acknowledged = true
        },
        () => {},
      )
    await world.clock.advance(dice.pick([0, 1, 50, 500]))
  }
  await world.clock.advance(dice.int(1 + Math.ceil(world.weather.delayMs * 4)))
  world.setAlive(node, false)
  world.weather = { ...world.weather, failure: 0 }
  await world.clock.advance(120_000)
  const hints = [...world.nodes.values()].flatMap(({ hints: those }) => those)
  const has = (hostId: string, text: string): boolean =>
    world.nodes.get(hostId)!.applied.includes(text) ||
    hints.some((hint) => hint.hostId === hostId && hint.mutation === text)
  batches.forEach(({ texts, mutations, acknowledged }, i) => {
    const replicas = mutations.map(
      (mutation) => world.placement.at(mutation.readInt32BE(16), mutation.readInt32BE(20)).natural,
    )
    // What the dead node alone has may come with it, or not: nobody was told.
    const begun =
      acknowledged ||
      texts.some((text, at) =>
        replicas[at]!.some(
          ({ hostId }) => hostId !== node.self.hostId && world.nodes.get(hostId)!.applied.includes(text),
        ),
      )
    if (!begun) return
    texts.forEach((text, at) => {
      for (const { hostId } of replicas[at]!)
        if (hostId !== node.self.hostId && !has(hostId, text))
          problems.push(`TEST_SEED=${seed}: part ${at} of batch ${i} is missing at ${hostId}`)
      if (!replicas[at]!.some(({ hostId }) => has(hostId, text)))
        problems.push(`TEST_SEED=${seed}: part ${at} of batch ${i} is nowhere`)
    })
  })
  for (const other of world.nodes.values())
    if (other !== node && (await kept(stores.get(other)!)) > 0) problems.push(`TEST_SEED=${seed}: batches are left`)
  for (const stack of bugsIn(world)) problems.push(`TEST_SEED=${seed}: ${stack}`)
  return problems
}

t.test('a batch of which a part was written is written, though its coordinator died', async (t) => {
  for (const seed of testSeeds(12)) t.same(await dyingCoordinators(createDice(seed), seed), [])
})

t.test('a batch older than gc_grace_seconds is not written: what it holds may have been deleted since', async (t) => {
  const world = new ReplicaWorld(createDice(3), simple(2), SPECS)
  const { of, stores } = await serve(world)
  const [keeper, other] = [world.node(2), world.node(3)]
  for (const node of [keeper, other]) node.environment.gcGraceSeconds = () => (node === keeper ? 1 : 1_000)
  const put = (node: WorldNode, mutations: readonly Buffer[]): Promise<unknown> => {
    const head = Buffer.alloc(24)
    head[0] = node.self.hostId.charCodeAt(35)
    head.writeBigUInt64BE(BigInt(world.clock.wallMicros()), 16)
    const parts = mutations.flatMap((mutation) => [
      Buffer.from([0, 0, mutation.length >>> 8, mutation.length]),
      mutation,
    ])
    const payload = Buffer.concat([head, ...parts])
    const message = { verb: Verb.BATCH_STORE, from: world.node(1).self, payload, epoch: 1, remainingMs: 100 }
    return Promise.resolve(node.handlers.get(Verb.BATCH_STORE)!(message))
  }
  await put(keeper, batchOf('old'))
  await put(other, batchOf('new'))
  await world.clock.advance(20_000)
  const applied = new Set([...world.nodes.values()].flatMap((node) => node.applied))
  t.notOk(batchOf('old').some((mutation) => applied.has(mutation.toString('hex'))))
  t.ok(batchOf('new').every((mutation) => applied.has(mutation.toString('hex'))))
  for (const store of stores.values()) t.equal(await kept(store), 0)
  for (const side of of.values()) await side.close()
})

async function openBatches(disk: SimulatedDisk, clock: SimulatedClock): Promise<{ store: Store; batches: BatchStore }> {
  await disk.mkdir('/data')
  await disk.syncDirectory('/')
  const store = await settled(
    clock,
    openStore({ runtime: storageRuntime(clock, disk), directory: '/data', settings: SMALL }),
  )
  await settled(clock, store.registerTable(BATCH_TABLE, STORED))
  return { store, batches: new BatchStore(tableIn(store)) }
}

t.test('power loss at any operation: what was kept is there, what was forgotten is not', async (t) => {
  const seed = testSeed()
  const dice = createDice(seed)
  const random = createSeededRandom(seed)
  const disk = openSimulatedDisk()
  const clock = createSimulatedClock()
  /** By id: the last thing that is sure of it, and what was asked for since. */
  const sure = new Map<string, 'kept' | 'forgotten'>()
  const asked = new Map<string, 'put' | 'remove'>()
  const left: { disk: SimulatedDisk; sure: Map<string, string>; asked: Map<string, string>; at: string }[] = []
  disk.onOperation = (operation, path, index) => {
    for (const survival of [0, 0.5, 1])
      left.push({
        disk: disk.crash(survival, random),
        sure: new Map(sure),
        asked: new Map(asked),
        at: `${operation} ${path} ${index}, ${survival}`,
      })
  }
  const { store, batches } = await openBatches(disk, clock)
  const pending: Promise<void>[] = []
  for (let i = 0; i < 16; i++) {
    const known = [...sure.keys()].filter((name) => sure.get(name) === 'kept' && asked.get(name) !== 'remove')
    const isRemoval = known.length > 0 && dice.chance(0.4)
    const name = isRemoval ? dice.pick(known) : `batch-${String(i).padStart(10, '0')}`
    asked.set(name, isRemoval ? 'remove' : 'put')
    const id = Buffer.from(name)
    const done = isRemoval ? batches.remove(id) : batches.put(id, Buffer.from(`content of ${name}`))
    pending.push(Promise.resolve(done).then(() => void sure.set(name, isRemoval ? 'forgotten' : 'kept')))
    if (dice.chance(0.5)) await settled(clock, Promise.all(pending))
    if (dice.chance(0.1)) await settled(clock, store.flush(BATCH_TABLE))
  }
  await settled(clock, Promise.all(pending))
  disk.onOperation = null
  await settled(clock, store.close())
  const problems: string[] = []
  for (const { disk: crashed, sure: must, asked: may, at } of left) {
    const own = createSimulatedClock()
    const { store: again, batches: those } = await openBatches(crashed, own)
    const found = new Map<string, string>()
    await settled(
      own,
      (async () => {
        for await (const { id, content } of those.all()) found.set(id.toString(), content.toString())
      })(),
    )
    for (const [name, state] of must) {
      if (state === 'kept' && may.get(name) === 'put' && !found.has(name)) problems.push(`${at}: ${name} is lost`)
      if (state === 'forgotten' && found.has(name)) problems.push(`${at}: ${name} is back`)
    }
    for (const [name, content] of found)
      if (!may.has(name) || content !== `content of ${name}`) problems.push(`${at}: ${name} is ${content}`)
    await settled(own, again.close())
  }
  t.same(problems, [], `TEST_SEED=${seed}, ${left.length} disks`)
})
