/** SELECT as parsed, to one that can be executed. Source: CQL 3.4.7 "SELECT"; order of checks and messages are those of Cassandra 5.0. */
import { invalid } from '../../base/errors.ts'
import { isStaticCompact, kindInStorage } from '../../schema/compact.ts'
import type { Schema } from '../../schema/keyspace.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { isMultiCell, NATIVE } from '../../types/names.ts'
import type { SelectClause, SelectStatement, Term } from '../ast.ts'
import { tableOf } from '../prepare.ts'
import { resultMetadata } from '../result-metadata.ts'
import { compileTerm, type TermScope, type Value, type Variables } from '../terms/terms.ts'
import { TableIndexPlans } from '../where/index-plan.ts'
import { checkRangeFiltering, compileRestrictions, type Restrictions } from '../where/restrictions.ts'
import { Select, type Selection } from './select.ts'
import { compileGrouping, type Grouping } from './select-groups.ts'
import { Nearest } from './select-nearest.ts'
import { compileOrdering, orderingColumns } from './select-ordering.ts'
import { type Selectable, SelectorCompiler } from './selectors.ts'
import { asResult, type Expression, ItemExpression, JsonExpression } from './selectors-expressions.ts'

/** `keyspace` is the request's or the connection's. Throws INVALID. */
export function compileSelect(
  statement: SelectStatement,
  variables: Variables,
  schema: Schema,
  keyspace: string | null,
): Select {
  const table = tableOf(statement.table, keyspace, schema)
  const partitionKey = table.partitionKey.map((column) => column.type)
  const scope = { schema, keyspace: table.keyspace, variables, partitionKey }
  const selectors = new SelectorCompiler(table, scope)
  const clauses = statement.clauses ?? allClauses(table)
  const selectables = clauses.map(({ selector }) => selectors.prepare(selector))
  const { columns: orderedBy, nearest } = orderingColumns(statement, table, scope)
  const restrictions = compileRestrictions({
    type: 'SELECT',
    table,
    where: statement.where,
    allowFiltering: statement.allowFiltering,
    onlyStatics: statement.clauses !== null && selectsOnlyStatics(selectables),
    nearest: nearest?.column ?? null,
    scope,
  })
  const expressions = selectables.map((selectable) => selectable.compile(null))
  // Rows of several partitions are sorted by columns that Cassandra selects besides.
  const sortedBy = restrictions.hasKeyIn ? [...orderedBy.keys()] : []
  if (statement.distinct)
    checkDistinct(statement, table, [...selectors.items.map(({ column }) => column), ...sortedBy], restrictions)
  const grouping = compileGrouping(statement, table, restrictions, selectors)
  const names = clauses.map(({ alias }, i) => alias ?? selectables[i]!.text)
  const results = statement.json
    ? [{ name: '[json]', expression: new JsonExpression(names, expressions) }]
    : expressions.map((expression, i) => ({ name: names[i]!, expression: asResult(expression) }))
  const selection = selectionOf(
    table,
    selectors,
    results.map(({ expression }) => expression),
    grouping,
  )
  if (selection.kind === 'groups' && grouping === null && statement.perPartitionLimit !== null)
    throw invalid('PER PARTITION LIMIT is not allowed with aggregate queries.')
  if (nearest !== null) {
    if (selection.kind === 'groups') throw invalid('Top-K queries can not be run with aggregation')
    if (statement.perPartitionLimit !== null) throw invalid('Top-K queries do not support per-partition limits')
  }
  const ordering = compileOrdering(orderedBy, table, restrictions)
  checkRangeFiltering(restrictions, statement.allowFiltering)
  const limit = compileLimit(statement.limit, '[limit]', table, scope)
  const perPartitionLimit = compileLimit(statement.perPartitionLimit, '[per_partition_limit]', table, scope)
  return new Select({
    table,
    variables: variables.specs(),
    partitionKeyIndexes: variables.partitionKeyIndexes(table.partitionKey.length),
    metadata: resultMetadata(
      results.map(({ name, expression: { type } }) => ({ keyspace: table.keyspace, table: table.name, name, type })),
    ),
    restrictions,
    selection,
    ordering,
    nearest:
      nearest &&
      new Nearest(table, nearest.column, nearest.vector, new TableIndexPlans(table).vectorIndex(nearest.column)),
    isDistinct: statement.distinct,
    limit,
    perPartitionLimit,
  })
}

