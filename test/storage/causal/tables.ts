/** Tables that begin to keep versions and cease to, under their memtables and files; rows with versions in row caches and restores. */
import t from 'tap'
import { uuidBytes } from '../../../lib/base/uuid.ts'
import { openNodeClock } from '../../../lib/runtime/node/clock.ts'
import { openSimulatedDisk } from '../../../lib/runtime/simulated/disk.ts'
import { type CausalWrite, deltaOf } from '../../../storage/model/causal/delta.ts'
import type { Dots } from '../../../storage/model/causal/dots.ts'
import { flatResult } from '../../../storage/model/causal/flatten.ts'
import { CausalRow } from '../../../storage/model/causal/state.ts'
import { ALL_ROWS, type ReadCommand, type ReadResult } from '../../../storage/model/command.ts'
import { LastWriteWins } from '../../../storage/model/merge.ts'
import { MutationWriter } from '../../../storage/model/mutation.ts'
import { RowReader } from '../../../storage/model/row.ts'
import { RowRemapper } from '../../../storage/remap-rows.ts'
import { openStore, type Store } from '../../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS, type TableOptions } from '../../../storage/table-options.ts'
import type { StoredTable } from '../../../storage/table-store.ts'
import { joinRows, makeRow, rowMutation, shownOf, versionRow } from '../../support/causal-writes.ts'
import { storageRuntime } from '../../support/storage-runtime.ts'

const TABLE = '5a1c395e-b41f-11e5-9f22-ba0be0483c18'
const TABLE_BYTES = uuidBytes(TABLE)
const CLUSTERING = Buffer.from([0x40])
const NOW = 2_000_000
const SECOND = 1_000_000

const READ: ReadCommand = {
  ...ALL_ROWS,
  table: TABLE,
  target: { kind: 'range', start: null, end: null },
  nowSeconds: NOW,
}

function table(options: Partial<TableOptions>): StoredTable {
  const all = { ...DEFAULT_TABLE_OPTIONS, ...options }
  return { keyspace: 'k', name: 't', durableWrites: true, hasClustering: true, options: all }
}

async function open(options: Partial<TableOptions>, rowCacheBytesMax = 0): Promise<Store> {
  const clock = { ...openNodeClock(), wallMicros: () => NOW * SECOND }
  const disk = openSimulatedDisk()
  await disk.mkdir('/data')
  const settings = { compaction: { automatic: false }, rowCacheBytesMax, commitLog: { mode: 'periodic' as const } }
  const store = await openStore({ runtime: storageRuntime(clock, disk), directory: '/data', settings })
  await store.registerTable(TABLE, table(options))
  return store
}

function apply(store: Store, key: number, row: Buffer): void {
  store.apply([rowMutation(TABLE_BYTES, key, CLUSTERING, row)])?.catch(() => {})
}

async function read(store: Store, command: Partial<ReadCommand> = {}): Promise<ReadResult> {
  return await store.read({ ...READ, unsynced: true, ...command })
}

function rowOf({ partitions }: ReadResult): Buffer {
  return Buffer.from(partitions[0]!.rows[0]!.row)
}

/** Column 1 of an ordinary row; null: it is not there. */
function textOf(row: Buffer): string | null {
  t.equal(row[0]! & 8, 0, 'no context')
  const reader = new RowReader().reset(row)
  while (reader.next())
    if (reader.columnId === 1 && reader.isLive(NOW)) return row.toString('utf8', reader.valueStart, reader.valueEnd)
  return null
}

function dotsAt(actor: number, seconds: number): Dots {
  return { actor: Buffer.alloc(8, actor * 2), next: (above) => Math.max(above + 1, seconds * SECOND) }
}

const put = (text: string, context: Buffer | null = null): CausalWrite => ({
  context,
  version: versionRow(text),
  sets: null,
})

function plain(text: string, seconds: number): Buffer {
  const micros = BigInt(seconds * SECOND)
  return makeRow((row) => row.cell(1, Number(micros >> 32n), Number(micros & 0xffffffffn), Buffer.from(text)))
}

