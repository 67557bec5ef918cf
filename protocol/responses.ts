/**
 * Answers and events: plain objects ↔ bodies. Source: native_protocol_v3.spec, _v4.spec, _v5.spec §4.2.
 * Answers are written straight into the connection's outgoing bytes; rows are bytes already.
 */
import { ByteReader, type ByteWriter } from '../lib/base/bytes.ts'
import { ErrorCode, type RequestError } from '../lib/base/errors.ts'
import type { Encoder } from './encoder.ts'
import { type Envelope, HEADER_BYTES_V2, RESPONSE_BIT } from './envelope.ts'
import { readError, writeError } from './errors.ts'
import {
  type ColumnSpec,
  type DecodedMetadata,
  type MetadataCache,
  type MetadataForm,
  type ResultMetadata,
  readMetadata,
  writeResultMetadata,
  writeVariables,
} from './metadata.ts'
import {
  protocolError,
  readAddress,
  readBytes,
  readBytesMap,
  readShortBytes,
  readString,
  readStringList,
  readStringMultimap,
  writeAddress,
  writeBytes,
  writeShortBytes,
  writeString,
  writeStringList,
  writeStringMultimap,
} from './notation.ts'
import { EVENT_STREAM, type EventType, HeaderFlag, Opcode, ResultKind } from './opcodes.ts'

export type { ColumnSpec, ResultMetadata } from './metadata.ts'

/** A change of the schema as RESULT and EVENT tell it, §4.2.5.5. */
export interface SchemaChange {
  readonly change: 'CREATED' | 'UPDATED' | 'DROPPED'
  readonly target: 'KEYSPACE' | 'TABLE' | 'TYPE' | 'FUNCTION' | 'AGGREGATE'
  readonly keyspace: string
  /** Empty for a keyspace. */
  readonly name: string
  readonly argumentTypes?: readonly string[]
}

/** Where clients reach a node: 4 or 16 bytes and a port. */
export interface Endpoint {
  readonly address: Uint8Array
  readonly port: number
}

export type ServerEvent =
  | ({ readonly kind: 'STATUS_CHANGE'; readonly change: 'UP' | 'DOWN' } & Endpoint)
  | ({ readonly kind: 'TOPOLOGY_CHANGE'; readonly change: 'NEW_NODE' | 'REMOVED_NODE' | 'MOVED_NODE' } & Endpoint)
  | { readonly kind: 'SCHEMA_CHANGE'; readonly change: SchemaChange }

/** What stands before an answer's body. */
export interface ResponseExtras {
  /** 16 bytes. */
  readonly tracingId: Uint8Array | null
  /** v3 does not hear of them. */
  readonly warnings: readonly string[] | null
}

export const NO_EXTRAS: ResponseExtras = { tracingId: null, warnings: null }

export interface RowsAnswer {
  readonly metadata: ResultMetadata
  readonly rowCount: number
  /** [value]s one after another. */
  readonly rowBytes: Buffer
  readonly pagingState: Buffer | null
}

export interface PreparedAnswer {
  /** 16 bytes. */
  readonly id: Uint8Array
  readonly variables: readonly ColumnSpec[]
  readonly partitionKeyIndexes: readonly number[]
  /** Null: the statement answers no rows. */
  readonly resultMetadata: ResultMetadata | null
}

/** MD5 of nothing: the result metadata id of a statement that answers no rows. */
const NO_RESULT_METADATA_ID = Buffer.from('d41d8cd98f00b204e9800998ecf8427e', 'hex')
const NO_COLUMNS_FLAGS = 4

function begin(encoder: Encoder, version: number, stream: number, opcode: number, extras: ResponseExtras): ByteWriter {
  const { tracingId } = extras
  const warnings = version >= 4 && extras.warnings !== null && extras.warnings.length > 0 ? extras.warnings : null
  let flags = 0
  if (tracingId !== null) flags |= HeaderFlag.TRACING
  if (warnings !== null) flags |= HeaderFlag.WARNING
  encoder.begin(version | RESPONSE_BIT, flags, stream, opcode)
  const writer = encoder.writer
  if (tracingId !== null) writer.bytes(tracingId)
  if (warnings !== null) writeStringList(writer, warnings)
  return writer
}

