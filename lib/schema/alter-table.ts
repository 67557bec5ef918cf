/**
 * ALTER TABLE as a pure change: columns added, dropped and renamed, options. Source: CQL 3.4.7; checks and messages are those of
 * Cassandra 5.0.6.
 * Always: a dropped column's id is kept with its name, so that its cells on disk are known for what they are when it comes back.
 */
import { invalid } from '../base/errors.ts'
import { typeEquals, typeToCql } from '../types/names.ts'
import type { CqlType } from '../types/type.ts'
import { rebuildTable } from './build.ts'
import { changed, checkModifiable, type Outcome, tableText, unchanged } from './changes.ts'
import { hasHiddenColumn, isStaticCompact } from './compact.ts'
import { checkNestedCells, isCounterType, noTimeToLive, staticNeedsClustering, validateTable } from './create-table.ts'
import { refuseIndexed, warnOfIndexes } from './index-changes.ts'
import { hashMapOrder, identifierHash } from './java.ts'
import type { KeyspaceSchema, Schema } from './keyspace.ts'
import { checkReadable, tableOptions } from './options.ts'
import type { PropertyMap } from './properties.ts'
import { tableRecord } from './records.ts'
import { resolutionOf, validateResolution, withoutResolver } from './resolution.ts'
import type { ColumnSchema, DroppedColumn, TableSchema } from './table.ts'
import type { TypeReference } from './type-changes.ts'
import { expandUserTypes } from './type-text.ts'
import { alteredViews, refuseDroppedOfBase } from './view-changes.ts'
import { isView, viewsOf } from './views.ts'

export interface NewColumn {
  readonly name: string
  readonly type: TypeReference
  readonly isStatic: boolean
}

export type TableAlteration =
  | { readonly kind: 'add'; readonly ifNotExists: boolean; readonly columns: readonly NewColumn[] }
  | {
      readonly kind: 'drop'
      readonly ifExists: boolean
      readonly columns: readonly string[]
      /** One for each column. */
      readonly nextTimestampMicros: () => bigint
    }
  | {
      readonly kind: 'rename'
      readonly ifExists: boolean
      readonly renames: readonly { readonly from: string; readonly to: string }[]
    }
  | { readonly kind: 'options'; readonly properties: PropertyMap }
  /** What is never done any more: says why. */
  | { readonly kind: 'refused'; readonly message: string }

export function alterTable(
  schema: Schema,
  keyspaceName: string,
  name: string,
  ifExists: boolean,
  action: TableAlteration,
  warnings: string[],
): Outcome {
  checkModifiable(keyspaceName, `table ${keyspaceName}.${name}`, 'ALTER')
  if (action.kind === 'options') checkReadable(action.properties)
  const keyspace = schema.keyspaces.get(keyspaceName)
  const table = keyspace?.tables.get(name)
  if (!keyspace || !table) {
    if (ifExists) return unchanged(schema)
    throw invalid(`Table '${keyspaceName}.${name}' doesn't exist`)
  }
  if (isView(table)) throw invalid('Cannot use ALTER TABLE on a materialized view; use ALTER MATERIALIZED VIEW instead')
  const views = viewsOf(keyspace, name)
  const altered = alteration(keyspace, table, action, views)
  validateResolution(altered, table, action.kind === 'options' ? action.properties : null)
  if (views.length > 0 && resolutionOf(altered.options) === 'vclock')
    throw invalid(
      `Cannot set resolution = 'vclock' on a table with materialized views (${views.map((view) => view.name).join(', ')})`,
    )
  const records = alteredViews(table, altered, views).map(tableRecord)
  if (action.kind === 'add') warnOfIndexes(altered, warnings)
  const record = tableRecord(altered)
  if (JSON.stringify(record) === JSON.stringify(tableRecord(table))) return unchanged(schema)
  return changed(schema, [record, ...records], { change: 'UPDATED', target: 'TABLE', keyspace: keyspaceName, name })
}

function alteration(
  keyspace: KeyspaceSchema,
  table: TableSchema,
  action: TableAlteration,
  views: readonly TableSchema[],
): TableSchema {
  switch (action.kind) {
    case 'add':
      return addColumns(keyspace, table, action.columns, action.ifNotExists)
    case 'drop':
      return dropColumns(table, action.columns, action.ifExists, action.nextTimestampMicros, views)
    case 'rename':
      return renameColumns(table, action.renames)
    case 'options': {
      const options = tableOptions(action.properties, table.options)
      if (table.isCounter && options.defaultTimeToLive > 0) throw noTimeToLive()
      return rebuildTable(table, { options })
    }
    case 'refused':
      throw invalid(action.message)
  }
}

