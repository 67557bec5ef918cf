/**
 * Requests: bodies ↔ plain objects. Source: native_protocol_v3.spec, _v4.spec, _v5.spec §4.1.
 * Decoded values are views of the frame they came in: whoever keeps them beyond the request copies them.
 */
import { unreachable } from '../lib/base/assert.ts'
import type { ByteReader, ByteWriter } from '../lib/base/bytes.ts'
import type { UNSET } from '../lib/types/unset.ts'
import type { Encoder } from './encoder.ts'
import {
  protocolError,
  readBytes,
  readBytesMap,
  readConsistency,
  readId,
  readLongString,
  readSameId,
  readShortBytes,
  readString,
  readStringList,
  readStringMap,
  readValue,
  writeBytes,
  writeBytesMap,
  writeLongString,
  writeShortBytes,
  writeString,
  writeStringList,
  writeStringMap,
  writeValue,
} from './notation.ts'
import {
  BATCH_TYPES,
  type BatchType,
  EVENT_TYPES,
  type EventType,
  HeaderFlag,
  isRequestOpcode,
  Opcode,
  opcodeName,
  PREPARE_KEYSPACE,
  QueryFlag,
} from './opcodes.ts'

export type Value = Buffer | null | typeof UNSET

const SERIAL = 0x0008

/** Of QUERY, EXECUTE and BATCH, §4.1.4. What the server's statements are executed with, and more. */
export interface QueryParameters {
  /** 3, 4 or 5; the beta counts as 5. */
  readonly protocolVersion: number
  readonly consistency: number
  readonly serialConsistency: number
  readonly values: readonly Value[]
  /** Null: the values go by position. */
  readonly names: readonly string[] | null
  readonly skipMetadata: boolean
  /** Null: unpaged. */
  readonly pageSize: number | null
  readonly pagingState: Buffer | null
  /** Microseconds as the two halves of a signed 64-bit number. */
  readonly timestamp: { readonly high: number; readonly low: number } | null
  readonly keyspace: string | null
  /** Seconds since 1970, unsigned. */
  readonly nowSeconds: number | null
}

export type BatchItem =
  | { readonly kind: 'query'; readonly query: string; readonly values: Value[] }
  | { readonly kind: 'prepared'; readonly id: string; readonly values: Value[] }

/** Ids of prepared statements are strings of one character a byte. */
export type Request =
  | { readonly kind: 'options' }
  | { readonly kind: 'startup'; readonly options: ReadonlyMap<string, string> }
  | { readonly kind: 'auth_response'; readonly token: Buffer | null }
  | { readonly kind: 'register'; readonly events: readonly EventType[] }
  | { readonly kind: 'query'; readonly query: string; readonly parameters: QueryParameters }
  | { readonly kind: 'prepare'; readonly query: string; readonly keyspace: string | null }
  | {
      readonly kind: 'execute'
      readonly id: string
      /** v5; null before. */
      readonly resultMetadataId: Buffer | null
      readonly parameters: QueryParameters
    }
  | {
      readonly kind: 'batch'
      readonly type: BatchType
      readonly items: readonly BatchItem[]
      readonly parameters: QueryParameters
    }

function readValues(reader: ByteReader, version: number): Value[] {
  const values = new Array<Value>(reader.uint16())
  for (let i = 0; i < values.length; i++) values[i] = readValue(reader, version)
  return values
}

function readTimestamp(reader: ByteReader): { high: number; low: number } {
  const high = reader.int32()
  const low = reader.int32()
  if (high === -0x80000000 && low === 0)
    throw protocolError(
      'Out of bound timestamp, must be in [-9223372036854775807, 9223372036854775807] (got -9223372036854775808)',
    )
  return { high, low }
}

const NO_VALUES: readonly Value[] = []

