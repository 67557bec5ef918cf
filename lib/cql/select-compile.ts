/** SELECT as parsed, to one that can be executed. Source: CQL 3.4.7 "SELECT"; order of checks and messages are those of Cassandra 5.0. */
import { invalid } from '../base/errors.ts'
import type { Schema } from '../schema/keyspace.ts'
import type { ColumnSchema, TableSchema } from '../schema/table.ts'
import { NATIVE } from '../types/names.ts'
import type { SelectStatement, Term } from './ast.ts'
import { tableOf } from './prepare.ts'
import { compileRestrictions } from './restrictions.ts'
import { resultMetadata } from './result-metadata.ts'
import { Select } from './select.ts'
import { RowEncoder } from './select-encoder.ts'
import { FilterColumns } from './select-filter.ts'
import { SelectKeys } from './select-keys.ts'
import { columnReceiver, compileTerm, type TermScope, type Value, type Variables } from './terms.ts'

/** `keyspace` is the request's or the connection's. */
export function compileSelect(
  statement: SelectStatement,
  variables: Variables,
  schema: Schema,
  keyspace: string | null,
): Select {
  const table = tableOf(statement.table, keyspace, schema)
  const scope = {
    schema,
    keyspace: table.keyspace,
    variables,
    partitionKey: table.partitionKey.map((column) => column.type),
  }
  const clauses =
    statement.clauses ??
    allColumns(table).map((column) => ({ selector: { kind: 'column', name: column.name } as const, alias: null }))
  const columns = clauses.map(({ selector }) => {
    if (selector.kind !== 'column') throw invalid('Selectors are not supported yet')
    columnReceiver(table, selector.name)
    return table.columns.get(selector.name)!
  })
  const restrictions = compileRestrictions({
    type: 'SELECT',
    table,
    where: statement.where,
    allowFiltering: statement.allowFiltering,
    onlyStatics: statement.clauses !== null && selectsOnlyStatics(columns),
    scope,
  })
  const staticCounts = !restrictions.restrictsClustering && !restrictions.restrictsRegulars
  const limits = {
    limit: compileLimit(statement.limit, '[limit]', table, scope),
    perPartitionLimit: compileLimit(statement.perPartitionLimit, '[per_partition_limit]', table, scope),
  }
  return new Select({
    table,
    text: '',
    variables: variables.specs(),
    partitionKeyIndexes: variables.partitionKeyIndexes(table.partitionKey.length),
    metadata: resultMetadata(
      columns.map((column, i) => ({
        keyspace: table.keyspace,
        table: table.name,
        name: clauses[i]!.alias ?? column.name,
        type: column.type,
      })),
    ),
    restrictions,
    keys: new SelectKeys(table, restrictions),
    filterColumns: restrictions.needsFilter ? new FilterColumns(table, restrictions.filterColumns) : null,
    encoder: new RowEncoder(
      table,
      columns.map((column) => ({ column, part: 'value' })),
    ),
    reversed: false,
    isDistinct: statement.distinct,
    wantStatic:
      table.statics.length > 0 &&
      (staticCounts || restrictions.restrictsStatics || columns.some(({ kind }) => kind === 'static')),
    ...limits,
  })
}

/** As `*` gives them: the key's columns, then all others by name. */
export function allColumns(table: TableSchema): ColumnSchema[] {
  const others = [...table.statics, ...table.regulars]
  others.sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))
  return [...table.partitionKey, ...table.clustering, ...others]
}

/** Static columns, and besides them only those of the partition key. */
function selectsOnlyStatics(columns: readonly ColumnSchema[]): boolean {
  return (
    columns.some(({ kind }) => kind === 'static') &&
    columns.every(({ kind }) => kind === 'static' || kind === 'partition_key')
  )
}

function compileLimit(term: Term | null, name: string, table: TableSchema, scope: TermScope): Value | null {
  return term && compileTerm(term, { keyspace: table.keyspace, table: table.name, name, type: NATIVE.int }, scope)
}
