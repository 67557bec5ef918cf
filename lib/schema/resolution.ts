/**
 * How a table's concurrent writes are resolved: WITH resolution, resolver and max_siblings, options that Cassandra has not. They are kept among
 * the extensions, where drivers show them and Cassandra would pass them over; only what differs from the default is kept.
 *
 * Always: extension `resolution` is absent (the table never was of vector clocks), `vclock`, or `lww`: it was of vector clocks, and rows of that
 * form may still be stored, which are read by the newest of their versions.
 */
import { configError, invalid } from '../base/errors.ts'
import { isMultiCell } from '../types/names.ts'
import { intProperty, type PropertyMap, textProperty } from './properties.ts'
import type { ColumnSchema, TableOptions, TableSchema } from './table.ts'

const RESOLUTION = 'resolution'
const RESOLVER = 'resolver'
const MAX_SIBLINGS = 'max_siblings'
export const RESOLUTION_OPTIONS: readonly string[] = [MAX_SIBLINGS, RESOLUTION, RESOLVER]

export type Resolution = 'lww' | 'vclock'

/** What becomes of the values that siblings have in one column. */
export type Resolver = 'siblings' | 'newest' | 'max' | 'min' | 'union' | 'or-set'

/** One for all columns (never 'or-set'), or by column; those that are not named keep their siblings. */
export type Resolvers = Exclude<Resolver, 'or-set'> | ReadonlyMap<string, Resolver>

type Options = Pick<TableOptions, 'extensions'>
type Extensions = ReadonlyMap<string, Buffer>

const MAX_SIBLINGS_DEFAULT = 100
/** A row is read whole: more of them would make rows that no node can take. */
const MAX_SIBLINGS_MOST = 10_000

export function resolutionOf({ extensions }: Options): Resolution {
  return extensions.get(RESOLUTION)?.toString() === 'vclock' ? 'vclock' : 'lww'
}

/** The table is resolved by timestamps now; rows that were written under vector clocks may be among its own. */
export function isFlattened({ extensions }: Options): boolean {
  return extensions.get(RESOLUTION)?.toString() === 'lww'
}

export function resolversOf({ extensions }: Options): Resolvers {
  const text = extensions.get(RESOLVER)?.toString()
  if (text === undefined) return 'siblings'
  if (!text.startsWith('{')) return text as Exclude<Resolver, 'or-set'>
  return new Map(Object.entries(JSON.parse(text) as Record<string, Resolver>))
}

/** What the siblings' values of one regular column become. */
export function resolverOf(resolvers: Resolvers, column: ColumnSchema): Resolver {
  if (typeof resolvers !== 'string') return resolvers.get(column.name) ?? 'siblings'
  return resolvers === 'union' && !isUnitable(column) ? 'siblings' : resolvers
}

/** Regular columns that merge as observed-remove sets. */
export function orSetColumns(table: TableSchema): readonly ColumnSchema[] {
  const resolvers = resolversOf(table.options)
  if (typeof resolvers === 'string' || resolutionOf(table.options) !== 'vclock') return []
  return table.regulars.filter(({ name }) => resolvers.get(name) === 'or-set')
}

/** Whether statements on the table mean the same. */
export function sameResolution(a: Options, b: Options): boolean {
  return [RESOLUTION, RESOLVER].every(
    (name) => a.extensions.get(name)?.toString() === b.extensions.get(name)?.toString(),
  )
}

export function maxSiblingsOf({ extensions }: Options): number {
  const text = extensions.get(MAX_SIBLINGS)?.toString()
  return text === undefined ? MAX_SIBLINGS_DEFAULT : Number(text)
}

