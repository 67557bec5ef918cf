/**
 * Reads a commit log back, oldest segment first. It changes nothing on disk, so it may be run again.
 *
 * Always: a record is handed over whole and as it was written, or not at all. Bytes that do not check are a torn tail only when nothing that
 * was written later promises that they had been synced: that is, in the last segment that holds anything, with no valid mark behind them that
 * says so. Anything else is damage to acknowledged writes: CorruptionError, the node must not start.
 */
import { crc32 } from 'node:zlib'
import type { Disk } from '../../lib/runtime/runtime.ts'
import { CorruptionError } from '../errors.ts'
import type { Progress } from './progress.ts'
import {
  checkHeader,
  checkWords,
  declaredSize,
  HEADER_BYTES,
  isMark,
  type LogPosition,
  logPosition,
  MARK_BYTES,
  MARK_PREFIX,
  MarkKind,
  offsetOf,
  padded,
  parseSegmentName,
  RECORD_HEAD_BYTES,
  readMark,
  SEGMENT_BYTES_MAX,
  seedAt,
  segmentSeed,
} from './segment.ts'

/**
 * Takes one record. The payload is a view that is valid until the next record. Returns (or promises) the tables in whose memory something of it
 * now is, which are not on disk elsewhere; null or none when all of it was flushed before.
 */
export type RecordHandler = (
  payload: Buffer,
  position: LogPosition,
) => readonly string[] | null | Promise<readonly string[] | null>

export interface ReplayedSegment {
  readonly id: number
  readonly path: string
  readonly sizeBytes: number
  readonly seed: number
  /** No record or mark was ever synced in it: prepared, never used. */
  readonly blank: boolean
  /** Blank, with its header and at its full size. */
  readonly prepared: boolean
  /** A mark closes it that says that another segment follows. */
  readonly continues: boolean
  /** A mark closes it that says that the log was closed. */
  readonly clean: boolean
  /** It was cut behind its clean mark, which is done only when all of it is synced. */
  readonly cut: boolean
  /** Where its valid bytes end, before the closing mark. */
  readonly end: number
  /** All before it was synced, as marks say; what follows may be in the page cache only. */
  readonly syncedTo: number
  /** Bytes behind `end` that are not zero and do not check: writes that were never acknowledged. */
  readonly tornBytes: number
  readonly records: number
  /** Tables that the handler named, and the position of their last record. */
  readonly tables: Map<string, LogPosition>
}

const RECORDS_PER_REPORT = 1_000

export interface SegmentFile {
  readonly id: number
  readonly path: string
}

/** Segments of a directory by ascending id; other names are left alone. */
export async function listSegments(disk: Disk, directory: string): Promise<SegmentFile[]> {
  const found: SegmentFile[] = []
  for (const name of await disk.list(directory)) {
    const id = parseSegmentName(name)
    if (id !== null) found.push({ id, path: `${directory}/${name}` })
  }
  return found.sort((a, b) => a.id - b.id)
}

/** Hands every record to the handler, in order, and tells what was found. */
export async function replayCommitLog(
  disk: Disk,
  directory: string,
  handler: RecordHandler,
  progress: Progress = () => {},
): Promise<ReplayedSegment[]> {
  const files = await listSegments(disk, directory)
  const trailing: ReplayedSegment[] = []
  const reader = new SegmentReader(disk)
  while (files.length > 0) {
    const file = files.at(-1)!
    const bytes = await reader.load(file)
    if (!isBlank(bytes)) break
    trailing.unshift(blankSegment(file, bytes))
    files.pop()
  }
  const replayed: ReplayedSegment[] = []
  const counted = countProgress(await totalBytes(disk, files), handler, progress)
  for (const [index, file] of files.entries()) {
    const bytes = await reader.load(file)
    replayed.push(await replaySegment(bytes, file, { last: index === files.length - 1, handler: counted.handler }))
    counted.passed(bytes.length)
  }
  const last = replayed.at(-1)
  if (last?.continues && !trailing[0]?.prepared)
    throw new CorruptionError(
      last.path,
      last.end,
      'it ends with a mark that a next segment exists, which is missing or cut',
    )
  return [...replayed, ...trailing]
}

async function totalBytes(disk: Disk, files: readonly SegmentFile[]): Promise<number> {
  let sum = 0
  for (const { path } of files) sum += (await disk.stat(path))?.size ?? 0
  return sum
}

/** Tells of progress after each segment, and after some records. */
export function countProgress(
  total: number,
  handler: RecordHandler,
  progress: Progress,
): { readonly handler: RecordHandler; readonly passed: (bytes: number) => void } {
  let records = 0
  let bytes = 0
  return {
    handler(payload, position) {
      if (++records % RECORDS_PER_REPORT === 0)
        progress({ bytes: bytes + offsetOf(position), totalBytes: total, records })
      return handler(payload, position)
    },
    passed(more) {
      bytes += more
      progress({ bytes, totalBytes: total, records })
    },
  }
}

/** Reads whole segments into one buffer that is used again. */
export class SegmentReader {
  readonly #disk: Disk
  #buffer: Buffer = Buffer.alloc(0)
  #loaded = -1
  #length = 0

  constructor(disk: Disk) {
    this.#disk = disk
  }

