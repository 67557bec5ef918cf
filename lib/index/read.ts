/**
 * Reads rows by an index: its entries name them, then each is read from the table itself and asked whether it still gives the term. Entries
 * that their rows do not bear out are handed on, to be removed.
 * Source: Cassandra's CassandraIndexSearcher for the idea of stale entries.
 * Always: rows come in the order of the table, each once, and no live row with the term is left out.
 */
import {
  type PartitionData,
  type ReadCommand,
  type ReadResult,
  RowData,
  type Slice,
} from '../../storage/model/command.ts'
import { AFTER_PREFIX } from '../types/ordered.ts'
import { type Candidates, entrySlice, gatherCandidates, type ReadStorage, TermCandidates } from './candidates.ts'
import type { IndexEntry } from './entry.ts'
import { type RowPlace, RowTerms, type StoredIndex, type TermSink } from './table-indexes.ts'

const POSITION_HEAD_BYTES = 10
const BATCH_MIN = 32
const BATCH_MAX = 1024

export async function readByIndex(
  read: ReadStorage,
  index: StoredIndex,
  command: ReadCommand,
  gatheredMax: number,
  stale: (entries: readonly IndexEntry[]) => void,
): Promise<ReadResult> {
  const slice = entrySlice(command, index.ofPartition)
  const candidates =
    command.index!.terms.kind === 'one'
      ? new TermCandidates(read, command, slice)
      : await gatherCandidates(read, command, slice, gatheredMax)
  const { index: _, columns: __, ...plain } = command
  // The reader filters what it gets: all rows will do as well.
  if (candidates === null) return read(plain)
  return new IndexReading(read, index, plain, candidates, stale).run()
}

class IndexReading {
  readonly #read: ReadStorage
  readonly #index: StoredIndex
  readonly #command: ReadCommand
  readonly #candidates: Candidates
  readonly #stale: (entries: readonly IndexEntry[]) => void
  readonly #check: TermCheck
  readonly #partitions: { position: Buffer; key: Buffer; staticRow: Buffer | null; rows: RowData[] }[] = []
  #last: IndexEntry | null = null
  #rows = 0
  #bytes = 0
  #tombstones = 0

  constructor(
    read: ReadStorage,
    index: StoredIndex,
    command: ReadCommand,
    candidates: Candidates,
    stale: (entries: readonly IndexEntry[]) => void,
  ) {
    this.#read = read
    this.#index = index
    this.#command = command
    this.#candidates = candidates
    this.#stale = stale
    this.#check = new TermCheck(index)
  }

