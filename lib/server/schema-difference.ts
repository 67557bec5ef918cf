/**
 * What lies between two schemas, in the words in which clients are told of it. A statement changes more than it names: views follow their base
 * table, tables and types follow the types that they are made of, and a keyspace takes with it all that it holds; drivers that keep the schema in
 * memory learn of that from events only.
 * Source: the events that Cassandra 5.0.6 sends, and their order.
 */

import { compareNames } from '../schema/build.ts'
import type { KeyspaceSchema, Schema, SchemaChange } from '../schema/keyspace.ts'
import { type SchemaRecord, tableRecord, typeRecord } from '../schema/records.ts'
import type { TableSchema } from '../schema/table.ts'
import { someType } from '../types/names.ts'
import type { CqlType } from '../types/type.ts'

type Change = SchemaChange['change']

/** Of each keyspace: what is gone, what is new, what is altered; whatever is made of something comes after it, and goes before it. */
export function schemaDifference(before: Schema, after: Schema): SchemaChange[] {
  const changes: SchemaChange[] = []
  for (const keyspace of before.keyspaces.values()) {
    if (after.keyspaces.has(keyspace.name)) continue
    difference(keyspace, null, changes)
    changes.push({ change: 'DROPPED', target: 'KEYSPACE', keyspace: keyspace.name, name: '' })
  }
  for (const keyspace of after.keyspaces.values()) {
    const earlier = before.keyspaces.get(keyspace.name) ?? null
    if (earlier === keyspace) continue
    if (!earlier) changes.push({ change: 'CREATED', target: 'KEYSPACE', keyspace: keyspace.name, name: '' })
    difference(earlier, keyspace, changes)
  }
  return changes
}

function difference(before: KeyspaceSchema | null, after: KeyspaceSchema | null, changes: SchemaChange[]): void {
  const keyspace = (before ?? after)!.name
  const tables = tableChanges(before, after)
  const types = typeChanges(before, after)
  const tell = (target: 'TABLE' | 'TYPE', change: Change, names: readonly string[]): void => {
    for (const name of names) changes.push({ change, target, keyspace, name })
  }
  tell('TABLE', 'DROPPED', [...tables.views.DROPPED, ...tables.bases.DROPPED])
  tell('TYPE', 'DROPPED', types.DROPPED)
  tell('TYPE', 'CREATED', types.CREATED)
  tell('TABLE', 'CREATED', [...tables.bases.CREATED, ...tables.views.CREATED])
  if (before && after && isAltered(before, after))
    changes.push({ change: 'UPDATED', target: 'KEYSPACE', keyspace, name: '' })
  tell('TYPE', 'UPDATED', types.UPDATED)
  tell('TABLE', 'UPDATED', [...tables.bases.UPDATED, ...tables.views.UPDATED])
}

/** Types by name, also those of which only a type inside is altered. */
function typeChanges(before: KeyspaceSchema | null, after: KeyspaceSchema | null): Record<Change, string[]> {
  const found: Record<Change, string[]> = { DROPPED: [], CREATED: [], UPDATED: [...alteredTypes(before, after)] }
  for (const name of before?.types.keys() ?? []) if (!after?.types.has(name)) found.DROPPED.push(name)
  for (const name of after?.types.keys() ?? []) if (!before?.types.has(name)) found.CREATED.push(name)
  for (const names of Object.values(found)) names.sort(compareNames)
  return found
}

function alteredTypes(before: KeyspaceSchema | null, after: KeyspaceSchema | null): Set<string> {
  const altered = new Set<string>()
  if (!before || !after || before.types === after.types) return altered
  for (const [name, type] of after.types) {
    const known = before.types.get(name)
    if (known && known !== type && !isSame(typeRecord(known), typeRecord(type))) altered.add(name)
  }
  if (altered.size === 0) return altered
  for (const [name, type] of after.types)
    if (before.types.has(name) && type.fieldTypes.some((field) => uses(field, altered))) altered.add(name)
  return altered
}

/** A user type holds the types that it is made of, whole: those inside are seen at any depth. */
function uses(type: CqlType, names: ReadonlySet<string>): boolean {
  return someType(type, (inner) => inner.kind === 'udt' && names.has(inner.name))
}

function tableChanges(
  before: KeyspaceSchema | null,
  after: KeyspaceSchema | null,
): Record<'bases' | 'views', Record<Change, string[]>> {
  const found = {
    bases: { DROPPED: [], CREATED: [], UPDATED: [] } as Record<Change, string[]>,
    views: { DROPPED: [], CREATED: [], UPDATED: [] } as Record<Change, string[]>,
  }
  const tell = (change: Change, table: TableSchema) => found[table.view ? 'views' : 'bases'][change].push(table.name)
  const altered = alteredTypes(before, after)
  for (const table of before?.tables.values() ?? [])
    if (after?.tables.get(table.name)?.id !== table.id) tell('DROPPED', table)
  for (const table of after?.tables.values() ?? []) {
    const known = before?.tables.get(table.name)
    if (known === table) continue
    if (known?.id !== table.id) tell('CREATED', table)
    else if (!isSame(tableRecord(known), tableRecord(table)) || [...columnTypes(table)].some((t) => uses(t, altered)))
      tell('UPDATED', table)
  }
  return found
}

function* columnTypes(table: TableSchema): Generator<CqlType> {
  for (const column of table.columns.values()) yield column.type
}

function isAltered(before: KeyspaceSchema, after: KeyspaceSchema): boolean {
  if (before.durableWrites !== after.durableWrites) return true
  return JSON.stringify([...before.replication]) !== JSON.stringify([...after.replication])
}

function isSame(before: SchemaRecord, after: SchemaRecord): boolean {
  return JSON.stringify(before) === JSON.stringify(after)
}
