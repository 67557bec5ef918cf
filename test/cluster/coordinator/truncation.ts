/** TRUNCATE through a coordinator: all nodes or none, and nothing that was acknowledged before comes back, however late it is. */
import t from 'tap'
import { TruncationMarks } from '../../../cluster/coordinator/truncation-marks.ts'
import { Consistency } from '../../../lib/types/consistency.ts'
import { createDice, type Dice, testSeeds } from '../../support/random.ts'
import { mutationAt, ReplicaWorld, TABLE } from '../../support/replica-world.ts'
import { simple } from '../../support/rings.ts'
import { outcome, serveWrites } from '../../support/write-sides.ts'

const THREE = simple(3)

const SPECS = [1, 2, 3].map((number) => ({ number }))

t.test('all nodes must be alive, and all must answer', async (t) => {
  const world = new ReplicaWorld(createDice(1), THREE, SPECS)
  const { truncations } = serveWrites(world).get(world.node(1))!
  t.equal(await outcome(world, () => truncations.truncate(TABLE), 70_000), null)
  for (const { truncated } of world.nodes.values()) t.match(truncated, [{ table: TABLE }])
  t.equal(new Set([...world.nodes.values()].map(({ truncated }) => truncated[0]!.atMs)).size, 1, 'at one time')
  world.setAlive(world.node(2), false)
  t.match(await outcome(world, () => truncations.truncate(TABLE), 70_000), {
    code: 'TRUNCATE_ERROR',
    message: 'Error during truncate: Cannot achieve consistency level ALL',
  })
  t.equal(world.node(3).truncated.length, 1, 'nobody was asked')
  world.setAlive(world.node(2), true)
  world.unreachable.add(world.node(2).self.endpoint)
  t.match(await outcome(world, () => truncations.truncate(TABLE), 70_000), {
    code: 'TRUNCATE_ERROR',
    message: 'Error during truncate: Truncate timed out - received only 2 responses',
  })
})

async function lateWrites(dice: Dice, seed: number): Promise<string[]> {
  const problems: string[] = []
  const world = new ReplicaWorld(dice, THREE, SPECS)
  const sides = serveWrites(world)
  // Clocks differ, and what is delayed arrives long after.
  for (const node of world.nodes.values()) node.skew = dice.int(400_000) - 200_000
  world.weather = { loss: 0, delayMs: dice.pick([1, 30, 200]), failure: 0, slow: 0 }
  const nodes = [...world.nodes.values()]
  let count = 0
  const write = async (): Promise<{ text: string; acknowledged: boolean }> => {
    const mutation = mutationAt(dice.int(2 ** 32), `${seed}-${count++}`)
    const node = dice.pick(nodes)
    const result = { text: mutation.toString('hex'), acknowledged: false }
    const done = sides
      .get(node)!
      .writes.write([mutation], 'SIMPLE', dice.pick([Consistency.ONE, Consistency.QUORUM]), 'ks')
    if (done === undefined || (await outcome(world, () => done, 3_000)) === null) result.acknowledged = true
    return result
  }
  const before = []
  for (let i = 0; i < 4; i++) before.push(await write())
  const failed = await outcome(world, () => sides.get(dice.pick(nodes))!.truncations.truncate(TABLE), 70_000)
  if (failed !== null) return [`TEST_SEED=${seed}: ${failed.message}`]
  const after = []
  for (let i = 0; i < 4; i++) after.push(await write())
  await world.clock.advance(20_000)
  // Hints come at last.
  for (const node of nodes)
    for (const { hostId, mutation, writtenAt } of node.hints) {
      const bytes = Buffer.from(mutation, 'hex')
      const target = world.nodes.get(hostId)!
      if (sides.get(target)!.replica.takes(bytes, writtenAt)) target.applied.push(mutation)
    }
  for (const { text, acknowledged } of before)
    if (acknowledged && nodes.some(({ applied }) => applied.includes(text)))
      problems.push(`TEST_SEED=${seed}: an old write is back`)
  for (const { text, acknowledged } of after)
    if (acknowledged && nodes.filter(({ applied }) => applied.includes(text)).length < 3)
      problems.push(`TEST_SEED=${seed}: a new write is lost`)
  return problems
}

