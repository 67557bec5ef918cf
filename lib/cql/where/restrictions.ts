/**
 * What WHERE allows a statement to touch: relations as written become restrictions on partition key, clustering, token and values.
 * Source: CQL 3.4.7 "The WHERE clause"; the order of checks and their words are Apache Cassandra 5.0's.
 * Always: compileRestrictions refuses what can be refused without values; the functions of Restrictions refuse the rest, at execution.
 */

import type { IndexRead, Slice } from '../../../storage/model/command.ts'
import { ByteWriter } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import { takesShortKeys } from '../../schema/compact.ts'
import { isFloatVector } from '../../schema/index-target.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { encodeNoValues } from '../../types/ordered.ts'
import type { Relation } from '../ast.ts'
import { bindFilter, type RowFilter } from '../select/filter.ts'
import type { Environment, QueryOptions } from '../statement.ts'
import type { TermScope, Value } from '../terms/terms.ts'
import { type IndexPlan, TableIndexPlans } from './index-plan.ts'
import { boundPrefixes, boundSlices, filtered, sliceable } from './restrictions-clustering.ts'
import { addRestriction, mergeTokens } from './restrictions-merge.ts'
import { boundKeys, boundTokenRange, type PositionRange } from './restrictions-partition.ts'
import {
  type EqRestriction,
  type InRestriction,
  type Restriction,
  type SliceRestriction,
  type TokenRestriction,
  toRestriction,
} from './restrictions-relations.ts'

export { type PositionRange, partitionKeyBytes } from './restrictions-partition.ts'

export interface RestrictionsRequest {
  readonly type: 'SELECT' | 'UPDATE' | 'DELETE'
  readonly table: TableSchema
  readonly where: readonly Relation[]
  readonly allowFiltering: boolean
  /** SELECT: nothing but static (and partition key) columns are selected. UPDATE and DELETE: nothing but static columns are changed. */
  readonly onlyStatics: boolean
  /** SELECT: the column of ORDER BY … ANN OF; null without one. */
  readonly nearest?: ColumnSchema | null
  readonly scope: TermScope
}

export interface Restrictions {
  /** The terms of `pk = …` by position when every partition key column has exactly that; else null. */
  readonly partitionKeyTerms: readonly Value[] | null
  /** The terms of `c = …` by position when every clustering column has exactly that (empty without clustering columns); else null. */
  readonly clusteringTerms: readonly Value[] | null
  /** Partitions are found by range (token, or the whole table), not by key. */
  readonly isKeyRange: boolean
  /** Some partition key column, or token(), is restricted. */
  readonly restrictsPartitionKey: boolean
  /** IN stands on a partition key column. */
  readonly hasKeyIn: boolean
  /** Some clustering column is restricted. */
  readonly restrictsClustering: boolean
  /** Some clustering column is restricted by IN. */
  readonly hasClusteringIn: boolean
  readonly restrictsRegulars: boolean
  readonly restrictsStatics: boolean
  /** Not every clustering column has = or IN: rows are given by slices, not by their names. */
  readonly isColumnRange: boolean
  /** Rows must be filtered after they are read. */
  readonly needsFilter: boolean
  /** Columns that the filter looks at. */
  readonly filterColumns: readonly ColumnSchema[]
  /** The key columns that = names (ORDER BY and GROUP BY may skip them). */
  isEqual(column: ColumnSchema): boolean
  /** Serialised partition keys (as in a position, without token and length): in the order of their values, each once. */
  partitionKeys(options: QueryOptions, environment: Environment): Buffer[]
  /** The range of positions when isKeyRange, or that keys must lie in as well; null: nothing can be in it. */
  positionRange(options: QueryOptions, environment: Environment): PositionRange | null
  /** token() restricts besides whole keys. */
  readonly hasTokenBesideKeys: boolean
  /** Encoded clusterings, ascending, each once; only when not isColumnRange. */
  clusterings(options: QueryOptions, environment: Environment): Buffer[]
  /** Disjoint ascending intervals; one that holds all for no restriction. */
  slices(options: QueryOptions, environment: Environment): Slice[]
  /** Rows are found by an index. */
  readonly usesIndex: boolean
  /** Only with ALLOW FILTERING: asked after all other checks of a SELECT, as in Cassandra. */
  readonly needsAllowFiltering: boolean
  /** What is asked of an index; null when none is used. The filter is bound before. */
  indexRead(options: QueryOptions, environment: Environment): IndexRead | null
  /** What the rows read must satisfy; null when needsFilter is false. */
  filter(options: QueryOptions, environment: Environment): RowFilter | null
}

