/**
 * Power loss at every disk operation of a scripted load, with all, half and none of what was not synced surviving: what opens afterwards
 * holds every write that was acknowledged, and else only writes that were asked for, in their order. An argument makes the load longer than its 40 steps: `npm run powerloss` takes 1 000, and fails each
 * operation of the disk once.
 */
import t from 'tap'
import { createSimulatedClock, type SimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { diskError, openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import type { ReadCommand } from '../../storage/model/command.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { tableIdBytes } from '../../storage/table-store.ts'
import { createDice, type Dice, testSeed } from '../support/random.ts'
import {
  encodeWrite,
  type Model,
  type ModelWrite,
  modelView,
  NOW,
  randomWrite,
  record,
  storeView,
} from '../support/storage-model.ts'
import { storageRuntime } from '../support/storage-runtime.ts'

const TABLE = '5a1c395e-b41f-11e5-9f22-ba0be0483c18'
const TABLE_BYTES = tableIdBytes(TABLE)
const SHORT_STEPS = 40
const STEPS = Number(process.argv[2] ?? SHORT_STEPS)
/** Operations of the disk that fail with EIO, in the short run. */
const SHORT_ERRORS = 30
if (STEPS > SHORT_STEPS) t.setTimeout(0)

const SURVIVALS = [0, 0.5, 1]

const ALL: ReadCommand = {
  table: TABLE,
  target: { kind: 'range', start: null, end: null },
  slices: null,
  reversed: false,
  wantStatic: true,
  staticCounts: true,
  limit: Infinity,
  perPartitionLimit: Infinity,
  byteLimit: Infinity,
  nowSeconds: NOW,
  after: null,
}

/** Lets the store's background work go on until the promise settles. */
async function settled<T>(clock: SimulatedClock, promise: Promise<T>): Promise<T> {
  let done = false
  const finish = (): void => {
    done = true
  }
  promise.then(finish, finish)
  for (let turn = 0; !done; turn++) {
    if (turn > 10_000) throw new Error('nothing happens any more')
    await clock.advance(turn < 10 ? 0 : 100)
  }
  return promise
}

async function open(disk: SimulatedDisk, clock: SimulatedClock): Promise<Store> {
  const store = await settled(
    clock,
    openStore({
      runtime: storageRuntime(clock, disk),
      directory: '/data',
      settings: { memtableBytesMax: 1_000_000, commitLog: { mode: 'group', segmentBytes: 16 * 1024 } },
    }),
  )
  await settled(
    clock,
    store.registerTable(TABLE, {
      keyspace: 'k',
      name: 't',
      durableWrites: true,
      gcGraceSeconds: 864_000,
      hasClustering: true,
    }),
  )
  return store
}

/** What was asked for, and how much of it is sure. */
interface Progress {
  readonly writes: (ModelWrite | 'truncate')[]
  acknowledged: number
}

/** Text of what must be read after exactly the first `count` writes. */
function viewAfter(progress: Progress, count: number): string {
  const model: Model = new Map()
  for (const write of progress.writes.slice(0, count)) {
    if (write === 'truncate') model.clear()
    else record(model, write)
  }
  return JSON.stringify(modelView(model, NOW))
}

/** Runs the script; an operation that fails ends it. */
async function run(dice: Dice, disk: SimulatedDisk, progress: Progress): Promise<void> {
  const clock = createSimulatedClock()
  await disk.mkdir('/data')
  await disk.syncDirectory('/')
  let store = await open(disk, clock)
  let pending: Promise<unknown>[] = []
  const settleAll = async (): Promise<void> => {
    await settled(clock, Promise.all(pending))
    pending = []
  }
  for (let step = 0; step < STEPS; step++) {
    const roll = dice.int(30)
    if (roll === 0) pending.push(store.flush(TABLE))
    else if (roll === 1) {
      await settleAll()
      await settled(clock, store.close())
      store = await open(disk, clock)
    } else if (roll === 2) {
      await settleAll()
      progress.writes.push('truncate')
      await settled(clock, store.truncate(TABLE))
      progress.acknowledged = progress.writes.length
    } else {
      const writes = Array.from({ length: dice.chance(0.1) ? 3 : 1 }, () => randomWrite(dice))
      // One record, all or nothing: the model counts it as one write of several changes only when the partition is one.
      for (const write of writes) {
        progress.writes.push(write)
        const count = progress.writes.length
        const durable = store.apply([encodeWrite(write, TABLE_BYTES)])
        if (durable)
          pending.push(
            durable.then(() => {
              progress.acknowledged = Math.max(progress.acknowledged, count)
            }),
          )
        else progress.acknowledged = count
      }
      if (dice.chance(0.6)) await settleAll()
    }
  }
  await settleAll()
  await settled(clock, store.close())
}

/** Opens what a crash left and compares. Returns what is wrong, or null. */
async function inspect(
  disk: SimulatedDisk,
  progress: Progress,
  acknowledged: number,
  issued: number,
): Promise<string | null> {
  const clock = createSimulatedClock()
  let seen: string
  try {
    await disk.mkdir('/data')
    const store = await open(disk, clock)
    seen = JSON.stringify(storeView(await settled(clock, Promise.resolve(store.read(ALL))), NOW))
    await settled(clock, store.close())
  } catch (error) {
    return `does not open: ${(error as Error).stack}`
  }
  for (let count = acknowledged; count <= issued; count++) if (seen === viewAfter(progress, count)) return null
  return `${acknowledged} acknowledged, ${issued} issued: ${seen} is none of ${viewAfter(progress, acknowledged)}`
}

t.test('a power loss at any operation loses nothing that was acknowledged', async (t) => {
  const seed = testSeed()
  const disk = openSimulatedDisk()
  const progress: Progress = { writes: [], acknowledged: 0 }
  const random = createSeededRandom(seed)
  const crashes: { disk: SimulatedDisk; acknowledged: number; issued: number; at: string }[] = []
  let last = -1
  disk.onOperation = (operation, path, index) => {
    if (index === last) return
    last = index
    for (const survival of SURVIVALS)
      crashes.push({
        disk: disk.crash(survival, random),
        acknowledged: progress.acknowledged,
        issued: progress.writes.length,
        at: `TEST_SEED=${seed} ${operation} ${path} (${index}) survival ${survival}`,
      })
  }
  await run(createDice(seed), disk, progress)
  disk.onOperation = null
  for (const { disk: left, acknowledged, issued, at } of crashes) {
    const wrong = await inspect(left, progress, acknowledged, issued)
    if (wrong) return t.fail(`${at}: ${wrong}`)
  }
  t.pass(`${crashes.length} crashes`)
})

t.test('an error of the disk at any operation is never taken for success', async (t) => {
  const seed = testSeed()
  const counting = openSimulatedDisk()
  await run(createDice(seed), counting, { writes: [], acknowledged: 0 })
  const every = STEPS > SHORT_STEPS ? 1 : Math.max(1, Math.floor(counting.operations / SHORT_ERRORS))
  for (let at = 0; at < counting.operations; at += every) {
    const disk = openSimulatedDisk()
    const progress: Progress = { writes: [], acknowledged: 0 }
    disk.onOperation = (_, path, index) => {
      if (index === at) throw diskError('EIO', path)
    }
    await run(createDice(seed), disk, progress).catch(() => {})
    disk.onOperation = null
    const left = disk.crash(0, createSeededRandom(seed))
    const wrong = await inspect(left, progress, progress.acknowledged, progress.writes.length)
    if (wrong) return t.fail(`TEST_SEED=${seed} EIO at operation ${at}: ${wrong}`)
  }
  t.pass(`${Math.ceil(counting.operations / every)} errors`)
})
