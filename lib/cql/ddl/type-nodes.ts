/**
 * From types as written to types: names are looked up among the user types of the statement's keyspace, and nesting is checked.
 * Source: CQL 3.4.7 "Data types"; checks and messages are those of Cassandra 5.0.6.
 */
import { unreachable } from '../../base/assert.ts'
import { invalid, RequestError, syntaxError } from '../../base/errors.ts'
import type { KeyspaceSchema, Schema } from '../../schema/keyspace.ts'
import type { TypeReference } from '../../schema/type-changes.ts'
import { isReversedClassName, isUnknownClass, parseTypeClassName } from '../../types/class-name.ts'
import { freeze, NATIVE, nativeType, someType, typeEquals } from '../../types/names.ts'
import type { CqlType } from '../../types/type.ts'
import type { TypeNode } from '../ast.ts'

const INT_MAX = 2147483647
const MARSHAL = 'org.apache.cassandra.db.marshal.'

/** The type of a node in a statement about `keyspace`. Throws INVALID or SYNTAX_ERROR. */
export function resolveType(node: TypeNode, keyspace: string | null, schema: Schema): CqlType {
  return resolve(node, keyspace, keyspace === null ? null : (schema.keyspaces.get(keyspace) ?? null), false)
}

/** A node as the changes of the schema want it: looked up in the keyspace as it is then. */
export function typeReference(node: TypeNode): TypeReference {
  checkWritten(node)
  return {
    isCounter: node.kind === 'named' && !node.quoted && node.keyspace === null && node.name === 'counter',
    isBareUserType: isUserTypeName(node),
    isReversed: node.kind === 'custom' && isReversedClassName(node.className),
    referenceText: (keyspace) => typeText(node, false, keyspace),
    resolve: (keyspace) => resolve(node, keyspace.name, keyspace, false),
  }
}

function isUserTypeName(node: TypeNode): boolean {
  return node.kind === 'named' && (node.quoted || node.keyspace !== null || nativeType(node.name) === null)
}

function isNative(node: TypeNode, name: string): boolean {
  return node.kind === 'named' && !isUserTypeName(node) && node.name === name
}

/** What the parser of Cassandra refuses before anything is looked up: `frozen` on other types, wrong classes, dimensions beyond an int. */
function checkWritten(node: TypeNode): void {
  switch (node.kind) {
    case 'frozen':
      if (node.inner.kind === 'custom' || (node.inner.kind === 'named' && !isUserTypeName(node.inner)))
        throw syntaxError(
          `frozen<> is only allowed on collections, tuples, and user-defined types (got ${typeText(node.inner, false, null)})`,
        )
      checkWritten(node.inner)
      break
    case 'vector':
      if (node.dimension > INT_MAX) throw syntaxError(`For input string: "${node.dimension}"`)
      checkWritten(node.element)
      break
    case 'list':
    case 'set':
      checkWritten(node.element)
      break
    case 'custom':
      classType(node.className)
      break
    case 'map':
      checkWritten(node.key)
      checkWritten(node.value)
      break
    case 'tuple':
      node.elements.forEach(checkWritten)
      break
    default:
  }
}

/** The type as error messages show it: as written; user types with `keyspace` before their name unless it is null. */
export function typeText(node: TypeNode, frozen: boolean, keyspace: string | null): string {
  const wrap = (text: string) => (frozen ? `frozen<${text}>` : text)
  const inner = (type: TypeNode) => typeText(type, frozen, keyspace)
  switch (node.kind) {
    case 'named': {
      if (!isUserTypeName(node)) return node.name
      const prefix = node.keyspace ?? keyspace
      return wrap(prefix === null ? node.name : `${prefix}.${node.name}`)
    }
    case 'list':
    case 'set':
      return wrap(`${node.kind}<${inner(node.element)}>`)
    case 'map':
      return wrap(`map<${inner(node.key)}, ${inner(node.value)}>`)
    case 'tuple':
      return `tuple<${node.elements.map(inner).join(', ')}>`
    case 'vector':
      return `vector<${inner(node.element)}, ${node.dimension}>`
    case 'frozen':
      return typeText(node.inner, true, keyspace)
    case 'custom':
      return `'${withPackages(node.className)}'`
    default:
      return unreachable(node)
  }
}

