/**
 * Decides when compactions run: asks each table's strategy after everything that may change its answer, runs so many at once as it may, the small ones
 * first, within one throughput for all; and is told to stop, to hold still, or to do a certain one.
 * Always: an SSTable is in one compaction at most; whoever holds a table has no compaction of it until it lets go; a compaction that failed is tried again
 * later, without the files that turned out damaged.
 */
import { assert } from '../../lib/base/assert.ts'
import type { Runtime } from '../../lib/runtime/runtime.ts'
import type { Files } from '../files.ts'
import type { LiveFile, TableStore } from '../table-store.ts'
import { compactionsBehind, majorCompactions, pendingCompactions } from './choose.ts'
import { CompactedTable } from './compacted-table.ts'
import { type CompactionCounts, CompactionLog } from './compaction-log.ts'
import type { MergeResult } from './job.ts'
import { type CompactionOrder, CompactionRun, CompactionStopped } from './run.ts'
import { describeTask, type Task } from './strategy.ts'
import type { CompactionRecord, CompactionTask } from './task.ts'
import { fullyExpired } from './tombstones.ts'

export interface CompactionSettings {
  /** Compactions at once. Default 1. */
  readonly concurrent?: number
  /** Bytes that they may read in a second, all together; 0: no limit. Default 64 MiB. */
  readonly bytesPerSecond?: number
  /** False: none begins by itself until autocompaction is enabled. Default true. */
  readonly automatic?: boolean
  /** Told of each that is done. */
  readonly onCompacted?: (record: CompactionRecord) => void
}

export interface CompactionsOptions {
  readonly runtime: Runtime
  readonly files: Files
  readonly settings: CompactionSettings
  /** Does something to the table in its turn among flushes and truncations. */
  readonly inTurn: (table: string, work: () => Promise<void>) => Promise<void>
  /** Called in the table's turn before its SSTables are merged; when it fails they are not. Null: nothing comes first. */
  readonly beforeMerge: ((table: TableStore) => Promise<void>) | null
}

const CONCURRENT = 1
const BYTES_PER_SECOND = 64 * 1024 * 1024
/** A task that waits counts as small as one of a quarter of its bytes after this time, a sixteenth after three times it, and so on. */
const PATIENCE_MS = 10_000
/** Left free beside the outputs: a commit-log segment and what flushes need. */
const FREE_BYTES_MIN = 64 * 1024 * 1024
/** Writers slow down when so many compactions are due for one table, and stop at as many more as given. */
const DEBT_FROM = 4
const DEBT_RANGE = 16
const SOURCE = 'storage/compaction/manager.ts'

export class Compactions {
  readonly #options: CompactionsOptions
  readonly #tables = new Map<string, CompactedTable>()
  readonly #runs = new Set<CompactionRun>()
  readonly #log = new CompactionLog()
  readonly #ended = new Set<Promise<void>>()
  #concurrent: number
  #bytesPerSecond: number
  /** Those who asked for a certain compaction and wait for their turn. */
  #queue: (() => void)[] = []
  #choosing = false
  #closed = false

  constructor(options: CompactionsOptions) {
    this.#options = options
    this.#concurrent = options.settings.concurrent ?? CONCURRENT
    this.#bytesPerSecond = options.settings.bytesPerSecond ?? BYTES_PER_SECOND
  }

  get concurrent(): number {
    return this.#concurrent
  }

  set concurrent(count: number) {
    assert(count >= 1)
    this.#concurrent = count
    this.#soon()
  }

  get bytesPerSecond(): number {
    return this.#bytesPerSecond
  }

  set bytesPerSecond(bytes: number) {
    assert(bytes >= 0)
    this.#bytesPerSecond = bytes
    this.#share()
  }