/** The extensions with what the properties say of resolution. Throws SYNTAX_ERROR or CONFIG_ERROR; what depends on columns is checked later. */
export function parseResolution(properties: PropertyMap, base: Extensions): Extensions {
  if (!RESOLUTION_OPTIONS.some((name) => properties.has(name))) return base
  const extensions = new Map(base)
  const resolution = textProperty(properties, RESOLUTION)?.toLowerCase() ?? null
  if (resolution !== null && resolution !== 'lww' && resolution !== 'vclock')
    throw configError(`Invalid value '${resolution}' for resolution: only 'lww' and 'vclock' are allowed`)
  const resolver = parseResolver(properties)
  if (resolver !== null) setOrDelete(extensions, RESOLVER, resolver, 'siblings')
  const most = intProperty(properties, MAX_SIBLINGS, maxSiblingsOf({ extensions }))
  if (most < 1 || most > MAX_SIBLINGS_MOST)
    throw configError(`max_siblings must be between 1 and ${MAX_SIBLINGS_MOST} (got ${most})`)
  setOrDelete(extensions, MAX_SIBLINGS, String(most), String(MAX_SIBLINGS_DEFAULT))
  if (resolution === 'vclock') extensions.set(RESOLUTION, Buffer.from('vclock'))
  // Who states a resolver with it tells that there may be rows of versions: so the text of DESCRIBE makes the very same table.
  else if (resolution === 'lww' && (resolver !== null || base.has(RESOLUTION))) {
    extensions.set(RESOLUTION, Buffer.from('lww'))
    if (!properties.has(MAX_SIBLINGS)) extensions.delete(MAX_SIBLINGS)
  }
  return extensions
}

function setOrDelete(extensions: Map<string, Buffer>, name: string, text: string, otherwise: string): void {
  if (text === otherwise) extensions.delete(name)
  else extensions.set(name, Buffer.from(text))
}

const FOR_TABLES: readonly string[] = ['siblings', 'newest', 'max', 'min', 'union']
const FOR_COLUMNS: readonly string[] = [...FOR_TABLES, 'or-set']

/** As it is kept: a word, or a JSON object of words by column, sorted; null: it was not given. */
function parseResolver(properties: PropertyMap): string | null {
  const given = properties.get(RESOLVER)
  if (given === undefined) return null
  if (typeof given === 'string') {
    const word = given.toLowerCase()
    if (word === 'or-set') throw configError("Resolver 'or-set' is of columns: state it as {'column': 'or-set'}")
    if (!FOR_TABLES.includes(word)) throw unknownResolver(given, FOR_TABLES)
    return word
  }
  const entries = [...given].map(([column, text]): [string, string] => {
    const word = text.toLowerCase()
    if (!FOR_COLUMNS.includes(word)) throw unknownResolver(text, FOR_COLUMNS)
    return [column, word]
  })
  return resolverText(entries)
}

function resolverText(entries: [string, string][]): string {
  const kept = entries.filter(([, word]) => word !== 'siblings').sort(([a], [b]) => (a < b ? -1 : 1))
  return kept.length === 0 ? 'siblings' : JSON.stringify(Object.fromEntries(kept))
}

function unknownResolver(word: string, known: readonly string[]): Error {
  return configError(`Invalid resolver '${word}': only ${known.map((one) => `'${one}'`).join(', ')} are allowed`)
}

/** The options without the resolver of a column that is dropped. */
export function withoutResolver(options: TableOptions, column: string): TableOptions {
  const resolvers = resolversOf(options)
  if (typeof resolvers === 'string' || !resolvers.has(column)) return options
  const extensions = new Map(options.extensions)
  const left = [...resolvers].filter(([name]) => name !== column)
  setOrDelete(extensions, RESOLVER, resolverText(left), 'siblings')
  return { ...options, extensions }
}

/**
 * What a table must be for its resolution; `previous` is the table before it was altered, null for a new one, `properties` are those of an
 * ALTER … WITH. Throws INVALID or CONFIG_ERROR.
 */
export function validateResolution(
  table: TableSchema,
  previous: TableSchema | null,
  properties: PropertyMap | null,
): void {
  const { options } = table
  const isCausal = resolutionOf(options) === 'vclock'
  const before = previous === null ? 'lww' : resolutionOf(previous.options)
  if (isCausal) validateCausal(table, previous)
  else if (before === 'vclock') {
    if (properties?.get(RESOLVER) !== 'newest' || resolversOf(options) !== 'newest')
      throw configError(
        "A table goes back to resolution 'lww' by the newest version of each row: state resolver = 'newest' with it. " +
          'To keep more than that, write back what is resolved first',
      )
  } else if (isFlattened(options) ? resolversOf(options) !== 'newest' : options.extensions.has(RESOLVER))
    throw configError("resolver needs resolution = 'vclock'")
  if (!isCausal && options.extensions.has(MAX_SIBLINGS)) throw configError("max_siblings needs resolution = 'vclock'")
}

