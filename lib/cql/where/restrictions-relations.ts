/**
 * One relation of a WHERE clause becomes one restriction: columns are looked up, operators checked against types, terms compiled.
 * Source: CQL 3.4.7 "The WHERE clause"; words of Apache Cassandra 5.0.
 */
import { invalid } from '../../base/errors.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { quoteIdentifier } from '../../types/identifier.ts'
import { isCollection, isMultiCell, someType, typeToCql } from '../../types/names.ts'
import type { CqlType } from '../../types/type.ts'
import type { InValues, Relation, Term } from '../ast.ts'
import {
  columnReceiver,
  compileTerm,
  MarkerValue,
  type Receiver,
  type TermScope,
  termText,
  type Value,
} from '../terms/terms.ts'
import {
  BoundList,
  LiteralTuple,
  MarkerTuple,
  MarkerTuples,
  SingleTuple,
  type Tuple,
  type Tuples,
} from './restrictions-values.ts'

interface OnColumns {
  /** In order of position; one unless `multi`. */
  readonly columns: readonly ColumnSchema[]
  /** Written as (a, b) … */
  readonly multi: boolean
}

export interface EqRestriction extends OnColumns {
  readonly kind: 'eq'
  readonly tuple: Tuple
}

export interface InRestriction extends OnColumns {
  readonly kind: 'in'
  readonly tuples: Tuples
}

export interface Bound {
  readonly tuple: Tuple
  readonly inclusive: boolean
}

export interface SliceRestriction extends OnColumns {
  readonly kind: 'slice'
  readonly start: Bound | null
  readonly end: Bound | null
}

/** CONTAINS, CONTAINS KEY and m[k] = v, however many of them. */
export interface ContainsRestriction extends OnColumns {
  readonly kind: 'contains'
  readonly values: readonly Value[]
  readonly keys: readonly Value[]
  readonly entries: readonly { readonly key: Value; readonly value: Value }[]
}

export type Restriction = EqRestriction | InRestriction | SliceRestriction | ContainsRestriction

export interface TokenBound {
  readonly value: Value
  readonly inclusive: boolean
}

/** `equal` has both bounds, the same one twice. */
export interface TokenRestriction {
  readonly kind: 'token'
  readonly columns: readonly ColumnSchema[]
  readonly equal: boolean
  readonly start: TokenBound | null
  readonly end: TokenBound | null
}

/** Cassandra's name of the receiver of what token() is compared with. */
const TOKEN_RECEIVER = 'partition key token'

/** Throws INVALID. */
export function toRestriction(
  relation: Relation,
  table: TableSchema,
  scope: TermScope,
): Restriction | TokenRestriction {
  switch (relation.kind) {
    case 'single':
      return singleRestriction(relation, table, scope)
    case 'in':
      return inRestriction(relation, table, scope)
    case 'element':
      return elementRestriction(relation, table, scope)
    case 'multi':
      return multiRestriction(relation, table, scope)
    case 'multi_in':
      return multiInRestriction(relation, table, scope)
    case 'token':
      return tokenRestriction(relation, table, scope)
    case 'between':
      throw unsupported('BETWEEN', relation)
    case 'expression':
      throw invalid(`Index ${relation.index.name} not found`)
  }
}

function unsupported(operator: string, relation: Relation): Error {
  return invalid(`Unsupported "${operator}" relation: ${relationText(relation)}`)
}

