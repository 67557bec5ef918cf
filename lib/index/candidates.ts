/**
 * The entries that a read of an index meets, in the order of their rows. Those of one term lie so, and are read as they are wanted; those of a
 * range of terms are gathered and sorted, if they are not too many.
 */
import type { ReadCommand, ReadPoint, ReadResult, Slice } from '../../storage/model/command.ts'
import { RowReader } from '../../storage/model/row.ts'
import { afterEntries, ENTRIES_END, ENTRIES_START, entryBound, type IndexEntry, readEntry } from './entry.ts'

export type ReadStorage = (command: ReadCommand) => ReadResult | Promise<ReadResult>

/** Gives entries, ascending; none when there are no more. */
export interface Candidates {
  next(count: number): Promise<readonly IndexEntry[]>
  /** Tombstones that were read past. */
  readonly tombstones: number
}

const CHUNK_ENTRIES = 4096
const CHUNK_BYTES = 1024 * 1024

/** The entries of the partitions, and the rows in them, that are still to be given. */
export function entrySlice({ target, after }: ReadCommand, ofPartition: boolean): Slice | null {
  let start: Buffer
  let end: Buffer
  if (target.kind === 'partition') {
    start = entryBound(target.position)
    end = afterEntries(target.position, null)
  } else {
    start = target.start === null ? ENTRIES_START : entryBound(target.start)
    end = target.end === null ? ENTRIES_END : entryBound(target.end)
  }
  if (after !== null) {
    const resume = resumeAt(after, ofPartition)
    if (resume.compare(start) > 0) start = resume
  }
  return start.compare(end) < 0 ? { start, end } : null
}

function resumeAt({ position, clustering, partitionDone }: ReadPoint, ofPartition: boolean): Buffer {
  if (partitionDone) return afterEntries(position, null)
  return ofPartition || clustering === null ? entryBound(position) : afterEntries(position, clustering)
}

function entryCommand(command: ReadCommand, slice: Slice, limit: number): ReadCommand {
  const { terms, id } = command.index!
  return {
    table: id,
    target:
      terms.kind === 'one'
        ? { kind: 'partition', position: terms.position }
        : { kind: 'range', start: terms.start, end: terms.end },
    slices: [slice],
    reversed: false,
    wantStatic: false,
    staticCounts: false,
    limit,
    perPartitionLimit: Number.POSITIVE_INFINITY,
    byteLimit: CHUNK_BYTES,
    nowSeconds: command.nowSeconds,
    after: null,
  }
}

/** Of one term. */
export class TermCandidates implements Candidates {
  readonly #read: ReadStorage
  readonly #command: ReadCommand
  readonly #reader = new RowReader()
  #slice: Slice | null
  tombstones = 0

  constructor(read: ReadStorage, command: ReadCommand, slice: Slice | null) {
    this.#read = read
    this.#command = command
    this.#slice = slice
  }

  async next(count: number): Promise<readonly IndexEntry[]> {
    if (this.#slice === null) return []
    const reading = this.#read(entryCommand(this.#command, this.#slice, count))
    const result = reading instanceof Promise ? await reading : reading
    const entries = entriesOf(result, this.#reader)
    this.tombstones += result.tombstones
    const last = entries.at(-1)
    this.#slice =
      result.more && last ? { start: Buffer.concat([last.bytes, Buffer.of(0)]), end: this.#slice.end } : null
    return entries
  }
}

/** Of a range of terms, sorted. */
class GatheredCandidates implements Candidates {
  readonly #entries: readonly IndexEntry[]
  readonly tombstones: number
  #at = 0

  constructor(entries: readonly IndexEntry[], tombstones: number) {
    this.#entries = entries
    this.tombstones = tombstones
  }

  next(count: number): Promise<readonly IndexEntry[]> {
    const taken = this.#entries.slice(this.#at, this.#at + count)
    this.#at += taken.length
    return Promise.resolve(taken)
  }
}

/** Null: they are more than `most`. */
export async function gatherCandidates(
  read: ReadStorage,
  command: ReadCommand,
  slice: Slice | null,
  most: number,
): Promise<Candidates | null> {
  if (slice === null) return new GatheredCandidates([], 0)
  const reader = new RowReader()
  const entries: IndexEntry[] = []
  let tombstones = 0
  let next: ReadCommand = entryCommand(command, slice, CHUNK_ENTRIES)
  for (;;) {
    const reading = read(next)
    const result = reading instanceof Promise ? await reading : reading
    const found = entriesOf(result, reader)
    entries.push(...found)
    tombstones += result.tombstones
    if (entries.length > most) return null
    const last = found.at(-1)
    if (!result.more || !last) break
    next = { ...next, after: { position: last.term, clustering: last.bytes, partitionDone: false, rowsGiven: 1 } }
  }
  entries.sort((a, b) => a.bytes.compare(b.bytes))
  return new GatheredCandidates(entries, tombstones)
}

function entriesOf({ partitions }: ReadResult, reader: RowReader): IndexEntry[] {
  const entries: IndexEntry[] = []
  for (const { position, rows } of partitions) {
    const term = Buffer.from(position)
    for (const { clustering, row } of rows) entries.push(readEntry(term, clustering, row, reader))
  }
  return entries
}
