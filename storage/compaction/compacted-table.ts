/**
 * One table as the manager sees it: what its strategy is told and has said, what runs, and when it may be asked again. It begins nothing by itself.
 */
import type { Runtime } from '../../lib/runtime/runtime.ts'
import type { Files } from '../files.ts'
import type { TableStore } from '../table-store.ts'
import { chooseCompaction } from './choose.ts'
import type { CompactionOrder, CompactionRun } from './run.ts'
import { sstableInfo } from './sstable-info.ts'
import {
  NEVER_DROPPED,
  NO_MEMORY,
  type Snapshot,
  type SSTableInfo,
  type StrategyMemory,
  type Task,
} from './strategy.ts'

export interface CompactedTableServices {
  readonly runtime: Runtime
  readonly files: Files
  /** Compactions begin by themselves unless the table's options or somebody say otherwise. */
  readonly automatic: boolean
  /** It is time to ask again. */
  readonly wake: () => void
}

const RETRY_MS_MIN = 1_000
const RETRY_MS_MAX = 300_000
/** Cassandra's smallest SSTable of a major compaction that splits its output. */
const SPLIT_BYTES_MIN = 50 * 1024 * 1024
/** Ages of SSTables that are gone are forgotten when there are so many more than SSTables. */
const SPARE_AGES = 64

export class CompactedTable {
  readonly table: TableStore
  /** Damaged SSTables: in no compaction any more. */
  readonly damaged = new Set<number>()
  readonly runs = new Set<CompactionRun>()
  /** Its strategy has to be asked. */
  isDirty = false
  /** Since when a task of it waits for its turn. */
  waitsSinceMs: number | null = null
  /** How many hold it still, and how often that was asked for: whoever began before has been stopped. */
  holders = 0
  /** Drops and moves of its files that are under way: who holds the table waits for them too. */
  changes = 0
  stops = 0
  /** What somebody said; null: as the options say. */
  automatic: boolean | null = null
  readonly #services: CompactedTableServices
  #memory: StrategyMemory = NO_MEMORY
  /** When its SSTables were made, as far as they have been asked about. */
  readonly #madeAtMs = new Map<number, number>()
  #retryMs = RETRY_MS_MIN
  #notBeforeMs = Number.NEGATIVE_INFINITY
  #timer: Disposable | null = null
  #closed = false

  constructor(table: TableStore, services: CompactedTableServices) {
    this.table = table
    this.#services = services
  }

  get isAutomatic(): boolean {
    return this.automatic ?? (this.table.table.options.compaction.enabled && this.#services.automatic)
  }

  /** Asks the disk when the SSTables of now were made. Those that come later are made when they are seen first. */
  async lookUpAges(): Promise<void> {
    const { disk } = this.#services.runtime
    for (const { number, reader } of this.table.files) {
      const stat = await disk.stat(reader.path).catch(() => null)
      this.#madeAtMs.set(number, stat?.modifiedMs ?? 0)
    }
  }

  #ageOf(number: number, nowMs: number): number {
    const known = this.#madeAtMs.get(number)
    if (known !== undefined) return known
    if (this.#madeAtMs.size > 2 * this.table.files.length + SPARE_AGES) {
      const live = new Set(this.table.files.map((file) => file.number))
      for (const old of this.#madeAtMs.keys()) if (!live.has(old)) this.#madeAtMs.delete(old)
    }
    this.#madeAtMs.set(number, nowMs)
    return nowMs
  }

  snapshot(): Snapshot {
    const { runtime, files } = this.#services
    const { table } = this
    const nowMs = Math.floor(runtime.clock.wallMicros() / 1000)
    const { options } = table.table
    const gcBefore = Math.floor(nowMs / 1000) - options.gcGraceSeconds
    const described = files.manifest.tables.get(table.id)?.files
    const busy = new Set<number>()
    for (const run of this.runs) for (const number of run.numbers) busy.add(number)
    const tables: SSTableInfo[] = []
    const outside: SSTableInfo[] = []
    for (const { number, reader } of table.files) {
      const file = described?.get(number)
      if (file === undefined) continue
      const madeAtMs = this.#ageOf(number, nowMs)
      const info = sstableInfo(file, reader.statistics, { isCompacting: busy.has(number), madeAtMs, gcBefore })
      // Nothing may be purged that a damaged file may hold.
      const mayPurge = !table.isDamagedWithin(file.minPosition, file.maxPosition)
      const into = this.damaged.has(number) ? outside : tables
      into.push(mayPurge ? info : { ...info, lastDropSeconds: NEVER_DROPPED, droppable: 0 })
    }
    const enabled = this.isAutomatic
    const asked =
      enabled === options.compaction.enabled ? options : { ...options, compaction: { ...options.compaction, enabled } }
    const memtableMinTimestamp = timestampOf(table.leastMemtableTimestamp)
    return { tables, outside, nowMs, memory: this.#memory, options: asked, memtableMinTimestamp }
  }

  /** What the strategy has to do; null: nothing now. `nowMs` is of the monotonic clock. */
  ask(nowMs: number): Task | null {
    if (!this.isDirty || this.holders > 0 || nowMs < this.#notBeforeMs) return null
    const { task, memory } = chooseCompaction(this.snapshot())
    this.#memory = memory
    if (task.kind !== 'rest') {
      this.waitsSinceMs ??= nowMs
      return task
    }
    this.isDirty = false
    this.waitsSinceMs = null
    if (task.againInMs !== null) this.#askIn(task.againInMs)
    return null
  }

  #askIn(delayMs: number): void {
    if (this.#closed) return
    this.#timer?.[Symbol.dispose]()
    this.#timer = this.#services.runtime.clock.after(delayMs, () => {
      this.#timer = null
      this.isDirty = true
      this.#services.wake()
    })
  }

  succeeded(): void {
    this.#retryMs = RETRY_MS_MIN
  }

  /** Something failed: it is tried again, later each time. */
  putOff(): void {
    this.#notBeforeMs = this.#services.runtime.clock.monotonicMs() + this.#retryMs
    this.#askIn(this.#retryMs)
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX)
  }

  /** `splitOutput`: outputs of a half, a quarter and so on, where there would be one. */
  order(task: Extract<Task, { kind: 'merge' }>, splitOutput: boolean): CompactionOrder {
    const numbers = new Set(task.inputs.map(({ number }) => number))
    const total = task.inputs.reduce((bytes, { fileBytes }) => bytes + fileBytes, 0)
    const split = splitOutput && task.level === 0 && task.outputBytesMax === Number.POSITIVE_INFINITY
    return {
      table: this.table,
      kind: task.why,
      inputs: this.table.files.filter(({ number }) => numbers.has(number)),
      level: task.level,
      outputBytesMax: split ? halves(total) : [task.outputBytesMax],
      useOutsideDeletions: this.table.table.options.compaction.provideOverlappingTombstones !== 'none',
    }
  }

  /** It is not asked any more. */
  close(): void {
    this.#closed = true
    this.#timer?.[Symbol.dispose]()
  }
}

function timestampOf({ high, low }: { readonly high: number; readonly low: number }): bigint | null {
  return high === Number.POSITIVE_INFINITY ? null : (BigInt(high) << 32n) | BigInt(low)
}

/** Sizes of a half, a quarter and so on. */
function halves(total: number): number[] {
  const sizes: number[] = []
  for (let size = total / 2; size >= SPLIT_BYTES_MIN; size /= 2) sizes.push(size)
  return [...sizes, Number.POSITIVE_INFINITY]
}
