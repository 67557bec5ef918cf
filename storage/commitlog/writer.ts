/**
 * The commit log: every write is in it, and synced, before it is acknowledged (modes group and batch).
 * Source: group commit as in LevelDB's writer queue; dirty tables per segment as in Cassandra's CommitLogSegment.
 *
 * append() copies the record into the buffer that is being filled; one loop takes what has gathered, writes it in one piece and syncs, while
 * the other buffer fills. A segment is written to only when the one before it is synced up to its end mark.
 * Always: after a failed write or sync what the disk holds is unknown, so every later append and durable fails; nothing is tried again.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../../lib/base/assert.ts'
import { invalid } from '../../lib/base/errors.ts'
import { StorageError } from '../errors.ts'
import { type RecordHandler, type ReplayedSegment, replayCommitLog } from './replay.ts'
import {
  checkWords,
  HEADER_BYTES,
  type LogPosition,
  logPosition,
  MARK_BYTES,
  MarkKind,
  padded,
  RECORD_HEAD_BYTES,
  SEGMENT_BYTES_MAX,
  SEGMENT_BYTES_MIN,
  seedAt,
  writeMark,
} from './segment.ts'
import { type LogServices, type Segment, SegmentFiles } from './segments.ts'

export interface CommitLogOptions {
  /**
   * `group`: acknowledged when synced, all that arrived during the last sync share the next. `batch`: likewise, but the first write of a group does
   * not wait for the others of its tick. `periodic`: acknowledged at once, synced every `syncPeriodMs`; a power loss takes that much.
   */
  readonly mode: 'group' | 'batch' | 'periodic'
  /** commitlog_sync_period, only for `periodic`. Default 10 s, as Cassandra. */
  readonly syncPeriodMs?: number
  /** commitlog_segment_size. Default 32 MiB, as Cassandra; half of it is the largest record. */
  readonly segmentBytes?: number
  /** commitlog_total_space. Default 8 GiB, as Cassandra. Beyond it the tables of the oldest segments are asked to flush. */
  readonly totalBytes?: number
  /** No segment gets an id below it: one above all ids that any flushed position of the manifest names. */
  readonly segmentIdMin?: number
  /** Called when the log takes more than `totalBytes`: flushing these tables frees its oldest segments. */
  readonly requestFlush?: (tables: readonly string[]) => void
  /** Called once, when the log dies. */
  readonly onFailure?: (error: StorageError) => void
}

/** Bytes that may wait for the disk before `periodic` stops acknowledging at once. */
const PENDING_BYTES_MAX = 32 * 1024 * 1024
const BUFFER_BYTES = 256 * 1024
/** A buffer that grew beyond is not kept for the next group. */
const BUFFER_KEPT_BYTES_MAX = 4 * 1024 * 1024

/** Bytes that follow each other in one segment, written at once: a batch mark, records, and an end mark if it ends the segment. */
interface Chunk {
  readonly segment: Segment
  readonly start: number
  readonly buffer: Buffer
  readonly length: number
  /** The segment that follows, if this chunk ends its own. */
  readonly next: Segment | null
}

/** All who wait for one sync. */
interface Group {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: StorageError) => void
}

/** What replay found, for the log's one line at start. */
export interface ReplaySummary {
  readonly segments: number
  readonly records: number
  /** Bytes at the end that no sync had reached. */
  readonly tornBytes: number
  /** The last run closed the log. */
  readonly clean: boolean
}

/** Replays what the directory holds through `handler`, then opens a fresh segment for writing. */
export async function openCommitLog(
  runtime: LogServices,
  directory: string,
  options: CommitLogOptions,
  handler: RecordHandler,
): Promise<CommitLog> {
  const { disk } = runtime
  await disk.mkdir(directory)
  const slash = directory.lastIndexOf('/')
  if (slash > 0) await disk.syncDirectory(directory.slice(0, slash))
  const replayed = await replayCommitLog(disk, directory, handler)
  for (const segment of replayed) if (!segment.blank && !segment.sealed) await seal(runtime, segment)
  const log = new CommitLog(runtime, directory, options, replayed)
  await log.start()
  // Only now, and the first one last: an end mark promises that a next segment exists. And for good, before anything is written: none may come
  // back among segments that are in use.
  for (const segment of replayed.filter((segment) => segment.blank).reverse()) {
    await disk.remove(segment.path)
    await disk.syncDirectory(directory)
  }
  return log
}

/** Closes the torn tail of the last segment, so that it is whole when others follow it. */
async function seal({ disk }: LogServices, segment: ReplayedSegment): Promise<void> {
  const file = await disk.open(segment.path, 'readwrite')
  try {
    const mark = Buffer.alloc(MARK_BYTES)
    const { end } = segment
    writeMark(mark, 0, { kind: MarkKind.RECOVERED, syncedTo: end, segmentSeed: segment.seed, offset: end })
    await file.write(mark, end)
    await file.sync()
  } finally {
    await file.close()
  }
}

