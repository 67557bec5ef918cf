/**
 * Bytes between nodes: a connection is a sequence of segments, a segment holds whole messages. What a node has to say to another in one turn is one
 * segment, with one checksum and one pass of LZ4. docs/formats.md, "Between nodes".
 * Always: lengths are checked against what the lane allows before memory is taken for them; a segment's bytes are used after its checksum matched.
 */
import { crc32 } from 'node:zlib'
import { compressSync, uncompressSync } from 'lz4-napi'
import { FailureReason } from '../../lib/base/errors.ts'

export const WIRE_VERSION = 1

/** What comes over the wire is not what it should be: the connection ends. */
export class WireError extends Error {
  override name = 'WireError'
}

export const SEGMENT_HEADER_BYTES = 32
export const MESSAGE_HEADER_BYTES = 20

/** A segment is ended when it is so large: what comes after waits for nothing more. */
export const SEGMENT_BYTES_FULL = 64 * 1024

/** Payloads of that size and more go by the lane for large messages, each in a segment of its own. */
export const LARGE_BYTES_MIN = 64 * 1024

/** Below that LZ4 costs more than it saves. */
const COMPRESS_BYTES_MIN = 1024
/** Beyond that it would keep all else waiting for milliseconds. */
const COMPRESS_BYTES_MAX = 1024 * 1024

export const SegmentFlag = { COMPRESSED: 1, PING: 2, PONG: 4 } as const
const FLAGS_KNOWN = 7

export const Kind = { ONE_WAY: 0, REQUEST: 1, REPLY: 2, FAILURE: 3 } as const
export const KIND_MAX = 3

/** lz4-napi wants the plain length before the block, four bytes, little-endian. */
const LZ4_PREFIX_BYTES = 4

function putUint32(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 24
  target[at + 1] = value >>> 16
  target[at + 2] = value >>> 8
  target[at + 3] = value
}

export function getUint32(source: Uint8Array, at: number): number {
  return ((source[at]! << 24) | (source[at + 1]! << 16) | (source[at + 2]! << 8) | source[at + 3]!) >>> 0
}

export interface MessageHeader {
  readonly verb: number
  readonly kind: number
  readonly id: number
  readonly epoch: number
}

/** Writes the header of a message whose payload has `size` bytes. */
export function writeMessageHeader(
  target: Uint8Array,
  at: number,
  { verb, kind, id, epoch }: MessageHeader,
  { size, remainingMs }: { size: number; remainingMs: number },
): void {
  putUint32(target, at, size)
  putUint32(target, at + 4, id)
  putUint32(target, at + 8, epoch)
  putUint32(target, at + 12, remainingMs)
  target[at + 16] = verb
  target[at + 17] = kind
  target[at + 18] = 0
  target[at + 19] = 0
}

/** A message that waited has less time left. */
export function putRemaining(target: Uint8Array, at: number, remainingMs: number): void {
  putUint32(target, at + 12, remainingMs)
}

export interface SegmentParts {
  readonly flags: number
  readonly sequence: number
  /** The sender's hybrid clock, in µs. */
  readonly micros: number
}

/**
 * Completes the segment whose header begins at `start` and whose messages end at `end`: packs them in place when that is asked for and worth it, writes
 * the header. Returns where the segment ends.
 */
export function finishSegment(
  target: Buffer,
  start: number,
  end: number,
  parts: SegmentParts,
  compress: boolean,
): number {
  const from = start + SEGMENT_HEADER_BYTES
  const plainBytes = end - from
  let { flags } = parts
  let stop = end
  if (compress && plainBytes >= COMPRESS_BYTES_MIN && plainBytes <= COMPRESS_BYTES_MAX) {
    const packed = compressSync(target.subarray(from, end))
    const packedBytes = packed.length - LZ4_PREFIX_BYTES
    if (packedBytes < plainBytes) {
      packed.copy(target, from, LZ4_PREFIX_BYTES)
      stop = from + packedBytes
      flags |= SegmentFlag.COMPRESSED
    }
  }
  target[start] = WIRE_VERSION
  target[start + 1] = flags
  target[start + 2] = 0
  target[start + 3] = 0
  putUint32(target, start + 4, stop - from)
  putUint32(target, start + 8, plainBytes)
  putUint32(target, start + 12, parts.sequence)
  putUint32(target, start + 16, Math.floor(parts.micros / 0x1_0000_0000))
  putUint32(target, start + 20, parts.micros % 0x1_0000_0000)
  putUint32(target, start + 24, stop === from ? 0 : crc32(target.subarray(from, stop)))
  putUint32(target, start + 28, crc32(target.subarray(start, start + 28)))
  return stop
}

export interface SegmentHeader {
  flags: number
  storedBytes: number
  plainBytes: number
  sequence: number
  micros: number
  checksum: number
}

/** Reads into `header` (one object serves a connection for ever). Throws WireError. */
export function readSegmentHeader(source: Buffer, at: number, header: SegmentHeader, bytesMax: number): void {
  if (getUint32(source, at + 28) !== crc32(source.subarray(at, at + 28)))
    throw new WireError('checksum of a segment header does not match')
  if (source[at] !== WIRE_VERSION) throw new WireError(`segment of version ${source[at]}`)
  header.flags = source[at + 1]!
  header.storedBytes = getUint32(source, at + 4)
  header.plainBytes = getUint32(source, at + 8)
  header.sequence = getUint32(source, at + 12)
  const high = getUint32(source, at + 16)
  header.micros = high * 0x1_0000_0000 + getUint32(source, at + 20)
  header.checksum = getUint32(source, at + 24)
  if ((header.flags & ~FLAGS_KNOWN) !== 0) throw new WireError(`segment with flags ${header.flags}`)
  if (header.plainBytes > bytesMax) throw new WireError(`segment of ${header.plainBytes} bytes, ${bytesMax} allowed`)
  const isCompressed = (header.flags & SegmentFlag.COMPRESSED) !== 0
  if (isCompressed ? header.storedBytes >= header.plainBytes : header.storedBytes !== header.plainBytes)
    throw new WireError(`segment of ${header.plainBytes} bytes in ${header.storedBytes}`)
  if (high >= 0x20_0000) throw new WireError('a clock beyond 2^53')
}

/** The plain messages of a segment: a view, or what was unpacked. Throws WireError. */
export function openSegment(source: Buffer, at: number, header: SegmentHeader): Buffer {
  const stored = source.subarray(at, at + header.storedBytes)
  if (header.checksum !== (stored.length === 0 ? 0 : crc32(stored)))
    throw new WireError('checksum of a segment does not match')
  if ((header.flags & SegmentFlag.COMPRESSED) === 0) return stored
  const prefixed = Buffer.allocUnsafe(LZ4_PREFIX_BYTES + stored.length)
  prefixed.writeUInt32LE(header.plainBytes, 0)
  prefixed.set(stored, LZ4_PREFIX_BYTES)
  let plain: Buffer
  try {
    plain = uncompressSync(prefixed)
  } catch {
    throw new WireError('not an LZ4 block')
  }
  // The library does not compare the two.
  if (plain.length !== header.plainBytes) throw new WireError('an LZ4 block of another length than its segment says')
  return plain
}

/** The payload of a failure: why, and for the log of who asked, a few words. */
export function encodeFailure(reason: number): Uint8Array {
  return Uint8Array.of(reason >>> 8, reason)
}

export function decodeFailure(payload: Buffer): number {
  return payload.length < 2 ? FailureReason.UNKNOWN : (payload[0]! << 8) | payload[1]!
}