  async run(): Promise<ReadResult> {
    const { limit } = this.#command
    for (;;) {
      const wanted = Math.min(Math.max(limit - this.#rows, BATCH_MIN), BATCH_MAX)
      const found = await this.#candidates.next(wanted)
      if (found.length === 0) return this.#result(false)
      const entries = this.#withoutSeen(found)
      const unproved: IndexEntry[] = []
      let isFull = false
      for (let at = 0; at < entries.length && !isFull; ) {
        let end = at + 1
        while (end < entries.length && entries[end]!.position.equals(entries[at]!.position)) end++
        const group = entries.slice(at, end)
        isFull = this.#index.ofPartition ? await this.#partition(group, unproved) : await this.#rowsOf(group, unproved)
        at = end
      }
      if (unproved.length > 0) this.#stale(unproved)
      if (isFull) return this.#result(true)
    }
  }

  /** What expires may have several entries: those of the row that the batch before ended with are passed over. */
  #withoutSeen(entries: readonly IndexEntry[]): readonly IndexEntry[] {
    const seen = this.#last
    this.#last = entries.at(-1)!
    if (seen === null) return entries
    let at = 0
    while (at < entries.length && this.#isSame(entries[at]!, seen)) at++
    return at === 0 ? entries : entries.slice(at)
  }

  #isSame(a: IndexEntry, b: IndexEntry): boolean {
    return a.position.equals(b.position) && (this.#index.ofPartition || a.clustering.equals(b.clustering))
  }

  #result(more: boolean): ReadResult {
    return { partitions: this.#partitions, more, tombstones: this.#tombstones + this.#candidates.tombstones }
  }

  get #isFull(): boolean {
    return this.#rows >= this.#command.limit || this.#bytes >= this.#command.byteLimit
  }

  /** Reads whole partitions that an index names. True: a limit is reached. */
  async #partition(group: readonly IndexEntry[], unproved: IndexEntry[]): Promise<boolean> {
    const { position } = group[0]!
    const { after, slices } = this.#command
    const own = after !== null && !after.partitionDone && after.position.equals(position) ? after : null
    const result = await this.#base(position, slices, own, this.#command.limit - this.#rows)
    const partition = result.partitions[0]
    const isKey = this.#index.target.column.kind === 'partition_key'
    if (partition === undefined) {
      if (own === null && (slices === null || !isKey)) unproved.push(...group)
      return false
    }
    if (!isKey && !group.some(({ term }) => this.#givesTerm(partition, null, term))) {
      unproved.push(...group)
      return false
    }
    this.#take(partition, partition.rows)
    if (partition.rows.length === 0 && this.#command.staticCounts) this.#rows += 1
    return result.more || this.#isFull
  }

  /** Reads the rows of one partition that an index names. True: a limit is reached. */
  async #rowsOf(group: readonly IndexEntry[], unproved: IndexEntry[]): Promise<boolean> {
    const { position } = group[0]!
    const proved = new Set<IndexEntry>()
    let wanted = this.#wanted(group)
    while (wanted.length > 0) {
      const slices = this.#hasClustering ? wanted.map((entry) => sliceOfRow(entry.clustering)) : null
      const result = await this.#base(position, slices, null, Number.POSITIVE_INFINITY)
      const partition = result.partitions[0]
      const live: RowData[] = []
      const missing = this.#command.limit - this.#rows
      let isCut = false
      let at = 0
      for (const row of partition?.rows ?? []) {
        while (at < group.length && group[at]!.clustering.compare(row.clustering) < 0) at++
        let gives = false
        for (; at < group.length && group[at]!.clustering.equals(row.clustering); at++) {
          if (!this.#givesTerm(partition!, row, group[at]!.term)) continue
          gives = true
          proved.add(group[at]!)
        }
        if (!gives) continue
        isCut = live.length >= missing
        if (isCut) break
        live.push(row)
      }
      if (live.length > 0) this.#take(partition!, live)
      if (isCut || this.#isFull) return true
      const last = partition?.rows.at(-1)
      if (!result.more || last === undefined) break
      const reached = Buffer.from(last.clustering)
      wanted = wanted.filter(({ clustering }) => clustering.compare(reached) > 0)
    }
    for (const entry of group) if (!proved.has(entry) && this.#isAllowed(entry)) unproved.push(entry)
    return false
  }

  get #hasClustering(): boolean {
    return this.#index.table.clustering.length > 0
  }

  /** One entry a row, of rows that the slices allow. */
  #wanted(group: readonly IndexEntry[]): IndexEntry[] {
    return group.filter(
      (entry, i) => (i === 0 || !group[i - 1]!.clustering.equals(entry.clustering)) && this.#isAllowed(entry),
    )
  }

  #isAllowed({ clustering }: IndexEntry): boolean {
    const { slices } = this.#command
    if (slices === null) return true
    return slices.some(({ start, end }) => start.compare(clustering) <= 0 && clustering.compare(end) < 0)
  }

  #givesTerm(partition: PartitionData, row: RowData | null, term: Buffer): boolean {
    const bytes = row === null ? partition.staticRow : row.row
    if (bytes === null) return false
    const clustering = row?.clustering ?? NO_CLUSTERING
    const place = { key: partition.key, clustering, isStatic: row === null }
    return this.#check.gives(bytes, place, this.#command.nowSeconds, term)
  }

  async #base(
    position: Buffer,
    slices: readonly Slice[] | null,
    after: ReadCommand['after'],
    limit: number,
  ): Promise<ReadResult> {
    const result = await this.#read({
      ...this.#command,
      target: { kind: 'partition', position },
      slices,
      after,
      limit,
      wantStatic: this.#command.wantStatic || this.#index.target.column.kind === 'static',
      byteLimit: Math.max(this.#command.byteLimit - this.#bytes, 1),
    })
    this.#tombstones += result.tombstones
    return result
  }

  /** Keeps copies: other reads follow before they are looked at. */
  #take(partition: PartitionData, rows: readonly RowData[]): void {
    let kept = this.#partitions.at(-1)
    if (!kept?.position.equals(partition.position)) {
      const position = Buffer.from(partition.position)
      const staticRow = partition.staticRow && Buffer.from(partition.staticRow)
      kept = { position, key: position.subarray(POSITION_HEAD_BYTES), staticRow, rows: [] }
      this.#partitions.push(kept)
      this.#bytes += staticRow?.length ?? 0
    }
    for (const row of rows) {
      kept.rows.push(RowData.of(Buffer.from(row.clustering), Buffer.from(row.row)))
      this.#bytes += row.bytes
    }
    this.#rows += rows.length
  }
}

const NO_CLUSTERING = Buffer.alloc(0)

function sliceOfRow(clustering: Buffer): Slice {
  return { start: clustering, end: Buffer.concat([clustering, Buffer.of(AFTER_PREFIX)]), single: true }
}

/** Whether a row gives a term. */
export class TermCheck implements TermSink {
  readonly #terms: RowTerms
  #wanted: Buffer = NO_CLUSTERING
  #found = false

  constructor(index: StoredIndex) {
    this.#terms = new RowTerms(index.table, [index])
  }

  gives(row: Buffer, place: RowPlace, nowSeconds: number, term: Buffer): boolean {
    this.#wanted = term
    this.#found = false
    this.#terms.live(row, place, nowSeconds, this)
    return this.#found
  }

  term(_index: StoredIndex, position: Buffer): void {
    if (!this.#found) this.#found = position.equals(this.#wanted)
  }
}
