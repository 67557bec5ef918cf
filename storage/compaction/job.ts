/**
 * The merge of SSTables as a job: reads its inputs, writes its outputs, syncs them, and tells what there is. Touches nothing else: who asked for it
 * makes the outputs count, or removes them.
 * Always: memory is bounded, however large the inputs, a partition or a number of range tombstones are; a job that fails or is aborted removes what
 * it wrote.
 */
import { type Disk, defineJob, type JobContext } from '../../lib/runtime/runtime.ts'
import { BlockCache } from '../cache.ts'
import { createLaws } from '../model/merge.ts'
import { openTableReader, type TableReader } from '../sstable/reader.ts'
import type { TableOwner } from '../sstable/statistics.ts'
import { MergeCursor } from './merge-cursor.ts'
import { Merger } from './merger.ts'
import { type Output, type OutputName, Outputs } from './outputs.ts'
import { estimatePartitions } from './partition-estimate.ts'
import { type Outsider, PurgeBounds, type Purged, Purger, type Timestamp } from './purge.ts'
import { openTableScan, type TableScan } from './table-scan.ts'
import { Throttle } from './throttle.ts'

/** An SSTable as a job is told of it. */
export interface JobTable {
  readonly path: string
  readonly uid: Uint8Array
  readonly fileBytes: number
}

/** One that is left as it is, but may hold what a tombstone covers. */
export interface JobOutsider extends JobTable {
  readonly minTimestamp: Timestamp
  readonly minPosition: Uint8Array
  readonly maxPosition: Uint8Array
}

export interface MergeArgument {
  readonly inputs: readonly JobTable[]
  /** Nothing of them is written, but what their deletions cover of the inputs is left out. */
  readonly shadows: readonly JobTable[]
  readonly outsiders: readonly JobOutsider[]
  /** No memtable held an older timestamp when the job was asked for; before all timestamps: nothing may be purged. */
  readonly purgeFloor: Timestamp
  readonly nowSeconds: number
  readonly gcGraceSeconds: number
  readonly resolution: 'lww' | 'vclock'
  readonly outputs: readonly OutputName[]
  /** Bytes of each output, roughly; the last counts for all that follow. */
  readonly outputBytesMax: readonly number[]
  readonly writer: { readonly falsePositiveChance: number; readonly compressed: boolean; readonly blockBytes: number }
  readonly owner: TableOwner
  /** Memory for one partition's range tombstones; beyond it they are read twice. Default 1 MiB. */
  readonly rangeBytesMax?: number
  /** A Float64Array of one: bytes that may be read in a second; 0: no limit. Others change it while the job runs. */
  readonly throttle: SharedArrayBuffer
}

export interface MergeProgress {
  readonly bytesRead: number
  readonly bytesWritten: number
}

export interface MergeResult extends MergeProgress {
  readonly outputs: readonly Output[]
  /** By how many inputs a partition was held: how many partitions. */
  readonly merged: readonly number[]
  readonly purged: Purged | null
  /** Entries of contexts that were forgotten. */
  readonly prunings: number
}

/** Raw bytes after which others may run: about a millisecond. */
const PAUSE_BYTES = 48 * 1024
const REPORT_BYTES = 1024 * 1024
const RANGE_BYTES_MAX = 1024 * 1024
/** A second look at range tombstones is rare, and may be at many places. */
const RESCAN_READ_BYTES = 32 * 1024

export async function mergeTables(argument: MergeArgument, context: JobContext): Promise<MergeResult> {
  const inputs = new Inputs(context.disk)
  let outputs: Outputs | null = null
  try {
    await inputs.open(argument)
    outputs = new Outputs({
      disk: context.disk,
      names: argument.outputs,
      bytesMax: argument.outputBytesMax,
      writer: { ...argument.writer, owner: argument.owner },
      inputBytes: inputs.bytes,
      partitions: await inputs.estimatePartitions(),
    })
    return await merge(argument, context, inputs, outputs)
  } catch (error) {
    await outputs?.abort()
    throw error
  } finally {
    await inputs.close()
  }
}

/** Runs mergeTables. */
export const MERGE_JOB = defineJob(import.meta.url, mergeTables)

