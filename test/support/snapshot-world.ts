/** Two tables on a simulated disk, with what is written to them counted: for the tests of snapshots and restores. */
import { uuidBytes } from '../../lib/base/uuid.ts'
import { createSimulatedClock, type SimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import type { SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import type { ReadCommand } from '../../storage/model/command.ts'
import { openStore, type Store } from '../../storage/store.ts'
import type { StoreSettings } from '../../storage/store-words.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import { ALL, settled } from './power-loss.ts'
import { encodeWrite, type ModelWrite, NOW, storeView } from './storage-model.ts'
import { storageRuntime } from './storage-runtime.ts'

export const ONE = '5a1c395e-b41f-11e5-9f22-ba0be0483c18'
export const TWO = '6b1c395e-b41f-11e5-9f22-ba0be0483c18'

export interface SnapshotWorld {
  readonly disk: SimulatedDisk
  readonly clock: SimulatedClock
  readonly store: Store
  wait<T>(promise: Promise<T> | T | undefined): Promise<T>
  put(table: string, key: string, value: string, ts?: bigint): Promise<void>
  /** key=value of all rows of a table. */
  values(table: string): Promise<string[]>
  close(): Promise<void>
}

export async function openWorld(
  disk: SimulatedDisk,
  settings: Partial<StoreSettings> = {},
  clock = createSimulatedClock(),
): Promise<SnapshotWorld> {
  await disk.mkdir('/data')
  await disk.syncDirectory('/')
  const wait = <T>(promise: Promise<T> | T | undefined): Promise<T> => settled(clock, Promise.resolve(promise as T))
  const store = await wait(
    openStore({
      runtime: storageRuntime(clock, disk),
      directory: '/data',
      settings: { commitLog: { mode: 'group', segmentBytes: 16 * 1024 }, ...settings },
    }),
  )
  await wait(Promise.all([registerTable(store, ONE, 'one'), registerTable(store, TWO, 'two')]))
  return {
    disk,
    clock,
    store,
    wait,
    async put(table, key, value, ts = 5n) {
      await wait(store.apply([encodeWrite(oneRow(key, value, ts), uuidBytes(table))]))
    },
    async values(table) {
      const command: ReadCommand = { ...ALL, table }
      const view = storeView(await wait(store.read(command)), NOW)
      return view.flatMap(({ partition, rows }) =>
        rows.map(({ cells }) => `${partition}=${/=(.*)@/.exec(cells[0]!)![1]}`),
      )
    },
    close: () => wait(store.close()),
  }
}

export function registerTable(store: Store, id: string, name: string, shape = ''): Promise<void> {
  return store.registerTable(id, {
    keyspace: 'k',
    name,
    durableWrites: true,
    options: DEFAULT_TABLE_OPTIONS,
    hasClustering: true,
    shape,
  })
}

/** A row with one live cell. */
function oneRow(key: string, value: string, ts: bigint): ModelWrite {
  const cells = [{ column: 0, path: null, kind: 'live', ts, localTime: 0, ttl: 0, value } as const]
  return {
    partition: key,
    changes: [{ kind: 'row', isStatic: false, clustering: 'a', liveness: null, deletion: null, cells }],
  }
}
