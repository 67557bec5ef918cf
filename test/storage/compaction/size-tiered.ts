/** SizeTieredCompactionStrategy, and what all strategies do about tombstones. */
import { strict as assert } from 'node:assert'
import t from 'tap'
import {
  chooseCompaction,
  compactionsBehind,
  majorCompactions,
  pendingCompactions,
} from '../../../storage/compaction/choose.ts'
import { OverlapIndex } from '../../../storage/compaction/overlap-index.ts'
import { buckets } from '../../../storage/compaction/size-tiered.ts'
import type { Snapshot, Task } from '../../../storage/compaction/strategy.ts'
import { overlaps } from '../../../storage/compaction/strategy.ts'
import { DEFAULT_SIZE_TIERED } from '../../../storage/table-options.ts'
import { forAll } from '../../support/random.ts'
import { MIB, NOW_MS, snapshot, sstable, type TableSpec } from '../../support/sstables.ts'

function numbers(task: Task): number[] {
  return task.kind === 'rest' ? [] : task.inputs.map((table) => table.number).sort((a, b) => a - b)
}

function sizes(...mib: number[]): TableSpec[] {
  return mib.map((size, number) => ({ number, mib: size }))
}

function choose(given: Snapshot): Task {
  return chooseCompaction(given).task
}

const tiers = (options: Partial<typeof DEFAULT_SIZE_TIERED>) => ({
  strategy: { kind: 'size-tiered' as const, ...DEFAULT_SIZE_TIERED, ...options },
})

t.test('buckets', async (t) => {
  const of = (mib: number[], options = {}) =>
    buckets(sizes(...mib).map(sstable), { ...DEFAULT_SIZE_TIERED, ...options }).map((bucket) =>
      bucket.map((table) => table.fileBytes / MIB),
    )
  t.same(of([]), [])
  t.same(of([100, 300, 120, 310]), [
    [100, 120],
    [300, 310],
  ])
  t.same(of([1, 10, 49]), [[1, 10, 49]], 'below min_sstable_size all are alike')
  t.same(of([1, 10, 49], { minSSTableBytes: 0 }), [[1], [10], [49]])
  t.same(of([100, 150]), [[100], [150]], 'the bound is not within')
  t.same(of([100, 149]), [[100, 149]])
  t.same(of([100, 149, 186]), [[100, 149, 186]], 'the average moves with the bucket')
  t.same(of([100, 250], { bucketHigh: 3 }), [[100, 250]])
})

t.test('what is merged', async (t) => {
  const cases: [string, Parameters<typeof snapshot>, number[]][] = [
    ['nothing', [[]], []],
    ['three of a size', [sizes(100, 100, 100)], []],
    ['four of a size', [sizes(100, 100, 100, 100)], [0, 1, 2, 3]],
    ['four, but none alike', [sizes(100, 200, 400, 800)], []],
    ['the smaller bucket', [sizes(900, 900, 900, 900, 100, 100, 100, 100)], [4, 5, 6, 7]],
    ['not what is in a compaction', [[...sizes(100, 100, 100), { number: 9, isCompacting: true }]], []],
    ['two are enough', [sizes(100, 100, 300), tiers({ minThreshold: 2 })], [0, 1]],
    ['no more than max_threshold, the oldest', [sizes(9, 8, 7, 6, 5, 4), tiers({ maxThreshold: 4 })], [0, 1, 2, 3]],
    ['compaction is off', [sizes(100, 100, 100, 100), { enabled: false }], []],
  ]
  for (const [name, given, expected] of cases) t.same(numbers(choose(snapshot(...given))), expected, name)
  t.match(choose(snapshot(sizes(1, 1, 1, 1))), { kind: 'merge', level: 0, outputBytesMax: Infinity, why: 'compaction' })
})

t.test('pending and major compactions', async (t) => {
  t.equal(pendingCompactions(snapshot(sizes(100, 100, 100))), 0)
  t.equal(pendingCompactions(snapshot(sizes(100, 100, 100, 100, 900, 900, 900, 900))), 2)
  t.equal(pendingCompactions(snapshot(sizes(...Array.from({ length: 65 }, () => 100)))), 3)
  t.equal(pendingCompactions(snapshot(sizes(100, 100, 100, 100), { enabled: false })), 0)
  t.equal(compactionsBehind(snapshot(sizes(...Array.from({ length: 65 }, () => 100)))), 3)
  const [task, ...others] = majorCompactions(snapshot([...sizes(100, 900), { number: 7, isCompacting: true }]))
  t.same(numbers(task!), [0, 1])
  t.same(others, [])
  t.same(majorCompactions(snapshot([])), [])
})

const DAY_S = 86_400
const OLD_S = NOW_MS / 1000 - 11 * DAY_S

