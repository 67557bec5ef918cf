/**
 * The reads of one execution of a SELECT: partitions one after another or a range of them, filtered, counted against the limits, and given to an
 * output row by row until the page is full.
 * Source: rules of pages, limits and static rows are those of Cassandra 5.0.
 * Always: what a read gave is looked at in the turn in which it came; what has to last is copied.
 */
import {
  ALL_ROWS,
  type IndexRead,
  type PartitionData,
  type ReadCommand,
  type ReadPoint,
  type ReadResult,
  RowData,
  type Slice,
} from '../../../storage/model/command.ts'
import { RowReader } from '../../../storage/model/row.ts'
import type { TableSchema } from '../../schema/table.ts'
import type { FlatRows } from '../causal/flat-rows.ts'
import { Sibling, type SiblingKey, Siblings } from '../causal/siblings.ts'
import type { Environment, MaybePromise } from '../statement.ts'
import type { RowFilter } from './filter.ts'
import type { PagingState } from './paging.ts'
import type { FilterColumns } from './select-filter.ts'
import { sliceOfRow } from './select-keys.ts'

/** Takes rows as they come. */
export interface RowOutput {
  /** Result rows that are complete, and their bytes. */
  readonly count: number
  readonly bytes: number
  /** Begins a partition, or goes on with it after another read. */
  partition(partition: PartitionData, nowSeconds: number): void
  /** Null: the partition has but its static row. False: the row belongs to a result row beyond the last one wanted, and was not taken. */
  row(row: RowData | null): boolean
  /** No more rows will come. */
  end(): void
}

export type ReadTarget = ReadCommand['target']

export interface ScanRequest {
  readonly table: TableSchema
  readonly targets: readonly ReadTarget[]
  readonly slices: readonly Slice[] | null
  readonly reversed: boolean
  readonly wantStatic: boolean
  /** A partition without rows is given by its static row. */
  readonly staticCounts: boolean
  readonly filter: RowFilter | null
  /** Rows are found by an index; null: all that the targets and slices name. */
  readonly index: IndexRead | null
  readonly filterColumns: FilterColumns | null
  /** Of a table that is, or was, of vector clocks: what its rows are shown as; null: as they are. */
  readonly siblings: Siblings | FlatRows | null
  /** Ids of the columns that are looked at; null: all, some with more than one cell. */
  readonly columns: readonly number[] | null
  /** Each row read is a result row; else rows are read in chunks until enough of them are found. */
  readonly isDirect: boolean
  /** Result rows wanted. */
  readonly wanted: number
  readonly perPartitionLimit: number
  readonly byteLimit: number
  readonly nowSeconds: number
  readonly consistency: number
  readonly state: PagingState | null
}

/** Where a page ended. The buffers are views of what was read last, and hold for this turn. */
export interface ScanEnd {
  readonly position: Buffer
  readonly clustering: Buffer | null
  /** Siblings follow it in its row: where it is among them. */
  readonly dot: Buffer | null
  readonly partitionDone: boolean
  readonly rowsGiven: number
  readonly isLastTarget: boolean
}

/** Rows of one read when not every row read is given: few at first, then so many that storage lets others run in between. */
const CHUNK_ROWS_MIN = 256
/** Of one that an index answers, where each row is looked up by its key: as many as are wanted do mostly, for few are filtered out. */
const INDEXED_ROWS_MIN = 16
const CHUNK_ROWS_MAX = 4096
const CHUNK_BYTES_MAX = 4 * 1024 * 1024

const NOTHING = Buffer.alloc(0)

export class Scan {
  readonly #environment: Environment
  readonly #request: ScanRequest
  readonly #output: RowOutput
  readonly #hasClustering: boolean
  /** Columns were dropped: a row may hold nothing but cells of these. */
  readonly #checksRows: boolean
  readonly #isCausal: boolean
  #target = 0
  /** Where the next read of the target goes on. */
  #after: ReadPoint | null = null
  /** Rows given of the partition in which it goes on. */
  #givenBefore = 0
  /** Of the row given last: its target, its partition, the row (null: the static one), and how many of the partition were given. */
  #targetGiven = 0
  #position: Buffer | null = null
  #row: RowData | null = null
  #rowsGiven = 0
  /** The page before ended among the siblings of a row; null: between rows. */
  #leftover: PagingState | null = null
  /** Keys of which several rows were given. */
  conflicts = 0
  #lastConflict: SiblingKey | null = null
  #isFull = false
  #endedByBytes = false
  /** Of the read that met most tombstones. */
  tombstones = 0
  rowsBesideTombstones = 0
  tombstonePosition: Buffer | null = null

  constructor(environment: Environment, request: ScanRequest, output: RowOutput) {
    this.#environment = environment
    this.#request = request
    this.#output = output
    this.#hasClustering = request.table.clustering.length > 0
    this.#checksRows = request.table.dropped.size > 0
    this.#isCausal = request.siblings instanceof Siblings
    if (request.state === null) return
    if (request.state.dot === null) this.#resume(request.state)
    else this.#leftover = request.state
  }

