/**
 * The SSTable file's frame (docs/formats.md, "SSTable"): header, sections, footer; and what binds each section to its place.
 *
 * file    := header | (data block | index block)* | root index | bloom filter | statistics | footer
 * section := CRC-32 u32 | kind u8 | codec u8 | 0 u16 | stored length u32 | raw length u32 | stored bytes
 * The CRC covers all of the section after itself. It starts from a seed made of the file's own id (8 random bytes) and the section's offset, so
 * that a section of another file or place never passes. Offsets are below 2^48. Numbers are big-endian.
 */
import { crc32 } from 'node:zlib'
import { compress, compressSync, uncompress, uncompressSync } from 'lz4-napi'
import { assert } from '../../lib/base/assert.ts'
import { CorruptionError } from '../errors.ts'
import { readInt32 } from '../model/row.ts'

export const TABLE_VERSION = 1
export const HEADER_BYTES = 24
export const FOOTER_BYTES = 88
export const SECTION_HEAD_BYTES = 16
const UID_BYTES = 8

const HEADER_MAGIC = Buffer.from('PXSSTBL\n', 'latin1')
const FOOTER_MAGIC = Buffer.from('PXSSTEND', 'latin1')

export const SectionKind = { DATA: 1, INDEX: 2, ROOT: 3, BLOOM: 4, STATISTICS: 5 } as const
const Codec = { RAW: 0, LZ4: 1 } as const

/** No section is larger: a value of 16 MiB, its key, and room. */
const SECTION_BYTES_MAX = 0x7fffffff
/** Above, LZ4 works off the event loop. Below, handing the work over costs more than it saves (measured: 165 µs for 16 KiB). */
const SYNC_BYTES_MAX = 256 * 1024
/** Smaller than this is not worth a call. */
const COMPRESS_BYTES_MIN = 256

/** Where a section lies: from its first byte, and its whole length on disk. */
export interface Handle {
  readonly offset: number
  readonly length: number
}

export interface Footer {
  readonly root: Handle
  readonly bloom: Handle | null
  readonly statistics: Handle
  /** 1: the root index names data blocks. 2: it names index blocks, which name data blocks. */
  readonly indexLevels: number
  readonly fileBytes: number
  readonly uid: Buffer
}

/** The number that all of a file's checksums start from. */
export function fileSeed(uid: Buffer): number {
  return crc32(uid)
}

function seedAt(seed: number, offset: number): number {
  let h = seed ^ Math.imul(offset >>> 0, 0x9e3779b1) ^ Math.imul(Math.floor(offset / 0x1_0000_0000) + 1, 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

export function encodeHeader(uid: Buffer): Buffer {
  assert(uid.length === UID_BYTES)
  const header = Buffer.alloc(HEADER_BYTES)
  HEADER_MAGIC.copy(header)
  header.writeUInt16BE(TABLE_VERSION, 8)
  uid.copy(header, 12)
  header.writeUInt32BE(crc32(header.subarray(0, 20)), 20)
  return header
}

/** Throws unless it is the header of the file with this id. */
export function checkHeader(header: Buffer, uid: Buffer, path: string): void {
  if (!header.equals(encodeHeader(uid))) throw new CorruptionError(path, 0, 'the header is not that of this SSTable')
}

function writeOffset(target: Buffer, value: number, at: number): void {
  target.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at)
  target.writeUInt32BE(value % 0x1_0000_0000, at + 4)
}

function readOffset(source: Buffer, at: number): number {
  return source.readUInt32BE(at) * 0x1_0000_0000 + source.readUInt32BE(at + 4)
}

function writeHandle(target: Buffer, handle: Handle | null, at: number): void {
  writeOffset(target, handle?.offset ?? 0, at)
  target.writeUInt32BE(handle?.length ?? 0, at + 8)
}

function readHandle(source: Buffer, at: number): Handle {
  return { offset: readOffset(source, at), length: source.readUInt32BE(at + 8) }
}

/** root 12 | bloom 12 (0: none) | statistics 12 | file length 8 | uid 8 | index levels u8 | 0 × 19 | version u16 | 0 u16 | CRC u32 | magic 8 */
export function encodeFooter(footer: Footer): Buffer {
  const bytes = Buffer.alloc(FOOTER_BYTES)
  writeHandle(bytes, footer.root, 0)
  writeHandle(bytes, footer.bloom, 12)
  writeHandle(bytes, footer.statistics, 24)
  writeOffset(bytes, footer.fileBytes, 36)
  footer.uid.copy(bytes, 44)
  bytes[52] = footer.indexLevels
  bytes.writeUInt16BE(TABLE_VERSION, 72)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 76)), 76)
  FOOTER_MAGIC.copy(bytes, 80)
  return bytes
}

