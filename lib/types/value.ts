/**
 * Is a value of a type? Values arrive as the bytes of the native protocol; what passes here can be stored and given back.
 * Source: native_protocol_v5.spec §6; messages, and which types allow zero bytes, as Apache Cassandra 5.0.6.
 */
import { isUtf8 } from 'node:buffer'
import { unreachable } from '../base/assert.ts'
import { invalid, RequestError } from '../base/errors.ts'
import { validateDuration } from './duration.ts'
import { typeToCql } from './names.ts'
import type { CqlType, NativeTypeName, TupleType, UserType, VectorType } from './type.ts'
import { fixedLength, readVectorLength } from './vector.ts'

export { compare, holds, isOrderOperator, type OrderOperator } from './compare.ts'

/** Throws INVALID, in Cassandra's words, when bytes[start, end) are no value of the type. */
export function validate(type: CqlType, bytes: Buffer, start = 0, end = bytes.length): void {
  switch (type.kind) {
    case 'native':
      validateNative(type.name, bytes, start, end)
      return
    case 'list':
    case 'set':
      validateElements(type.kind, type.element, null, bytes, start, end)
      return
    case 'map':
      validateElements('map', type.key, type.value, bytes, start, end)
      return
    case 'tuple':
      validateTuple(type, bytes, start, end)
      return
    case 'udt':
      validateUserType(type, bytes, start, end)
      return
    case 'vector':
      validateVector(type, bytes, start, end)
      return
    case 'custom':
      return
    default:
      unreachable(type)
  }
}

/** Null when the bytes are a value of the type, else the message that `validate` would throw. */
export function whyInvalid(type: CqlType, bytes: Buffer, start = 0, end = bytes.length): string | null {
  try {
    validate(type, bytes, start, end)
    return null
  } catch (error) {
    if (error instanceof RequestError) return error.message
    throw error
  }
}

function validateNative(name: NativeTypeName, bytes: Buffer, start: number, end: number): void {
  const length = end - start
  switch (name) {
    case 'int':
      if (length !== 4 && length !== 0) throw invalid(`Expected 4 or 0 byte int (${length})`)
      return
    case 'text':
      if (!isShortAscii(bytes, start, end)) validateText(bytes.subarray(start, end))
      return
    case 'bigint':
    case 'counter':
      if (length !== 8 && length !== 0) throw invalid(`Expected 8 or 0 byte long (${length})`)
      return
    case 'blob':
    case 'varint':
      return
    case 'uuid':
      if (length !== 16 && length !== 0) throw invalid(`UUID should be 16 or 0 bytes (${length})`)
      return
    case 'timeuuid':
      if (length !== 16 && length !== 0) throw invalid(`UUID should be 16 or 0 bytes (${length})`)
      // The digit shown is that of the first byte, as Cassandra shows it.
      if (length === 16 && bytes[start + 6]! >>> 4 !== 1)
        throw invalid(`Invalid version for TimeUUID type: 0x${(bytes[start]! >>> 4).toString(16)}`)
      return
    case 'timestamp':
      if (length !== 8 && length !== 0) throw invalid(`Expected 8 or 0 byte long for date (${length})`)
      return
    case 'boolean':
      if (length > 1) throw invalid(`Expected 1 or 0 byte value (${length})`)
      return
    case 'double':
      if (length !== 8 && length !== 0) throw invalid(`Expected 8 or 0 byte value for a double (${length})`)
      return
    case 'float':
      if (length !== 4 && length !== 0) throw invalid(`Expected 4 or 0 byte value for a float (${length})`)
      return
    case 'decimal':
      if (length !== 0 && length < 4) throw invalid(`Expected 0 or at least 4 bytes (${length})`)
      return
    case 'ascii':
      validateAscii(bytes, start, end)
      return
    case 'inet':
      if (length !== 4 && length !== 16 && length !== 0)
        throw invalid(`Expected 4 or 16 byte inetaddress; got ${bytes.toString('hex', start, end)}`)
      return
    case 'date':
      if (length !== 4) throw invalid(`Expected 4 byte long for date (${length})`)
      return
    case 'time':
      if (length !== 8) throw invalid(`Expected 8 byte long for time (${length})`)
      return
    case 'smallint':
      if (length !== 2) throw invalid(`Expected 2 bytes for a smallint (${length})`)
      return
    case 'tinyint':
      if (length !== 1) throw invalid(`Expected 1 byte for a tinyint (${length})`)
      return
    case 'duration':
      validateDuration(bytes.subarray(start, end))
      return
    default:
      unreachable(name)
  }
}

/** Texts up to this many bytes are looked at in JavaScript first: a call into native code costs more than a short loop. */
const SHORT_TEXT_BYTES = 40

function isShortAscii(bytes: Buffer, start: number, end: number): boolean {
  if (end - start > SHORT_TEXT_BYTES) return false
  for (let i = start; i < end; i++) if (bytes[i]! >= 0x80) return false
  return true
}

