/**
 * Values as bytes that sort (unsigned) as `compare` orders the values, and end by themselves: no encoding is a prefix of another of its type.
 * Fixed lengths stay as they are with signs flipped; other bytes have 0x00 written as 0x00 0xff and end with 0x00 0x00.
 * Always: values that compare as equal have equal bytes. What comes back is then the plainest of them (`keepsBytes` tells where that matters).
 */
import { unreachable } from '../base/assert.ts'
import { ByteReader, BytesError, ByteWriter } from '../base/bytes.ts'
import { someType } from './names.ts'
import {
  decodeOrderedDecimal,
  decodeOrderedVarint,
  encodeOrderedDecimal,
  encodeOrderedVarint,
} from './ordered-number.ts'
import type { CqlType, NativeTypeName } from './type.ts'
import { fixedLength, readVectorLength } from './vector.ts'
import { writeUnsignedVint } from './vint.ts'

/** Before each part of a list, set, map, tuple, user type or vector of variable length; END after those whose parts may become more. */
const END = 0
const NULL = 1
const EMPTY = 2
const VALUE = 3

/** Zero bytes are a value like others in these types; in all others they stand apart. */
export function hasOwnEmpty(type: CqlType): boolean {
  return type.kind === 'custom' || (type.kind === 'native' && isString(type.name))
}

function isString(name: NativeTypeName): boolean {
  return name === 'text' || name === 'blob' || name === 'ascii'
}

/** False for the few values whose own bytes are not what decoding gives: 1.0 for 1, a NaN with a payload, a tuple cut short. */
export function keepsBytes(type: CqlType, bytes: Buffer): boolean {
  if (!someType(type, mayLoseBytes) || (bytes.length === 0 && !hasOwnEmpty(type))) return true
  const writer = new ByteWriter(bytes.length + 32)
  encodeOrdered(type, bytes, 0, bytes.length, writer)
  return decodeOrderedValue(type, writer.view()).equals(bytes)
}

function mayLoseBytes(type: CqlType): boolean {
  if (type.kind !== 'native') return type.kind !== 'vector' && type.kind !== 'custom'
  switch (type.name) {
    case 'decimal':
    case 'varint':
    case 'boolean':
    case 'float':
    case 'double':
      return true
    default:
      return false
  }
}

/** The CQL bytes of one ordered value. */
function decodeOrderedValue(type: CqlType, ordered: Buffer): Buffer {
  const writer = new ByteWriter(ordered.length + 8)
  decodeOrdered(type, new ByteReader(ordered), 0, writer)
  return writer.view()
}

/** Appends the ordered bytes of the value bytes[start, end), which is not empty (unless its type has an empty value of its own). */
export function encodeOrdered(type: CqlType, bytes: Buffer, start: number, end: number, writer: ByteWriter): void {
  switch (type.kind) {
    case 'native':
      encodeNative(type.name, bytes, start, end, writer)
      return
    case 'list':
    case 'set':
      encodeElements(type.element, null, bytes, start, writer)
      return
    case 'map':
      encodeElements(type.key, type.value, bytes, start, writer)
      return
    case 'tuple':
      encodeComponents(type.elements, bytes, start, end, writer)
      return
    case 'udt':
      encodeFields(type.fieldTypes, bytes, start, end, writer)
      return
    case 'vector': {
      const fixed = fixedLength(type.element)
      let at = start
      for (let i = 0; i < type.dimension; i++) {
        if (fixed >= 0) {
          encodeOrdered(type.element, bytes, at, at + fixed, writer)
          at += fixed
        } else {
          const read = readVectorLength(bytes, at)!
          at += read.size + read.length
          encodePart(type.element, bytes, at - read.length, at, writer)
        }
      }
      return
    }
    case 'custom':
      encodeEscaped(bytes, start, end, writer)
      return
    default:
      unreachable(type)
  }
}

/**
 * Appends the CQL bytes of the ordered value at the reader. `mask` 0xff: the ordered bytes are inverted (descending columns), else 0.
 */
