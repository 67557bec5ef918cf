/**
 * The schema.cql of a snapshot: CQL that makes a table again, with its id, what was dropped of it, the types that it uses and its indexes. Source: the
 * files of Cassandra 5.0.6.
 */
import type { Schema } from '../../schema/keyspace.ts'
import { typesInOrder } from '../../schema/state.ts'
import { isView } from '../../schema/views.ts'
import { someType } from '../../types/names.ts'
import type { CqlType } from '../../types/type.ts'
import { indexText, tableDefinitionText, typeDefinitionText, viewDefinitionText } from './describe-text.ts'

/** '' when there is no such table. */
export function snapshotSchemaText(schema: Schema, tableId: string): string {
  const table = schema.tablesById.get(tableId)
  const keyspace = table && schema.keyspaces.get(table.keyspace)
  if (!table || !keyspace) return ''
  const used = new Set<string>()
  const use = (type: CqlType): void => {
    someType(type, (inner) => {
      if (inner.kind === 'udt') used.add(inner.name)
      return false
    })
  }
  for (const column of table.columns.values()) use(column.type)
  const types = typesInOrder(keyspace.types)
  // Each type comes after those that it is made of.
  for (const type of types.toReversed()) if (used.has(type.name)) for (const field of type.fieldTypes) use(field)
  const statements = [
    ...types.filter((type) => used.has(type.name)).map(typeDefinitionText),
    isView(table) ? viewDefinitionText(table, true) : tableDefinitionText(table, 'statement', true),
    ...Array.from(table.indexes.values(), (index) => indexText(table, index)),
  ]
  return statements.map((text) => `${ifNotExists(text)}\n`).join('')
}

function ifNotExists(statement: string): string {
  return statement.replace(/^CREATE (TYPE|TABLE|MATERIALIZED VIEW|INDEX|CUSTOM INDEX) /, 'CREATE $1 IF NOT EXISTS ')
}