t.test('an altered table keeps what it held, in memory and in files', async (t) => {
  const store = await open({})
  apply(store, 1, versionRow('file'))
  await store.flush(TABLE)
  apply(store, 1, plain('memory', 1))
  await store.registerTable(TABLE, table({ resolution: 'vclock' }))
  t.notOk(store.resolutionOf(TABLE).isByTimestamp)
  const before = rowOf(await read(store))
  t.same(shownOf(before, NOW), ['1=memory'])
  apply(store, 1, deltaOf(before, put('a'), dotsAt(1, NOW)))
  t.same(shownOf(rowOf(await read(store)), NOW), ['1=memory', '1=a'], 'one more version')
  const context = Buffer.from(new CausalRow().reset(rowOf(await read(store)), NOW).context)
  apply(store, 1, deltaOf(null, put('b', context), dotsAt(2, NOW + 1)))
  t.same(shownOf(rowOf(await read(store)), NOW), ['1=b'])
  await store.flush(TABLE)
  t.same(shownOf(rowOf(await read(store)), NOW), ['1=b'], 'in files')
  await store.compactions!.major(TABLE)
  t.same(shownOf(rowOf(await read(store)), NOW), ['1=b'], 'compacted')
  await store.close()
})

t.test('a delta that comes before the ALTER is not lost', async (t) => {
  const store = await open({})
  const [a, b] = [deltaOf(null, put('a'), dotsAt(1, NOW)), deltaOf(null, put('b'), dotsAt(2, NOW))]
  apply(store, 1, a)
  apply(store, 1, b)
  await store.registerTable(TABLE, table({ resolution: 'vclock' }))
  t.same(shownOf(rowOf(await read(store)), NOW), ['1=a', '1=b'])
  await store.close()
})

t.test('a table that goes back to timestamps shows the newest version, and writes go on from it', async (t) => {
  const store = await open({ resolution: 'vclock' })
  const a = deltaOf(null, put('a'), dotsAt(1, NOW))
  const b = deltaOf(null, put('b'), dotsAt(2, NOW + 5))
  apply(store, 1, b)
  await store.flush(TABLE)
  apply(store, 1, a)
  await store.registerTable(TABLE, table({}))
  t.equal(textOf(rowOf(await read(store))), 'b')
  const target = { kind: 'partition', position: (await read(store)).partitions[0]!.position } as const
  const slices = [{ start: CLUSTERING, end: Buffer.from([0x40, 0]), single: true }]
  t.equal(textOf(rowOf(await read(store, { target, slices }))), 'b', 'looked up')
  const whole = await read(store, { whole: true })
  t.same(shownOf(rowOf(whole), NOW), ['1=a', '1=b'], 'replicas still tell each other all')
  t.equal(textOf(rowOf(flatResult(new LastWriteWins(), whole, NOW))), 'b')
  apply(store, 1, plain('older', NOW + 4))
  t.equal(textOf(rowOf(await read(store))), 'b')
  apply(store, 1, plain('newer', NOW + 6))
  t.equal(textOf(rowOf(await read(store))), 'newer')
  const writer = new MutationWriter()
  writer.begin(TABLE_BYTES, 1, 0, Buffer.of(1))
  const micros = BigInt((NOW + 7) * SECOND)
  writer.partitionDeletion(Number(micros >> 32n), Number(micros & 0xffffffffn), NOW)
  store.apply([Buffer.from(writer.finish())])?.catch(() => {})
  t.same((await read(store)).partitions, [], 'deletions cover versions by their times')
  await store.close()
})

