/**
 * Plain values of JavaScript as CQL bytes, and rows of them in the storage encoding: how the node's own state becomes rows.
 */

import { RowData } from '../../../storage/model/command.ts'
import { RowWriter } from '../../../storage/model/row-writer.ts'
import { assert } from '../../base/assert.ts'
import { ByteWriter } from '../../base/bytes.ts'
import { parseUuid } from '../../base/uuid.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { parseInet } from '../../types/inet.ts'
import { isMultiCell } from '../../types/names.ts'
import { encodeComponent, encodePath } from '../../types/ordered.ts'
import { serializePartitionKey } from '../../types/partition-key.ts'
import type { CqlType } from '../../types/type.ts'
import { compare } from '../../types/value.ts'

/**
 * Text for text, uuid and inet; number for int, double, float, timestamp (ms) and bigint; Buffer for blob; arrays for lists, sets and tuples;
 * Map for maps.
 */
export type PlainValue =
  | string
  | number
  | bigint
  | boolean
  | Buffer
  | readonly PlainValue[]
  | ReadonlyMap<string, PlainValue>

/** A row by column names; what is absent or null has no value. */
export type PlainRow = Readonly<Record<string, PlainValue | null | undefined>>

const EMPTY = Buffer.alloc(0)

function encodePlain(type: CqlType, value: PlainValue): Buffer {
  switch (type.kind) {
    case 'native':
      return encodeNative(type.name, value)
    case 'list':
      return encodeElements((value as readonly PlainValue[]).map((element) => encodePlain(type.element, element)))
    case 'set':
      return encodeElements(setElements(type.element, value as readonly PlainValue[]))
    case 'map':
      return encodeElements(mapEntries(type.key, type.value, value as ReadonlyMap<string, PlainValue>).flat(), 2)
    case 'tuple':
      return encodeFields((value as readonly PlainValue[]).map((element, i) => encodePlain(type.elements[i]!, element)))
    default:
      throw new TypeError(`no plain values of ${type.kind}`)
  }
}

function encodeNative(name: string, value: PlainValue): Buffer {
  switch (name) {
    case 'ascii':
    case 'text':
      return Buffer.from(value as string)
    case 'blob':
      return value as Buffer
    case 'boolean':
      return Buffer.from([value ? 1 : 0])
    case 'int': {
      const bytes = Buffer.alloc(4)
      bytes.writeInt32BE(value as number)
      return bytes
    }
    case 'bigint':
    case 'timestamp': {
      const bytes = Buffer.alloc(8)
      bytes.writeBigInt64BE(BigInt(value as number | bigint))
      return bytes
    }
    case 'double': {
      const bytes = Buffer.alloc(8)
      bytes.writeDoubleBE(value as number)
      return bytes
    }
    case 'float': {
      const bytes = Buffer.alloc(4)
      bytes.writeFloatBE(value as number)
      return bytes
    }
    case 'uuid':
    case 'timeuuid': {
      const bytes = parseUuid(value as string)
      assert(bytes !== null, `${String(value)} is a uuid`)
      return bytes
    }
    case 'inet': {
      const bytes = parseInet(value as string)
      assert(bytes !== null, `${String(value)} is an address`)
      return bytes
    }
    default:
      throw new TypeError(`no plain values of type ${name}`)
  }
}

function setElements(type: CqlType, values: readonly PlainValue[]): Buffer[] {
  return values.map((value) => encodePlain(type, value)).sort((a, b) => compare(type, a, b))
}

function mapEntries(key: CqlType, value: CqlType, entries: ReadonlyMap<string, PlainValue>): [Buffer, Buffer][] {
  return Array.from(entries, ([k, v]): [Buffer, Buffer] => [encodePlain(key, k), encodePlain(value, v)]).sort(
    ([a], [b]) => compare(key, a, b),
  )
}

/** A count, then each with its length; a map's entry is two of them. */
function encodeElements(elements: readonly Buffer[], perEntry = 1): Buffer {
  const count = Buffer.alloc(4)
  count.writeInt32BE(elements.length / perEntry)
  return Buffer.concat([count, encodeFields(elements)])
}

function encodeFields(fields: readonly Buffer[]): Buffer {
  return Buffer.concat(
    fields.flatMap((field) => {
      const length = Buffer.alloc(4)
      length.writeInt32BE(field.length)
      return [length, field]
    }),
  )
}

/** Bytes of the partition key of a row. */
export function encodeKey(table: TableSchema, row: PlainRow): Buffer {
  return serializePartitionKey(table.partitionKey.map((column) => keyValue(column, row)))
}

function keyValue(column: ColumnSchema, row: PlainRow): Buffer {
  const value = row[column.name]
  assert(value !== null && value !== undefined, `a value of key column ${column.name}`)
  return encodePlain(column.type, value)
}

/** Cells of answered tables were all written at the beginning of time. */
const TIMESTAMP_LOW = 1

/** Makes rows; one is enough for many tables. */
export class PlainRowEncoder {
  readonly #out = new ByteWriter(1024)
  readonly #writer = new RowWriter(this.#out)
  readonly #path = new ByteWriter(64)

  encode(table: TableSchema, row: PlainRow): RowData {
    const { clustering } = table
    const out = this.#out
    out.reset()
    for (const column of clustering) encodeComponent(column.type, column.reversed, keyValue(column, row), out)
    const start = out.length
    const writer = this.#writer
    writer.begin()
    writer.liveness(0, TIMESTAMP_LOW, 0, 0)
    for (const column of table.columnsById) {
      if (!column) continue
      const value = row[column.name]
      if (value !== null && value !== undefined) this.#cells(column, value)
    }
    writer.end()
    const bytes = out.copy()
    return new RowData(bytes, 0, start, bytes, start, bytes.length, false)
  }

  #cells(column: ColumnSchema, value: PlainValue): void {
    const { id, type } = column
    if (!isMultiCell(type)) this.#writer.cell(id, 0, TIMESTAMP_LOW, encodePlain(type, value))
    else if (type.kind === 'set')
      for (const element of setElements(type.element, value as readonly PlainValue[]))
        this.#cell(id, type.element, element, EMPTY)
    else if (type.kind === 'map')
      for (const [key, cell] of mapEntries(type.key, type.value, value as ReadonlyMap<string, PlainValue>))
        this.#cell(id, type.key, key, cell)
    else throw new TypeError(`no plain values of a ${type.kind} with cells`)
  }

  #cell(id: number, pathType: CqlType, path: Buffer, value: Buffer): void {
    this.#path.reset()
    encodePath(pathType, path, 0, path.length, this.#path)
    this.#writer.pathCell(id, this.#path.view(), 0, TIMESTAMP_LOW, value)
  }
}