function readParameters(reader: ByteReader, version: number): QueryParameters {
  const consistency = readConsistency(reader)
  const flags = version >= 5 ? reader.int32() : reader.uint8()
  let values = NO_VALUES
  let names: string[] | null = null
  if ((flags & QueryFlag.VALUES) !== 0) {
    if ((flags & QueryFlag.NAMES) !== 0) {
      const named: Value[] = []
      names = []
      for (let left = reader.uint16(); left > 0; left--) {
        names.push(readString(reader))
        named.push(readValue(reader, version))
      }
      values = named
    } else {
      values = readValues(reader, version)
    }
  }
  const pageSize = (flags & QueryFlag.PAGE_SIZE) !== 0 ? reader.int32() : -1
  if (pageSize === 0) throw protocolError('The page size cannot be 0')
  return {
    protocolVersion: version >= 5 ? 5 : version,
    consistency,
    values,
    names,
    skipMetadata: (flags & QueryFlag.SKIP_METADATA) !== 0,
    // A negative size is as good as none.
    pageSize: pageSize > 0 ? pageSize : null,
    pagingState: (flags & QueryFlag.PAGING_STATE) !== 0 ? readBytes(reader) : null,
    serialConsistency: (flags & QueryFlag.SERIAL_CONSISTENCY) !== 0 ? readConsistency(reader) : SERIAL,
    timestamp: (flags & QueryFlag.TIMESTAMP) !== 0 ? readTimestamp(reader) : null,
    keyspace: (flags & QueryFlag.KEYSPACE) !== 0 ? readString(reader) : null,
    nowSeconds: (flags & QueryFlag.NOW_IN_SECONDS) !== 0 && version >= 5 ? reader.uint32() : null,
  }
}

function readEvents(reader: ByteReader): EventType[] {
  return readStringList(reader).map((name) => {
    const known = EVENT_TYPES.find((type) => type === name.toUpperCase())
    if (known === undefined) throw protocolError(`Invalid value '${name}' for Type`)
    return known
  })
}

function readBatch(reader: ByteReader, version: number): Request {
  const code = reader.int8()
  const type = BATCH_TYPES[code]
  if (type === undefined) throw protocolError(`Invalid BATCH message type ${code}`)
  const items: BatchItem[] = []
  // Mostly one statement with many values: its id is made a string once.
  let id = ''
  let idAt = -1
  for (let left = reader.uint16(); left > 0; left--) {
    const kind = reader.int8()
    if (kind === 0) items.push({ kind: 'query', query: readLongString(reader), values: readValues(reader, version) })
    else if (kind === 1) {
      if (idAt < 0 || !readSameId(reader, idAt)) {
        idAt = reader.position
        id = readId(reader)
      }
      items.push({ kind: 'prepared', id, values: readValues(reader, version) })
    } else throw protocolError(`Invalid query kind in BATCH messages. Must be 0 or 1 but got ${kind}`)
  }
  return { kind: 'batch', type, items, parameters: readParameters(reader, version) }
}

function readOptions(reader: ByteReader): Map<string, string> {
  const options = new Map<string, string>()
  for (const [key, value] of readStringMap(reader)) options.set(key.toUpperCase(), value)
  return options
}

/** Throws unless the opcode is one that a client may send. */
export function checkRequestOpcode(opcode: number, isResponse: boolean): void {
  const name = opcodeName(opcode)
  if (name === null) throw protocolError(`Unknown opcode ${opcode}`)
  const expected = isRequestOpcode(opcode) ? 'REQUEST' : 'RESPONSE'
  const got = isResponse ? 'RESPONSE' : 'REQUEST'
  if (expected !== got)
    throw protocolError(`Wrong protocol direction (expected ${expected}, got ${got}) for opcode ${opcode} (${name})`)
}

/** A custom payload that stands before the body; null: there is none. */
export function readCustomPayload(
  reader: ByteReader,
  flags: number,
  version: number,
): Map<string, Buffer | null> | null {
  if ((flags & HeaderFlag.CUSTOM_PAYLOAD) === 0) return null
  if (version < 4) throw protocolError('Received frame with CUSTOM_PAYLOAD flag for native protocol version < 4')
  return readBytesMap(reader)
}