export function encodeReady(encoder: Encoder, version: number, stream: number): void {
  begin(encoder, version, stream, Opcode.READY, NO_EXTRAS)
  encoder.end()
}

export function encodeAuthenticate(encoder: Encoder, version: number, stream: number, className: string): void {
  writeString(begin(encoder, version, stream, Opcode.AUTHENTICATE, NO_EXTRAS), className)
  encoder.end()
}

export function encodeAuthChallenge(encoder: Encoder, version: number, stream: number, token: Buffer | null): void {
  writeBytes(begin(encoder, version, stream, Opcode.AUTH_CHALLENGE, NO_EXTRAS), token)
  encoder.end()
}

export function encodeAuthSuccess(encoder: Encoder, version: number, stream: number, token: Buffer | null): void {
  writeBytes(begin(encoder, version, stream, Opcode.AUTH_SUCCESS, NO_EXTRAS), token)
  encoder.end()
}

export function encodeSupported(
  encoder: Encoder,
  version: number,
  stream: number,
  options: ReadonlyMap<string, readonly string[]>,
): void {
  writeStringMultimap(begin(encoder, version, stream, Opcode.SUPPORTED, NO_EXTRAS), options)
  encoder.end()
}

export function encodeError(
  encoder: Encoder,
  version: number,
  stream: number,
  error: RequestError,
  extras: ResponseExtras = NO_EXTRAS,
): void {
  writeError(begin(encoder, version, stream, Opcode.ERROR, extras), error, version)
  encoder.end()
}

/** Tells a client of v1 or v2, in the header that it can read, that its version is not spoken here. */
export function encodeLegacyError(encoder: Encoder, version: number, message: string): void {
  const writer = encoder.writer
  const at = writer.reserve(HEADER_BYTES_V2)
  writer.buffer.fill(0, at, writer.length)
  writer.buffer[at] = version | RESPONSE_BIT
  writer.buffer[at + 3] = Opcode.ERROR
  writer.int32(ErrorCode.PROTOCOL_ERROR)
  writeString(writer, message)
  writer.putInt32(at + 4, writer.length - at - HEADER_BYTES_V2)
}

export function encodeVoid(encoder: Encoder, version: number, stream: number, extras: ResponseExtras): void {
  begin(encoder, version, stream, Opcode.RESULT, extras).int32(ResultKind.VOID)
  encoder.end()
}

export function encodeRows(
  encoder: Encoder,
  version: number,
  stream: number,
  rows: RowsAnswer,
  form: MetadataForm,
  cache: MetadataCache,
  extras: ResponseExtras,
): void {
  const writer = begin(encoder, version, stream, Opcode.RESULT, extras)
  writer.int32(ResultKind.ROWS)
  writeResultMetadata(writer, cache, rows.metadata, version, form, rows.pagingState)
  writer.int32(rows.rowCount)
  writer.bytes(rows.rowBytes)
  encoder.end()
}

export function encodeSetKeyspace(
  encoder: Encoder,
  version: number,
  stream: number,
  keyspace: string,
  extras: ResponseExtras,
): void {
  const writer = begin(encoder, version, stream, Opcode.RESULT, extras)
  writer.int32(ResultKind.SET_KEYSPACE)
  writeString(writer, keyspace)
  encoder.end()
}

export function encodePrepared(
  encoder: Encoder,
  version: number,
  stream: number,
  prepared: PreparedAnswer,
  cache: MetadataCache,
  extras: ResponseExtras,
): void {
  const writer = begin(encoder, version, stream, Opcode.RESULT, extras)
  const metadata = prepared.resultMetadata
  writer.int32(ResultKind.PREPARED)
  writeShortBytes(writer, prepared.id)
  if (version >= 5) writeShortBytes(writer, metadata === null ? NO_RESULT_METADATA_ID : metadata.id)
  writeVariables(writer, prepared.variables, prepared.partitionKeyIndexes, version)
  if (metadata === null) {
    writer.int32(NO_COLUMNS_FLAGS)
    writer.int32(0)
  } else {
    writeResultMetadata(writer, cache, metadata, version, metadata.columns.length === 0 ? 'skipped' : 'full', null)
  }
  encoder.end()
}

