/**
 * One compaction, from the files chosen to the files swapped. The job reads and writes (job.ts); here it is told what it may purge, and what it made takes
 * the place of its inputs, in one edit of the manifest and one change of what reads see.
 *
 * What is purged hangs on what lies outside, and writes go on meanwhile. So the job tells the greatest timestamp that it purged, and if by the end a memtable,
 * or a file that was not there at the beginning, holds an older one, the result is thrown away and made again without purging.
 *
 * Always: until the manifest's edit is durable the inputs count and the outputs do not; after a failure before it there are no outputs; an input is removed
 * when no read uses it any more.
 */
import { stampTail, timeuuidOf, uuidText } from '../../lib/base/uuid.ts'
import type { Runtime } from '../../lib/runtime/runtime.ts'
import type { Files } from '../files.ts'
import { compareTimestamps } from '../model/row.ts'
import { writerOptions } from '../table-options.ts'
import type { LiveFile, TableStore } from '../table-store.ts'
import {
  type JobOutsider,
  type JobTable,
  MERGE_JOB,
  type MergeArgument,
  type MergeProgress,
  type MergeResult,
} from './job.ts'
import type { OutputName } from './outputs.ts'
import { AFTER_ALL, BEFORE_ALL, type Purged, readTimestamp, type Timestamp } from './purge.ts'
import type { CompactionKind, CompactionTask } from './task.ts'

export interface CompactionOrder {
  readonly table: TableStore
  readonly kind: CompactionKind
  readonly inputs: readonly LiveFile[]
  readonly level: number
  /** Bytes of each output, roughly; the last counts for all that follow. */
  readonly outputBytesMax: readonly number[]
  /** What deletions in the other files cover goes too. */
  readonly useOutsideDeletions: boolean
}

export interface RunServices {
  readonly runtime: Runtime
  readonly files: Files
  /** Does something to the table in its turn among flushes and truncations. */
  readonly inTurn: (table: string, work: () => Promise<void>) => Promise<void>
}

/** Somebody ended it: nothing is wrong. */
export class CompactionStopped extends Error {
  override name = 'CompactionStopped'
}

interface Reserved extends OutputName {
  readonly number: number
}

/** More names than outputs are expected: the last output takes what is left. */
const SPARE_NAMES = 4
const OUTPUTS_MAX = 100_000

export class CompactionRun {
  readonly order: CompactionOrder
  readonly id: string
  /** Bytes a second, shared with the job's thread. */
  readonly rate = new SharedArrayBuffer(8)
  readonly numbers: ReadonlySet<number>
  readonly #services: RunServices
  readonly #abort = new AbortController()
  readonly #totalBytes: number
  #bytesRead = 0
  /** Files that it took into account: those that were there when it began, and what others have made of them since. */
  #known = new Set<number>()
  #committing = false

  constructor(services: RunServices, order: CompactionOrder) {
    const { runtime } = services
    this.#services = services
    this.order = order
    const tail = stampTail(runtime.random.fill(Buffer.alloc(8)))
    this.id = uuidText(timeuuidOf(BigInt(runtime.clock.wallMicros()) * 10n, tail))
    this.numbers = new Set(order.inputs.map(({ number }) => number))
    this.#totalBytes = order.inputs.reduce((bytes, { reader }) => bytes + reader.fileBytes, 0)
  }

  get info(): CompactionTask {
    const { table, kind, inputs } = this.order
    return {
      id: this.id,
      kind,
      table: table.id,
      keyspace: table.table.keyspace,
      name: table.table.name,
      sstables: inputs.length,
      completedBytes: this.#bytesRead,
      totalBytes: this.#totalBytes,
      directory: directoryOf(inputs[0]!.reader.path),
    }
  }

