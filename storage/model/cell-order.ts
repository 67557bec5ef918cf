/**
 * Which of two cells, livenesses or deletions stands first in a row, and which of two in one place wins.
 * Source: Apache Cassandra 5's reconciliation, ties included (checked against the server).
 */
import { CellFlag, compareRanges, compareTimestamps, type RowReader } from './row.ts'

/** Order of two cells within a row: by column, complex deletion first, then by path, those with dots after the others. */
export function cellPlace(a: RowReader, b: RowReader): number {
  if (a.columnId !== b.columnId) return a.columnId - b.columnId
  const flags = a.flags | b.flags
  if ((flags & (CellFlag.COMPLEX_DELETION | CellFlag.PATH)) === 0) return 0
  const aDeletion = (a.flags & CellFlag.COMPLEX_DELETION) !== 0
  if (aDeletion !== ((b.flags & CellFlag.COMPLEX_DELETION) !== 0)) return aDeletion ? -1 : 1
  const dotted = (a.flags & CellFlag.DOTTED) - (b.flags & CellFlag.DOTTED)
  return dotted !== 0 ? dotted : compareRanges(a.buffer, a.pathStart, a.pathEnd, b.buffer, b.pathStart, b.pathEnd)
}

/** Positive when a wins. An expiring cell beats one that does not expire, so that the outcome hangs on no clock. */
export function cellOrder(a: RowReader, b: RowReader): number {
  const byTimestamp = compareTimestamps(a.tsHigh, a.tsLow, b.tsHigh, b.tsLow)
  if (byTimestamp !== 0) return byTimestamp
  const ending = CellFlag.TOMBSTONE | CellFlag.EXPIRING | CellFlag.COMPLEX_DELETION
  if (((a.flags | b.flags) & ending) !== 0) {
    const aEnds = (a.flags & ending) !== 0
    if (aEnds !== ((b.flags & ending) !== 0)) return aEnds ? 1 : -1
    const aExpires = (a.flags & CellFlag.EXPIRING) !== 0
    if (aExpires !== ((b.flags & CellFlag.EXPIRING) !== 0)) return aExpires ? -1 : 1
    if (a.localDeletionTime !== b.localDeletionTime) return a.localDeletionTime - b.localDeletionTime
    // Both expire then. One may have, and lost its value: it has been seen to.
    const valueless = (a.flags & CellFlag.TOMBSTONE) - (b.flags & CellFlag.TOMBSTONE)
    if (valueless !== 0) return valueless
  }
  const byValue = compareRanges(a.buffer, a.valueStart, a.valueEnd, b.buffer, b.valueStart, b.valueEnd)
  return byValue !== 0 ? byValue : b.ttl - a.ttl
}

/** Positive when a's liveness supersedes b's; 0 only when they are equal. */
export function livenessOrder(a: RowReader, b: RowReader): number {
  const byTimestamp = compareTimestamps(a.livenessTsHigh, a.livenessTsLow, b.livenessTsHigh, b.livenessTsLow)
  if (byTimestamp !== 0) return byTimestamp
  if ((a.livenessTtl === 0) !== (b.livenessTtl === 0)) return a.livenessTtl === 0 ? -1 : 1
  if (a.livenessExpiresAt !== b.livenessExpiresAt) return a.livenessExpiresAt - b.livenessExpiresAt
  return b.livenessTtl - a.livenessTtl
}

export function deletionOrder(a: RowReader, b: RowReader): number {
  const byTimestamp = compareTimestamps(a.deletionTsHigh, a.deletionTsLow, b.deletionTsHigh, b.deletionTsLow)
  return byTimestamp !== 0 ? byTimestamp : a.deletionLocalTime - b.deletionLocalTime
}
