/**
 * CREATE INDEX and DROP INDEX as pure changes of a table. Source: CQL 3.4.7; checks, their order and messages are those of Cassandra 5.0.6.
 */
import { configError, invalid } from '../base/errors.ts'
import { typeToClassName } from '../types/class-name.ts'
import { isCollection, isMultiCell, someType, typeToCql } from '../types/names.ts'
import type { CqlType } from '../types/type.ts'
import { rebuildTable } from './build.ts'
import { changed, checkModifiable, keyspaceOf, type Outcome, tableText, unchanged } from './changes.ts'
import { isStaticCompact } from './compact.ts'
import { ANALYSIS_OPTIONS } from './index-analysis.ts'
import {
  type IndexPart,
  type IndexTarget,
  isFloatVector,
  isSai,
  isSaiClass,
  targetOf,
  targetText,
} from './index-target.ts'
import { hashMapOrder } from './java.ts'
import type { KeyspaceSchema, Schema } from './keyspace.ts'
import { checkNames, mapProperty, type PropertyMap } from './properties.ts'
import { tableRecord } from './records.ts'
import { isLocalSystemKeyspace } from './system-tables.ts'
import type { IndexSchema, TableSchema } from './table.ts'

export interface NewIndex {
  readonly keyspace: string
  readonly table: string
  /** Null: one is made of the table's name and the column's. */
  readonly name: string | null
  readonly ifNotExists: boolean
  readonly custom: boolean
  readonly targets: readonly { readonly kind: IndexPart; readonly column: string }[]
  readonly using: string | null
  readonly properties: PropertyMap
}

const LOCAL_TABLE = 'legacy_local_table'
const SASI_CLASS = 'org.apache.cassandra.index.sasi.SASIIndex'
const COMPOSITE_CLASS = 'org.apache.cassandra.db.marshal.CompositeType'
const NAME_LENGTH_MAX = 222

const VECTOR_WARNING =
  'SAI ANN indexes on vector columns are experimental and are not recommended for production use.\n' +
  "They don't yet support SELECT queries with:\n" +
  ' * Consistency level higher than ONE/LOCAL_ONE.\n' +
  ' * Paging.\n' +
  ' * No LIMIT clauses.\n' +
  ' * PER PARTITION LIMIT clauses.\n' +
  ' * GROUP BY clauses.\n' +
  ' * Aggregation functions.\n' +
  ' * Filters on columns without a SAI index.'

/** `id` is that of the table which will hold the index's entries. */
export function createIndex(schema: Schema, definition: NewIndex, id: string, warnings: string[]): Outcome {
  const { properties, custom } = definition
  checkModifiable(definition.keyspace, `table ${definition.keyspace}.${definition.table}`, 'ALTER')
  checkNames(properties, new Set(['options']))
  const given = mapProperty(properties, 'options') ?? new Map<string, string>()
  const className = definition.using ?? LOCAL_TABLE
  const isCustom = custom || className.toLowerCase() !== LOCAL_TABLE
  for (const reserved of ['class_name', 'target'])
    if (isCustom && given.has(reserved)) throw invalid(`Cannot specify ${reserved} as a CUSTOM option`)
  if (!isCustom && given.size > 0) throw invalid('Cannot specify options for a non-CUSTOM index')
  const keyspace = keyspaceOf(schema, definition.keyspace)
  const table = keyspace.tables.get(definition.table)
  if (!table) throw invalid(`Table '${definition.table}' doesn't exist`)
  if (definition.name !== null && hasIndex(keyspace, definition.name)) {
    if (definition.ifNotExists) return unchanged(schema)
    throw invalid(`Index '${definition.name}' already exists`)
  }
  if (table.view !== null) throw invalid("Secondary indexes on materialized views aren't supported")
  if (table.isCounter) throw invalid("Secondary indexes on counter tables aren't supported")
  const targets = definition.targets.map(({ kind, column }) => preparedTarget(table, kind, column))
  if (targets.length === 0 && !isCustom)
    throw invalid('Only CUSTOM indexes can be created without specifying a target column')
  if (targets.length > 1) {
    if (!isCustom) throw invalid('Only CUSTOM indexes support multiple columns')
    const seen = new Set<string>()
    for (const { column } of targets) {
      if (seen.has(column.name)) throw invalid(`Duplicate column '${column.name}' in index target list`)
      seen.add(column.name)
    }
  }
  for (const target of targets) checkTarget(table, target, isCustom)
  const target = targets.map(targetText).join(', ')
  const options = new Map<string, string>(isCustom ? [...given, ['class_name', className]] : [])
  options.set('target', target)
  const name = definition.name ?? freeName(keyspace, defaultName(table, targets))
  const index: IndexSchema = { name, id, kind: isCustom ? 'CUSTOM' : 'COMPOSITES', options }
  const same = [...table.indexes.values()].find((other) => isSame(other, index))
  if (same) {
    if (definition.ifNotExists) return unchanged(schema)
    throw invalid(`Index ${name} is a duplicate of existing index ${same.name}`)
  }
  const altered = rebuildTable(table, { indexes: new Map([...table.indexes, [name, index]]) })
  for (const each of altered.indexes.values()) validateIndex(altered, each, warnings)
  return updated(schema, altered)
}