function writeSchemaChange(writer: ByteWriter, change: SchemaChange, version: number): void {
  const ofFunction = change.target === 'FUNCTION' || change.target === 'AGGREGATE'
  if (ofFunction && version < 4) {
    // v3 has no functions: their keyspace was updated, with an empty name where a keyspace has none.
    writeString(writer, 'UPDATED')
    writeString(writer, 'KEYSPACE')
    writeString(writer, change.keyspace)
    writeString(writer, '')
    return
  }
  writeString(writer, change.change)
  writeString(writer, change.target)
  writeString(writer, change.keyspace)
  if (change.target === 'KEYSPACE') return
  writeString(writer, change.name)
  if (ofFunction) writeStringList(writer, change.argumentTypes ?? [])
}

export function encodeSchemaChange(
  encoder: Encoder,
  version: number,
  stream: number,
  change: SchemaChange,
  extras: ResponseExtras,
): void {
  const writer = begin(encoder, version, stream, Opcode.RESULT, extras)
  writer.int32(ResultKind.SCHEMA_CHANGE)
  writeSchemaChange(writer, change, version)
  encoder.end()
}

export function encodeEvent(encoder: Encoder, version: number, event: ServerEvent): void {
  const writer = begin(encoder, version, EVENT_STREAM, Opcode.EVENT, NO_EXTRAS)
  writeString(writer, event.kind)
  if (event.kind === 'SCHEMA_CHANGE') {
    writeSchemaChange(writer, event.change, version)
  } else {
    writeString(writer, event.change)
    writeAddress(writer, event.address)
    writer.int32(event.port)
  }
  encoder.end()
}

export type Response =
  | { readonly kind: 'error'; readonly error: RequestError }
  | { readonly kind: 'ready' }
  | { readonly kind: 'authenticate'; readonly className: string }
  | { readonly kind: 'auth_challenge' | 'auth_success'; readonly token: Buffer | null }
  | { readonly kind: 'supported'; readonly options: ReadonlyMap<string, readonly string[]> }
  | { readonly kind: 'event'; readonly event: ServerEvent }
  | { readonly kind: 'void' }
  | {
      readonly kind: 'rows'
      readonly metadata: DecodedMetadata
      readonly rowCount: number
      readonly rowBytes: Buffer
    }
  | { readonly kind: 'set_keyspace'; readonly keyspace: string }
  | {
      readonly kind: 'prepared'
      readonly id: Buffer
      /** v5; null before. */
      readonly resultMetadataId: Buffer | null
      readonly variables: DecodedMetadata
      readonly resultMetadata: DecodedMetadata
    }
  | { readonly kind: 'schema_change'; readonly change: SchemaChange }

/** An answer with what stood before its body. */
export interface DecodedResponse {
  readonly response: Response
  readonly tracingId: Buffer | null
  readonly warnings: readonly string[]
  readonly customPayload: ReadonlyMap<string, Buffer | null> | null
}

function oneOf<T extends string>(names: readonly T[], text: string): T {
  const name = names.find((known) => known === text)
  if (name === undefined) throw protocolError(`Unknown name '${text}'`)
  return name
}

const CHANGES = ['CREATED', 'UPDATED', 'DROPPED'] as const
const TARGETS = ['KEYSPACE', 'TABLE', 'TYPE', 'FUNCTION', 'AGGREGATE'] as const
const STATUS_CHANGES = ['UP', 'DOWN'] as const
const TOPOLOGY_CHANGES = ['NEW_NODE', 'REMOVED_NODE', 'MOVED_NODE'] as const