function validateCausal(table: TableSchema, previous: TableSchema | null): void {
  const { options } = table
  if (table.view !== null) throw invalid("A materialized view cannot have resolution = 'vclock'")
  if (table.isCounter) throw invalid("Counters add up by themselves: resolution = 'vclock' is not supported with them")
  if (table.compact !== null)
    throw invalid(
      "resolution = 'vclock' is not supported with COMPACT STORAGE: its rows are there by their cells alone",
    )
  if (table.statics.length > 0)
    throw invalid(
      `Static columns are not supported in a table with resolution = 'vclock' (${table.statics.map(({ name }) => name).join(', ')})`,
    )
  if (previous !== null && isFlattened(previous.options)) throw overwrittenVersions(previous)
  const resolvers = resolversOf(options)
  if (typeof resolvers !== 'string') validateResolvers(table, resolvers, previous)
  if (previous === null) return
  const isOrSet = new Set(orSetColumns(table).map(({ name }) => name))
  const wasOrSet = new Set(orSetColumns(previous).map(({ name }) => name))
  for (const { name } of previous.regulars)
    if (table.columns.has(name) && wasOrSet.has(name) !== isOrSet.has(name)) throw fixedOrSet(name, isOrSet.has(name))
}

/** A table that is altered may state that a column, which it gets next, is an or-set: there is no other time at which nobody has written to it. */
function validateResolvers(
  table: TableSchema,
  resolvers: ReadonlyMap<string, Resolver>,
  previous: TableSchema | null,
): void {
  for (const [name, resolver] of resolvers) {
    const column = table.columns.get(name)
    if (column === undefined && resolver === 'or-set' && previous !== null) continue
    if (column === undefined) throw configError(`Undefined column name ${name} in resolver`)
    if (column.kind !== 'regular') throw configError(`Primary key column ${name} has no siblings to be resolved`)
    if (resolver === 'union' && !isUnitable(column))
      throw configError(`Resolver 'union' is of sets and maps: column ${name} is neither`)
    if (resolver === 'or-set' && !(isMultiCell(column.type) && isUnitable(column)))
      throw configError(`Resolver 'or-set' is of sets and maps that are not frozen: column ${name} is not`)
  }
}

function fixedOrSet(name: string, isOrSet: boolean): Error {
  const why = isOrSet
    ? `Column ${name} cannot become an 'or-set': what was written to it belongs to versions of rows, and would go with them`
    : `Column ${name} cannot cease to be an 'or-set': its elements belong to no version of a row, and would be lost`
  const how = isOrSet
    ? "State a new column as 'or-set' (ALTER TABLE … WITH resolver, with its name), add it (ALTER TABLE … ADD), and add the elements to it"
    : 'Add a new column (ALTER TABLE … ADD), copy the elements to it, and drop this one'
  return configError(`${why}. ${how}`)
}

function overwrittenVersions({ keyspace, name }: TableSchema): Error {
  return configError(
    `Table ${keyspace}.${name} had resolution = 'vclock' before: versions that were overwritten or deleted by timestamps since then would be shown again. ` +
      "Make a table WITH resolution = 'vclock', and copy the rows (COPY … TO, COPY … FROM)",
  )
}

function isUnitable({ type }: ColumnSchema): boolean {
  return type.kind === 'set' || type.kind === 'map'
}

/** What DESCRIBE says of a table, `name = value` each; nothing for a table that has the defaults. */
export function resolutionWords({ options, columns }: Pick<TableSchema, 'options' | 'columns'>): {
  maxSiblings: string | null
  resolution: string[]
} {
  const { extensions } = options
  const maxSiblings = extensions.has(MAX_SIBLINGS) ? `max_siblings = ${maxSiblingsOf(options)}` : null
  const kept = extensions.get(RESOLUTION)
  if (kept === undefined) return { maxSiblings, resolution: [] }
  const resolution = [`resolution = '${kept}'`]
  const resolvers = resolversOf(options)
  if (typeof resolvers === 'string') {
    if (resolvers !== 'siblings') resolution.push(`resolver = '${resolvers}'`)
  } else {
    // Of a column that is yet to be added a new table knows nothing.
    const told = [...resolvers].filter(([name]) => columns.has(name))
    const entries = told.map(([name, word]) => `'${name.replaceAll("'", "''")}': '${word}'`)
    if (entries.length > 0) resolution.push(`resolver = {${entries.join(', ')}}`)
  }
  return { maxSiblings, resolution }
}