export function dropIndex(schema: Schema, keyspaceName: string, name: string, ifExists: boolean): Outcome {
  if (isLocalSystemKeyspace(keyspaceName)) throw invalid(`System keyspace '${keyspaceName}' is not user-modifiable`)
  checkModifiable(keyspaceName, `all tables in ${keyspaceName}`, 'DROP')
  const tables = schema.keyspaces.get(keyspaceName)?.tables.values() ?? []
  const table = [...tables].find(({ indexes }) => indexes.has(name))
  if (!table) {
    if (ifExists) return unchanged(schema)
    throw invalid(`Index '${keyspaceName}.${name}' doesn't exist'`)
  }
  return updated(
    schema,
    rebuildTable(table, { indexes: new Map([...table.indexes].filter(([other]) => other !== name)) }),
  )
}

function updated(schema: Schema, table: TableSchema): Outcome {
  const { keyspace, name } = table
  return changed(schema, [tableRecord(table)], { change: 'UPDATED', target: 'TABLE', keyspace, name })
}

function hasIndex(keyspace: KeyspaceSchema, name: string): boolean {
  for (const { indexes } of keyspace.tables.values()) if (indexes.has(name)) return true
  return false
}

function defaultName(table: TableSchema, targets: readonly IndexTarget[]): string {
  const middle = targets.length === 1 ? `_${targets[0]!.column.name}` : ''
  return `${table.name}${middle}_idx`.replaceAll(/\W/g, '')
}

function freeName(keyspace: KeyspaceSchema, base: string): string {
  let name = base
  for (let i = 1; hasIndex(keyspace, name); i++) name = `${base}_${i}`
  return name
}

/** Equal in all but name (and in what the node made up). */
function isSame(a: IndexSchema, b: IndexSchema): boolean {
  return (
    a.kind === b.kind &&
    a.options.size === b.options.size &&
    [...a.options].every(([key, value]) => b.options.get(key) === value)
  )
}

/** A collection of many cells is indexed by its values unless something else is said. */
function preparedTarget(table: TableSchema, kind: IndexPart, name: string): IndexTarget {
  const column = table.columns.get(name)
  if (!column) throw invalid(`Undefined column name ${name} in table ${tableText(table)}`)
  return { column, part: kind === 'simple' && isCollection(column.type) ? 'values' : kind }
}

