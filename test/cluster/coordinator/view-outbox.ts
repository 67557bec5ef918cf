/** Which replica of a base table keeps which replica of a view, and that what is for other nodes arrives, whatever happens. */
import t from 'tap'
import { BatchStore } from '../../../cluster/coordinator/batch-store.ts'
import type { Deliver } from '../../../cluster/coordinator/batchlog.ts'
import type { Replication } from '../../../cluster/coordinator/levels.ts'
import { ViewOutbox } from '../../../cluster/coordinator/view-outbox.ts'
import { uuidBytes } from '../../../lib/base/uuid.ts'
import { openStore, type Store } from '../../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../../storage/table-options.ts'
import { createDice, type Dice, testSeeds } from '../../support/random.ts'
import { CALM, mutationAt, type NodeSpec, ReplicaWorld, TABLE, type WorldNode } from '../../support/replica-world.ts'
import { network, simple } from '../../support/rings.ts'
import { memoryRuntime } from '../../support/storage-runtime.ts'
import { serveWrites } from '../../support/write-sides.ts'

const NOTES = '99999999-0000-1000-8000-000000000001'
const STORED = { keyspace: 'ks', name: 't', durableWrites: true, hasClustering: true, options: DEFAULT_TABLE_OPTIONS }

interface Part {
  readonly outbox: ViewOutbox
  readonly store: Store
  readonly notes: BatchStore
  readonly deliver: Deliver
}

async function serve(world: ReplicaWorld): Promise<Map<WorldNode, Part>> {
  const sides = serveWrites(world)
  const parts = new Map<WorldNode, Part>()
  for (const node of world.nodes.values()) {
    const store = await openStore({ runtime: memoryRuntime(world.clock), directory: null })
    await store.registerTable(NOTES, STORED)
    await store.registerTable(TABLE, STORED)
    const notes = notesIn(store)
    const deliver: Deliver = (mutations, writtenAt) => sides.get(node)!.deliver(mutations, writtenAt)
    parts.set(node, { outbox: new ViewOutbox(node.environment, notes, deliver), store, notes, deliver })
  }
  return parts
}

function notesIn(store: Store): BatchStore {
  return new BatchStore({
    id: NOTES,
    idBytes: uuidBytes(NOTES),
    apply: (mutations) => store.apply(mutations),
    read: (command) => store.read(command),
    nowSeconds: () => 1,
  })
}

function randomPlaces(dice: Dice): { specs: NodeSpec[]; replication: Replication } {
  const datacenters = 1 + dice.int(2)
  const specs = Array.from({ length: datacenters * (1 + dice.int(4)) }, (_, i) => ({
    number: i + 1,
    datacenter: `dc${1 + (i % datacenters)}`,
    rack: `r${dice.int(2)}`,
  }))
  const factors = Array.from({ length: datacenters }, (_, i) => [`dc${i + 1}`, 1 + dice.int(3)])
  return { specs, replication: network(Object.fromEntries(factors)) }
}

const position = (mutation: Buffer): Buffer => mutation.subarray(16)

t.test('every replica of a view has one replica of the base table that keeps it, in its data centre', async (t) => {
  for (const seed of testSeeds(100)) {
    const dice = createDice(seed)
    const { specs, replication } = randomPlaces(dice)
    const world = new ReplicaWorld(dice, replication, specs)
    const parts = await serve(world)
    for (const { outbox } of parts.values()) outbox.close()
    const base = mutationAt(dice.int(2 ** 32), 'base')
    const view = mutationAt(dice.int(2 ** 32), 'view')
    const replicas = world.placement.at(base.readInt32BE(16), base.readInt32BE(20)).natural
    const keepers = new Map<string, string[]>()
    for (const [{ self }, { outbox }] of parts) {
      if (!replicas.some(({ hostId }) => hostId === self.hostId)) continue
      const { here, send } = outbox.place('ks', position(base), [view])
      if (here.some((mutation) => mutation.equals(view)))
        keepers.set(self.hostId, [...(keepers.get(self.hostId) ?? []), self.datacenter])
      send?.()
    }
    await world.clock.advance(3_000)
    const holders = [...world.nodes.values()].filter((node) => node.applied.includes(view.toString('hex')))
    for (const node of holders) keepers.set(node.self.hostId, [...(keepers.get(node.self.hostId) ?? []), 'sent'])
    const { natural } = world.placement.at(view.readInt32BE(16), view.readInt32BE(20))
    t.same([...keepers.keys()].sort(), natural.map(({ hostId }) => hostId).sort(), `TEST_SEED=${seed}`)
    t.ok(
      [...keepers.values()].every(({ length }) => length === 1),
      'once each',
    )
    t.equal(holders.flatMap(({ applied }) => applied).length, holders.length)
  }
})

