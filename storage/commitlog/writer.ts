/**
 * The commit log: every write is in it, and synced, before it is acknowledged (modes group and batch).
 * Source: group commit as in LevelDB's writer queue; dirty tables per segment as in Cassandra's CommitLogSegment.
 *
 * append() copies the record into the buffer that is being filled; one loop takes what has gathered, writes it in one piece and syncs, while
 * the other buffer fills. A segment is written to only when the one before it is synced up to its end mark.
 * Always: after a failed sync, or a write that failed for another reason than want of room, what the disk holds is unknown, so every later append and
 * durable fails. A write that found no room is done again with the same bytes at the same place, before any sync; until then new ones are refused.
 */
import { assert } from '../../lib/base/assert.ts'
import { invalid } from '../../lib/base/errors.ts'
import type { DiskFile } from '../../lib/runtime/runtime.ts'
import { errorCode, lacksRoom, NoRoomError, StorageError } from '../errors.ts'
import { Retry } from '../retry.ts'
import { createGroup, type Group } from './group.ts'
import type { CommitLogOptions, ReplaySummary } from './options.ts'
import { RecordBuffer } from './record-buffer.ts'
import type { ReplayedSegment } from './replay.ts'
import {
  HEADER_BYTES,
  type LogPosition,
  logPosition,
  MARK_BYTES,
  MarkKind,
  padded,
  RECORD_HEAD_BYTES,
  SEGMENT_BYTES_MAX,
  SEGMENT_BYTES_MIN,
  writeMark,
} from './segment.ts'
import { closeFile, sealSegment, syncSegment, writeClosingMark, writeSyncedMark } from './segment-writing.ts'
import { type LogServices, type Segment, SegmentFiles } from './segments.ts'

export type { CommitLogOptions, ReplaySummary }

/** Bytes that may wait for the disk before `periodic` stops acknowledging at once. */
const PENDING_BYTES_MAX = 32 * 1024 * 1024
const IDLE_MARK_MS = 10

/** Bytes that follow each other in one segment, written at once: a batch mark, records, and an end mark if it ends the segment. */
interface Chunk {
  readonly segment: Segment
  readonly start: number
  readonly buffer: Buffer
  readonly length: number
  /** The segment that follows, if this chunk ends its own. */
  readonly next: Segment | null
}

export class CommitLog {
  readonly replayed: ReplaySummary
  /** Largest sum of parts that append takes. */
  readonly recordBytesMax: number
  readonly #runtime: LogServices
  readonly #directory: string
  readonly #options: CommitLogOptions
  readonly #segmentBytes: number
  readonly #totalBytes: number
  readonly #idleMarkMs: number
  readonly #groupWindowMs: number
  readonly #retry: Retry
  readonly #files: SegmentFiles
  #current: Segment
  /** The next segment, prepared ahead so that no write waits for it. */
  #spare: Segment
  /** Where the next byte of the current segment goes. */
  #offset = HEADER_BYTES
  readonly #buffer = new RecordBuffer()
  /** What ends segments that are full, and was not taken yet. */
  #full: Chunk[] = []
  /** Bytes appended and not yet synced (group, batch) or not yet written (periodic). */
  #pendingBytes = 0
  /** Those who wait for what is gathering, and for what is being written. */
  #gathering: Group | null = null
  #writing: Group | null = null
  #running: Promise<void> | null = null
  #scheduled = false
  /** The next turn of the loop syncs, even with nothing to write. */
  #syncDue = false
  /** The next turn of the loop writes an idle mark, if it has nothing else to write. */
  #markDue = false
  /** Records were synced, and no mark behind them says so. */
  #unmarked = false
  /** `periodic`: the sync of this period is not done after half of the next. */
  #lagging = false
  #tick: Disposable | null = null
  #lagCheck: Disposable | null = null
  #idle: Disposable | null = null
  #failure: StorageError | null = null
  #closing: Promise<void> | null = null

