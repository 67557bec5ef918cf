/**
 * CREATE TABLE and DROP TABLE as pure changes. Source: CQL 3.4.7; checks, their order and messages are those of Cassandra 5.0.6.
 */
import { configError, invalid, RequestError } from '../base/errors.ts'
import { quoteIdentifier } from '../types/identifier.ts'
import { isCollection, isMultiCell, someType, typeToCql } from '../types/names.ts'
import type { CqlType, UserType } from '../types/type.ts'
import { buildTable, compareNames } from './build.ts'
import { changed, checkModifiable, keyspaceOf, type Outcome, unchanged } from './changes.ts'
import { type CompactStorage, compactStorage } from './compact.ts'
import type { Schema } from './keyspace.ts'
import { checkReadable, givenTableId, tableOptions } from './options.ts'
import type { PropertyMap } from './properties.ts'
import { tableRecord } from './records.ts'
import { validateResolution } from './resolution.ts'
import type { ColumnSchema, TableSchema } from './table.ts'
import type { TypeReference } from './type-changes.ts'
import { viewsOf } from './views.ts'

/** Longest name of which a directory's name can be made. */
const NAME_LENGTH_MAX = 222

export interface NewTable {
  readonly keyspace: string
  readonly name: string
  readonly ifNotExists: boolean
  /** No name twice. */
  readonly columns: readonly { readonly name: string; readonly type: TypeReference; readonly isStatic: boolean }[]
  readonly partitionKey: readonly string[]
  readonly clustering: readonly string[]
  /** No column twice. */
  readonly clusteringOrder: readonly { readonly column: string; readonly descending: boolean }[]
  readonly compactStorage: boolean
  readonly properties: PropertyMap
}

/** `id` is the new table's, unless the properties name one. */
export function createTable(schema: Schema, definition: NewTable, id: string): Outcome {
  const { name, properties } = definition
  checkModifiable(definition.keyspace, `all tables in ${definition.keyspace}`, 'CREATE')
  checkReadable(properties)
  const keyspace = keyspaceOf(schema, definition.keyspace)
  if (keyspace.tables.has(name)) {
    if (definition.ifNotExists) return unchanged(schema)
    throw new RequestError(
      'ALREADY_EXISTS',
      `Cannot add already existing table "${name}" to keyspace "${keyspace.name}"`,
      {
        keyspace: keyspace.name,
        name,
      },
    )
  }
  const options = tableOptions(properties, null)
  const types = new Map<string, CqlType>()
  for (const column of [...definition.columns].sort((a, b) => compareNames(a.name, b.name)))
    types.set(column.name, column.type.resolve(keyspace))
  for (const type of types.values()) checkNestedCells(type, '')
  checkPrimaryKey(definition, types)
  checkClusteringOrder(definition)
  const others = definition.columns.filter(
    (column) => !definition.partitionKey.includes(column.name) && !definition.clustering.includes(column.name),
  )
  let compact: CompactStorage | null = null
  if (definition.compactStorage) {
    const sorted = others.map(({ name }) => name).sort(compareNames)
    compact = compactStorage(
      definition,
      sorted.map((name) => ({ name, type: types.get(name)! })),
    )
  } else if (definition.clustering.length === 0 && definition.columns.some((column) => column.isStatic))
    throw staticNeedsClustering()
  const isCounter = definition.columns.some((column) => column.type.isCounter)
  if (isCounter && others.some((column) => !isCounterType(types.get(column.name)!)))
    throw invalid('Cannot mix counter and non counter columns in the same table')
  if (isCounter && options.defaultTimeToLive > 0) throw noTimeToLive()
  const ownId = givenTableId(properties) ?? id
  const sameId = schema.tablesById.get(ownId)
  if (sameId)
    throw new RequestError(
      'SERVER_ERROR',
      `java.lang.IllegalArgumentException: Multiple entries with same key: ` +
        `${ownId}=${keyspace.name}.${name} and ${ownId}=${sameId.keyspace}.${sameId.name}`,
    )
  const table = buildTable({
    id: ownId,
    keyspace: keyspace.name,
    name,
    columns: newColumns(definition, types),
    nextColumnId: others.length,
    isCounter,
    compact,
    options,
  })
  validateTable(table)
  validateResolution(table, null, properties)
  const change = { change: 'CREATED', target: 'TABLE', keyspace: keyspace.name, name } as const
  return changed(schema, [tableRecord(table)], change)
}

/** The columns in the order of the text, so that ids follow it. */
function newColumns(definition: NewTable, types: ReadonlyMap<string, CqlType>): ColumnSchema[] {
  let nextId = 0
  return definition.columns.map((column): ColumnSchema => {
    const base = { name: column.name, type: types.get(column.name)!, droppedAtMicros: null }
    const inPartitionKey = definition.partitionKey.indexOf(column.name)
    if (inPartitionKey >= 0)
      return { ...base, id: -1, kind: 'partition_key', position: inPartitionKey, reversed: false }
    const inClustering = definition.clustering.indexOf(column.name)
    if (inClustering >= 0) {
      const order = definition.clusteringOrder.find((entry) => entry.column === column.name)
      return {
        ...base,
        id: -1,
        kind: 'clustering',
        position: inClustering,
        reversed: column.type.isReversed || order?.descending === true,
      }
    }
    const kind = column.isStatic ? 'static' : 'regular'
    return { ...base, id: nextId++, kind, position: -1, reversed: false }
  })
}