  async load(segment: SegmentFile): Promise<Buffer> {
    if (this.#loaded === segment.id) return this.#buffer.subarray(0, this.#length)
    const file = await this.#disk.open(segment.path, 'read')
    try {
      const size = await file.size()
      if (size > SEGMENT_BYTES_MAX)
        throw new CorruptionError(segment.path, 0, `${size} bytes are too many for a segment`)
      if (size > this.#buffer.length) this.#buffer = Buffer.allocUnsafeSlow(size)
      this.#loaded = -1
      this.#length = await file.read(this.#buffer.subarray(0, size), 0)
      this.#loaded = segment.id
    } finally {
      await file.close()
    }
    return this.#buffer.subarray(0, this.#length)
  }
}

/** Nothing behind the header: it was prepared, and its header itself may be torn. */
export function isBlank(bytes: Buffer): boolean {
  return isZero(bytes, HEADER_BYTES)
}

function isZero(bytes: Buffer, from: number): boolean {
  if (bytes.length <= from) return true
  let at = from
  for (; at < bytes.length && at % 8 !== 0; at++) if (bytes[at] !== 0) return false
  const words = new Float64Array(bytes.buffer, bytes.byteOffset + at, (bytes.length - at) >> 3)
  // A word of zero bits is +0, and so is -0 equal to it: the sign bit is looked at by Object.is only where it can matter.
  for (let i = 0; i < words.length; i++) if (words[i] !== 0 || Object.is(words[i], -0)) return false
  for (at += words.length * 8; at < bytes.length; at++) if (bytes[at] !== 0) return false
  return true
}

function blankSegment(file: SegmentFile, bytes: Buffer): ReplayedSegment {
  return {
    ...file,
    sizeBytes: bytes.length,
    seed: 0,
    blank: true,
    prepared: checkHeader(bytes, file.id) === null && bytes.length >= declaredSize(bytes),
    continues: false,
    clean: false,
    cut: false,
    end: HEADER_BYTES,
    syncedTo: HEADER_BYTES,
    tornBytes: 0,
    records: 0,
    tables: new Map(),
  }
}

/** Hands over the records of one segment. `last`: it may end in a torn tail. */
export async function replaySegment(
  bytes: Buffer,
  file: SegmentFile,
  options: { last: boolean; handler: RecordHandler },
): Promise<ReplayedSegment> {
  const wrong = checkHeader(bytes, file.id)
  if (wrong) throw new CorruptionError(file.path, 0, wrong)
  const seed = segmentSeed(bytes)
  const tables = new Map<string, LogPosition>()
  let offset = HEADER_BYTES
  let records = 0
  let closing: number | null = null
  let syncedTo = HEADER_BYTES
  for (;;) {
    if (offset + MARK_BYTES > bytes.length) break
    const word = bytes.readUInt32BE(offset)
    if (isMark(word)) {
      const mark = readMark(bytes, offset, seed)
      if (!mark) break
      syncedTo = Math.max(syncedTo, mark.syncedTo)
      if (mark.kind !== MarkKind.BATCH) {
        closing = mark.kind
        break
      }
      offset += MARK_BYTES
      continue
    }
    if (!recordIsWhole(bytes, offset, word, seed)) break
    const position = logPosition(file.id, offset)
    const start = offset + RECORD_HEAD_BYTES
    const given = options.handler(bytes.subarray(start, start + word), position)
    const named = given instanceof Promise ? await given : given
    if (named) for (const table of named) tables.set(table, position)
    offset += padded(RECORD_HEAD_BYTES + word)
    records += 1
  }
  const cut = bytes.length < declaredSize(bytes)
  if (cut && closing !== MarkKind.CLEAN)
    throw new CorruptionError(file.path, bytes.length, `the file is cut: ${declaredSize(bytes)} bytes were prepared`)
  if (closing === null) refuseIfSynced(bytes, offset, { seed, path: file.path, last: options.last })
  return {
    ...file,
    sizeBytes: bytes.length,
    seed,
    blank: false,
    prepared: false,
    continues: closing === MarkKind.END,
    clean: closing === MarkKind.CLEAN,
    cut,
    end: offset,
    syncedTo,
    tornBytes: closing === null ? lastNonZero(bytes, offset) - offset : 0,
    records,
    tables,
  }
}

function recordIsWhole(bytes: Buffer, offset: number, length: number, seed: number): boolean {
  const end = offset + RECORD_HEAD_BYTES + length
  if (length === 0 || end > bytes.length) return false
  const recordSeed = seedAt(seed, offset)
  if (bytes.readInt32BE(offset + 4) !== checkWords(recordSeed, length, 0)) return false
  return bytes.readUInt32BE(offset + 8) === crc32(bytes.subarray(offset + RECORD_HEAD_BYTES, end), recordSeed)
}

/** Throws unless the bytes from `offset` on can be a tail that no sync had reached. */
function refuseIfSynced(bytes: Buffer, offset: number, segment: { seed: number; path: string; last: boolean }): void {
  if (!segment.last)
    throw new CorruptionError(segment.path, offset, 'later segments exist, and this one does not go on to its end')
  for (let at = bytes.indexOf(MARK_PREFIX, offset); at >= 0; at = bytes.indexOf(MARK_PREFIX, at + 1)) {
    const mark = at % 8 === 0 ? readMark(bytes, at, segment.seed) : null
    if (mark && mark.syncedTo > offset)
      throw new CorruptionError(segment.path, offset, `the mark at ${at} says that ${mark.syncedTo} bytes were synced`)
  }
}

function lastNonZero(bytes: Buffer, from: number): number {
  let end = bytes.length
  while (end > from && bytes[end - 1] === 0) end -= 1
  return end
}
