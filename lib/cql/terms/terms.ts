/**
 * From terms as written to values ready to bind: literals become bytes, markers are registered, functions are looked up, and whatever cannot be
 * assigned is refused in Cassandra's words. Source: CQL 3.4.7 "Terms", "Constants", "Native functions".
 */
import { unreachable } from '../../base/assert.ts'
import { invalid, RequestError } from '../../base/errors.ts'
import type { TableSchema } from '../../schema/table.ts'
import { assembleList, assembleMap, assembleSet, assembleTuple, assembleVector } from '../../types/assemble.ts'
import { quoteIdentifier } from '../../types/identifier.ts'
import { literalAssignability, parseLiteral } from '../../types/literal.ts'
import { NATIVE, typeToCql } from '../../types/names.ts'
import { normalizerOf } from '../../types/normalize.ts'
import { compare } from '../../types/value.ts'
import type { Term } from '../ast.ts'
import { resolveType } from '../ddl/type-nodes.ts'
import {
  componentTypes,
  type FunctionTerm,
  findFunction,
  functionArgumentsOf,
  functionNameOf,
  type TermScope,
  testAssignment,
  testReturnType,
} from './terms-assign.ts'
import { componentReceiver, compositeValue, elementReceiver, fieldReceiver, keyReceiver } from './terms-collections.ts'
import { FunctionValue } from './terms-functions.ts'
import { functionNameText, termText, typeNodeText } from './terms-text.ts'
import { ConstantValue, MarkerValue, NowValue, type Receiver, type Value, validatorOf } from './terms-values.ts'

export type { Assignability } from '../functions/function.ts'
export { type TermScope, testAssignment, typeOfTerm } from './terms-assign.ts'
export { elementReceiver, indexReceiver, keyReceiver } from './terms-collections.ts'
export { termText } from './terms-text.ts'
export type { Receiver, Validator, Value } from './terms-values.ts'
export { ConstantValue, MarkerValue, Variables } from './terms-values.ts'

/** The receiver that a column of a table is. Throws INVALID `Undefined column name …` when there is none. */
export function columnReceiver(table: TableSchema, name: string): Receiver {
  const column = table.columns.get(name)
  if (!column) {
    const where = `${quoteIdentifier(table.keyspace)}.${quoteIdentifier(table.name)}`
    throw invalid(`Undefined column name ${quoteIdentifier(name)} in table ${where}`)
  }
  const receiver = { keyspace: table.keyspace, table: table.name, name, type: column.type }
  return column.kind === 'partition_key' ? { ...receiver, partitionKeyPosition: column.position } : receiver
}

/** Throws INVALID when the term cannot be assigned to the receiver. */
export function compileTerm(term: Term, receiver: Receiver, scope: TermScope): Value {
  const { type } = receiver
  switch (term.kind) {
    case 'constant':
      return compileConstant(term, receiver)
    case 'null':
      if (type === NATIVE.counter) throw invalid('Invalid null value for counter increment/decrement')
      return new ConstantValue(type, null)
    case 'marker':
      scope.variables.register(term.index, receiver)
      return new MarkerValue(type, term.index, validatorOf(type), normalizerOf(type))
    case 'list':
      return compileList(term, receiver, scope)
    case 'set':
      return compileSet(term, receiver, scope)
    case 'map':
      return compileMap(term, receiver, scope)
    case 'udt':
      return compileUserType(term, receiver, scope)
    case 'tuple':
      return compileTuple(term, receiver, scope)
    case 'function':
    case 'arithmetic':
    case 'negation':
      return compileFunction(term, receiver, scope)
    case 'typehint': {
      const text = `(${typeNodeText(term.type)})`
      if (testAssignment(term.term, resolveType(term.type, scope.keyspace, scope.schema), scope) === 'not')
        throw invalid(`Cannot cast value ${termText(term.term)} to type ${typeNodeText(term.type)}`)
      if (testAssignment(term, type, scope) === 'not')
        throw invalid(
          `Cannot assign value ${text}${termText(term.term)} to ${receiver.name} of type ${typeToCql(type)}`,
        )
      return compileTerm(term.term, receiver, scope)
    }
    case 'column':
      throw invalid(`Invalid column name ${term.name} in a term`)
    default:
      return unreachable(term)
  }
}

