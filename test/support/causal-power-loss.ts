/**
 * Power losses under a table that keeps versions, and that did not when it was made: what opens afterwards has seen everything that was acknowledged,
 * and nothing that was not asked for. Rows are a lattice, so both are one merge: with what was acknowledged the row stays as it is, and what was asked
 * for takes the row in without changing.
 */
import { uuidBytes } from '../../lib/base/uuid.ts'
import { createSimulatedClock, type SimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { CompactionStopped } from '../../storage/compaction/run.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import type { StoredTable } from '../../storage/table-store.ts'
import { CausalWriter, joinRows, makeRow, rowMutation } from './causal-writes.ts'
import { ALL, type Outcome, type Script, SURVIVALS, settled, TABLE } from './power-loss.ts'
import { createDice, type Dice } from './random.ts'
import { storageRuntime } from './storage-runtime.ts'

const TABLE_BYTES = uuidBytes(TABLE)
const BEGIN_SECONDS = 2_000_000
const CLUSTERING = Buffer.from([0x40])
const KEYS = 3

function stored(resolution: 'lww' | 'vclock'): StoredTable {
  const options = { ...DEFAULT_TABLE_OPTIONS, resolution }
  return { keyspace: 'k', name: 't', durableWrites: true, hasClustering: true, options }
}

async function openCausalStore(
  disk: SimulatedDisk,
  clock: SimulatedClock,
  resolution: 'lww' | 'vclock',
): Promise<Store> {
  const settings = {
    memtableBytesMax: 1_000_000,
    commitLog: { mode: 'group' as const, segmentBytes: 16 * 1024 },
    compaction: { automatic: false },
  }
  const store = await settled(clock, openStore({ runtime: storageRuntime(clock, disk), directory: '/data', settings }))
  await settled(clock, store.registerTable(TABLE, stored(resolution)))
  return store
}

interface Write {
  readonly key: number
  readonly row: Buffer
  isAcknowledged: boolean
}

/** What was written to a key, joined; null: nothing. */
function joined(writes: readonly Write[], key: number): Buffer | null {
  let row: Buffer | null = null
  for (const write of writes) if (write.key === key) row = row === null ? write.row : joinRows(row, write.row)
  return row
}

async function run(
  script: Script,
  disk: SimulatedDisk,
  writes: Write[],
  between: () => Promise<void>,
): Promise<number> {
  const dice: Dice = createDice(script.seed)
  const clock = createSimulatedClock(BEGIN_SECONDS * 1_000_000)
  await disk.mkdir('/data')
  await disk.syncDirectory('/')
  const writers = Array.from({ length: KEYS }, () => new CausalWriter(dice, BEGIN_SECONDS))
  const alteredAt = Math.floor(script.steps / 4)
  let resolution: 'lww' | 'vclock' = 'lww'
  let store = await openCausalStore(disk, clock, resolution)
  let compactions = 0
  let pending: Promise<unknown>[] = []
  const settleAll = async (): Promise<void> => {
    await settled(clock, Promise.all(pending))
    pending = []
  }
  const close = async (): Promise<void> => {
    compactions += store.compactions!.counts.completed
    await settled(clock, store.close())
  }
  for (let step = 0; step < script.steps; step++) {
    if (step === alteredAt) {
      resolution = 'vclock'
      await settled(clock, store.registerTable(TABLE, stored(resolution)))
    }
    const roll = dice.int(20)
    if (roll < 2) pending.push(store.flush(TABLE))
    else if (roll === 2) {
      await settleAll()
      await close()
      store = await openCausalStore(disk, clock, resolution)
    } else if (roll === 3)
      pending.push(
        store.compactions!.major(TABLE).catch((error: unknown) => {
          if (!(error instanceof CompactionStopped)) throw error
        }),
      )
    else {
      const key = dice.int(KEYS)
      const row = resolution === 'vclock' ? writers[key]!.next(1) : plainRow(dice, step)
      const write = { key, row, isAcknowledged: false }
      writes.push(write)
      const durable = store.apply([rowMutation(TABLE_BYTES, key, CLUSTERING, row)])
      const acknowledge = (): void => {
        write.isAcknowledged = true
      }
      if (durable === undefined) acknowledge()
      else pending.push(durable.then(acknowledge))
      if (dice.chance(0.6)) await settleAll()
    }
    await between()
    clock.skew(BEGIN_SECONDS * 1_000_000 - clock.wallMicros())
  }
  await settleAll()
  await close()
  return compactions
}

function plainRow(dice: Dice, timestamp: number): Buffer {
  return makeRow((row) => {
    if (dice.chance(0.7)) row.liveness(0, timestamp, 0, 0)
    if (dice.chance(0.3)) row.tombstone(1, 0, timestamp, BEGIN_SECONDS)
    else row.cell(1, 0, timestamp, Buffer.from(`old${timestamp}`))
  })
}

interface Left {
  readonly disk: SimulatedDisk
  readonly acknowledged: readonly Write[]
  readonly issued: readonly Write[]
  readonly at: string
}

/** What is wrong with what opens; null: nothing. */
async function inspect({ disk, acknowledged, issued, at }: Left): Promise<string | null> {
  const clock = createSimulatedClock(BEGIN_SECONDS * 1_000_000)
  const found = new Map<number, Buffer>()
  try {
    await disk.mkdir('/data')
    const store = await openCausalStore(disk, clock, 'vclock')
    const command = { ...ALL, nowSeconds: BEGIN_SECONDS, whole: true, keepsPurgeable: true } as const
    const { partitions } = await settled(clock, Promise.resolve(store.read(command)))
    for (const { key, rows } of partitions) found.set(key[0]!, Buffer.from(rows[0]!.row))
    await settled(clock, store.close())
  } catch (error) {
    return `${at}: does not open: ${(error as Error).stack}`
  }
  for (let key = 0; key < KEYS; key++) {
    const row = found.get(key) ?? null
    const least = joined(acknowledged, key)
    const most = joined(issued, key)
    if (least !== null && (row === null || !joinRows(row, least).equals(row)))
      return `${at}: key ${key} has lost something that was acknowledged`
    if (row !== null && (most === null || !joinRows(most, row).equals(most)))
      return `${at}: key ${key} has something that was not asked for`
  }
  return null
}

/** The power goes at every operation of the script, at each rate of survival. */
export async function losePowerUnderVersions(script: Script, report?: (done: Outcome) => void): Promise<Outcome> {
  const disk = openSimulatedDisk()
  const random = createSeededRandom(script.seed)
  const writes: Write[] = []
  const problems: string[] = []
  const left: Left[] = []
  let inspected = 0
  let last = -1
  disk.onOperation = (operation, path, index) => {
    if (index === last) return
    last = index
    const acknowledged = writes.filter(({ isAcknowledged }) => isAcknowledged)
    for (const survival of SURVIVALS) {
      const at = `TEST_SEED=${script.seed} ${operation} ${path} (${index}) survival ${survival}`
      left.push({ disk: disk.crash(survival, random), acknowledged, issued: [...writes], at })
    }
  }
  const outcome = (compactions: number): Outcome => ({ operations: last + 1, inspected, compactions, problems })
  const drain = async (): Promise<void> => {
    for (const one of left.splice(0)) {
      inspected++
      const wrong = await inspect(one)
      if (wrong !== null) problems.push(wrong)
    }
  }
  const compactions = await run(script, disk, writes, async () => {
    await drain()
    report?.(outcome(0))
  })
  await drain()
  return outcome(compactions)
}
