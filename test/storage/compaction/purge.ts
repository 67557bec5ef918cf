/** What a merge leaves out, rule by rule: what is covered, what has expired, and which tombstones may go. */
import t from 'tap'
import { openSimulatedDisk, type SimulatedDisk } from '../../../lib/runtime/simulated/disk.ts'
import { AFTER_ALL, BEFORE_ALL, type Timestamp } from '../../../storage/compaction/purge.ts'
import { EntryKind, POSITION_HEAD_BYTES } from '../../../storage/model/mutation.ts'
import { PRESENCE_COLUMN_ID, RowReader } from '../../../storage/model/row.ts'
import type { TableReader } from '../../../storage/sstable/reader.ts'
import { type MergeCase, makeTable, merge, view } from '../../support/compaction.ts'
import { type Change, type ModelCell, type ModelWrite, NOW } from '../../support/storage-model.ts'

/** With this gc_grace a tombstone made before it may go. */
const GC_GRACE = 10
const OLD = NOW - GC_GRACE - 1
const YOUNG = NOW - GC_GRACE

const partitionDeletion = (ts: bigint, localTime = OLD): Change => ({ kind: 'partition', ts, localTime })
const range = (start: string, end: string, ts: bigint, localTime = OLD): Change => ({
  kind: 'range',
  start,
  end,
  ts,
  localTime,
})
const live = (column: number, ts: bigint, value: string, path: string | null = null): ModelCell => ({
  column,
  path,
  kind: 'live',
  ts,
  localTime: 0,
  ttl: 0,
  value,
})
const dead = (column: number, ts: bigint, localTime = OLD, path: string | null = null): ModelCell => ({
  ...live(column, ts, '', path),
  kind: 'tombstone',
  localTime,
})
const expiring = (column: number, ts: bigint, expiresAt: number, ttl: number, value = 'v'): ModelCell => ({
  ...live(column, ts, value),
  kind: 'expiring',
  localTime: expiresAt,
  ttl,
})
const complex = (column: number, ts: bigint, localTime = OLD): ModelCell => ({
  ...live(column, ts, ''),
  kind: 'complex',
  localTime,
})
const row = (clustering: string, cells: ModelCell[], more: Partial<Extract<Change, { kind: 'row' }>> = {}): Change => ({
  kind: 'row',
  isStatic: false,
  clustering,
  liveness: null,
  deletion: null,
  cells,
  ...more,
})
const staticRow = (cells: ModelCell[]): Change => row('', cells, { isStatic: true })
const to = (partition: string, ...changes: Change[]): ModelWrite => ({ partition, changes })

let files = 0
async function sstable(disk: SimulatedDisk, ...writes: ModelWrite[]): Promise<TableReader> {
  return (await makeTable(disk, `/sstable${files++}`, writes))!
}

/** All entries as text, without their local times. */
async function dump(tables: readonly TableReader[]): Promise<string[]> {
  const lines: string[] = []
  for (const table of tables) {
    const cursor = table.cursor()
    for (await cursor.first(); cursor.valid; await cursor.next()) {
      const { key, value } = cursor
      const length = POSITION_HEAD_BYTES + key.readUInt16BE(8)
      const partition = key.toString('latin1', POSITION_HEAD_BYTES, length)
      const bound = key.toString('latin1', length + 1)
      const kind = key[length]!
      if (kind === EntryKind.PARTITION_DELETION) lines.push(`${partition} deleted @${value.readBigInt64BE()}`)
      else if (kind === EntryKind.RANGE_TOMBSTONE)
        lines.push(`${partition} [${bound},${value.toString('latin1', 12)}) @${value.readBigInt64BE()}`)
      else lines.push(`${partition} ${kind === EntryKind.STATIC_ROW ? 'static' : bound}: ${describe(value)}`)
    }
  }
  return lines
}

