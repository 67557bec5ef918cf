/**
 * Partition keys as bytes, and where they stand on the ring. Source: Cassandra's CompositeType and Murmur3Partitioner;
 * `position` as storage speaks of it: token with its sign bit flipped, key length u16, key. Unsigned byte order is ring order.
 */
import { murmur3Token } from '../base/hash/murmur3.ts'

/** Most bytes of a component of a key, and of a whole key: lengths are unsigned 16 bits. */
export const KEY_BYTES_MAX = 0xffff

/** One column: its bytes. Several: each as u16 length, bytes, 0x00. Callers have checked the lengths. */
export function serializePartitionKey(values: readonly Buffer[]): Buffer {
  if (values.length === 1) return values[0]!
  let size = 0
  for (const value of values) size += value.length + 3
  const key = Buffer.allocUnsafe(size)
  let at = 0
  for (const value of values) {
    key[at] = value.length >>> 8
    key[at + 1] = value.length
    key.set(value, at + 2)
    at += value.length + 3
    key[at - 1] = 0
  }
  return key
}

/** The columns' values, views of the key. */
export function splitPartitionKey(key: Buffer, columnCount: number): Buffer[] {
  if (columnCount === 1) return [key]
  const values: Buffer[] = []
  let at = 0
  for (let i = 0; i < columnCount; i++) {
    const end = at + 2 + key.readUInt16BE(at)
    values.push(key.subarray(at + 2, end))
    at = end + 1
  }
  return values
}

/** Position of a key; `scratch` is two halves that the call may write (one per owner of a hot path; its end state is the token). */
export function encodePosition(key: Buffer, scratch: Int32Array): Buffer {
  murmur3Token(key, 0, key.length, scratch)
  const position = Buffer.allocUnsafe(10 + key.length)
  putPositionHead(position, scratch, key.length)
  position.set(key, 10)
  return position
}

/** Writes what stands before the key in a position: its token, given as two halves, and its length. */
export function putPositionHead(position: Buffer, token: Int32Array, keyLength: number): void {
  const high = token[0]!
  const low = token[1]!
  position[0] = (high >>> 24) ^ 0x80
  position[1] = high >>> 16
  position[2] = high >>> 8
  position[3] = high
  position[4] = low >>> 24
  position[5] = low >>> 16
  position[6] = low >>> 8
  position[7] = low
  position[8] = keyLength >>> 8
  position[9] = keyLength
}

/** The token of a key as the 8 bytes of a bigint value. */
export function tokenBytes(key: Buffer): Buffer {
  const halves = new Int32Array(2)
  murmur3Token(key, 0, key.length, halves)
  const token = Buffer.allocUnsafe(8)
  token.writeInt32BE(halves[0]!, 0)
  token.writeInt32BE(halves[1]!, 4)
  return token
}

/** The token that a position begins with. */
export function tokenOfPosition(position: Buffer): bigint {
  return BigInt.asIntN(64, position.readBigUInt64BE(0) ^ 0x8000000000000000n)
}