  /** Those that run, oldest first. */
  get running(): CompactionTask[] {
    return [...this.#runs].map((run) => run.info)
  }

  /** The last that were done, newest first. */
  get history(): CompactionRecord[] {
    return this.#log.newestFirst
  }

  get counts(): CompactionCounts {
    return this.#log
  }

  /** Compactions of a table that are due, those that run among them. */
  pending(id: string): number {
    const state = this.#tables.get(id)
    return state ? Math.max(state.runs.size, pendingCompactions(state.snapshot())) : 0
  }

  /** How far they are behind what is written, from 0 to 1: writers should slow down. */
  get debt(): number {
    let most = 0
    for (const state of this.#tables.values())
      if (state.isAutomatic) most = Math.max(most, compactionsBehind(state.snapshot()))
    return Math.min(1, Math.max(0, (most - DEBT_FROM) / DEBT_RANGE))
  }

  /** A table is there whose options are known; or they have changed, or its files. */
  async changed(table: TableStore): Promise<void> {
    if (this.#closed) return
    let state = this.#tables.get(table.id)
    if (state === undefined) {
      const { runtime, files, settings } = this.#options
      state = new CompactedTable(table, {
        runtime,
        files,
        automatic: settings.automatic ?? true,
        wake: () => this.#soon(),
      })
      this.#tables.set(table.id, state)
      await state.lookUpAges()
    }
    state.isDirty = true
    this.#soon()
  }

  /** Compactions of the table end, and none begins until the returned function is called. */
  async hold(id: string): Promise<() => void> {
    const state = this.#tables.get(id)
    if (state === undefined) return () => {}
    state.holders += 1
    await this.#stopAll(state)
    let held = true
    return () => {
      if (!held) return
      held = false
      state.holders -= 1
      this.#soon()
    }
  }

  /** The table is no more. Resolves when no compaction of it runs. */
  async drop(id: string): Promise<void> {
    const state = this.#tables.get(id)
    if (state === undefined) return
    this.#tables.delete(id)
    state.close()
    await this.#stopAll(state)
  }

  async #stopAll(state: CompactedTable): Promise<void> {
    state.stops += 1
    const { runs } = state
    for (const run of runs) run.stop()
    while (runs.size > 0 || state.changes > 0) await Promise.race(this.#ended)
  }

  /** Ends those that run and are meant; returns how many. Others, and these again, may begin at any time. */
  stop(isMeant: (task: CompactionTask) => boolean = () => true): number {
    const meant = [...this.#runs].filter((run) => isMeant(run.info))
    for (const run of meant) run.stop()
    return meant.length
  }

  /** Whether compactions of a table begin by themselves. */
  isAutomatic(id: string): boolean {
    const state = this.#tables.get(id)
    return state?.isAutomatic === true
  }

  /** Until the table's options change or the next start. */
  setAutomatic(id: string, automatic: boolean): void {
    const state = this.#tables.get(id)
    if (!state) return
    state.automatic = automatic
    state.isDirty = true
    if (!automatic)
      for (const run of state.runs) if (run.order.kind === 'compaction' || run.order.kind === 'tombstones') run.stop()
    this.#soon()
  }

  /** Everything of a table that its strategy would ever merge. `splitOutput`: size-tiered, outputs of a half, a quarter, … of the whole. */
  async major(id: string, options: { readonly splitOutput?: boolean } = {}): Promise<void> {
    await this.#alone(id, async (state, begin) => {
      for (const task of majorCompactions(state.snapshot()))
        if (task.kind === 'merge') await begin(state.order(task, options.splitOutput ?? false))
    })
  }

  /** These SSTables, by their numbers, as one. */
  async merge(id: string, numbers: ReadonlySet<number>): Promise<void> {
    await this.#alone(id, async (state, begin) => {
      const inputs = state.table.files.filter((file) => numbers.has(file.number) && !state.damaged.has(file.number))
      if (inputs.length === 0) return
      const levels = this.#options.files.manifest.tables.get(id)!.files
      const level = Math.min(...inputs.map(({ number }) => levels.get(number)!.level))
      await begin({
        table: state.table,
        kind: 'user-defined',
        inputs,
        level: inputs.length === 1 ? level : 0,
        outputBytesMax: [Number.POSITIVE_INFINITY],
        useOutsideDeletions: false,
      })
    })
  }