t.test('what was deleted stays so in a table that goes back to timestamps', async (t) => {
  const store = await open({ resolution: 'vclock' })
  const a = deltaOf(null, put('a'), dotsAt(1, NOW))
  const context = Buffer.from(new CausalRow().reset(a, NOW).context)
  apply(store, 1, a)
  apply(store, 1, deltaOf(a, { context, version: null, sets: null }, dotsAt(1, NOW + 1)))
  await store.registerTable(TABLE, table({}))
  t.same((await read(store)).partitions, [])
  const add = makeRow((row) => row.pathCell(4, Buffer.from('x'), 0, 1, Buffer.alloc(0)))
  apply(store, 1, deltaOf(null, { context: null, version: versionRow('c'), sets: add }, dotsAt(2, NOW + 2)))
  const row = rowOf(await read(store))
  t.equal(textOf(row), 'c')
  const reader = new RowReader().reset(row)
  const columns: number[] = []
  while (reader.next()) if (reader.isLive(NOW)) columns.push(reader.columnId)
  t.same(columns, [1, 4], 'elements of or-sets are those of the set')
  await store.close()
})

t.test('a row at hand is what a read gives, or nothing is said of it', async (t) => {
  const store = await open({ resolution: 'vclock' })
  const mutation = rowMutation(TABLE_BYTES, 1, CLUSTERING, deltaOf(null, put('a'), dotsAt(1, NOW)))
  const position = mutation.subarray(16, 16 + 8 + 2 + 1)
  const atHand = (): Buffer | null | undefined => store.rowAtHand(mutation, position, CLUSTERING)
  const asRead = async (): Promise<Buffer> => rowOf(await read(store))
  t.equal(atHand(), null)
  for (let i = 0; i < 4; i++) {
    apply(store, 1, deltaOf(null, put(`v${i}`), dotsAt(i + 1, NOW + i)))
    // What a file holds is at hand when it was read.
    const whole = await asRead()
    t.ok(atHand()?.equals(whole), 'of several sources')
    if (i < 3) await store.flush(TABLE)
  }
  t.equal(store.rowAtHand(mutation, position, Buffer.from([0x41])), null)
  t.equal(store.rowAtHand(Buffer.alloc(100), position, CLUSTERING), undefined, 'a table that is not known')
  const writer = new MutationWriter()
  writer.begin(TABLE_BYTES, 1, 0, Buffer.of(1))
  writer.partitionDeletion(0, 1, NOW)
  store.apply([Buffer.from(writer.finish())])?.catch(() => {})
  t.equal(atHand(), undefined, 'what may be deleted otherwise takes a read')
  await store.close()
})

t.test('a row cache gives what was joined last', async (t) => {
  const store = await open(
    { resolution: 'vclock', caching: { keys: true, rowsPerPartition: Number.POSITIVE_INFINITY } },
    1 << 20,
  )
  apply(store, 1, deltaOf(null, put('a'), dotsAt(1, NOW)))
  const { position } = (await read(store)).partitions[0]!
  const target = { kind: 'partition', position: Buffer.from(position) } as const
  for (let i = 0; i < 2; i++) t.same(shownOf(rowOf(await read(store, { target })), NOW), ['1=a'])
  apply(store, 1, deltaOf(null, put('b'), dotsAt(2, NOW)))
  for (let i = 0; i < 2; i++) t.same(shownOf(rowOf(await read(store, { target })), NOW), ['1=a', '1=b'])
  await store.close()
})

t.test('versions are restored into a table with other column ids', (t) => {
  const tags = makeRow((row) => row.pathCell(4, Buffer.from('x'), 0, 1, Buffer.from('y')))
  const old = versionRow('old')
  const state = joinRows(old, deltaOf(old, { context: null, version: versionRow('a'), sets: tags }, dotsAt(1, NOW)))
  t.same(shownOf(state, NOW), ['1=old', '1=a', 'elements 4x=y'])
  const kept = (id: number): { id: number; voidUpToMicros: null } => ({ id, voidUpToMicros: null })
  const moved = new RowRemapper(
    new Map([
      [1, kept(9)],
      [4, kept(2)],
    ]),
  ).remap(state)
  t.same(shownOf(moved!, NOW), ['9=old', '9=a', 'elements 2x=y'])
  const gone = new RowRemapper(
    new Map([
      [1, null],
      [4, kept(4)],
    ]),
  ).remap(state)
  t.same(shownOf(gone!, NOW), ['', '', 'elements 4x=y'], 'without a column that is no more')
  t.end()
})
