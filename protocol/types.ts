/**
 * `[option]`s that name CQL types. Source: native_protocol_v5.spec §6; which version knows which code: Cassandra 5.
 * A type that the client's version has no code for is a custom one, named by its Java class; inside collections too.
 */

import { unreachable } from '../lib/base/assert.ts'
import type { ByteReader, ByteWriter } from '../lib/base/bytes.ts'
import { typeToClassName } from '../lib/types/class-name.ts'
import { type CqlType, NATIVE_TYPE_CODES, type NativeTypeName } from '../lib/types/type.ts'
import { protocolError, readString, writeString } from './notation.ts'

const CODE_CUSTOM = 0x00
/** Alias of text that old servers send. */
const CODE_VARCHAR_V1 = 0x0a
const CODE_LIST = 0x20
const CODE_MAP = 0x21
const CODE_SET = 0x22
const CODE_UDT = 0x30
const CODE_TUPLE = 0x31

/** How deep types may lie in one another where we read them. */
const NESTING_MAX = 64

/** The first version with a code of their own; the others are as old as v3. */
const SINCE: ReadonlyMap<NativeTypeName, number> = new Map([
  ['date', 4],
  ['time', 4],
  ['smallint', 4],
  ['tinyint', 4],
  ['duration', 5],
])

const NATIVE_NAMES = new Map(
  Object.entries(NATIVE_TYPE_CODES).map(([name, code]) => [code as number, name as NativeTypeName]),
)

function writeCustom(writer: ByteWriter, className: string): void {
  writer.uint16(CODE_CUSTOM)
  writeString(writer, className)
}

export function writeType(writer: ByteWriter, type: CqlType, version: number): void {
  switch (type.kind) {
    case 'native':
      if (version < (SINCE.get(type.name) ?? 0)) {
        writeCustom(writer, typeToClassName(type))
        return
      }
      writer.uint16(NATIVE_TYPE_CODES[type.name])
      return
    case 'list':
      writer.uint16(CODE_LIST)
      writeType(writer, type.element, version)
      return
    case 'set':
      writer.uint16(CODE_SET)
      writeType(writer, type.element, version)
      return
    case 'map':
      writer.uint16(CODE_MAP)
      writeType(writer, type.key, version)
      writeType(writer, type.value, version)
      return
    case 'tuple':
      writer.uint16(CODE_TUPLE)
      writer.uint16(type.elements.length)
      for (const element of type.elements) writeType(writer, element, version)
      return
    case 'udt':
      writer.uint16(CODE_UDT)
      writeString(writer, type.keyspace)
      writeString(writer, type.name)
      writer.uint16(type.fieldNames.length)
      type.fieldNames.forEach((name, index) => {
        writeString(writer, name)
        writeType(writer, type.fieldTypes[index]!, version)
      })
      return
    case 'vector':
    case 'custom':
      writeCustom(writer, typeToClassName(type))
      return
    default:
      unreachable(type)
      return
  }
}

/** Custom types stay custom: what their class means is the reader's to know. The wire does not say what is frozen. */
export function readType(reader: ByteReader, depth = 0): CqlType {
  if (depth > NESTING_MAX) throw protocolError(`Types nested deeper than ${NESTING_MAX}`)
  const code = reader.uint16()
  switch (code) {
    case CODE_CUSTOM:
      return { kind: 'custom', className: readString(reader) }
    case CODE_LIST:
      return { kind: 'list', element: readType(reader, depth + 1), frozen: false }
    case CODE_SET:
      return { kind: 'set', element: readType(reader, depth + 1), frozen: false }
    case CODE_MAP: {
      const key = readType(reader, depth + 1)
      return { kind: 'map', key, value: readType(reader, depth + 1), frozen: false }
    }
    case CODE_TUPLE: {
      const elements: CqlType[] = []
      for (let left = reader.uint16(); left > 0; left--) elements.push(readType(reader, depth + 1))
      return { kind: 'tuple', elements }
    }
    case CODE_UDT: {
      const keyspace = readString(reader)
      const name = readString(reader)
      const fieldNames: string[] = []
      const fieldTypes: CqlType[] = []
      for (let left = reader.uint16(); left > 0; left--) {
        fieldNames.push(readString(reader))
        fieldTypes.push(readType(reader, depth + 1))
      }
      return { kind: 'udt', keyspace, name, fieldNames, fieldTypes, frozen: false }
    }
    default: {
      const name = code === CODE_VARCHAR_V1 ? 'text' : NATIVE_NAMES.get(code)
      if (name === undefined) throw protocolError(`Unknown type code ${code}`)
      return { kind: 'native', name }
    }
  }
}
