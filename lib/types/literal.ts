/**
 * Constants of CQL text as bytes: which kind of constant may stand for which type, and what it then means.
 * Source: CQL 3.4.7 "Constants"; what is taken, and the messages, as Apache Cassandra 5.0.6.
 */
import { unreachable } from '../base/assert.ts'
import { invalid } from '../base/errors.ts'
import { parseUuid, uuidVersion } from '../base/uuid.ts'
import { parseComposite } from './composite.ts'
import { parseDate, parseTime } from './date-time.ts'
import { encodeDuration, parseDuration } from './duration.ts'
import { parseInet } from './inet.ts'
import { NATIVE, typeToCql } from './names.ts'
import { encodeDecimal, encodeVarint } from './number.ts'
import { parseDecimal, parseDouble } from './number-text.ts'
import { isInteger } from './scanner.ts'
import { parseTimestamp } from './timestamp.ts'
import type { CqlType, NativeType, NativeTypeName } from './type.ts'

/** The kinds of constants, as the parser tells them apart. */
export type LiteralKind = 'string' | 'integer' | 'float' | 'uuid' | 'boolean' | 'hex' | 'duration'

/** How well something fits where a type is expected. */
export type Assignability = 'exact' | 'weak' | 'not'

const ACCEPTED: Readonly<Record<LiteralKind, ReadonlySet<NativeTypeName>>> = {
  string: new Set(['ascii', 'text', 'inet', 'date', 'time', 'timestamp']),
  integer: new Set([
    'bigint',
    'counter',
    'date',
    'decimal',
    'double',
    'duration',
    'float',
    'int',
    'smallint',
    'time',
    'timestamp',
    'tinyint',
    'varint',
  ]),
  uuid: new Set(['uuid', 'timeuuid']),
  float: new Set(['decimal', 'double', 'float']),
  boolean: new Set(['boolean']),
  hex: new Set(['blob']),
  duration: new Set(['duration']),
}

/** May the constant stand where `type` is expected? Hexadecimal ones pass for tinyint too, a quirk of Cassandra. */
export function literalAssignability(kind: LiteralKind, text: string, type: CqlType): Assignability {
  if (type.kind !== 'native') return type.kind === 'tuple' || type.kind === 'custom' ? 'weak' : 'not'
  if (type.name === literalType(kind, text).name) return 'exact'
  return ACCEPTED[kind].has(type.name) ? 'weak' : 'not'
}

const LONG_MAX = 2n ** 63n - 1n
const LONG_MIN = -(2n ** 63n)

/** The type a constant has where none is expected. */
export function literalType(kind: LiteralKind, text: string): NativeType {
  switch (kind) {
    case 'string':
      return isAscii(text) ? NATIVE.ascii : NATIVE.text
    case 'integer': {
      const value = BigInt(text)
      if (value === BigInt.asIntN(32, value)) return NATIVE.int
      return value <= LONG_MAX && value >= LONG_MIN ? NATIVE.bigint : NATIVE.varint
    }
    case 'float':
      return isDouble(text) ? NATIVE.double : NATIVE.decimal
    case 'uuid': {
      const bytes = parseUuid(text)
      return bytes !== null && uuidVersion(bytes) === 1 ? NATIVE.timeuuid : NATIVE.uuid
    }
    case 'boolean':
      return NATIVE.boolean
    case 'hex':
      return NATIVE.tinyint
    case 'duration':
      return NATIVE.duration
    default:
      return unreachable(kind)
  }
}

/** Do the shortest digits of the nearest double have the value of the text? Also NaN and Infinity. */
function isDouble(text: string): boolean {
  const exact = parseDecimal(text)
  if (exact === null) return true
  const near = parseDecimal(String(Number(text)))
  if (near === null) return false
  const scale = Math.max(exact.scale, near.scale)
  if (scale - Math.min(exact.scale, near.scale) > 1000) return exact.unscaled === near.unscaled
  return exact.unscaled * 10n ** BigInt(scale - exact.scale) === near.unscaled * 10n ** BigInt(scale - near.scale)
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= 0x80) return false
  return true
}

/**
 * The bytes of a constant that `literalAssignability` lets pass. `text`: digits with sign, hex with 0x, strings unescaped.
 * Throws INVALID. `nowMs` gives the wall clock for the timestamp 'now'.
 */
export function parseLiteral(type: CqlType, kind: LiteralKind, text: string, nowMs: () => number): Buffer {
  if (kind === 'hex') return parseHex(text.slice(2))
  if (kind === 'float') return parseText(type, normalFloat(text), nowMs)
  return parseText(type, text, nowMs)
}

/** NaN and Infinity may be written in any case. */
function normalFloat(text: string): string {
  switch (text.toLowerCase()) {
    case 'nan':
      return 'NaN'
    case '-nan':
      return '-NaN'
    case 'infinity':
      return 'Infinity'
    case '-infinity':
      return '-Infinity'
    default:
      return text
  }
}

const EMPTY = Buffer.alloc(0)

/** The bytes of a text, as Cassandra's fromString of the type: also for elements of JSON. Empty texts are mostly empty values. */
export function parseText(type: CqlType, text: string, nowMs: () => number): Buffer {
  switch (type.kind) {
    case 'native':
      return parseNative(type.name, text, nowMs)
    case 'tuple':
      return parseTuple(type.elements, text, nowMs)
    case 'custom':
      return parseComposite(type.className, text, (inner, part) => parseText(inner, part, nowMs)) ?? parseHex(text)
    default:
      return parseHex(text)
  }
}