export function decodeOrdered(type: CqlType, reader: ByteReader, mask: number, writer: ByteWriter): void {
  switch (type.kind) {
    case 'native':
      decodeNative(type.name, reader, mask, writer)
      return
    case 'list':
    case 'set':
      decodeElements(type.element, null, reader, mask, writer)
      return
    case 'map':
      decodeElements(type.key, type.value, reader, mask, writer)
      return
    case 'tuple':
      for (const element of type.elements) decodePart(element, reader.uint8() ^ mask, reader, mask, writer)
      return
    case 'udt':
      decodeFields(type.fieldTypes, reader, mask, writer)
      return
    case 'vector': {
      const fixed = fixedLength(type.element)
      for (let i = 0; i < type.dimension; i++) {
        if (fixed >= 0) decodeOrdered(type.element, reader, mask, writer)
        else {
          const part = new ByteWriter(32)
          if ((reader.uint8() ^ mask) === VALUE) decodeOrdered(type.element, reader, mask, part)
          writeUnsignedVint(writer, BigInt(part.length))
          writer.bytes(part.view())
        }
      }
      return
    }
    case 'custom':
      decodeEscaped(reader, mask, writer)
      return
    default:
      unreachable(type)
  }
}

function encodeNative(name: NativeTypeName, bytes: Buffer, start: number, end: number, writer: ByteWriter): void {
  switch (name) {
    case 'text':
    case 'blob':
    case 'ascii':
    case 'inet':
    case 'duration':
      encodeEscaped(bytes, start, end, writer)
      return
    case 'tinyint':
    case 'smallint':
    case 'int':
    case 'bigint':
    case 'timestamp':
    case 'counter': {
      const at = writer.length
      writer.slice(bytes, start, end)
      writer.buffer[at] = writer.buffer[at]! ^ 0x80
      return
    }
    case 'date':
    case 'time':
      writer.slice(bytes, start, end)
      return
    case 'uuid': {
      const at = writer.reserve(16)
      if (bytes[start + 6]! >>> 4 === 1) putTimestampFirst(bytes, start, writer, at)
      else putVersionFirst(bytes, start, writer, at)
      for (let i = 8; i < 16; i++) writer.buffer[at + i] = bytes[start + i]!
      return
    }
    case 'timeuuid': {
      const at = writer.reserve(16)
      putTimestampFirst(bytes, start, writer, at)
      for (let i = 8; i < 16; i++) writer.buffer[at + i] = bytes[start + i]! ^ 0x80
      return
    }
    case 'boolean':
      writer.uint8(bytes[start] === 0 ? 0 : 1)
      return
    case 'float':
    case 'double':
      encodeFloating(name, bytes, start, writer)
      return
    case 'varint':
      encodeOrderedVarint(bytes.subarray(start, end), writer)
      return
    case 'decimal':
      encodeOrderedDecimal(bytes.subarray(start, end), writer)
      return
    default:
      unreachable(name)
  }
}

function decodeNative(name: NativeTypeName, reader: ByteReader, mask: number, writer: ByteWriter): void {
  switch (name) {
    case 'text':
    case 'blob':
    case 'ascii':
    case 'inet':
    case 'duration':
      decodeEscaped(reader, mask, writer)
      return
    case 'tinyint':
      decodeSigned(1, reader, mask, writer)
      return
    case 'smallint':
      decodeSigned(2, reader, mask, writer)
      return
    case 'int':
      decodeSigned(4, reader, mask, writer)
      return
    case 'bigint':
    case 'timestamp':
    case 'counter':
      decodeSigned(8, reader, mask, writer)
      return
    case 'date':
      copyMasked(4, reader, mask, writer)
      return
    case 'time':
      copyMasked(8, reader, mask, writer)
      return
    case 'boolean':
      copyMasked(1, reader, mask, writer)
      return
    case 'uuid':
    case 'timeuuid':
      decodeUuid(name, reader, mask, writer)
      return
    case 'float':
      decodeFloating(4, reader, mask, writer)
      return
    case 'double':
      decodeFloating(8, reader, mask, writer)
      return
    case 'varint':
      decodeOrderedVarint(reader, mask, writer)
      return
    case 'decimal':
      decodeOrderedDecimal(reader, mask, writer)
      return
    default:
      unreachable(name)
  }
}