const ALLOW_FILTERING_NEEDED =
  'Cannot execute this query as it might involve data filtering and thus may have unpredictable performance. If you want to execute this query despite the performance unpredictability, use ALLOW FILTERING'

/** Throws INVALID with Cassandra's words. */
export function compileRestrictions(request: RestrictionsRequest): Restrictions {
  const { type, table, allowFiltering } = request
  const plans = type === 'SELECT' ? new TableIndexPlans(table) : null
  const sets = gather(request, plans)
  const nearest = request.nearest ?? null
  const { key, clustering, values } = sets
  const isByClustering = plans?.supportsAny(clustering) ?? false
  const isIndexed =
    plans !== null &&
    (isByClustering || plans.supportsAny(key) || plans.supportsAny(values) || isOrdered(plans, nearest))
  const keyNeedsFilter = checkPartitionKey(request, sets, isIndexed)
  const isKeyRange = key.length === 0 || keyNeedsFilter
  let usesIndex = isIndexed && ((key.length === 0 && sets.token === null) || keyNeedsFilter)
  const indexed: Restriction[] = usesIndex || keyNeedsFilter ? [...key] : []
  if (request.onlyStatics && clustering.length > 0) {
    if (type === 'SELECT') throw invalid('Cannot restrict clustering columns when selecting only static columns')
    throw invalid(`Invalid restrictions on clustering columns since the ${type} statement modifies only static columns`)
  }
  checkClustering(request, clustering, isIndexed)
  const isClusteringFiltered = type === 'SELECT' && filtered(clustering).length > 0
  usesIndex ||= (isIndexed && isClusteringFiltered) || (isKeyRange && isByClustering)
  if (usesIndex || isClusteringFiltered) indexed.push(...clustering)
  if (values.length > 0 && type !== 'SELECT')
    throw invalid(`Non PRIMARY KEY columns found in where clause: ${names(values.flatMap((r) => r.columns))} `)
  if (plans !== null) checkNearest(plans, sets, nearest, keyNeedsFilter)
  if (values.length > 0 || nearest !== null) {
    usesIndex ||= isIndexed
    if (!usesIndex && !allowFiltering) throw invalid(ALLOW_FILTERING_NEEDED)
    indexed.push(...values)
  }
  if (usesIndex && key.some(({ kind }) => kind === 'in'))
    throw invalid('Select on indexed columns and with IN clause for the PRIMARY KEY are not supported')
  const needsAllowFiltering =
    (isKeyRange || usesIndex) &&
    (indexed.length === 0 && nearest === null
      ? clustering.length > 0
      : (plans?.needsFiltering(indexed, nearest) ?? true))
  const index = usesIndex ? plans!.choose([...values, ...clustering, ...key]) : null
  return new CompiledRestrictions(request, sets, keyNeedsFilter, { index, usesIndex, needsAllowFiltering })
}

function isOrdered(plans: TableIndexPlans, nearest: ColumnSchema | null): boolean {
  return nearest !== null && isFloatVector(nearest.type) && plans.isIndexed(nearest)
}

