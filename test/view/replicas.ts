/**
 * Replicas of a table hear of its writes in any order, some twice, and tell of its views what they think; what they tell comes in any order, too, and some
 * of it twice. When all have heard of all, the views show what the table does.
 */
import t from 'tap'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { openSimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { randomStatement, SCHEMA } from '../support/index-script.ts'
import { type IndexWorld, openIndexWorld } from '../support/index-world.ts'
import { settled } from '../support/power-loss.ts'
import { createDice, type Dice, testSeed } from '../support/random.ts'
import { createStatement, shown, VIEWS } from '../support/view-script.ts'

const REPLICAS = 3
const STATEMENTS = 30
const AT_ONCE = 6
const ID_BYTES = 16

/** Such that every replica makes the same of them: none with a time or an id of its own. */
function statements(dice: Dice): string[] {
  const made: string[] = []
  while (made.length < STATEMENTS) {
    const statement = randomStatement(dice)
    if (/USING TIMESTAMP/.test(statement) && !/ l = /.test(statement)) made.push(statement)
  }
  return made
}

function shuffled<T>(dice: Dice, items: readonly T[]): T[] {
  const left = [...items]
  return items.map(() => left.splice(dice.int(left.length), 1)[0]!)
}

const idsOf = (world: IndexWorld): Map<string, string> =>
  new Map([...world.schema().keyspaces.get('k')!.tables.values()].map(({ id, name }) => [id.replaceAll('-', ''), name]))

t.test('whatever replicas of the table tell, and in whatever order, views show what it does', async (t) => {
  const seed = testSeed()
  for (let round = 0; round < 2; round++) {
    const dice = createDice(seed + round)
    const clock = createSimulatedClock()
    const told: Buffer[] = []
    const places = {
      place: (_keyspace: string, _position: Buffer, mutations: readonly Buffer[]) => {
        told.push(...mutations)
        return { here: [], send: null }
      },
    }
    const replicas: IndexWorld[] = []
    for (let i = 0; i < REPLICAS; i++) replicas.push(await openIndexWorld(openSimulatedDisk(), clock, { places }))
    const holder = await openIndexWorld(openSimulatedDisk(), clock)
    for (const world of [...replicas, holder])
      for (const statement of [...SCHEMA, ...VIEWS.map(createStatement)]) await world.run(statement)
    const names = new Map(replicas.flatMap((world) => [...idsOf(world)]))
    const ids = new Map(Array.from(idsOf(holder), ([id, name]) => [name, id]))
    const writes = statements(dice)
    for (const world of replicas) {
      const heard = shuffled(dice, [...writes, ...writes.filter(() => dice.chance(0.2))])
      while (heard.length > 0) await world.runAll(heard.splice(0, 1 + dice.int(AT_ONCE)))
    }
    const come = shuffled(dice, [...told, ...told.filter(() => dice.chance(0.2))])
    const brought = come.map((mutation) => {
      const name = names.get(mutation.toString('hex', 0, ID_BYTES))!
      return Buffer.concat([Buffer.from(ids.get(name)!, 'hex'), mutation.subarray(ID_BYTES)])
    })
    await settled(clock, Promise.all(brought.map((mutation) => holder.store.apply([mutation]))))
    for (const later of [0, 100, 200]) {
      await clock.advance(later * 1000)
      for (const view of VIEWS) {
        const found = (await holder.rows(`SELECT ${view.columns} FROM k.${view.name}`)).sort()
        t.same(found, await shown(replicas[0]!, view), `TEST_SEED=${seed + round} ${view.name} ${later} s later`)
      }
    }
    for (const world of [...replicas, holder]) await world.close()
  }
})
