/**
 * What is selected, ready to be computed for a row or a group of rows. Source: CQL 3.4.7 "Selection clause".
 * Always: an expression keeps nothing between rows; what aggregates gather lies in the row's own states.
 */
import { ByteReader, ByteWriter } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import type { Assemble } from '../../types/assemble.ts'
import { compare } from '../../types/compare.ts'
import { jsonName, toJson } from '../../types/json.ts'
import { isMultiCell, NATIVE } from '../../types/names.ts'
import type { CqlType } from '../../types/type.ts'
import type { AggregateFunction, AggregateState, FunctionContext, ScalarFunction } from '../functions/function.ts'
import { type BoundValue, type Environment, type QueryOptions, UNSET } from '../statement.ts'
import type { Value } from '../terms/terms.ts'

/** What an expression sees. Values are valid while it is computed. */
export interface ExpressionRow {
  /** Of the items that the selection reads, by index. */
  readonly values: readonly (Buffer | null)[]
  /** Of the group's aggregates, by index; empty where there are none. */
  readonly states: readonly AggregateState[]
  readonly options: QueryOptions
  readonly environment: Environment
  readonly context: FunctionContext
}

export interface Expression {
  readonly type: CqlType
  /** There is an aggregate in it. */
  readonly isAggregate: boolean
  evaluate(row: ExpressionRow): Buffer | null
}

/** A column, its writetime or its ttl, as the row's encoder gives it. */
export class ItemExpression implements Expression {
  readonly type: CqlType
  readonly isAggregate = false
  readonly item: number

  constructor(type: CqlType, item: number) {
    this.type = type
    this.item = item
  }

  evaluate(row: ExpressionRow): Buffer | null {
    return row.values[this.item]!
  }
}

export class TermExpression implements Expression {
  readonly type: CqlType
  readonly isAggregate = false
  readonly #value: Value

  constructor(value: Value, type: CqlType) {
    this.type = type
    this.#value = value
  }

  evaluate(row: ExpressionRow): Buffer | null {
    return present(this.#value.bind(row.options, row.environment))
  }
}

function present(value: BoundValue): Buffer | null {
  if (value === UNSET) throw invalid('Invalid unset value for argument in call to function')
  return value
}

export class CallExpression implements Expression {
  readonly type: CqlType
  readonly isAggregate: boolean
  readonly #called: ScalarFunction
  readonly #args: readonly Expression[]

  constructor(called: ScalarFunction, args: readonly Expression[]) {
    this.type = called.returnType
    this.isAggregate = args.some((arg) => arg.isAggregate)
    this.#called = called
    this.#args = args
  }

  evaluate(row: ExpressionRow): Buffer | null {
    return this.#called.execute(
      this.#args.map((arg) => arg.evaluate(row)),
      row.context,
    )
  }
}

export class AggregateExpression implements Expression {
  readonly type: CqlType
  readonly isAggregate = true
  readonly called: AggregateFunction
  readonly #state: number
  readonly #args: readonly Expression[]

  /** `state`: its index among the aggregates of the selection. */
  constructor(called: AggregateFunction, state: number, args: readonly Expression[]) {
    this.type = called.returnType
    this.called = called
    this.#state = state
    this.#args = args
  }