function singleRestriction(relation: Relation & { kind: 'single' }, table: TableSchema, scope: TermScope): Restriction {
  const { operator, value } = relation
  if (operator === 'IS NOT') throw invalid(`Unsupported restriction: ${relationText(relation)}`)
  switch (operator) {
    case '=':
    case '<':
    case '<=':
    case '>':
    case '>=':
    case 'CONTAINS':
    case 'CONTAINS KEY':
    case 'LIKE':
      break
    default:
      throw unsupported(operator, relation)
  }
  const receiver = columnReceiver(table, relation.column)
  const column = table.columns.get(relation.column)!
  const isSlice = operator === '<' || operator === '<=' || operator === '>' || operator === '>='
  if (isSlice) refuseDurations(column.type)
  checkOperator(column, operator)
  const columns = [column]
  if (operator === 'CONTAINS' || operator === 'CONTAINS KEY') {
    const element = collectionReceiver(receiver, operator === 'CONTAINS KEY')
    const term = [compileTerm(value, element, scope)]
    const isKey = operator === 'CONTAINS KEY'
    return { kind: 'contains', multi: false, columns, values: isKey ? [] : term, keys: isKey ? term : [], entries: [] }
  }
  const tuple = new SingleTuple(compileTerm(value, receiver, scope))
  if (operator === 'LIKE')
    throw invalid(
      `LIKE restriction is only supported on properly indexed columns. ${relationText(relation)} is not valid.`,
    )
  return operator === '=' ? { kind: 'eq', multi: false, columns, tuple } : sliceOf(columns, false, operator, tuple)
}

function sliceOf(
  columns: readonly ColumnSchema[],
  multi: boolean,
  operator: '<' | '<=' | '>' | '>=',
  tuple: Tuple,
): SliceRestriction {
  const bound = { tuple, inclusive: operator === '<=' || operator === '>=' }
  const isStart = operator === '>' || operator === '>='
  return { kind: 'slice', multi, columns, start: isStart ? bound : null, end: isStart ? null : bound }
}

function inRestriction(relation: Relation & { kind: 'in' }, table: TableSchema, scope: TermScope): Restriction {
  if (relation.negated) throw unsupported('NOT IN', relation)
  const receiver = columnReceiver(table, relation.column)
  const column = table.columns.get(relation.column)!
  checkOperator(column, 'IN')
  const columns = [column]
  if (relation.values.kind === 'marker') {
    const list = listMarker(relation.values.marker, listReceiver(receiver, column.name), scope)
    return { kind: 'in', multi: false, columns, tuples: new MarkerTuples(list, column.name, [column.type], false) }
  }
  const tuples = relation.values.terms.map((term) => new SingleTuple(compileTerm(term, receiver, scope)))
  if (tuples.length === 1) return { kind: 'eq', multi: false, columns, tuple: tuples[0]! }
  return { kind: 'in', multi: false, columns, tuples: new BoundList(tuples) }
}

function elementRestriction(
  relation: Relation & { kind: 'element' },
  table: TableSchema,
  scope: TermScope,
): Restriction {
  switch (relation.operator) {
    case '=':
    case '<':
    case '<=':
    case '>':
    case '>=':
    case 'LIKE':
      break
    default:
      throw unsupported(relation.operator, relation)
  }
  if (relation.operator === 'LIKE') throw invalid("LIKE can't be used with collections.")
  const receiver = columnReceiver(table, relation.column)
  const column = table.columns.get(relation.column)!
  if (relation.operator !== '=') refuseDurations(column.type)
  const { type, name } = column
  if (type.kind === 'list')
    throw invalid(`Indexes on list entries (${name}[index] = value) are not currently supported.`)
  if (type.kind !== 'map') throw invalid(`Column ${name} cannot be used as a map`)
  if (type.frozen) throw invalid(`Map-entry equality predicates on frozen map column ${name} are not supported`)
  if (relation.operator !== '=') throw invalid('Only EQ relations are supported on map entries')
  const key = compileTerm(relation.element, collectionReceiver(receiver, true), scope)
  const value = compileTerm(relation.value, collectionReceiver(receiver, false), scope)
  return { kind: 'contains', multi: false, columns: [column], values: [], keys: [], entries: [{ key, value }] }
}

function refuseDurations(type: CqlType): void {
  if (!someType(type, (part) => part.kind === 'native' && part.name === 'duration')) return
  if (isCollection(type)) throw invalid('Slice restrictions are not supported on collections containing durations')
  if (type.kind === 'tuple') throw invalid('Slice restrictions are not supported on tuples containing durations')
  if (type.kind === 'udt') throw invalid('Slice restrictions are not supported on UDTs containing durations')
  throw invalid('Slice restrictions are not supported on duration columns')
}

