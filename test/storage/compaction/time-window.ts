/** TimeWindowCompactionStrategy and FIFO. */
import t from 'tap'
import {
  chooseCompaction,
  compactionsBehind,
  majorCompactions,
  pendingCompactions,
} from '../../../storage/compaction/choose.ts'
import { NO_MEMORY, type Snapshot, type Task } from '../../../storage/compaction/strategy.ts'
import {
  DEFAULT_SIZE_TIERED,
  DEFAULT_TIME_WINDOW,
  type FifoOptions,
  type TimeWindowOptions,
} from '../../../storage/table-options.ts'
import { MIB, NOW_MS, snapshot, type TableSpec } from '../../support/sstables.ts'

const HOUR_MS = 3_600_000
const HOUR = 3_600_000_000
/** The start of the hour in which now is, in µs. */
const THIS_HOUR = Math.floor(NOW_MS / HOUR_MS) * HOUR

function windows(
  tables: readonly TableSpec[],
  options: Partial<TimeWindowOptions> = {},
  others: Partial<Snapshot> = {},
) {
  const window = { ...DEFAULT_TIME_WINDOW, windowMs: HOUR_MS, ...options }
  const strategy = { kind: 'time-window' as const, window, sizeTiered: DEFAULT_SIZE_TIERED }
  return snapshot(tables, { strategy, tombstoneCompaction: false }, others)
}

function text(task: Task): string {
  if (task.kind === 'rest') return 'rest'
  return `${task.kind} ${task.inputs.map((table) => table.number).sort((a, b) => a - b)}`
}

/** SSTables of which the newest cell is so many hours before the start of this one; numbers ascend. */
function hoursAgo(...hours: number[]): TableSpec[] {
  return hours.map((ago, number) => ({ number, timestamps: [THIS_HOUR - ago * HOUR, THIS_HOUR - ago * HOUR + 5] }))
}

t.test('what is merged', async (t) => {
  const choose = (...given: Parameters<typeof windows>) => text(chooseCompaction(windows(...given)).task)
  t.equal(choose(hoursAgo(0, 0, 0)), 'rest', 'the newest window waits for four')
  t.equal(choose(hoursAgo(0, 0, 0, 0)), 'merge 0,1,2,3')
  t.equal(choose(hoursAgo(0, 1, 1)), 'merge 1,2', 'an older one becomes one SSTable')
  t.equal(choose(hoursAgo(0, 1, 2, 3)), 'rest')
  t.equal(choose(hoursAgo(0, 2, 2, 1, 1)), 'merge 3,4', 'the newest first')
  t.equal(choose(hoursAgo(0, 0, 0, 0, 1, 1)), 'merge 0,1,2,3')
  t.equal(choose(hoursAgo(5, 5, 6)), 'rest', 'the newest window that has data waits, though its time is over')
  t.equal(choose(hoursAgo(5, 5, 6), { windowMs: 24 * HOUR_MS }), 'rest')
  t.equal(choose(hoursAgo(-9000, 0, 0, 0)), 'rest', 'one in the future makes this hour not old')
  t.equal(choose(hoursAgo(-9000, -10, -10, 1, 1)), 'merge 3,4')
  const sizes = [1, 1, 100, 900].map((mib, number) => ({ ...hoursAgo(0)[0]!, number, mib }))
  t.equal(choose(sizes), 'rest', 'size-tiered in the newest window')
  t.equal(
    choose(sizes.map((table, i) => ({ ...table, ...(i === 3 ? {} : { timestamps: [1, 1] as const }) }))),
    'merge 0,1,2',
  )
  const many = Array.from({ length: 40 }, (_, number) => ({ ...hoursAgo(1)[0]!, number, mib: 40 - number }))
  t.equal(
    choose([{ ...hoursAgo(0)[0]!, number: 99 }, ...many]),
    `merge ${many.slice(8).map(({ number }) => number)}`,
    'the smallest 32',
  )
  const millis = hoursAgo(0, 1, 1).map(({ timestamps, ...table }) => ({
    ...table,
    timestamps: [timestamps![0] / 1000, timestamps![1] / 1000] as const,
  }))
  t.equal(
    choose(
      millis.map((table) => ({
        ...table,
        timestamps: table.timestamps.map(Math.floor) as unknown as [number, number],
      })),
      { timestampUnitMicros: 1000 },
    ),
    'merge 1,2',
  )
})

