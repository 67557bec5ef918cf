/**
 * The outer frames of v5, which carry envelopes or pieces of one. Source: native_protocol_v5.spec §2.1 (little-endian, unlike all else).
 *   plain:      payload length 17 bits, self-contained 1 bit, 6 bits zero            | CRC-24 | payload | CRC-32
 *   compressed: payload length 17 bits, uncompressed length 17 bits (0: the payload is not compressed), self-contained 1 bit, 5 bits zero | …
 */
import { crc32 } from 'node:zlib'

export const PAYLOAD_BYTES_MAX = (1 << 17) - 1
export const SEGMENT_HEADER_BYTES = 6
export const SEGMENT_HEADER_BYTES_COMPRESSED = 8
export const SEGMENT_TRAILER_BYTES = 4

const CRC24_INITIAL = 0x875060
const CRC24_POLYNOMIAL = 0x1974f0b

const CRC24_TABLE: Int32Array = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 16
  for (let bit = 0; bit < 8; bit++) {
    crc <<= 1
    if (crc & 0x1000000) crc ^= CRC24_POLYNOMIAL
  }
  return crc & 0xffffff
})

/** CRC-24 of buffer[start, end), as v5 takes it over the header. */
function crc24(buffer: Uint8Array, start: number, end: number): number {
  let crc = CRC24_INITIAL
  for (let index = start; index < end; index++)
    crc = ((crc << 8) & 0xffffff) ^ CRC24_TABLE[((crc >>> 16) ^ buffer[index]!) & 0xff]!
  return crc
}

/** CRC-32 as zlib's, begun over four bytes of v5's own so that a payload of zeros does not have the sum zero. */
const CRC32_INITIAL = crc32(Buffer.from([0xfa, 0x2d, 0x55, 0xca]))

export function payloadCrc32(payload: Uint8Array): number {
  return crc32(payload, CRC32_INITIAL)
}

/** Writes the header of a segment at `at`. `uncompressedBytes` null: the connection has no compression. */
export function putSegmentHeader(
  buffer: Buffer,
  at: number,
  payloadBytes: number,
  uncompressedBytes: number | null,
  selfContained: boolean,
): void {
  const flag = selfContained ? 1 : 0
  buffer[at] = payloadBytes
  buffer[at + 1] = payloadBytes >>> 8
  let end = at + 3
  if (uncompressedBytes === null) {
    buffer[at + 2] = (payloadBytes >>> 16) | (flag << 1)
  } else {
    buffer[at + 2] = (payloadBytes >>> 16) | (uncompressedBytes << 1)
    buffer[at + 3] = uncompressedBytes >>> 7
    buffer[at + 4] = (uncompressedBytes >>> 15) | (flag << 2)
    end = at + 5
  }
  const crc = crc24(buffer, at, end)
  buffer[end] = crc
  buffer[end + 1] = crc >>> 8
  buffer[end + 2] = crc >>> 16
}

export function putSegmentTrailer(buffer: Buffer, at: number, payload: Uint8Array): void {
  const crc = payloadCrc32(payload)
  buffer[at] = crc
  buffer[at + 1] = crc >>> 8
  buffer[at + 2] = crc >>> 16
  buffer[at + 3] = crc >>> 24
}

/** A segment's header once read; one object is filled again and again. */
export class SegmentHeader {
  payloadBytes = 0
  /** Zero: the payload is not compressed. */
  uncompressedBytes = 0
  selfContained = false
  crcRead = 0
  crcComputed = 0

  read(buffer: Buffer, at: number, compressed: boolean): void {
    this.payloadBytes = buffer[at]! | (buffer[at + 1]! << 8) | ((buffer[at + 2]! & 1) << 16)
    let end = at + 3
    if (compressed) {
      this.uncompressedBytes = (buffer[at + 2]! >>> 1) | (buffer[at + 3]! << 7) | ((buffer[at + 4]! & 3) << 15)
      this.selfContained = (buffer[at + 4]! & 4) !== 0
      end = at + 5
    } else {
      this.uncompressedBytes = 0
      this.selfContained = (buffer[at + 2]! & 2) !== 0
    }
    this.crcRead = buffer[end]! | (buffer[end + 1]! << 8) | (buffer[end + 2]! << 16)
    this.crcComputed = crc24(buffer, at, end)
  }
}