export function isCounterType(type: CqlType): boolean {
  return type.kind === 'native' && type.name === 'counter'
}

export function staticNeedsClustering(): RequestError {
  return invalid('Static columns are only useful (and thus allowed) if the table has at least one clustering column')
}

export function noTimeToLive(): RequestError {
  return invalid('Cannot set default_time_to_live on a table with counters')
}

/** A user type with cells of its own holds no field that has cells too. `suffix` ends the message. */
export function checkNestedCells(type: CqlType, suffix: string): void {
  if (type.kind === 'udt' && !type.frozen && type.fieldTypes.some(isMultiCell))
    throw invalid(`Non-frozen UDTs with nested non-frozen collections are not supported${suffix}`)
}

function checkPrimaryKey(definition: NewTable, types: ReadonlyMap<string, CqlType>): void {
  const seen = new Set<string>()
  for (const name of [...definition.partitionKey, ...definition.clustering]) {
    const type = types.get(name)
    if (!type) throw invalid(`Unknown column '${name}' referenced in PRIMARY KEY for table '${definition.name}'`)
    if (seen.has(name)) throw invalid(`Duplicate column '${name}' in PRIMARY KEY clause for table '${definition.name}'`)
    seen.add(name)
    if (isCollection(type) && !type.frozen)
      throw invalid(`Invalid non-frozen collection type ${typeToCql(type)} for PRIMARY KEY column '${name}'`)
    if (isMultiCell(type))
      throw invalid(`Invalid non-frozen user-defined type ${userTypeText(type)} for PRIMARY KEY column '${name}'`)
    if (isCounterType(type)) throw invalid(`counter type is not supported for PRIMARY KEY column '${name}'`)
    if (referencesDuration(type)) throw invalid(`duration type is not supported for PRIMARY KEY column '${name}'`)
    if (definition.columns.some((column) => column.name === name && column.isStatic))
      throw invalid(`Static column '${name}' cannot be part of the PRIMARY KEY`)
  }
}

function userTypeText(type: CqlType): string {
  const { keyspace, name } = type as UserType
  return quoteIdentifier(`${keyspace}.${name}`)
}

/** Cassandra does not look into vectors here. */
export function referencesDuration(type: CqlType): boolean {
  if (type.kind === 'vector') return false
  return someType(type, (inner) => inner.kind === 'native' && inner.name === 'duration')
}

function checkClusteringOrder(definition: NewTable): void {
  const { clustering, clusteringOrder } = definition
  const others = clusteringOrder.filter(({ column }) => !clustering.includes(column)).map(({ column }) => column)
  if (others.length > 0)
    throw invalid(
      `Only clustering key columns can be defined in CLUSTERING ORDER directive: [${others.join(', ')}] ` +
        'are not clustering columns',
    )
  clusteringOrder.forEach(({ column }, index) => {
    const expected = clustering[index]!
    if (column === expected) return
    if (clusteringOrder.some((entry) => entry.column === expected))
      throw invalid(
        'The order of columns in the CLUSTERING ORDER directive must match that of the clustering columns ' +
          `(${expected} must appear before ${column})`,
      )
    throw invalid(`Missing CLUSTERING ORDER for column ${expected}`)
  })
}

/** What must hold of a table however it came to be; throws CONFIG_ERROR. */
export function validateTable(table: TableSchema): void {
  const wrong = (text: string) => configError(`${table.keyspace}.${table.name}: ${text}`)
  if (!/^[0-9A-Za-z_]+$/.test(table.name))
    throw wrong(
      `Table name must not be empty or not contain non-alphanumeric-underscore characters (got "${table.name}")`,
    )
  if (table.name.length > NAME_LENGTH_MAX)
    throw wrong(
      `Table name must not be more than ${NAME_LENGTH_MAX} characters long ` +
        `(got ${table.name.length} characters for "${table.name}")`,
    )
  for (const column of [...table.statics, ...table.regulars]) {
    const isCounter = isCounterType(column.type)
    if (table.isCounter && !isCounter)
      throw wrong(`Cannot have a non counter column ("${column.name}") in a counter table`)
    if (!table.isCounter && isCounter)
      throw wrong(`Cannot have a counter column ("${column.name}") in a non counter table`)
  }
}

export function dropTable(schema: Schema, keyspaceName: string, name: string, ifExists: boolean): Outcome {
  checkModifiable(keyspaceName, `table ${keyspaceName}.${name}`, 'DROP')
  if (!schema.keyspaces.get(keyspaceName)?.tables.has(name)) {
    if (ifExists) return unchanged(schema)
    throw invalid(`Table '${keyspaceName}.${name}' doesn't exist`)
  }
  const keyspace = schema.keyspaces.get(keyspaceName)!
  if (keyspace.tables.get(name)!.view !== null)
    throw invalid('Cannot use DROP TABLE on a materialized view. Please use DROP MATERIALIZED VIEW instead.')
  if (viewsOf(keyspace, name).length > 0)
    throw invalid(`Cannot drop a table when materialized views still depend on it (${keyspaceName})`)
  const change = { change: 'DROPPED', target: 'TABLE', keyspace: keyspaceName, name } as const
  return changed(schema, [{ kind: 'drop_table', keyspace: keyspaceName, name }], change)
}
