/**
 * Values as JSON. Source: CQL 3.4.7 "JSON encoding of Cassandra data types"; the texts are those of Apache Cassandra 5.0.6.
 */
import { unreachable } from '../base/assert.ts'
import { splitCollection, splitFields } from './collection-parts.ts'
import { toCqlText, vectorElements } from './format.ts'
import { LEGACY_TIMEUUID_CLASS, NATIVE } from './names.ts'
import { timestampText } from './timestamp.ts'
import type { CqlType, NativeType } from './type.ts'

/** Null is null; zero bytes of a type without an empty value are an empty string. */
export function toJson(type: CqlType, bytes: Buffer | null): string {
  if (bytes === null) return 'null'
  switch (type.kind) {
    case 'native':
      return nativeJson(type, bytes)
    case 'list':
    case 'set':
      return `[${splitCollection(bytes, 1)
        .map((element) => toJson(type.element, element))
        .join(', ')}]`
    case 'map': {
      const parts = splitCollection(bytes, 2)
      const entries: string[] = []
      for (let i = 0; i < parts.length; i += 2)
        entries.push(`${jsonKey(toJson(type.key, parts[i]!))}: ${toJson(type.value, parts[i + 1]!)}`)
      return `{${entries.join(', ')}}`
    }
    case 'tuple':
      return `[${components(bytes, type.elements).join(', ')}]`
    case 'udt': {
      const values = components(bytes, type.fieldTypes)
      return `{${type.fieldNames.map((name, i) => `${jsonName(name)}: ${values[i]}`).join(', ')}}`
    }
    case 'vector':
      return `[${vectorElements(type, bytes)
        .map((element) => toJson(type.element, element))
        .join(', ')}]`
    case 'custom':
      if (type.className === LEGACY_TIMEUUID_CLASS) return toJson(NATIVE.timeuuid, bytes)
      return `"0x${bytes.toString('hex')}"`
    default:
      return unreachable(type)
  }
}

function nativeJson(type: NativeType, bytes: Buffer): string {
  switch (type.name) {
    case 'text':
    case 'ascii':
      return jsonString(toCqlText(type, bytes))
    case 'blob':
      return `"0x${bytes.toString('hex')}"`
    default:
      if (bytes.length === 0) return '""'
  }
  switch (type.name) {
    case 'float':
      return Number.isFinite(bytes.readFloatBE(0)) ? toCqlText(type, bytes) : 'null'
    case 'double':
      return Number.isFinite(bytes.readDoubleBE(0)) ? toCqlText(type, bytes) : 'null'
    case 'timestamp':
      return `"${timestampText(bytes.readBigInt64BE(0), ' ')}"`
    case 'boolean':
    case 'tinyint':
    case 'smallint':
    case 'int':
    case 'bigint':
    case 'counter':
    case 'varint':
    case 'decimal':
      return toCqlText(type, bytes)
    default:
      return `"${toCqlText(type, bytes)}"`
  }
}

/** The name of a column or field as a key: in quotes of its own unless it is all in lower case. */
export function jsonName(name: string): string {
  return jsonString(name === name.toLowerCase() ? name : `"${name}"`)
}

/** A value as a key: JSON has none but strings. */
function jsonKey(json: string): string {
  return json.startsWith('"') ? json : jsonString(json)
}

const SHORT_ESCAPES = new Map([
  ['"', '\\"'],
  ['\\', '\\\\'],
  ['\b', '\\b'],
  ['\f', '\\f'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
])

/** In quotes; control characters escaped, all else as it is. */
function jsonString(text: string): string {
  let escaped = ''
  let from = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code >= 0x20 && code !== 0x22 && code !== 0x5c) continue
    const short = SHORT_ESCAPES.get(text[i]!)
    escaped += text.slice(from, i) + (short ?? `\\u${code.toString(16).toUpperCase().padStart(4, '0')}`)
    from = i + 1
  }
  return `"${escaped}${text.slice(from)}"`
}

/** Fields of a tuple; those past its end are null. */
function components(bytes: Buffer, types: readonly CqlType[]): string[] {
  const fields = splitFields(bytes)
  return types.map((type, i) => toJson(type, fields[i] ?? null))
}