  #resume(state: PagingState): void {
    const { targets } = this.#request
    const only = targets.length === 1 ? targets[0]! : null
    if (only === null) {
      const at = targets.findIndex((target) => target.kind === 'partition' && target.position.equals(state.position))
      this.#target = at < 0 ? targets.length : state.partitionDone ? at + 1 : at
      if (at < 0 || state.partitionDone) return
    } else if (only.kind === 'partition' && state.partitionDone) {
      this.#target = 1
      return
    }
    this.#after = {
      position: only?.kind === 'partition' ? only.position : state.position,
      clustering: state.clustering,
      partitionDone: state.partitionDone,
      rowsGiven: state.rowsGiven,
    }
    this.#givenBefore = state.rowsGiven
  }

  /** The page is full: more rows may follow. */
  get isFull(): boolean {
    return this.#isFull
  }

  /** It is full because of its bytes. */
  get endedByBytes(): boolean {
    return this.#endedByBytes
  }

  /** Where the page ended; null when it has no rows. */
  get last(): ScanEnd | null {
    if (this.#position === null) return null
    const { perPartitionLimit, targets } = this.#request
    const row = this.#row
    const dot = row instanceof Sibling && row.hasNext ? row.dot : null
    const isLastRow = dot === null && (row === null || !this.#hasClustering)
    return {
      position: this.#position,
      clustering: row === null ? null : row.clustering,
      dot,
      partitionDone: isLastRow || this.#rowsGiven >= perPartitionLimit,
      rowsGiven: this.#rowsGiven,
      isLastTarget: this.#targetGiven >= targets.length - 1,
    }
  }

  /** Reads until the page is full or there is no more: at once where that takes one read which has its answer at once. */
  run(): MaybePromise<void> {
    const { targets, isDirect, wanted, byteLimit } = this.#request
    if (this.#leftover !== null) return this.#runFromLeftover(this.#leftover)
    if (!isDirect || targets.length !== 1 || this.#checksRows) return this.#runChunks()
    if (this.#target === 1) return this.#output.end()
    const result = this.#read(wanted, byteLimit)
    if (result instanceof Promise) return result.then((given) => this.#takeAll(given))
    this.#takeAll(result)
    return undefined
  }

  #takeAll(result: ReadResult): void {
    const output = this.#output
    this.#take(result)
    output.end()
    this.#endedByBytes = result.more && output.count < this.#request.wanted
    this.#isFull = this.#endedByBytes || output.count >= this.#request.wanted
  }

  /** First the siblings that the page before left of its last row; they are those with greater dots, whatever was written meanwhile. */
  async #runFromLeftover(state: PagingState): Promise<void> {
    const { table, targets, nowSeconds, consistency, siblings, perPartitionLimit } = this.#request
    const { position, clustering, rowsGiven, dot } = state
    const at = targets.findIndex((target) => target.kind === 'range' || target.position.equals(position))
    if (at < 0 || siblings === null || clustering === null || dot === null) return this.#output.end()
    this.#target = at
    this.#after = { position, clustering, partitionDone: false, rowsGiven }
    this.#givenBefore = rowsGiven
    const reading = this.#environment.coordinator.read(
      {
        ...ALL_ROWS,
        table: table.id,
        target: { kind: 'partition', position },
        slices: this.#hasClustering ? [sliceOfRow(clustering)] : null,
        nowSeconds,
      },
      consistency,
      table.keyspace,
    )
    const { partitions } = reading instanceof Promise ? await reading : reading
    for (const partition of siblings.expand(partitions, nowSeconds)) {
      const rows = partition.rows.filter((row) => (row as Sibling).dot.compare(dot) > 0)
      if (rows.length > 0) this.#takePartition({ ...partition, rows })
    }
    this.#keepLast()
    if (this.#isFull) return
    const given = this.#position === null ? rowsGiven : this.#rowsGiven
    this.#after = null
    this.#resume({
      ...state,
      dot: null,
      partitionDone: state.partitionDone || !this.#hasClustering || given >= perPartitionLimit,
      rowsGiven: given,
    })
    return this.#runChunks()
  }

  async #runChunks(): Promise<void> {
    const { targets, byteLimit, isDirect, wanted, index } = this.#request
    const output = this.#output
    let chunkRows = index === null ? CHUNK_ROWS_MIN : INDEXED_ROWS_MIN
    const growth = index === null ? 2 : 4
    while (this.#target < targets.length && !this.#isFull) {
      const missing = wanted - output.count
      const rows = isDirect ? missing : Math.max(Math.min(missing, CHUNK_ROWS_MAX), chunkRows)
      chunkRows = Math.min(chunkRows * growth, CHUNK_ROWS_MAX)
      const reading = this.#read(rows, isDirect ? Math.max(byteLimit - output.bytes, 1) : CHUNK_BYTES_MAX)
      const result = reading instanceof Promise ? await reading : reading
      this.#take(result)
      this.#keepLast()
      if (output.count >= wanted) this.#isFull = true
      else if (output.bytes >= byteLimit) this.#endedByBytes = true
      this.#isFull ||= this.#endedByBytes
      if (this.#isFull) break
      this.#after = this.#nextPoint(result)
      if (this.#after === null) this.#target += 1
    }
    if (this.#isFull) return
    output.end()
    this.#isFull = output.count >= wanted
  }

  #read(limit: number, byteLimit: number): MaybePromise<ReadResult> {
    const { table, targets, slices, reversed, wantStatic, staticCounts, nowSeconds, consistency } = this.#request
    const { filter, perPartitionLimit, columns, index } = this.#request
    const command: ReadCommand = {
      table: table.id,
      target: targets[this.#target]!,
      slices,
      reversed,
      wantStatic,
      staticCounts,
      limit,
      perPartitionLimit:
        filter === null && index === null && !this.#checksRows ? perPartitionLimit : Number.POSITIVE_INFINITY,
      byteLimit,
      nowSeconds,
      after: this.#after,
      tombstonesMax: this.#environment.limits.tombstoneFailureThreshold,
      ...(columns === null ? {} : { columns }),
      ...(index === null ? {} : { index }),
    }
    return this.#environment.coordinator.read(command, consistency, table.keyspace)
  }

  /** Where the target's next read goes on after this one; null: it is done. */
  #nextPoint({ partitions, more }: ReadResult): ReadPoint | null {
    const partition = partitions[partitions.length - 1]
    if (!more || partition === undefined) return null
    const row = partition.rows[partition.rows.length - 1]
    this.#givenBefore = this.#position?.equals(partition.position) ? this.#rowsGiven : 0
    return {
      position: Buffer.from(partition.position),
      clustering: row === undefined ? null : Buffer.from(row.clustering),
      partitionDone: row === undefined || !this.#hasClustering,
      rowsGiven: Math.max(this.#givenBefore, 1),
    }
  }

  #keepLast(): void {
    if (this.#position === null) return
    this.#position = Buffer.from(this.#position)
    if (this.#row instanceof Sibling) this.#row = this.#row.place()
    else if (this.#row !== null) this.#row = RowData.of(Buffer.from(this.#row.clustering), NOTHING)
  }

  #take(result: ReadResult): void {
    const { siblings, nowSeconds, table } = this.#request
    const { tombstones } = result
    const partitions =
      siblings === null
        ? result.partitions
        : siblings.expand(result.partitions, nowSeconds, (versions) =>
            this.#environment.siblingsRead?.(table.id, versions),
          )
    for (let i = 0; i < partitions.length && !this.#isFull; i++) this.#takePartition(partitions[i]!)
    if (tombstones <= this.tombstones) return
    this.tombstones = tombstones
    this.rowsBesideTombstones = partitions.reduce((count, { rows }) => count + rows.length, 0)
    const target = this.#request.targets[this.#target]!
    this.tombstonePosition = target.kind === 'partition' ? target.position : (partitions.at(-1)?.position ?? null)
  }

  #takePartition(partition: PartitionData): void {
    const { filter, filterColumns, nowSeconds, perPartitionLimit, staticCounts, wanted } = this.#request
    const output = this.#output
    const after = this.#after
    const continues = after !== null && !after.partitionDone && after.position.equals(partition.position)
    let given = continues ? this.#givenBefore : 0
    output.partition(partition, nowSeconds)
    if (filter !== null && !filterColumns!.matchesPartition(filter, partition, nowSeconds)) return
    const { rows } = partition
    if (rows.length === 0) {
      if (!staticCounts || continues || filter?.looksAtRows === true) return
      if (this.#checksRows && !this.#isVisible(partition.staticRow!)) return
      if (output.row(null)) this.#give(partition, null, 1)
      else this.#isFull = true
    }
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!
      if (given >= perPartitionLimit) return
      if (this.#checksRows && !this.#isVisible(row.row)) continue
      if (filter !== null && !filterColumns!.matchesRow(filter, row)) continue
      if (!output.row(row)) {
        this.#isFull = true
        return
      }
      given += 1
      this.#give(partition, row, given)
      if (output.count >= wanted && i + 1 < rows.length) {
        this.#isFull = true
        return
      }
    }
    if (output.count >= wanted) this.#isFull = true
  }

  #give(partition: PartitionData, row: RowData | null, given: number): void {
    this.#targetGiven = this.#target
    this.#position = partition.position
    this.#row = row
    this.#rowsGiven = given
    if (this.#isCausal) this.#countConflict(row as Sibling)
  }

  #countConflict({ siblings }: Sibling): void {
    if (siblings.count === 1 || siblings === this.#lastConflict) return
    this.#lastConflict = siblings
    this.conflicts += 1
  }

  /** Whether a row holds more than cells of columns that were dropped. */
  #isVisible(row: Buffer): boolean {
    const { table, nowSeconds } = this.#request
    const reader = new RowReader().reset(row)
    if (reader.livenessIsLive(nowSeconds)) return true
    while (reader.next()) {
      const column = table.columnsById[reader.columnId]
      if (column === undefined || !reader.isLive(nowSeconds)) continue
      const { droppedAtMicros } = column
      if (droppedAtMicros === null) return true
      if (((BigInt(reader.tsHigh) << 32n) | BigInt(reader.tsLow)) > droppedAtMicros) return true
    }
    return false
  }
}
