/** Options and loads of tables by chance. */
import { DEFAULT_SIZE_TIERED, DEFAULT_TABLE_OPTIONS, type StrategyOptions } from '../../storage/table-options.ts'
import type { Load } from './compaction-simulation.ts'
import type { Dice } from './random.ts'

const KIB = 1024
const DAY_S = 86_400

function sizeTiered(dice: Dice) {
  const minThreshold = 2 + dice.int(4)
  return {
    ...DEFAULT_SIZE_TIERED,
    minThreshold,
    maxThreshold: minThreshold + dice.int(30),
    minSSTableBytes: dice.int(3) * 100 * KIB,
  }
}

/** Of each kind, options by chance. */
export const STRATEGIES: Readonly<Record<StrategyOptions['kind'], (dice: Dice) => StrategyOptions>> = {
  'size-tiered': (dice) => ({ kind: 'size-tiered', ...sizeTiered(dice) }),
  leveled: (dice) => ({
    kind: 'leveled',
    leveled: { sstableBytes: (10 + dice.int(100)) * KIB, fanout: 2 + dice.int(9), singleUplevel: dice.chance(0.7) },
    sizeTiered: sizeTiered(dice),
  }),
  'time-window': (dice) => ({
    kind: 'time-window',
    window: { windowMs: (1 + dice.int(24)) * 3_600_000, timestampUnitMicros: 1, expiredCheckMs: dice.int(2) * 600_000 },
    sizeTiered: sizeTiered(dice),
  }),
  fifo: (dice) => ({
    kind: 'fifo',
    tableBytesMax: dice.chance(0.5) ? 2000 * KIB : null,
    sstableBytes: dice.int(3) * 100 * KIB,
    minThreshold: 4,
    maxThreshold: 32,
    expiredCheckMs: 60_000,
  }),
}

export function loadOf(strategy: StrategyOptions, dice: Dice): Load {
  return {
    options: {
      ...DEFAULT_TABLE_OPTIONS,
      gcGraceSeconds: dice.pick([0, 3600, 864_000]),
      compaction: {
        ...DEFAULT_TABLE_OPTIONS.compaction,
        strategy,
        tombstoneCompactionIntervalS: dice.pick([0, DAY_S]),
      },
    },
    keys: dice.pick([50, 500, 5000]),
    inOrder: dice.chance(0.3),
    rowBytes: KIB,
    flushKeys: dice.pick([
      [1, 20],
      [50, 60],
      [10, 300],
    ]),
    flushEveryS: dice.pick([60, 3600]),
    ttlS: dice.pick([0, 0, 7200, 3 * DAY_S]),
    tasksAtOnce: 1 + dice.int(3),
  }
}

export function randomLoad(dice: Dice): Load {
  return loadOf(dice.pick(Object.values(STRATEGIES))(dice), dice)
}
