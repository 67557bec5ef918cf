/**
 * Types as CQL text, and the small questions that everybody asks of a type.
 * Source: CQL 3.4.7 "Data types"; the texts are those of system_schema.columns of Cassandra 5.
 * Always: two types are equal exactly when `typeEquals` says so; native types are interned, so `===` answers for them.
 */
import { unreachable } from '../base/assert.ts'
import { quoteIdentifier } from './identifier.ts'
import {
  type CqlType,
  type ListType,
  type MapType,
  NATIVE_TYPE_CODES,
  type NativeType,
  type NativeTypeName,
  type SetType,
  type UserType,
} from './type.ts'

/** The native types, one object each: `NATIVE.int`. */
export const NATIVE: Readonly<Record<NativeTypeName, NativeType>> = Object.fromEntries(
  Object.keys(NATIVE_TYPE_CODES).map((name) => [name, { kind: 'native', name }]),
) as Record<NativeTypeName, NativeType>

const NATIVE_BY_NAME = new Map<string, NativeType>(Object.entries(NATIVE))
NATIVE_BY_NAME.set('varchar', NATIVE.text)

/** The native type of a name in lower case, `varchar` included; null when there is none. */
export function nativeType(name: string): NativeType | null {
  return NATIVE_BY_NAME.get(name) ?? null
}

/** A type as system_schema.columns shows it: `frozen<map<text, frozen<list<int>>>>`, user types by their bare name. */
export function typeToCql(type: CqlType): string {
  switch (type.kind) {
    case 'native':
      return type.name
    case 'list':
    case 'set':
      return frozenText(type.frozen, `${type.kind}<${typeToCql(type.element)}>`)
    case 'map':
      return frozenText(type.frozen, `map<${typeToCql(type.key)}, ${typeToCql(type.value)}>`)
    case 'tuple':
      return frozenText(true, `tuple<${type.elements.map(typeToCql).join(', ')}>`)
    case 'udt':
      return frozenText(type.frozen, quoteIdentifier(type.name))
    case 'vector':
      return `vector<${typeToCql(type.element)}, ${type.dimension}>`
    case 'custom':
      return type.className === EMPTY_TYPE_CLASS ? 'empty' : `'${type.className}'`
    default:
      return unreachable(type)
  }
}

/** So Cassandra calls the type of a timeuuid that some functions give back. */
export const LEGACY_TIMEUUID_CLASS = 'org.apache.cassandra.db.marshal.LegacyTimeUUIDType'

/** The type whose only value is zero bytes; it has a name of its own. */
export const EMPTY_TYPE_CLASS = 'org.apache.cassandra.db.marshal.EmptyType'

function frozenText(frozen: boolean, text: string): string {
  return frozen ? `frozen<${text}>` : text
}

/** Equal in every part, the outermost and inner `frozen` included. */
export function typeEquals(a: CqlType, b: CqlType): boolean {
  if (a === b) return true
  if (a.kind !== b.kind) return false
  switch (a.kind) {
    case 'native':
      return a.name === (b as NativeType).name
    case 'list':
    case 'set': {
      const other = b as ListType | SetType
      return a.frozen === other.frozen && typeEquals(a.element, other.element)
    }
    case 'map': {
      const other = b as MapType
      return a.frozen === other.frozen && typeEquals(a.key, other.key) && typeEquals(a.value, other.value)
    }
    case 'tuple':
      return allEqual(a.elements, (b as typeof a).elements)
    case 'udt': {
      const other = b as UserType
      return (
        a.keyspace === other.keyspace &&
        a.name === other.name &&
        a.frozen === other.frozen &&
        a.fieldNames.length === other.fieldNames.length &&
        a.fieldNames.every((name, i) => name === other.fieldNames[i]) &&
        allEqual(a.fieldTypes, other.fieldTypes)
      )
    }
    case 'vector': {
      const other = b as typeof a
      return a.dimension === other.dimension && typeEquals(a.element, other.element)
    }
    case 'custom':
      return a.className === (b as typeof a).className
    default:
      return unreachable(a)
  }
}

function allEqual(a: readonly CqlType[], b: readonly CqlType[]): boolean {
  return a.length === b.length && a.every((type, i) => typeEquals(type, b[i]!))
}

export function isCollection(type: CqlType): type is ListType | SetType | MapType {
  return type.kind === 'list' || type.kind === 'set' || type.kind === 'map'
}

/** A column of this type is many cells with paths: a list, set, map or user type that is not frozen. */
/** Its value is a sum, of shards that are cells of their own. */
export function isCounter(type: CqlType): boolean {
  return type.kind === 'native' && type.name === 'counter'
}

export function isMultiCell(type: CqlType): type is ListType | SetType | MapType | UserType {
  return (isCollection(type) || type.kind === 'udt') && !type.frozen
}

/** `frozen<type>`: the type itself and, as in Cassandra, every collection and user type in it. */
export function freeze(type: CqlType): CqlType {
  switch (type.kind) {
    case 'list':
    case 'set': {
      const element = freeze(type.element)
      return type.frozen && element === type.element ? type : { ...type, element, frozen: true }
    }
    case 'map': {
      const key = freeze(type.key)
      const value = freeze(type.value)
      return type.frozen && key === type.key && value === type.value ? type : { ...type, key, value, frozen: true }
    }
    case 'udt': {
      const fieldTypes = freezeAll(type.fieldTypes)
      return type.frozen && fieldTypes === type.fieldTypes ? type : { ...type, fieldTypes, frozen: true }
    }
    case 'tuple': {
      const elements = freezeAll(type.elements)
      return elements === type.elements ? type : { ...type, elements }
    }
    case 'vector': {
      const element = freeze(type.element)
      return element === type.element ? type : { ...type, element }
    }
    default:
      return type
  }
}

function freezeAll(types: readonly CqlType[]): readonly CqlType[] {
  const frozen = types.map(freeze)
  return frozen.every((type, i) => type === types[i]) ? types : frozen
}

/** Does the type hold, at any depth, one for which the question is answered with yes? The type itself counts. */
export function someType(type: CqlType, question: (type: CqlType) => boolean): boolean {
  if (question(type)) return true
  switch (type.kind) {
    case 'list':
    case 'set':
    case 'vector':
      return someType(type.element, question)
    case 'map':
      return someType(type.key, question) || someType(type.value, question)
    case 'tuple':
      return type.elements.some((element) => someType(element, question))
    case 'udt':
      return type.fieldTypes.some((field) => someType(field, question))
    default:
      return false
  }
}