/** What ORDER BY … ANN OF needs, and what it forbids where a column could be ordered so. */
function checkNearest(
  plans: TableIndexPlans,
  { key, clustering, values }: RestrictionSets,
  nearest: ColumnSchema | null,
  keyNeedsFilter: boolean,
): void {
  if (nearest === null) {
    const vector = values.flatMap(({ columns }) => columns).find(({ type }) => type.kind === 'vector')
    if (vector !== undefined && plans.isIndexed(vector)) throw invalid('Vector indexes only support ANN queries')
    return
  }
  plans.vectorIndex(nearest)
  const needsIndexes = () => invalid('ANN ordering by vector requires all restricted column(s) to be indexed')
  if (keyNeedsFilter) throw needsIndexes()
  if (values.some(({ columns }) => columns.some((column) => !plans.isIndexed(column)))) throw needsIndexes()
  const isPlain = clustering.every(({ columns }) => columns.every((column) => plans.isIndexed(column)))
  if (!isPlain && (key.length === 0 || filtered(clustering).length > 0)) throw needsIndexes()
}

/** Throws INVALID. */
export function checkRangeFiltering(restrictions: Restrictions, allowFiltering: boolean): void {
  if (!allowFiltering && restrictions.needsAllowFiltering) throw invalid(ALLOW_FILTERING_NEEDED)
}

interface RestrictionSets {
  readonly key: readonly Restriction[]
  readonly token: TokenRestriction | null
  readonly clustering: readonly Restriction[]
  /** On static and regular columns. */
  readonly values: readonly Restriction[]
}

function gather(request: RestrictionsRequest, plans: TableIndexPlans | null): RestrictionSets {
  let key: readonly Restriction[] = []
  let token: TokenRestriction | null = null
  let clustering: readonly Restriction[] = []
  let values: readonly Restriction[] = []
  for (const relation of request.where) {
    if (relation.kind === 'expression' && plans !== null) plans.refuseExpression(relation.index.name)
    const restriction = toRestriction(relation, request.table, request.scope)
    if (restriction.kind === 'token') {
      token = token ? mergeTokens(token, restriction) : restriction
      continue
    }
    switch (restriction.columns[0]!.kind) {
      case 'partition_key':
        key = addRestriction(key, restriction)
        break
      case 'clustering':
        clustering = addClustering(clustering, restriction, request, plans)
        break
      default:
        values = addRestriction(values, restriction)
    }
  }
  return { key, token, clustering, values }
}

function addClustering(
  set: readonly Restriction[],
  added: Restriction,
  { allowFiltering, table }: RestrictionsRequest,
  plans: TableIndexPlans | null,
): readonly Restriction[] {
  const merged = addRestriction(set, added)
  const last = set.at(-1)
  if (!last || allowFiltering || plans?.supportsAny([added])) return merged
  const lastStart = last.columns[0]!
  const addedStart = added.columns[0]!
  if (last.kind === 'slice' && addedStart.position > lastStart.position)
    throw invalid(
      `Clustering column "${addedStart.name}" cannot be restricted (preceding column "${lastStart.name}" is restricted by a non-EQ relation)`,
    )
  if (added.kind === 'slice' && addedStart.position < lastStart.position) {
    const next = set.flatMap((restriction) => restriction.columns).find((c) => c.position > addedStart.position)
    throw invalid(
      `PRIMARY KEY column "${(next ?? table.clustering[addedStart.position + 1]!).name}" cannot be restricted (preceding column "${addedStart.name}" is restricted by a non-EQ relation)`,
    )
  }
  return merged
}