function checkOperator(column: ColumnSchema, operator: string): void {
  const { name, type } = column
  if (operator === 'CONTAINS KEY' && type.kind !== 'map')
    throw invalid(`Cannot use CONTAINS KEY on non-map column ${name}`)
  if (operator === 'CONTAINS' && !isCollection(type))
    throw invalid(`Cannot use CONTAINS on non-collection column ${name}`)
  if (!isMultiCell(type)) return
  if (type.kind === 'udt')
    throw invalid(`Non-frozen UDT column '${name}' (${typeToCql(type)}) cannot be restricted by any relation`)
  if (operator !== 'CONTAINS' && operator !== 'CONTAINS KEY')
    throw invalid(`Collection column '${name}' (${typeToCql(type)}) cannot be restricted by a '${operator}' relation`)
}

function collectionReceiver(receiver: Receiver, isKey: boolean): Receiver {
  const { keyspace, table, name, type } = receiver
  if (type.kind === 'map')
    return isKey
      ? { keyspace, table, name: `key(${name})`, type: type.key }
      : { keyspace, table, name: `value(${name})`, type: type.value }
  if (type.kind === 'list' || type.kind === 'set')
    return { keyspace, table, name: `value(${name})`, type: type.element }
  return receiver
}

/** `columns`: as the marker's name has them. */
function listReceiver(receiver: Receiver, columns: string): Receiver {
  const { keyspace, table, type } = receiver
  return { keyspace, table, name: `in(${columns})`, type: { kind: 'list', element: type, frozen: false } }
}

/** The marker that stands for a whole list; registered, but not checked as a list, for it may hold nulls. */
function listMarker(term: Term, receiver: Receiver, scope: TermScope): Value {
  const list = compileTerm(term, receiver, scope)
  return list instanceof MarkerValue ? new MarkerValue(list.type, list.markerIndex, () => {}, null) : list
}

function multiColumns(
  relation: Relation & { kind: 'multi' | 'multi_in' },
  table: TableSchema,
): { columns: ColumnSchema[]; receivers: Receiver[] } {
  const columns: ColumnSchema[] = []
  const receivers: Receiver[] = []
  for (const name of relation.columns) {
    receivers.push(columnReceiver(table, name))
    const column = table.columns.get(name)!
    if (column.kind !== 'clustering')
      throw invalid(`Multi-column relations can only be applied to clustering columns but was applied to: ${name}`)
    if (columns.includes(column))
      throw invalid(`Column "${name}" appeared twice in a relation: ${relationText(relation)}`)
    const previous = columns.at(-1)
    if (previous && column.position !== previous.position + 1)
      throw invalid(
        `Clustering columns must appear in the PRIMARY KEY order in multi-column relations: ${relationText(relation)}`,
      )
    columns.push(column)
  }
  return { columns, receivers }
}

function tupleReceiver(receivers: readonly Receiver[]): Receiver {
  const { keyspace, table } = receivers[0]!
  const name = `(${receivers.map((receiver) => receiver.name).join(',')})`
  return { keyspace, table, name, type: { kind: 'tuple', elements: receivers.map((receiver) => receiver.type) } }
}

function compileTuple(term: Term, receivers: readonly Receiver[], scope: TermScope): Tuple {
  if (term.kind !== 'tuple') {
    const receiver = tupleReceiver(receivers)
    return new MarkerTuple(compileTerm(term, receiver, scope), receiver.name, receivers.length)
  }
  const { elements } = term
  if (elements.length !== receivers.length)
    throw invalid(`Expected ${receivers.length} elements in value tuple, but got ${elements.length}: ${termText(term)}`)
  return new LiteralTuple(elements.map((element, i) => compileTerm(element, receivers[i]!, scope)))
}

function multiRestriction(relation: Relation & { kind: 'multi' }, table: TableSchema, scope: TermScope): Restriction {
  if (relation.operator === '!=') throw unsupported('!=', relation)
  const { columns, receivers } = multiColumns(relation, table)
  const tuple = compileTuple(relation.value, receivers, scope)
  return relation.operator === '='
    ? { kind: 'eq', multi: true, columns, tuple }
    : sliceOf(columns, true, relation.operator, tuple)
}

