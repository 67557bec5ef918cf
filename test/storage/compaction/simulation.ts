/** What holds for every strategy, whatever is flushed and in whatever order its tasks end. The long form, with figures: npm run strategies. */
import t from 'tap'
import { DEFAULT_SIZE_TIERED, DEFAULT_TABLE_OPTIONS, type StrategyOptions } from '../../../storage/table-options.ts'
import { loadOf, STRATEGIES } from '../../support/compaction-loads.ts'
import { CompactionSimulation, type Load } from '../../support/compaction-simulation.ts'
import { createDice, forAll } from '../../support/random.ts'

const KIB = 1024
/** More than the deepest levels take that grow twofold, one SSTable at a time. */
const TASKS_MAX = 20_000

for (const kind of Object.keys(STRATEGIES) as StrategyOptions['kind'][])
  t.test(`${kind}: tasks take what is live and idle, lose nothing, and come to a rest`, async (t) => {
    forAll(12, (dice) => {
      const load = loadOf(STRATEGIES[kind](dice), dice)
      const simulation = new CompactionSimulation(load, dice)
      for (let i = 0; i < 100; i++) {
        simulation.flush()
        simulation.work(dice.int(3))
      }
      simulation.settle(TASKS_MAX)
      simulation.check()
    })
    t.pass('all runs')
  })

t.test('any strategy may follow any other', async (t) => {
  const kinds = Object.values(STRATEGIES)
  forAll(12, (dice) => {
    const options = () => loadOf(dice.pick(kinds)(dice), dice).options
    const first = STRATEGIES['size-tiered'](dice)
    const load = { ...loadOf(first, dice), ttlS: 0 }
    const simulation = new CompactionSimulation(load, dice)
    for (let i = 0; i < 100; i++) {
      if (dice.chance(0.05)) simulation.alter(options())
      simulation.flush()
      simulation.work(dice.int(3))
    }
    simulation.settle(TASKS_MAX)
    simulation.check()
  })
  t.pass('all runs')
})

function run(strategy: StrategyOptions, others: Partial<Load>, flushes: number): CompactionSimulation {
  const dice = createDice(1)
  const load: Load = {
    ...loadOf(strategy, dice),
    options: {
      ...DEFAULT_TABLE_OPTIONS,
      compaction: { ...DEFAULT_TABLE_OPTIONS.compaction, strategy },
    },
    keys: 10_000,
    inOrder: false,
    flushKeys: [100, 101],
    flushEveryS: 60,
    ttlS: 0,
    tasksAtOnce: 2,
    ...others,
  }
  const simulation = new CompactionSimulation(load, dice)
  for (let i = 0; i < flushes; i++) {
    simulation.flush()
    simulation.work(5)
  }
  simulation.settle(1000)
  return simulation
}

t.test('SSTables do not add up', async (t) => {
  const tiered: StrategyOptions = { kind: 'size-tiered', ...DEFAULT_SIZE_TIERED, minSSTableBytes: 0 }
  t.ok(run(tiered, {}, 400).figures().tables <= 4 * 5, 'size-tiered: fewer than four in each tier')
  const leveled = {
    kind: 'leveled' as const,
    leveled: { sstableBytes: 400 * KIB, fanout: 10, singleUplevel: true },
    sizeTiered: DEFAULT_SIZE_TIERED,
  }
  const levels = run(leveled, {}, 400)
  t.ok(levels.figures().readAmplificationMost <= 3, 'leveled: a key in one SSTable of a level')
  t.ok(levels.figures().tables <= 45, 'about 25 SSTables of data, and level 0')
  const windows = {
    kind: 'time-window' as const,
    window: { windowMs: 3_600_000, timestampUnitMicros: 1, expiredCheckMs: 60_000 },
    sizeTiered: DEFAULT_SIZE_TIERED,
  }
  const expiring = run(windows, { ttlS: 36_000, options: withGrace(windows) }, 1200)
  t.ok(expiring.figures().tables <= 10 + 1 + 4, 'time-window: one SSTable for each hour that is not over')
  const fifo: StrategyOptions = {
    kind: 'fifo',
    tableBytesMax: 3000 * KIB,
    sstableBytes: 400 * KIB,
    minThreshold: 4,
    maxThreshold: 32,
    expiredCheckMs: 60_000,
  }
  const bounded = run(fifo, {}, 400)
  t.ok(bounded.tables.reduce((sum, table) => sum + table.fileBytes, 0) <= 3000 * KIB, 'FIFO: the bound of size')
  t.ok(bounded.figures().tables <= 3000 / 400 + 4, 'and of files')
})

function withGrace(strategy: StrategyOptions) {
  return {
    ...DEFAULT_TABLE_OPTIONS,
    gcGraceSeconds: 0,
    compaction: { ...DEFAULT_TABLE_OPTIONS.compaction, strategy },
  }
}
