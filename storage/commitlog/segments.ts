/**
 * The commit log's files: which there are, which tables still need them, and their making and deletion.
 * Always: a segment's header and name are durable before a record is written to it; one that holds anything unflushed is never deleted.
 */
import { assert } from '../../lib/base/assert.ts'
import type { DiskFile, Runtime } from '../../lib/runtime/runtime.ts'
import type { ReplayedSegment } from './replay.ts'
import { encodeHeader, HEADER_BYTES, type LogPosition, segmentName, segmentSeed } from './segment.ts'

export interface Segment {
  readonly id: number
  readonly path: string
  readonly seed: number
  readonly sizeBytes: number
  readonly header: Buffer
  /** Tables with records that were not flushed, and the position of the last one. */
  readonly dirty: Map<string, LogPosition>
  /** Null before it is prepared, for a segment of an earlier run, and once it is complete. */
  file: Promise<DiskFile> | null
  /** All before these offsets was given to the operating system, and is on disk. */
  writtenTo: number
  syncedTo: number
  /** Its end is synced: it may be deleted once nothing in it is dirty. */
  complete: boolean
}

export type LogServices = Pick<Runtime, 'clock' | 'disk' | 'random' | 'log'>

export class SegmentFiles {
  readonly #runtime: LogServices
  readonly #directory: string
  readonly #sizeBytes: number
  readonly #salts: LogServices['random']
  /** Ascending; the last is the one that is appended to. */
  #live: Segment[]
  #deletions: Promise<void> = Promise.resolve()

  constructor(runtime: LogServices, directory: string, sizeBytes: number, replayed: readonly ReplayedSegment[]) {
    this.#runtime = runtime
    this.#directory = directory
    this.#sizeBytes = sizeBytes
    this.#salts = runtime.random.stream('commitlog')
    this.#live = replayed.map((segment) => ({
      id: segment.id,
      path: segment.path,
      seed: segment.seed,
      sizeBytes: segment.sizeBytes,
      header: Buffer.alloc(0),
      dirty: segment.tables,
      file: null,
      writtenTo: segment.end,
      syncedTo: segment.end,
      complete: true,
    }))
  }

  get live(): readonly Segment[] {
    return this.#live
  }

  get bytes(): number {
    let sum = 0
    for (const segment of this.#live) sum += segment.sizeBytes
    return sum
  }

  /** A segment in memory; prepare() makes its file. */
  create(id: number): Segment {
    const header = encodeHeader({ id, salt: this.#salts.fill(Buffer.alloc(8)), sizeBytes: this.#sizeBytes })
    return {
      id,
      path: `${this.#directory}/${segmentName(id)}`,
      seed: segmentSeed(header),
      sizeBytes: this.#sizeBytes,
      header,
      dirty: new Map(),
      file: null,
      writtenTo: HEADER_BYTES,
      syncedTo: HEADER_BYTES,
      complete: false,
    }
  }

  /**
   * Makes the file at its full size, so that a later sync has no length to write (measured on ext4: 0.21 ms instead of 0.35 ms; writing zeros ahead
   * gained little more and costs the disk twice). A failure is met again by whoever awaits `file`.
   */
  prepare(segment: Segment): Promise<DiskFile> {
    assert(segment.file === null)
    const preparing = this.#prepare(segment)
    preparing.catch(() => {})
    segment.file = preparing
    return preparing
  }

  async #prepare(segment: Segment): Promise<DiskFile> {
    const { disk } = this.#runtime
    const file = await disk.open(segment.path, 'create')
    try {
      await file.truncate(segment.sizeBytes)
      await file.write(segment.header, 0)
      await file.sync()
      await disk.syncDirectory(this.#directory)
    } catch (error) {
      await file.close()
      throw error
    }
    return file
  }

  /** `segment` is the one that is appended to from now on. */
  add(segment: Segment): void {
    this.#live.push(segment)
  }

  markFlushed(table: string, upTo: LogPosition): void {
    for (const segment of this.#live) {
      const last = segment.dirty.get(table)
      if (last !== undefined && last < upTo) segment.dirty.delete(table)
    }
    this.deleteClean()
  }

  dirtyTables(): Set<string> {
    const tables = new Set<string>()
    for (const segment of this.#live) for (const table of segment.dirty.keys()) tables.add(table)
    return tables
  }

  /** Tables that keep the oldest segments alive, as many segments as are `bytes` too many. */
  tablesOfOldest(bytes: number): string[] {
    const tables = new Set<string>()
    let freed = 0
    for (const segment of this.#live) {
      if (freed >= bytes) break
      freed += segment.sizeBytes
      for (const table of segment.dirty.keys()) tables.add(table)
    }
    return [...tables]
  }

  deleteClean(): void {
    const unneeded = this.#live.filter((segment) => segment.complete && segment.dirty.size === 0)
    if (unneeded.length === 0) return
    this.#live = this.#live.filter((segment) => !unneeded.includes(segment))
    for (const segment of unneeded) this.#deletions = this.#deletions.then(() => this.#delete(segment))
  }

  async #delete(segment: Segment): Promise<void> {
    try {
      await this.#runtime.disk.remove(segment.path)
    } catch (error) {
      // What stays costs a replay of records that were flushed, nothing more.
      this.#runtime.log.warn('commitlog', `cannot delete ${segment.path}: ${String(error)}`)
    }
  }

  /** Waits for the deletions that were begun. */
  async settle(): Promise<void> {
    await this.#deletions
  }
}