t.test('nothing acknowledged before a truncation survives it, nothing acknowledged after it is lost', async (t) => {
  for (const seed of testSeeds(20)) t.same(await lateWrites(createDice(seed), seed), [])
})

t.test('views are filled when the last of several truncations has ended', async (t) => {
  const world = new ReplicaWorld(createDice(1), THREE, SPECS)
  const sides = serveWrites(world)
  const events: string[] = []
  for (const node of world.nodes.values()) {
    Object.assign(node.environment, { viewsOf: () => ['00000000-0000-1000-8000-00000000000a'] })
    Object.assign(node.environment.replica, {
      truncateViews: async () => void events.push('emptied'),
      fillViews: () => void events.push('filled'),
    })
  }
  world.weather = { loss: 0, delayMs: 200, failure: 0, slow: 0 }
  const both = [1, 2].map((number) => sides.get(world.node(number))!.truncations.truncate(TABLE))
  for (const done of both) t.equal(await outcome(world, () => done, 70_000), null)
  t.same(events, [...Array(6).fill('emptied'), ...Array(3).fill('filled')])
})

t.test('what a read found while a truncation was under way is not written to replicas', (t) => {
  const marks = new TruncationMarks()
  const mutation = mutationAt(1, 'a')
  t.ok(marks.mayRepair(mutation, 10, 20))
  marks.begin(TABLE, 1_000)
  marks.begin(TABLE, 1_000)
  t.notOk(marks.mayRepair(mutation, 10, 20))
  marks.end(TABLE, 30)
  t.notOk(marks.mayRepair(mutation, 35, 40), 'another one goes on')
  marks.end(TABLE, 50)
  t.notOk(marks.mayRepair(mutation, 45, 60), 'the read began before it ended')
  t.ok(marks.mayRepair(mutation, 55, 60))
  marks.begin(TABLE, 1_000)
  t.notOk(marks.mayRepair(mutation, 900, 999))
  t.notOk(marks.mayRepair(mutation, 900, 1_001), 'nothing more was heard of it')
  t.ok(marks.mayRepair(mutation, 1_002, 1_003))
  t.ok(marks.takes(mutation, 1), 'nothing was emptied')
  t.end()
})

t.test('all nodes know of a truncation until all of them are empty', async (t) => {
  const world = new ReplicaWorld(createDice(7), THREE, SPECS)
  const sides = serveWrites(world)
  const done = sides.get(world.node(1))!.truncations.truncate(TABLE)
  const mutation = mutationAt(1, 'a')
  let wasEmpty = false
  for (let step = 0; step < 400 && !wasEmpty; step++) {
    await world.clock.advance(0.1)
    const nodes = [...world.nodes.values()]
    const some = nodes.some(({ truncated }) => truncated.length > 0)
    wasEmpty = nodes.every(({ truncated }) => truncated.length > 0)
    if (!some || wasEmpty) continue
    for (const [node, side] of sides)
      t.notOk(side.replica.mayRepair(mutation, node.environment.timestampMicros()), 'a read that begins now')
  }
  t.equal(await outcome(world, () => done, 70_000), null)
  for (const [node, side] of sides) t.ok(side.replica.mayRepair(mutation, node.environment.timestampMicros()))
})

t.test('a coordinator that has not heard of a node empties it, too', async (t) => {
  const world = new ReplicaWorld(createDice(8), THREE, SPECS)
  const { truncations } = serveWrites(world).get(world.node(1))!
  const [first, last] = [world.node(1), world.node(3)]
  world.node(2).epoch = 2
  first.environment.nodes = () => {
    const known = new Map(world.topology.nodes)
    if (first.epoch < 2) known.delete(last.self.hostId)
    return known
  }
  t.equal(await outcome(world, () => truncations.truncate(TABLE), 70_000), null)
  t.equal(last.truncated.length, 1)
  t.equal(world.node(2).truncated.length, 1)
})
