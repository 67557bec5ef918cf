/** What an index answers is what a look at every row gives, whatever was written, removed, flushed or closed before; and after a power loss. */
import t from 'tap'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { openSimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { INDEXES, queries, randomStatement, SCHEMA, TABLE } from '../support/index-script.ts'
import { type IndexWorld, losePower, openIndexWorld } from '../support/index-world.ts'
import { settled } from '../support/power-loss.ts'
import { createDice, type Dice, testSeed } from '../support/random.ts'

/** Queries whose answers differ from those of a scan. */
async function differences(world: IndexWorld, dice: Dice): Promise<string[]> {
  const wrong: string[] = []
  for (const query of queries(dice)) {
    if (dice.chance(0.7)) continue
    const pageSize = dice.chance(0.5) ? null : 1 + dice.int(4)
    const expected = await world.scan(query)
    const found = await world.rows(query, pageSize)
    if (JSON.stringify(found) !== JSON.stringify(expected))
      wrong.push(`${query} (pages of ${pageSize}): ${found.length} rows for ${expected.length}`)
  }
  return wrong
}

t.test('random writes: index and scan agree', async (t) => {
  const seed = testSeed()
  for (let round = 0; round < 2; round++) {
    const dice = createDice(seed + round)
    const clock = createSimulatedClock()
    const disk = openSimulatedDisk()
    let world = await openIndexWorld(disk, clock)
    for (const statement of SCHEMA) await world.run(statement)
    // Some indexes are there from the start, the others are built on what is there.
    const early = INDEXES.filter(() => dice.chance(0.5))
    for (const statement of early) await world.run(statement)
    for (let step = 0; step < 60; step++) {
      if (step === 30) for (const statement of INDEXES) if (!early.includes(statement)) await world.run(statement)
      const roll = dice.int(25)
      if (roll === 0) await settled(clock, world.store.flush())
      else if (roll === 1) clock.skew(dice.int(100_000) * 1000)
      else if (roll === 2) {
        await world.close()
        // Later than before: ids are made of the time.
        clock.skew(1_000_000)
        world = await openIndexWorld(disk, clock)
      } else if (roll === 3 && dice.chance(0.2)) await world.run(`TRUNCATE ${TABLE}`)
      else await world.runAll(Array.from({ length: 6 }, () => randomStatement(dice)))
      if (step === 45) {
        await settled(clock, world.indexes.settle())
        t.same(await differences(world, dice), [], `TEST_SEED=${seed} round ${round} step ${step}`)
      }
    }
    await settled(clock, world.indexes.settle())
    t.same(await differences(world, dice), [], `TEST_SEED=${seed} round ${round}`)
    // The first look removed what was stale; nothing else may be gone.
    await settled(clock, world.indexes.settle())
    clock.skew(10_000_000_000)
    t.same(await differences(world, dice), [], `TEST_SEED=${seed} round ${round}, later`)
    await settled(clock, world.indexes.settle())
    t.same(await differences(world, dice), [], `TEST_SEED=${seed} round ${round}, at last`)
    await world.close()
  }
})

t.test('power loss: index and scan agree afterwards', async (t) => {
  const seed = testSeed()
  const dice = createDice(seed)
  const { disks, wrong } = await losePower({
    seed,
    share: 0.01,
    async prepare(world) {
      for (const statement of SCHEMA) await world.run(statement)
      await world.runAll(Array.from({ length: 20 }, () => randomStatement(dice)))
    },
    async run(world, clock) {
      for (let step = 0; step < 60; step++) {
        if (step < INDEXES.length) await world.run(INDEXES[step]!)
        if (step % 15 === 14) await settled(clock, world.store.flush())
        if (step === 40) await world.run(`TRUNCATE ${TABLE}`)
        await world.runAll([randomStatement(dice), randomStatement(dice)])
      }
    },
    async look(world, clock) {
      await settled(clock, world.indexes.settle())
      for (const statement of INDEXES) await world.run(statement).catch(() => undefined)
      await settled(clock, world.indexes.settle())
      return await differences(world, dice)
    },
  })
  t.same(wrong, [])
  t.ok(disks > 4, `${disks} disks`)
})
