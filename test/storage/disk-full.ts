/** A store on a disk that fills up: writes are refused, reads answered, what was taken is there; with room it goes on by itself. And the ballast. */

import t from 'tap'
import { uuidBytes } from '../../lib/base/uuid.ts'
import { createSimulatedClock, type SimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { diskError, openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { NoRoomError } from '../../storage/errors.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import { ALL, settled, TABLE } from '../support/power-loss.ts'
import { createDice } from '../support/random.ts'
import { encodeWrite, type Model, modelView, NOW, randomWrite, record, storeView } from '../support/storage-model.ts'
import { storageRuntime } from '../support/storage-runtime.ts'

const SEGMENT = 16 * 1024
const MEMTABLES = 256 * 1024
const ESSENTIAL = '5a1c395e-b41f-11e5-9f22-ba0be0483c19'
const DESCRIBED = {
  keyspace: 'k',
  name: 't',
  durableWrites: true,
  hasClustering: true,
  options: DEFAULT_TABLE_OPTIONS,
}

interface World {
  readonly clock: SimulatedClock
  readonly disk: SimulatedDisk
  readonly said: string[]
}

async function open(world: World, settings: object = {}): Promise<Store> {
  const { clock, disk, said } = world
  await disk.mkdir('/data')
  await disk.syncDirectory('/')
  const say = (_: string, message: string): void => {
    said.push(message)
  }
  const log = { trace() {}, debug() {}, info: say, warn: say, error: say }
  const store = await settled(
    clock,
    openStore({
      // What has expired for the reader, and only that, has for the store.
      runtime: storageRuntime({ ...clock, wallMicros: () => NOW * 1_000_000 }, disk, log),
      directory: '/data',
      settings: { memtableBytesMax: MEMTABLES, commitLog: { mode: 'group', segmentBytes: SEGMENT }, ...settings },
    }),
  )
  await settled(clock, store.registerTable(TABLE, DESCRIBED))
  return store
}

function createWorld(disk = openSimulatedDisk()): World {
  return { clock: createSimulatedClock(NOW * 1_000_000), disk, said: [] }
}

/** A store, what was written to it, and what must be read. */
class Load {
  readonly #model: Model = new Map()
  readonly #dice = createDice(11)
  taken = 0

  async write(world: World, store: Store, table = TABLE): Promise<void> {
    const write = randomWrite(this.#dice)
    const done = store.apply([encodeWrite(write, uuidBytes(table))])
    await settled(world.clock, done ?? Promise.resolve())
    if (table === TABLE) record(this.#model, write)
    this.taken++
  }

  async check(world: World, store: Store): Promise<boolean> {
    const seen = storeView(await settled(world.clock, Promise.resolve(store.read(ALL))), NOW)
    return JSON.stringify(seen) === JSON.stringify(modelView(this.#model, NOW))
  }
}

t.test('nearly full: writes are refused, all else goes on; with room it takes them again', async (t) => {
  const world = createWorld()
  const { clock, disk, said } = world
  const store = await open(world)
  const load = new Load()
  for (let i = 0; i < 30; i++) await load.write(world, store)
  await settled(clock, store.registerTable(ESSENTIAL, { ...DESCRIBED, name: 'own', isEssential: true }))
  const used = disk.usedBytes
  for (const [capacity, full] of [
    [used + SEGMENT + MEMTABLES - 1024, true],
    [used * 1000, false],
    [used * 1000, false],
  ] as const) {
    disk.capacityBytes = capacity
    await clock.advance(1_500)
    t.same(store.reports.problems.length > 0, full)
    if (full) {
      await t.rejects(load.write(world, store), NoRoomError)
      await load.write(world, store, ESSENTIAL)
      await settled(clock, store.flush(TABLE))
    } else await load.write(world, store)
    t.ok(await load.check(world, store))
  }
  t.match(said.join('\n'), /Writes are refused: \d+ bytes are free[\s\S]*There is room on the disk again/)
  disk.capacityBytes = (used + SEGMENT + MEMTABLES) * 200
  await clock.advance(1_500)
  t.same(store.reports.problems, [])
  const filler = await disk.open('/filler', 'create')
  await filler.write(Buffer.alloc(Math.floor((await disk.freeBytes('/')) - disk.capacityBytes * 0.019)), 0)
  await clock.advance(1_500)
  t.match(store.reports.problems, [/98\.\d % of the disk/])
  await disk.remove('/filler')
  await clock.advance(1_500)
  await load.write(world, store)
  await settled(clock, store.close())
  const again = await open(createWorld(disk.crash(0, createSeededRandom(1))))
  t.ok(await load.check(world, again))
  await settled(world.clock, again.close())
})

t.test(
  'full to the last sector, at any moment: nothing that was taken is lost, and no restart is needed',
  async (t) => {
    for (const sectors of [0, 1, 2, 4, 7, 15, 40]) {
      const world = createWorld()
      const { clock, disk } = world
      const store = await open(world, { diskSpace: { usedPercentMax: null } })
      const load = new Load()
      for (let i = 0; i < 5; i++) await load.write(world, store)
      // Behind the back of the one who looks every second.
      disk.capacityBytes = disk.usedBytes + sectors * 512
      let waiting: Promise<void> | null = null
      for (let i = 0; i < 60 && waiting === null; i++) {
        const writing = load.write(world, store)
        let done = false
        writing.then(
          () => {
            done = true
          },
          () => {
            done = true
          },
        )
        for (let turn = 0; turn < 30 && !done; turn++) await clock.advance(10)
        if (!done) waiting = writing
        else
          await writing.catch((error: unknown) => {
            if (!(error instanceof NoRoomError)) t.fail(String(error))
          })
        if (i === 20) void store.flush(TABLE).catch(() => {})
      }
      disk.capacityBytes = Number.POSITIVE_INFINITY
      await clock.advance(40_000)
      if (waiting) await settled(clock, waiting)
      const before = load.taken
      await load.write(world, store)
      t.ok(load.taken > before && (await load.check(world, store)), `${sectors} sectors, ${load.taken} writes`)
      await settled(clock, store.flush(TABLE))
      const crashed = createWorld(disk.crash(0, createSeededRandom(1)))
      const again = await open(crashed)
      t.ok(await load.check(crashed, again))
      await settled(crashed.clock, again.close())
      await settled(clock, store.close())
    }
  },
)

t.test('a start on a full disk, after a crash: reads are answered, writes refused until there is room', async (t) => {
  const first = createWorld()
  const load = new Load()
  const store = await open(first, { memtableBytesMax: 4_000 })
  for (let i = 0; i < 60; i++) await load.write(first, store)
  const world = createWorld(first.disk.crash(0, createSeededRandom(1)))
  await settled(first.clock, store.close())
  const { clock, disk } = world
  disk.onOperation = (operation, path) => {
    if (operation === 'write' || operation === 'link') throw diskError('ENOSPC', path)
  }
  const again = await open(world, { memtableBytesMax: 100 })
  t.ok(await load.check(world, again))
  t.throws(() => again.apply([encodeWrite(randomWrite(createDice(1)), uuidBytes(TABLE))]), NoRoomError)
  t.ok(again.reports.problems.length > 0)
  disk.onOperation = null
  await clock.advance(60_000)
  t.same(again.reports.problems, [])
  await load.write(world, again)
  t.ok(await load.check(world, again))
  await settled(clock, again.close())
})

t.test('the ballast is made when there is ample room, and made again when it was used', async (t) => {
  const world = createWorld()
  const { clock, disk } = world
  const store = await open(world, { diskSpace: { ballastBytes: 3_000_000 } })
  const has = (): number | undefined => disk.files().get('/data/ballast')?.length
  await clock.advance(20_000)
  t.equal(has(), undefined, 'not by a node that lives short')
  await clock.advance(20_000)
  t.equal(has(), 3_000_000)
  await disk.remove('/data/ballast')
  disk.capacityBytes = disk.usedBytes + 30_000_000
  await clock.advance(10_000)
  t.equal(has(), undefined)
  disk.capacityBytes *= 10
  await clock.advance(10_000)
  t.equal(has(), 3_000_000)
  await settled(clock, store.close())
})