/** Throws CorruptionError unless these are the last bytes of a whole SSTable of `fileBytes`. */
export function decodeFooter(bytes: Buffer, path: string, fileBytes: number): Footer {
  const damaged = (what: string): CorruptionError =>
    new CorruptionError(path, Math.max(0, fileBytes - FOOTER_BYTES), what)
  if (bytes.length < FOOTER_BYTES || !bytes.subarray(80).equals(FOOTER_MAGIC)) throw damaged('no footer of an SSTable')
  if (bytes.readUInt32BE(76) !== crc32(bytes.subarray(0, 76))) throw damaged('the footer does not match its checksum')
  const version = bytes.readUInt16BE(72)
  if (version !== TABLE_VERSION) throw damaged(`version ${version} of the format is not known`)
  const bloom = readHandle(bytes, 12)
  const footer: Footer = {
    root: readHandle(bytes, 0),
    bloom: bloom.length === 0 ? null : bloom,
    statistics: readHandle(bytes, 24),
    fileBytes: readOffset(bytes, 36),
    uid: Buffer.from(bytes.subarray(44, 52)),
    indexLevels: bytes[52]!,
  }
  if (footer.fileBytes !== fileBytes) throw damaged(`the file has ${fileBytes} bytes, ${footer.fileBytes} were written`)
  return footer
}

/** An index entry's value. */
export function encodeHandle(handle: Handle): Buffer {
  const bytes = Buffer.allocUnsafe(12)
  writeHandle(bytes, handle, 0)
  return bytes
}

export function handleOffset(bytes: Buffer, at: number): number {
  return (readInt32(bytes, at) >>> 0) * 0x1_0000_0000 + (readInt32(bytes, at + 4) >>> 0)
}

export function handleLength(bytes: Buffer, at: number): number {
  return readInt32(bytes, at + 8) >>> 0
}

/** A section's bytes for that offset. A promise only for large ones, which are compressed off the event loop. */
export function encodeSection(
  raw: Buffer,
  place: { kind: number; offset: number; seed: number; compressed: boolean },
): Buffer | Promise<Buffer> {
  assert(raw.length <= SECTION_BYTES_MAX)
  if (!place.compressed || raw.length < COMPRESS_BYTES_MIN) return frame(raw, Codec.RAW, raw.length, place)
  if (raw.length < SYNC_BYTES_MAX) return frameSmaller(raw, compressSync(raw), place)
  return compress(raw).then((packed) => frameSmaller(raw, packed, place))
}

/** Compression must save an eighth, else reading pays more than it gains. */
function frameSmaller(raw: Buffer, packed: Buffer, place: { kind: number; offset: number; seed: number }): Buffer {
  if (packed.length > raw.length - (raw.length >> 3)) return frame(raw, Codec.RAW, raw.length, place)
  return frame(packed, Codec.LZ4, raw.length, place)
}

function frame(
  stored: Buffer,
  codec: number,
  rawLength: number,
  place: { kind: number; offset: number; seed: number },
): Buffer {
  const bytes = Buffer.allocUnsafe(SECTION_HEAD_BYTES + stored.length)
  bytes[4] = place.kind
  bytes[5] = codec
  bytes[6] = 0
  bytes[7] = 0
  bytes.writeUInt32BE(stored.length, 8)
  bytes.writeUInt32BE(rawLength, 12)
  bytes.set(stored, SECTION_HEAD_BYTES)
  bytes.writeUInt32BE(crc32(bytes.subarray(4), seedAt(place.seed, place.offset)), 0)
  return bytes
}

/** Length on disk of the section that begins with these bytes, unchecked: decodeSection checks. */
export function sectionLength(head: Buffer): number {
  return SECTION_HEAD_BYTES + head.readUInt32BE(8)
}

/**
 * The raw bytes of a section; they may share memory with `bytes`. Throws CorruptionError on whatever is not what was written there.
 * A promise only for large ones.
 */
export function decodeSection(
  bytes: Buffer,
  place: { kind: number; offset: number; seed: number; path: string },
): Buffer | Promise<Buffer> {
  const damaged = (what: string): CorruptionError => new CorruptionError(place.path, place.offset, what)
  if (bytes.length < SECTION_HEAD_BYTES || bytes.length !== sectionLength(bytes))
    throw damaged('the block is cut short')
  if (bytes.readUInt32BE(0) !== crc32(bytes.subarray(4), seedAt(place.seed, place.offset)))
    throw damaged('the block does not match its checksum')
  if (bytes[4] !== place.kind) throw damaged(`a block of kind ${bytes[4]}, not ${place.kind}`)
  const stored = bytes.subarray(SECTION_HEAD_BYTES)
  const rawLength = bytes.readUInt32BE(12)
  const whole = (raw: Buffer): Buffer => {
    if (raw.length !== rawLength) throw damaged(`${raw.length} bytes after decompression, not ${rawLength}`)
    return raw
  }
  if (bytes[5] === Codec.RAW) return whole(stored)
  if (bytes[5] !== Codec.LZ4) throw damaged(`codec ${bytes[5]} is not known`)
  try {
    if (rawLength < SYNC_BYTES_MAX) return whole(uncompressSync(stored))
  } catch (cause) {
    throw cause instanceof CorruptionError ? cause : new CorruptionError(place.path, place.offset, 'LZ4', { cause })
  }
  return uncompress(stored).then(whole)
}
