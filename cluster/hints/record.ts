/**
 * A hint as bytes: the mutation that a node missed, when it was written, when it was kept. docs/formats.md, "Hints".
 * Always: a record is believed when its length and its bytes match their checksums, which bind them to their file and place; what is damaged between
 * two records is passed over, and counted.
 */
import { crc32 } from 'node:zlib'
import type { ByteWriter } from '../../lib/base/bytes.ts'

export const HINT_HEADER_BYTES = 12
/** Before the mutation: kept at, written at, gc_grace. */
const STAMP_BYTES = 20
/** No mutation is larger: half of the largest commit log segment that anybody uses. */
const HINT_BYTES_MAX = 256 * 1024 * 1024

const TWO_32 = 4294967296

export interface Hint {
  /** When the coordinator began the write, in µs of its hybrid clock. */
  readonly writtenAt: number
  /** When it was kept, in ms since 1970. */
  readonly keptAtMs: number
  /** Of its table, then. */
  readonly gcGraceSeconds: number
  readonly mutation: Uint8Array
}

/** Writes a record whose checksums sealRecords() fills in when its place is known. Returns its length. */
export function putHint(out: ByteWriter, { writtenAt, keptAtMs, gcGraceSeconds, mutation }: Hint): number {
  const length = STAMP_BYTES + mutation.length
  out.int32(length)
  out.int32(0)
  out.int32(0)
  out.int32(Math.floor(keptAtMs / TWO_32))
  out.int32(keptAtMs % TWO_32)
  out.int32(Math.floor(writtenAt / TWO_32))
  out.int32(writtenAt % TWO_32)
  out.int32(gcGraceSeconds)
  out.bytes(mutation)
  return HINT_HEADER_BYTES + length
}

/** `bytes` are whole records, which will stand at `position` of file `number`. */
export function sealRecords(bytes: Buffer, number: number, position: number): void {
  const place = Buffer.alloc(16)
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at)
    const check = checkOf(place, number, position + at, length)
    bytes.writeUInt32BE(check, at + 4)
    const end = at + HINT_HEADER_BYTES + length
    bytes.writeUInt32BE(crc32(bytes.subarray(at + HINT_HEADER_BYTES, end), check), at + 8)
    at = end
  }
}

function checkOf(place: Buffer, number: number, position: number, length: number): number {
  place.writeUInt32BE(number, 0)
  place.writeUInt32BE(Math.floor(position / TWO_32), 4)
  place.writeUInt32BE(position % TWO_32, 8)
  place.writeUInt32BE(length, 12)
  return crc32(place)
}

export interface Found {
  readonly hint: Hint
  /** Where the next begins. */
  readonly end: number
  /** Bytes before it that are nothing. */
  readonly skipped: number
}

/** What the reader needs to go on: more bytes, counted from `at`; or nothing that could be a record is left before `at`. */
export interface Lacking {
  readonly hint: null
  readonly at: number
  readonly bytes: number
  readonly skipped: number
}

/** The next record in bytes[at…), which stand at `position` of file `number` of `fileBytes` bytes. The mutation is a view. */
export function findHint(
  bytes: Buffer,
  at: number,
  { number, position, fileBytes }: { number: number; position: number; fileBytes: number },
): Found | Lacking {
  const place = Buffer.alloc(16)
  let start = at
  for (;;) {
    if (bytes.length - start < HINT_HEADER_BYTES)
      return { hint: null, at: start, bytes: HINT_HEADER_BYTES, skipped: start - at }
    const length = bytes.readUInt32BE(start)
    const end = start + HINT_HEADER_BYTES + length
    const mayBe = length >= STAMP_BYTES && length <= HINT_BYTES_MAX && position + end <= fileBytes
    if (!mayBe || bytes.readUInt32BE(start + 4) !== checkOf(place, number, position + start, length)) {
      start++
      continue
    }
    if (end > bytes.length) return { hint: null, at: start, bytes: end - start, skipped: start - at }
    const payload = start + HINT_HEADER_BYTES
    if (bytes.readUInt32BE(start + 8) === crc32(bytes.subarray(payload, end), bytes.readUInt32BE(start + 4)))
      return { hint: readHint(bytes, payload, end), end, skipped: start - at }
    start = end
  }
}

function readHint(bytes: Buffer, at: number, end: number): Hint {
  return {
    keptAtMs: bytes.readUInt32BE(at) * TWO_32 + bytes.readUInt32BE(at + 4),
    writtenAt: bytes.readUInt32BE(at + 8) * TWO_32 + bytes.readUInt32BE(at + 12),
    gcGraceSeconds: bytes.readUInt32BE(at + 16),
    mutation: bytes.subarray(at + STAMP_BYTES, end),
  }
}
