/**
 * SELECT, compiled: what is read, and how its rows become those of the result. select-compile.ts makes it from the text.
 * Source: CQL 3.4.7 "SELECT"; order of checks, pages and messages are those of Cassandra 5.0.
 * Always: one read by key is answered in the turn in which storage answers it.
 */
import { ByteWriter } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import { resolutionOf } from '../../schema/resolution.ts'
import type { TableSchema } from '../../schema/table.ts'
import { isMultiCell } from '../../types/names.ts'
import { FlatRows } from '../causal/flat-rows.ts'
import { conflictWarning, Siblings } from '../causal/siblings.ts'
import { checkPartitionCount, checkReadConsistency } from '../consistency.ts'
import type { ColumnSpec, LentMemory, ResultMetadata, RowsResult } from '../result.ts'
import { type CompiledStatement, type Environment, type MaybePromise, type QueryOptions, UNSET } from '../statement.ts'
import { spellsKeys } from '../terms/key-spelling.ts'
import type { Value } from '../terms/terms.ts'
import type { Restrictions } from '../where/restrictions.ts'
import { decodePagingState, encodePagingState, type PagingState } from './paging.ts'
import { type OutputItem, RowEncoder } from './select-encoder.ts'
import { FilterColumns } from './select-filter.ts'
import { GroupOutput, type GroupParts } from './select-groups.ts'
import { SelectKeys } from './select-keys.ts'
import { checkTombstones, unpagedTooLarge } from './select-limits.ts'
import { checkNearestLimit, downgraded, type Nearest, NearestOutput, type NearestTarget } from './select-nearest.ts'
import { type Ordering, RowSorter, SortedOutput } from './select-ordering.ts'
import { ExpressionWriter, RowByRowOutput } from './select-output.ts'
import { type RowOutput, Scan, type ScanEnd } from './select-scan.ts'
import { RowValues } from './select-values.ts'
import type { Expression } from './selectors-expressions.ts'

/** What is selected: columns as they are, expressions over the columns of a row, or over groups of rows. */
export type Selection =
  | { readonly kind: 'columns'; readonly items: readonly OutputItem[] }
  | { readonly kind: 'expressions'; readonly items: readonly OutputItem[]; readonly expressions: readonly Expression[] }
  | ({ readonly kind: 'groups' } & GroupParts)

/** The parts of a SELECT, all names looked up. */
export interface SelectParts {
  readonly table: TableSchema
  readonly variables: readonly ColumnSpec[]
  readonly partitionKeyIndexes: readonly number[]
  readonly metadata: ResultMetadata
  readonly restrictions: Restrictions
  readonly selection: Selection
  readonly ordering: Ordering
  /** ORDER BY … ANN OF; null without it. */
  readonly nearest: Nearest | null
  readonly isDistinct: boolean
  readonly limit: Value | null
  readonly perPartitionLimit: Value | null
}

const WRITER_BYTES = 512
/** Memories that wait to be used again, and how large they may be: one of them larger, for statements with large results that are answered at once. */
const SPARES_MAX = 64
const SPARE_BYTES_MAX = 8 * 1024
const LARGE_SPARE_BYTES_MAX = 256 * 1024

/** Where the rows of one execution are written: its own until its answer was made of them. */
class RowMemory implements LentMemory {
  readonly writer = new ByteWriter(WRITER_BYTES)
  readonly #spares: RowMemory[]

  constructor(spares: RowMemory[]) {
    this.#spares = spares
  }

  giveBack(): void {
    const spares = this.#spares
    const { length } = this.writer.buffer
    const fits = length <= SPARE_BYTES_MAX ? spares.length < SPARES_MAX : spares.length === 0
    if (!fits || length > LARGE_SPARE_BYTES_MAX) return
    this.writer.reset()
    spares.push(this)
  }
}

export class Select implements CompiledStatement {
  readonly variables: readonly ColumnSpec[]
  readonly partitionKeyIndexes: readonly number[]
  readonly resultMetadata: ResultMetadata
  readonly keyspace: string
  readonly table: string
  readonly #parts: SelectParts
  readonly #keys: SelectKeys
  /** For results that are columns as they are, else null. */
  readonly #encoder: RowEncoder | null
  /** For results that are computed, else null. */
  readonly #values: RowValues | null
  readonly #filterColumns: FilterColumns | null
  /** Of a table that is, or was, of vector clocks, else null. */
  readonly #siblings: Siblings | FlatRows | null
  readonly #staticCounts: boolean
  readonly #wantStatic: boolean
  /** Every row that is read is a row of the result. */
  readonly #isDirect: boolean
  /** Ids of the table's regular columns, for reads that may end early; null when one has more than one cell a row or there are cells besides. */
  readonly #columns: readonly number[] | null
  readonly #spares: RowMemory[] = []

