/**
 * `npm run strategies`: what each compaction strategy costs, on simulated tables: bytes written for each byte flushed, SSTables that hold a key, bytes
 * kept for each byte that counts; and many random loads, each of which must lose nothing and come to a rest.
 *
 *     npm run strategies -- [--flushes 2000] [--runs 2000] [--seed N]
 */
import { DEFAULT_SIZE_TIERED, DEFAULT_TABLE_OPTIONS, type StrategyOptions } from '../../storage/table-options.ts'
import { readOptions, seedOr } from '../../tools/support/options.ts'
import { randomLoad } from '../support/compaction-loads.ts'
import { CompactionSimulation, type Load } from '../support/compaction-simulation.ts'
import { createDice } from '../support/random.ts'

const flags = readOptions(
  'npm run strategies',
  'what each compaction strategy writes, reads and keeps, on simulated tables',
  {
    flushes: { type: 'number', default: 2000, describe: 'Of the measured load' },
    runs: { type: 'number', default: 2000, describe: 'Random loads, each of which must lose nothing' },
    seed: { type: 'number', describe: 'Replays a run' },
  },
)
const seed = seedOr(flags.seed)
const KIB = 1024
const TASKS_MOST = 10_000
const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const sizeTiered = { ...DEFAULT_SIZE_TIERED, minSSTableBytes: 0 }
const leveled = { sstableBytes: 400 * KIB, fanout: 10, singleUplevel: true }
const STRATEGIES: readonly [string, StrategyOptions][] = [
  ['size-tiered', { kind: 'size-tiered', ...sizeTiered }],
  ['leveled, fanout 10', { kind: 'leveled', leveled, sizeTiered }],
  ['leveled, fanout 4', { kind: 'leveled', leveled: { ...leveled, fanout: 4 }, sizeTiered }],
  [
    'time-window, an hour',
    {
      kind: 'time-window',
      window: { windowMs: 3_600_000, timestampUnitMicros: 1, expiredCheckMs: 60_000 },
      sizeTiered,
    },
  ],
  [
    'FIFO',
    {
      kind: 'fifo',
      tableBytesMax: null,
      sstableBytes: 400 * KIB,
      minThreshold: 4,
      maxThreshold: 32,
      expiredCheckMs: 60_000,
    },
  ],
]
const BASE: Omit<Load, 'options'> = {
  keys: 20_000,
  inOrder: false,
  rowBytes: KIB,
  flushKeys: [100, 101],
  flushEveryS: 60,
  ttlS: 0,
  tasksAtOnce: 2,
}
const LOADS: readonly [string, Partial<Load>][] = [
  ['overwrites of 20 000 keys, by chance', {}],
  ['every key written once, in order', { keys: 1_000_000, inOrder: true }],
  ['rows that live six hours, in order', { keys: 1_000_000, inOrder: true, ttlS: 21_600 }],
]

function column(value: string | number, width: number): string {
  return (typeof value === 'number' ? value.toFixed(Number.isInteger(value) ? 0 : 2) : value).padStart(width)
}

print(`seed ${seed}, ${flags.flushes} flushes of 100 rows`)
for (const [name, load] of LOADS) {
  print(`\n${name}`)
  print(`${'strategy'.padEnd(22)}  written  read avg  read max   space  SSTables    most  pending   tasks`)
  for (const [strategyName, strategy] of STRATEGIES) {
    const gcGraceSeconds = load.ttlS ? 0 : DEFAULT_TABLE_OPTIONS.gcGraceSeconds
    const compaction = { ...DEFAULT_TABLE_OPTIONS.compaction, strategy }
    const options = { ...DEFAULT_TABLE_OPTIONS, gcGraceSeconds, compaction }
    const simulation = new CompactionSimulation({ ...BASE, ...load, options }, createDice(seed))
    for (let i = 0; i < flags.flushes; i++) {
      simulation.flush()
      simulation.work(4)
    }
    simulation.settle(TASKS_MOST)
    simulation.check()
    const figures = simulation.figures()
    print(
      strategyName.padEnd(22) +
        column(figures.writeAmplification, 9) +
        column(figures.readAmplification, 10) +
        column(figures.readAmplificationMost, 10) +
        column(figures.spaceAmplification, 8) +
        column(figures.tables, 10) +
        column(figures.tablesMost, 8) +
        column(figures.pendingMost, 9) +
        column(figures.tasks, 8),
    )
  }
}

const runs = flags.runs
let failed = 0
for (let run = 0; run < runs; run++) {
  const dice = createDice(seed + run)
  try {
    const simulation = new CompactionSimulation(randomLoad(dice), dice)
    for (let i = 0; i < 200; i++) {
      simulation.flush()
      simulation.work(dice.int(3))
    }
    simulation.settle(TASKS_MOST)
    simulation.check()
  } catch (error) {
    failed++
    print(`seed ${seed + run}: ${(error as Error).message}`)
  }
}
print(`\n${runs - failed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