function multiInRestriction(
  relation: Relation & { kind: 'multi_in' },
  table: TableSchema,
  scope: TermScope,
): Restriction {
  const { columns, receivers } = multiColumns(relation, table)
  if (relation.values.kind === 'marker') {
    const receiver = tupleReceiver(receivers)
    const list = listMarker(
      relation.values.marker,
      listReceiver(receiver, columns.map((column) => column.name).join(',')),
      scope,
    )
    const types = columns.map((column) => column.type)
    const tuples = new MarkerTuples(list, receiver.name, types, true)
    return { kind: 'in', multi: true, columns, tuples }
  }
  const tuples = relation.values.terms.map((term) => compileTuple(term, receivers, scope))
  if (tuples.length === 1) return { kind: 'eq', multi: true, columns, tuple: tuples[0]! }
  return { kind: 'in', multi: true, columns, tuples: new BoundList(tuples) }
}

function tokenRestriction(
  relation: Relation & { kind: 'token' },
  table: TableSchema,
  scope: TermScope,
): TokenRestriction {
  const { operator } = relation
  if (operator === '!=') throw unsupported('!=', relation)
  if (operator === 'IN' || operator === 'BETWEEN') throw invalid(`${operator} cannot be used with the token function`)
  const columns = relation.columns.map((name) => {
    columnReceiver(table, name)
    return table.columns.get(name)!
  })
  checkTokenColumns(columns, table.partitionKey)
  const receiver: Receiver = {
    keyspace: table.keyspace,
    table: table.name,
    name: TOKEN_RECEIVER,
    type: { kind: 'native', name: 'bigint' },
  }
  const bound = {
    value: compileTerm(relation.value, receiver, scope),
    inclusive: operator !== '<' && operator !== '>',
  }
  const equal = operator === '='
  const isStart = operator === '>' || operator === '>='
  return { kind: 'token', columns, equal, start: isStart || equal ? bound : null, end: isStart ? null : bound }
}

function checkTokenColumns(columns: readonly ColumnSchema[], key: readonly ColumnSchema[]): void {
  if (columns.length === key.length && columns.every((column, i) => column === key[i])) return
  if (!key.every((column) => columns.includes(column)))
    throw invalid('The token() function must be applied to all partition key components or none of them')
  if (new Set(columns).size !== columns.length)
    throw invalid('The token() function contains duplicate partition key components')
  if (!columns.every((column) => key.includes(column)))
    throw invalid('The token() function must contains only partition key components')
  throw invalid(
    `The token function arguments must be in the partition key order: ${key.map((column) => column.name).join(', ')}`,
  )
}

/** The relation as Cassandra's errors show it. */
function relationText(relation: Relation): string {
  switch (relation.kind) {
    case 'single':
      return `${quoteIdentifier(relation.column)} ${relation.operator} ${termText(relation.value)}`
    case 'in':
      return `${quoteIdentifier(relation.column)} ${relation.negated ? 'NOT IN' : 'IN'} ${inText(relation.values)}`
    case 'element':
      return `${quoteIdentifier(relation.column)}[${termText(relation.element)}] ${relation.operator} ${termText(relation.value)}`
    case 'multi':
      return `${columnsText(relation.columns)} ${relation.operator} ${termText(relation.value)}`
    case 'multi_in':
      return `${columnsText(relation.columns)} IN ${inText(relation.values)}`
    case 'token':
      return `token${columnsText(relation.columns)} ${relation.operator} ${termText(relation.value)}`
    case 'between':
      return `${quoteIdentifier(relation.column)} BETWEEN ${termText(relation.low)} AND ${termText(relation.high)}`
    case 'expression':
      return `expr(${relation.index.name}, ${termText(relation.value)})`
  }
}

function columnsText(columns: readonly string[]): string {
  return `(${columns.map(quoteIdentifier).join(', ')})`
}

function inText(values: InValues): string {
  return values.kind === 'marker' ? '?' : `(${values.terms.map(termText).join(', ')})`
}