  constructor(parts: SelectParts) {
    const { table, restrictions, selection } = parts
    this.variables = parts.variables
    this.partitionKeyIndexes = parts.partitionKeyIndexes
    this.resultMetadata = parts.metadata
    this.keyspace = table.keyspace
    this.table = table.name
    this.#parts = parts
    this.#keys = new SelectKeys(table, restrictions)
    this.#encoder = selection.kind === 'columns' ? new RowEncoder(table, selection.items) : null
    this.#values = selection.kind === 'columns' ? null : new RowValues(table, selection.items)
    this.#filterColumns = restrictions.needsFilter ? new FilterColumns(table, restrictions.filterColumns) : null
    this.#siblings = resolutionOf(table.options) === 'vclock' ? new Siblings(table) : FlatRows.of(table)
    this.#columns =
      this.#siblings !== null ||
      spellsKeys(table) ||
      table.isCounter ||
      table.regulars.some((column) => isMultiCell(column.type))
        ? null
        : table.regulars.map((column) => column.id).sort((a, b) => a - b)
    this.#staticCounts = !restrictions.restrictsClustering && !restrictions.restrictsRegulars
    this.#wantStatic =
      table.statics.length > 0 &&
      (this.#staticCounts ||
        restrictions.restrictsStatics ||
        selection.items.some(isStatic) ||
        parts.nearest?.column.kind === 'static')
    this.#isDirect =
      !restrictions.needsFilter && !restrictions.usesIndex && table.dropped.size === 0 && selection.kind !== 'groups'
  }

