/** LeveledCompactionStrategy: what is merged, in which order, and where to. SSTables are of 100 MiB here, levels of 10, 100, … of them. */
import t from 'tap'
import {
  chooseCompaction,
  compactionsBehind,
  majorCompactions,
  pendingCompactions,
} from '../../../storage/compaction/choose.ts'
import { levelsOf } from '../../../storage/compaction/leveled.ts'
import { NO_MEMORY, type Snapshot, type Task } from '../../../storage/compaction/strategy.ts'
import { DEFAULT_SIZE_TIERED, type LeveledOptions } from '../../../storage/table-options.ts'
import { MIB, position, snapshot, sstable, type TableSpec } from '../../support/sstables.ts'

const BASE = { sstableBytes: 100 * MIB, fanout: 10, singleUplevel: true }

function leveled(tables: readonly TableSpec[], options: Partial<LeveledOptions> = {}, others: Partial<Snapshot> = {}) {
  const strategy = { kind: 'leveled' as const, leveled: { ...BASE, ...options }, sizeTiered: DEFAULT_SIZE_TIERED }
  return snapshot(tables, { strategy }, others)
}

/** `merge 1,2 → 1`: numbers in ascending order, the level. */
function text(task: Task): string {
  if (task.kind === 'rest') return 'rest'
  const numbers = task.inputs.map((table) => table.number).sort((a, b) => a - b)
  return `${task.kind} ${numbers.join()}${task.kind === 'drop' ? '' : ` → ${task.level}`}`
}

function choose(...given: Parameters<typeof leveled>): string {
  return text(chooseCompaction(leveled(...given)).task)
}

/** SSTables side by side over all tokens. */
function row(level: number, count: number, first: number, others: Partial<TableSpec> = {}): TableSpec[] {
  const width = 1000 / count
  return Array.from({ length: count }, (_, i) => ({
    number: first + i,
    level,
    range: [i * width, (i + 1) * width - 1] as const,
    ...others,
  }))
}

t.test('level 0', async (t) => {
  t.equal(choose([]), 'rest')
  t.equal(choose([{ number: 1, mib: 10 }]), 'rest', 'one small SSTable waits')
  t.equal(
    choose([
      { number: 1, mib: 10 },
      { number: 2, mib: 10 },
    ]),
    'merge 1,2 → 0',
    'small ones become one in level 0',
  )
  t.equal(
    choose([
      { number: 1, mib: 60 },
      { number: 2, mib: 60 },
    ]),
    'merge 1,2 → 1',
    'more than one SSTable goes to level 1',
  )
  t.equal(choose([{ number: 1, mib: 300 }]), 'merge 1 → 1', 'a large one is cut')
  t.equal(
    choose([{ number: 1, mib: 300 }, ...row(1, 4, 10)]),
    'merge 1,10,11,12,13 → 1',
    'with all of level 1 that it overlaps',
  )
  t.equal(
    choose([{ number: 1, mib: 300, range: [0, 400] }, ...row(1, 4, 10)]),
    'merge 1,10,11 → 1',
    'and with none that it does not',
  )
  t.equal(
    choose([{ number: 1, mib: 60, range: [0, 100] }, { number: 2, mib: 60, range: [900, 999] }, ...row(1, 4, 10)]),
    'merge 1,2,10,11,12,13 → 1',
    'what lies between the inputs goes along: the output may reach over it',
  )
  const many = Array.from({ length: 40 }, (_, i) => ({ number: i, mib: 10 }))
  t.equal(
    choose(many.slice(0, 32)),
    `merge ${many.slice(0, 32).map(({ number }) => number)} → 1`,
    'up to max_threshold',
  )
  t.match(choose(many.slice(0, 20)), /^merge 0,1,2.*19 → 1$/)
})