/** As `*` gives them: the key's columns, then static, then other columns by name. */
export function allColumns(table: TableSchema): ColumnSchema[] {
  return [...table.partitionKey, ...table.clustering, ...inSelectOrder(table.statics), ...inSelectOrder(table.regulars)]
}

function allClauses(table: TableSchema): SelectClause[] {
  return allColumns(table).map(({ name }) => ({ selector: { kind: 'column', name }, alias: null }))
}

/**
 * Columns of one kind in Cassandra's order, for drivers that go by position: by name, where names that begin with a byte above 0x7f come first;
 * columns of one cell and of many are sorted apart and then merged by their bytes.
 */
function inSelectOrder(columns: readonly ColumnSchema[]): ColumnSchema[] {
  const sorted = columns
    .map((column) => ({ column, name: Buffer.from(column.name) }))
    .sort((a, b) => Number(isAscii(a.name)) - Number(isAscii(b.name)) || Buffer.compare(a.name, b.name))
  const simple = sorted.filter(({ column }) => !isMultiCell(column.type))
  const complex = sorted.filter(({ column }) => isMultiCell(column.type))
  const merged: ColumnSchema[] = []
  while (simple.length > 0 || complex.length > 0) {
    const takesSimple =
      complex.length === 0 || (simple.length > 0 && Buffer.compare(simple[0]!.name, complex[0]!.name) < 0)
    merged.push((takesSimple ? simple : complex).shift()!.column)
  }
  return merged
}

function isAscii(name: Buffer): boolean {
  return name[0]! < 0x80
}

/** Static columns, and besides them only those of the partition key. */
function selectsOnlyStatics(selectables: readonly Selectable[]): boolean {
  const columns = selectables.flatMap((selectable) => selectable.columns)
  return columns.some(isStatic) && columns.every((column) => isStatic(column) || column.kind === 'partition_key')
}

function isStatic({ kind }: ColumnSchema): boolean {
  return kind === 'static'
}

function selectionOf(
  table: TableSchema,
  selectors: SelectorCompiler,
  expressions: readonly Expression[],
  grouping: Grouping | null,
): Selection {
  const { items, aggregates } = selectors
  if (aggregates.length > 0 || grouping !== null)
    return { kind: 'groups', table, items, expressions, aggregates, grouping }
  const plain = expressions.filter((expression) => expression instanceof ItemExpression)
  if (plain.length === expressions.length) return { kind: 'columns', items: plain.map(({ item }) => items[item]!) }
  return { kind: 'expressions', items, expressions }
}

function checkDistinct(
  statement: SelectStatement,
  table: TableSchema,
  columns: readonly ColumnSchema[],
  restrictions: Restrictions,
): void {
  if (statement.perPartitionLimit !== null)
    throw invalid('PER PARTITION LIMIT is not allowed with SELECT DISTINCT queries')
  const restrictsRegulars = restrictions.restrictsRegulars && !isStaticCompact(table)
  if (restrictions.restrictsClustering || restrictsRegulars || statement.orderBy[0]?.kind === 'ann')
    throw invalid('SELECT DISTINCT with WHERE clause only supports restriction by partition key and/or static columns.')
  for (const column of columns)
    if (column.kind !== 'partition_key' && kindInStorage(table, column.kind) !== 'static')
      throw invalid(
        `SELECT DISTINCT queries must only request partition key columns and/or static columns (not ${column.name})`,
      )
  if (!restrictions.isKeyRange) return
  for (const column of table.partitionKey)
    if (!columns.includes(column))
      throw invalid(`SELECT DISTINCT queries must request all the partition key columns (missing ${column.name})`)
}

function compileLimit(term: Term | null, name: string, table: TableSchema, scope: TermScope): Value | null {
  return term && compileTerm(term, { keyspace: table.keyspace, table: table.name, name, type: NATIVE.int }, scope)
}