function describe(bytes: Buffer): string {
  const reader = new RowReader().reset(bytes)
  const parts: string[] = []
  const at = (high: number, low: number): string => `@${(BigInt(high) << 32n) | BigInt(low)}`
  if (reader.hasLiveness) parts.push(`live${at(reader.livenessTsHigh, reader.livenessTsLow)}`)
  if (reader.hasDeletion) parts.push(`deleted${at(reader.deletionTsHigh, reader.deletionTsLow)}`)
  while (reader.next()) {
    const path = reader.hasPath ? `/${bytes.toString('latin1', reader.pathStart, reader.pathEnd)}` : ''
    const value = reader.isComplexDeletion
      ? '!'
      : reader.isTombstone
        ? reader.isExpiring
          ? '~'
          : 'x'
        : `=${bytes.toString('latin1', reader.valueStart, reader.valueEnd)}`
    parts.push(`${reader.columnId}${path}${value}${at(reader.tsHigh, reader.tsLow)}`)
  }
  return parts.join(' ')
}

interface Case extends Partial<Omit<MergeCase, 'inputs' | 'disk'>> {
  readonly inputs: readonly ModelWrite[][]
  readonly beside?: readonly ModelWrite[][]
}

async function merged(given: Case): Promise<string[]> {
  const disk = openSimulatedDisk()
  const inputs: TableReader[] = []
  for (const writes of given.inputs) inputs.push(await sstable(disk, ...writes))
  const outsiders: TableReader[] = []
  for (const writes of given.beside ?? []) outsiders.push(await sstable(disk, ...writes))
  const { outputs } = await merge({
    gcGraceSeconds: GC_GRACE,
    name: `/out${files++}`,
    ...given,
    disk,
    inputs,
    outsiders,
  })
  for (const output of outputs) await output.verify()
  return dump(outputs)
}

const at = (low: number): Timestamp => ({ high: 0, low })

/** Tokens follow from the lengths of names: `p` lies between `qq` and `qqq`. One of each kind of deletion, all with timestamp 5, in partition p. */
const deletions = (localTime: number): Record<string, Change> => ({
  'of a partition': partitionDeletion(5n, localTime),
  'of a range': range('a', 'c', 5n, localTime),
  'of a row': row('a', [], { deletion: { ts: 5n, localTime } }),
  'of a cell': row('a', [dead(0, 5n, localTime)]),
  'of a static cell': staticRow([dead(0, 5n, localTime)]),
  'of a collection': row('a', [complex(3, 5n, localTime)]),
  'of an element': row('a', [dead(3, 5n, localTime, 'k')]),
})

t.test('a tombstone goes only when it is old and nothing outside may be under it', async (t) => {
  for (const [kind, change] of Object.entries(deletions(OLD))) {
    const inputs = [[to('p', change)]]
    const goes = async (given: Partial<Case>, what: string): Promise<void> => {
      t.same(await merged({ inputs, ...given }), [], `${kind} goes: ${what}`)
    }
    const stays = async (given: Partial<Case>, what: string): Promise<void> => {
      t.equal((await merged({ inputs, ...given })).length, 1, `${kind} stays: ${what}`)
    }
    await goes({}, 'nothing outside')
    await stays({ inputs: [[to('p', deletions(YOUNG)[kind]!)]] }, 'too young')
    await stays({ gcGraceSeconds: 1_000_000 }, 'gc_grace is longer')
    await stays({ floor: at(5) }, 'memory holds its timestamp')
    await stays({ floor: at(4) }, 'memory holds an older one')
    await goes({ floor: at(6) }, 'memory holds newer ones only')
    await stays({ floor: BEFORE_ALL }, 'nothing may')
    await stays({ beside: [[to('p', row('a', [live(0, 5n, 'v')]))]] }, 'an SSTable holds the partition, as old')
    await stays({ beside: [[to('p', row('z', [live(0, 1n, 'v')]))]] }, 'another row of the partition, older')
    await goes({ beside: [[to('p', row('a', [live(0, 6n, 'v')]))]] }, 'the SSTable is newer')
    await goes({ beside: [[to('s', row('a', [live(0, 1n, 'v')]))]] }, 'the SSTable is of another partition')
    await goes(
      { beside: [[to('qq', row('a', [live(0, 1n, 'v')])), to('qqq', row('a', [live(0, 1n, 'v')]))]] },
      'its filter knows the SSTable does not hold the partition',
    )
    await stays(
      { beside: [[to('p', row('a', [live(0, 9n, 'v')]))], [to('p', row('a', [live(0, 2n, 'v')]))]] },
      'the second SSTable is older',
    )
  }
})

