/**
 * CREATE, ALTER and DROP MATERIALIZED VIEW as pure changes: a view is a table among the others of its keyspace that says what it is of.
 * Source: CQL 3.4.7; checks, their order and messages are those of Cassandra 5.0.6.
 */
import { invalid, RequestError } from '../base/errors.ts'
import { typeToClassName } from '../types/class-name.ts'
import { isCollection, isMultiCell } from '../types/names.ts'
import { buildTable, rebuildTable } from './build.ts'
import { changed, checkModifiable, keyspaceOf, type Outcome, unchanged } from './changes.ts'
import { kindInStorage } from './compact.ts'
import { isCounterType, referencesDuration, validateTable } from './create-table.ts'
import { hashMapOrder, identifierHash } from './java.ts'
import type { Schema } from './keyspace.ts'
import { checkReadable, givenTableId, tableOptions } from './options.ts'
import { intProperty, type PropertyMap } from './properties.ts'
import { tableRecord } from './records.ts'
import { isFlattened, resolutionOf, validateResolution } from './resolution.ts'
import type { ColumnSchema, TableSchema, ViewCondition } from './table.ts'
import { isView } from './views.ts'

export interface NewView {
  readonly keyspace: string
  readonly name: string
  readonly ifNotExists: boolean
  readonly base: string
  /** Throws where a selector is no column of the table; null: all columns. */
  selected(base: TableSchema): readonly string[] | null
  readonly partitionKey: readonly string[]
  readonly clustering: readonly string[]
  readonly clusteringOrder: readonly { readonly column: string; readonly descending: boolean }[]
  /** Throws where the WHERE clause cannot be one. */
  where(base: TableSchema): ViewWhere
  readonly properties: PropertyMap
}

export interface ViewWhere {
  readonly conditions: readonly ViewCondition[]
  /** Columns that are restricted by more than IS NOT NULL, in the order of the text. */
  readonly compared: readonly string[]
}

const DISABLED = 'Materialized views are disabled. Enable in cassandra.yaml to use.'
const EXPERIMENTAL = 'Materialized views are experimental and are not recommended for production use.'
const TOO_EARLY =
  'since this value is used to TTL undelivered updates. Setting gc_grace_seconds too low might cause undelivered updates to expire before being replayed.'
const EXPIRES_WITH_BASE =
  'Data in a materialized view always expire at the same time than the corresponding data in the parent table.'

export function createView(
  schema: Schema,
  definition: NewView,
  id: string,
  isEnabled: boolean,
  warnings: string[],
): Outcome {
  const { name, properties } = definition
  checkModifiable(definition.keyspace, `all tables in ${definition.keyspace}`, 'CREATE')
  checkReadable(properties)
  if (!isEnabled) throw invalid(DISABLED)
  const keyspace = keyspaceOf(schema, definition.keyspace)
  const base = keyspace.tables.get(definition.base)
  if (!base || isView(base)) throw invalid(`Base table '${definition.base}' doesn't exist`)
  const existing = keyspace.tables.get(name)
  if (existing && !isView(existing))
    throw invalid(`Cannot create materialized view '${name}' - a table with the same name already exists`)
  if (existing) {
    if (!definition.ifNotExists)
      throw new RequestError(
        'ALREADY_EXISTS',
        `Cannot add already existing table "${name}" to keyspace "${keyspace.name}"`,
        { keyspace: keyspace.name, name },
      )
    warnings.push(EXPERIMENTAL)
    return unchanged(schema)
  }
  if (base.isCounter) throw invalid('Materialized views are not supported on counter tables')
  if (resolutionOf(base.options) === 'vclock' || isFlattened(base.options))
    throw invalid("Materialized views are not supported on tables that have, or once had, resolution = 'vclock'")
  if (base.options.gcGraceSeconds === 0)
    throw invalid(
      `Cannot create materialized view '${name}' for base table '${base.name}' with gc_grace_seconds of 0, ${TOO_EARLY}`,
    )
  const named = definition.selected(base)
  const selected = new Set(named ?? base.columns.keys())
  for (const column of hashMapOrder(selected, identifierHash))
    if (kindInStorage(base, base.columns.get(column)!.kind) === 'static')
      throw invalid(`Cannot include static column '${column}' in materialized view '${name}'`)
  const key = checkKey(definition, base, selected)
  const { conditions, compared } = definition.where(base)
  checkConditions(base, key, conditions, compared)
  const options = tableOptions(properties, null)
  if (intProperty(properties, 'default_time_to_live', 0) !== 0)
    throw invalid(`Cannot set default_time_to_live for a materialized view. ${EXPIRES_WITH_BASE}`)
  const view = buildTable({
    id: givenTableId(properties) ?? id,
    keyspace: keyspace.name,
    name,
    columns: viewColumns(definition, base, selected),
    nextColumnId: base.nextColumnId,
    options,
    view: { baseId: base.id, baseName: base.name, includesAll: named === null, conditions },
  })
  validateTable(view)
  validateResolution(view, null, properties)
  warnings.push(EXPERIMENTAL)
  return changed(schema, [tableRecord(view)], {
    change: 'CREATED',
    target: 'TABLE',
    keyspace: keyspace.name,
    name,
  })
}

