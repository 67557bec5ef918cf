/**
 * JSON values as the bytes of a type: what fromJson and INSERT JSON take. Source: CQL 3.4.7 "JSON support"; which JSON a type takes, and the
 * messages, as Apache Cassandra 5.0.6: every value may be a string that the type can read.
 */
import { unreachable } from '../base/assert.ts'
import { RequestError } from '../base/errors.ts'
import { assembleList, assembleMap, assembleSet, assembleTuple, assembleVector } from './assemble.ts'
import { compare } from './compare.ts'
import { javaUtf8 } from './java-string.ts'
import { JsonError, type JsonObject, type JsonValue, parseJson } from './json-parse.ts'
import { parseText } from './literal.ts'
import { NATIVE } from './names.ts'
import { encodeDecimal } from './number.ts'
import { doubleText, parseDecimal } from './number-text.ts'
import type { CqlType, NativeTypeName, TupleType, UserType, VectorType } from './type.ts'

/** The JSON is no value of the type; callers say where it stood. */
export class JsonTypeError extends Error {
  override name = 'JsonTypeError'
}

/**
 * The bytes of a value. Throws JsonTypeError when it does not fit; RequestError for what Cassandra does not put down to the JSON
 * (durations that cannot be read). `nowMs` is asked for the timestamp 'now'.
 */
export function fromJson(type: CqlType, value: Exclude<JsonValue, null>, nowMs: () => number): Buffer {
  switch (type.kind) {
    case 'native':
      return readNative(type.name, value, nowMs)
    case 'list':
      return assembleList(elementsOf(listOf(value, 'Expected a list'), type.element, 'list', nowMs))
    case 'set': {
      const elements = listOf(value, 'Expected a list (representing a set)')
      const order = (a: Buffer, b: Buffer): number => compare(type.element, a, b)
      return assembleSet(order)(elementsOf(elements, type.element, 'set', nowMs))
    }
    case 'map': {
      const order = (a: Buffer, b: Buffer): number => compare(type.key, a, b)
      const parts: Buffer[] = []
      for (const [key, member] of objectOf(value)) {
        if (member === null) throw new JsonTypeError('Invalid null value in map')
        parts.push(fromJson(type.key, key, nowMs), fromJson(type.value, member, nowMs))
      }
      return assembleMap(order)(parts)
    }
    case 'tuple':
      return readTuple(type, value, nowMs)
    case 'udt':
      return readUserType(type, value, nowMs)
    case 'vector':
      return readVector(type, value, nowMs)
    case 'custom':
      return readText(type, value, 'a string', nowMs)
    default:
      return unreachable(type)
  }
}

/** Names of members as names of columns or fields: in lower case, unless they are in double quotes. */
export function foldNames(members: JsonObject): void {
  for (const name of [...members.keys()]) {
    const isQuoted = name.length > 1 && name.startsWith('"') && name.endsWith('"')
    const meant = isQuoted ? name.slice(1, -1) : name.toLowerCase()
    if (meant === name) continue
    const value = members.get(name)!
    members.delete(name)
    members.set(meant, value)
  }
}

/** What is expected of each native type, as messages name it. */
const EXPECTED: Readonly<Record<NativeTypeName, string>> = {
  ascii: 'an ascii string',
  bigint: 'a bigint value',
  blob: '',
  boolean: 'a boolean value',
  counter: 'a bigint value',
  date: 'a string representation of a date value',
  decimal: '',
  double: 'a double value',
  duration: 'a string representation of a duration',
  float: 'a float value',
  inet: 'a string representation of an inet value',
  int: 'an int value',
  smallint: 'a short value',
  text: 'a UTF-8 string',
  time: 'a string representation of a time value',
  timestamp: 'a long or a datestring representation of a timestamp value',
  timeuuid: 'a string representation of a timeuuid',
  tinyint: 'a byte value',
  uuid: 'a string representation of a uuid',
  varint: '',
}

function readNative(name: NativeTypeName, value: Exclude<JsonValue, null>, nowMs: () => number): Buffer {
  const type = NATIVE[name]
  switch (name) {
    case 'blob':
      return readBlob(value)
    case 'varint':
    case 'decimal':
      return readBig(name, value)
    case 'text':
      if (typeof value === 'string') return javaUtf8(value)
      break
    case 'boolean':
      if (typeof value === 'boolean') return Buffer.from([value ? 1 : 0])
      break
    case 'int':
      if (typeof value === 'bigint' && value === BigInt.asIntN(32, value)) return number(type, value)
      break
    case 'bigint':
    case 'counter':
      if (typeof value === 'bigint' && value === BigInt.asIntN(64, value)) return number(type, value)
      break
    case 'timestamp':
      // Numbers that fit 32 bits are not taken.
      if (javaClass(value) === 'Long') return number(type, value as bigint)
      break
    case 'smallint':
    case 'tinyint':
      if (typeof value === 'bigint' || typeof value === 'number') return readText(type, javaText(value), '', nowMs)
      break
    case 'float':
    case 'double': {
      if (typeof value !== 'bigint' && typeof value !== 'number') break
      const bytes = Buffer.allocUnsafe(name === 'float' ? 4 : 8)
      if (name === 'float') bytes.writeFloatBE(Number(value))
      else bytes.writeDoubleBE(Number(value))
      return bytes
    }
    default:
  }
  return readText(type, value, EXPECTED[name], nowMs)
}

function number(type: CqlType, value: bigint): Buffer {
  return parseText(type, value.toString(), () => 0)
}