function resolve(
  node: TypeNode,
  keyspaceName: string | null,
  keyspace: KeyspaceSchema | null,
  frozen: boolean,
): CqlType {
  const again = (inner: TypeNode) => resolve(inner, keyspaceName, keyspace, frozen)
  switch (node.kind) {
    case 'named':
      if (!isUserTypeName(node)) return nativeType(node.name)!
      return userType(node, keyspaceName, keyspace, frozen)
    case 'frozen':
      checkWritten(node)
      return freeze(resolve(node.inner, keyspaceName, keyspace, true))
    case 'list':
    case 'set':
      checkElement(node, node.element, frozen)
      return { kind: node.kind, element: again(node.element), frozen }
    case 'map':
      checkElement(node, node.value, frozen)
      checkKey(node, node.key, frozen)
      return { kind: 'map', key: again(node.key), value: again(node.value), frozen }
    case 'tuple':
      return { kind: 'tuple', elements: node.elements.map((element) => tupleElement(element, again)) }
    case 'vector':
      if (node.dimension <= 0) throw invalid(`vectors may only have positive dimensions; given ${node.dimension}`)
      return { kind: 'vector', element: again(node.element), dimension: node.dimension }
    case 'custom':
      return keyspaceClassType(node.className, keyspace)
    default:
      return unreachable(node)
  }
}

function tupleElement(node: TypeNode, resolveInner: (node: TypeNode) => CqlType): CqlType {
  if (isNative(node, 'counter')) throw invalid('Counters are not allowed inside tuples')
  return freeze(resolveInner(node))
}

function userType(
  node: Extract<TypeNode, { kind: 'named' }>,
  keyspaceName: string | null,
  keyspace: KeyspaceSchema | null,
  frozen: boolean,
): CqlType {
  if (node.keyspace !== null && node.keyspace !== keyspaceName)
    throw invalid(
      `Statement on keyspace ${keyspaceName} cannot refer to a user type in keyspace ${node.keyspace}; ` +
        'user types can only be used in the keyspace they are defined in',
    )
  const type = keyspace?.types.get(node.name)
  if (!type) throw invalid(`Unknown type ${keyspaceName === null ? '' : `${keyspaceName}.`}${node.name}`)
  return frozen ? freeze(type) : type
}

/** What has cells of its own cannot be an element, unless frozen. */
function checkNested(whole: TypeNode, inner: TypeNode, frozen: boolean): void {
  if (frozen) return
  const text = () => typeText(whole, frozen, null)
  if (inner.kind === 'list' || inner.kind === 'set' || inner.kind === 'map')
    throw invalid(`Non-frozen collections are not allowed inside collections: ${text()}`)
  if (isUserTypeName(inner)) throw invalid(`Non-frozen UDTs are not allowed inside collections: ${text()}`)
}

function checkElement(whole: TypeNode, element: TypeNode, frozen: boolean): void {
  checkNested(whole, element, frozen)
  if (isNative(element, 'counter'))
    throw invalid(`Counters are not allowed inside collections: ${typeText(whole, frozen, null)}`)
  if (whole.kind === 'set' && isNative(element, 'duration'))
    throw invalid(`Durations are not allowed inside sets: ${typeText(whole, frozen, null)}`)
}

function checkKey(whole: TypeNode, key: TypeNode, frozen: boolean): void {
  if (isNative(key, 'counter'))
    throw invalid(`Counters are not allowed inside collections: ${typeText(whole, frozen, null)}`)
  if (isNative(key, 'duration'))
    throw invalid(`Durations are not allowed as map keys: ${typeText(whole, frozen, null)}`)
  checkNested(whole, key, frozen)
}

/** A Java class in quotes, with or without its package. */
function classType(className: string): CqlType {
  const wrong = (reason: string) => syntaxError(`Error setting type ${className}: ${reason}`)
  if (className === '') return NATIVE.blob
  if (className.includes("'")) throw wrong('a quote in a class name')
  let type: CqlType
  try {
    type = parseTypeClassName(className)
  } catch (error) {
    if (error instanceof RequestError) throw wrong(`Invalid definition for comparator ${withPackage(className)}.`)
    throw error
  }
  someType(type, (inner) => {
    if (inner.kind === 'custom' && isUnknownClass(inner))
      throw wrong(`Unable to find abstract-type class '${withPackage(inner.className)}'`)
    return false
  })
  return type
}

function keyspaceClassType(className: string, keyspace: KeyspaceSchema | null): CqlType {
  const type = classType(className)
  checkUserTypes(type, keyspace)
  return type
}

/** User types in a class must be those of the keyspace. */
function checkUserTypes(type: CqlType, keyspace: KeyspaceSchema | null): void {
  someType(type, (inner) => {
    if (inner.kind !== 'udt') return false
    const known = keyspace?.types.get(inner.name)
    if (!known || !typeEquals(freeze(known), freeze(inner)))
      throw invalid(`Unknown type ${inner.keyspace}.${inner.name}`)
    return false
  })
}

/** The class without its parameters, with its package. */
function withPackage(className: string): string {
  const open = className.indexOf('(')
  const name = open < 0 ? className : className.slice(0, open)
  return name.includes('.') ? name : MARSHAL + name
}

/** All classes by their full names; what stands before `=>` is no class. */
function withPackages(className: string): string {
  return className.replace(/[A-Za-z0-9_.]+(?!=>|[A-Za-z0-9_.])/g, (word) =>
    word.includes('.') ? word : MARSHAL + word,
  )
}