  /** Bytes that its outputs may still take, at most. */
  get outputBytesLeft(): number {
    return Math.max(0, this.#totalBytes - this.#bytesRead)
  }

  /** Ends it, unless its result counts already or is about to. */
  stop(): void {
    if (!this.#committing) this.#abort.abort(new CompactionStopped('the compaction was stopped'))
  }

  /** Another compaction of the table has replaced files. */
  replaced(inputs: Iterable<number>, outputs: readonly number[]): void {
    for (const number of inputs) if (!this.#known.has(number)) return
    for (const number of outputs) this.#known.add(number)
  }

  /** Null: the inputs were gone before its end, and nothing was changed. */
  async run(): Promise<{ readonly result: MergeResult; readonly outputs: readonly number[] } | null> {
    const first = await this.#attempt(true)
    if (first !== 'again') return first
    return (await this.#attempt(false)) as Exclude<typeof first, 'again'>
  }

  #purgeFloor(mayPurge: boolean): Timestamp {
    if (!mayPurge) return BEFORE_ALL
    const { table, inputs } = this.order
    // What a damaged file holds is not known, nor when it comes back.
    if (inputs.some(({ reader: { statistics: s } }) => table.isDamagedWithin(s.minPosition, s.maxPosition)))
      return BEFORE_ALL
    const { onlyPurgeRepairedTombstones } = table.table.options.compaction
    const files = this.#services.files.manifest.tables.get(table.id)?.files
    const isRepaired = inputs.every(({ number }) => (files?.get(number)?.repairedAtMs ?? 0) > 0)
    return onlyPurgeRepairedTombstones && !isRepaired ? BEFORE_ALL : table.leastMemtableTimestamp
  }

  async #attempt(
    mayPurge: boolean,
  ): Promise<{ readonly result: MergeResult; readonly outputs: readonly number[] } | 'again' | null> {
    const reserved = await this.#reserve()
    if (!this.#areInputsThere()) return null
    // In one step: what lies outside is all in the argument, or comes later and is looked at in the end.
    this.#known = new Set(this.order.table.files.map(({ number }) => number))
    const argument = this.#argument(this.#purgeFloor(mayPurge), reserved)
    try {
      const result = await this.#services.runtime.jobs.run(MERGE_JOB, argument, {
        lane: 'compaction',
        signal: this.#abort.signal,
        progress: (report) => {
          this.#bytesRead = (report as MergeProgress).bytesRead
        },
      })
      this.#bytesRead = this.#totalBytes
      const outcome = await this.#commit(result, reserved)
      if (outcome !== 'done') await this.#removeOutputs(reserved)
      if (outcome === 'gone') return null
      if (outcome === 'again') return 'again'
      return { result, outputs: result.outputs.map(({ name }) => reserved[name]!.number) }
    } catch (error) {
      if (!this.#committing) await this.#removeOutputs(reserved)
      throw error
    }
  }

  async #reserve(): Promise<Reserved[]> {
    const { manifest } = this.#services.files
    const { random } = this.#services.runtime
    const { table, outputBytesMax } = this.order
    const least = Math.max(1, Math.min(...outputBytesMax))
    const expected = outputBytesMax.length - 1 + Math.ceil(this.#totalBytes / least)
    const count = expected === 0 ? 1 : Math.min(OUTPUTS_MAX, expected + SPARE_NAMES)
    const first = await manifest.reserveFileNumbers(count)
    return Array.from({ length: count }, (_, i) => {
      const number = first + i
      return { number, path: manifest.filePath(table.id, number), uid: random.fill(new Uint8Array(8)) }
    })
  }

  #argument(purgeFloor: Timestamp, reserved: readonly Reserved[]): MergeArgument {
    const { clock } = this.#services.runtime
    const { table, inputs, outputBytesMax, useOutsideDeletions } = this.order
    const { options, shape } = table.table
    const nowSeconds = Math.floor(clock.wallMicros() / 1e6)
    const outside = table.files.filter(
      (file) => !this.numbers.has(file.number) && inputs.some((input) => overlap(input, file)),
    )
    const isDying = inputs.some(({ reader }) => reader.statistics.minLocalDeletionTime <= nowSeconds)
    return {
      inputs: inputs.map(jobTable),
      shadows: useOutsideDeletions
        ? outside.filter(({ reader }) => reader.statistics.tombstones > 0).map(jobTable)
        : [],
      outsiders: isDying ? outside.map(jobOutsider) : [],
      purgeFloor,
      nowSeconds,
      gcGraceSeconds: options.gcGraceSeconds,
      resolution: options.resolution,
      outputs: reserved.map(({ path, uid }) => ({ path, uid })),
      outputBytesMax,
      writer: writerOptions(options),
      owner: { table: table.id, shape: shape ?? '' },
      throttle: this.rate,
    }
  }

  /** Puts the outputs in the place of the inputs, if these are still there and nothing was purged too early. */
  async #commit(result: MergeResult, reserved: readonly Reserved[]): Promise<'done' | 'again' | 'gone'> {
    const { files, inTurn } = this.#services
    const { table, level } = this.order
    const made: LiveFile[] = []
    try {
      for (const { name, fileBytes } of result.outputs) {
        const { number, uid } = reserved[name]!
        made.push({ number, reader: await files.open(table.id, number, { uid: Buffer.from(uid), fileBytes }) })
      }
      const outcome: { is: 'done' | 'again' | 'gone' } = { is: 'gone' }
      await inTurn(table.id, async () => {
        this.#abort.signal.throwIfAborted()
        if (!this.#areInputsThere()) return
        const stillHolds = (): boolean => result.purged === null || !this.#isPurgedEarly(result.purged)
        outcome.is = 'again'
        if (!stillHolds()) return
        this.#committing = true
        const swap = { removed: this.numbers, added: made, level, repairedAtMs: this.#repairedAtMs(), stillHolds }
        if (await files.replace(table, swap)) outcome.is = 'done'
        else this.#committing = false
      })
      if (outcome.is !== 'done') await closeAll(made)
      return outcome.is
    } catch (error) {
      await closeAll(made)
      throw error
    }
  }

  /** The earliest of the inputs' times; 0 when one was not repaired. */
  #repairedAtMs(): number {
    const { table, inputs } = this.order
    const files = this.#services.files.manifest.tables.get(table.id)!.files
    return inputs.reduce((least, { number }) => Math.min(least, files.get(number)!.repairedAtMs), Infinity)
  }

  #areInputsThere(): boolean {
    const { table } = this.order
    const state = this.#services.files.manifest.tables.get(table.id)
    if (state === undefined) return false
    const live = new Set(table.files.map(({ number }) => number))
    for (const number of this.numbers) if (!live.has(number) || !state.files.has(number)) return false
    return true
  }

