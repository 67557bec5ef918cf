/**
 * Variable-length integers of durations and vectors: as many leading one bits in the first byte as further bytes follow;
 * signed ones are zigzag. Source: native_protocol_v5.spec §3 [unsigned vint], [vint]. 64 bits, so values are bigint; these are cold paths.
 */
import type { ByteWriter } from '../base/bytes.ts'

/** Size in bytes of the vint whose first byte this is. */
function vintSize(firstByte: number): number {
  return Math.clz32(~(firstByte << 24)) + 1
}

/** The unsigned vint at `at`; null when the bytes end before it does. */
export function readUnsignedVint(
  bytes: Buffer,
  at: number,
  end = bytes.length,
): { value: bigint; size: number } | null {
  if (at >= end) return null
  const first = bytes[at]!
  const size = vintSize(first)
  if (at + size > end) return null
  let value = size >= 8 ? 0n : BigInt(first & (0xff >> size))
  for (let i = 1; i < size; i++) value = (value << 8n) | BigInt(bytes[at + i]!)
  return { value, size }
}

/** The signed (zigzag) vint at `at`; null when the bytes end before it does. */
export function readVint(bytes: Buffer, at: number): { value: bigint; size: number } | null {
  const read = readUnsignedVint(bytes, at)
  if (read === null) return null
  return { value: (read.value >> 1n) ^ -(read.value & 1n), size: read.size }
}

export function writeUnsignedVint(writer: ByteWriter, value: bigint): void {
  let size = 1
  while (size < 9 && value >> BigInt(7 * size) !== 0n) size += 1
  const at = writer.reserve(size)
  let rest = value
  for (let i = size - 1; i >= 0; i--) {
    writer.buffer[at + i] = Number(rest & 0xffn)
    rest >>= 8n
  }
  writer.buffer[at] = writer.buffer[at]! | (size === 9 ? 0xff : ~(0xff >> (size - 1)) & 0xff)
}

export function writeVint(writer: ByteWriter, value: bigint): void {
  writeUnsignedVint(writer, BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)))
}