  /** Takes one more row of the group. */
  add(row: ExpressionRow): void {
    row.states[this.#state]!.add(this.#args.map((arg) => arg.evaluate(row)))
  }

  evaluate(row: ExpressionRow): Buffer | null {
    return row.states[this.#state]!.result()
  }
}

/** A field of a user type. */
export class FieldExpression implements Expression {
  readonly type: CqlType
  readonly isAggregate: boolean
  readonly #of: Expression
  readonly #field: number

  constructor(type: CqlType, of: Expression, field: number) {
    this.type = type
    this.isAggregate = of.isAggregate
    this.#of = of
    this.#field = field
  }

  evaluate(row: ExpressionRow): Buffer | null {
    const bytes = this.#of.evaluate(row)
    return bytes === null ? null : fieldOf(bytes, this.#field)
  }
}

/** The field of a serialised tuple or user type; null past its end. */
function fieldOf(bytes: Buffer, field: number): Buffer | null {
  const reader = new ByteReader(bytes)
  for (let i = 0; reader.remaining() > 0; i++) {
    const length = reader.int32()
    const value = length < 0 ? null : reader.view(length)
    if (i === field) return value
  }
  return null
}

/** A list, set, map, tuple, user type or vector put together from its parts. */
export class LiteralExpression implements Expression {
  readonly type: CqlType
  readonly isAggregate: boolean
  readonly #parts: readonly Expression[]
  readonly #assemble: Assemble
  readonly #assembleResult: Assemble

  /** `assembleResult`: where the value goes to the client as it is, and nobody here takes it apart again. */
  constructor(type: CqlType, parts: readonly Expression[], assemble: Assemble, assembleResult: Assemble = assemble) {
    this.type = type
    this.isAggregate = parts.some((part) => part.isAggregate)
    this.#parts = parts
    this.#assemble = assemble
    this.#assembleResult = assembleResult
  }

  evaluate(row: ExpressionRow): Buffer | null {
    return this.#assemble(this.#parts.map((part) => part.evaluate(row)))
  }

  asResult(): LiteralExpression {
    return new LiteralExpression(this.type, this.#parts.map(asResult), this.#assembleResult)
  }
}

/** The expression where its value is one of the result's: in lists and maps written there Cassandra lets null pass. */
export function asResult(expression: Expression): Expression {
  return expression instanceof LiteralExpression ? expression.asResult() : expression
}

/** SELECT JSON: all that is selected as one object. */
export class JsonExpression implements Expression {
  readonly type = NATIVE.text
  readonly isAggregate: boolean
  readonly #names: readonly string[]
  readonly #parts: readonly Expression[]

  constructor(names: readonly string[], parts: readonly Expression[]) {
    this.isAggregate = parts.some((part) => part.isAggregate)
    this.#names = names.map(jsonName)
    this.#parts = parts
  }

  evaluate(row: ExpressionRow): Buffer {
    const members = this.#parts.map((part, i) => `${this.#names[i]}: ${toJson(part.type, part.evaluate(row))}`)
    return Buffer.from(`{${members.join(', ')}}`)
  }
}

/** Which elements of a map or set are meant: one, or those of an interval. */
export interface ElementBounds {
  /** Of what they are elements, as messages say it. */
  readonly name: string
  readonly keyType: CqlType
  readonly isMap: boolean
  readonly isSlice: boolean
  /** Null: no bound. One element has both, the same. */
  readonly from: Value | null
  readonly to: Value | null
}

/** Null: no bound on that side. */
function bindBound(value: Value | null, bounds: ElementBounds, row: ExpressionRow): Buffer | null {
  if (value === null) return null
  const bound = value.bind(row.options, row.environment)
  const what = bounds.isSlice ? 'slice' : 'element'
  if (bound === null) throw invalid(`Invalid null value for ${what} selection on ${bounds.name}`)
  if (bound !== UNSET) return bound
  if (bounds.isSlice) return null
  throw invalid(`Invalid unset value for ${what} selection on ${bounds.name}`)
}

/** The places [start, end) of the elements within the bounds. */
function rangeOf(elements: readonly Buffer[], bounds: ElementBounds, row: ExpressionRow): readonly [number, number] {
  const { keyType } = bounds
  const first = bindBound(bounds.from, bounds, row)
  const last = bounds.isSlice ? bindBound(bounds.to, bounds, row) : first
  const step = bounds.isMap ? 2 : 1
  const count = elements.length / step
  let start = 0
  while (start < count && first !== null && compare(keyType, elements[start * step]!, first) < 0) start++
  let end = start
  while (end < count && (last === null || compare(keyType, elements[end * step]!, last) <= 0)) end++
  return [start, end]
}

/** The elements of a serialised collection; keys and values of a map in turn. */
function elementsOf(bytes: Buffer, isMap: boolean): Buffer[] {
  const reader = new ByteReader(bytes)
  const count = reader.int32() * (isMap ? 2 : 1)
  const elements: Buffer[] = []
  for (let i = 0; i < count; i++) elements.push(reader.view(Math.max(reader.int32(), 0)))
  return elements
}

function collectionOf(elements: readonly Buffer[], isMap: boolean): Buffer {
  const out = new ByteWriter(64)
  out.int32(elements.length / (isMap ? 2 : 1))
  for (const element of elements) {
    out.int32(element.length)
    out.bytes(element)
  }
  return out.view()
}

/** m[key], s[element], and slices of both. */
export class ElementExpression implements Expression {
  readonly type: CqlType
  readonly isAggregate: boolean
  readonly #of: Expression
  readonly #bounds: ElementBounds

  constructor(type: CqlType, of: Expression, bounds: ElementBounds) {
    this.type = type
    this.isAggregate = of.isAggregate
    this.#of = of
    this.#bounds = bounds
  }

  evaluate(row: ExpressionRow): Buffer | null {
    const bytes = this.#of.evaluate(row)
    if (bytes === null) return null
    const { isMap, isSlice } = this.#bounds
    const elements = elementsOf(bytes, isMap)
    const [start, end] = rangeOf(elements, this.#bounds, row)
    const step = isMap ? 2 : 1
    // Nothing is left of a collection of many cells; a frozen one is a value, and an empty one too.
    if (isSlice && (start !== end || !isMultiCell(this.type)))
      return collectionOf(elements.slice(start * step, end * step), isMap)
    return start === end ? null : elements[start * step + step - 1]!
  }
}

/** writetime, maxwritetime or ttl of elements or fields of a column that is not frozen: some of the list that the column as a whole has. */
export class ElementTimesExpression implements Expression {
  readonly type: CqlType
  readonly isAggregate = false
  readonly #of: Expression
  readonly #times: Expression
  readonly #bounds: ElementBounds
  readonly #isNewest: boolean

  /** `times`: the list of the column's times; `isNewest`: the greatest of those meant. */
  constructor(type: CqlType, of: Expression, times: Expression, bounds: ElementBounds, isNewest: boolean) {
    this.type = type
    this.#of = of
    this.#times = times
    this.#bounds = bounds
    this.#isNewest = isNewest
  }

  evaluate(row: ExpressionRow): Buffer | null {
    const bytes = this.#of.evaluate(row)
    const times = this.#times.evaluate(row)
    if (bytes === null || times === null) return null
    const [start, end] = rangeOf(elementsOf(bytes, this.#bounds.isMap), this.#bounds, row)
    if (start === end) return null
    if (!this.#bounds.isSlice) return listElement(times, start)
    if (!this.#isNewest) return slicedList(times, start, end)
    let newest: Buffer | null = null
    for (let i = start; i < end; i++) {
      const time = listElement(times, i)!
      if (newest === null || time.readBigInt64BE(0) > newest.readBigInt64BE(0)) newest = time
    }
    return newest
  }
}

/** The time of one field of a user type that is not frozen. */
export class FieldTimeExpression implements Expression {
  readonly type: CqlType
  readonly isAggregate = false
  readonly #times: Expression
  readonly #field: number

  constructor(type: CqlType, times: Expression, field: number) {
    this.type = type
    this.#times = times
    this.#field = field
  }

  evaluate(row: ExpressionRow): Buffer | null {
    const times = this.#times.evaluate(row)
    return times === null ? null : listElement(times, this.#field)
  }
}

function listElement(list: Buffer, index: number): Buffer | null {
  return fieldOf(list.subarray(4), index)
}

function slicedList(list: Buffer, start: number, end: number): Buffer {
  const out = new ByteWriter(64)
  out.int32(end - start)
  for (let i = start; i < end; i++) {
    const element = listElement(list, i)
    out.int32(element === null ? -1 : element.length)
    if (element !== null) out.bytes(element)
  }
  return out.view()
}