t.test(
  'who was a replica of the base table, or will be one, tells all replicas of the view in its data centre',
  async (t) => {
    let told = 0
    for (const seed of testSeeds(30)) {
      const dice = createDice(seed)
      const { specs, replication } = randomPlaces(dice)
      const world = new ReplicaWorld(dice, replication, specs)
      const parts = await serve(world)
      const base = mutationAt(dice.int(2 ** 32), 'base')
      const view = mutationAt(dice.int(2 ** 32), 'view')
      const replicas = world.placement.at(base.readInt32BE(16), base.readInt32BE(20)).natural
      const others = [...parts].filter(([{ self }]) => !replicas.some(({ hostId }) => hostId === self.hostId))
      if (others.length === 0) continue
      const [node, { outbox }] = dice.pick(others)
      const { here, send } = outbox.place('ks', position(base), [view])
      send?.()
      await world.clock.advance(3_000)
      const holders = [...world.nodes.values()].filter(({ applied }) => applied.includes(view.toString('hex')))
      if (here.some((mutation) => mutation.equals(view))) holders.push(node)
      const { natural } = world.placement.at(view.readInt32BE(16), view.readInt32BE(20))
      const near = natural.filter(({ datacenter }) => datacenter === node.self.datacenter)
      const ids = (nodes: readonly { hostId: string }[]): string[] => nodes.map(({ hostId }) => hostId).sort()
      t.same(ids(holders.map(({ self }) => self)), ids(near), `TEST_SEED=${seed}`)
      told += near.length
    }
    t.ok(told > 0 || process.env.TEST_SEED)
  },
)

t.test('what was noted is sent after a crash; who is away gets a hint; the note goes then', async (t) => {
  const world = new ReplicaWorld(createDice(1), simple(1), [{ number: 1 }, { number: 2 }])
  const parts = await serve(world)
  const own = [...world.nodes.values()]
  const at = (node: WorldNode, text: string): Buffer => {
    for (let token = 0; ; token += 0x08000000) {
      const mutation = mutationAt(token, text)
      const [owner] = world.placement.at(mutation.readInt32BE(16), mutation.readInt32BE(20)).natural
      if (owner!.hostId === node.self.hostId) return mutation
    }
  }
  const [one, two] = [own[0]!, own[1]!]
  const { store, notes, outbox, deliver } = parts.get(one)!
  const kept = async (): Promise<number> => {
    let count = 0
    for await (const _ of notes.all()) count++
    return count
  }
  const view = at(two, 'v')
  const { here } = outbox.place('ks', position(at(one, 'b')), [view])
  store.apply(here)
  t.equal(await kept(), 1)
  // It never sent it: the node starts again.
  const again = new ViewOutbox(one.environment, notes, deliver)
  await again.start()
  await world.clock.advance(100)
  t.same(two.applied, [view.toString('hex')])
  t.equal(await kept(), 0)
  world.weather = { ...CALM, loss: 1 }
  const later = outbox.place('ks', position(at(one, 'b')), [at(two, 'w')])
  store.apply(later.here)
  later.send!()
  await world.clock.advance(5_000)
  t.same(
    one.hints.map(({ hostId }) => hostId),
    [two.self.hostId],
  )
  t.equal(await kept(), 0)
  t.same(one.reports, [])
})
