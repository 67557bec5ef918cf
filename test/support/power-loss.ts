/**
 * A scripted load on a simulated disk, and what must hold after the power goes, or the disk fails, at any of its operations: what opens
 * afterwards holds every write that was acknowledged, and else only writes that were asked for, in their order.
 */
import { uuidBytes } from '../../lib/base/uuid.ts'
import { createSimulatedClock, type SimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { diskError, openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { CompactionStopped } from '../../storage/compaction/run.ts'
import type { ReadCommand } from '../../storage/model/command.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { type CompactionOptions, DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import type { StoredTable } from '../../storage/table-store.ts'
import { COMPACTIONS } from './model/options.ts'
import { createDice, type Dice } from './random.ts'
import {
  encodeWrite,
  everythingIn,
  type Model,
  type ModelWrite,
  modelView,
  NOW,
  randomWrite,
  record,
  storeView,
} from './storage-model.ts'
import { storageRuntime } from './storage-runtime.ts'

export const TABLE = '5a1c395e-b41f-11e5-9f22-ba0be0483c18'
const TABLE_BYTES = uuidBytes(TABLE)
export const SURVIVALS = [0, 0.5, 1]

/** Everything in the table. */
export const ALL: ReadCommand = everythingIn(TABLE)

export interface Script {
  readonly seed: number
  readonly steps: number
}

export interface Outcome {
  /** Operations of the disk that the script took. */
  readonly operations: number
  /** Disks that were opened and compared. */
  readonly inspected: number
  /** Compactions that the script saw done. */
  readonly compactions: number
  readonly problems: readonly string[]
}

/** Lets the store's background work go on until the promise settles. */
export async function settled<T>(clock: SimulatedClock, promise: Promise<T>): Promise<T> {
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

const STORED: StoredTable = {
  keyspace: 'k',
  name: 't',
  durableWrites: true,
  hasClustering: true,
  options: DEFAULT_TABLE_OPTIONS,
}

/** `compaction`: what the table is compacted with; null: nothing is compacted by itself. */
async function openScriptStore(
  disk: SimulatedDisk,
  clock: SimulatedClock,
  compaction: CompactionOptions | null,
): Promise<Store> {
  const store = await settled(
    clock,
    openStore({
      runtime: storageRuntime(clock, disk),
      directory: '/data',
      settings: {
        memtableBytesMax: 1_000_000,
        commitLog: { mode: 'group', segmentBytes: 16 * 1024 },
        compaction: { automatic: compaction !== null },
      },
    }),
  )
  await settled(clock, store.registerTable(TABLE, compaction === null ? STORED : compactedWith(compaction)))
  return store
}

function compactedWith(compaction: CompactionOptions): StoredTable {
  return { ...STORED, options: { ...DEFAULT_TABLE_OPTIONS, compaction } }
}

/** What was asked for, and how much of it is sure. */
class Progress {
  readonly writes: (ModelWrite | 'truncate')[] = []
  acknowledged = 0
  compactions = 0
  /** Texts of what must be read after so many writes. */
  readonly #views = new Map<number, string>()

  /** What must be read after exactly the first `count` writes. */
  viewAfter(count: number): string {
    const known = this.#views.get(count)
    if (known !== undefined) return known
    const model: Model = new Map()
    const from = this.writes.lastIndexOf('truncate', count - 1) + 1
    for (const write of this.writes.slice(count > 0 ? from : 0, count)) record(model, write as ModelWrite)
    const view = JSON.stringify(modelView(model, NOW))
    this.#views.set(count, view)
    return view
  }
}

interface Left {
  readonly disk: SimulatedDisk
  readonly acknowledged: number
  readonly issued: number
  readonly at: string
}

/** Runs the script; an operation that fails ends it. `between` is awaited after each step. */
async function run(
  script: Script,
  disk: SimulatedDisk,
  progress: Progress,
  between?: (step: number) => Promise<void>,
): Promise<void> {
  const dice: Dice = createDice(script.seed)
  const clock = createSimulatedClock(NOW * 1_000_000)
  await disk.mkdir('/data')
  await disk.syncDirectory('/')
  // Every way to compact has its share of the script.
  const compactionAt = (step: number): CompactionOptions =>
    COMPACTIONS[Math.floor((step / script.steps) * COMPACTIONS.length)]!
  let compaction = compactionAt(0)
  let store = await openScriptStore(disk, clock, compaction)
  let pending: Promise<unknown>[] = []
  const wait = (promise: Promise<unknown>): void => {
    // It may fail when nobody waits any more: the script ends at the first failure.
    promise.catch(() => {})
    pending.push(promise)
  }
  const close = async (): Promise<void> => {
    progress.compactions += store.compactions!.counts.completed
    await settled(clock, store.close())
  }
  const settleAll = async (): Promise<void> => {
    await settled(clock, Promise.all(pending))
    pending = []
  }
  for (let step = 0; step < script.steps; step++) {
    if (compactionAt(step) !== compaction) {
      compaction = compactionAt(step)
      await settled(clock, store.registerTable(TABLE, compactedWith(compaction)))
    }
    const roll = dice.int(30)
    if (roll < 2) wait(store.flush(TABLE))
    else if (roll === 2 && dice.chance(0.5)) {
      await settleAll()
      await close()
      store = await openScriptStore(disk, clock, compaction)
    } else if (roll === 3) {
      const asked = store.compactions!.major(TABLE, { splitOutput: dice.chance(0.3) })
      wait(
        asked.catch((error: unknown) => {
          if (!(error instanceof CompactionStopped)) throw error
        }),
      )
    } else if (roll === 4 && dice.chance(0.3)) {
      await settleAll()
      progress.writes.push('truncate')
      await settled(clock, store.truncate(TABLE))
      progress.acknowledged = progress.writes.length
    } else {
      for (let n = dice.chance(0.1) ? 3 : 1; n > 0; n--) {
        const write = randomWrite(dice)
        progress.writes.push(write)
        const count = progress.writes.length
        const durable = store.apply([encodeWrite(write, TABLE_BYTES)])
        if (durable)
          wait(
            durable.then(() => {
              progress.acknowledged = Math.max(progress.acknowledged, count)
            }),
          )
        else progress.acknowledged = count
      }
      if (dice.chance(0.6)) await settleAll()
    }
    await between?.(step)
    // What expires after NOW must not do so for compactions: the reader is always at NOW.
    clock.skew(NOW * 1_000_000 - clock.wallMicros())
  }
  await settleAll()
  await close()
}

/** Every SSTable on disk is one of the store's, and nothing else lies beside them. */
function litterOf(disk: SimulatedDisk, store: Store): string | null {
  const found = [...disk.files().keys()].filter(
    (path) => path.startsWith('/data/tables/') && path !== '/data/tables/MANIFEST',
  )
  const { files } = store.reports.statistics
  return found.length === files ? null : `the store has ${files} SSTables, on disk are ${found.join(', ')}`
}

/** Opens what was left and compares. Returns what is wrong, or null. */
async function inspect(left: Left, progress: Progress): Promise<string | null> {
  const { disk, acknowledged, issued } = left
  const clock = createSimulatedClock(NOW * 1_000_000)
  let seen: string
  try {
    await disk.mkdir('/data')
    const store = await openScriptStore(disk, clock, null)
    const litter = litterOf(disk, store)
    if (litter) return `${left.at}: ${litter}`
    seen = JSON.stringify(storeView(await settled(clock, Promise.resolve(store.read(ALL))), NOW))
    await settled(clock, store.close())
  } catch (error) {
    return `${left.at}: does not open: ${(error as Error).stack}`
  }
  for (let count = acknowledged; count <= issued; count++) if (seen === progress.viewAfter(count)) return null
  return `${left.at}: ${acknowledged} acknowledged, ${issued} issued: ${seen} is none of ${progress.viewAfter(acknowledged)}`
}

/**
 * The power goes at every operation of the script, at each rate of survival; and, for each of those, once more at some operation of the
 * recovery, so that a recovery that is cut short is recovered from too.
 */
export async function losePowerEverywhere(script: Script, report?: (done: Outcome) => void): Promise<Outcome> {
  const { seed, steps } = script
  const disk = openSimulatedDisk()
  const progress = new Progress()
  const random = createSeededRandom(seed)
  const problems: string[] = []
  let left: Left[] = []
  let inspected = 0
  let last = -1
  disk.onOperation = (operation, path, index) => {
    if (index === last) return
    last = index
    for (const survival of SURVIVALS)
      left.push({
        disk: disk.crash(survival, random),
        acknowledged: progress.acknowledged,
        issued: progress.writes.length,
        at: `TEST_SEED=${seed} ${operation} ${path} (${index}) survival ${survival}`,
      })
  }
  const look = async (one: Left): Promise<void> => {
    inspected += 1
    const wrong = await inspect(one, progress)
    if (wrong) problems.push(wrong)
  }
  // The recoveries take about 25 operations.
  const lookTwice = async (one: Left): Promise<void> => {
    const at = Math.floor(random.float() * 25)
    const survival = SURVIVALS[Math.floor(random.float() * SURVIVALS.length)]!
    let again: Left | null = null
    one.disk.onOperation = (operation, path, index) => {
      if (index !== at || again) return
      again = {
        ...one,
        disk: one.disk.crash(survival, random),
        at: `${one.at}, then ${operation} ${path} (${index}) survival ${survival}`,
      }
    }
    await look(one)
    if (again) await look(again)
  }
  const outcome = (): Outcome => ({
    operations: last + 1,
    inspected,
    compactions: progress.compactions,
    problems,
  })
  const drain = async (): Promise<void> => {
    while (left.length > 0) {
      const batch = left
      left = []
      for (const one of batch) await lookTwice(one)
    }
  }
  await run(script, disk, progress, async (step) => {
    await drain()
    if (step % Math.max(1, Math.floor(steps / 20)) === 0) report?.(outcome())
  })
  await drain()
  return outcome()
}

/** One operation of the disk fails, each in turn (or each `every`th): what was acknowledged then is there after a power loss that keeps nothing. */
export async function failEverywhere(
  script: Script,
  code: 'EIO' | 'ENOSPC' | 'EMFILE',
  every = 1,
  report?: (done: Outcome) => void,
): Promise<Outcome> {
  const { seed } = script
  const counting = openSimulatedDisk()
  const whole = new Progress()
  await run(script, counting, whole)
  const { operations } = counting
  const { compactions } = whole
  const problems: string[] = []
  let inspected = 0
  for (let at = 0; at < operations; at += every) {
    const disk = openSimulatedDisk()
    const progress = new Progress()
    disk.onOperation = (operation, path, index) => {
      if (index < at || (code === 'EMFILE' && operation !== 'open' && operation !== 'link')) return
      disk.onOperation = null
      throw diskError(code, path)
    }
    await run(script, disk, progress).catch(() => {})
    disk.onOperation = null
    for (const survival of [0, 1]) {
      inspected += 1
      const wrong = await inspect(
        {
          disk: disk.crash(survival, createSeededRandom(seed)),
          acknowledged: progress.acknowledged,
          issued: progress.writes.length,
          at: `TEST_SEED=${seed} ${code} at operation ${at} survival ${survival}`,
        },
        progress,
      )
      if (wrong) problems.push(wrong)
    }
    if (inspected % 200 === 0) report?.({ operations, inspected, compactions, problems })
  }
  return { operations, inspected, compactions, problems }
}

/**
 * The process is killed at operations of the script, which loses nothing that it wrote, and the power goes during the start that follows: what that start has
 * read, but nobody synced, may be gone in the one after it.
 */
export async function killThenLosePower(script: Script, every = 1, report?: (done: Outcome) => void): Promise<Outcome> {
  const { seed } = script
  const random = createSeededRandom(seed)
  const counting = openSimulatedDisk()
  const whole = new Progress()
  await run(script, counting, whole)
  const { operations } = counting
  const { compactions } = whole
  const problems: string[] = []
  let inspected = 0
  for (let at = 0; at < operations; at += every) {
    const disk = openSimulatedDisk()
    const progress = new Progress()
    disk.onOperation = (_, path, index) => {
      if (index >= at) throw diskError('EKILLED', path)
    }
    await run(script, disk, progress).catch(() => {})
    const left = { acknowledged: progress.acknowledged, issued: progress.writes.length }
    const lostAt = disk.operations + Math.floor(random.float() * 25)
    const survival = SURVIVALS[Math.floor(random.float() * SURVIVALS.length)]!
    let crashed: SimulatedDisk | null = null
    disk.onOperation = (_operation, _path, index) => {
      if (index === lostAt) crashed = disk.crash(survival, random)
    }
    const name = `TEST_SEED=${seed} killed at operation ${at}`
    for (const one of [
      { ...left, disk, at: name },
      { ...left, disk: null, at: `${name}, power lost at ${lostAt}, survival ${survival}` },
    ]) {
      const found = one.disk ?? crashed
      if (found === null) continue
      inspected += 1
      const wrong = await inspect({ ...one, disk: found }, progress)
      if (wrong) problems.push(wrong)
    }
    if (inspected % 200 < 2) report?.({ operations, inspected, compactions, problems })
  }
  return { operations, inspected, compactions, problems }
}
