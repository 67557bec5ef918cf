/**
 * Values as text: `toCqlText` as CAST (x AS text) and keys in JSON give it, `toCqlLiteral` as CQL text would write it.
 * Source: the texts of Apache Cassandra 5.0.6.
 */
import { unreachable } from '../base/assert.ts'
import { uuidText } from '../base/uuid.ts'
import { splitFields } from './collection-parts.ts'
import { dateText, timeText } from './date-time.ts'
import { decodeDuration, durationText } from './duration.ts'
import { quoteIdentifier } from './identifier.ts'
import { inetText } from './inet.ts'
import { decodeDecimal, decodeVarint } from './number.ts'
import { decimalText, doubleText, floatText } from './number-text.ts'
import { timestampText } from './timestamp.ts'
import type { CqlType, NativeTypeName } from './type.ts'
import { fixedLength, readVectorLength } from './vector.ts'

/** Without quotes. Zero bytes of a type without an empty value are ''; collections are their bytes in hex. */
export function toCqlText(type: CqlType, bytes: Buffer): string {
  return type.kind === 'native' ? nativeText(type.name, bytes) : bytes.toString('hex')
}

function nativeText(name: NativeTypeName, bytes: Buffer): string {
  switch (name) {
    case 'text':
      return bytes.toString('utf8')
    case 'ascii':
      return bytes.toString('latin1')
    case 'blob':
      return bytes.toString('hex')
    default:
      if (bytes.length === 0) return ''
  }
  switch (name) {
    case 'boolean':
      return bytes[0] === 0 ? 'false' : 'true'
    case 'tinyint':
    case 'smallint':
    case 'int':
    case 'bigint':
    case 'counter':
    case 'varint':
      return decodeVarint(bytes).toString()
    case 'decimal':
      return decimalText(decodeDecimal(bytes))
    case 'float':
      return floatText(bytes.readFloatBE(0))
    case 'double':
      return doubleText(bytes.readDoubleBE(0))
    case 'timestamp':
      return timestampText(bytes.readBigInt64BE(0), 'T')
    case 'date':
      return dateText(bytes.readUInt32BE(0))
    case 'time':
      return timeText(bytes.readBigInt64BE(0))
    case 'duration':
      return durationText(decodeDuration(bytes))
    case 'uuid':
    case 'timeuuid':
      return uuidText(bytes)
    case 'inet':
      return inetText(bytes)
    default:
      return unreachable(name)
  }
}

/** The value as a literal of CQL: strings in quotes, blobs with 0x, collections with their brackets. Null and empty values: `null`. */
export function toCqlLiteral(type: CqlType, bytes: Buffer | null): string {
  if (bytes === null) return 'null'
  switch (type.kind) {
    case 'native':
      return nativeLiteral(type.name, bytes)
    case 'list':
      return `[${parts(bytes, [type.element]).join(', ')}]`
    case 'set':
      return `{${parts(bytes, [type.element]).join(', ')}}`
    case 'map': {
      const texts = parts(bytes, [type.key, type.value])
      const entries: string[] = []
      for (let i = 0; i < texts.length; i += 2) entries.push(`${texts[i]}: ${texts[i + 1]}`)
      return `{${entries.join(', ')}}`
    }
    case 'tuple':
      return `(${components(bytes, type.elements).join(', ')})`
    case 'udt': {
      const texts = components(bytes, type.fieldTypes)
      return `{${type.fieldNames.map((name, i) => `${quoteIdentifier(name)}: ${texts[i]}`).join(', ')}}`
    }
    case 'vector':
      return `[${vectorElements(type, bytes)
        .map((element) => toCqlLiteral(type.element, element))
        .join(', ')}]`
    case 'custom':
      return `0x${bytes.toString('hex')}`
    default:
      return unreachable(type)
  }
}

function nativeLiteral(name: NativeTypeName, bytes: Buffer): string {
  switch (name) {
    case 'blob':
      return `0x${bytes.toString('hex')}`
    case 'text':
    case 'ascii':
      return quoteString(nativeText(name, bytes))
    default:
      if (bytes.length === 0) return 'null'
  }
  const text = nativeText(name, bytes)
  return name === 'timestamp' || name === 'date' || name === 'time' || name === 'inet' ? `'${text}'` : text
}

/** In single quotes, those inside doubled. */
function quoteString(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

function parts(bytes: Buffer, types: readonly CqlType[]): string[] {
  const texts: string[] = []
  if (bytes.length === 0) return texts
  let at = 4
  for (let i = 0, n = bytes.readInt32BE(0) * types.length; i < n; i++) {
    const length = bytes.readInt32BE(at)
    const end = at + 4 + Math.max(length, 0)
    texts.push(length < 0 ? 'null' : toCqlLiteral(types[i % types.length]!, bytes.subarray(at + 4, end)))
    at = end
  }
  return texts
}

function components(bytes: Buffer, types: readonly CqlType[]): string[] {
  const fields = splitFields(bytes)
  return types.map((type, i) => toCqlLiteral(type, fields[i] ?? null))
}

/** The bytes of a vector's elements, views of the value. */
export function vectorElements(type: CqlType & { kind: 'vector' }, bytes: Buffer): Buffer[] {
  const fixed = fixedLength(type.element)
  const elements: Buffer[] = []
  let at = 0
  for (let i = 0; i < type.dimension; i++) {
    let length = fixed
    if (fixed < 0) {
      const read = readVectorLength(bytes, at)!
      at += read.size
      length = read.length
    }
    elements.push(bytes.subarray(at, at + length))
    at += length
  }
  return elements
}