function compileConstant(term: Term & { kind: 'constant' }, { name, type }: Receiver): Value {
  if (literalAssignability(term.type, term.text, type) === 'not')
    throw invalid(`Invalid ${term.type.toUpperCase()} constant (${term.text}) for "${name}" of type ${typeToCql(type)}`)
  // 'now' is a time of its own at each execution.
  if (type === NATIVE.timestamp && term.text.toLowerCase() === 'now') return new NowValue()
  return new ConstantValue(
    type,
    parseLiteral(type, term.type, term.text, () => 0),
  )
}

/** Compiles the parts of a list, set or map; they may not hold bind variables. */
function compileParts(kind: string, name: string, parts: readonly [Term, Receiver][], scope: TermScope): Value[] {
  return parts.map(([term, receiver]) => {
    const value = compileTerm(term, receiver, scope)
    if (value.hasMarker)
      throw invalid(`Invalid ${kind} literal for ${name}: bind variables are not supported inside collection literals`)
    return value
  })
}

function checkPart(term: Term, receiver: Receiver, scope: TermScope, what: string): void {
  if (testAssignment(term, receiver.type, scope) === 'not')
    throw invalid(`${what} ${termText(term)} is not of type ${typeToCql(receiver.type)}`)
}

function compileList(term: Term & { kind: 'list' }, receiver: Receiver, scope: TermScope): Value {
  const { name, type } = receiver
  if (type.kind === 'vector') return compileVector(term.elements, receiver, scope)
  if (type.kind !== 'list')
    throw invalid(`Unexpected receiver type '${typeToCql(type)}'; only list and vector are expected`)
  const element = elementReceiver(receiver, type.element)
  for (const part of term.elements) checkPart(part, element, scope, `Invalid list literal for ${name}: value`)
  const parts = term.elements.map((part): [Term, Receiver] => [part, element])
  return compositeValue(type, compileParts('list', name, parts, scope), assembleList)
}

function compileVector(elements: readonly Term[], receiver: Receiver, scope: TermScope): Value {
  const { name, type } = receiver
  if (type.kind !== 'vector') throw invalid(`Invalid vector literal for ${name} of type ${typeToCql(type)}`)
  if (elements.length !== type.dimension)
    throw invalid(
      `Invalid vector literal for ${name} of type ${typeToCql(type)}; expected ${type.dimension} elements, but given ${elements.length}`,
    )
  const element = elementReceiver(receiver, type.element)
  for (const part of elements) checkPart(part, element, scope, `Invalid vector literal for ${name}: value`)
  const values = elements.map((part) => compileTerm(part, element, scope))
  return compositeValue(type, values, assembleVector(type))
}

function compileSet(term: Term & { kind: 'set' }, receiver: Receiver, scope: TermScope): Value {
  const { name, type } = receiver
  // `{}` is read as a set; it may be meant for a map.
  if (type.kind === 'map' && term.elements.length === 0) return new ConstantValue(type, assembleList([]))
  if (type.kind !== 'set') throw invalid(`Invalid set literal for ${name} of type ${typeToCql(type)}`)
  const element = elementReceiver(receiver, type.element)
  for (const part of term.elements) checkPart(part, element, scope, `Invalid set literal for ${name}: value`)
  const parts = term.elements.map((part): [Term, Receiver] => [part, element])
  const order = (a: Buffer, b: Buffer): number => compare(type.element, a, b)
  return compositeValue(type, compileParts('set', name, parts, scope), assembleSet(order))
}

function compileMap(term: Term & { kind: 'map' }, receiver: Receiver, scope: TermScope): Value {
  const { name, type } = receiver
  if (type.kind !== 'map') throw invalid(`Invalid map literal for ${name} of type ${typeToCql(type)}`)
  const key = keyReceiver(receiver, type.key)
  const value = elementReceiver(receiver, type.value)
  for (const [keyPart, valuePart] of term.entries) {
    checkPart(keyPart, key, scope, `Invalid map literal for ${name}: key`)
    checkPart(valuePart, value, scope, `Invalid map literal for ${name}: value`)
  }
  const parts = term.entries.flatMap(([keyPart, valuePart]): [Term, Receiver][] => [
    [keyPart, key],
    [valuePart, value],
  ])
  const order = (a: Buffer, b: Buffer): number => compare(type.key, a, b)
  return compositeValue(type, compileParts('map', name, parts, scope), assembleMap(order))
}