/** The names of the view's key. */
function checkKey(definition: NewView, base: TableSchema, selected: ReadonlySet<string>): Set<string> {
  const { name, clustering, clusteringOrder } = definition
  const key = new Set<string>()
  for (const column of [...definition.partitionKey, ...clustering]) {
    const type = base.columns.get(column)?.type
    if (type === undefined || !selected.has(column))
      throw invalid(`Unknown column '${column}' referenced in PRIMARY KEY for materialized view '${name}'`)
    if (key.has(column))
      throw invalid(`Duplicate column '${column}' in PRIMARY KEY clause for materialized view '${name}'`)
    key.add(column)
    if (isMultiCell(type))
      throw invalid(
        `Invalid non-frozen ${isCollection(type) ? 'collection' : 'user-defined'} type '${typeToClassName(type)}' ` +
          `for PRIMARY KEY column '${column}'`,
      )
    if (isCounterType(type)) throw invalid(`counter type is not supported for PRIMARY KEY column '${column}'`)
    if (referencesDuration(type)) throw invalid(`duration type is not supported for PRIMARY KEY column '${column}'`)
  }
  const ordered = clusteringOrder.map(({ column }) => column)
  if (
    ordered.length > 0 &&
    (ordered.length !== clustering.length || ordered.some((column, i) => column !== clustering[i]))
  )
    throw invalid('Clustering key columns must exactly match columns in CLUSTERING ORDER BY directive')
  const baseKey = [...base.partitionKey, ...base.clustering].map((column) => column.name)
  if (base.compact !== null && base.compact.clustering !== null) baseKey.push(base.compact.clustering)
  const missing = baseKey.filter((column) => !key.has(column))
  if (missing.length > 0)
    throw invalid(
      `Cannot create materialized view '${name}' without primary key columns ${missing.join(', ')} from base table '${base.name}'`,
    )
  const others = hashMapOrder(key, identifierHash).filter((column) => !baseKey.includes(column))
  if (others.length > 1)
    throw invalid(
      `Cannot include more than one non-primary key column in materialized view primary key (got ${others.join(', ')})`,
    )
  return key
}

function checkConditions(
  base: TableSchema,
  key: ReadonlySet<string>,
  conditions: readonly ViewCondition[],
  compared: readonly string[],
): void {
  const restricted = new Set(conditions.flatMap(({ columns }) => columns))
  const free = hashMapOrder(key, identifierHash).filter((column) => !restricted.has(column))
  if (free.length > 0)
    throw invalid(`Primary key columns ${free.join(', ')} must be restricted with 'IS NOT NULL' or otherwise`)
  const wrong = new Set(compared.filter((column) => base.columns.get(column)!.id >= 0))
  if (wrong.size > 0)
    throw invalid(
      `Non-primary key columns can only be restricted with 'IS NOT NULL' (got: ${[...wrong].join(', ')} restricted illegally)`,
    )
}

function viewColumns(definition: NewView, base: TableSchema, selected: ReadonlySet<string>): ColumnSchema[] {
  const { partitionKey, clustering, clusteringOrder } = definition
  const columns: ColumnSchema[] = []
  for (const name of new Set([...partitionKey, ...clustering, ...selected])) {
    const own = base.columns.get(name)!
    const plain = { ...own, droppedAtMicros: null, reversed: false }
    const inPartitionKey = partitionKey.indexOf(name)
    const inClustering = clustering.indexOf(name)
    if (inPartitionKey >= 0) columns.push({ ...plain, id: -1, kind: 'partition_key', position: inPartitionKey })
    else if (inClustering >= 0) {
      const reversed = clusteringOrder.find(({ column }) => column === name)?.descending ?? own.reversed
      columns.push({ ...plain, id: -1, kind: 'clustering', position: inClustering, reversed })
    } else columns.push(plain)
  }
  return columns
}