function addColumns(
  keyspace: KeyspaceSchema,
  table: TableSchema,
  added: readonly NewColumn[],
  ifNotExists: boolean,
): TableSchema {
  const columns = new Map(table.columns)
  let nextColumnId = table.nextColumnId
  for (const { name, type: reference, isStatic } of added) {
    const type = reference.resolve(keyspace)
    if (columns.has(name) || hasHiddenColumn(table, name)) {
      if (ifNotExists) continue
      throw invalid(`Column with name '${name}' already exists`)
    }
    if (table.compact !== null) throw invalid('Cannot add new column to a COMPACT STORAGE table')
    if (isStatic && table.clustering.length === 0) throw staticNeedsClustering()
    checkNestedCells(type, ` for column ${name}`)
    const before = table.dropped.get(name)
    if (before) checkComesBack(before, type, isStatic)
    columns.set(name, {
      name,
      id: before?.id ?? nextColumnId++,
      kind: isStatic ? 'static' : 'regular',
      position: -1,
      type,
      reversed: false,
      droppedAtMicros: before?.droppedAtMicros ?? null,
    })
  }
  const altered = rebuildTable(table, { columns: columns.values(), nextColumnId })
  validateTable(altered)
  return altered
}

/** A column may come back as what it was: its old cells are still on disk. */
function checkComesBack(before: DroppedColumn, type: CqlType, isStatic: boolean): void {
  const again = `Cannot re-add previously dropped column '${before.name}'`
  if (!readsBytesOf(expandUserTypes(type), before.type))
    throw invalid(`${again} of type ${typeToCql(type)}, incompatible with previous type ${typeToCql(before.type)}`)
  const kind = isStatic ? 'static' : 'regular'
  if (kind !== before.kind)
    throw invalid(
      `${again} of kind ${kind.toUpperCase()}, incompatible with previous kind ${before.kind.toUpperCase()}`,
    )
  if (isCounterType(type)) throw invalid(`Cannot re-add previously dropped counter column ${before.name}`)
}

/** Native types of variable length: blob reads the bytes of them all. */
const VARIABLE: ReadonlySet<string> = new Set(['ascii', 'blob', 'decimal', 'duration', 'inet', 'text', 'varint'])
/** Types that read the bytes of another one besides their own. */
const READS: ReadonlyMap<string, string> = new Map([
  ['text', 'ascii'],
  ['bigint', 'timestamp'],
  ['timestamp', 'bigint'],
  ['uuid', 'timeuuid'],
])

/** Can cells that were written as `before` be read as `type`? */
function readsBytesOf(type: CqlType, before: CqlType): boolean {
  if (typeEquals(type, before)) return true
  if (type.kind !== 'native' || before.kind !== 'native') return false
  return READS.get(type.name) === before.name || (type.name === 'blob' && VARIABLE.has(before.name))
}

function dropColumns(
  table: TableSchema,
  names: readonly string[],
  ifExists: boolean,
  nextTimestampMicros: () => bigint,
  views: readonly TableSchema[],
): TableSchema {
  const columns = new Map(table.columns)
  const dropped = new Map(table.dropped)
  let { options } = table
  for (const name of hashMapOrder(new Set(names), identifierHash)) {
    const column = table.columns.get(name)
    if (!column && !hasHiddenColumn(table, name)) {
      if (ifExists) continue
      throw invalid(`Column ${name} was not found in table '${tableText(table)}'`)
    }
    if (!column) throw refusesDrop(table, name)
    if (column.kind === 'partition_key' || column.kind === 'clustering')
      throw invalid(`Cannot drop PRIMARY KEY column ${name}`)
    if (column.type.kind === 'udt' && !column.type.frozen)
      throw invalid(`Cannot drop non-frozen column ${name} of user type ${typeToCql(column.type)}`)
    refuseIndexed(table, name, `Cannot drop column ${name}`)
    refuseDroppedOfBase(table, name, views)
    if (table.compact !== null && !isStaticCompact(table)) throw refusesDrop(table, name)
    columns.delete(name)
    options = withoutResolver(options, name)
    const type = expandUserTypes(column.type)
    dropped.set(name, { name, id: column.id, kind: column.kind, type, droppedAtMicros: nextTimestampMicros() })
  }
  return rebuildTable(table, { columns: columns.values(), dropped, options })
}

/** Cassandra, too, drops neither the value of a dense table nor a column that it hides, which it says by an internal error. */
function refusesDrop(table: TableSchema, name: string): Error {
  if (table.compact!.clustering === name) return invalid(`Cannot drop PRIMARY KEY column ${name}`)
  return invalid(`Cannot drop column ${name}: it is the compact value column of a COMPACT STORAGE table`)
}

function renameColumns(
  table: TableSchema,
  renames: readonly { readonly from: string; readonly to: string }[],
): TableSchema {
  const targets = new Map<string, string>()
  for (const { from, to } of renames) targets.set(from, to)
  const columns = new Map<string, ColumnSchema>(table.columns)
  for (const from of hashMapOrder(targets.keys(), identifierHash)) {
    const to = targets.get(from)!
    const column = table.columns.get(from)
    if (!column) throw invalid(`Undefined column name ${from} in table ${tableText(table)}`)
    if (column.kind === 'static' || column.kind === 'regular')
      throw invalid(`Cannot rename non PRIMARY KEY column ${from}`)
    if (table.columns.has(to) || columns.has(to) || hasHiddenColumn(table, to))
      throw invalid(
        `Cannot rename column ${from} to ${to} in table '${tableText(table)}'; another column with that name already exists`,
      )
    refuseIndexed(table, from, `Can't rename column ${from}`)
    columns.delete(from)
    columns.set(to, { ...column, name: to })
  }
  return rebuildTable(table, { columns: columns.values() })
}