function checkTarget(table: TableSchema, { column, part }: IndexTarget, isCustom: boolean): void {
  const { name, type } = column
  if (isCustom && !isPlainName(name))
    throw invalid(
      `Column '${name}' is longer than the permissible name length of ${NAME_LENGTH_MAX} characters or contains non-alphanumeric-underscore characters`,
    )
  refuseDurations(type)
  if (table.compact !== null) {
    if (column.kind !== 'regular')
      throw invalid('Secondary indexes are not supported on PRIMARY KEY columns in COMPACT STORAGE tables')
    if (!isStaticCompact(table))
      throw invalid('Secondary indexes are not supported on compact value column of COMPACT STORAGE tables')
  }
  if (column.kind === 'partition_key' && table.partitionKey.length === 1)
    throw invalid(`Cannot create secondary index on the only partition key column ${name}`)
  const isFrozenCollection = isCollection(type) && type.frozen
  if (isFrozenCollection && part !== 'full')
    throw invalid(
      `Cannot create ${part}() index on frozen column ${name}. Frozen collections are immutable and must be fully indexed by using the 'full(${name})' modifier`,
    )
  if (!isFrozenCollection && part === 'full') throw invalid('full() indexes can only be created on frozen collections')
  if (!isCollection(type) && part !== 'simple')
    throw invalid(`Cannot create ${part}() index on ${name}. Non-collection columns only support simple indexes`)
  if (type.kind !== 'map' && (part === 'keys' || part === 'entries'))
    throw invalid(`Cannot create index on ${part} of column ${name} with non-map type`)
  if (type.kind === 'udt' && isMultiCell(type)) throw invalid(`Cannot create index on non-frozen UDT column ${name}`)
}

function isPlainName(name: string): boolean {
  return /^\w+$/.test(name) && name.length <= NAME_LENGTH_MAX
}

function refuseDurations(type: CqlType): void {
  if (!someType(type, (part) => part.kind === 'native' && part.name === 'duration')) return
  const on = (what: string) => invalid(`Secondary indexes are not supported on ${what}`)
  if (isCollection(type)) throw on('collections containing durations')
  if (type.kind === 'tuple') throw on('tuples containing durations')
  if (type.kind === 'udt') throw on('UDTs containing durations')
  throw on('duration columns')
}

/** What Cassandra checks of every index of a table whenever one is added. */
function validateIndex(table: TableSchema, index: IndexSchema, warnings: string[]): void {
  if (!/^\w+$/.test(index.name)) throw configError(`Illegal index name ${index.name}`)
  if (index.name.length > NAME_LENGTH_MAX)
    throw configError(`Index name must not be more than ${NAME_LENGTH_MAX} characters long (got ${index.name.length})`)
  if (!isSai(index)) return
  const className = index.options.get('class_name')!
  if (className === SASI_CLASS) throw invalid('SASI indexes are disabled. Enable in cassandra.yaml to use.')
  if (!isSaiClass(className)) throw configError(`Unable to find custom indexer class '${className}'`)
  validateSai(table, index, warnings)
}

const VECTOR_OPTIONS: ReadonlySet<string> = new Set([
  'maximum_node_connections',
  'construction_beam_width',
  'similarity_function',
  'optimize_for',
])
const SIMILARITIES = ['EUCLIDEAN', 'DOT_PRODUCT', 'COSINE']
const GOALS = ['LATENCY', 'RECALL']

function validateSai(table: TableSchema, index: IndexSchema, warnings: string[]): void {
  const own = new Map([...index.options].filter(([key]) => key !== 'class_name' && key !== 'target'))
  const unknown = [...own.keys()].filter((key) => !ANALYSIS_OPTIONS.has(key) && !VECTOR_OPTIONS.has(key))
  if (unknown.length > 0)
    throw configError(
      `Properties specified [${hashMapOrder(unknown, undefined, 2).join(', ')}] are not understood by StorageAttachedIndex`,
    )
  const text = index.options.get('target')!
  if (text.includes(',')) throw invalid(`A storage-attached index cannot be created over multiple columns: ${text}`)
  const target = targetOf(table, index)
  if (!target) throw invalid(`Failed to retrieve target column for: ${text}`)
  const { column } = target
  const others = [...table.indexes.values()].filter((other) => isSai(other) && other.options.get('target') === text)
  if (others.length > 1)
    throw invalid(`Cannot create more than one storage-attached index on the same column: ${column.name}`)
  validateAnalysis(target, new Map([...own].filter(([key]) => ANALYSIS_OPTIONS.has(key))))
  validateVectorOptions(target, new Map([...own].filter(([key]) => VECTOR_OPTIONS.has(key))))
  for (const type of target.part === 'entries' && column.type.kind === 'map'
    ? [column.type.key, column.type.value]
    : [elementType(target)])
    if (!isIndexable(type)) throw invalid(`Unsupported type: ${typeToCql(type)}`)
  if (column.type.kind !== 'vector') return
  if (!isFloatVector(column.type))
    throw invalid('SAI ANN indexes are only allowed on vector columns with float elements')
  const similarity = own.get('similarity_function')?.toUpperCase() ?? 'COSINE'
  if (column.type.dimension === 1 && similarity === 'COSINE')
    throw invalid('Cosine similarity is not supported for single-dimension vectors')
  if (!warnings.includes(VECTOR_WARNING)) warnings.push(VECTOR_WARNING)
}

