/**
 * A commit-log segment's bytes (docs/formats.md, "Commit log"): a header, then marks and records, each at a multiple of 8, then zeros.
 *
 * header := magic 'PXLG' u32 | version u16 | 0 u16 | segment id u64 | salt 8 | size u32 | CRC-32 of the 28 bytes before
 * mark   := 0xF5505800 + kind u32 | synced u32 | check u32 | 0 u32          kinds: see MarkKind
 * record := length u32 (1 … 2^27) | check of length u32 | CRC-32 of payload u32 | payload | 0 to the next multiple of 8
 *
 * Every check starts from a seed made of segment id, salt and the offset, so that bytes of another place never pass; the salt keeps
 * clients from writing payloads that look like marks. A mark promises that all bytes before `synced` were on disk when it was written.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../../lib/base/assert.ts'

export const SEGMENT_VERSION = 1
export const HEADER_BYTES = 32
export const MARK_BYTES = 16
export const RECORD_HEAD_BYTES = 12
const ALIGNMENT = 8
/** Offsets are counted in units of 8 bytes within 24 bits of a position. */
export const SEGMENT_BYTES_MAX = 2 ** 27
export const SEGMENT_BYTES_MIN = 1024

const SEGMENT_MAGIC = 0x50584c47
const MARK_MAGIC = 0xf5505800
/** The bytes that every mark begins with. */
export const MARK_PREFIX: Buffer = Buffer.from([0xf5, 0x50, 0x58])

/**
 * BATCH begins what was written at once. The others close the segment: END when it is full and the next one exists at its full size, CLEAN when
 * the log was closed (the file may be cut behind it), RECOVERED where a replay found the last whole record.
 */
export const MarkKind = { BATCH: 1, END: 2, CLEAN: 3, RECOVERED: 4 } as const

/**
 * A place in the log, ordered as the log is: segment id * 2^24 + offset / 8. 29 bits are left for ids: 18 PB of segments of 32 MiB.
 */
export type LogPosition = number

const POSITION_UNITS = 2 ** 24

export function logPosition(segmentId: number, offset: number): LogPosition {
  return segmentId * POSITION_UNITS + offset / ALIGNMENT
}

export function segmentOf(position: LogPosition): number {
  return Math.floor(position / POSITION_UNITS)
}

export function offsetOf(position: LogPosition): number {
  return (position % POSITION_UNITS) * ALIGNMENT
}

export function segmentName(id: number): string {
  return `commitlog-${SEGMENT_VERSION}-${String(id).padStart(10, '0')}.log`
}

/** The id in a segment's name, or null for any other name. */
export function parseSegmentName(name: string): number | null {
  const match = /^commitlog-\d{1,3}-(\d{10})\.log$/.exec(name)
  return match ? Number(match[1]) : null
}

/** The id in the name of an archived segment, behind which a salt may stand; or null for any other name. */
export function parseArchivedName(name: string): number | null {
  return parseSegmentName(name.replace(/-[0-9a-f]{16}\.log$/, '.log'))
}

export function padded(length: number): number {
  return (length + ALIGNMENT - 1) & -ALIGNMENT
}

/** Mixes all bits of a 32-bit number (the finalizer of MurmurHash3). */
function mix(value: number): number {
  let h = value
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** What every check at this offset of the segment starts from. */
export function seedAt(segmentSeed: number, offset: number): number {
  return mix(segmentSeed ^ Math.imul(offset + 1, 0x9e3779b1))
}

/** Check of one or two words, bound to a seed. In JavaScript: for so few bytes a native CRC costs more than it does. */
export function checkWords(seed: number, first: number, second: number): number {
  return mix(mix(seed ^ first) + second) | 0
}

export function encodeHeader(segment: { id: number; salt: Buffer; sizeBytes: number }): Buffer {
  assert(segment.salt.length === 8)
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt32BE(SEGMENT_MAGIC, 0)
  header.writeUInt16BE(SEGMENT_VERSION, 4)
  header.writeBigUInt64BE(BigInt(segment.id), 8)
  segment.salt.copy(header, 16)
  header.writeUInt32BE(segment.sizeBytes, 24)
  header.writeUInt32BE(crc32(header.subarray(0, 28)), 28)
  return header
}

/** The segment's seed, taken from its header. */
export function segmentSeed(header: Buffer): number {
  return crc32(header.subarray(8, 24))
}

/** What tells this segment from all others of its id. */
export function segmentSalt(header: Buffer): Buffer {
  return Buffer.from(header.subarray(16, 24))
}

/** The size that the file has from its making on, from a header that was checked. */
export function declaredSize(header: Buffer): number {
  return header.readUInt32BE(24)
}

/** Null when the header is whole and of this segment, otherwise what is wrong with it. */
export function checkHeader(header: Buffer, id: number): string | null {
  if (header.length < HEADER_BYTES) return 'the header is cut short'
  if (header.readUInt32BE(28) !== crc32(header.subarray(0, 28))) return 'the header does not match its checksum'
  if (header.readUInt32BE(0) !== SEGMENT_MAGIC) return 'not a commit-log segment'
  const version = header.readUInt16BE(4)
  if (version !== SEGMENT_VERSION) return `version ${version} of the format is not known`
  if (header.readBigUInt64BE(8) !== BigInt(id)) return `the header is of segment ${header.readBigUInt64BE(8)}`
  return null
}

/** Writes a mark for offset `offset` of the segment at target[at…]. */
export function writeMark(
  target: Buffer,
  at: number,
  mark: { kind: number; syncedTo: number; segmentSeed: number; offset: number },
): void {
  const word = (MARK_MAGIC | mark.kind) >>> 0
  target.writeUInt32BE(word, at)
  target.writeUInt32BE(mark.syncedTo, at + 4)
  target.writeInt32BE(checkWords(seedAt(mark.segmentSeed, mark.offset), word, mark.syncedTo), at + 8)
  target.writeUInt32BE(0, at + 12)
}

export function isMark(word: number): boolean {
  return (word & 0xffffff00) >>> 0 === MARK_MAGIC
}

/** The mark at `offset`, or null when there is no valid one. */
export function readMark(segment: Buffer, offset: number, seed: number): { kind: number; syncedTo: number } | null {
  if (offset + MARK_BYTES > segment.length) return null
  const word = segment.readUInt32BE(offset)
  const syncedTo = segment.readUInt32BE(offset + 4)
  if (!isMark(word) || segment.readInt32BE(offset + 8) !== checkWords(seedAt(seed, offset), word, syncedTo)) return null
  return { kind: word & 0xff, syncedTo }
}