async function merge(
  argument: MergeArgument,
  context: JobContext,
  inputs: Inputs,
  outputs: Outputs,
): Promise<MergeResult> {
  const { nowSeconds, gcGraceSeconds } = argument
  const purger = new Purger(nowSeconds, gcGraceSeconds)
  const throttle = new Throttle(context.clock, context.signal, new Float64Array(argument.throttle))
  const merger = new Merger({
    resolution: createLaws()[argument.resolution],
    inputs: inputs.scans.map((scan, i) => ({
      scan,
      isDying: scan.table.statistics.minLocalDeletionTime <= nowSeconds,
      isShadow: i >= argument.inputs.length,
    })),
    target: outputs,
    purger,
    bounds: new PurgeBounds(inputs.outsiders, argument.purgeFloor),
    rescans: inputs,
    rangeBytesMax: argument.rangeBytesMax ?? RANGE_BYTES_MAX,
  })
  const cursor = new MergeCursor(inputs.scans)
  cursor.start()
  let sincePause = 0
  let read = 0
  let reported = 0
  for (let { key } = cursor; key !== null; key = cursor.key) {
    const { at } = cursor
    const wait = merger.add(key, at)
    if (wait) await wait
    for (let i = 0; i < at.length; i++) sincePause += key.length + at[i]!.value.length
    const moved = cursor.next()
    if (moved) await moved
    if (sincePause < PAUSE_BYTES) continue
    sincePause = 0
    await context.pause()
    const { bytesRead } = inputs
    await throttle.take(bytesRead - read)
    read = bytesRead
    if (read - reported < REPORT_BYTES) continue
    reported = read
    context.progress({ bytesRead: read, bytesWritten: outputs.bytes } satisfies MergeProgress)
  }
  await merger.finish()
  await throttle.take(inputs.bytesRead - read)
  context.signal.throwIfAborted()
  const written = await outputs.finish()
  return {
    outputs: written,
    merged: merger.merged,
    purged: purger.purged,
    prunings: purger.prunings,
    bytesRead: inputs.bytesRead,
    bytesWritten: outputs.bytes,
  }
}

/** What a job has open. */
class Inputs {
  readonly #disk: Disk
  /** Nothing is kept: every block is read once. */
  readonly #cache = new BlockCache(0)
  readonly #readers: TableReader[] = []
  /** Of the inputs, and then of the shadows. */
  readonly scans: TableScan[] = []
  #inputs = 0
  readonly #rescans = new Set<TableScan>()
  outsiders: readonly Outsider[] = []

  constructor(disk: Disk) {
    this.#disk = disk
  }

  async open({ inputs, shadows, outsiders }: MergeArgument): Promise<void> {
    this.#inputs = inputs.length
    for (const table of [...inputs, ...shadows]) {
      const scan = await openTableScan(this.#disk, await this.#open(table))
      this.scans.push(scan)
      await scan.first()
    }
    this.outsiders = outsiders.map((table) => ({ ...table, mayHold: this.#filterOf(table) }))
  }

  async #open({ path, uid, fileBytes }: JobTable): Promise<TableReader> {
    const expected = { uid: Buffer.from(uid), fileBytes }
    const reader = await openTableReader(this.#disk, path, { cache: this.#cache, expected })
    this.#readers.push(reader)
    return reader
  }

  /**
   * Filters are loaded when they are asked for first: most compactions need none. The file is closed then: there may be many. One that cannot be
   * read may hold everything.
   */
  #filterOf(table: JobTable): (position: Buffer) => boolean | Promise<boolean> {
    let reader: TableReader | 'unreadable' | null = null
    const ask = (position: Buffer): boolean => reader === 'unreadable' || reader!.mayHold(position)
    return (position) => {
      if (reader !== null) return ask(position)
      return this.#open(table).then(
        async (opened) => {
          await opened.close()
          reader = opened
          return ask(position)
        },
        () => {
          reader = 'unreadable'
          return true
        },
      )
    }
  }

  async rescan(key: Buffer): Promise<TableScan[]> {
    const scans: TableScan[] = []
    for (const { table } of this.scans) {
      if (!table.hasRangeTombstones) continue
      const scan = await openTableScan(this.#disk, table, RESCAN_READ_BYTES)
      this.#rescans.add(scan)
      scans.push(scan)
      await scan.seek(key)
    }
    return scans
  }

  async endRescan(scans: readonly TableScan[]): Promise<void> {
    for (const scan of scans) {
      this.#rescans.delete(scan)
      await scan.close()
    }
  }

  /** Of the result. */
  estimatePartitions(): Promise<number> {
    return estimatePartitions(
      this.#disk,
      this.scans.slice(0, this.#inputs).map(({ table }) => table),
    )
  }

  /** Of the inputs' files. */
  get bytes(): number {
    let bytes = 0
    for (let i = 0; i < this.#inputs; i++) bytes += this.scans[i]!.table.fileBytes
    return bytes
  }

  get bytesRead(): number {
    let bytes = 0
    for (const scan of this.scans) bytes += scan.bytesRead
    return bytes
  }

  async close(): Promise<void> {
    for (const each of [...this.scans, ...this.#rescans, ...this.#readers]) await each.close().catch(() => {})
  }
}
