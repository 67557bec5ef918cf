/** A store on a simulated disk in virtual time, for tests of when compactions run and what becomes of them. */
import { createSimulatedClock, type SimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSimulatedJobs } from '../../lib/runtime/simulated/jobs.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import type { CompactionSettings } from '../../storage/compaction/manager.ts'
import type { DamageSettings } from '../../storage/damaged-files.ts'
import { MutationWriter } from '../../storage/model/mutation.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS, type TableOptions } from '../../storage/table-options.ts'
import { ALL, TABLE, TABLE_BYTES } from './compaction.ts'
import { settled } from './power-loss.ts'
import { NOW, storeView } from './storage-model.ts'
import { storageRuntime } from './storage-runtime.ts'

export interface World {
  readonly disk: SimulatedDisk
  readonly clock: SimulatedClock
  readonly logged: string[]
  store: Store
  /** Writes a cell to a row, with this timestamp. */
  put(partition: string, timestamp: number, value: string): void
  /** Deletes a partition. */
  erase(partition: string, timestamp: number): void
  flush(): Promise<void>
  /** Lets everything that runs come to its end. */
  quiet(): Promise<void>
  /** What a reader sees who begins now: partitions and their value. */
  seen(): Promise<Record<string, string>>
  /** Names of the SSTables on disk. */
  sstables(): string[]
  reopen(): Promise<void>
  wait<T>(promise: Promise<T>): Promise<T>
}

export interface WorldOptions {
  readonly disk?: SimulatedDisk
  readonly compaction?: CompactionSettings
  readonly options?: Partial<TableOptions>
  readonly damage?: DamageSettings
  readonly openFilesMax?: number
  /** Chance that a job's thread dies at a pause. */
  readonly deathChance?: number
}

export const DIRECTORY = '/data'

export async function openWorld(given: WorldOptions = {}): Promise<World> {
  const disk = given.disk ?? openSimulatedDisk()
  const clock = createSimulatedClock(NOW * 1_000_000)
  const logged: string[] = []
  const say = (level: string) => (_source: string, message: string) => {
    logged.push(`${level} ${message}`)
  }
  const log = { trace() {}, debug() {}, info: say('INFO'), warn: say('WARN'), error: say('ERROR') }
  const random = createSeededRandom(1)
  const jobs = createSimulatedJobs({ clock, disk, random, deathChance: given.deathChance ?? 0 })
  const open = async (): Promise<Store> => {
    const store = await openStore({
      runtime: { ...storageRuntime(clock, disk, log), jobs },
      directory: DIRECTORY,
      settings: {
        compaction: given.compaction ?? {},
        damage: given.damage ?? {},
        ...(given.openFilesMax === undefined ? {} : { openFilesMax: given.openFilesMax }),
        // The simulated disk keeps them in memory, whole.
        commitLog: { mode: 'group', segmentBytes: 64 * 1024 },
      },
    })
    const options = { ...DEFAULT_TABLE_OPTIONS, ...given.options }
    await store.registerTable(TABLE, { keyspace: 'k', name: 't', durableWrites: true, hasClustering: true, options })
    return store
  }
  await disk.mkdir(DIRECTORY)
  await disk.syncDirectory('/')
  const writer = new MutationWriter()
  const begin = (partition: string): void => {
    const key = Buffer.from(partition)
    writer.begin(TABLE_BYTES, key.readUInt8(), key.length, key)
  }
  const world: World = {
    disk,
    clock,
    logged,
    store: await settled(clock, open()),
    put(partition, timestamp, value) {
      begin(partition)
      writer.beginRow(Buffer.from('c'))
      writer.row.cell(1, 0, timestamp, Buffer.from(value))
      writer.endRow()
      void world.store.apply([writer.finish()])
    },
    erase(partition, timestamp) {
      begin(partition)
      writer.partitionDeletion(0, timestamp, NOW - 100)
      void world.store.apply([writer.finish()])
    },
    flush: () => settled(clock, world.store.flush(TABLE)),
    async quiet() {
      let calm = 0
      for (let turn = 0; calm < 5; turn++) {
        if (turn > 10_000) throw new Error('it never ends')
        await clock.advance(10)
        calm = world.store.compactions!.running.length === 0 ? calm + 1 : 0
      }
    },
    async seen() {
      const result = await settled(clock, Promise.resolve(world.store.read(ALL)))
      const seen: Record<string, string> = {}
      for (const { partition, rows } of storeView(result, NOW))
        seen[partition] = rows.flatMap(({ cells }) => cells.map((cell) => cell.slice(4).split('@')[0])).join()
      return seen
    },
    sstables: () => [...disk.files().keys()].filter((path) => path.endsWith('.sst')),
    async reopen() {
      await settled(clock, world.store.close())
      world.store = await settled(clock, open())
    },
    wait: (promise) => settled(clock, promise),
  }
  return world
}