function elementType({ column, part }: IndexTarget): CqlType {
  const { type } = column
  if (!isCollection(type) || type.frozen) return type
  if (type.kind === 'map') return part === 'keys' ? type.key : type.value
  return type.element
}

/** Whatever is frozen can be told from others by its bytes; of the plain types only some are taken. */
function isIndexable(type: CqlType): boolean {
  return type.kind === 'native' ? type.name !== 'blob' && type.name !== 'counter' : type.kind !== 'custom'
}

/** Entries are composites to the one who says that they cannot be analyzed. */
function analyzedText(target: IndexTarget): string {
  const { type } = target.column
  if (target.part !== 'entries' || type.kind !== 'map') return typeToCql(elementType(target))
  return `'${COMPOSITE_CLASS}(${typeToClassName(type.key)},${typeToClassName(type.value)})'`
}

function validateAnalysis(target: IndexTarget, options: ReadonlyMap<string, string>): void {
  if (options.size === 0) return
  const { column } = target
  if (column.kind === 'partition_key' || column.kind === 'clustering') {
    const text = [...options].map(([key, value]) => `'${key}': '${value}'`).join(', ')
    throw invalid(`Analysis options are not supported on primary key columns, but found {${text}}`)
  }
  const element = elementType(target)
  const isText = element.kind === 'native' && (element.name === 'text' || element.name === 'ascii')
  if (!isText || target.part === 'entries') throw invalid(`CQL type ${analyzedText(target)} cannot be analyzed.`)
  for (const key of ANALYSIS_OPTIONS) {
    const value = options.get(key)
    if (value !== undefined && !/^(true|false)$/i.test(value))
      throw invalid(`Illegal value for boolean option '${key}': ${value}`)
  }
}

function validateVectorOptions({ column }: IndexTarget, options: ReadonlyMap<string, string>): void {
  if (options.size === 0) return
  if (column.type.kind !== 'vector') throw invalid(`CQL type ${typeToCql(column.type)} cannot have vector options`)
  const custom = (what: string) => invalid(`${what} cannot be set without enabling SAI_VECTOR_ALLOW_CUSTOM_PARAMETERS`)
  if (options.has('maximum_node_connections')) throw custom('Maximum node connections')
  if (options.has('construction_beam_width')) throw custom('Construction beam width')
  const similarity = options.get('similarity_function')?.toUpperCase()
  if (similarity !== undefined && !SIMILARITIES.includes(similarity))
    throw invalid(
      `Similarity function ${similarity} was not recognized for index null. Valid values are: ${SIMILARITIES.join(', ')}`,
    )
  const goal = options.get('optimize_for')?.toUpperCase()
  if (goal !== undefined && !GOALS.includes(goal))
    throw invalid(`optimize_for '${goal}' was not recognized for index null. Valid values are: ${GOALS.join(', ')}`)
}

/** Cassandra checks all indexes of a table, and warns of some, when columns are added too. */
export function warnOfIndexes(table: TableSchema, warnings: string[]): void {
  for (const index of table.indexes.values()) validateIndex(table, index, warnings)
}

/** Throws INVALID when indexes depend on a column that is to go or to change its name. `message` ends before their names. */
export function refuseIndexed(table: TableSchema, name: string, message: string): void {
  const names = [...table.indexes.values()]
    .filter((index) => targetOf(table, index)?.column.name === name)
    .map((index) => index.name)
  if (names.length > 0) throw invalid(`${message} because it has dependent secondary indexes (${names.join(', ')})`)
}