  /** Rewrites each SSTable of a table without what deletions in the others cover, those with the oldest data first. */
  async collectGarbage(id: string): Promise<void> {
    await this.#alone(id, async (state, begin) => {
      const levels = this.#options.files.manifest.tables.get(id)!.files
      const files = [...state.table.files].filter(({ number }) => !state.damaged.has(number))
      const age = ({ reader }: LiveFile): bigint => reader.statistics.maxTimestamp?.readBigInt64BE() ?? 0n
      files.sort((a, b) => (age(a) === age(b) ? a.number - b.number : age(a) < age(b) ? -1 : 1))
      for (const file of files)
        await begin({
          table: state.table,
          kind: 'garbage',
          inputs: [file],
          level: levels.get(file.number)!.level,
          outputBytesMax: [Number.POSITIVE_INFINITY],
          useOutsideDeletions: true,
        })
    })
  }

  /** Ends all that run, and waits for it. May be called twice. */
  async close(): Promise<void> {
    this.#closed = true
    for (const state of this.#tables.values()) state.close()
    for (const run of this.#runs) run.stop()
    for (const begin of this.#queue.splice(0)) begin()
    await Promise.all(this.#ended)
  }

  /**
   * Nothing else of the table runs or begins meanwhile. `work` is given `begin`, which runs a compaction in its turn, unless the table was
   * held by somebody else since: what is to be merged may be gone then.
   */
  async #alone(
    id: string,
    work: (state: CompactedTable, begin: (order: CompactionOrder) => Promise<void>) => Promise<void>,
  ): Promise<void> {
    const held = this.hold(id)
    const stops = this.#tables.get(id)?.stops
    const release = await held
    try {
      const state = this.#tables.get(id)
      if (state === undefined || this.#closed) return
      const isStopped = (): boolean => state.stops !== stops || this.#closed
      if (isStopped()) throw new CompactionStopped('the compaction was stopped')
      await work(state, (order) => this.#runAsked(state, order, isStopped))
    } finally {
      const state = this.#tables.get(id)
      if (state) state.isDirty = true
      release()
    }
  }

  /** Chooses once what is done now is done. */
  #soon(): void {
    if (this.#choosing || this.#closed) return
    this.#choosing = true
    this.#options.runtime.clock.soon(() => {
      this.#choosing = false
      this.#choose()
    })
  }

  /** Begins what there is to do and room for: what was asked for first, then the smallest, unless another waited long. */
  #choose(): void {
    const nowMs = this.#options.runtime.clock.monotonicMs()
    while (!this.#closed && this.#runs.size < this.#concurrent) {
      const asked = this.#queue.shift()
      if (asked) {
        asked()
        continue
      }
      let best: { readonly state: CompactedTable; readonly task: Task } | null = null
      let bestWeight = Number.POSITIVE_INFINITY
      for (const state of this.#tables.values()) {
        const task = state.ask(nowMs)
        if (task === null) continue
        const waited = nowMs - state.waitsSinceMs!
        const weight = weightOf(task) / (1 + waited / PATIENCE_MS) ** 2
        if (weight >= bestWeight) continue
        best = { state, task }
        bestWeight = weight
      }
      if (best === null) return
      best.state.waitsSinceMs = null
      this.#begin(best.state, best.task)
    }
  }

  #begin(state: CompactedTable, task: Task): void {
    if (task.kind !== 'rest' && state.table.table.options.compaction.logAll)
      this.#options.runtime.log.info(SOURCE, `${nameOf(state.table)}: ${describeTask(task)}`)
    if (task.kind === 'merge') this.#track(this.#merge(state, state.order(task, false)).catch(() => {}))
    else if (task.kind !== 'rest') {
      // Its answer stays the same until this is done.
      state.holders += 1
      state.changes += 1
      this.#track(
        this.#change(state, task).finally(() => {
          state.holders -= 1
          state.changes -= 1
        }),
      )
    }
  }

  #track(work: Promise<void>): void {
    const done = work.finally(() => {
      this.#ended.delete(done)
      this.#soon()
    })
    this.#ended.add(done)
  }

  /** Drops files, or moves them to another level. */
  async #change(state: CompactedTable, task: Extract<Task, { kind: 'drop' | 'move' }>): Promise<void> {
    const { files, inTurn, runtime } = this.#options
    const { table } = state
    try {
      await inTurn(table.id, async () => {
        const inputs = task.inputs.map(({ number }) => number)
        const live = new Set(table.files.map(({ number }) => number))
        if (!files.manifest.tables.has(table.id) || !inputs.every((number) => live.has(number))) return
        if (task.kind === 'move') return files.move(table, inputs, task.level)
        const removed = new Set(inputs)
        const described = state.snapshot().tables.filter(({ number }) => removed.has(number))
        // Once more, and again when it is done: what is written meanwhile may be as old as what they cover. By then the manifest names them no more.
        const areExpired = (): boolean => {
          if (task.why !== 'expired') return true
          const now = state.snapshot()
          const others = now.tables.filter(({ number }) => !removed.has(number))
          const expired = new Set(
            fullyExpired({ ...now, tables: [...others, ...described] }).map(({ number }) => number),
          )
          return described.every((table) => expired.has(table.number))
        }
        if (!areExpired()) return
        await files.replace(table, { removed, added: [], level: 0, repairedAtMs: 0, stillHolds: areExpired })
      })
      state.isDirty = true
    } catch (cause) {
      state.putOff()
      runtime.log.error(
        SOURCE,
        `files of ${nameOf(table)} could not be ${task.kind === 'move' ? 'moved' : 'dropped'}`,
        cause,
      )
    }
  }

  /** Waits for its turn, and fails as the compaction does. */
  async #runAsked(state: CompactedTable, order: CompactionOrder, isStopped: () => boolean): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const begin = (): void => {
        if (isStopped()) {
          reject(new CompactionStopped('the compaction was stopped'))
          return
        }
        const work = this.#merge(state, order)
        this.#track(work.catch(() => {}))
        work.then(resolve, reject)
      }
      if (this.#runs.size >= this.#concurrent) this.#queue.push(begin)
      else begin()
    })
  }

  async #merge(state: CompactedTable, order: CompactionOrder): Promise<void> {
    const { runtime, files, inTurn, beforeMerge } = this.#options
    const run = new CompactionRun({ runtime, files, inTurn }, order)
    state.runs.add(run)
    this.#runs.add(run)
    this.#share()
    try {
      await this.#checkRoom(run)
      if (beforeMerge) await inTurn(order.table.id, () => beforeMerge(order.table))
      const done = await run.run()
      if (done === null) return
      state.succeeded()
      for (const other of state.runs) if (other !== run) other.replaced(run.numbers, done.outputs)
      this.#record(run, done.result)
    } catch (cause) {
      this.#failedRun(state, run, cause)
      throw cause
    } finally {
      state.runs.delete(run)
      this.#runs.delete(run)
      state.isDirty = true
      this.#share()
    }
  }

  async #checkRoom(run: CompactionRun): Promise<void> {
    const { directory } = run.info
    const free = await this.#options.runtime.disk.freeBytes(directory)
    let promised = FREE_BYTES_MIN
    for (const other of this.#runs) promised += other.outputBytesLeft
    if (free < promised) throw new Error(`${free} bytes are free in ${directory}, ${promised} may be needed`)
  }

  #record(run: CompactionRun, { bytesWritten, merged, prunings }: MergeResult): void {
    const { runtime, settings } = this.#options
    const record = this.#log.add(run.info, { bytesOut: bytesWritten, merged, atMicros: runtime.clock.wallMicros() })
    const { metrics } = run.order.table
    metrics.compactions++
    metrics.compactedBytesRead += record.bytesIn
    metrics.compactedBytesWritten += bytesWritten
    metrics.prunings += prunings
    const { id, keyspace, name, bytesIn } = record
    runtime.log.debug(SOURCE, `Compacted (${id}) sstables of ${keyspace}.${name}: ${bytesIn} bytes to ${bytesWritten}`)
    settings.onCompacted?.(record)
  }

  #failedRun(state: CompactedTable, run: CompactionRun, cause: unknown): void {
    const { log } = this.#options.runtime
    if (cause instanceof Error && cause.name === 'CompactionStopped') {
      this.#log.stopped += 1
      return
    }
    this.#log.failed += 1
    const damaged = run.order.inputs.find(({ reader }) => isDamageOf(cause, reader.path))
    if (damaged) {
      state.damaged.add(damaged.number)
      this.#options.files.damaged.report(state.table, cause)
      log.error(SOURCE, `${damaged.reader.path} is damaged, and left out of compactions from now on`, cause)
      return
    }
    state.putOff()
    log.error(SOURCE, `A compaction of ${nameOf(state.table)} failed; it is tried again`, cause)
  }

  /** Gives each that runs its part of the throughput. */
  #share(): void {
    const each = this.#bytesPerSecond / Math.max(1, this.#runs.size)
    for (const run of this.#runs) new Float64Array(run.rate)[0] = each
  }
}

function weightOf(task: Task): number {
  if (task.kind !== 'merge') return 0
  return task.inputs.reduce((bytes, { fileBytes }) => bytes + fileBytes, 0)
}

function nameOf({ table }: TableStore): string {
  return `${table.keyspace}.${table.name}`
}

/** Errors of a job have lost their class. */
function isDamageOf(cause: unknown, path: string): boolean {
  return cause instanceof Error && cause.name === 'CorruptionError' && (cause as { path?: unknown }).path === path
}
