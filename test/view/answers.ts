/** A view has what a scan of its base table gives, whatever was written, removed, flushed or closed before; and after a power loss. */
import t from 'tap'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { openSimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { randomStatement, SCHEMA, TABLE } from '../support/index-script.ts'
import { type IndexWorld, losePower, openIndexWorld } from '../support/index-world.ts'
import { settled } from '../support/power-loss.ts'
import { createDice, type Dice, testSeed } from '../support/random.ts'
import { createStatement, shown, VIEWS, type View } from '../support/view-script.ts'

/** Views that differ from what a scan gives. */
async function differences(world: IndexWorld, made: readonly View[]): Promise<string[]> {
  const wrong: string[] = []
  for (const view of made) {
    const { name, columns } = view
    const expected = await shown(world, view)
    const found = (await world.rows(`SELECT ${columns} FROM k.${name}`)).sort()
    if (JSON.stringify(found) !== JSON.stringify(expected))
      wrong.push(`${name}: ${found.length} rows for ${expected.length}`)
  }
  return wrong
}

async function randomWork(world: IndexWorld, dice: Dice): Promise<void> {
  const roll = dice.int(12)
  if (roll === 0) {
    const at = `a = ${dice.int(2)} AND b = ${dice.int(3)} AND c = ${dice.int(3)} AND d = 'p'`
    await world.run(`UPDATE ${TABLE} SET v = ${dice.int(4)}, w = 'beta' WHERE ${at} IF v = ${dice.int(4)}`)
  } else if (roll === 1) {
    // At once, and on few partitions.
    await Promise.all(Array.from({ length: 5 }, () => world.run(randomStatement(dice))))
  } else await world.run(randomStatement(dice))
}

t.test('random writes: view and scan agree', async (t) => {
  const seed = testSeed()
  for (let round = 0; round < 2; round++) {
    const dice = createDice(seed + round)
    const clock = createSimulatedClock()
    const disk = openSimulatedDisk()
    let world = await openIndexWorld(disk, clock)
    for (const statement of SCHEMA) await world.run(statement)
    await world.run(`CREATE INDEX ON ${TABLE} (x)`)
    // Some views are there from the start, the others are built on what is there.
    const made = VIEWS.filter(() => dice.chance(0.5))
    for (const view of made) await world.run(createStatement(view))
    for (let step = 0; step < 100; step++) {
      if (step === 50)
        for (const view of VIEWS)
          if (!made.includes(view)) {
            made.push(view)
            await world.run(createStatement(view))
          }
      const roll = dice.int(60)
      if (roll === 0) await settled(clock, world.store.flush())
      else if (roll === 1) await clock.advance(dice.int(100_000))
      else if (roll === 2) {
        await world.close()
        world = await openIndexWorld(disk, clock)
      } else if (roll === 3 && dice.chance(0.3)) await world.run(`TRUNCATE ${TABLE}`)
      else await randomWork(world, dice)
      if (step % 25 === 24) {
        await settled(clock, world.views.settle())
        t.same(await differences(world, made), [], `TEST_SEED=${seed} round ${round} step ${step}`)
      }
    }
    await settled(clock, world.views.settle())
    t.same(await differences(world, made), [], `TEST_SEED=${seed} round ${round}`)
    await clock.advance(50_000)
    t.same(await differences(world, made), [], `TEST_SEED=${seed} round ${round}, later`)
    await clock.advance(10_000_000)
    t.same(await differences(world, made), [], `TEST_SEED=${seed} round ${round}, at last`)
    await world.close()
  }
})

t.test('power loss: view and scan agree afterwards', async (t) => {
  const seed = testSeed()
  const dice = createDice(seed)
  const { disks, wrong } = await losePower({
    seed,
    share: 0.02,
    async prepare(world) {
      for (const statement of SCHEMA) await world.run(statement)
      for (let i = 0; i < 20; i++) await world.run(randomStatement(dice))
    },
    async run(world, clock) {
      for (let step = 0; step < 60; step++) {
        if (step < VIEWS.length) await world.run(createStatement(VIEWS[step]!))
        if (step % 15 === 14) await settled(clock, world.store.flush())
        if (step === 40) await world.run(`TRUNCATE ${TABLE}`)
        await world.run(randomStatement(dice))
      }
    },
    async look(world, clock) {
      await settled(clock, world.views.settle())
      for (const view of VIEWS) await world.run(createStatement(view)).catch(() => undefined)
      await settled(clock, world.views.settle())
      return await differences(world, VIEWS)
    },
  })
  t.same(wrong, [])
  t.ok(disks > 4, `${disks} disks`)
})