t.test('what expired is dropped, when it is looked for', async (t) => {
  const tables = hoursAgo(0, 300, 301).map((table, i) =>
    i === 0 ? table : { ...table, lastDropSeconds: NOW_MS / 1000 - 864_001 },
  )
  const first = chooseCompaction(windows(tables))
  t.equal(text(first.task), 'drop 1,2')
  t.same(first.memory, NO_MEMORY, 'and looked for again until nothing is found')
  const memory = { ...NO_MEMORY, expiredCheckMs: NOW_MS }
  t.same(chooseCompaction(windows(tables, {}, { memory })).task, { kind: 'rest', againInMs: 600_000 })
  t.same(chooseCompaction(windows(tables, {}, { memory, nowMs: NOW_MS + 599_999 })).task, {
    kind: 'rest',
    againInMs: 1,
  })
  t.equal(text(chooseCompaction(windows(tables, {}, { memory, nowMs: NOW_MS + 600_000 })).task), 'drop 1,2')
  t.equal(
    text(chooseCompaction(windows(tables, {}, { memory: { ...NO_MEMORY, expiredCheckMs: NOW_MS + 10 } })).task),
    'drop 1,2',
    'the clock was set back',
  )
  const expiring = hoursAgo(0).map((table) => ({ ...table, lastDropSeconds: NOW_MS / 1000 }))
  t.same(chooseCompaction(windows(expiring)).task, { kind: 'rest', againInMs: 600_000 }, 'it is looked again')
  t.same(chooseCompaction(windows(hoursAgo(0))).task, { kind: 'rest', againInMs: null }, 'unless nothing expires')
  t.same(chooseCompaction(windows(expiring, { expiredCheckMs: 0 })).task, { kind: 'rest', againInMs: 1000 })
})

t.test('tombstones: only when it is asked for, the smallest first', async (t) => {
  const tables = hoursAgo(0, 1).map((table, i) => ({ ...table, droppable: 0.9, mib: 100 + i }))
  t.equal(text(chooseCompaction(windows(tables)).task), 'rest')
  const given = windows(tables)
  const compaction = { ...given.options.compaction, tombstoneCompaction: true, uncheckedTombstoneCompaction: true }
  t.equal(text(chooseCompaction({ ...given, options: { ...given.options, compaction } }).task), 'merge 0')
})

t.test('pending and major compactions', async (t) => {
  const tables = hoursAgo(0, 0, 0, 0, 1, 2, 2, 3, 3, 3)
  t.equal(pendingCompactions(windows(tables)), 3)
  t.equal(compactionsBehind(windows(tables)), 1, 'old windows hold nobody up')
  t.same(majorCompactions(windows(tables)).map(text), ['merge 0,1,2,3', 'merge 4', 'merge 5,6', 'merge 7,8,9'])
})

function fifo(tables: readonly TableSpec[], options: Partial<FifoOptions> = {}, others: Partial<Snapshot> = {}) {
  const base = { tableBytesMax: null, sstableBytes: 0, minThreshold: 4, maxThreshold: 32, expiredCheckMs: 600_000 }
  return snapshot(tables, { strategy: { kind: 'fifo', ...base, ...options } }, others)
}

t.test('FIFO', async (t) => {
  const choose = (...given: Parameters<typeof fifo>) => text(chooseCompaction(fifo(...given)).task)
  const of = (...mib: number[]): TableSpec[] => mib.map((size, number) => ({ number, mib: size }))
  t.equal(choose(of(100, 100, 100, 100)), 'rest', 'nothing is merged')
  t.equal(choose(of(100, 100, 100, 100), { tableBytesMax: 400 * MIB }), 'rest')
  t.equal(choose(of(100, 100, 100, 100), { tableBytesMax: 399 * MIB }), 'drop 0', 'the oldest goes')
  t.equal(choose(of(100, 100, 100, 100), { tableBytesMax: 150 * MIB }), 'drop 0,1,2')
  t.match(chooseCompaction(fifo(of(100, 100), { tableBytesMax: MIB })).task, { why: 'size' })
  const [oldest, ...others] = of(100, 100, 100)
  t.equal(
    choose([{ ...oldest!, timestamps: [500, 500] }, ...others], { tableBytesMax: 250 * MIB }),
    'drop 1',
    'by the age of the data',
  )
  t.equal(choose([{ ...oldest!, isCompacting: true }, ...others], { tableBytesMax: 250 * MIB }), 'rest', 'in order')
  const expired = { number: 7, lastDropSeconds: 1, timestamps: [1, 1] as const }
  t.equal(choose([expired, ...of(0, 0, 0).slice(2)]), 'drop 7')
  t.equal(choose(of(10, 10, 10), { sstableBytes: 100 * MIB }), 'rest')
  t.equal(choose(of(10, 10, 10, 10), { sstableBytes: 100 * MIB }), 'merge 0,1,2,3', 'small ones are merged')
  t.equal(
    choose(of(10, 10, 100, 10, 10, 10, 10), { sstableBytes: 100 * MIB }),
    'merge 3,4,5,6',
    'with their neighbours',
  )
  t.equal(choose(of(40, 40, 40, 40, 40, 40), { sstableBytes: 100 * MIB }), 'merge 0,1,2,3', 'as many as make one')
  t.equal(
    choose(of(...Array.from({ length: 40 }, () => 1)), { sstableBytes: 100 * MIB }),
    `merge ${[...Array(32).keys()]}`,
  )
  t.equal(pendingCompactions(fifo(of(10, 10, 10, 10), { sstableBytes: MIB * 100, tableBytesMax: MIB })), 2)
  t.equal(
    majorCompactions(fifo(of(10, 10)))
      .map(text)
      .join(),
    'merge 0,1',
  )
})
