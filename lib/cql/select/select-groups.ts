/**
 * Aggregates and GROUP BY: rows that follow each other with the same key make one result row.
 * Source: CQL 3.4.7 "GROUP BY", "Aggregates"; order of checks and messages are those of Cassandra 5.0.
 */
import type { PartitionData, RowData } from '../../../storage/model/command.ts'
import { ByteReader, ByteWriter } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { decodeComponentTo } from '../../types/ordered.ts'
import type { SelectStatement } from '../ast.ts'
import type { AggregateState } from '../functions/function.ts'
import type { Environment, QueryOptions } from '../statement.ts'
import type { Restrictions } from '../where/restrictions.ts'
import type { OutputItem } from './select-encoder.ts'
import type { RowSorter } from './select-ordering.ts'
import { expressionRow, writeExpressions } from './select-output.ts'
import type { RowOutput } from './select-scan.ts'
import type { RowValues } from './select-values.ts'
import type { SelectorCompiler } from './selectors.ts'
import type { AggregateExpression, Expression, ExpressionRow } from './selectors-expressions.ts'

/** Rows of a group agree in the partition key and these. */
export interface Grouping {
  /** The first clustering columns. */
  readonly clusteringCount: number
  /** Of the clustering column after these; null: none. */
  readonly computed: Expression | null
}

/** Throws INVALID. */
export function compileGrouping(
  statement: SelectStatement,
  table: TableSchema,
  restrictions: Restrictions,
  selectors: SelectorCompiler,
): Grouping | null {
  if (statement.groupBy.length === 0) return null
  const keyColumns = [...table.partitionKey, ...table.clustering]
  let next = 0
  let computed: Expression | null = null
  for (const selector of statement.groupBy) {
    const selectable = selectors.prepare(selector)
    let column: ColumnSchema
    if (selector.kind === 'column') {
      column = table.columns.get(selector.name)!
      if (column.kind !== 'partition_key' && column.kind !== 'clustering')
        throw invalid(`Group by is currently only supported on the columns of the PRIMARY KEY, got ${column.name}`)
      if (computed !== null) throw invalid('Functions are only supported on the last element of the GROUP BY clause')
    } else {
      computed = selectable.compile(null)
      if (computed.isAggregate) throw invalid('Aggregate functions are not supported within the GROUP BY clause')
      const columns = [...new Set(selectable.columns)]
      if (columns.length === 0) throw invalid('GROUP BY functions must have one clustering column name as parameter')
      if (columns.length > 1)
        throw invalid(
          `GROUP BY functions accept only one clustering column as parameter, got: ${columns.map(({ name }) => name).join(',')}`,
        )
      column = columns[0]!
      if (column.kind !== 'clustering')
        throw invalid(`Group by functions are only supported on clustering columns, got ${column.name}`)
    }
    for (;;) {
      const keyColumn = keyColumns[next++]
      if (keyColumn === undefined) throw notInOrder()
      if (keyColumn === column) break
      if (!restrictions.isEqual(keyColumn)) throw notInOrder()
    }
  }
  if (keyColumns[next]?.kind === 'partition_key')
    throw invalid('Group by is not supported on only a part of the partition key')
  const clusteringCount = next - table.partitionKey.length
  if (clusteringCount > 0 && statement.distinct)
    throw invalid('Grouping on clustering columns is not allowed for SELECT DISTINCT queries')
  return { clusteringCount: computed === null ? clusteringCount : clusteringCount - 1, computed }
}

function notInOrder(): Error {
  return invalid('Group by currently only support groups of columns following their declared order in the PRIMARY KEY')
}

export interface GroupParts {
  readonly table: TableSchema
  readonly items: readonly OutputItem[]
  readonly expressions: readonly Expression[]
  readonly aggregates: readonly AggregateExpression[]
  /** Null: all rows are one group, which is there even without rows. */
  readonly grouping: Grouping | null
}

export interface GroupLimits {
  readonly wanted: number
  readonly perPartitionLimit: number
  /** The page before ended in this partition, of which so many groups were given. */
  readonly before: { readonly position: Buffer; readonly groups: number } | null
  /** Sorts and cuts the groups at the end; null: they come as they should. */
  readonly sorter: RowSorter | null
}

