/**
 * The commit log's files: which there are, which tables still need them, and their making, archiving and deletion.
 * Always: a segment's header and name are durable before a record is written to it; one that holds anything unflushed, or that the archive does not
 * have yet, is never deleted. Making a segment is tried again as long as there is no room: nothing was written to it.
 */
import { assert } from '../../lib/base/assert.ts'
import type { DiskFile, Runtime } from '../../lib/runtime/runtime.ts'
import { Retry } from '../retry.ts'
import { archiveSegment } from './archive.ts'
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
  /** The archive has it, or there is none. */
  archived: boolean
}

export interface SegmentFilesOptions {
  readonly directory: string
  readonly sizeBytes: number
  /** Null: finished segments are not kept. */
  readonly archiveDirectory: string | null
}

export type LogServices = Pick<Runtime, 'clock' | 'disk' | 'random' | 'log'>

export class SegmentFiles {
  readonly #runtime: LogServices
  readonly #options: SegmentFilesOptions
  readonly #retry: Retry
  readonly #salts: LogServices['random']
  /** Ascending; the last is the one that is appended to. */
  #live: Segment[]
  #deletions: Promise<void> = Promise.resolve()
  readonly #archiveRetry: Retry
  #begun = false
  /** Ids of segments that are being archived, one after the other, oldest first. */
  readonly #asked = new Set<number>()
  #archiving: Promise<void> = Promise.resolve()

  constructor(
    runtime: LogServices,
    options: SegmentFilesOptions,
    parts: { readonly replayed: readonly ReplayedSegment[]; readonly retry: Retry },
  ) {
    const { replayed } = parts
    this.#runtime = runtime
    this.#options = options
    this.#retry = parts.retry
    this.#archiveRetry = new Retry(runtime, 'commitlog')
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
      archived: options.archiveDirectory === null,
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
    const header = encodeHeader({ id, salt: this.#salts.fill(Buffer.alloc(8)), sizeBytes: this.#options.sizeBytes })
    return {
      id,
      path: `${this.#options.directory}/${segmentName(id)}`,
      seed: segmentSeed(header),
      sizeBytes: this.#options.sizeBytes,
      header,
      dirty: new Map(),
      file: null,
      writtenTo: HEADER_BYTES,
      syncedTo: HEADER_BYTES,
      complete: false,
      archived: this.#options.archiveDirectory === null,
    }
  }

  /** Makes the segment's file, in the background. A failure is met again by whoever awaits `file`. */
  prepare(segment: Segment): void {
    assert(segment.file === null)
    segment.file = this.#retry.keepTrying(`cannot make ${segment.path}`, () => this.make(segment))
    segment.file.catch(() => {})
  }

  /**
   * Makes the file at its full size, so that a later sync has no length to write (measured on ext4: 0.21 ms instead of 0.35 ms; writing zeros ahead
   * gained little more and costs the disk twice). What an earlier try left is removed.
   */
  async make(segment: Segment): Promise<DiskFile> {
    const { disk } = this.#runtime
    const { path } = segment
    if (await disk.stat(path)) await disk.remove(path)
    const file = await disk.open(path, 'create')
    try {
      await file.truncate(segment.sizeBytes)
      await file.write(segment.header, 0)
      await file.sync()
      await disk.syncDirectory(this.#options.directory)
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

  /** Begins to archive the complete segments that are not. What fails is tried again: until then they stay. */
  archiveComplete(): void {
    const directory = this.#options.archiveDirectory
    if (directory === null) return
    for (const segment of this.#live) {
      if (!segment.complete || segment.archived || this.#asked.has(segment.id)) continue
      this.#asked.add(segment.id)
      this.#archiving = this.#archiving.then(() => this.#archive(segment, directory))
    }
  }

  async #archive(segment: Segment, directory: string): Promise<void> {
    const { disk, log } = this.#runtime
    try {
      await this.#archiveRetry.keepTrying(
        `cannot archive ${segment.path}`,
        () => archiveSegment(disk, segment.path, directory),
        () => true,
      )
      segment.archived = true
      this.deleteClean()
    } catch (error) {
      log.error('commitlog', `${segment.path} is not archived, and stays until it is`, error)
    } finally {
      this.#asked.delete(segment.id)
    }
  }

  /** The log goes on in a new segment: those before it may go. */
  begin(): void {
    this.#begun = true
    this.archiveComplete()
    this.deleteClean()
  }

  deleteClean(): void {
    // Before, an end mark that no segment follows could be left.
    if (!this.#begun) return
    const unneeded = this.#live.filter((segment) => segment.complete && segment.archived && segment.dirty.size === 0)
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

  /** Waits for the deletions that were begun, and for the archive; what it could not take until now stays where it is. */
  async settle(): Promise<void> {
    this.archiveComplete()
    this.#archiveRetry.close()
    await this.#archiving
    await this.#deletions
  }
}