/** True when restrictions on the key are not enough to find partitions by key. */
function checkPartitionKey(
  { type, table, allowFiltering }: RestrictionsRequest,
  sets: RestrictionSets,
  isIndexed: boolean,
): boolean {
  const { key, token } = sets
  const missing = table.partitionKey.filter((column) => !key.some(({ columns }) => columns.includes(column)))
  if (type !== 'SELECT') {
    if (token) throw invalid(`The token function cannot be used in WHERE clauses for ${type} statements`)
    if (missing.length > 0) throw invalid(`Some partition key parts are missing: ${names(missing)}`)
    if (key.some(({ kind }) => kind === 'slice'))
      throw invalid(
        `Only EQ and IN relation are supported on the partition key (unless you use the token() function) for ${type} statements`,
      )
    return key.some(({ kind }) => kind === 'contains')
  }
  if (key.length === 0) return false
  const needsFilter = missing.length > 0 || key.some(({ kind }) => kind === 'slice' || kind === 'contains')
  if (needsFilter && !allowFiltering && !isIndexed) throw invalid(ALLOW_FILTERING_NEEDED)
  return needsFilter
}

function checkClustering(
  { type, table, onlyStatics, allowFiltering }: RestrictionsRequest,
  set: readonly Restriction[],
  isIndexed: boolean,
): void {
  const hasSlice = set.some(({ kind }) => kind === 'slice')
  if (type === 'UPDATE') {
    if (hasSlice) throw invalid(`Slice restrictions are not supported on the clustering columns in ${type} statements`)
    const missing = table.clustering.filter((column) => !set.some(({ columns }) => columns.includes(column)))
    if (set.length > 0 && takesShortKeys(table)) checkNoneSkipped(table, set)
    else if (!onlyStatics && missing.length > 0) throw invalid(`Some clustering keys are missing: ${names(missing)}`)
    return
  }
  if (allowFiltering || isIndexed) return
  if (set.some(({ kind }) => kind === 'contains'))
    throw invalid('Clustering columns can only be restricted with CONTAINS with a secondary index or filtering')
  if (filtered(set).length > 0) checkNoneSkipped(table, set)
}

function checkNoneSkipped(table: TableSchema, set: readonly Restriction[]): void {
  const restricted = set.flatMap(({ columns }) => columns)
  restricted.forEach((column, i) => {
    const expected = table.clustering[i]!
    if (column !== expected) throw skipsColumn(column, expected)
  })
}

export function skipsColumn(column: ColumnSchema, expected: ColumnSchema): Error {
  return invalid(
    `PRIMARY KEY column "${column.name}" cannot be restricted as preceding column "${expected.name}" is not restricted`,
  )
}

function names(columns: readonly ColumnSchema[]): string {
  return columns.map((column) => column.name).join(', ')
}

interface IndexUse {
  readonly index: IndexPlan | null
  readonly usesIndex: boolean
  readonly needsAllowFiltering: boolean
}

class CompiledRestrictions implements Restrictions {
  readonly partitionKeyTerms: readonly Value[] | null
  readonly clusteringTerms: readonly Value[] | null
  readonly isKeyRange: boolean
  readonly restrictsPartitionKey: boolean
  readonly hasKeyIn: boolean
  readonly restrictsClustering: boolean
  readonly hasClusteringIn: boolean
  readonly restrictsRegulars: boolean
  readonly restrictsStatics: boolean
  readonly isColumnRange: boolean
  readonly needsFilter: boolean
  readonly filterColumns: readonly ColumnSchema[]
  readonly hasTokenBesideKeys: boolean
  readonly usesIndex: boolean
  readonly needsAllowFiltering: boolean
  readonly #index: IndexPlan | null
  readonly #table: TableSchema
  readonly #key: readonly Restriction[]
  readonly #token: TokenRestriction | null
  readonly #clustering: readonly Restriction[]
  readonly #sliceable: readonly (EqRestriction | InRestriction | SliceRestriction)[]
  readonly #filtered: readonly Restriction[]
  /** So many clustering columns of the rows that an UPDATE names have no value. */
  readonly #withoutValue: number