/**
 * Decodes the body that `reader` holds, after its custom payload. Throws a RequestError (PROTOCOL_ERROR) in Cassandra's words, or BytesError
 * when the body ends early in a number. Bytes left over are ignored, as Cassandra does.
 */
export function readRequest(reader: ByteReader, opcode: number, version: number): Request {
  switch (opcode) {
    case Opcode.EXECUTE:
      return {
        kind: 'execute',
        id: readId(reader),
        resultMetadataId: version >= 5 ? readShortBytes(reader) : null,
        parameters: readParameters(reader, version),
      }
    case Opcode.QUERY:
      return { kind: 'query', query: readLongString(reader), parameters: readParameters(reader, version) }
    case Opcode.BATCH:
      return readBatch(reader, version)
    case Opcode.PREPARE: {
      const query = readLongString(reader)
      const flags = version >= 5 ? reader.int32() : 0
      return { kind: 'prepare', query, keyspace: (flags & PREPARE_KEYSPACE) !== 0 ? readString(reader) : null }
    }
    case Opcode.OPTIONS:
      return { kind: 'options' }
    case Opcode.STARTUP:
      return { kind: 'startup', options: readOptions(reader) }
    case Opcode.AUTH_RESPONSE:
      return { kind: 'auth_response', token: readBytes(reader) }
    case Opcode.REGISTER:
      return { kind: 'register', events: readEvents(reader) }
    default:
      throw protocolError('Unsupported message')
  }
}

function parameterFlags(parameters: QueryParameters, isBatch: boolean): number {
  let flags = 0
  if (!isBatch && (parameters.values !== NO_VALUES || parameters.names !== null)) {
    flags |= QueryFlag.VALUES
    if (parameters.names !== null) flags |= QueryFlag.NAMES
  }
  if (parameters.skipMetadata) flags |= QueryFlag.SKIP_METADATA
  if (parameters.pageSize !== null) flags |= QueryFlag.PAGE_SIZE
  if (parameters.pagingState !== null) flags |= QueryFlag.PAGING_STATE
  if (parameters.serialConsistency !== SERIAL) flags |= QueryFlag.SERIAL_CONSISTENCY
  if (parameters.timestamp !== null) flags |= QueryFlag.TIMESTAMP
  if (parameters.keyspace !== null) flags |= QueryFlag.KEYSPACE
  if (parameters.nowSeconds !== null) flags |= QueryFlag.NOW_IN_SECONDS
  return flags
}

function writeValues(writer: ByteWriter, values: readonly Value[]): void {
  writer.uint16(values.length)
  for (const value of values) writeValue(writer, value)
}

function writeParameters(writer: ByteWriter, parameters: QueryParameters, version: number, flags: number): void {
  writer.uint16(parameters.consistency)
  if (version >= 5) writer.int32(flags)
  else writer.uint8(flags)
  const { names, values, timestamp } = parameters
  if ((flags & QueryFlag.NAMES) !== 0) {
    writer.uint16(values.length)
    values.forEach((value, index) => {
      writeString(writer, names![index]!)
      writeValue(writer, value)
    })
  } else if ((flags & QueryFlag.VALUES) !== 0) {
    writeValues(writer, values)
  }
  if ((flags & QueryFlag.PAGE_SIZE) !== 0) writer.int32(parameters.pageSize ?? 0)
  if ((flags & QueryFlag.PAGING_STATE) !== 0) writeBytes(writer, parameters.pagingState)
  if ((flags & QueryFlag.SERIAL_CONSISTENCY) !== 0) writer.uint16(parameters.serialConsistency)
  if (timestamp !== null) {
    writer.int32(timestamp.high)
    writer.int32(timestamp.low)
  }
  if ((flags & QueryFlag.KEYSPACE) !== 0) writeString(writer, parameters.keyspace ?? '')
  if ((flags & QueryFlag.NOW_IN_SECONDS) !== 0) writer.int32(parameters.nowSeconds ?? 0)
}

