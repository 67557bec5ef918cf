/**
 * ORDER BY: the rows of each partition forwards or backwards, and those of several partitions sorted together.
 * Source: CQL 3.4.7 "ORDER BY"; order of checks and messages are those of Cassandra 5.0.
 */
import type { PartitionData, RowData } from '../../../storage/model/command.ts'
import { ByteReader, ByteWriter } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { decodeComponentTo } from '../../types/ordered.ts'
import type { SelectStatement } from '../ast.ts'
import { columnReceiver, compileTerm, type TermScope, type Value } from '../terms/terms.ts'
import type { Restrictions } from '../where/restrictions.ts'
import type { ResultRowWriter } from './select-output.ts'
import type { RowOutput } from './select-scan.ts'

export interface Ordering {
  /** Partitions are read backwards. */
  readonly reversed: boolean
  /** Rows of several partitions have to be sorted by these clustering columns; null: they come as they should. */
  readonly sortedBy: readonly ColumnSchema[] | null
}

/** ORDER BY column ANN OF vector. */
export interface NearestOrdering {
  readonly column: ColumnSchema
  readonly vector: Value
}

/** The columns of ORDER BY (or the one of ANN OF), before anything else is asked of them. Throws INVALID. */
export function orderingColumns(
  statement: SelectStatement,
  table: TableSchema,
  scope: TermScope,
): { readonly columns: ReadonlyMap<ColumnSchema, boolean>; readonly nearest: NearestOrdering | null } {
  const columns = new Map<ColumnSchema, boolean>()
  let nearest: NearestOrdering | null = null
  for (const ordering of statement.orderBy) {
    const receiver = columnReceiver(table, ordering.column)
    const column = table.columns.get(ordering.column)!
    if (ordering.kind === 'ann') nearest ??= { column, vector: compileTerm(ordering.vector, receiver, scope) }
    else columns.set(column, ordering.descending)
  }
  if (nearest !== null) checkAlone(statement)
  return { columns, nearest }
}

function checkAlone({ orderBy }: SelectStatement): void {
  if (orderBy.filter(({ kind }) => kind === 'ann').length > 1)
    throw invalid('Cannot specify more than one ANN ordering')
  if (orderBy.length > 1) throw invalid('ANN ordering does not support any other ordering')
  if (orderBy[0]!.descending) throw invalid('Descending ANN ordering is not supported')
}

export function compileOrdering(
  columns: ReadonlyMap<ColumnSchema, boolean>,
  table: TableSchema,
  restrictions: Restrictions,
): Ordering {
  if (columns.size === 0) return { reversed: false, sortedBy: null }
  if (restrictions.usesIndex) throw invalid('ORDER BY with 2ndary indexes is not supported, except for ANN queries.')
  if (restrictions.isKeyRange)
    throw invalid('ORDER BY is only supported when the partition key is restricted by an EQ or an IN.')
  return {
    reversed: isReversed(columns, table, restrictions),
    sortedBy: restrictions.hasKeyIn ? [...columns.keys()] : null,
  }
}

function isReversed(
  columns: ReadonlyMap<ColumnSchema, boolean>,
  table: TableSchema,
  restrictions: Restrictions,
): boolean {
  const directions: boolean[] = []
  let expected = 0
  for (const [column, descending] of columns) {
    if (column.kind !== 'clustering')
      throw invalid(
        `Order by is currently only supported on the clustered columns of the PRIMARY KEY, got ${column.name}`,
      )
    for (; expected !== column.position; expected++) {
      const skipped = table.clustering[expected]
      if (!skipped || !restrictions.isEqual(skipped))
        throw invalid(
          'Order by currently only supports the ordering of columns following their declared order in the PRIMARY KEY',
        )
    }
    expected += 1
    directions.push(descending !== column.reversed)
  }
  if (directions.some((direction) => direction !== directions[0])) throw invalid('Unsupported order by relation')
  return directions[0]!
}

interface SortedRow {
  /** The encoded components of the columns sorted by, one after another; empty for a static row. */
  readonly order: Buffer
  readonly start: number
  readonly end: number
}

/** Sorts rows of several partitions, which lie in a writer as they came, by clustering columns; equal ones stay as they came. */
export class RowSorter {
  readonly #clustering: readonly ColumnSchema[]
  readonly #ordering: Ordering
  readonly #limit: number
  readonly #rows: SortedRow[] = []
  readonly #scratch = new ByteWriter(64)

  constructor(table: TableSchema, ordering: Ordering, limit: number) {
    this.#clustering = table.clustering
    this.#ordering = ordering
    this.#limit = limit
  }

  /** Of rows added so far. */
  get count(): number {
    return this.#rows.length
  }

  /** What a row is sorted by; a copy. */
  orderOf(row: RowData | null): Buffer {
    if (row === null) return Buffer.alloc(0)
    const reader = new ByteReader(row.clustering)
    const parts: Buffer[] = []
    for (const column of this.#clustering) {
      const start = reader.position
      this.#scratch.reset()
      decodeComponentTo(column.type, column.reversed, reader, this.#scratch)
      if (this.#ordering.sortedBy!.includes(column)) parts.push(row.clustering.subarray(start, reader.position))
    }
    return Buffer.concat(parts)
  }

  /** A row of the result is unsorted[start, end). */
  add(order: Buffer, start: number, end: number): void {
    this.#rows.push({ order, start, end })
  }

  /** Copies the first rows in order; answers how many. */
  write(unsorted: ByteWriter, out: ByteWriter): number {
    const sign = this.#ordering.reversed ? -1 : 1
    this.#rows.sort((a, b) => sign * Buffer.compare(a.order, b.order))
    const kept = this.#rows.slice(0, this.#limit)
    for (const { start, end } of kept) out.slice(unsorted.buffer, start, end)
    return kept.length
  }
}

/** Rows of several partitions sorted by clustering columns; cut to a limit at the end. */
export class SortedOutput implements RowOutput {
  readonly #writer: ResultRowWriter
  readonly #out: ByteWriter
  readonly #sorter: RowSorter
  readonly #unsorted = new ByteWriter(1024)
  #written: number | null = null

  constructor(writer: ResultRowWriter, out: ByteWriter, sorter: RowSorter) {
    this.#writer = writer
    this.#out = out
    this.#sorter = sorter
  }

  get count(): number {
    return this.#written ?? this.#sorter.count
  }

  get bytes(): number {
    return this.#unsorted.length
  }

  partition(partition: PartitionData, nowSeconds: number): void {
    this.#writer.partition(partition, nowSeconds)
  }

  row(row: RowData | null): boolean {
    const start = this.#unsorted.length
    this.#writer.row(row, this.#unsorted)
    this.#sorter.add(this.#sorter.orderOf(row), start, this.#unsorted.length)
    return true
  }

  end(): void {
    this.#written = this.#sorter.write(this.#unsorted, this.#out)
  }
}