  constructor({ type, table }: RestrictionsRequest, sets: RestrictionSets, keyNeedsFilter: boolean, use: IndexUse) {
    const { key, token, clustering, values } = sets
    this.#table = table
    this.#index = use.index
    this.usesIndex = use.usesIndex
    this.needsAllowFiltering = use.needsAllowFiltering
    this.#key = key
    this.#token = token
    this.#clustering = clustering
    this.#sliceable = sliceable(clustering)
    this.#filtered = [...(keyNeedsFilter ? key : []), ...filtered(clustering), ...values]
    this.isKeyRange = key.length === 0 || keyNeedsFilter
    this.hasTokenBesideKeys = token !== null && !this.isKeyRange
    this.partitionKeyTerms = this.isKeyRange || token ? null : equalTerms(key, table.partitionKey.length)
    // Short keys are rows of their own to an UPDATE, many rows to others.
    const isUpdate = type === 'UPDATE'
    this.clusteringTerms = equalTerms(clustering, isUpdate ? clustering.length : table.clustering.length)
    this.restrictsPartitionKey = key.length > 0 || token !== null
    this.hasKeyIn = key.some(({ kind }) => kind === 'in')
    this.restrictsClustering = clustering.length > 0
    this.hasClusteringIn = clustering.some(({ kind }) => kind === 'in')
    const valueColumns = values.flatMap(({ columns }) => columns)
    this.restrictsRegulars = valueColumns.some(({ kind }) => kind === 'regular')
    this.restrictsStatics = valueColumns.some(({ kind }) => kind === 'static')
    const restricted = clustering.reduce((count, { columns }) => count + columns.length, 0)
    this.#withoutValue = isUpdate ? table.clustering.length - restricted : 0
    this.isColumnRange =
      restricted + this.#withoutValue < table.clustering.length ||
      clustering.some(({ kind }) => kind !== 'eq' && kind !== 'in')
    this.needsFilter = this.#filtered.length > 0
    this.filterColumns = [...new Set(this.#filtered.flatMap(({ columns }) => columns))]
  }

  isEqual(column: ColumnSchema): boolean {
    const set = column.kind === 'partition_key' ? this.#key : this.#clustering
    return set.some(({ kind, columns }) => kind === 'eq' && columns.includes(column))
  }

  partitionKeys(options: QueryOptions, environment: Environment): Buffer[] {
    return boundKeys(this.#table, this.#key as readonly (EqRestriction | InRestriction)[], options, environment)
  }

  positionRange(options: QueryOptions, environment: Environment): PositionRange | null {
    return this.#token ? boundTokenRange(this.#token, options, environment) : { start: null, end: null }
  }

  clusterings(options: QueryOptions, environment: Environment): Buffer[] {
    const prefixes = boundPrefixes(this.#sliceable, options, environment)
    return this.#withoutValue === 0 ? prefixes : prefixes.map((prefix) => withNoValues(prefix, this.#withoutValue))
  }

  slices(options: QueryOptions, environment: Environment): Slice[] {
    const slices = boundSlices(this.#sliceable, options, environment)
    return this.isColumnRange ? slices : slices.map(({ start, end }) => ({ start, end, single: true }))
  }

  indexRead(options: QueryOptions, environment: Environment): IndexRead | null {
    return this.#index === null ? null : this.#index.read(options, environment)
  }

  filter(options: QueryOptions, environment: Environment): RowFilter | null {
    return this.needsFilter ? bindFilter(this.#filtered, options, environment, this.#index?.analyzers) : null
  }
}

function withNoValues(prefix: Buffer, count: number): Buffer {
  const writer = new ByteWriter(prefix.length + count)
  writer.bytes(prefix)
  encodeNoValues(count, writer)
  return writer.view()
}

/** The terms when the columns are all restricted by single = relations. */
function equalTerms(set: readonly Restriction[], columnCount: number): readonly Value[] | null {
  if (set.length !== columnCount) return null
  const terms: Value[] = []
  for (const restriction of set) {
    const single = restriction.kind === 'eq' && !restriction.multi ? restriction.tuple.single : null
    if (!single) return null
    terms.push(single)
  }
  return terms
}