function compileUserType(term: Term & { kind: 'udt' }, receiver: Receiver, scope: TermScope): Value {
  const { name, type } = receiver
  if (type.kind !== 'udt') throw invalid(`Invalid user type literal for ${name} of type ${typeToCql(type)}`)
  const given = new Map(term.fields)
  const fields = type.fieldNames.map((field, i) => fieldReceiver(receiver, field, type.fieldTypes[i]!))
  type.fieldNames.forEach((field, i) => {
    const value = given.get(field)
    if (value && testAssignment(value, fields[i]!.type, scope) === 'not')
      throw invalid(
        `Invalid user type literal for ${name}: field ${field} is not of type ${typeToCql(fields[i]!.type)}`,
      )
  })
  for (const field of given.keys())
    if (!type.fieldNames.includes(field))
      throw invalid(`Unknown field '${field}' in value of user defined type ${type.name}`)
  const values = type.fieldNames.map((field, i): Value => {
    const value = given.get(field)
    return value ? compileTerm(value, fields[i]!, scope) : new ConstantValue(fields[i]!.type, null)
  })
  return compositeValue(type, values, assembleTuple, (i) => {
    throw invalid(`Invalid unset value for field '${type.fieldNames[i]}' of user defined type ${type.name}`)
  })
}

function compileTuple(term: Term & { kind: 'tuple' }, receiver: Receiver, scope: TermScope): Value {
  const { name, type } = receiver
  const { elements } = term
  const types = componentTypes(type)
  if (types === null) {
    // One term in parentheses is just that term.
    if (elements.length === 1) return compileTerm(elements[0]!, receiver, scope)
    throw invalid(`Invalid tuple type literal for ${name} of type ${typeToCql(type)}`)
  }
  const components = elements.map((_, i) => componentReceiver(receiver, i, types[i] ?? type))
  elements.forEach((element, i) => {
    if (i >= types.length)
      throw invalid(
        `Invalid tuple literal for ${name}: too many elements. Type ${typeToCql(type)} expects ${types.length} but got ${elements.length}`,
      )
    if (testAssignment(element, types[i]!, scope) === 'not')
      throw invalid(`Invalid tuple literal for ${name}: component ${i} is not of type ${typeToCql(types[i]!)}`)
  })
  const values = elements.map((element, i) => compileTerm(element, components[i]!, scope))
  return compositeValue(type, values, assembleTuple, (i) => {
    throw invalid(`Invalid unset value for tuple field number ${i}`)
  })
}

function compileFunction(term: FunctionTerm, receiver: Receiver, scope: TermScope): Value {
  const { name, type } = receiver
  const found = findFunction(term, type, scope)
  if (found === null) throw invalid(`Unknown function ${functionNameText(functionNameOf(term))} called`)
  if (found.kind === 'aggregate') throw invalid('Aggregation function are not supported in the where clause')
  const own = `${found.keyspace}.${found.name}`
  if (testReturnType(found, type) === 'not')
    throw invalid(
      `Type error: cannot assign result of function ${own} (type ${typeToCql(found.returnType)}) to ${name} (type ${typeToCql(type)})`,
    )
  const args = functionArgumentsOf(term)
  if (args.length !== found.argumentTypes.length)
    throw invalid(
      `Incorrect number of arguments specified for function ${own} (expected ${found.argumentTypes.length}, found ${args.length})`,
    )
  const values = args.map((argument, i) =>
    compileTerm(
      argument,
      {
        keyspace: receiver.keyspace,
        table: receiver.table,
        name: `arg${i}(${own.toLowerCase()})`,
        type: found.argumentTypes[i]!,
      },
      scope,
    ),
  )
  const value = new FunctionValue(type, found, values)
  return value.isFoldable ? folded(value) : value
}

/** A call that fails does so when it is executed. */
function folded(value: FunctionValue): Value {
  try {
    return new ConstantValue(value.type, value.fold())
  } catch (error) {
    if (error instanceof RequestError) return value
    throw error
  }
}
