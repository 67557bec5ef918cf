/** The bytes of a deletion, as they lie in mutations and records: timestamp 8 (µs, signed), localDeletionTime u32 (seconds since 1970). */
import { compareRanges, compareTimestamps, readInt32 } from './row.ts'

export const DELETION_BYTES = 12

/** Order of two deletions: by timestamp, then by local deletion time. Unsigned bytes do once the timestamp's sign is flipped. */
export function compareDeletions(a: Uint8Array, aStart: number, b: Uint8Array, bStart: number): number {
  const sign = (a[aStart]! ^ 0x80) - (b[bStart]! ^ 0x80)
  if (sign !== 0) return sign
  return compareRanges(a, aStart + 1, aStart + DELETION_BYTES, b, bStart + 1, bStart + DELETION_BYTES)
}

/** Whether a deletion covers timestamps that the other does not. */
export function isNewer(deletion: Uint8Array, other: Uint8Array): boolean {
  const low = readInt32(deletion, 4) >>> 0
  return compareTimestamps(readInt32(deletion, 0), low, readInt32(other, 0), readInt32(other, 4) >>> 0) > 0
}