function parseNative(name: NativeTypeName, text: string, nowMs: () => number): Buffer {
  switch (name) {
    case 'text':
      return Buffer.from(text)
    case 'ascii':
      return parseAscii(text)
    case 'boolean':
      return parseBoolean(text)
    case 'date': {
      const bytes = Buffer.allocUnsafe(4)
      bytes.writeUInt32BE(parseDate(text))
      return bytes
    }
    case 'time':
      return int64(parseTime(text))
    case 'duration':
      return text === '' ? EMPTY : encodeDuration(parseDuration(text))
    default:
      if (text === '') return EMPTY
  }
  switch (name) {
    case 'blob':
      return parseHex(text)
    case 'tinyint':
      return parseInteger(text, 1, 'byte')
    case 'smallint':
      return parseInteger(text, 2, 'short')
    case 'int':
      return parseInteger(text, 4, 'int')
    case 'bigint':
    case 'counter':
      return parseInteger(text, 8, 'long')
    case 'varint':
      if (!isInteger(text, '+-')) throw invalid(`unable to make int from '${text}'`)
      return encodeVarint(BigInt(withoutPlus(text)))
    case 'decimal': {
      const value = parseDecimal(text)
      if (value === null) throw invalid(`unable to make BigDecimal from '${text}'`)
      return encodeDecimal(value)
    }
    case 'float': {
      const bytes = Buffer.allocUnsafe(4)
      bytes.writeFloatBE(parseFloating(text, 'float'))
      return bytes
    }
    case 'double': {
      const bytes = Buffer.allocUnsafe(8)
      bytes.writeDoubleBE(parseFloating(text, 'double'))
      return bytes
    }
    case 'timestamp':
      return int64(parseTimestamp(text, nowMs))
    case 'uuid': {
      const bytes = parseUuid(text)
      if (bytes === null) throw invalid(`Unable to make UUID from '${text}'`)
      return bytes
    }
    case 'timeuuid': {
      const bytes = parseUuid(text)
      if (bytes === null) throw invalid(`Unknown timeuuid representation: ${text}`)
      if (uuidVersion(bytes) !== 1) throw invalid('TimeUUID supports only version 1 UUIDs')
      return bytes
    }
    case 'inet': {
      const bytes = parseInet(text)
      if (bytes === null) throw invalid(`Unable to make inet address from '${text}'`)
      return bytes
    }
    default:
      return unreachable(name)
  }
}

function int64(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigInt64BE(value)
  return bytes
}

function withoutPlus(text: string): string {
  return text.startsWith('+') ? text.slice(1) : text
}

function parseInteger(text: string, size: number, javaName: string): Buffer {
  const value = isInteger(text, '+-') ? BigInt(withoutPlus(text)) : null
  if (value === null || value !== BigInt.asIntN(8 * size, value))
    throw invalid(`Unable to make ${javaName} from '${text}'`)
  const bytes = Buffer.allocUnsafe(size)
  if (size === 8) bytes.writeBigInt64BE(value)
  else bytes.writeIntBE(Number(value), 0, size)
  return bytes
}

function parseFloating(text: string, name: string): number {
  const value = parseDouble(text)
  if (value === null) throw invalid(`Unable to make ${name} from '${text}'`)
  return value
}

/** Zero bytes are false here, not empty. */
function parseBoolean(text: string): Buffer {
  const lower = text.toLowerCase()
  if (lower === 'true') return Buffer.from([1])
  if (lower === 'false' || lower === '') return Buffer.from([0])
  throw invalid(`Unable to make boolean from '${text}'`)
}

function parseAscii(text: string): Buffer {
  if (isAscii(text)) return Buffer.from(text, 'latin1')
  let first = 0
  while (text.charCodeAt(first) < 0x80) first += 1
  const length = (text.codePointAt(first) ?? 0) > 0xffff ? 2 : 1
  throw invalid(
    'Invalid ASCII character in string literal: ' +
      `java.nio.charset.UnmappableCharacterException: Input length = ${length}`,
  )
}

/** Digits without 0x. */
function parseHex(text: string): Buffer {
  const bytes = Buffer.from(text, 'hex')
  if (text.length % 2 !== 0 || bytes.length * 2 !== text.length) throw invalid(`cannot parse '${text}' as hex bytes`)
  return bytes
}

/** Components between colons, `@` for null, backslashes before either: the form in which Cassandra writes tuples to strings. */
function parseTuple(types: readonly CqlType[], text: string, nowMs: () => number): Buffer {
  if (text === '') return EMPTY
  const parts: string[] = []
  let part = ''
  for (let i = 0; i < text.length; i++) {
    if (text[i] === ':') {
      parts.push(part)
      part = ''
      continue
    }
    if (text[i] === '\\' && i + 1 < text.length) i += 1
    part += text[i]
  }
  parts.push(part)
  if (parts.length > types.length)
    throw invalid(
      `Invalid tuple literal: too many elements. Type ${typeToCql({ kind: 'tuple', elements: types })} expects ${types.length} but got ${parts.length}`,
    )
  const encoded = parts.map((part, i) => (part === '@' ? null : parseText(types[i]!, part, nowMs)))
  return Buffer.concat(
    encoded.flatMap((bytes) => {
      const length = Buffer.allocUnsafe(4)
      length.writeInt32BE(bytes === null ? -1 : bytes.length)
      return bytes === null ? [length] : [length, bytes]
    }),
  )
}