  execute(environment: Environment, options: QueryOptions): MaybePromise<RowsResult> {
    const { table, restrictions, ordering, selection, isDistinct, nearest } = this.#parts
    checkReadConsistency(options.consistency)
    const limit = boundLimit(this.#parts.limit, options, environment)
    const perPartitionLimit = isDistinct ? 1 : boundLimit(this.#parts.perPartitionLimit, options, environment)
    const targets = this.#keys.targets(options, environment)
    const slices = this.#keys.slices(options, environment)
    const filter = restrictions.filter(options, environment)
    const index = restrictions.indexRead(options, environment)
    const target = nearest === null ? null : nearest.bind(options, environment)
    const warnings = nearest === null ? NO_WARNINGS : checkNearestLimit(limit, options)
    checkPartitionCount(options.consistency, targets.length)
    const isEmpty = targets.length === 0 || slices?.length === 0
    if (ordering.sortedBy !== null) this.#checkUnpaged(options, isEmpty)
    // A state without a page size goes unheeded, as in Cassandra.
    const isPaged = options.pageSize !== null
    const state = isPaged && options.pagingState !== null ? decodePagingState(options.pagingState) : null
    const remaining = state === null ? limit : state.remaining
    const isWhole =
      ordering.sortedBy !== null || target !== null || (selection.kind === 'groups' && selection.grouping === null)
    const wanted = isWhole ? Number.POSITIVE_INFINITY : Math.min(options.pageSize ?? remaining, remaining)
    const memory = this.#spares.pop() ?? new RowMemory(this.#spares)
    const output = this.#output(
      memory.writer,
      { wanted, limit, perPartitionLimit, state, target },
      environment,
      options,
    )
    const { limits } = environment
    const scan = new Scan(
      environment,
      {
        table,
        targets: isEmpty ? [] : targets,
        slices,
        reversed: ordering.reversed,
        wantStatic: this.#wantStatic,
        staticCounts: this.#staticCounts,
        filter,
        index,
        filterColumns: this.#filterColumns,
        siblings: this.#siblings,
        isDirect: this.#isDirect,
        wanted,
        perPartitionLimit: output instanceof GroupOutput && !isDistinct ? Number.POSITIVE_INFINITY : perPartitionLimit,
        columns: this.#columns,
        byteLimit: isPaged ? limits.pageBytesMax : limits.unpagedBytesMax,
        nowSeconds: options.nowSeconds ?? Math.floor(environment.wallMicros() / 1_000_000),
        consistency: nearest === null ? options.consistency : downgraded(options.consistency),
        state,
      },
      output,
    )
    const running = scan.run()
    if (running === undefined) return this.#answer(scan, output, memory, remaining, environment, options, warnings)
    return running.then(() => this.#answer(scan, output, memory, remaining, environment, options, warnings))
  }

  #output(out: ByteWriter, limits: OutputLimits, environment: Environment, options: QueryOptions): RowOutput {
    const { table, selection, ordering } = this.#parts
    const sorter = ordering.sortedBy === null ? null : new RowSorter(table, ordering, limits.limit)
    if (selection.kind === 'groups') {
      const { wanted, perPartitionLimit, state } = limits
      const before = state && { position: state.position, groups: state.rowsGiven }
      const groupLimits = { wanted, perPartitionLimit, before, sorter }
      return new GroupOutput(selection, this.#values!, groupLimits, out, options, environment)
    }
    const writer =
      selection.kind === 'columns'
        ? this.#encoder!
        : new ExpressionWriter(this.#values!, selection.expressions, options, environment)
    if (limits.target !== null) return new NearestOutput(writer, out, limits.target, limits.limit)
    return sorter === null ? new RowByRowOutput(writer, out) : new SortedOutput(writer, out, sorter)
  }

  #answer(
    scan: Scan,
    output: RowOutput,
    memory: RowMemory,
    remaining: number,
    environment: Environment,
    options: QueryOptions,
    before: readonly string[],
  ): RowsResult {
    const { table, restrictions } = this.#parts
    const warnings = [...before, ...this.#warnings()]
    if (scan.conflicts > 0) warnings.push(conflictWarning(scan.conflicts, table))
    if (scan.tombstones > 0) checkTombstones(scan, table, restrictions.isKeyRange, environment, options, warnings)
    let pagingState: Buffer | null = null
    if (options.pageSize === null) {
      if (scan.endedByBytes) throw unpagedTooLarge(environment, options)
    } else if (scan.isFull) {
      const groups = output instanceof GroupOutput ? output.groupsOfPartition : null
      pagingState = this.#pagingState(scan.last, groups, remaining - output.count)
    }
    return {
      kind: 'rows',
      metadata: this.resultMetadata,
      rowCount: output.count,
      rowBytes: memory.writer.view(),
      pagingState,
      memory,
      ...(warnings.length === 0 ? {} : { warnings }),
    }
  }

  #warnings(): string[] {
    const { selection, restrictions } = this.#parts
    if (selection.kind !== 'groups') return []
    if (!restrictions.restrictsPartitionKey) return ['Aggregation query used without partition key']
    return restrictions.hasKeyIn ? ['Aggregation query used on multiple partition keys (IN restriction)'] : []
  }

  /** Rows of several partitions are sorted when all of them are there: there must be no pages, if there can be rows at all. */
  #checkUnpaged({ pageSize }: QueryOptions, isEmpty: boolean): void {
    if (pageSize === null || pageSize === 0x7fffffff) return
    if (isEmpty && this.#parts.selection.kind !== 'groups') return
    const error = invalid(
      'Cannot page queries with both ORDER BY and a IN restriction on the partition key; you must either remove the ORDER BY or the IN and sort client side, or disable paging for this query',
    )
    const warnings = this.#warnings()
    if (warnings.length > 0) error.warnings = warnings
    throw error
  }

  /** Null: there can be no more. */
  #pagingState(last: ScanEnd | null, groups: number | null, remaining: number): Buffer | null {
    if (last === null || remaining <= 0) return null
    const isRange = this.#parts.restrictions.isKeyRange
    if (!isRange && last.isLastTarget && last.partitionDone) return null
    return encodePagingState({ ...last, rowsGiven: groups ?? last.rowsGiven, remaining })
  }
}

interface OutputLimits {
  readonly wanted: number
  readonly limit: number
  readonly perPartitionLimit: number
  readonly state: PagingState | null
  readonly target: NearestTarget | null
}

const NO_WARNINGS: readonly string[] = []

function isStatic({ column }: OutputItem): boolean {
  return column.kind === 'static'
}

/** LIMIT or PER PARTITION LIMIT; Infinity without one. */
function boundLimit(limit: Value | null, options: QueryOptions, environment: Environment): number {
  if (limit === null) return Number.POSITIVE_INFINITY
  const value = limit.bind(options, environment)
  if (value === null) throw invalid('Invalid null value of limit')
  if (value === UNSET) return Number.POSITIVE_INFINITY
  const rows = value.length === 4 ? value.readInt32BE(0) : 0
  if (rows <= 0) throw invalid('LIMIT must be strictly positive')
  return rows === 0x7fffffff ? Number.POSITIVE_INFINITY : rows
}