function readSchemaChange(reader: ByteReader): SchemaChange {
  const change = oneOf(CHANGES, readString(reader))
  const target = oneOf(TARGETS, readString(reader))
  const keyspace = readString(reader)
  if (target === 'KEYSPACE') return { change, target, keyspace, name: '' }
  const name = readString(reader)
  if (target !== 'FUNCTION' && target !== 'AGGREGATE') return { change, target, keyspace, name }
  return { change, target, keyspace, name, argumentTypes: readStringList(reader) }
}

function readEvent(reader: ByteReader): ServerEvent {
  const kind: EventType = oneOf(['STATUS_CHANGE', 'TOPOLOGY_CHANGE', 'SCHEMA_CHANGE'] as const, readString(reader))
  switch (kind) {
    case 'SCHEMA_CHANGE':
      return { kind, change: readSchemaChange(reader) }
    case 'STATUS_CHANGE':
      return {
        kind,
        change: oneOf(STATUS_CHANGES, readString(reader)),
        address: readAddress(reader),
        port: reader.int32(),
      }
    case 'TOPOLOGY_CHANGE':
      return {
        kind,
        change: oneOf(TOPOLOGY_CHANGES, readString(reader)),
        address: readAddress(reader),
        port: reader.int32(),
      }
  }
}

function readResult(reader: ByteReader, version: number): Response {
  const kind = reader.int32()
  switch (kind) {
    case ResultKind.VOID:
      return { kind: 'void' }
    case ResultKind.ROWS: {
      const metadata = readMetadata(reader, version, false)
      const rowCount = reader.int32()
      return { kind: 'rows', metadata, rowCount, rowBytes: reader.view(reader.remaining()) }
    }
    case ResultKind.SET_KEYSPACE:
      return { kind: 'set_keyspace', keyspace: readString(reader) }
    case ResultKind.PREPARED:
      return {
        kind: 'prepared',
        id: readShortBytes(reader),
        resultMetadataId: version >= 5 ? readShortBytes(reader) : null,
        variables: readMetadata(reader, version, true),
        resultMetadata: readMetadata(reader, version, false),
      }
    case ResultKind.SCHEMA_CHANGE:
      return { kind: 'schema_change', change: readSchemaChange(reader) }
    default:
      throw protocolError(`Unknown kind of result ${kind}`)
  }
}

function readBody(reader: ByteReader, opcode: number, version: number): Response {
  switch (opcode) {
    case Opcode.RESULT:
      return readResult(reader, version)
    case Opcode.ERROR:
      return { kind: 'error', error: readError(reader, version) }
    case Opcode.EVENT:
      return { kind: 'event', event: readEvent(reader) }
    case Opcode.READY:
      return { kind: 'ready' }
    case Opcode.AUTHENTICATE:
      return { kind: 'authenticate', className: readString(reader) }
    case Opcode.AUTH_CHALLENGE:
      return { kind: 'auth_challenge', token: readBytes(reader) }
    case Opcode.AUTH_SUCCESS:
      return { kind: 'auth_success', token: readBytes(reader) }
    case Opcode.SUPPORTED:
      return { kind: 'supported', options: readStringMultimap(reader) }
    default:
      throw protocolError(`Opcode ${opcode} is no answer`)
  }
}

/** A client's side: decodes what a Decoder cut. Byte fields are views of the frame. */
export function decodeResponse(envelope: Envelope): DecodedResponse {
  const { version, flags } = envelope
  const reader = new ByteReader(envelope.buffer, envelope.start, envelope.end)
  const tracingId = (flags & HeaderFlag.TRACING) !== 0 ? reader.view(16) : null
  const warnings = (flags & HeaderFlag.WARNING) !== 0 ? readStringList(reader) : []
  const customPayload = (flags & HeaderFlag.CUSTOM_PAYLOAD) !== 0 ? readBytesMap(reader) : null
  return { response: readBody(reader, envelope.opcode, version), tracingId, warnings, customPayload }
}