export function alterView(
  schema: Schema,
  keyspaceName: string,
  name: string,
  ifExists: boolean,
  properties: PropertyMap,
): Outcome {
  checkModifiable(keyspaceName, `table ${keyspaceName}.${name}`, 'ALTER')
  checkReadable(properties)
  const view = schema.keyspaces.get(keyspaceName)?.tables.get(name)
  if (!view || !isView(view)) {
    if (ifExists) return unchanged(schema)
    throw invalid(`Materialized view '${keyspaceName}.${name}' doesn't exist`)
  }
  const options = tableOptions(properties, view.options)
  if (options.gcGraceSeconds === 0)
    throw invalid(`Cannot alter gc_grace_seconds of a materialized view to 0, ${TOO_EARLY}`)
  if (options.defaultTimeToLive > 0)
    throw invalid(
      `Forbidden default_time_to_live detected for a materialized view. ${EXPIRES_WITH_BASE} ` +
        'default_time_to_live must be set to zero, see CASSANDRA-12868 for more information',
    )
  const altered = rebuildTable(view, { options })
  validateResolution(altered, view, properties)
  const record = tableRecord(altered)
  if (JSON.stringify(record) === JSON.stringify(tableRecord(view))) return unchanged(schema)
  return changed(schema, [record], { change: 'UPDATED', target: 'TABLE', keyspace: keyspaceName, name })
}

export function dropView(schema: Schema, keyspaceName: string, name: string, ifExists: boolean): Outcome {
  checkModifiable(keyspaceName, `all tables in ${keyspaceName}`, 'DROP')
  const view = schema.keyspaces.get(keyspaceName)?.tables.get(name)
  if (!view || !isView(view)) {
    if (ifExists) return unchanged(schema)
    throw invalid(`Materialized view '${keyspaceName}.${name}' doesn't exist`)
  }
  const change = { change: 'DROPPED', target: 'TABLE', keyspace: keyspaceName, name } as const
  return changed(schema, [{ kind: 'drop_table', keyspace: keyspaceName, name }], change)
}

/** What ALTER of a base table makes of its views. Throws INVALID where they forbid it. */
export function alteredViews(before: TableSchema, after: TableSchema, views: readonly TableSchema[]): TableSchema[] {
  if (views.length === 0) return []
  if (after.options.gcGraceSeconds === 0)
    throw invalid(`Cannot alter gc_grace_seconds of the base table of a materialized view to 0, ${TOO_EARLY}`)
  const altered: TableSchema[] = []
  for (const table of views) {
    if (!isView(table)) continue
    const { view } = table
    const renamed = new Map<string, string>()
    for (const column of [...before.partitionKey, ...before.clustering]) {
      const keys = column.kind === 'partition_key' ? after.partitionKey : after.clustering
      const now = keys[column.position]!.name
      if (now !== column.name) renamed.set(column.name, now)
    }
    const added = view.includesAll ? after.regulars.filter(({ id }) => before.columnsById[id] === undefined) : []
    if (renamed.size === 0 && added.length === 0) continue
    const columns = [...table.columns.values()].map((column) => {
      const name = renamed.get(column.name)
      return name === undefined ? column : { ...column, name }
    })
    const conditions = view.conditions.map((condition) => ({
      ...condition,
      columns: condition.columns.map((name) => renamed.get(name) ?? name),
    }))
    altered.push(
      rebuildTable(table, {
        columns: [...columns, ...added.map((column) => ({ ...column, droppedAtMicros: null }))],
        nextColumnId: Math.max(table.nextColumnId, after.nextColumnId),
        view: { ...view, conditions },
      }),
    )
  }
  return altered
}

export function refuseDroppedOfBase(table: TableSchema, name: string, views: readonly TableSchema[]): void {
  if (views.length > 0) throw invalid(`Cannot drop column ${name} on base table ${table.name} with materialized views`)
}