t.test('what is busy is left alone', async (t) => {
  const busy = (spec: TableSpec) => ({ ...spec, isCompacting: true })
  t.equal(choose([{ number: 1, mib: 300 }, busy({ number: 2, mib: 300 })]), 'rest')
  t.equal(
    choose([{ number: 1, mib: 300, range: [0, 100] }, busy({ number: 2, mib: 300, range: [200, 300] })]),
    'merge 1 → 1',
  )
  t.equal(
    choose([
      { number: 1, mib: 300, range: [150, 160] },
      busy({ number: 2, range: [100, 110] }),
      busy({ number: 3, range: [200, 210] }),
    ]),
    'rest',
    'what is being merged may reach over the gap',
  )
  t.equal(
    choose([
      { number: 1, mib: 300, range: [150, 160] },
      { number: 4, mib: 300, range: [300, 310] },
      busy({ number: 2, range: [100, 110] }),
      busy({ number: 3, range: [200, 210] }),
    ]),
    'merge 4 → 1',
    'but what lies elsewhere may go',
  )
  t.equal(
    choose([
      { number: 1, mib: 300, range: [0, 100] },
      { number: 2, mib: 300, range: [900, 999] },
      busy({ number: 3, range: [400, 500] }),
    ]),
    'rest',
    'and nothing that reaches over it',
  )
  t.equal(choose([{ number: 1, mib: 300 }, ...row(1, 4, 10).map(busy)]), 'rest', 'level 1 is busy')
  const full = row(1, 12, 10)
  t.equal(choose(full), 'move 10 → 2')
  t.equal(choose([busy(full[0]!), ...full.slice(1)]), 'move 11 → 2')
  t.equal(choose([busy(full[0]!), busy(full[1]!), ...full.slice(2)]), 'rest', 'what stays is not too much')
  t.equal(
    choose([...full, busy({ number: 50, level: 2, range: [0, 100] })]),
    'move 12 → 2',
    'not what overlaps busy ones',
  )
})

t.test('from level to level', async (t) => {
  t.equal(choose(row(1, 10, 10)), 'rest', 'a level may be full')
  t.equal(choose(row(1, 11, 10)), 'move 10 → 2', 'what overlaps nothing need not be rewritten')
  t.equal(choose(row(1, 11, 10), { singleUplevel: false }), 'merge 10 → 2')
  t.equal(choose([...row(1, 11, 10), ...row(2, 50, 100)]), 'merge 10,100,101,102,103,104 → 2')
  t.equal(choose([...row(1, 11, 10), ...row(2, 101, 100)]), 'move 100 → 3', 'the highest level first')
  t.equal(choose([...row(1, 3, 10), ...row(2, 9, 100)], { fanout: 2 }), 'move 100 → 3')
  t.equal(choose([{ number: 1, mib: 300 }, ...row(1, 11, 10)]), 'move 10 → 2', 'higher levels before level 0')
  t.match(chooseCompaction(leveled([...row(1, 11, 10), ...row(2, 50, 100)])).task, {
    outputBytesMax: 100 * MIB,
    why: 'compaction',
  })
})

t.test('round-robin', async (t) => {
  let given = leveled([...row(1, 13, 10), ...row(2, 13, 100)])
  const order: string[] = []
  for (let i = 0; i < 14; i++) {
    const { task, memory } = chooseCompaction(given)
    order.push(text(task))
    given = { ...given, memory }
  }
  t.same(
    order,
    Array.from({ length: 14 }, (_, i) => `merge ${10 + (i % 13)},${100 + (i % 13)} → 2`),
  )
  const memory = { ...NO_MEMORY, lastPositions: [null, position(500)] }
  t.equal(choose(row(1, 12, 10), {}, { memory }), 'move 17 → 2', 'the place counts, not the SSTable')
})

