/**
 * SELECT, compiled: what is read, and how its rows become those of the result. select-compile.ts makes it from the text.
 * Source: CQL 3.4.7 "SELECT"; order of checks, pages and messages are those of Cassandra 5.0.
 * Always: one read by key is answered in the turn in which storage answers it.
 */
import { ByteWriter } from '../base/bytes.ts'
import { invalid } from '../base/errors.ts'
import type { TableSchema } from '../schema/table.ts'
import { checkPartitionCount, checkReadConsistency } from './consistency.ts'
import { decodePagingState, encodePagingState, type PagingState } from './paging.ts'
import type { Restrictions } from './restrictions.ts'
import type { ColumnSpec, ResultMetadata, RowsResult } from './result.ts'
import type { RowEncoder } from './select-encoder.ts'
import type { FilterColumns } from './select-filter.ts'
import type { SelectKeys } from './select-keys.ts'
import { checkTombstones, unpagedTooLarge } from './select-limits.ts'
import { ColumnOutput } from './select-output.ts'
import { type RowOutput, Scan, type ScanEnd } from './select-scan.ts'
import { type CompiledStatement, type Environment, type MaybePromise, type QueryOptions, UNSET } from './statement.ts'
import type { Value } from './terms.ts'

/** The parts of a SELECT, all names looked up. */
export interface SelectParts {
  readonly table: TableSchema
  /** As written. */
  readonly text: string
  readonly variables: readonly ColumnSpec[]
  readonly partitionKeyIndexes: readonly number[]
  readonly metadata: ResultMetadata
  readonly restrictions: Restrictions
  readonly keys: SelectKeys
  readonly filterColumns: FilterColumns | null
  readonly encoder: RowEncoder
  readonly reversed: boolean
  readonly isDistinct: boolean
  readonly wantStatic: boolean
  readonly limit: Value | null
  readonly perPartitionLimit: Value | null
}

/** A writer that has grown beyond this is given up, so that one large result does not hold its memory for ever. */
const WRITER_BYTES_KEPT = 256 * 1024

const NO_BYTES = Buffer.alloc(0)

export class Select implements CompiledStatement {
  readonly variables: readonly ColumnSpec[]
  readonly partitionKeyIndexes: readonly number[]
  readonly resultMetadata: ResultMetadata
  readonly keyspace: string
  readonly table: string
  readonly #parts: SelectParts
  /** Rows are given by their static rows where a partition has no others. */
  readonly #staticCounts: boolean
  /** Serves the executions that are over before another can begin. */
  #writer = new ByteWriter(512)

  constructor(parts: SelectParts) {
    const { table, restrictions } = parts
    this.variables = parts.variables
    this.partitionKeyIndexes = parts.partitionKeyIndexes
    this.resultMetadata = parts.metadata
    this.keyspace = table.keyspace
    this.table = table.name
    this.#parts = parts
    this.#staticCounts = !restrictions.restrictsClustering && !restrictions.restrictsRegulars
  }

  execute(environment: Environment, options: QueryOptions): MaybePromise<RowsResult> {
    const { table, keys, filterColumns, restrictions, reversed, wantStatic, isDistinct } = this.#parts
    checkReadConsistency(options.consistency)
    const limit = boundLimit(this.#parts.limit, options, environment)
    const perPartitionLimit = isDistinct ? 1 : boundLimit(this.#parts.perPartitionLimit, options, environment)
    const targets = keys.targets(options, environment)
    const slices = isDistinct ? null : keys.slices(options, environment)
    const filter = restrictions.filter(options, environment)
    checkPartitionCount(options.consistency, targets.length)
    // A state without a page size goes unheeded, as in Cassandra.
    const isPaged = options.pageSize !== null
    const state = isPaged && options.pagingState !== null ? decodePagingState(options.pagingState) : null
    const remaining = state === null ? limit : state.remaining
    const { limits } = environment
    const out = this.#writer
    out.reset()
    const output = new ColumnOutput(this.#parts.encoder, out)
    const scan = new Scan(
      environment,
      {
        table,
        targets: slices !== null && slices.length === 0 ? [] : targets,
        slices,
        reversed,
        wantStatic,
        staticCounts: this.#staticCounts,
        filter,
        filterColumns,
        isDirect: filter === null && table.dropped.size === 0,
        wanted: Math.min(options.pageSize ?? Number.POSITIVE_INFINITY, remaining),
        perPartitionLimit,
        byteLimit: isPaged ? limits.pageBytesMax : limits.unpagedBytesMax,
        nowSeconds: options.nowSeconds ?? Math.floor(environment.wallMicros() / 1_000_000),
        consistency: options.consistency,
        state,
      },
      output,
    )
    const running = scan.run()
    if (running === undefined) {
      const result = this.#answer(scan, output, out, remaining, environment, options)
      if (out.buffer.length > WRITER_BYTES_KEPT) this.#writer = new ByteWriter(512)
      return result
    }
    this.#writer = new ByteWriter(512)
    return running.then(() => this.#answer(scan, output, out, remaining, environment, options))
  }

  #answer(
    scan: Scan,
    output: RowOutput,
    out: ByteWriter,
    remaining: number,
    environment: Environment,
    options: QueryOptions,
  ): RowsResult {
    const warnings: string[] = []
    if (scan.tombstones > 0) checkTombstones(scan, this.#parts.text, environment, options, warnings)
    let pagingState: Buffer | null = null
    if (options.pageSize === null) {
      if (scan.endedByBytes) throw unpagedTooLarge(environment, options)
    } else if (scan.isFull) pagingState = this.#pagingState(scan.last, remaining - output.count)
    const rowBytes = out.length === 0 ? NO_BYTES : out.copy()
    return {
      kind: 'rows',
      metadata: this.resultMetadata,
      rowCount: output.count,
      rowBytes,
      pagingState,
      ...(warnings.length === 0 ? {} : { warnings }),
    }
  }

  /** Null: there can be no more. */
  #pagingState(last: ScanEnd | null, remaining: number): Buffer | null {
    if (last === null || remaining <= 0) return null
    const isRange = this.#parts.restrictions.isKeyRange
    if (!isRange && last.isLastTarget && last.partitionDone) return null
    const { position, clustering, partitionDone, rowsGiven } = last
    return encodePagingState({ position, clustering, partitionDone, rowsGiven, remaining } satisfies PagingState)
  }
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