/** Parameters with nothing but a consistency; spread and change what differs. */
export function plainParameters(version: number, consistency: number): QueryParameters {
  return {
    protocolVersion: version >= 5 ? 5 : version,
    consistency,
    values: NO_VALUES,
    names: null,
    skipMetadata: false,
    pageSize: null,
    pagingState: null,
    serialConsistency: SERIAL,
    timestamp: null,
    keyspace: null,
    nowSeconds: null,
  }
}

const OPCODES: Readonly<Record<Request['kind'], number>> = {
  options: Opcode.OPTIONS,
  startup: Opcode.STARTUP,
  auth_response: Opcode.AUTH_RESPONSE,
  register: Opcode.REGISTER,
  query: Opcode.QUERY,
  prepare: Opcode.PREPARE,
  execute: Opcode.EXECUTE,
  batch: Opcode.BATCH,
}

function writeRequestBody(writer: ByteWriter, request: Request, version: number, extraFlags: number): void {
  switch (request.kind) {
    case 'execute':
      writer.uint16(request.id.length)
      writer.bytes(Buffer.from(request.id, 'latin1'))
      if (version >= 5) writeShortBytes(writer, request.resultMetadataId ?? Buffer.alloc(0))
      writeParameters(writer, request.parameters, version, parameterFlags(request.parameters, false) | extraFlags)
      return
    case 'query':
      writeLongString(writer, request.query)
      writeParameters(writer, request.parameters, version, parameterFlags(request.parameters, false) | extraFlags)
      return
    case 'batch':
      writer.uint8(BATCH_TYPES.indexOf(request.type))
      writer.uint16(request.items.length)
      for (const item of request.items) {
        if (item.kind === 'query') {
          writer.uint8(0)
          writeLongString(writer, item.query)
        } else {
          writer.uint8(1)
          writeShortBytes(writer, Buffer.from(item.id, 'latin1'))
        }
        writeValues(writer, item.values)
      }
      writeParameters(writer, request.parameters, version, parameterFlags(request.parameters, true) | extraFlags)
      return
    case 'prepare':
      writeLongString(writer, request.query)
      if (version < 5) return
      writer.int32(request.keyspace === null ? 0 : PREPARE_KEYSPACE)
      if (request.keyspace !== null) writeString(writer, request.keyspace)
      return
    case 'options':
      return
    case 'startup':
      writeStringMap(writer, request.options)
      return
    case 'auth_response':
      writeBytes(writer, request.token)
      return
    case 'register':
      writeStringList(writer, request.events)
      return
    default:
      unreachable(request)
      return
  }
}

export interface RequestExtras {
  readonly tracing?: boolean
  readonly customPayload?: ReadonlyMap<string, Buffer | null>
  /** Flags of the header and of the parameters to set besides those that follow from the request. */
  readonly headerFlags?: number
  readonly parameterFlags?: number
}

const NO_EXTRAS: RequestExtras = {}

/** A client's side: writes a whole request. */
export function encodeRequest(
  encoder: Encoder,
  version: number,
  stream: number,
  request: Request,
  extras: RequestExtras = NO_EXTRAS,
): void {
  let flags = extras.headerFlags ?? 0
  if (extras.tracing) flags |= HeaderFlag.TRACING
  if (extras.customPayload) flags |= HeaderFlag.CUSTOM_PAYLOAD
  encoder.begin(version, flags, stream, OPCODES[request.kind])
  if (extras.customPayload) writeBytesMap(encoder.writer, extras.customPayload)
  writeRequestBody(encoder.writer, request, version, extras.parameterFlags ?? 0)
  encoder.end()
}
