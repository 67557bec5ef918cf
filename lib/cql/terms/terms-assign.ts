/**
 * Which terms fit which types, asked before anything is compiled, and which type a term has of itself.
 * Source: CQL 3.4.7; the answers are those of Cassandra 5.
 */
import { unreachable } from '../../base/assert.ts'
import { RequestError } from '../../base/errors.ts'
import type { Schema } from '../../schema/keyspace.ts'
import { testTypeAssignment } from '../../types/assignment.ts'
import { literalAssignability, literalType } from '../../types/literal.ts'
import { NATIVE } from '../../types/names.ts'
import type { CqlType } from '../../types/type.ts'
import type { QualifiedName, Term } from '../ast.ts'
import { resolveType } from '../ddl/type-nodes.ts'
import type { Assignability, CqlFunction, FunctionArgument } from '../functions/function.ts'
import { resolveFunction } from '../functions/resolve.ts'
import { termText } from './terms-text.ts'
import type { Variables } from './terms-values.ts'

/** Where a term stands: types and functions are looked up in the keyspace, markers registered with the variables. */
export interface TermScope {
  readonly schema: Schema
  /** Keyspace of the statement's table. */
  readonly keyspace: string
  readonly variables: Variables
  /** Types of the table's partition key: what token() takes. */
  readonly partitionKey?: readonly CqlType[]
}

export type FunctionTerm = Term & { kind: 'function' | 'arithmetic' | 'negation' }

export function testAssignment(term: Term, type: CqlType, scope: TermScope): Assignability {
  switch (term.kind) {
    case 'constant':
      return literalAssignability(term.type, term.text, type)
    case 'null':
      return type === NATIVE.counter ? 'not' : 'weak'
    case 'marker':
      return 'weak'
    case 'list':
      if (type.kind === 'list') return testAll(term.elements, type.element, scope)
      if (type.kind !== 'vector' || term.elements.length !== type.dimension) return 'not'
      return testAll(term.elements, type.element, scope)
    case 'set':
      if (type.kind === 'map' && term.elements.length === 0) return 'weak'
      return type.kind === 'set' ? testAll(term.elements, type.element, scope) : 'not'
    case 'map':
      if (type.kind !== 'map') return 'not'
      return weaker(
        testAll(
          term.entries.map(([key]) => key),
          type.key,
          scope,
        ),
        testAll(
          term.entries.map(([, value]) => value),
          type.value,
          scope,
        ),
      )
    case 'udt':
      if (type.kind !== 'udt') return 'not'
      return allFit(term.fields, ([field, value]) => {
        const index = type.fieldNames.indexOf(field)
        return index >= 0 && testAssignment(value, type.fieldTypes[index]!, scope) !== 'not'
      })
    case 'tuple': {
      const types = componentTypes(type)
      if (types === null) return term.elements.length === 1 ? testAssignment(term.elements[0]!, type, scope) : 'not'
      if (term.elements.length > types.length) return 'not'
      return allFit(term.elements, (element, i) => testAssignment(element, types[i]!, scope) !== 'not')
    }
    case 'typehint': {
      const hinted = resolveType(term.type, scope.keyspace, scope.schema)
      return testTypeAssignment(type, hinted)
    }
    case 'function':
    case 'arithmetic':
    case 'negation':
      return testFunction(term, type, scope)
    case 'column':
      return 'not'
    default:
      return unreachable(term)
  }
}

/** The types of a tuple's components; a user type takes a tuple literal too. Null for all other types. */
export function componentTypes(type: CqlType): readonly CqlType[] | null {
  if (type.kind === 'tuple') return type.elements
  return type.kind === 'udt' ? type.fieldTypes : null
}

/** No elements fit any type, but no type exactly. */
function testAll(terms: readonly Term[], type: CqlType, scope: TermScope): Assignability {
  if (terms.length === 0) return 'weak'
  return terms.reduce<Assignability>((result, term) => weaker(result, testAssignment(term, type, scope)), 'exact')
}

function weaker(a: Assignability, b: Assignability): Assignability {
  if (a === 'not' || b === 'not') return 'not'
  return a === 'weak' || b === 'weak' ? 'weak' : 'exact'
}

function allFit<T>(parts: readonly T[], fits: (part: T, index: number) => boolean): Assignability {
  return parts.every(fits) ? 'weak' : 'not'
}

function testFunction(term: FunctionTerm, type: CqlType, scope: TermScope): Assignability {
  let found: CqlFunction | null
  try {
    found = findFunction(term, type, scope)
  } catch (error) {
    // The error is told when the term itself is compiled.
    if (error instanceof RequestError) return 'weak'
    throw error
  }
  if (found === null) return 'weak'
  return testReturnType(found, type)
}

export function testReturnType(found: CqlFunction, type: CqlType): Assignability {
  return testTypeAssignment(type, found.returnType)
}

const OPERATION_NAMES = { '+': '_add', '-': '_substract', '*': '_multiply', '/': '_divide', '%': '_modulo' } as const

/** The function behind a call, an operator or a minus sign. */
export function functionNameOf(term: FunctionTerm): QualifiedName {
  if (term.kind === 'function') return term.name
  return { keyspace: null, name: term.kind === 'negation' ? '_negate' : OPERATION_NAMES[term.operator] }
}

export function functionArgumentsOf(term: FunctionTerm): readonly Term[] {
  if (term.kind === 'function') return term.arguments
  return term.kind === 'negation' ? [term.term] : [term.left, term.right]
}

/** The function that a call means where `receiver` is expected; null when there is none of the name. Throws INVALID when none fits. */
export function findFunction(term: FunctionTerm, receiver: CqlType | null, scope: TermScope): CqlFunction | null {
  const args = functionArgumentsOf(term).map((argument) => functionArgument(argument, scope))
  const { keyspace, partitionKey = null } = scope
  return resolveFunction(functionNameOf(term), args, receiver, { keyspace, partitionKey })
}

function functionArgument(term: Term, scope: TermScope): FunctionArgument {
  return {
    assignableTo: (type) => testAssignment(term, type, scope),
    type: typeOfTerm(term, scope),
    text: termText(term),
    isMarker: term.kind === 'marker',
    ...(term.kind === 'list' ? { listSize: term.elements.length } : {}),
  }
}

/** The type that a term has without a receiver; null where it could be several. */
export function typeOfTerm(term: Term, scope: TermScope): CqlType | null {
  switch (term.kind) {
    case 'constant':
      return literalType(term.type, term.text)
    case 'typehint':
      return resolveType(term.type, scope.keyspace, scope.schema)
    case 'function':
    case 'arithmetic':
    case 'negation':
      try {
        return findFunction(term, null, scope)?.returnType ?? null
      } catch (error) {
        if (error instanceof RequestError) return null
        throw error
      }
    case 'list':
    case 'set': {
      const element = firstType(term.elements, scope)
      return element === null ? null : { kind: term.kind, element, frozen: true }
    }
    case 'map': {
      const key = firstType(
        term.entries.map(([key]) => key),
        scope,
      )
      const value = firstType(
        term.entries.map(([, value]) => value),
        scope,
      )
      return key === null || value === null ? null : { kind: 'map', key, value, frozen: true }
    }
    case 'tuple': {
      const elements = term.elements.map((element) => typeOfTerm(element, scope))
      if (elements.length === 1) return elements[0]!
      return elements.every((type) => type !== null) ? { kind: 'tuple', elements } : null
    }
    default:
      return null
  }
}

function firstType(terms: readonly Term[], scope: TermScope): CqlType | null {
  for (const term of terms) {
    const type = typeOfTerm(term, scope)
    if (type !== null) return type
  }
  return null
}
