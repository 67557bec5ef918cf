/** What is asked of materialized views in many places. */
import { quoteIdentifier } from '../types/identifier.ts'
import { compareNames } from './build.ts'
import type { KeyspaceSchema } from './keyspace.ts'
import type { TableSchema, ViewCondition, ViewSchema } from './table.ts'

/** The views of a table, by name. */
export function viewsOf(keyspace: KeyspaceSchema, table: string): (TableSchema & { readonly view: ViewSchema })[] {
  const views: (TableSchema & { readonly view: ViewSchema })[] = []
  for (const candidate of keyspace.tables.values())
    if (isView(candidate) && candidate.view.baseName === table) views.push(candidate)
  return views.sort((a, b) => compareNames(a.name, b.name))
}

export function isView(table: TableSchema): table is TableSchema & { readonly view: ViewSchema } {
  return table.view !== null
}

/** The WHERE clause as CQL. */
export function conditionsText(conditions: readonly ViewCondition[]): string {
  return conditions.map(conditionText).join(' AND ')
}

function conditionText({ columns, operator, text }: ViewCondition): string {
  const names = columns.map(quoteIdentifier)
  const left = columns.length === 1 ? names[0] : `(${names.join(', ')})`
  return `${left} ${operator} ${text}`
}
