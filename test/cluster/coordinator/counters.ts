/** Counters through any coordinator: what was acknowledged is counted, nothing is counted twice, and all replicas come to the same sum. */
import t from 'tap'
import { ByteWriter } from '../../../lib/base/bytes.ts'
import type { RequestError } from '../../../lib/base/errors.ts'
import { Consistency } from '../../../lib/types/consistency.ts'
import type { ReadCommand } from '../../../storage/model/command.ts'
import { COUNT_BYTES, DELTA_PATH } from '../../../storage/model/counter.ts'
import { LastWriteWins } from '../../../storage/model/merge.ts'
import { MutationWriter } from '../../../storage/model/mutation.ts'
import { RowReader } from '../../../storage/model/row.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../../storage/table-options.ts'
import { createDice, type Dice, testSeeds } from '../../support/random.ts'
import { CALM, ReplicaWorld, TABLE, TABLE_ID, type WorldNode } from '../../support/replica-world.ts'
import { simple } from '../../support/rings.ts'
import { everythingIn } from '../../support/storage-model.ts'
import { applyHints, bugsIn, outcome, storeWrites } from '../../support/write-sides.ts'

const COLUMN = 1
const STORED = { keyspace: 'ks', name: 't', durableWrites: true, hasClustering: true, options: DEFAULT_TABLE_OPTIONS }

function delta(token: number, key: string, amount: number, rows = ['a']): Buffer {
  const writer = new MutationWriter()
  writer.begin(TABLE_ID, token | 0, 0, Buffer.from(key))
  const value = Buffer.alloc(COUNT_BYTES)
  value.writeBigInt64BE(BigInt(amount))
  for (const row of rows) {
    writer.beginRow(Buffer.from(row))
    writer.row.pathCell(COLUMN, DELTA_PATH, 0, 1, value)
    writer.endRow()
  }
  return Buffer.from(writer.finish())
}

const ALL: ReadCommand = everythingIn(TABLE, 0)

/** Rows of a node by key and clustering. */
async function rowsOf(node: WorldNode): Promise<Map<string, Buffer>> {
  const rows = new Map<string, Buffer>()
  const { partitions } = await node.store!.read(ALL)
  for (const { key, rows: those } of partitions)
    for (const { clustering, row } of those) rows.set(`${key}/${clustering}`, Buffer.from(row))
  return rows
}

function sumOf(row: Buffer): number {
  const reader = new RowReader().reset(row)
  let sum = 0n
  while (reader.next()) if (reader.isLive(0)) sum += row.readBigInt64BE(reader.valueStart)
  return Number(sum)
}

const SPECS = [1, 2, 3, 4].map((number) => ({ number }))

t.test('each statement adds, whoever leads; a row of a batch twice adds twice', async (t) => {
  const world = new ReplicaWorld(createDice(1), simple(3), SPECS)
  const sides = await storeWrites(world, STORED)
  for (const node of world.nodes.values())
    t.equal(
      await outcome(world, () =>
        sides.get(node)!.writes.write([delta(5, 'k', 10, ['a', 'b', 'a'])], 'COUNTER', Consistency.ALL, 'ks'),
      ),
      null,
    )
  let holders = 0
  for (const node of world.nodes.values()) {
    const rows = await rowsOf(node)
    if (rows.size === 0) continue
    holders++
    t.equal(sumOf(rows.get('k/a')!), 80)
    t.equal(sumOf(rows.get('k/b')!), 40)
  }
  t.equal(holders, 3)
})