t.test('an SSTable outside that cannot be read may hold anything', async (t) => {
  const disk = openSimulatedDisk()
  const input = await sstable(disk, to('p', partitionDeletion(5n)))
  const outside = await sstable(disk, to('qq', row('a', [live(0, 1n, 'v')])), to('qqq', staticRow([])))
  const damaged = disk.files().get(outside.path)!
  damaged[damaged.length - 5]! ^= 1
  disk.overwrite(outside.path, damaged)
  const { outputs } = await merge({ disk, inputs: [input], outsiders: [outside], gcGraceSeconds: GC_GRACE, name: '/o' })
  t.same(await dump(outputs), ['p deleted @5'])
})

t.test('what was purged is told', async (t) => {
  const disk = openSimulatedDisk()
  const input = await sstable(
    disk,
    to('p', partitionDeletion(5n)),
    to('q', row('a', [dead(0, 7n)]), row('b', [dead(0, 9n, YOUNG)])),
    to('s', row('a', [live(0, 8n, 'v')])),
  )
  const { result } = await merge({ disk, inputs: [input], gcGraceSeconds: GC_GRACE, name: '/o' })
  t.match(result.purged, { count: 2, timestamp: { high: 0, low: 7 } })
  const keys = [result.purged!.minPosition, result.purged!.maxPosition].map((key) =>
    Buffer.from(key).toString('latin1', 10),
  )
  t.same(keys.sort(), ['p', 'q'])
  const nothing = await merge({ disk, inputs: [input], gcGraceSeconds: GC_GRACE, floor: BEFORE_ALL, name: '/n' })
  t.equal(nothing.result.purged, null)
})

t.test('what a deletion covers goes, whether the deletion stays or not', async (t) => {
  const data = [
    to(
      'p',
      staticRow([live(0, 4n, 's'), live(1, 6n, 't')]),
      row('a', [live(0, 5n, 'old'), live(1, 6n, 'new')], { liveness: { ts: 5n, ttl: 0, expiresAt: 0 } }),
      row('b', [live(0, 5n, 'old')]),
      row('x', [live(0, 1n, 'y')]),
    ),
  ]
  const rest = (over: string): Promise<string[]> =>
    merged({ inputs: [data, [to('p', ...(over === 'p' ? [partitionDeletion(5n)] : [range('a', 'c', 5n)]))]] })
  t.same(await rest('p'), ['p static: 1=t@6', 'p a: 1=new@6'])
  t.same(await rest('r'), ['p static: 0=s@4 1=t@6', 'p a: 1=new@6', 'p x: 0=y@1'])
  const kept = await merged({ inputs: [data, [to('p', range('a', 'c', 5n, YOUNG))]] })
  t.same(kept, ['p static: 0=s@4 1=t@6', 'p [a,c) @5', 'p a: 1=new@6', 'p x: 0=y@1'])
  const byRow = await merged({
    inputs: [data, [to('p', row('a', [], { deletion: { ts: 5n, localTime: YOUNG } }))]],
  })
  t.same(byRow[1], 'p a: deleted@5 1=new@6')
})

t.test('range tombstones of several SSTables come out without overlaps, equal neighbours as one', async (t) => {
  const young = (start: string, end: string, ts: bigint): Change => range(start, end, ts, YOUNG)
  t.same(
    await merged({
      inputs: [
        [to('p', young('b', 'f', 5n), young('g', 'h', 9n), young('m', 'p', 1n))],
        [to('p', young('a', 'd', 7n), young('e', 'g', 5n), young('h', 'k', 9n))],
        [to('p', partitionDeletion(2n, YOUNG))],
      ],
    }),
    ['p deleted @2', 'p [a,d) @7', 'p [d,g) @5', 'p [g,k) @9'],
  )
})