t.test('a level that gets nothing is drawn in', async (t) => {
  const tables = [...row(1, 11, 10), ...row(2, 11, 100), { number: 500, level: 3, range: [20, 30] as const }]
  const roundsWithout = [0, 0, 0, 25]
  t.equal(choose(tables, {}, { memory: { ...NO_MEMORY, roundsWithout } }), 'merge 10,100 → 2')
  roundsWithout[3] = 26
  t.equal(choose(tables, {}, { memory: { ...NO_MEMORY, roundsWithout } }), 'merge 10,100,500 → 2')
  const outside = [...tables.slice(0, -1), { number: 500, level: 3, range: [20, 300] as const }]
  t.equal(
    choose(outside, {}, { memory: { ...NO_MEMORY, roundsWithout } }),
    'merge 10,100 → 2',
    'not what reaches further',
  )
  let given = leveled(tables)
  for (let i = 0; i < 26; i++) given = { ...given, memory: chooseCompaction(given).memory }
  t.same(given.memory.roundsWithout.slice(0, 4), [26, 26, 0, 26])
})

t.test('level 0 is behind', async (t) => {
  const many = Array.from({ length: 33 }, (_, i) => ({ number: 1000 + i, mib: 100 }))
  t.match(
    choose([...many, ...row(1, 11, 10)]),
    /^merge 1000,1001.*1031 → 0$/,
    'it is merged within itself before a full level',
  )
  t.match(choose([...many.slice(1), ...row(1, 11, 10)]), 'move 10 → 2', '32 are not many')
  t.match(choose([...many, ...row(1, 4, 10)]), /^merge 10,11,12,13,1000.* → 1$/, 'not where no level is full')
  const odd = many.map((table, i) => ({ ...table, mib: 100 * 2 ** i }))
  t.match(choose([...odd, ...row(1, 11, 10)]), 'move 10 → 2', 'sizes must be alike')
})

t.test('levels that overlap themselves', async (t) => {
  const tables = [
    { number: 1, level: 1, range: [0, 100] as const },
    { number: 2, level: 1, range: [50, 150] as const },
    { number: 3, level: 1, range: [120, 200] as const },
    { number: 4, level: 20, range: [0, 1] as const },
  ]
  const levels = levelsOf(tables.map(sstable)).map((level) => level.map((table) => table.number))
  t.same(levels, [[2], [1, 3], [], [], [], [], [], [], [4]])
})

t.test('tombstones: the highest level first, and within its level', async (t) => {
  const worth = { droppable: 0.9 }
  const tables = [...row(1, 2, 10, worth), ...row(2, 2, 20, worth), { ...row(2, 4, 30)[3]!, droppable: 1, number: 33 }]
  t.equal(choose(tables.slice(0, 2)), 'merge 10 → 1')
  t.match(chooseCompaction(leveled(tables.slice(0, 2))).task, { why: 'tombstones', outputBytesMax: 100 * MIB })
  const disjoint = [
    { ...row(2, 4, 30)[0]!, droppable: 0.5 },
    { ...row(2, 4, 30)[3]!, droppable: 1 },
  ]
  t.equal(choose(disjoint), 'merge 33 → 2', 'the most droppable')
})

t.test('pending and major compactions', async (t) => {
  t.equal(pendingCompactions(leveled(row(1, 10, 10))), 0)
  t.equal(pendingCompactions(leveled([...row(1, 14, 10), ...row(2, 102, 100)])), 4 + 2)
  t.equal(pendingCompactions(leveled(Array.from({ length: 33 }, (_, number) => ({ number })))), 29 + 2)
  t.equal(compactionsBehind(leveled(row(1, 500, 10))), 0, 'levels that are too full hold nobody up')
  t.equal(compactionsBehind(leveled(Array.from({ length: 32 }, (_, number) => ({ number })))), 4)
  const major = (tables: TableSpec[]) => majorCompactions(leveled(tables)).map(text)
  t.same(major([{ number: 1 }, { number: 2 }]), ['merge 1,2 → 1'])
  t.same(
    major([
      { number: 1, mib: 900 },
      { number: 2, mib: 200 },
    ]),
    ['merge 1,2 → 2'],
    'where they have room',
  )
  t.same(major([{ number: 1 }, { number: 2 }, { number: 3, isCompacting: true }]), ['merge 1,2 → 0'])
})
