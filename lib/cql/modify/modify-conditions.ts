/**
 * IF clauses: what has to be true of a row for a statement to be done. Source: CQL 3.4.7 "Lightweight transactions"; comparisons with null,
 * checks and messages are those of Cassandra 5.0.
 */
import { invalid } from '../../base/errors.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { splitCollection, splitFields } from '../../types/collection-parts.ts'
import { isCollection, isMultiCell, NATIVE, someType } from '../../types/names.ts'
import type { CqlType } from '../../types/type.ts'
import { compare, holds, isOrderOperator } from '../../types/value.ts'
import type { ConditionClause, InValues, RelationOperator, Term } from '../ast.ts'
import { type BoundValue, type Environment, type QueryOptions, UNSET } from '../statement.ts'
import {
  columnReceiver,
  compileTerm,
  elementReceiver,
  indexReceiver,
  keyReceiver,
  type Receiver,
  type TermScope,
  type Value,
} from '../terms/terms.ts'
import type { ExistingRow } from './modify-read.ts'

export type Condition =
  | { readonly kind: 'exists' | 'not_exists' }
  | { readonly kind: 'columns'; readonly columns: readonly ColumnCondition[] }

/** One comparison with a column of the row as it is. */
export interface ColumnCondition {
  readonly column: ColumnSchema
  /** `row`: the row that holds the column, null when there is none. Throws INVALID for values that cannot be compared. */
  holds(row: ExistingRow | null, options: QueryOptions, environment: Environment): boolean
}

/** Where the condition's left side lies in the column's value. */
type Part =
  | { readonly kind: 'whole' }
  | { readonly kind: 'list_element' | 'map_element'; readonly key: Value }
  | { readonly kind: 'field'; readonly index: number }

/** Null: the statement has no IF. */
export function compileCondition(
  clause: ConditionClause,
  hasTimestamp: boolean,
  table: TableSchema,
  scope: TermScope,
): Condition | null {
  if (clause.kind === 'none') return null
  if (hasTimestamp) throw invalid('Cannot provide custom timestamp for conditional updates')
  if (clause.kind !== 'conditions') {
    if (table.isCounter) throw invalid('Conditional updates are not supported on counter tables')
    return { kind: clause.kind }
  }
  const columns = clause.conditions.map((written) => {
    const receiver = columnReceiver(table, written.column)
    const column = table.columns.get(written.column)!
    const { part, receiver: left } = leftSide(receiver, written.element, written.field, scope)
    const { operator } = written
    checkDurations(left.type, operator)
    const right = valueReceiver(left, operator)
    const values =
      'values' in written ? inValues(written.values, right, scope) : [compileTerm(written.value, right, scope)]
    if (column.position >= 0) throw invalid(`PRIMARY KEY column '${column.name}' cannot have IF conditions`)
    return new Comparison(column, part, left.type, operator, values)
  })
  const order = [
    ...columns.filter((one) => one.column.kind !== 'static'),
    ...columns.filter((one) => one.column.kind === 'static'),
  ]
  return { kind: 'columns', columns: order }
}

/** Whatever the statement writes or looks at is static (and there is something). */
export function onlyStatics(
  regulars: readonly unknown[],
  statics: readonly unknown[],
  condition: Condition | null,
): boolean {
  if (regulars.length > 0 || isRegularCondition(condition)) return false
  return statics.length > 0 || condition?.kind === 'columns'
}

/** The condition looks at a regular column. */
export function isRegularCondition(condition: Condition | null): boolean {
  return condition?.kind === 'columns' && condition.columns.some(({ column }) => column.kind === 'regular')
}

function leftSide(
  receiver: Receiver,
  element: Term | null,
  field: string | null,
  scope: TermScope,
): { part: Part; receiver: Receiver } {
  const { keyspace, table, name, type } = receiver
  if (type === NATIVE.counter) throw invalid('Conditions on counters are not supported')
  if (field !== null) {
    const index = type.kind === 'udt' ? type.fieldNames.indexOf(field) : -1
    if (type.kind !== 'udt' || index < 0) throw invalid(`Unknown field ${field} for column ${name}`)
    return {
      part: { kind: 'field', index },
      receiver: { keyspace, table, name: `${name}.${field}`, type: type.fieldTypes[index]! },
    }
  }
  if (element === null) return { part: { kind: 'whole' }, receiver }
  if (!isCollection(type)) throw invalid(`Invalid element access syntax for non-collection column ${name}`)
  if (type.kind === 'set') throw invalid(`Invalid element access syntax for set column ${name}`)
  if (type.kind === 'map') {
    const key = compileTerm(element, keyReceiver(receiver, type.key), scope)
    return { part: { kind: 'map_element', key }, receiver: elementReceiver(receiver, type.value) }
  }
  const key = compileTerm(element, indexReceiver(receiver, NATIVE.int), scope)
  return { part: { kind: 'list_element', key }, receiver: elementReceiver(receiver, type.element) }
}

const SLICES: ReadonlySet<RelationOperator> = new Set(['<', '<=', '>', '>='])

function checkDurations(type: CqlType, operator: RelationOperator): void {
  if (!SLICES.has(operator) || !someType(type, (part) => part === NATIVE.duration)) return
  if (isCollection(type)) throw invalid('Slice conditions are not supported on collections containing durations')
  if (type.kind === 'tuple') throw invalid('Slice conditions are not supported on tuples containing durations')
  if (type.kind === 'udt') throw invalid('Slice conditions are not supported on UDTs containing durations')
  throw invalid(`Slice conditions ( ${operator} ) are not supported on durations`)
}

