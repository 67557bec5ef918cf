/**
 * Clusterings and paths as bytes that sort: what storage keeps rows and collection cells by. Source: storage/model/command.ts says what is asked.
 *
 * clustering := component*, one for each clustering column or fewer (a prefix)
 * component  := 0x40 ordered bytes (all inverted in a descending column)
 *             | 0x3f (0x41 in a descending column): zero bytes of a type that has no empty value of its own
 *             | 0x3e: no value, before all others in either order: what the last columns of a row of a compact table may have (schema/compact.ts)
 * A prefix itself is the bound before everything that begins with it; the prefix and 0x60 is the bound after.
 */
import { ByteReader, ByteWriter } from '../base/bytes.ts'
import { decodeOrdered, encodeOrdered, hasOwnEmpty, keepsBytes } from './ordered-value.ts'
import type { CqlType } from './type.ts'

export { keepsBytes }

const COMPONENT = 0x40
const NO_VALUE = 0x3e
const EMPTY_ASCENDING = 0x3f
const EMPTY_DESCENDING = 0x41

/** Appended to a prefix it makes the bound after all that begins with it. */
export const AFTER_PREFIX = 0x60

/** What is asked of a clustering column. */
export interface OrderedColumn {
  readonly type: CqlType
  readonly reversed: boolean
}

/** Appends one component. The value is valid for its type. */
export function encodeComponent(type: CqlType, reversed: boolean, bytes: Buffer, writer: ByteWriter): void {
  if (bytes.length === 0 && !hasOwnEmpty(type)) {
    writer.uint8(reversed ? EMPTY_DESCENDING : EMPTY_ASCENDING)
    return
  }
  writer.uint8(COMPONENT)
  const start = writer.length
  encodeOrdered(type, bytes, 0, bytes.length, writer)
  if (!reversed) return
  const target = writer.buffer
  for (let i = start; i < writer.length; i++) target[i] = ~target[i]!
}

/** Appends components for so many columns that have no value. */
export function encodeNoValues(count: number, writer: ByteWriter): void {
  for (let i = 0; i < count; i++) writer.uint8(NO_VALUE)
}

/** Appends the value of the component at the reader as a [value]: int32 length, bytes. */
export function decodeComponentTo(type: CqlType, reversed: boolean, reader: ByteReader, writer: ByteWriter): void {
  const at = writer.reserve(4)
  const marker = reader.uint8()
  if (marker === COMPONENT) decodeOrdered(type, reader, reversed ? 0xff : 0, writer)
  writer.putInt32(at, marker === NO_VALUE ? -1 : writer.length - at - 4)
}

/** The value of the component at the reader. */
export function decodeComponent(type: CqlType, reversed: boolean, reader: ByteReader): Buffer | null {
  const writer = new ByteWriter(32)
  const marker = reader.uint8()
  if (marker === NO_VALUE) return null
  if (marker === COMPONENT) decodeOrdered(type, reader, reversed ? 0xff : 0, writer)
  return writer.view()
}

/** The values of the first columns: a whole clustering or a prefix of one. */
export function encodeClustering(columns: readonly OrderedColumn[], values: readonly Buffer[]): Buffer {
  const writer = new ByteWriter(64)
  for (let i = 0; i < values.length; i++) {
    const column = columns[i]!
    encodeComponent(column.type, column.reversed, values[i]!, writer)
  }
  return writer.view()
}

/** The values of a whole clustering, or of as many columns as a prefix has. */
export function decodeClustering(columns: readonly OrderedColumn[], clustering: Buffer): (Buffer | null)[] {
  const reader = new ByteReader(clustering)
  const values: (Buffer | null)[] = []
  for (const column of columns) {
    if (reader.remaining() === 0) break
    values.push(decodeComponent(column.type, column.reversed, reader))
  }
  return values
}

/**
 * Path of a set's element, a map's key or a list's position that lies at bytes[start, end). Zero bytes of a type without an empty value are the
 * empty path.
 */
export function encodePath(type: CqlType, bytes: Buffer, start: number, end: number, writer: ByteWriter): void {
  if (start === end && !hasOwnEmpty(type)) return
  encodeOrdered(type, bytes, start, end, writer)
}

export function decodePath(type: CqlType, path: Buffer): Buffer {
  const writer = new ByteWriter(path.length + 8)
  decodePathTo(type, path, writer)
  return writer.view()
}

/** Appends the bytes of the value, without a length. */
function decodePathTo(type: CqlType, path: Buffer, writer: ByteWriter): void {
  if (path.length > 0) decodeOrdered(type, new ByteReader(path), 0, writer)
}