  /** Whether something that was not looked at may hold what a purged tombstone covered. */
  #isPurgedEarly({ timestamp, minPosition, maxPosition }: Purged): boolean {
    const { table } = this.order
    const reaches = (least: Timestamp): boolean =>
      compareTimestamps(least.high, least.low, timestamp.high, timestamp.low) <= 0
    if (reaches(table.leastMemtableTimestamp)) return true
    for (const { number, reader } of table.files) {
      if (this.#known.has(number)) continue
      const { statistics } = reader
      const isApart = statistics.maxPosition.compare(minPosition) < 0 || statistics.minPosition.compare(maxPosition) > 0
      if (!isApart && reaches(leastOf(reader.statistics.minTimestamp))) return true
    }
    return false
  }

  /** What a job that failed left, when its thread could not see to it. */
  async #removeOutputs(reserved: readonly Reserved[]): Promise<void> {
    const { disk, log } = this.#services.runtime
    for (const { path } of reserved) {
      try {
        if ((await disk.stat(path)) !== null) await disk.remove(path)
      } catch (cause) {
        log.warn('storage/compaction/run.ts', `${path} is not needed, but stays until the next start: ${String(cause)}`)
      }
    }
  }
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}

function leastOf(minTimestamp: Buffer | null): Timestamp {
  return minTimestamp === null ? AFTER_ALL : readTimestamp(minTimestamp)
}

function overlap(a: LiveFile, b: LiveFile): boolean {
  const [x, y] = [a.reader.statistics, b.reader.statistics]
  return x.minPosition.compare(y.maxPosition) <= 0 && y.minPosition.compare(x.maxPosition) <= 0
}

/** Bytes that are handed to a thread are copied alone, without the memory that they are a view of. */
function jobTable({ reader }: LiveFile): JobTable {
  return { path: reader.path, uid: Uint8Array.from(reader.footer.uid), fileBytes: reader.fileBytes }
}

function jobOutsider(file: LiveFile): JobOutsider {
  const { minTimestamp, minPosition, maxPosition } = file.reader.statistics
  return {
    ...jobTable(file),
    minTimestamp: leastOf(minTimestamp),
    minPosition: Uint8Array.from(minPosition),
    maxPosition: Uint8Array.from(maxPosition),
  }
}

async function closeAll(files: readonly LiveFile[]): Promise<void> {
  for (const { reader } of files) await reader.close()
}
