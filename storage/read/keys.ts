/** Records' keys: position | kind u8 | clustering or start of range. One byte order sorts a table by token, partition, kind and clustering. */
import { EntryKind, POSITION_HEAD_BYTES } from '../model/mutation.ts'

/** Greater than every kind: a position and this byte end a partition's records. */
const AFTER_KINDS = 0xff

/** Length of the position at the beginning of a record's key. */
export function positionLength(key: Uint8Array): number {
  return POSITION_HEAD_BYTES + ((key[8]! << 8) | key[9]!)
}

export function recordKey(position: Buffer, kind: number, bound: Buffer): Buffer {
  const length = position.length
  const key = Buffer.allocUnsafe(length + 1 + bound.length)
  copy(position, key, 0)
  key[length] = kind
  copy(bound, key, length + 1)
  return key
}

/** The key of a record that a partition has once. */
export function partitionRecordKey(position: Buffer, kind: number): Buffer {
  const key = Buffer.allocUnsafe(position.length + 1)
  copy(position, key, 0)
  key[position.length] = kind
  return key
}

/** The bound after a partition's records. */
export function afterPartition(position: Buffer): Buffer {
  return partitionRecordKey(position, AFTER_KINDS)
}

export function rowKey(position: Buffer, clustering: Buffer): Buffer {
  return recordKey(position, EntryKind.ROW, clustering)
}

export function isPrefix(prefix: Buffer, bytes: Buffer): boolean {
  const length = prefix.length
  if (bytes.length < length) return false
  for (let i = length - 1; i >= 0; i--) if (bytes[i] !== prefix[i]) return false
  return true
}

/** Small copies cost more to hand to native code than to make. */
function copy(source: Buffer, target: Buffer, at: number): void {
  const length = source.length
  if (length > 48) target.set(source, at)
  else for (let i = 0; i < length; i++) target[at + i] = source[i]!
}
