/** The bytes of a deletion, as they lie in mutations and records: timestamp 8 (µs, signed), localDeletionTime u32 (seconds since 1970). */
import { compareRanges } from './row.ts'

export const DELETION_BYTES = 12

/** Order of two deletions: by timestamp, then by local deletion time. Unsigned bytes do once the timestamp's sign is flipped. */
export function compareDeletions(a: Uint8Array, aStart: number, b: Uint8Array, bStart: number): number {
  const sign = (a[aStart]! ^ 0x80) - (b[bStart]! ^ 0x80)
  if (sign !== 0) return sign
  return compareRanges(a, aStart + 1, aStart + DELETION_BYTES, b, bStart + 1, bStart + DELETION_BYTES)
}