t.test('a range that is purged still covers, and only where it lies', async (t) => {
  for (const rangeBytesMax of [0, 1_000_000])
    t.same(
      await merged({
        inputs: [
          [to('p', range('b', 'd', 5n)), to('q', row('c', [live(0, 1n, 'stays')]))],
          [to('p', row('a', [live(0, 1n, 'v')]), row('c', [live(0, 1n, 'v')]), row('d', [live(0, 1n, 'v')]))],
        ],
        rangeBytesMax,
      }),
      ['p a: 0=v@1', 'p d: 0=v@1', 'q c: 0=stays@1'].sort((a, b) => order(a) - order(b)),
    )
  function order(line: string): number {
    return line.startsWith('q') ? 1 : 0
  }
})

t.test('collections: what the deletion of all covers goes, what came after stays', async (t) => {
  const cells = [live(3, 4n, 'old', 'a'), live(3, 6n, 'new', 'b')]
  const inputs = (localTime: number): ModelWrite[][] => [
    [to('p', row('r', cells))],
    [to('p', row('r', [complex(3, 5n, localTime)]))],
  ]
  t.same(await merged({ inputs: inputs(YOUNG) }), ['p r: 3!@5 3/b=new@6'])
  t.same(await merged({ inputs: inputs(OLD) }), ['p r: 3/b=new@6'])
})

t.test('cells with a TTL', async (t) => {
  const of = (cell: ModelCell, given: Partial<Case> = {}): Promise<string[]> =>
    merged({ inputs: [[to('p', row('a', [cell]))]], ...given })
  t.same(await of(expiring(0, 5n, NOW + 1, 100)), ['p a: 0=v@5'], 'alive')
  t.same(await of(expiring(0, 5n, NOW, 5)), ['p a: 0~@5'], 'expired: its value goes')
  t.same(await of(expiring(0, 5n, NOW, GC_GRACE + 1)), [], 'it lived longer than gc_grace')
  t.same(await of(expiring(0, 5n, NOW, GC_GRACE + 1), { floor: at(5) }), ['p a: 0~@5'], 'but memory is as old')
  t.same(await of(expiring(0, 5n, OLD, 1)), [], 'long expired')
  const liveness = (expiresAt: number): Change => row('a', [], { liveness: { ts: 5n, ttl: 100, expiresAt } })
  t.same(await merged({ inputs: [[to('p', liveness(NOW + 1))]] }), ['p a: live@5'])
  t.same(await merged({ inputs: [[to('p', liveness(YOUNG))]] }), ['p a: live@5'])
  t.same(await merged({ inputs: [[to('p', liveness(OLD))]] }), [])
})

t.test('an expired cell that lost its value keeps its place among others', async (t) => {
  const disk = openSimulatedDisk()
  const expired = await sstable(disk, to('p', row('a', [expiring(0, 5n, NOW - 1, 5, 'first')])))
  const later = await sstable(disk, to('p', row('a', [expiring(0, 5n, NOW + 50, 60, 'second')])))
  const stays = await sstable(disk, to('p', row('a', [live(0, 5n, 'for ever')])))
  const before = [await view([expired, later]), await view([expired, stays])]
  t.match(before[0], [{ rows: [{ cells: ['0/-=second@5/60@1050'] }] }])
  t.same(before[1], [])
  const { outputs } = await merge({ disk, inputs: [expired], gcGraceSeconds: GC_GRACE, floor: BEFORE_ALL, name: '/o' })
  t.same(await dump(outputs), ['p a: 0~@5'])
  t.same([await view([...outputs, later]), await view([...outputs, stays])], before)
  const again = await merge({
    disk,
    inputs: [outputs[0]!, stays],
    gcGraceSeconds: GC_GRACE,
    floor: AFTER_ALL,
    name: '/n',
  })
  t.same(await dump(again.outputs), ['p a: 0~@5'], 'its ttl counts towards gc_grace: it is too young yet')
  const late = { disk, inputs: again.outputs, gcGraceSeconds: GC_GRACE, nowSeconds: NOW + 20, name: '/l' }
  t.same((await merge(late)).outputs, [])
})