function valueReceiver(receiver: Receiver, operator: RelationOperator): Receiver {
  const { name, type } = receiver
  if (operator === 'CONTAINS KEY') {
    if (type.kind !== 'map') throw invalid(`Cannot use CONTAINS KEY on non-map column ${name}`)
    return keyReceiver(receiver, type.key)
  }
  if (operator !== 'CONTAINS') return receiver
  if (!isCollection(type)) throw invalid(`Cannot use CONTAINS on non-collection column ${name}`)
  return elementReceiver(receiver, type.kind === 'map' ? type.value : type.element)
}

function inValues(values: InValues, receiver: Receiver, scope: TermScope): Value[] | Value {
  if (values.kind === 'terms') return values.terms.map((term) => compileTerm(term, receiver, scope))
  const { keyspace, table, name, type } = receiver
  const list: Receiver = { keyspace, table, name: `in(${name})`, type: { kind: 'list', element: type, frozen: false } }
  return compileTerm(values.marker, list, scope)
}

class Comparison implements ColumnCondition {
  readonly column: ColumnSchema
  readonly #part: Part
  readonly #type: CqlType
  readonly #operator: RelationOperator
  /** One value for IN ?: a list. */
  readonly #values: readonly Value[] | Value

  constructor(
    column: ColumnSchema,
    part: Part,
    type: CqlType,
    operator: RelationOperator,
    values: readonly Value[] | Value,
  ) {
    this.column = column
    this.#part = part
    this.#type = type
    this.#operator = operator
    this.#values = values
  }

  holds(row: ExistingRow | null, options: QueryOptions, environment: Environment): boolean {
    const actual = this.#actual(row, options, environment)
    const values = this.#values
    if (!isList(values)) {
      const list = values.bind(options, environment)
      if (list === UNSET) throw invalid("Invalid 'unset' value in condition")
      if (list === null) throw invalid('Invalid null list in IN condition')
      return splitCollection(list, 1).some((value) => this.#compare(actual, value, '='))
    }
    if (this.#operator !== 'IN') return this.#compare(actual, values[0]!.bind(options, environment), this.#operator)
    return values.some((value) => {
      const bound = value.bind(options, environment)
      return bound !== UNSET && this.#compare(actual, bound, '=')
    })
  }

  #actual(row: ExistingRow | null, options: QueryOptions, environment: Environment): Buffer | null {
    const part = this.#part
    const value = row === null ? null : row.value(this.column)
    switch (part.kind) {
      case 'whole':
        return value
      case 'field':
        return value === null ? null : (splitFields(value)[part.index] ?? null)
      case 'list_element': {
        const index = boundKey(part.key, 'list', options, environment).readInt32BE(0)
        if (index < 0) throw invalid(`Invalid negative list index ${index}`)
        return value === null ? null : (splitCollection(value, 1)[index] ?? null)
      }
      case 'map_element': {
        const key = boundKey(part.key, 'map', options, environment)
        const entries = value === null ? [] : splitCollection(value, 2)
        for (let i = 0; i < entries.length; i += 2)
          if (compare(part.key.type, entries[i]!, key) === 0) return entries[i + 1]!
        return null
      }
    }
  }

  #compare(actual: Buffer | null, value: BoundValue, operator: RelationOperator): boolean {
    if (value === UNSET) throw invalid("Invalid 'unset' value in condition")
    if (value === null) {
      if (operator === '=') return actual === null
      if (operator === '!=') return actual !== null
      throw invalid(`Invalid comparison with null for operator "${operator}"`)
    }
    if (operator === 'CONTAINS' || operator === 'CONTAINS KEY') return this.#contains(actual, value, operator)
    // A collection of many cells that has none is equal to an empty one, and yet neither smaller nor greater than any.
    const ofCells = isMultiCell(this.#type) && isCollection(this.#type)
    if (ofCells && SLICES.has(operator) && value.equals(EMPTY_COLLECTION))
      throw invalid(`Invalid comparison with an empty ${this.#type.kind} for operator "${operator}"`)
    const known = actual ?? (ofCells && !SLICES.has(operator) ? EMPTY_COLLECTION : null)
    if (known === null) return operator === '!='
    if (!isOrderOperator(operator)) throw invalid(`Unsupported operator ${operator} in a condition`)
    return holds(operator, compare(this.#type, known, value))
  }

  #contains(actual: Buffer | null, value: Buffer, operator: 'CONTAINS' | 'CONTAINS KEY'): boolean {
    const type = this.#type
    if (actual === null || !isCollection(type)) return false
    if (type.kind !== 'map')
      return splitCollection(actual, 1).some((element) => compare(type.element, element, value) === 0)
    const ofKeys = operator === 'CONTAINS KEY'
    const wanted = ofKeys ? type.key : type.value
    return splitCollection(actual, 2).some((part, i) => (i % 2 === 0) === ofKeys && compare(wanted, part, value) === 0)
  }
}

function isList(values: readonly Value[] | Value): values is readonly Value[] {
  return Array.isArray(values)
}

const EMPTY_COLLECTION = Buffer.alloc(4)

function boundKey(term: Value, kind: 'list' | 'map', options: QueryOptions, environment: Environment): Buffer {
  const key = term.bind(options, environment)
  if (key === UNSET) throw invalid(`Invalid unset value for ${kind} element access`)
  if (key === null) throw invalid(`Invalid null value for ${kind} element access`)
  return key
}