t.test('single SSTables are rewritten for their tombstones', async (t) => {
  const worth = { number: 1, droppable: 0.5 }
  const cases: [string, Parameters<typeof snapshot>, number[]][] = [
    ['half of it is droppable', [[worth]], [1]],
    ['not enough of it is', [[{ number: 1, droppable: 0.2 }]], []],
    ['enough by the option', [[{ number: 1, droppable: 0.2 }], { tombstoneThreshold: 0.1 }], [1]],
    ['it is too young', [[{ ...worth, madeAtMs: NOW_MS - (DAY_S - 1) * 1000 }]], []],
    ['it is old enough', [[{ ...worth, madeAtMs: NOW_MS - DAY_S * 1000 }]], [1]],
    ['never at once again', [[{ ...worth, madeAtMs: NOW_MS }], { tombstoneCompactionIntervalS: 0 }], []],
    ['it was not repaired', [[worth], { onlyPurgeRepairedTombstones: true }], []],
    ['it was repaired', [[{ ...worth, repairedAtMs: 1 }], { onlyPurgeRepairedTombstones: true }], [1]],
    ['older data lies all over it', [[worth, { number: 0, mib: 900 }]], []],
    ['older data that is damaged', [[worth], {}, { outside: [sstable({ number: 0 })] }], []],
    ['unchecked', [[worth, { number: 0, mib: 900 }], { uncheckedTombstoneCompaction: true }], [1]],
    ['what overlaps is newer', [[worth, { number: 2, mib: 900 }]], [1]],
    ['older data over a third of it', [[worth, { number: 0, mib: 900, range: [0, 333] }]], [1]],
    ['older data over two thirds of it', [[worth, { number: 0, mib: 900, range: [0, 667] }]], []],
    [
      'the largest first',
      [[worth, { number: 2, droppable: 1, mib: 200 }], { uncheckedTombstoneCompaction: true }],
      [2],
    ],
    ['only when nothing else is to do', [[{ ...worth, mib: 900 }, ...sizes(9, 9, 9, 9)]], [0, 1, 2, 3]],
    ['not in a compaction', [[{ ...worth, isCompacting: true }]], []],
    ['switched off', [[worth], { tombstoneCompaction: false }], []],
  ]
  for (const [name, given, expected] of cases) t.same(numbers(choose(snapshot(...given))), expected, name)
  t.match(choose(snapshot([worth])), { kind: 'merge', level: 0, why: 'tombstones' })
})

t.test('what expired whole is dropped, unless it may cover something', async (t) => {
  const expired = { number: 5, lastDropSeconds: OLD_S }
  const cases: [string, Parameters<typeof snapshot>, number[]][] = [
    ['alone', [[expired]], [5]],
    ['gc_grace is not over', [[{ ...expired, lastDropSeconds: OLD_S + 2 * DAY_S }]], []],
    [
      'a shorter gc_grace is',
      [[{ ...expired, lastDropSeconds: OLD_S + 2 * DAY_S }], {}, { table: { gcGraceSeconds: 60 } }],
      [5],
    ],
    ['beside newer data', [[expired, { number: 6 }]], [5]],
    ['over older data', [[expired, { number: 4 }]], []],
    ['over data of its own time', [[expired, { number: 6, timestamps: [5, 9] }]], []],
    [
      'beside older data',
      [
        [
          { ...expired, range: [0, 10] },
          { number: 4, range: [11, 20] },
        ],
      ],
      [5],
    ],
    ['over older data that expired too', [[expired, { number: 4, lastDropSeconds: OLD_S - 1 }]], [4, 5]],
    ['over older data in memory', [[expired], {}, { memtableMinTimestamp: 5n }], []],
    ['beside newer data in memory', [[expired], {}, { memtableMinTimestamp: 6n }], [5]],
    ['over older data that is being compacted', [[expired, { number: 4, isCompacting: true }]], []],
    ['over older data that is damaged', [[expired], {}, { outside: [sstable({ number: 4 })] }], []],
    ['not repaired', [[expired], { onlyPurgeRepairedTombstones: true }], []],
  ]
  for (const [name, given, expected] of cases) t.same(numbers(choose(snapshot(...given))), expected, name)
  t.match(choose(snapshot([expired])), { kind: 'drop', why: 'expired' })
})

t.test('a table to which nothing happens is looked at again when time may change something', async (t) => {
  const again = (table: Partial<TableSpec>) => choose(snapshot([{ number: 1, ...table }]))
  t.same(again({}), { kind: 'rest', againInMs: null })
  t.same(again({ isDroppableLater: true }), { kind: 'rest', againInMs: 60_000 })
  t.same(again({ droppable: 0.5, madeAtMs: NOW_MS }), { kind: 'rest', againInMs: 60_000 })
  t.same(again({ droppable: 0.1 }), { kind: 'rest', againInMs: null })
})

t.test('the index finds what overlaps, and nothing else', async (t) => {
  forAll(200, (dice) => {
    const tables = Array.from({ length: dice.int(30) }, (_, number) => {
      const from = dice.int(1000)
      return sstable({ number, range: [from, Math.min(1000, from + dice.int(dice.pick([1, 50, 1000])))] })
    })
    const index = new OverlapIndex(tables)
    const asked = sstable({ number: 99, range: [dice.int(500), 500 + dice.int(500)] })
    const found: number[] = []
    index.some(asked, ({ number }) => {
      found.push(number)
      return false
    })
    const expected = tables.filter((table) => overlaps(table, asked)).map(({ number }) => number)
    assert.deepEqual(
      found.sort((a, b) => a - b),
      expected,
    )
    assert.equal(
      index.some(asked, ({ number }) => number % 3 === 0),
      expected.some((number) => number % 3 === 0),
    )
  })
  t.pass('all runs')
})