function validateText(bytes: Buffer): void {
  if (!isUtf8(bytes) && !isLooseUtf8(bytes)) throw invalid("String didn't validate.")
}

/** UTF-8 as Cassandra takes it: halves of surrogate pairs, a zero of two bytes and code points beyond Unicode's last pass too. */
function isLooseUtf8(bytes: Buffer): boolean {
  let at = 0
  while (at < bytes.length) {
    const first = bytes[at++]!
    if (first < 0x80) continue
    const second = bytes[at] ?? 0
    let more: number
    if (first === 0xc0) {
      if (second !== 0x80) return false
      more = 1
    } else if (first >= 0xc2 && first < 0xe0) more = 1
    else if (first >= 0xe0 && first < 0xf0) {
      if (first === 0xe0 && second < 0xa0) return false
      more = 2
    } else if (first >= 0xf0 && first < 0xf8) {
      if (first === 0xf0 && second < 0x90) return false
      more = 3
    } else return false
    for (; more > 0; more--) if ((bytes[at++] ?? 0) >>> 6 !== 2) return false
  }
  return true
}

function validateAscii(bytes: Buffer, start: number, end: number): void {
  for (let i = start; i < end; i++) if (bytes[i]! >= 0x80) throw invalid(`Invalid byte for ascii: ${bytes[i]! - 256}`)
}

/** Every element of a list or set, every key and value of a map: int32 count, then int32 length and bytes of each. */
function validateElements(
  kind: 'list' | 'set' | 'map',
  first: CqlType,
  second: CqlType | null,
  bytes: Buffer,
  start: number,
  end: number,
): void {
  if (end - start < 4) throw invalid(`Not enough bytes to read a ${kind}`)
  const count = bytes.readInt32BE(start)
  if (count < 0) throw invalid(`The data cannot be deserialized as a ${kind}`)
  let at = start + 4
  let hasNull = false
  for (let i = 0; i < count; i++) {
    // A list of more elements than there are bytes is told as that first.
    if (kind === 'list' && at + 4 <= end && bytes.readInt32BE(at) < 0) {
      hasNull = true
      at += 4
      continue
    }
    at = validateElement(kind, first, bytes, at, end)
    if (second !== null) at = validateElement(kind, second, bytes, at, end)
  }
  if (hasNull) throw nullElement()
  if (at < end) throw invalid(`Unexpected extraneous bytes after ${kind} value`)
}

function nullElement(): RequestError {
  return invalid('Null value read when not allowed')
}

function validateElement(kind: string, type: CqlType, bytes: Buffer, at: number, end: number): number {
  const start = at + 4
  if (start > end) throw invalid(`Not enough bytes to read a ${kind}`)
  const length = bytes.readInt32BE(at)
  if (length < 0) throw nullElement()
  if (length > end - start) throw invalid(`Not enough bytes to read a ${kind}`)
  validate(type, bytes, start, start + length)
  return start + length
}

function validateTuple(type: TupleType, bytes: Buffer, start: number, end: number): void {
  let at = start
  for (let i = 0; i < type.elements.length; i++) {
    if (at === end) return
    if (at + 4 > end) throw invalid(`Not enough bytes to read size of ${i}th component`)
    const length = bytes.readInt32BE(at)
    at += 4
    if (length < 0) continue
    if (length > end - at) throw invalid(`Not enough bytes to read ${i}th component`)
    validate(type.elements[i]!, bytes, at, at + length)
    at += length
  }
  if (at < end) throw invalid('Invalid remaining data after end of tuple value')
}

function validateUserType(type: UserType, bytes: Buffer, start: number, end: number): void {
  let at = start
  for (let i = 0; i < type.fieldTypes.length; i++) {
    if (at === end) return
    const name = type.fieldNames[i]!
    if (at + 4 > end) throw invalid(`Not enough bytes to read size of ${i}th field ${name}`)
    const length = bytes.readInt32BE(at)
    at += 4
    if (length < 0) continue
    if (length > end - at) throw invalid(`Not enough bytes to read ${i}th field ${name}`)
    const why = whyInvalid(type.fieldTypes[i]!, bytes, at, at + length)
    if (why !== null) throw invalid(`Failure validating the ${i}th field ${name}; ${why}`)
    at += length
  }
  if (at < end) throw invalid('Invalid remaining data after end of UDT value')
}

function validateVector(type: VectorType, bytes: Buffer, start: number, end: number): void {
  if (start === end) throw invalid('Invalid empty vector value')
  const fixed = fixedLength(type.element)
  let at = start
  for (let i = 0; i < type.dimension; i++) {
    let length = fixed
    if (length < 0) {
      const read = readVectorLength(bytes, at, end)
      if (read === null) throw invalid(`Not enough bytes to read a ${typeToCql(type)}`)
      at += read.size
      length = read.length
    }
    if (length > end - at) throw invalid(`Not enough bytes to read a ${typeToCql(type)}`)
    validate(type.element, bytes, at, at + length)
    at += length
  }
  if (at < end) throw invalid(`Unexpected ${end - at} extraneous bytes after ${typeToCql(type)} value`)
}
