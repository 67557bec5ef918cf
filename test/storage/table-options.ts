/** What a table's options do to its SSTables and flushes, also when they change while the node runs. */

import t from 'tap'
import { uuidBytes } from '../../lib/base/uuid.ts'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { MutationWriter } from '../../storage/model/mutation.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS, type TableOptions } from '../../storage/table-options.ts'
import { settled } from '../support/power-loss.ts'
import { storageRuntime } from '../support/storage-runtime.ts'

const TABLE = '5a1c395e-b41f-11e5-9f22-ba0be0483c18'

async function openWorld(): Promise<World> {
  const clock = createSimulatedClock()
  const disk = openSimulatedDisk()
  await disk.mkdir('/data')
  const store = await settled(clock, openStore({ runtime: storageRuntime(clock, disk), directory: '/data' }))
  return { clock, disk, store }
}

interface World {
  readonly clock: ReturnType<typeof createSimulatedClock>
  readonly disk: SimulatedDisk
  readonly store: Store
}

function register({ clock, store }: World, options: Partial<TableOptions>): Promise<void> {
  const table = {
    keyspace: 'k',
    name: 't',
    durableWrites: true,
    hasClustering: true,
    options: { ...DEFAULT_TABLE_OPTIONS, ...options },
  }
  return settled(clock, store.registerTable(TABLE, table))
}

/** A hundred partitions of a row each. */
function write({ clock, store }: World): Promise<void> {
  const writer = new MutationWriter()
  for (let i = 0; i < 100; i++) {
    writer.begin(uuidBytes(TABLE), i, 0, Buffer.from(`partition ${i}`))
    writer.beginRow(Buffer.alloc(0))
    writer.row.liveness(0, 1, 0, 0)
    writer.row.cell(0, 0, 1, Buffer.alloc(200, 'the same again and again; '))
    writer.endRow()
    store.apply([Buffer.from(writer.finish())])
  }
  return settled(clock, Promise.resolve())
}

async function flushed(world: World): Promise<number> {
  const before = world.store.reports.statistics.fileBytes
  await write(world)
  await settled(world.clock, world.store.flush(TABLE))
  return world.store.reports.statistics.fileBytes - before
}

t.test(
  'SSTables are compressed, cut into blocks and given filters as the options say, from the next flush on',
  async (t) => {
    const world = await openWorld()
    await register(world, {})
    const usual = await flushed(world)
    await register(world, { compression: { enabled: false, blockBytes: 4096 } })
    const raw = await flushed(world)
    t.ok(raw > 20_000, `${raw} bytes raw`)
    t.ok(usual < raw / 2, `${usual} bytes with LZ4`)
    await register(world, { compression: { enabled: false, blockBytes: 512 } })
    t.ok((await flushed(world)) > raw + 500, 'small blocks: a longer index')
    await register(world, { compression: { enabled: false, blockBytes: 4096 }, bloomFilterFpChance: 1 })
    t.ok((await flushed(world)) < raw - 100, 'no filter')
    await settled(world.clock, world.store.close())
  },
)

t.test('memtable_flush_period: what was written is flushed in time, and nothing when nothing was', async (t) => {
  const world = await openWorld()
  const { clock, store } = world
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 100) await clock.advance(100)
    for (let i = 0; i < 100; i++) await clock.advance(0)
  }
  await register(world, {})
  await write(world)
  await pass(20_000)
  t.equal(store.reports.statistics.files, 0, 'without a period nothing is flushed')
  await register(world, { memtableFlushPeriodMs: 10_000 })
  await pass(9_000)
  t.equal(store.reports.statistics.files, 0)
  await pass(1_500)
  t.equal(store.reports.statistics.files, 1)
  await pass(30_000)
  t.equal(store.reports.statistics.flushes, 1, 'nothing new: nothing is flushed')
  await write(world)
  await pass(10_500)
  t.equal(store.reports.statistics.files, 2)
  await register(world, { memtableFlushPeriodMs: 1_000 })
  await write(world)
  await pass(1_500)
  t.equal(store.reports.statistics.files, 3, 'a new period counts at once')
  await register(world, {})
  await write(world)
  await pass(30_000)
  t.equal(store.reports.statistics.files, 3, 'and so does none')
  await settled(clock, store.close())
  await pass(30_000)
})
