/**
 * Metadata of results and of prepared statements. Source: native_protocol_v5.spec §4.2.5.2, §4.2.5.4.
 * Always: what a ResultMetadata object says of its columns never changes, so its bytes are made once for each version.
 */
import { type ByteReader, ByteWriter } from '../lib/base/bytes.ts'
import type { CqlType } from '../lib/types/type.ts'
import {
  protocolError,
  readBytes,
  readShortBytes,
  readString,
  writeBytes,
  writeShortBytes,
  writeString,
} from './notation.ts'
import { MetadataFlag } from './opcodes.ts'
import { readType, writeType } from './types.ts'

export interface ColumnSpec {
  readonly keyspace: string
  readonly table: string
  readonly name: string
  readonly type: CqlType
}

export interface ResultMetadata {
  readonly columns: readonly ColumnSpec[]
  /** 16 bytes: result_metadata_id of v5. */
  readonly id: Buffer
}

/** How a result's metadata is sent: in full, left out as the client asked, or in full with its new id (v5). */
export type MetadataForm = 'full' | 'skipped' | 'changed'

/** What metadata looks like on the wire: flags, then columns with the table they share first. */
interface EncodedColumns {
  readonly flags: number
  readonly bytes: Buffer
}

function inOneTable(columns: readonly ColumnSpec[]): boolean {
  const first = columns[0]
  if (first === undefined) return false
  return columns.every((column) => column.keyspace === first.keyspace && column.table === first.table)
}

function encodeColumns(columns: readonly ColumnSpec[], version: number): EncodedColumns {
  const writer = new ByteWriter()
  const global = inOneTable(columns)
  if (global) {
    writeString(writer, columns[0]!.keyspace)
    writeString(writer, columns[0]!.table)
  }
  for (const column of columns) {
    if (!global) {
      writeString(writer, column.keyspace)
      writeString(writer, column.table)
    }
    writeString(writer, column.name)
    writeType(writer, column.type, version)
  }
  return { flags: global ? MetadataFlag.GLOBAL_TABLES_SPEC : 0, bytes: writer.copy() }
}

const V3 = 0
const V4 = 1
const V5 = 2

/** Encoded metadata by the object it was made from. A server has one for all its connections. */
export class MetadataCache {
  readonly #encoded = new WeakMap<ResultMetadata, (EncodedColumns | undefined)[]>()

  get(metadata: ResultMetadata, version: number): EncodedColumns {
    let versions = this.#encoded.get(metadata)
    if (versions === undefined) {
      versions = [undefined, undefined, undefined]
      this.#encoded.set(metadata, versions)
    }
    const index = version === 3 ? V3 : version === 4 ? V4 : V5
    let encoded = versions[index]
    if (encoded === undefined) {
      encoded = encodeColumns(metadata.columns, version)
      versions[index] = encoded
    }
    return encoded
  }
}

export function writeResultMetadata(
  writer: ByteWriter,
  cache: MetadataCache,
  metadata: ResultMetadata,
  version: number,
  form: MetadataForm,
  pagingState: Buffer | null,
): void {
  const encoded = cache.get(metadata, version)
  let flags = encoded.flags
  if (pagingState !== null) flags |= MetadataFlag.HAS_MORE_PAGES
  if (form === 'skipped') flags |= MetadataFlag.NO_METADATA
  else if (form === 'changed') flags |= MetadataFlag.METADATA_CHANGED
  writer.int32(flags)
  writer.int32(metadata.columns.length)
  if (pagingState !== null) writeBytes(writer, pagingState)
  if (form === 'changed') writeShortBytes(writer, metadata.id)
  if (form !== 'skipped') writer.bytes(encoded.bytes)
}

/** The bind variables of a PREPARED answer; v3 does not tell which of them are the partition key. */
export function writeVariables(
  writer: ByteWriter,
  variables: readonly ColumnSpec[],
  partitionKeyIndexes: readonly number[],
  version: number,
): void {
  const encoded = encodeColumns(variables, version)
  writer.int32(encoded.flags)
  writer.int32(variables.length)
  if (version >= 4) {
    // Statements about several tables have no partition key in common.
    const indexes = encoded.flags === 0 ? [] : partitionKeyIndexes
    writer.int32(indexes.length)
    for (const index of indexes) writer.uint16(index)
  }
  writer.bytes(encoded.bytes)
}

export interface DecodedMetadata {
  readonly columnCount: number
  /** Null: left out. */
  readonly columns: readonly ColumnSpec[] | null
  readonly pagingState: Buffer | null
  /** The id that came with METADATA_CHANGED. */
  readonly newId: Buffer | null
  /** Of bind variables. */
  readonly partitionKeyIndexes: readonly number[]
}

/** Reads either kind: bind variables (v4 and above) have the indexes of the partition key. */
export function readMetadata(reader: ByteReader, version: number, areVariables: boolean): DecodedMetadata {
  const flags = reader.int32()
  const columnCount = reader.int32()
  if (columnCount < 0) throw protocolError(`Negative column count ${columnCount}`)
  const partitionKeyIndexes: number[] = []
  if (areVariables && version >= 4)
    for (let left = reader.int32(); left > 0; left--) partitionKeyIndexes.push(reader.uint16())
  const pagingState = (flags & MetadataFlag.HAS_MORE_PAGES) !== 0 ? readBytes(reader) : null
  const newId = (flags & MetadataFlag.METADATA_CHANGED) !== 0 ? readShortBytes(reader) : null
  let columns: ColumnSpec[] | null = null
  if ((flags & MetadataFlag.NO_METADATA) === 0) {
    columns = []
    const global = (flags & MetadataFlag.GLOBAL_TABLES_SPEC) !== 0
    const globalKeyspace = global ? readString(reader) : ''
    const globalTable = global ? readString(reader) : ''
    for (let left = columnCount; left > 0; left--) {
      const keyspace = global ? globalKeyspace : readString(reader)
      const table = global ? globalTable : readString(reader)
      columns.push({ keyspace, table, name: readString(reader), type: readType(reader) })
    }
  }
  return { columnCount, columns, pagingState, newId, partitionKeyIndexes }
}
