/**
 * The notations of the protocol's bodies, one field a function. Source: native_protocol_v5.spec §3.
 * Errors are PROTOCOL_ERRORs in Cassandra's words. Byte fields are views of the frame: whoever keeps them copies them.
 */
import { isUtf8 } from 'node:buffer'
import type { ByteReader, ByteWriter } from '../lib/base/bytes.ts'
import { RequestError } from '../lib/base/errors.ts'
import { UNSET } from '../lib/types/unset.ts'

/** The longest [string], in bytes. */
const STRING_BYTES_MAX = 0xffff

/** How much of bytes that are no UTF-8 an error shows. */
const SHOWN_BYTES_MAX = 128

export function protocolError(message: string): RequestError {
  return new RequestError('PROTOCOL_ERROR', message)
}

function readText(reader: ByteReader, length: number): string {
  const start = reader.position
  reader.skip(length)
  const text = reader.buffer.toString('utf8', start, start + length)
  // Only a text with a replacement character can have been malformed: the check costs nothing else.
  const replaced = text.indexOf('\ufffd')
  if (replaced >= 0) {
    const bytes = reader.buffer.subarray(start, start + length)
    if (!isUtf8(bytes)) {
      const valid = Buffer.byteLength(text.slice(0, replaced))
      const shown = bytes.subarray(valid, valid + SHOWN_BYTES_MAX).toString('hex')
      throw protocolError(
        `Cannot decode string as UTF8: '${shown}'; java.nio.charset.MalformedInputException: Input length = 1`,
      )
    }
  }
  return text
}

/** `[string]`: a short, then as many bytes of UTF-8. */
export function readString(reader: ByteReader): string {
  const length = reader.remaining() < 2 ? -1 : reader.uint16()
  if (length < 0 || length > reader.remaining())
    throw protocolError('Not enough bytes to read an UTF8 serialized string preceded by its 2 bytes length')
  return readText(reader, length)
}

/** `[long string]`: an int, then as many bytes of UTF-8. */
export function readLongString(reader: ByteReader): string {
  const length = reader.remaining() < 4 ? -1 : reader.int32()
  if (length < 0 || length > reader.remaining())
    throw protocolError('Not enough bytes to read an UTF8 serialized string preceded by its 4 bytes length')
  return readText(reader, length)
}

function readShortLength(reader: ByteReader): number {
  const length = reader.remaining() < 2 ? -1 : reader.uint16()
  if (length < 0 || length > reader.remaining())
    throw protocolError('Not enough bytes to read a byte array preceded by its 2 bytes length')
  return length
}

/** `[short bytes]`. */
export function readShortBytes(reader: ByteReader): Buffer {
  return reader.view(readShortLength(reader))
}

/** `[short bytes]` as a string of one character a byte: the key under which prepared statements are kept. */
export function readId(reader: ByteReader): string {
  const length = readShortLength(reader)
  const start = reader.position
  reader.position = start + length
  return reader.buffer.toString('latin1', start, start + length)
}

/** Whether the id at the reader is the one that was read at `before`; then it is passed over. */
export function readSameId(reader: ByteReader, before: number): boolean {
  const { buffer, position, end } = reader
  const size = 2 + ((buffer[before]! << 8) | buffer[before + 1]!)
  if (size > end - position) return false
  for (let i = 0; i < size; i++) if (buffer[before + i] !== buffer[position + i]) return false
  reader.position = position + size
  return true
}

/** `[bytes]`: any negative length is null. */
export function readBytes(reader: ByteReader): Buffer | null {
  const length = reader.int32()
  return length < 0 ? null : reader.view(length)
}

/** `[value]`: -1 is null, -2 is not set; v3 knows no unset, there any negative length is null. */
export function readValue(reader: ByteReader, version: number): Buffer | null | typeof UNSET {
  const length = reader.int32()
  if (length >= 0) return reader.view(length)
  if (length === -1 || version < 4) return null
  if (length === -2) return UNSET
  throw protocolError(`Invalid ByteBuf length ${length}`)
}