/** Copies `length` masked bytes and returns where they begin. */
function copyMasked(length: number, reader: ByteReader, mask: number, writer: ByteWriter): number {
  const from = reader.position
  reader.skip(length)
  const at = writer.reserve(length)
  for (let i = 0; i < length; i++) writer.buffer[at + i] = reader.buffer[from + i]! ^ mask
  return at
}

function decodeSigned(length: number, reader: ByteReader, mask: number, writer: ByteWriter): void {
  const at = copyMasked(length, reader, mask, writer)
  writer.buffer[at] = writer.buffer[at]! ^ 0x80
}

function encodeEscaped(bytes: Buffer, start: number, end: number, writer: ByteWriter): void {
  let from = start
  for (let i = start; i < end; i++) {
    if (bytes[i] !== 0) continue
    writer.slice(bytes, from, i + 1)
    writer.uint8(0xff)
    from = i + 1
  }
  writer.slice(bytes, from, end)
  writer.uint16(0)
}

function decodeEscaped(reader: ByteReader, mask: number, writer: ByteWriter): void {
  const source = reader.buffer
  for (;;) {
    const start = reader.position
    let end = start
    while (end < reader.end && source[end] !== mask) end += 1
    reader.skip(end + 2 - start)
    const at = writer.length
    writer.slice(source, start, end)
    if (mask !== 0) for (let i = at; i < writer.length; i++) writer.buffer[i] = ~writer.buffer[i]!
    if ((source[end + 1]! ^ mask) === 0) return
    writer.uint8(0)
  }
}

function putTimestampFirst(bytes: Buffer, start: number, writer: ByteWriter, at: number): void {
  const target = writer.buffer
  target[at] = bytes[start + 6]!
  target[at + 1] = bytes[start + 7]!
  target[at + 2] = bytes[start + 4]!
  target[at + 3] = bytes[start + 5]!
  target[at + 4] = bytes[start]!
  target[at + 5] = bytes[start + 1]!
  target[at + 6] = bytes[start + 2]!
  target[at + 7] = bytes[start + 3]!
}

/** The four bits of the version before the other sixty. */
function putVersionFirst(bytes: Buffer, start: number, writer: ByteWriter, at: number): void {
  const high = bytes.readInt32BE(start)
  const low = bytes.readInt32BE(start + 4)
  const version = (low >>> 12) & 0xf
  writer.putInt32(at, (version << 28) | (high >>> 4))
  writer.putInt32(at + 4, (high << 28) | ((low >>> 4) & 0x0ffff000) | (low & 0xfff))
}

function decodeUuid(name: 'uuid' | 'timeuuid', reader: ByteReader, mask: number, writer: ByteWriter): void {
  const at = copyMasked(16, reader, mask, writer)
  const target = writer.buffer
  const high = target.readInt32BE(at)
  const low = target.readInt32BE(at + 4)
  const version = high >>> 28
  if (name === 'timeuuid' || version === 1) {
    writer.putInt32(at, low)
    writer.putInt32(at + 4, (high << 16) | (high >>> 16))
  } else {
    writer.putInt32(at, (high << 4) | (low >>> 28))
    writer.putInt32(at + 4, ((low & 0x0ffff000) << 4) | (version << 12) | (low & 0xfff))
  }
  if (name === 'timeuuid') for (let i = at + 8; i < at + 16; i++) target[i] = target[i]! ^ 0x80
}

/** Java's order: the sign bit flipped in numbers above zero, all bits in those below; one NaN, the greatest. */
function encodeFloating(name: 'float' | 'double', bytes: Buffer, start: number, writer: ByteWriter): void {
  const length = name === 'float' ? 4 : 8
  const at = writer.reserve(length)
  const target = writer.buffer
  const number = name === 'float' ? bytes.readFloatBE(start) : bytes.readDoubleBE(start)
  if (Number.isNaN(number)) {
    target.fill(0, at, at + length)
    target[at] = 0xff
    target[at + 1] = name === 'float' ? 0xc0 : 0xf8
    return
  }
  const invert = bytes[start]! >= 0x80 ? 0xff : 0
  for (let i = 0; i < length; i++) target[at + i] = bytes[start + i]! ^ invert
  if (invert === 0) target[at] = target[at]! ^ 0x80
}

