/**
 * What a read asks of each place that holds a table's records, memtable or SSTable. All is synchronous as long as the bytes are in memory:
 * a promise is given only when a file must be read first.
 */
import type { Span } from './span.ts'

export interface Source {
  /** An SSTable, not a memtable. */
  readonly isFile: boolean
  /** Whether there is any record of the kind, so that reads need not look. */
  readonly hasPartitionDeletions: boolean
  readonly hasStaticRows: boolean
  readonly hasRangeTombstones: boolean
  /** The greatest timestamp of anything in it, as two halves; null: not known, it may have any. */
  readonly maxTimestamp: { readonly high: number; readonly low: number } | null
  /** False only when it certainly holds nothing of the partition. */
  mayHold(position: Buffer): boolean
  /** False only when it certainly has no row, of whatever partition, whose clustering is in [start, end). */
  mayHoldRows(start: Buffer, end: Buffer): boolean
  /** False only when it certainly has no row with the clustering. */
  mayHoldRow(clustering: Buffer): boolean
  get(key: Buffer): Buffer | null | Promise<Buffer | null>
  cursor(options?: SourceCursorOptions): SourceCursor
}

export interface SourceCursorOptions {
  /** A hint that much will be read in order, and once: it should not drive out what others read often. */
  readonly isScan?: boolean
}

/**
 * A place between or on a source's records. Movements that give a promise are done when it resolves, and only then may the cursor be used.
 * `key` and `value` share memory that never changes.
 */
export interface SourceCursor {
  /** Stands on a record. */
  readonly valid: boolean
  readonly key: Buffer
  readonly value: Buffer
  /** As `key` and `value`, without views. */
  keyInto(span: Span): void
  valueInto(span: Span): void
  /** To the first record at or after the key. */
  seek(key: Buffer): Promise<void> | undefined
  /** To the last record before the key. */
  seekBefore(key: Buffer): Promise<void> | undefined
  next(): Promise<void> | undefined
  previous(): Promise<void> | undefined
}

/** Adds to a list that is made when there is something to wait for. */
export function alsoWait(waits: Promise<void>[] | null, wait: Promise<void>): Promise<void>[] {
  if (waits === null) return [wait]
  waits.push(wait)
  return waits
}

/** The read has failed at once, so nobody waits for these: that they fail too, as damaged files do, must not end the process. */
export function abandon(waits: readonly Promise<unknown>[] | null): void {
  for (const wait of waits ?? []) wait.catch(() => {})
}