  /** Use openCommitLog (open.ts). */
  constructor(
    runtime: LogServices,
    directory: string,
    options: CommitLogOptions,
    replayed: readonly ReplayedSegment[],
  ) {
    this.#runtime = runtime
    this.#directory = directory
    this.#options = options
    this.#segmentBytes = options.segmentBytes ?? 32 * 1024 * 1024
    assert(this.#segmentBytes >= SEGMENT_BYTES_MIN && this.#segmentBytes <= SEGMENT_BYTES_MAX)
    assert(this.#segmentBytes % 8 === 0, 'a segment is a multiple of 8 bytes')
    this.#totalBytes = options.totalBytes ?? 8 * 1024 ** 3
    this.#idleMarkMs = options.idleMarkMs ?? IDLE_MARK_MS
    this.#groupWindowMs = options.mode === 'group' ? (options.groupWindowMs ?? 0) : 0
    this.recordBytesMax = Math.floor(this.#segmentBytes / 2) - HEADER_BYTES - 2 * MARK_BYTES - RECORD_HEAD_BYTES
    const kept = replayed.filter((segment) => !segment.blank)
    this.replayed = {
      segments: kept.length,
      records: kept.reduce((sum, segment) => sum + segment.records, 0),
      tornBytes: kept.at(-1)?.tornBytes ?? 0,
      clean: kept.at(-1)?.clean ?? true,
    }
    this.#retry = new Retry(runtime, 'commitlog')
    this.#files = new SegmentFiles(
      runtime,
      { directory, sizeBytes: this.#segmentBytes, archiveDirectory: options.archiveDirectory ?? null },
      { replayed: kept, retry: this.#retry },
    )
    const idMax = replayed.reduce((max, segment) => Math.max(max, segment.id), (options.segmentIdMin ?? 1) - 1)
    this.#current = this.#files.create(idMax + 1)
    this.#spare = this.#files.create(idMax + 2)
    this.#files.add(this.#current)
  }

  /** Closes what a crash left open and makes the first two segments. On a full disk that goes on in the background. Part of openCommitLog. */
  async start(replayed: readonly ReplayedSegment[]): Promise<void> {
    const [current, spare] = [this.#current, this.#spare]
    const begin = (): Promise<[DiskFile, DiskFile]> => this.#begin(replayed, current, spare)
    const attempt = begin()
    const begun = attempt.catch((error: unknown) => {
      if (!lacksRoom(error)) throw error
      return this.#retry.keepTrying('the commit log cannot begin', begin)
    })
    current.file = begun.then(([file]) => file)
    spare.file = begun.then(([, file]) => file)
    // Whoever writes to them meets the error.
    current.file.catch(() => {})
    spare.file.catch(() => {})
    if (this.#options.mode === 'periodic') this.#awaitPeriod()
    try {
      await attempt
    } catch (error) {
      if (!lacksRoom(error)) throw error
    }
  }

  async #begin(replayed: readonly ReplayedSegment[], current: Segment, spare: Segment): Promise<[DiskFile, DiskFile]> {
    const { disk } = this.#runtime
    const opened: DiskFile[] = []
    try {
      // Those before it were synced to their ends before anything was written to it.
      const last = replayed.findLast((segment) => !segment.blank)
      if (last && !last.cut) await sealSegment(disk, last)
      for (const segment of [current, spare]) opened.push(await this.#files.make(segment))
      // For good, before anything is written: none may come back among segments that are in use.
      const blank = replayed.filter((segment) => segment.blank)
      for (const { path } of blank) if (await disk.stat(path)) await disk.remove(path)
      if (blank.length > 0) await disk.syncDirectory(this.#directory)
    } catch (error) {
      for (const file of opened) await file.close()
      throw error
    }
    this.#files.begin()
    return opened as [DiskFile, DiskFile]
  }

  /** All records appended before have a smaller position, all later ones this or a greater. */
  get position(): LogPosition {
    return logPosition(this.#current.id, this.#offset)
  }

  /** Bytes that wait for the disk. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /** Why the log is dead, or null. */
  get failure(): StorageError | null {
    return this.#failure
  }

  /** Why the log waits for room on the disk, or null. */
  get blocked(): unknown {
    return this.#retry.blocked
  }

  get sizeBytes(): number {
    return this.#files.bytes
  }

  /** Paths of the segments that hold something that may be needed, ascending. */
  get segmentPaths(): string[] {
    return this.#files.live.map((segment) => segment.path)
  }

  /**
   * Adds one record, the parts one after the other: after a crash it is there whole or not at all. The bytes are copied before it returns. `tables`
   * are those whose memtables hold something of it. Returns the record's position; durable() tells when it may be acknowledged. Throws, and has
   * done nothing: NoRoomError when the disk is full, StorageError when the log is dead or closed.
   */
  append(parts: readonly Uint8Array[], tables: readonly string[]): LogPosition {
    if (this.#failure) throw this.#failure
    if (this.#closing) throw new StorageError('the commit log is closed')
    let bytes = 0
    for (let i = 0; i < parts.length; i++) bytes += parts[i]!.length
    if (bytes > this.recordBytesMax)
      throw invalid(`Mutation of ${bytes} bytes is too large for the maximum size of ${this.recordBytesMax}`)
    assert(bytes > 0, 'a record is not empty')
    const size = padded(RECORD_HEAD_BYTES + bytes)
    const batchMark = this.#buffer.length === 0 ? MARK_BYTES : 0
    const fits = this.#offset + batchMark + size + MARK_BYTES <= this.#segmentBytes
    if (this.#retry.blocked !== null) this.#refuse(fits)
    if (!fits) this.#roll()
    if (this.#buffer.length === 0) this.#reserveMark()
    const segment = this.#current
    const offset = this.#offset
    this.#buffer.add(parts, { bytes, size, segmentSeed: segment.seed, offset })
    this.#offset += size
    this.#pendingBytes += size
    const position = logPosition(segment.id, offset)
    for (let i = 0; i < tables.length; i++) segment.dirty.set(tables[i]!, position)
    if (!this.#running && !this.#scheduled) this.#wake()
    return position
  }

  /** The disk is full, or no file can be opened: then what is there is used up first. */
  #refuse(fits: boolean): void {
    const cause = this.#retry.blocked
    const code = errorCode(cause)
    if (fits && (code === 'EMFILE' || code === 'ENFILE')) return
    throw new NoRoomError('the commit log waits for room on the disk', { cause })
  }

  /**
   * Resolves when everything appended so far may be acknowledged; undefined when that is now. All who ask between two syncs get the same
   * promise. Fails with StorageError when the log died.
   */
  durable(): Promise<void> | undefined {
    if (this.#failure) return Promise.reject(this.#failure)
    if (this.#options.mode === 'periodic') {
      if (!this.#lagging && this.#pendingBytes <= PENDING_BYTES_MAX) return undefined
      return this.sync()
    }
    if (this.#buffer.length > 0 || this.#full.length > 0) return this.#gather().promise
    if (this.#pendingBytes === 0) return undefined
    this.#writing ??= createGroup()
    return this.#writing.promise
  }

  /** Syncs what was appended so far, in any mode. */
  sync(): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure)
    this.#syncDue = true
    const group = this.#gather()
    this.#wake()
    return group.promise
  }

  /** Everything of this table before `upTo` is in synced SSTables (or dropped: Infinity). Deletes segments that nobody needs any more. */
  markFlushed(table: string, upTo: LogPosition): void {
    this.#files.markFlushed(table, upTo)
  }

  /** Tables with records that are not flushed. */
  dirtyTables(): Set<string> {
    return this.#files.dirtyTables()
  }

  /**
   * Writes and syncs what is pending and closes. When all tables were flushed, one small segment with a clean mark remains, so that the next start
   * has nothing to replay. May be called twice.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const timer of [this.#tick, this.#lagCheck, this.#idle]) timer?.[Symbol.dispose]()
    const { blocked } = this.#retry
    this.#retry.close()
    this.#syncDue = true
    this.#start()
    while (this.#running) await this.#running
    if (!this.#failure && blocked === null) await this.#leaveCleanly().catch((cause: unknown) => this.#notClean(cause))
    await this.#files.settle()
    for (const segment of [...this.#files.live, this.#spare]) await closeFile(segment)
    if (this.#failure) throw this.#failure
  }

  /** Everything is synced: without room for a closing mark the next start only has more to read. */
  #notClean(cause: unknown): void {
    if (!lacksRoom(cause)) this.#fail(cause)
    else this.#runtime.log.warn('commitlog', `the commit log could not be closed cleanly: ${String(cause)}`)
  }

  async #leaveCleanly(): Promise<void> {
    const { disk } = this.#runtime
    const nothingDirty = this.#files.dirtyTables().size === 0
    await this.#spare.file
    await writeClosingMark(this.#current, nothingDirty ? MarkKind.END : MarkKind.CLEAN, this.#offset)
    if (nothingDirty) {
      await writeClosingMark(this.#spare, MarkKind.CLEAN, HEADER_BYTES)
      await closeFile(this.#current)
      this.#current.complete = true
      this.#files.deleteClean()
    } else {
      await closeFile(this.#spare)
      await disk.remove(this.#spare.path)
    }
    await this.#files.settle()
    await disk.syncDirectory(this.#directory)
  }

  #gather(): Group {
    this.#gathering ??= createGroup()
    return this.#gathering
  }

  /** Makes room for a mark. */
  #reserveMark(): void {
    this.#buffer.reserve(MARK_BYTES)
    this.#offset += MARK_BYTES
    this.#pendingBytes += MARK_BYTES
  }

  /** Ends the current segment and goes on in the spare one. */
  #roll(): void {
    if (this.#buffer.length > 0) this.#reserveMark()
    this.#full.push(this.#takeChunk(this.#spare))
    this.#current = this.#spare
    this.#files.add(this.#current)
    this.#offset = HEADER_BYTES
    this.#spare = this.#files.create(this.#current.id + 1)
    this.#files.prepare(this.#spare)
    const excess = this.#files.bytes - this.#totalBytes
    if (excess > 0) this.#options.requestFlush?.(this.#files.tablesOfOldest(excess))
  }

  /** A chunk of length 0 that ends its segment is its end mark alone. */
  #takeChunk(next: Segment | null): Chunk {
    const { buffer, length } = this.#buffer.take()
    return { segment: this.#current, start: this.#offset - length, buffer, length, next }
  }

  /** Starts the loop unless it runs: mode batch now, the others after what this tick still brings. */
  #wake(): void {
    if (this.#running || this.#scheduled) return
    if (this.#options.mode === 'batch') {
      this.#start()
      return
    }
    this.#scheduled = true
    this.#runtime.clock.soon(() => {
      this.#scheduled = false
      this.#start()
    })
  }

  #start(): void {
    if (this.#running || this.#failure) return
    this.#running = this.#run()
      .catch((cause: unknown) => this.#fail(cause))
      .finally(() => {
        this.#running = null
        // What came between the loop's last look and now found it running.
        if (this.#hasWork()) this.#start()
      })
  }

  #hasWork(): boolean {
    return this.#buffer.length > 0 || this.#full.length > 0 || this.#syncDue || this.#markDue
  }

  async #run(): Promise<void> {
    while (this.#hasWork()) {
      if (this.#groupWindowMs > 0 && !this.#syncDue) await this.#awaitCompany()
      if (this.#markDue) await this.#markIdle()
      const chunks = this.#full
      this.#full = []
      if (this.#buffer.length > 0) chunks.push(this.#takeChunk(null))
      const last = chunks.at(-1)?.segment ?? this.#current
      const syncs = this.#options.mode !== 'periodic' || this.#syncDue
      this.#syncDue = false
      if (syncs) {
        this.#writing = this.#gathering
        this.#gathering = null
      }
      for (const chunk of chunks) await this.#write(chunk)
      if (syncs && last.syncedTo < last.writtenTo) {
        await syncSegment(last)
        this.#unmarked = true
      }
      for (const chunk of chunks) this.#pendingBytes -= chunk.length
      if (syncs) this.#acknowledge()
    }
    if (this.#unmarked && this.#idle === null && this.#idleMarkMs > 0) this.#awaitIdle()
  }

  #awaitCompany(): Promise<void> {
    return new Promise((resolve) => {
      this.#runtime.clock.after(this.#groupWindowMs, resolve)
    })
  }

  #acknowledge(): void {
    this.#lagging = false
    const group = this.#writing
    this.#writing = null
    group?.resolve()
  }

  async #write(chunk: Chunk): Promise<void> {
    const { segment, start, next } = chunk
    const { seed: segmentSeed, syncedTo } = segment
    const buffer = chunk.length > 0 ? chunk.buffer : Buffer.alloc(MARK_BYTES)
    const length = Math.max(chunk.length, MARK_BYTES)
    if (chunk.length > 0) writeMark(buffer, 0, { kind: MarkKind.BATCH, syncedTo, segmentSeed, offset: start })
    const end = length - MARK_BYTES
    if (next) writeMark(buffer, end, { kind: MarkKind.END, syncedTo, segmentSeed, offset: start + end })
    const file = (await segment.file)!
    // An end mark promises that a next segment exists: one that is missing or cut short is then known to be damage.
    if (next) await next.file
    await this.#retry.keepTrying(`cannot write to ${segment.path}`, () => file.write(buffer.subarray(0, length), start))
    segment.writtenTo = start + length
    this.#buffer.giveBack(chunk.buffer)
    if (next) {
      await syncSegment(segment)
      await closeFile(segment)
      segment.complete = true
      this.#files.archiveComplete()
      this.#files.deleteClean()
    }
  }

  /** Some time from now, if nothing was written until then, a mark says that all was synced. */
  #awaitIdle(): void {
    const { position } = this
    this.#idle = this.#runtime.clock.after(this.#idleMarkMs, () => {
      this.#idle = null
      if (this.#failure || this.#closing || !this.#unmarked) return
      if (position === this.position && this.#running === null) {
        this.#markDue = true
        this.#wake()
      } else this.#awaitIdle()
    })
  }

  async #markIdle(): Promise<void> {
    this.#markDue = false
    const segment = this.#current
    const offset = this.#offset
    const isIdle = this.#buffer.length === 0 && this.#full.length === 0 && segment.syncedTo === offset
    if (!isIdle || offset + 2 * MARK_BYTES > this.#segmentBytes) return
    this.#offset += MARK_BYTES
    // What is appended from now on goes behind it: it must be written, or nothing can be.
    await this.#retry.keepTrying(`cannot write to ${segment.path}`, () => writeSyncedMark(segment, offset))
    await syncSegment(segment)
    this.#unmarked = false
  }

  /** `periodic`: asks for a sync at each period's end, and sees whether the last one is still not done half a period later. */
  #awaitPeriod(): void {
    const periodMs = this.#options.syncPeriodMs ?? 10_000
    this.#tick = this.#runtime.clock.after(periodMs, () => {
      let done = false
      this.sync().then(
        () => {
          done = true
        },
        () => {},
      )
      this.#lagCheck = this.#runtime.clock.after(periodMs / 2, () => {
        if (!done) this.#lagging = true
      })
      this.#awaitPeriod()
    })
  }

  #fail(cause: unknown): void {
    if (this.#failure) return
    const failure = new StorageError('the commit log is unusable until a restart', { cause })
    this.#failure = failure
    this.#writing?.reject(failure)
    this.#gathering?.reject(failure)
    this.#writing = null
    this.#gathering = null
    this.#options.onFailure?.(failure)
  }
}
