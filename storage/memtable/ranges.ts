/**
 * Keeps a partition's range tombstones apart: an insertion cuts the ranges that it meets into pieces, each under the greatest deletion
 * that covers it, and joins neighbours that came out equal. So the ranges that cover a row or a slice are found by one search.
 */
import { compareDeletions, DELETION_BYTES } from '../model/deletion.ts'

export interface RangeInsertion {
  /** position | kind: what the partition's range keys begin with. */
  readonly prefix: Buffer
  readonly start: Buffer
  readonly end: Buffer
  /** Timestamp 8, localDeletionTime 4. */
  readonly deletion: Buffer
}

interface Entry {
  readonly key: Buffer
  readonly value: Buffer
}

/** Sorted records. Views stay true after changes. */
export interface RangeStore {
  /** The last record at or before the key. */
  floor(key: Buffer): Entry | null
  /** The first record after the key. */
  after(key: Buffer): Entry | null
  put(key: Buffer, value: Buffer): void
  remove(key: Buffer): void
}

interface Piece {
  readonly start: Buffer
  end: Buffer
  readonly deletion: Buffer
}

/** Where a range record's end begins in its value. */
function rangeEnd(value: Buffer): Buffer {
  return value.subarray(DELETION_BYTES)
}

export function insertRange(store: RangeStore, insertion: RangeInsertion): void {
  const { prefix, start, end, deletion } = insertion
  const met = overlapping(store, insertion)
  if (met.length === 1) {
    const only = met[0]!
    const covered = only.start.compare(start) <= 0 && only.end.compare(end) >= 0
    if (covered && compareDeletions(only.deletion, 0, deletion, 0) >= 0) return
  }
  const pieces: Piece[] = []
  let at = start
  for (const range of met) {
    if (range.start.compare(start) < 0) add(pieces, range.start, start, range.deletion)
    else if (at.compare(range.start) < 0) add(pieces, at, range.start, deletion)
    const from = range.start.compare(start) < 0 ? start : range.start
    const to = range.end.compare(end) < 0 ? range.end : end
    add(pieces, from, to, compareDeletions(range.deletion, 0, deletion, 0) >= 0 ? range.deletion : deletion)
    if (range.end.compare(end) > 0) add(pieces, end, range.end, range.deletion)
    at = to
  }
  if (at.compare(end) < 0) add(pieces, at, end, deletion)
  replace(store, prefix, met, pieces)
}

/** Both ascend by their starts. What stays as it is is not touched. */
function replace(store: RangeStore, prefix: Buffer, before: readonly Piece[], after: readonly Piece[]): void {
  let next = 0
  for (const piece of after) {
    while (next < before.length && before[next]!.start.compare(piece.start) < 0)
      store.remove(Buffer.concat([prefix, before[next++]!.start]))
    const old = before[next]
    const same = old?.start.equals(piece.start) === true
    if (same) next++
    if (same && old.end.equals(piece.end) && old.deletion.equals(piece.deletion)) continue
    store.put(Buffer.concat([prefix, piece.start]), Buffer.concat([piece.deletion, piece.end]))
  }
  while (next < before.length) store.remove(Buffer.concat([prefix, before[next++]!.start]))
}

/** The ranges that share a place with the insertion, ascending. */
function overlapping(store: RangeStore, { prefix, start, end }: RangeInsertion): Piece[] {
  const met: Piece[] = []
  const take = (entry: Entry): boolean => {
    if (entry.key.length < prefix.length || entry.key.compare(prefix, 0, prefix.length, 0, prefix.length) !== 0)
      return false
    const from = entry.key.subarray(prefix.length)
    if (from.compare(end) >= 0) return false
    const to = rangeEnd(entry.value)
    if (to.compare(start) > 0) met.push({ start: from, end: to, deletion: entry.value.subarray(0, DELETION_BYTES) })
    return true
  }
  const startKey = Buffer.concat([prefix, start])
  const first = store.floor(startKey)
  if (first) take(first)
  for (let entry = store.after(startKey); entry && take(entry); ) entry = store.after(entry.key)
  return met
}

function add(pieces: Piece[], start: Buffer, end: Buffer, deletion: Buffer): void {
  const last = pieces.at(-1)
  if (last?.end.equals(start) && last.deletion.equals(deletion)) last.end = end
  else pieces.push({ start, end, deletion })
}
