/**
 * The manifest's bytes (docs/formats.md, "Manifest"): a header, then groups of edits, each followed by its mark, then zeros up to the size that the
 * header declares.
 *
 * file   := header | (record | mark)* | 0*
 * header := magic 'PXMANIF\n' | version u16 | 0 u16 | size u32 | salt 8 | 0 u32 | CRC-32 of the 28 bytes before
 * record := magic 0xF550584D u32 | length u32 | check of the two u32 | CRC-32 of edits u32 | edits | 0 to the next multiple of 8
 * mark   := magic 0xF550584B u32 | offset of the record that it confirms u32 | check u32 | 0 u32
 *
 * Checks start from a seed of salt and offset, as in the commit log. The file has its whole size before it gets its name, so one that is shorter was cut.
 */
import { crc32 } from 'node:zlib'
import { BytesError, ByteWriter } from '../lib/base/bytes.ts'
import { checkWords, padded, seedAt } from './commitlog/segment.ts'
import { CorruptionError } from './errors.ts'
import { type Edit, readEdits, writeEdits } from './manifest-edits.ts'

export const MANIFEST_VERSION = 2
export const HEADER_BYTES = 32
export const MARK_BYTES = 16
const HEAD_BYTES = 16
export const SALT_BYTES = 8

const MAGIC = Buffer.from('PXMANIF\n', 'latin1')
const RECORD_MAGIC = 0xf550584d
const MARK_MAGIC = 0xf550584b
/** What records and marks begin with. */
const MAGIC_PREFIX = Buffer.from([0xf5, 0x50, 0x58])

export function encodeHeader(salt: Buffer, sizeBytes: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  MAGIC.copy(header)
  header.writeUInt16BE(MANIFEST_VERSION, 8)
  header.writeUInt32BE(sizeBytes, 12)
  salt.copy(header, 16)
  header.writeUInt32BE(crc32(header.subarray(0, 28)), 28)
  return header
}

/** What the checks of a manifest start from. */
export function manifestSeed(salt: Buffer): number {
  return crc32(salt)
}

export function encodeRecord(edits: Iterable<Edit>, seed: number, offset: number): Buffer {
  const out = new ByteWriter(1024)
  out.reserve(HEAD_BYTES)
  writeEdits(out, edits)
  const length = out.length - HEAD_BYTES
  const record = Buffer.alloc(padded(out.length))
  out.view().copy(record)
  const place = seedAt(seed, offset)
  record.writeUInt32BE(RECORD_MAGIC, 0)
  record.writeUInt32BE(length, 4)
  record.writeInt32BE(checkWords(place, RECORD_MAGIC, length), 8)
  record.writeUInt32BE(crc32(record.subarray(HEAD_BYTES, HEAD_BYTES + length), place), 12)
  return record
}

/** A mark for `offset` that the record at `recordOffset` was synced. */
export function encodeMark(recordOffset: number, seed: number, offset: number): Buffer {
  const mark = Buffer.alloc(MARK_BYTES)
  mark.writeUInt32BE(MARK_MAGIC, 0)
  mark.writeUInt32BE(recordOffset, 4)
  mark.writeInt32BE(checkWords(seedAt(seed, offset), MARK_MAGIC, recordOffset), 8)
  return mark
}

/** Whether a record's or a mark's head stands at `offset`, by its check. */
function headAt(bytes: Buffer, offset: number, seed: number): 'record' | 'mark' | null {
  if (offset + HEAD_BYTES > bytes.length) return null
  const magic = bytes.readUInt32BE(offset)
  if (magic !== RECORD_MAGIC && magic !== MARK_MAGIC) return null
  const check = checkWords(seedAt(seed, offset), magic, bytes.readUInt32BE(offset + 4))
  if (bytes.readInt32BE(offset + 8) !== check) return null
  return magic === MARK_MAGIC ? 'mark' : 'record'
}

/** The groups of edits of a manifest. One at its end that was never confirmed may be there or not. Throws CorruptionError. */
export function decodeManifest(bytes: Buffer, path: string): Edit[][] {
  const seed = checkHeader(bytes, path)
  const groups: Edit[][] = []
  let confirmed = 0
  let offset = HEADER_BYTES
  for (;;) {
    const head = headAt(bytes, offset, seed)
    if (head === null) break
    if (head === 'mark') {
      confirmed = groups.length
      offset += MARK_BYTES
      continue
    }
    const length = bytes.readUInt32BE(offset + 4)
    const start = offset + HEAD_BYTES
    if (start + length > bytes.length) break
    const edits = bytes.subarray(start, start + length)
    if (bytes.readUInt32BE(offset + 12) !== crc32(edits, seedAt(seed, offset))) break
    try {
      groups.push(readEdits(edits))
    } catch (cause) {
      if (!(cause instanceof BytesError)) throw cause
      throw new CorruptionError(path, offset, cause.message, { cause })
    }
    offset = padded(start + length)
  }
  for (let at = bytes.indexOf(MAGIC_PREFIX, offset + 1); at >= 0; at = bytes.indexOf(MAGIC_PREFIX, at + 1)) {
    if (at % 8 === 0 && headAt(bytes, at, seed) !== null)
      throw new CorruptionError(path, offset, `the entry at ${at} was written after it had been synced`)
  }
  // The snapshot that a manifest begins with was confirmed before the file got its name.
  if (confirmed === 0) throw new CorruptionError(path, HEADER_BYTES, 'its first record was never confirmed')
  return groups
}

/** Checks header and size; the seed of all other checks. */
function checkHeader(bytes: Buffer, path: string): number {
  const header = bytes.subarray(0, HEADER_BYTES)
  if (header.length < HEADER_BYTES) throw new CorruptionError(path, header.length, 'the header is cut short')
  const version = header.readUInt16BE(8)
  if (header.subarray(0, 8).equals(MAGIC) && version === 1)
    throw new CorruptionError(path, 8, 'version 1 of the format, of a development state, is not read any more')
  const salt = header.subarray(16, 24)
  const size = header.readUInt32BE(12)
  if (!header.equals(encodeHeader(salt, size)))
    throw new CorruptionError(path, 0, 'the header does not match its checksum, or is of another version')
  if (bytes.length !== size)
    throw new CorruptionError(path, bytes.length, `the file has ${bytes.length} bytes, ${size} were prepared`)
  return manifestSeed(salt)
}
