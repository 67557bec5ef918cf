/**
 * Which terms fit which receivers, asked before anything is compiled, and which type a term has of itself.
 * Source: CQL 3.4.7; the answers are those of Cassandra 5.
 */
import { unreachable } from '../base/assert.ts'
import { RequestError } from '../base/errors.ts'
import type { Schema } from '../schema/keyspace.ts'
import { isCollection, typeEquals } from '../types/names.ts'
import type { CqlType, NativeTypeName } from '../types/type.ts'
import type { Term } from './ast.ts'
import type { Assignability, CqlFunction, FunctionArgument } from './functions/function.ts'
import { constantAssignability, constantType } from './terms-constants.ts'
import { functionNameText, termText } from './terms-text.ts'
import type { Variables } from './terms-values.ts'

/** Where a term stands: types and functions are looked up in the keyspace, markers registered with the variables. */
export interface TermScope {
  readonly schema: Schema
  /** Keyspace of the statement's table. */
  readonly keyspace: string
  readonly variables: Variables
}

export function testAssignment(term: Term, type: CqlType, scope: TermScope): Assignability {
  switch (term.kind) {
    case 'constant':
      return constantAssignability(term.type, term.text, type)
    case 'null':
      return type.kind === 'native' && type.name === 'counter' ? 'not' : 'weak'
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
      return type.kind === 'map' ? testEntries(term.entries, type.key, type.value, scope) : 'not'
    case 'udt':
      if (type.kind !== 'udt') return 'not'
      return term.fields.every(([field, value]) => {
        const index = type.fieldNames.indexOf(field)
        return index >= 0 && testAssignment(value, type.fieldTypes[index]!, scope) !== 'not'
      })
        ? 'weak'
        : 'not'
    case 'tuple': {
      const types = componentTypes(type)
      if (types === null) return term.elements.length === 1 ? testAssignment(term.elements[0]!, type, scope) : 'not'
      if (term.elements.length > types.length) return 'not'
      return term.elements.every((element, i) => testAssignment(element, types[i]!, scope) !== 'not') ? 'weak' : 'not'
    }
    case 'typehint': {
      const hinted = scope.typeOf(term.type)
      if (typeEquals(hinted, type)) return 'exact'
      return isValueCompatible(type, hinted) ? 'weak' : 'not'
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
