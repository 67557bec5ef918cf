/** The row cache: what it answers, what it must not keep, and writes that come while it is filled. */

import t from 'tap'
import { uuidBytes } from '../../lib/base/uuid.ts'
import { openNodeClock } from '../../lib/runtime/node/clock.ts'
import { openSimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { ALL_ROWS, type ReadCommand, type ReadResult } from '../../storage/model/command.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import { type Change, encodePosition, encodeWrite } from '../support/storage-model.ts'
import { storageRuntime } from '../support/storage-runtime.ts'

const TABLE = '5a1c395e-b41f-11e5-9f22-ba0be0483c18'
const NOW = 1_000
const NEVER = 0xffffffff

async function open(rows: number, rowCacheBytes = 1_000_000): Promise<Store> {
  const runtime = storageRuntime(openNodeClock(), openSimulatedDisk())
  // No block stays in memory: each read of a file waits.
  const settings = { rowCacheBytes, blockCacheBytes: 0, indexCacheBytes: 0 }
  const store = await openStore({ runtime, directory: '/data', settings })
  await register(store, rows)
  return store
}

function register(store: Store, rowsPerPartition: number): Promise<void> {
  const options = { ...DEFAULT_TABLE_OPTIONS, caching: { keys: true, rowsPerPartition } }
  return store.registerTable(TABLE, { keyspace: 'k', name: 't', durableWrites: true, hasClustering: true, options })
}

function write(store: Store, partition: string, clustering: string, value: string, more: Partial<Change> = {}): void {
  const row: Change = {
    kind: 'row',
    isStatic: false,
    clustering,
    liveness: null,
    deletion: null,
    cells: [{ column: 0, path: null, kind: 'live', ts: 1n, localTime: NEVER, ttl: 0, value }],
    ...more,
  } as Change
  void store.apply([encodeWrite({ partition, changes: [row] }, uuidBytes(TABLE))])
}

function command(partition: string, more: Partial<ReadCommand> = {}): ReadCommand {
  return {
    ...ALL_ROWS,
    table: TABLE,
    target: { kind: 'partition', position: encodePosition(partition) },
    nowSeconds: NOW,
    ...more,
  }
}

/** Clusterings and values, and whether the cache answered. */
async function read(store: Store, partition: string, more: Partial<ReadCommand> = {}): Promise<[string, boolean]> {
  const before = hits(store)
  const { partitions }: ReadResult = await store.read(command(partition, more))
  const rows = partitions.flatMap((each) => each.rows.map(({ clustering, row }) => `${clustering}=${row.subarray(-1)}`))
  return [rows.join(' '), hits(store) > before]
}

const hits = (store: Store): number => store.reports.statistics.caches.find(({ name }) => name === 'rows')!.hits

t.test('a whole partition answers every read of it until it is written to', async (t) => {
  const store = await open(Number.POSITIVE_INFINITY)
  t.teardown(() => store.close())
  for (const clustering of ['a', 'b', 'c']) write(store, 'p', clustering, '1')
  write(store, 'q', 'a', '1')
  await store.flush()
  const single = { slices: [{ start: Buffer.from('b'), end: Buffer.from('b\0'), single: true }] }
  t.same(await read(store, 'p', single), ['b=1', false], 'read for one row, kept whole')
  t.same(await read(store, 'p', single), ['b=1', true])
  t.same(await read(store, 'p'), ['a=1 b=1 c=1', true])
  t.same(await read(store, 'p', { reversed: true, limit: 2 }), ['c=1 b=1', true])
  t.same(await read(store, 'nobody'), ['', false])
  t.same(await read(store, 'nobody'), ['', true], 'that there is nothing is known too')
  await store.flush()
  t.same(await read(store, 'p'), ['a=1 b=1 c=1', true], 'a flush changes nothing')
  write(store, 'q', 'b', '1')
  t.same(await read(store, 'p'), ['a=1 b=1 c=1', true], 'nor does a write to another partition')
  write(store, 'p', 'b', '2')
  t.same(await read(store, 'p'), ['a=1 b=2 c=1', false])
  t.same(await read(store, 'p'), ['a=1 b=2 c=1', true])
  await store.truncate(TABLE)
  t.same(await read(store, 'p'), ['', false], 'a truncation empties it')
})

t.test('a head answers what lies within it', async (t) => {
  const store = await open(2)
  t.teardown(() => store.close())
  for (const clustering of ['a', 'b', 'c']) write(store, 'p', clustering, '1')
  const to = (end: string): Partial<ReadCommand> => ({ slices: [{ start: Buffer.alloc(0), end: Buffer.from(end) }] })
  t.same(await read(store, 'p', to('b')), ['a=1', false])
  t.same(await read(store, 'p', to('b')), ['a=1', false], 'a slice fills no head')
  t.same(await read(store, 'p', { limit: 1 }), ['a=1', false])
  t.same(await read(store, 'p', { limit: 1 }), ['a=1', true])
  t.same(await read(store, 'p', { limit: 2 }), ['a=1 b=1', true])
  t.same(await read(store, 'p', to('b')), ['a=1', true])
  t.same(
    await read(store, 'p', to('bb')),
    ['a=1 b=1', false],
    'what is between the last row and the bound is not known',
  )
  t.same(await read(store, 'p'), ['a=1 b=1 c=1', false])
  t.same(await read(store, 'p', { reversed: true, limit: 1 }), ['c=1', false])
})

t.test('a write while the head is read is not hidden by it', async (t) => {
  const store = await open(Number.POSITIVE_INFINITY)
  t.teardown(() => store.close())
  write(store, 'p', 'a', '1')
  await store.flush()
  const reading = store.read(command('p'))
  t.ok(reading instanceof Promise, 'it waits for the disk')
  write(store, 'p', 'a', '2')
  await reading
  t.same(await read(store, 'p'), ['a=2', false])
  t.same(await read(store, 'p'), ['a=2', true])
  const again = store.read(command('q'))
  await store.truncate(TABLE)
  await again
  t.same(await read(store, 'p'), ['', false])
})

t.test('what is not kept', async (t) => {
  const store = await open(Number.POSITIVE_INFINITY, 16_000)
  t.teardown(() => store.close())
  write(store, 'large', 'a', 'x'.repeat(2_000))
  t.same(await read(store, 'large'), ['a=x', false])
  t.same(await read(store, 'large'), ['a=x', false], 'a sixteenth of the cache is too much for one')
  const cache = (): { bytes: number; bytesMax: number } =>
    store.reports.statistics.caches.find(({ name }) => name === 'rows')!
  for (let n = 0; n < 100; n++) {
    write(store, `p${n}`, 'a', 'x'.repeat(200))
    await read(store, `p${n}`)
    if (cache().bytes > cache().bytesMax) t.fail('it is over its budget')
  }
  t.same(await read(store, 'p0'), ['a=x', false], 'the oldest made room')
  t.same(await read(store, 'p99'), ['a=x', true])
  await register(store, 0)
  write(store, 'p99', 'b', '2')
  t.same(await read(store, 'p99'), ['a=x b=2', false], 'off')
  await register(store, Number.POSITIVE_INFINITY)
  t.same(await read(store, 'p99'), ['a=x b=2', false], 'and on: what was kept before is gone')
})

t.test('time goes on in the cache too', async (t) => {
  const store = await open(Number.POSITIVE_INFINITY)
  t.teardown(() => store.close())
  write(store, 'p', 'a', '1', {
    cells: [{ column: 0, path: null, kind: 'expiring', ts: 1n, localTime: NOW + 10, ttl: 10, value: '1' }],
  })
  await read(store, 'p')
  t.same(await read(store, 'p', { nowSeconds: NOW + 9 }), ['a=1', true])
  t.same(await read(store, 'p', { nowSeconds: NOW + 10 }), ['', true])
  write(store, 'p', 'b', '1')
  await read(store, 'p', { nowSeconds: NOW + 10 })
  t.same(await read(store, 'p'), ['a=1 b=1', false], 'an earlier now may see what had expired')
})
