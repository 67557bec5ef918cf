/** Versions through any coordinator: each acknowledged write is there once unless somebody who had seen it wrote, and all replicas come to hold the same. */
import t from 'tap'
import { ByteWriter } from '../../../lib/base/bytes.ts'
import { Consistency } from '../../../lib/types/consistency.ts'
import { CausalRow } from '../../../storage/model/causal/state.ts'
import { ALL_ROWS } from '../../../storage/model/command.ts'
import { MutationWriter } from '../../../storage/model/mutation.ts'
import { RowWriter } from '../../../storage/model/row-writer.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../../storage/table-options.ts'
import { createDice, type Dice, testSeeds } from '../../support/random.ts'
import { CALM, ReplicaWorld, TABLE, TABLE_ID, type WorldNode } from '../../support/replica-world.ts'
import { simple } from '../../support/rings.ts'
import { applyHints, bugsIn, outcome, storeWrites } from '../../support/write-sides.ts'

const STORED = {
  keyspace: 'ks',
  name: 't',
  durableWrites: true,
  hasClustering: false,
  options: { ...DEFAULT_TABLE_OPTIONS, resolution: 'vclock' as const },
}
const SPECS = [1, 2, 3, 4].map((number) => ({ number }))

function put(value: string, context: Buffer | null): Buffer {
  const row = new ByteWriter()
  const cells = new RowWriter(row)
  cells.begin()
  cells.liveness(0, 1, 0, 0)
  cells.cell(0, 0, 1, Buffer.from(value))
  cells.end()
  const writer = new MutationWriter()
  writer.begin(TABLE_ID, 5, 0, Buffer.from('key'))
  writer.causalWrite(Buffer.alloc(0), { context, version: row.view(), sets: null })
  return Buffer.from(writer.finish())
}

interface Held {
  readonly values: readonly string[]
  readonly context: Buffer | null
  /** The row's bytes. */
  readonly row: string
}

async function heldBy(node: WorldNode): Promise<Held> {
  const { partitions } = await node.store!.read({
    ...ALL_ROWS,
    table: TABLE,
    target: { kind: 'range', start: null, end: null },
    nowSeconds: 0,
  })
  const row = partitions[0]?.rows[0]?.row
  if (row === undefined) return { values: [], context: null, row: '' }
  const state = new CausalRow().reset(row, 0)
  const values: string[] = []
  while (state.next()) values.push(/[a-z]+\d+/.exec(state.version.toString('latin1'))![0])
  return { values, context: Buffer.from(state.context), row: row.toString('hex') }
}

t.test('any node may be asked; a leader elsewhere sends its warnings along', async (t) => {
  const world = new ReplicaWorld(createDice(1), simple(3), SPECS)
  const sides = await storeWrites(world, STORED)
  const { natural } = world.placement.at(5 ^ -0x80000000, 0)
  const isHolder = ({ self }: WorldNode): boolean => natural.some(({ hostId }) => hostId === self.hostId)
  const nodes = [...world.nodes.values()]
  const outside = nodes.find((node) => !isHolder(node))!
  const warnings: string[] = []
  const write = (value: string, context: Buffer | null = null) =>
    outcome(world, () =>
      sides.get(outside)!.writes.write([put(value, context)], 'CAUSAL', Consistency.ALL, 'ks', warnings),
    )
  for (let i = 0; i < 24; i++) t.equal(await write(`v${i}`), null)
  t.same(warnings, [])
  t.equal(await write('v24'), null)
  t.match(warnings, [/25 concurrent versions/])
  const held = await heldBy(nodes.find(isHolder)!)
  t.equal(held.values.length, 25)
  t.equal(await write('v99', held.context), null)
  for (const node of nodes.filter(isHolder)) t.same((await heldBy(node)).values, ['v99'])
  t.same((await heldBy(outside)).values, [])

  world.unreachable.add(natural[0]!.endpoint)
  t.match(await write('v100'), { code: 'WRITE_FAILURE', fields: { writeType: 'SIMPLE' } })
  world.weather = { ...CALM, loss: 1 }
  t.match(await write('v101'), { code: 'WRITE_TIMEOUT', fields: { writeType: 'SIMPLE' } })
})

interface Attempt {
  readonly value: string
  readonly seen: readonly string[]
  isDone: boolean
}

/** What is wrong after writes of all kinds in bad weather. */
async function anyWeather(dice: Dice, seed: number): Promise<string[]> {
  const problems: string[] = []
  const world = new ReplicaWorld(dice, simple(1 + dice.int(3)), SPECS)
  const sides = await storeWrites(world, STORED)
  const nodes = [...world.nodes.values()]
  world.weather = { loss: dice.pick([0, 0.1, 0.3]), delayMs: dice.pick([1, 30]), failure: 0, slow: 0 }
  const attempts: Attempt[] = []
  const open: Promise<void>[] = []
  for (let i = 0; i < 24; i++) {
    const { values, context } = dice.chance(0.5) ? await heldBy(dice.pick(nodes)) : { values: [], context: null }
    const attempt = { value: `v${i}`, seen: values, isDone: false }
    attempts.push(attempt)
    const level = dice.pick([Consistency.ONE, Consistency.QUORUM, Consistency.ALL])
    const { writes } = sides.get(dice.pick(nodes))!
    open.push(
      (async () => writes.write([put(attempt.value, context)], 'CAUSAL', level, 'ks'))().then(
        () => {
          attempt.isDone = true
        },
        () => {},
      ),
    )
    if (dice.chance(0.4)) await world.clock.advance(dice.int(40))
  }
  await world.clock.advance(30_000)
  await Promise.all(open)
  applyHints(world)
  const held = (await Promise.all(nodes.map(heldBy))).filter(({ row }) => row !== '')
  const values = held[0]?.values ?? []
  if (held.some(({ row }) => row !== held[0]!.row)) problems.push(`TEST_SEED=${seed}: replicas differ`)
  if (new Set(values).size < values.length) problems.push(`TEST_SEED=${seed}: twice: ${values}`)
  for (const { value, isDone } of attempts) {
    const over = attempts.find(({ seen }) => seen.includes(value))
    if (values.includes(value)) {
      if (over?.isDone) problems.push(`TEST_SEED=${seed}: ${value} stands beside ${over.value}, which had seen it`)
    } else if (isDone && over === undefined) problems.push(`TEST_SEED=${seed}: ${value} is lost`)
  }
  for (const stack of bugsIn(world)) problems.push(`TEST_SEED=${seed}: ${stack}`)
  return problems
}

t.test('in bad weather nothing acknowledged is lost, nothing is there twice, and replicas agree', async (t) => {
  for (const seed of testSeeds(15)) t.same(await anyWeather(createDice(seed), seed), [])
})