t.test('a row goes with the cell of presence that hides it, and not before', async (t) => {
  const hidden = (localTime: number) => to('p', row('a', [live(0, 9n, 'v'), dead(PRESENCE_COLUMN_ID, 5n, localTime)]))
  t.same(await merged({ inputs: [[hidden(OLD)]] }), [])
  t.same(await merged({ inputs: [[hidden(YOUNG)]] }), [`p a: 0=v@9 ${PRESENCE_COLUMN_ID}x@5`])
  const outside = [[to('p', row('a', [live(0, 4n, 'w'), live(PRESENCE_COLUMN_ID, 4n, '\u0001')]))]]
  t.same(await merged({ inputs: [[hidden(OLD)]], beside: outside }), [`p a: 0=v@9 ${PRESENCE_COLUMN_ID}x@5`])
  const expired = (expiresAt: number) =>
    to('p', row('a', [live(0, 9n, 'v'), expiring(PRESENCE_COLUMN_ID, 5n, expiresAt, 1, '\u0001')]))
  t.same(await merged({ inputs: [[expired(OLD)]] }), [])
  t.same(await merged({ inputs: [[expired(NOW + 5)]] }), [`p a: 0=v@9 ${PRESENCE_COLUMN_ID}=\u0001@5`])
})

t.test('nothing is made of inputs that hold nothing any more', async (t) => {
  const disk = openSimulatedDisk()
  const inputs = [
    await sstable(disk, to('p', row('a', [live(0, 1n, 'v')]))),
    await sstable(disk, to('p', partitionDeletion(5n))),
  ]
  const { outputs, result } = await merge({ disk, inputs, gcGraceSeconds: GC_GRACE, name: '/o' })
  t.same(outputs, [])
  t.equal(result.bytesWritten, 0)
  t.same(
    [...disk.files().keys()].filter((path) => path.startsWith('/o')),
    [],
  )
})

t.test('outputs are cut between partitions', async (t) => {
  const disk = openSimulatedDisk()
  const wide = (partition: string): ModelWrite =>
    to(partition, ...'abcdefgh'.split('').map((clustering) => row(clustering, [live(0, 1n, clustering.repeat(300))])))
  const input = await sstable(disk, wide('p'), wide('q'), wide('s'), wide('longer partition key'))
  const { outputs } = await merge({ disk, inputs: [input], outputBytesMax: [100], name: '/o' })
  t.same(
    outputs.map(({ statistics }) => [statistics.partitions, statistics.rows]),
    [
      [1, 8],
      [1, 8],
      [1, 8],
      [1, 8],
    ],
  )
  const sized = await merge({ disk, inputs: [input], outputBytesMax: [100, Infinity], name: '/n' })
  t.same(
    sized.outputs.map(({ statistics }) => statistics.partitions),
    [1, 3],
  )
})

t.test('deletions of shadows are used, and nothing of them is written', async (t) => {
  const disk = openSimulatedDisk()
  const input = await sstable(
    disk,
    to('p', row('a', [live(0, 4n, 'v')]), row('b', [live(0, 9n, 'v')]), row('c', [live(0, 1n, 'v')])),
    to('q', range('a', 'b', 3n, YOUNG), row('a', [live(0, 4n, 'v')])),
    to('s', row('a', [live(0, 1n, 'v')], { liveness: { ts: 8n, ttl: 0, expiresAt: 0 } })),
  )
  const shadow = await sstable(
    disk,
    to('p', range('a', 'bb', 5n), row('c', [live(0, 2n, 'newer')])),
    to('q', partitionDeletion(6n), row('z', [live(0, 9n, 'z')])),
    to('s', row('a', [], { deletion: { ts: 7n, localTime: OLD } })),
  )
  const given = { disk, inputs: [input], shadows: [shadow], outsiders: [shadow], gcGraceSeconds: GC_GRACE }
  const { outputs } = await merge({ ...given, name: '/o' })
  t.same((await dump(outputs)).sort(), ['p b: 0=v@9', 'p c: 0=v@1', 's a: live@8'])
  t.same(await view([...outputs, shadow]), await view([input, shadow]))
})