/** The last level, NODE_LOCAL: not in the specification, but Cassandra reads it. */
const CONSISTENCY_MAX = 0x000b

/** `[consistency]`, as its code. */
export function readConsistency(reader: ByteReader): number {
  const code = reader.uint16()
  if (code > CONSISTENCY_MAX) throw protocolError(`Unknown code ${code} for a consistency level`)
  return code
}

export function readStringList(reader: ByteReader): string[] {
  const list: string[] = []
  for (let left = reader.uint16(); left > 0; left--) list.push(readString(reader))
  return list
}

/** `[string map]`; of two entries with one key the last counts. */
export function readStringMap(reader: ByteReader): Map<string, string> {
  const map = new Map<string, string>()
  for (let left = reader.uint16(); left > 0; left--) map.set(readString(reader), readString(reader))
  return map
}

export function readStringMultimap(reader: ByteReader): Map<string, string[]> {
  const map = new Map<string, string[]>()
  for (let left = reader.uint16(); left > 0; left--) map.set(readString(reader), readStringList(reader))
  return map
}

/** `[bytes map]`: a custom payload. */
export function readBytesMap(reader: ByteReader): Map<string, Buffer | null> {
  const map = new Map<string, Buffer | null>()
  for (let left = reader.uint16(); left > 0; left--) map.set(readString(reader), readBytes(reader))
  return map
}

/** `[inetaddr]`: 4 or 16 bytes after their number. */
export function readAddress(reader: ByteReader): Buffer {
  const length = reader.uint8()
  if (length !== 4 && length !== 16) throw protocolError(`Invalid address of ${length} bytes`)
  return reader.view(length)
}

/** `[string]`, cut between characters when it is too long for one. */
export function writeString(writer: ByteWriter, text: string): void {
  const at = writer.reserve(2)
  const start = writer.length
  writer.utf8(text)
  let size = writer.length - start
  if (size > STRING_BYTES_MAX) {
    size = STRING_BYTES_MAX
    while ((writer.buffer[start + size]! & 0xc0) === 0x80) size--
    writer.length = start + size
  }
  writer.buffer[at] = size >>> 8
  writer.buffer[at + 1] = size
}

export function writeLongString(writer: ByteWriter, text: string): void {
  const at = writer.reserve(4)
  const start = writer.length
  writer.utf8(text)
  writer.putInt32(at, writer.length - start)
}

export function writeShortBytes(writer: ByteWriter, bytes: Uint8Array): void {
  writer.uint16(bytes.length)
  writer.bytes(bytes)
}

export function writeBytes(writer: ByteWriter, bytes: Uint8Array | null): void {
  if (bytes === null) {
    writer.int32(-1)
    return
  }
  writer.int32(bytes.length)
  writer.bytes(bytes)
}

export function writeValue(writer: ByteWriter, value: Uint8Array | null | typeof UNSET): void {
  if (value === UNSET) {
    writer.int32(-2)
    return
  }
  writeBytes(writer, value)
}

export function writeStringList(writer: ByteWriter, list: readonly string[]): void {
  writer.uint16(list.length)
  for (const text of list) writeString(writer, text)
}

export function writeStringMap(writer: ByteWriter, map: ReadonlyMap<string, string>): void {
  writer.uint16(map.size)
  for (const [key, value] of map) {
    writeString(writer, key)
    writeString(writer, value)
  }
}

export function writeStringMultimap(writer: ByteWriter, map: ReadonlyMap<string, readonly string[]>): void {
  writer.uint16(map.size)
  for (const [key, list] of map) {
    writeString(writer, key)
    writeStringList(writer, list)
  }
}

export function writeBytesMap(writer: ByteWriter, map: ReadonlyMap<string, Uint8Array | null>): void {
  writer.uint16(map.size)
  for (const [key, bytes] of map) {
    writeString(writer, key)
    writeBytes(writer, bytes)
  }
}

export function writeAddress(writer: ByteWriter, address: Uint8Array): void {
  writer.uint8(address.length)
  writer.bytes(address)
}