function readText(type: CqlType, value: Exclude<JsonValue, null>, expected: string, nowMs: () => number): Buffer {
  if (typeof value !== 'string') throw unexpected(`Expected ${expected}`, value)
  if (type === NATIVE.duration) return parseText(type, value, nowMs)
  try {
    return parseText(type, value, nowMs)
  } catch (error) {
    if (error instanceof RequestError && error.code === 'INVALID') throw new JsonTypeError(error.message)
    throw error
  }
}

function unexpected(expected: string, value: JsonValue): JsonTypeError {
  return new JsonTypeError(`${expected}, but got a ${javaClass(value)}: ${javaText(value)}`)
}

function readBlob(value: Exclude<JsonValue, null>): Buffer {
  const wrong = (reason: string): JsonTypeError =>
    new JsonTypeError(`Value '${javaText(value)}' is not a valid blob representation: ${reason}`)
  if (typeof value !== 'string') {
    const name = javaClass(value)
    const full = `java.${name === 'ArrayList' || name === 'LinkedHashMap' ? 'util' : name === 'BigInteger' ? 'math' : 'lang'}.${name}`
    throw wrong(
      `class ${full} cannot be cast to class java.lang.String (${full} and java.lang.String are in module java.base of loader 'bootstrap')`,
    )
  }
  if (!value.startsWith('0x')) throw wrong(`String representation of blob is missing 0x prefix: ${value}`)
  const digits = value.slice(2)
  const bytes = Buffer.from(digits, 'hex')
  if (digits.length % 2 !== 0 || bytes.length * 2 !== digits.length)
    throw wrong(`cannot parse '${digits}' as hex bytes`)
  return bytes
}

/** Any JSON whose text is such a number. */
function readBig(name: 'varint' | 'decimal', value: Exclude<JsonValue, null>): Buffer {
  const text = javaText(value)
  if (name === 'varint' && text !== '') {
    try {
      return parseText(NATIVE.varint, text, () => 0)
    } catch (error) {
      if (!(error instanceof RequestError)) throw error
    }
  }
  if (name === 'decimal') {
    if (text === '') return Buffer.alloc(0)
    const decimal = parseDecimal(text)
    if (decimal !== null) return encodeDecimal(decimal)
  }
  throw new JsonTypeError(`Value '${text}' is not a valid representation of a ${name} value`)
}

/** Lists, tuples and objects may also be given as strings of JSON: so they are written as names of members. */
function decoded(value: Exclude<JsonValue, null>): JsonValue {
  if (typeof value !== 'string') return value
  try {
    return parseJson(value)
  } catch (error) {
    if (error instanceof JsonError) throw new JsonTypeError(`Error decoding JSON string: ${error.message}`)
    throw error
  }
}

function listOf(value: Exclude<JsonValue, null>, expected: string): readonly JsonValue[] {
  const list = decoded(value)
  if (!Array.isArray(list)) throw unexpected(expected, list)
  return list
}

function objectOf(value: Exclude<JsonValue, null>): JsonObject {
  const object = decoded(value)
  if (!(object instanceof Map)) throw unexpected('Expected a map', object)
  return object
}

function elementsOf(list: readonly JsonValue[], type: CqlType, what: string, nowMs: () => number): Buffer[] {
  return list.map((element) => {
    if (element === null) throw new JsonTypeError(`Invalid null element in ${what}`)
    return fromJson(type, element, nowMs)
  })
}

function readTuple(type: TupleType, value: Exclude<JsonValue, null>, nowMs: () => number): Buffer {
  const list = listOf(value, 'Expected a list representation of a tuple')
  const size = type.elements.length
  if (list.length > size) throw new JsonTypeError(`Tuple contains extra items (expected ${size}): ${javaText(list)}`)
  if (list.length < size) throw new JsonTypeError(`Tuple is missing items (expected ${size}): ${javaText(list)}`)
  return assembleTuple(
    list.map((element, i) => (element === null ? null : fromJson(type.elements[i]!, element, nowMs))),
  )
}

function readUserType(type: UserType, value: Exclude<JsonValue, null>, nowMs: () => number): Buffer {
  const members = objectOf(value)
  foldNames(members)
  const fields = type.fieldNames.map((name, i) => {
    const member = members.get(name) ?? null
    return member === null ? null : fromJson(type.fieldTypes[i]!, member, nowMs)
  })
  for (const name of members.keys())
    if (!type.fieldNames.includes(name))
      throw new JsonTypeError(`Unknown field '${name}' in value of user defined type ${type.name}`)
  return assembleTuple(fields)
}

function readVector(type: VectorType, value: Exclude<JsonValue, null>, nowMs: () => number): Buffer {
  const list = listOf(value, 'Expected a list')
  if (list.length !== type.dimension)
    throw new JsonTypeError(
      `List had incorrect size: expected ${type.dimension} but given ${list.length}; ${javaText(list)}`,
    )
  return assembleVector(type)(elementsOf(list, type.element, 'list', nowMs))
}

/** The class that Jackson makes of a value. */
function javaClass(value: JsonValue): string {
  switch (typeof value) {
    case 'string':
      return 'String'
    case 'boolean':
      return 'Boolean'
    case 'number':
      return 'Double'
    case 'bigint':
      if (value === BigInt.asIntN(32, value)) return 'Integer'
      return value === BigInt.asIntN(64, value) ? 'Long' : 'BigInteger'
    default:
      return Array.isArray(value) ? 'ArrayList' : 'LinkedHashMap'
  }
}

/** Java's toString. */
function javaText(value: JsonValue): string {
  if (value === null) return 'null'
  if (typeof value === 'number') return doubleText(value)
  if (typeof value !== 'object') return String(value)
  if (value instanceof Map) return `{${[...value].map(([name, member]) => `${name}=${javaText(member)}`).join(', ')}}`
  return `[${value.map(javaText).join(', ')}]`
}