function decodeFloating(length: number, reader: ByteReader, mask: number, writer: ByteWriter): void {
  const at = copyMasked(length, reader, mask, writer)
  const target = writer.buffer
  if (target[at]! >= 0x80) target[at] = target[at]! ^ 0x80
  else for (let i = at; i < at + length; i++) target[i] = ~target[i]!
}

function encodePart(type: CqlType, bytes: Buffer, start: number, end: number, writer: ByteWriter): void {
  if (start === end && !hasOwnEmpty(type)) {
    writer.uint8(EMPTY)
    return
  }
  writer.uint8(VALUE)
  encodeOrdered(type, bytes, start, end, writer)
}

/** Appends int32 length and bytes of the part whose marker was read. */
function decodePart(type: CqlType, marker: number, reader: ByteReader, mask: number, writer: ByteWriter): void {
  const at = writer.reserve(4)
  if (marker === VALUE) decodeOrdered(type, reader, mask, writer)
  writer.putInt32(at, marker === NULL ? -1 : writer.length - at - 4)
}

function encodeElements(
  first: CqlType,
  second: CqlType | null,
  bytes: Buffer,
  start: number,
  writer: ByteWriter,
): void {
  let at = start + 4
  for (let i = bytes.readInt32BE(start); i > 0; i--) {
    at = encodeElement(first, bytes, at, writer)
    if (second !== null) at = encodeElement(second, bytes, at, writer)
  }
  writer.uint8(END)
}

function encodeElement(type: CqlType, bytes: Buffer, at: number, writer: ByteWriter): number {
  const end = at + 4 + bytes.readInt32BE(at)
  encodePart(type, bytes, at + 4, end, writer)
  return end
}

function decodeElements(
  first: CqlType,
  second: CqlType | null,
  reader: ByteReader,
  mask: number,
  writer: ByteWriter,
): void {
  const at = writer.reserve(4)
  let count = 0
  for (;;) {
    const marker = reader.uint8() ^ mask
    if (marker === END) break
    decodePart(first, marker, reader, mask, writer)
    if (second !== null) decodePart(second, reader.uint8() ^ mask, reader, mask, writer)
    count += 1
  }
  writer.putInt32(at, count)
}

function encodeComponents(
  types: readonly CqlType[],
  bytes: Buffer,
  start: number,
  end: number,
  writer: ByteWriter,
): void {
  let at = start
  for (const type of types) {
    const length = at < end ? bytes.readInt32BE(at) : -1
    at += 4
    if (length < 0) {
      writer.uint8(NULL)
      continue
    }
    encodePart(type, bytes, at, at + length, writer)
    at += length
  }
}

/**
 * As a tuple, but nulls at the end are left out and END closes it: a value keeps its bytes, and remains equal to itself with nulls, when ALTER TYPE
 * adds fields.
 */
function encodeFields(types: readonly CqlType[], bytes: Buffer, start: number, end: number, writer: ByteWriter): void {
  let at = start
  let nulls = 0
  for (let i = 0; i < types.length && at < end; i++) {
    const length = bytes.readInt32BE(at)
    at += 4
    if (length < 0) {
      nulls += 1
      continue
    }
    for (; nulls > 0; nulls--) writer.uint8(NULL)
    encodePart(types[i]!, bytes, at, at + length, writer)
    at += length
  }
  writer.uint8(END)
}

function decodeFields(types: readonly CqlType[], reader: ByteReader, mask: number, writer: ByteWriter): void {
  let marker = reader.uint8() ^ mask
  for (const type of types) {
    decodePart(type, marker === END ? NULL : marker, reader, mask, writer)
    if (marker !== END) marker = reader.uint8() ^ mask
  }
  if (marker !== END) throw new BytesError('more fields than the user type has')
}
