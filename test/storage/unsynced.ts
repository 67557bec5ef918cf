/** Reads give nothing that a crash could take away: what is not synced yet is waited for. */
import t from 'tap'
import { uuidBytes } from '../../lib/base/uuid.ts'
import { openNodeClock } from '../../lib/runtime/node/clock.ts'
import { openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import { openStore, type Store } from '../../storage/store.ts'
import type { StoreSettings } from '../../storage/store-words.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import { encodePosition, encodeWrite, NOW } from '../support/storage-model.ts'
import { storageRuntime } from '../support/storage-runtime.ts'

const TABLE = '5a1c395e-b41f-11e5-9f22-ba0be0483c18'
const OTHER = '6a1c395e-b41f-11e5-9f22-ba0be0483c18'

async function open(disk: SimulatedDisk, settings: StoreSettings = {}): Promise<Store> {
  const store = await openStore({ runtime: storageRuntime(openNodeClock(), disk), directory: '/data', settings })
  const table = { keyspace: 'k', name: 't', durableWrites: true, hasClustering: true, options: DEFAULT_TABLE_OPTIONS }
  for (const id of [TABLE, OTHER]) await store.registerTable(id, table)
  return store
}

function write(partition: string, clustering: string, table = TABLE): Buffer {
  const cells = [{ column: 0, path: null, kind: 'live' as const, ts: 1n, localTime: 0, ttl: 0, value: clustering }]
  const liveness = { ts: 1n, ttl: 0, expiresAt: 0 }
  const row = { kind: 'row' as const, isStatic: false, clustering, liveness, deletion: null, cells }
  return encodeWrite({ partition, changes: [row] }, uuidBytes(table))
}

function command(partition: string | null, table = TABLE): ReadCommand {
  const target =
    partition === null
      ? ({ kind: 'range', start: null, end: null } as const)
      : ({ kind: 'partition', position: encodePosition(partition) } as const)
  const all = { limit: Infinity, perPartitionLimit: Infinity, byteLimit: Infinity }
  const shape = { slices: null, reversed: false, wantStatic: true, staticCounts: true, nowSeconds: NOW, after: null }
  return { table, target, ...shape, ...all }
}

function clusterings(result: ReadResult): string[] {
  return result.partitions.flatMap(({ rows }) => rows.map(({ clustering }) => clustering.toString('latin1')))
}

/** Syncs of the commit log wait until they are let go. */
function holdSyncs(disk: SimulatedDisk): () => void {
  let release = (): void => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  disk.onOperation = (operation, path) => (operation === 'sync' && path.includes('commitlog') ? released : undefined)
  return () => {
    disk.onOperation = null
    release()
  }
}

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending')
  const turn = new Promise((resolve) => setImmediate(() => resolve(pending)))
  return (await Promise.race([promise, turn])) !== pending
}

t.test('what is not synced yet is given when it is', async (t) => {
  const disk = openSimulatedDisk()
  const store = await open(disk)
  t.teardown(() => store.close())
  await store.apply([write('a', 'first')])
  const release = holdSyncs(disk)
  const durable = store.apply([write('a', 'second')])!
  const shown: string[][] = []
  const reads = [command('a'), command(null)].map(async (each) => {
    const result = await store.read(each)
    shown.push(clusterings(result))
  })
  t.equal(await isSettled(Promise.race(reads)), false, 'a read by key and a scan wait')
  t.notOk(store.read(command('another')) instanceof Promise, 'another partition does not')
  t.notOk(store.read(command(null, OTHER)) instanceof Promise, 'nor does another table')
  const later = store.apply([write('a', 'third')])!
  release()
  await durable
  await Promise.all(reads)
  t.same(
    shown,
    [
      ['first', 'second'],
      ['first', 'second'],
    ],
    'what was read, and not what came while it waited',
  )
  await later
  t.same(clusterings(await store.read(command('a'))), ['first', 'second', 'third'])
})

t.test('a crash takes away nothing that was shown', async (t) => {
  const disk = openSimulatedDisk()
  const store = await open(disk)
  const shown: string[] = []
  const release = holdSyncs(disk)
  const writes = ['one', 'two', 'three'].map((clustering) => store.apply([write('a', clustering)])!)
  const read = Promise.resolve(store.read(command('a'))).then((result) => shown.push(...clusterings(result)))
  const crashed = disk.crash(0, createSeededRandom(1))
  t.same(shown, [], 'nothing was shown before the sync')
  release()
  await Promise.all([...writes, read])
  t.same(shown.sort(), ['one', 'three', 'two'])
  await store.close()
  const survivor = await open(crashed)
  t.same(clusterings(await survivor.read(command('a'))), [], 'and nothing of it was there before')
  await survivor.close()
})

t.test('where writes do not wait, reads do not either', async (t) => {
  const disk = openSimulatedDisk()
  const store = await open(disk, { commitLog: { mode: 'periodic', syncPeriodMs: 10_000 } })
  t.teardown(() => store.close())
  t.equal(store.apply([write('a', 'first')]), undefined)
  t.notOk(store.read(command('a')) instanceof Promise)
})

t.test('a log that failed keeps nobody from reading', async (t) => {
  const disk = openSimulatedDisk()
  const store = await open(disk)
  disk.onOperation = (operation, path) => {
    if (operation === 'sync' && path.includes('commitlog')) throw Object.assign(new Error('EIO'), { code: 'EIO' })
  }
  const durable = store.apply([write('a', 'first')])!
  const read = store.read(command('a'))
  await t.rejects(durable)
  t.same(clusterings(await read), ['first'])
  t.notOk(store.read(command('a')) instanceof Promise)
  disk.onOperation = null
  await store.close().catch(() => undefined)
})
