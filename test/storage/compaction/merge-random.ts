/** Compactions of random SSTables, in any subset and order: a read gives after each what it gave before, and what the slow model says. */
import t, { type Test } from 'tap'
import { openSimulatedDisk } from '../../../lib/runtime/simulated/disk.ts'
import type { TableReader } from '../../../storage/sstable/reader.ts'
import { leastTimestamp, makeMemtable, makeTable, merge, view } from '../../support/compaction.ts'
import { createDice, type Dice, testSeeds } from '../../support/random.ts'
import { type Model, type ModelWrite, modelView, NOW, randomWrite, record } from '../../support/storage-model.ts'

const RUNS = 60

function someWrites(dice: Dice): ModelWrite[] {
  return Array.from({ length: 1 + dice.int(25) }, () => randomWrite(dice))
}

async function compactAtRandom(t: Test, dice: Dice): Promise<void> {
  const disk = openSimulatedDisk()
  const model: Model = new Map()
  let tables: TableReader[] = []
  for (let i = 1 + dice.int(5); i >= 0; i--) {
    const writes = someWrites(dice)
    const table = await makeTable(disk, `/source${i}.sst`, writes)
    if (!table) continue
    tables.push(table)
    for (const write of writes) record(model, write)
  }
  const inMemory = dice.chance(0.5) ? someWrites(dice) : []
  const memtable = makeMemtable(inMemory)
  for (const write of inMemory) record(model, write)
  const expected = modelView(model, NOW)
  t.same(await view([memtable, ...tables]), expected, 'before')
  for (let round = 0; round < 4 && tables.length > 0; round++) {
    const inputs = tables.filter(() => dice.chance(0.6))
    if (inputs.length === 0) continue
    const others = tables.filter((table) => !inputs.includes(table))
    const { outputs } = await merge({
      disk,
      inputs,
      shadows: dice.chance(0.3) ? others : [],
      outsiders: others,
      floor: leastTimestamp(inMemory),
      gcGraceSeconds: dice.pick([0, 1, 10, 1_000_000]),
      outputBytesMax: dice.chance(0.5) ? [Infinity] : [400],
      rangeBytesMax: dice.chance(0.5) ? 0 : 1_000_000,
      name: `/merged${round}`,
    })
    for (const output of outputs) await output.verify()
    tables = [...others, ...outputs]
    t.same(await view([memtable, ...tables]), expected, `after round ${round}`)
  }
}

t.test('reading before is reading after', async (t) => {
  for (const seed of testSeeds(RUNS)) {
    await t.test(`TEST_SEED=${seed}`, (t) => compactAtRandom(t, createDice(seed)))
    if (!t.passing()) return
  }
})