t.test(
  'too few replicas: refused, and nothing is counted; a leader that cannot be reached is passed over',
  async (t) => {
    const world = new ReplicaWorld(createDice(2), simple(3), SPECS)
    const sides = await storeWrites(world, STORED)
    const { natural } = world.placement.at(5 ^ -0x80000000, 0)
    const outside = [...world.nodes.values()].find(({ self }) => !natural.some(({ hostId }) => hostId === self.hostId))!
    const { writes } = sides.get(outside)!
    const add = async (level: number): Promise<RequestError | null> =>
      outcome(world, () => writes.write([delta(5, 'k', 1)], 'COUNTER', level, 'ks'))
    world.unreachable.add(natural[0]!.endpoint)
    for (let i = 0; i < 3; i++) t.equal(await add(Consistency.ONE), null)
    world.setAlive(world.nodes.get(natural[0]!.hostId)!, false)
    world.setAlive(world.nodes.get(natural[1]!.hostId)!, false)
    t.match(await add(Consistency.QUORUM), { code: 'UNAVAILABLE', fields: { required: 2, alive: 1 } })
    const last = world.nodes.get(natural[2]!.hostId)!
    t.equal(sumOf((await rowsOf(last)).get('k/a')!), 3)
    world.weather = { ...CALM, loss: 1 }
    t.match(await add(Consistency.ONE), {
      code: 'WRITE_TIMEOUT',
      fields: { writeType: 'COUNTER', received: 0, blockFor: 1 },
    })
  },
)

async function anyWeather(dice: Dice, seed: number): Promise<string[]> {
  const problems: string[] = []
  const world = new ReplicaWorld(dice, simple(1 + dice.int(3)), SPECS)
  const sides = await storeWrites(world, STORED)
  const nodes = [...world.nodes.values()]
  world.weather = { loss: dice.pick([0, 0.1, 0.3]), delayMs: dice.pick([1, 30]), failure: dice.pick([0, 0.1]), slow: 0 }
  const sums = new Map<string, { sure: number; most: number }>()
  const open: Promise<void>[] = []
  for (let i = 0; i < 24; i++) {
    const key = dice.pick(['x', 'y'])
    const amount = 1 + dice.int(9)
    const sum = sums.get(key) ?? { sure: 0, most: 0 }
    sums.set(key, sum)
    const level = dice.pick([Consistency.ONE, Consistency.QUORUM, Consistency.ALL])
    const done = sides
      .get(dice.pick(nodes))!
      .writes.write([delta(key === 'x' ? 1 : -1, key, amount)], 'COUNTER', level, 'ks')
    sum.most += amount
    open.push(
      Promise.resolve(done).then(
        () => {
          sum.sure += amount
        },
        (error: RequestError) => {
          if (error.code === 'UNAVAILABLE') sum.most -= amount
        },
      ),
    )
    if (dice.chance(0.4)) await world.clock.advance(dice.int(40))
  }
  await world.clock.advance(30_000)
  await Promise.all(open)
  applyHints(world)
  const law = new LastWriteWins()
  const merged = new Map<string, Buffer>()
  const all = await Promise.all(nodes.map(rowsOf))
  for (const rows of all)
    for (const [name, row] of rows) {
      const known = merged.get(name)
      const out = new ByteWriter()
      if (known) law.merge(out, known, 0, known.length, row, 0, row.length)
      merged.set(name, known ? out.copy() : row)
    }
  for (const [key, { sure, most }] of sums) {
    const row = merged.get(`${key}/a`)
    const sum = row === undefined ? 0 : sumOf(row)
    if (sum < sure || sum > most)
      problems.push(`TEST_SEED=${seed}: ${key} is ${sum}, ${sure} were acknowledged, ${most} attempted`)
    // A leader that failed to apply its own shard has none either: what one has, all have.
    for (const rows of all)
      if (row !== undefined && rows.has(`${key}/a`) && !rows.get(`${key}/a`)!.equals(row))
        problems.push(`TEST_SEED=${seed}: replicas of ${key} differ`)
  }
  for (const stack of bugsIn(world)) problems.push(`TEST_SEED=${seed}: ${stack}`)
  return problems
}

t.test('acknowledged ≤ sum ≤ attempted, and replicas agree', async (t) => {
  for (const seed of testSeeds(15)) t.same(await anyWeather(createDice(seed), seed), [])
})