export class CommitLog {
  readonly replayed: ReplaySummary
  /** Largest sum of parts that append takes. */
  readonly recordBytesMax: number
  readonly #clock: LogServices['clock']
  readonly #disk: LogServices['disk']
  readonly #directory: string
  readonly #options: CommitLogOptions
  readonly #segmentBytes: number
  readonly #totalBytes: number
  readonly #files: SegmentFiles
  #current: Segment
  /** The next segment, prepared ahead so that no write waits for it. */
  #spare: Segment
  /** Where the next byte of the current segment goes. */
  #offset = HEADER_BYTES
  #buffer: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  #length = 0
  #spareBuffer: Buffer | null = null
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
  /** `periodic`: the sync of this period is not done after half of the next. */
  #lagging = false
  #tick: Disposable | null = null
  #lagCheck: Disposable | null = null
  #failure: StorageError | null = null
  #closing: Promise<void> | null = null

  /** Use openCommitLog. */
  constructor(
    runtime: LogServices,
    directory: string,
    options: CommitLogOptions,
    replayed: readonly ReplayedSegment[],
  ) {
    this.#clock = runtime.clock
    this.#disk = runtime.disk
    this.#directory = directory
    this.#options = options
    this.#segmentBytes = options.segmentBytes ?? 32 * 1024 * 1024
    assert(this.#segmentBytes >= SEGMENT_BYTES_MIN && this.#segmentBytes <= SEGMENT_BYTES_MAX)
    assert(this.#segmentBytes % 8 === 0, 'a segment is a multiple of 8 bytes')
    this.#totalBytes = options.totalBytes ?? 8 * 1024 ** 3
    this.recordBytesMax = Math.floor(this.#segmentBytes / 2) - HEADER_BYTES - 2 * MARK_BYTES - RECORD_HEAD_BYTES
    const kept = replayed.filter((segment) => !segment.blank)
    this.replayed = {
      segments: kept.length,
      records: kept.reduce((sum, segment) => sum + segment.records, 0),
      tornBytes: kept.at(-1)?.tornBytes ?? 0,
      clean: kept.at(-1)?.clean ?? true,
    }
    this.#files = new SegmentFiles(runtime, directory, this.#segmentBytes, kept)
    const idMax = replayed.reduce((max, segment) => Math.max(max, segment.id), (options.segmentIdMin ?? 1) - 1)
    this.#current = this.#files.create(idMax + 1)
    this.#spare = this.#files.create(idMax + 2)
  }

  /** Prepares the first two segments. Part of openCommitLog. */
  async start(): Promise<void> {
    await this.#files.prepare(this.#current)
    await this.#files.prepare(this.#spare)
    this.#files.add(this.#current)
    if (this.#options.mode === 'periodic') this.#awaitPeriod()
    this.#files.deleteClean()
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

  get sizeBytes(): number {
    return this.#files.bytes
  }

  /** Paths of the segments that hold something that may be needed, ascending. */
  get segmentPaths(): string[] {
    return this.#files.live.map((segment) => segment.path)
  }

  /**
   * Adds one record, the parts one after the other: after a crash it is there whole or not at all. The bytes are copied before it returns. `tables`
   * are those whose memtables hold something of it. Returns the record's position; durable() tells when it may be acknowledged.
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
    const batchMark = this.#length === 0 ? MARK_BYTES : 0
    if (this.#offset + batchMark + size + MARK_BYTES > this.#segmentBytes) this.#roll()
    if (this.#length === 0) this.#reserve(MARK_BYTES)
    const segment = this.#current
    const offset = this.#offset
    const at = this.#reserve(size)
    const buffer = this.#buffer
    const seed = seedAt(segment.seed, offset)
    let crc = seed
    let to = at + RECORD_HEAD_BYTES
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!
      crc = crc32(part, crc)
      buffer.set(part, to)
      to += part.length
    }
    putInt32(buffer, at, bytes)
    putInt32(buffer, at + 4, checkWords(seed, bytes, 0))
    putInt32(buffer, at + 8, crc)
    while (to < at + size) buffer[to++] = 0
    const position = logPosition(segment.id, offset)
    for (let i = 0; i < tables.length; i++) segment.dirty.set(tables[i]!, position)
    if (!this.#running && !this.#scheduled) this.#wake()
    return position
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
    if (this.#length > 0 || this.#full.length > 0) return this.#gather().promise
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
    this.#tick?.[Symbol.dispose]()
    this.#lagCheck?.[Symbol.dispose]()
    this.#syncDue = true
    this.#start()
    while (this.#running) await this.#running
    if (!this.#failure) await this.#leaveCleanly().catch((cause: unknown) => this.#fail(cause))
    await this.#files.settle()
    for (const segment of [...this.#files.live, this.#spare]) await closeFile(segment)
    if (this.#failure) throw this.#failure
  }

  async #leaveCleanly(): Promise<void> {
    const nothingDirty = this.#files.dirtyTables().size === 0
    await this.#spare.file
    await writeClosingMark(this.#current, nothingDirty ? MarkKind.END : MarkKind.CLEAN, this.#offset)
    if (nothingDirty) await writeClosingMark(this.#spare, MarkKind.CLEAN, HEADER_BYTES)
    await this.#files.settle()
    for (const segment of nothingDirty ? this.#files.live : [this.#spare]) {
      await closeFile(segment)
      await this.#disk.remove(segment.path)
    }
    await this.#disk.syncDirectory(this.#directory)
  }

  #gather(): Group {
    this.#gathering ??= createGroup()
    return this.#gathering
  }

  /** Makes room for `size` bytes of the current segment; returns where in the buffer they begin. */
  #reserve(size: number): number {
    const at = this.#length
    if (at + size > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(at + size, this.#buffer.length * 2))
      this.#buffer.copy(grown, 0, 0, at)
      this.#buffer = grown
    }
    this.#length = at + size
    this.#offset += size
    this.#pendingBytes += size
    return at
  }

  /** Ends the current segment and goes on in the spare one. */
  #roll(): void {
    if (this.#length > 0) this.#reserve(MARK_BYTES)
    this.#full.push(this.#takeChunk(this.#spare))
    this.#current = this.#spare
    this.#files.add(this.#current)
    this.#offset = HEADER_BYTES
    this.#spare = this.#files.create(this.#current.id + 1)
    // If it fails, whoever writes to it meets the error.
    void this.#files.prepare(this.#spare)
    const excess = this.#files.bytes - this.#totalBytes
    if (excess > 0) this.#options.requestFlush?.(this.#files.tablesOfOldest(excess))
  }

  /** A chunk of length 0 that ends its segment is its end mark alone. */
  #takeChunk(next: Segment | null): Chunk {
    const length = this.#length
    const chunk = { segment: this.#current, start: this.#offset - length, buffer: this.#buffer, length, next }
    this.#buffer = this.#spareBuffer ?? Buffer.allocUnsafeSlow(BUFFER_BYTES)
    this.#spareBuffer = null
    this.#length = 0
    return chunk
  }

  /** Starts the loop unless it runs: mode batch now, the others after what this tick still brings. */
  #wake(): void {
    if (this.#running || this.#scheduled) return
    if (this.#options.mode === 'batch') {
      this.#start()
      return
    }
    this.#scheduled = true
    this.#clock.soon(() => {
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
    return this.#length > 0 || this.#full.length > 0 || this.#syncDue
  }

  async #run(): Promise<void> {
    while (this.#hasWork()) {
      const chunks = this.#full
      this.#full = []
      if (this.#length > 0) chunks.push(this.#takeChunk(null))
      const last = chunks.at(-1)?.segment ?? this.#current
      const syncs = this.#options.mode !== 'periodic' || this.#syncDue
      this.#syncDue = false
      if (syncs) {
        this.#writing = this.#gathering
        this.#gathering = null
      }
      for (const chunk of chunks) await this.#write(chunk)
      if (syncs && last.syncedTo < last.writtenTo) await syncSegment(last)
      for (const chunk of chunks) this.#pendingBytes -= chunk.length
      if (syncs) this.#acknowledge()
    }
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
    await file.write(buffer.subarray(0, length), start)
    segment.writtenTo = start + length
    if (chunk.buffer.length <= BUFFER_KEPT_BYTES_MAX) this.#spareBuffer = chunk.buffer
    if (next) {
      await syncSegment(segment)
      await closeFile(segment)
      segment.complete = true
      this.#files.deleteClean()
    }
  }

  /** `periodic`: asks for a sync at each period's end, and sees whether the last one is still not done half a period later. */
  #awaitPeriod(): void {
    const periodMs = this.#options.syncPeriodMs ?? 10_000
    this.#tick = this.#clock.after(periodMs, () => {
      let done = false
      this.sync().then(
        () => {
          done = true
        },
        () => {},
      )
      this.#lagCheck = this.#clock.after(periodMs / 2, () => {
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

async function syncSegment(segment: Segment): Promise<void> {
  const file = (await segment.file)!
  const { writtenTo } = segment
  await file.sync()
  segment.syncedTo = writtenTo
}

async function closeFile(segment: Segment): Promise<void> {
  const file = await segment.file?.catch(() => null)
  segment.file = null
  await file?.close()
}

async function writeClosingMark(segment: Segment, kind: number, offset: number): Promise<void> {
  const mark = Buffer.alloc(MARK_BYTES)
  writeMark(mark, 0, { kind, syncedTo: offset, segmentSeed: segment.seed, offset })
  const file = (await segment.file)!
  await file.write(mark, offset)
  await file.sync()
  if (kind !== MarkKind.CLEAN) return
  // Only now: a segment that is shorter than its header says must have its clean mark.
  await file.truncate(offset + MARK_BYTES)
  await file.sync()
}

function createGroup(): Group {
  let resolve = (): void => {}
  let reject = (_: StorageError): void => {}
  const promise = new Promise<void>((accept, refuse) => {
    resolve = accept
    reject = refuse
  })
  return { promise, resolve, reject }
}

function putInt32(target: Buffer, at: number, value: number): void {
  target[at] = value >>> 24
  target[at + 1] = value >>> 16
  target[at + 2] = value >>> 8
  target[at + 3] = value
}