export class GroupOutput implements RowOutput {
  count = 0
  /** Groups given of the partition of the row that was taken last. */
  groupsOfPartition: number
  readonly #parts: GroupParts
  readonly #limits: GroupLimits
  readonly #out: ByteWriter
  readonly #values: RowValues
  readonly #options: QueryOptions
  readonly #environment: Environment
  /** The group that is open: its aggregates, the values of its first row, and what all its rows agree in. */
  #states: AggregateState[] = []
  #first: readonly (Buffer | null)[] | null = null
  #position: Buffer | null = null
  #prefix: Buffer | null = null
  #computed: Buffer | null = null
  #row: ExpressionRow
  #current: Buffer | null = null
  /** What the open group is sorted by. */
  #order: Buffer | null = null
  /** Where groups are written: with a sorter not the result itself. */
  readonly #written: ByteWriter
  /** The partition has given all groups that it may. */
  #skipsPartition = false
  readonly #scratch = new ByteWriter(64)

  /** `values`: of the statement, for no execution waits while it looks at a row. */
  constructor(
    parts: GroupParts,
    values: RowValues,
    limits: GroupLimits,
    out: ByteWriter,
    options: QueryOptions,
    environment: Environment,
  ) {
    this.#parts = parts
    this.#limits = limits
    this.#out = out
    this.#written = limits.sorter === null ? out : new ByteWriter(1024)
    this.#options = options
    this.#environment = environment
    this.groupsOfPartition = limits.before?.groups ?? 0
    this.#position = limits.before?.position ?? null
    this.#values = values
    this.#row = this.#open()
  }

  get bytes(): number {
    return this.#written.length
  }

  #open(): ExpressionRow {
    this.#first = null
    this.#states = this.#parts.aggregates.map((aggregate) => aggregate.called.create())
    this.#row = expressionRow(this.#values.values, this.#states, this.#options, this.#environment)
    return this.#row
  }

  partition(partition: PartitionData, nowSeconds: number): void {
    this.#values.partition(partition, nowSeconds)
    this.#current = partition.position
  }

  row(row: RowData | null): boolean {
    const { grouping, aggregates, items } = this.#parts
    if (items.length > 0) this.#values.load(row)
    if (grouping !== null) {
      const place = this.#placeOf(row, grouping)
      if (place !== 'taken') return place === 'skipped'
    }
    if (this.#first === null) {
      this.#first = this.#values.copy()
      if (this.#limits.sorter !== null) this.#order = this.#limits.sorter.orderOf(row)
    }
    for (const aggregate of aggregates) aggregate.add(this.#row)
    return true
  }

  /** Begins a new group where the row does not belong to the open one, unless enough of them were given. */
  #placeOf(row: RowData | null, grouping: Grouping): 'taken' | 'skipped' | 'beyond' {
    const samePartition = this.#position?.equals(this.#current!) ?? false
    if (samePartition && this.#skipsPartition) return 'skipped'
    const prefix = row === null ? null : this.#prefixOf(row.clustering, grouping.clusteringCount)
    const computed = grouping.computed === null ? null : grouping.computed.evaluate(this.#row)
    if (this.#first !== null) {
      if (samePartition && same(prefix, this.#prefix) && same(computed, this.#computed)) return 'taken'
      this.#close()
      if (this.count >= this.#limits.wanted) return 'beyond'
    }
    if (!samePartition) {
      this.#position = Buffer.from(this.#current!)
      this.groupsOfPartition = 0
    }
    this.#skipsPartition = this.groupsOfPartition >= this.#limits.perPartitionLimit
    if (this.#skipsPartition) return 'skipped'
    this.#prefix = prefix && Buffer.from(prefix)
    this.#computed = computed && Buffer.from(computed)
    return 'taken'
  }

  /** The bytes of the first columns. */
  #prefixOf(clustering: Buffer, count: number): Buffer {
    const reader = new ByteReader(clustering)
    for (let i = 0; i < count; i++) {
      const column = this.#parts.table.clustering[i]!
      this.#scratch.reset()
      decodeComponentTo(column.type, column.reversed, reader, this.#scratch)
    }
    return clustering.subarray(0, reader.position)
  }

  #close(): void {
    const { expressions, items } = this.#parts
    const values = this.#first ?? new Array<null>(items.length).fill(null)
    const start = this.#written.length
    writeExpressions(expressions, { ...this.#row, values }, this.#written)
    this.#limits.sorter?.add(this.#order ?? Buffer.alloc(0), start, this.#written.length)
    this.count += 1
    this.groupsOfPartition += 1
    this.#open()
  }

  end(): void {
    if (this.#first !== null || this.#parts.grouping === null) this.#close()
    if (this.#limits.sorter !== null) this.count = this.#limits.sorter.write(this.#written, this.#out)
  }
}

function same(a: Buffer | null, b: Buffer | null): boolean {
  return a === null || b === null ? a === b : a.equals(b)
}
