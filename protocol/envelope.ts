/**
 * Envelopes: the nine bytes before every message, in all versions from 3 up. Source: native_protocol_v5.spec §2.2.
 *   version u8 (0x80: an answer) | flags u8 | stream i16 | opcode u8 | body length i32
 * Versions 1 and 2 had a stream of one byte; we write it only to tell their clients that we do not speak them.
 */
import type { ByteWriter } from '../lib/base/bytes.ts'
import { HeaderFlag, VERSION_BETA } from './opcodes.ts'

export const HEADER_BYTES = 9
export const HEADER_BYTES_V2 = 8

/** Set in the first byte of what a server sends. */
export const RESPONSE_BIT = 0x80

/** An envelope that was cut out of the stream. The decoder fills one object again and again: take from it what outlives the call. */
export class Envelope {
  version = 0
  isResponse = false
  flags = 0
  stream = 0
  opcode = 0
  /** The body is buffer[start, end), as it was sent: a COMPRESSED one still is. */
  buffer: Buffer = Buffer.alloc(0)
  start = 0
  end = 0

  body(): Buffer {
    return this.buffer.subarray(this.start, this.end)
  }
}

/** Writes a header whose length is filled in by endEnvelope, and returns where it begins. */
export function beginEnvelope(
  writer: ByteWriter,
  firstByte: number,
  flags: number,
  stream: number,
  opcode: number,
): number {
  const at = writer.reserve(HEADER_BYTES)
  const buffer = writer.buffer
  buffer[at] = firstByte
  buffer[at + 1] = (firstByte & 0x7f) === VERSION_BETA ? flags | HeaderFlag.USE_BETA : flags
  buffer[at + 2] = stream >> 8
  buffer[at + 3] = stream
  buffer[at + 4] = opcode
  return at
}

export function endEnvelope(writer: ByteWriter, at: number): void {
  writer.putInt32(at + 5, writer.length - at - HEADER_BYTES)
}
