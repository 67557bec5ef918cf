/**
 * The bodies of ERROR. Source: native_protocol_v5.spec §9; what older versions are told instead, Cassandra 5.
 */
import type { ByteReader, ByteWriter } from '../lib/base/bytes.ts'
import { ErrorCode, type ErrorCodeName, type ErrorFields, RequestError } from '../lib/base/errors.ts'
import {
  protocolError,
  readAddress,
  readConsistency,
  readShortBytes,
  readString,
  readStringList,
  writeAddress,
  writeShortBytes,
  writeString,
  writeStringList,
} from './notation.ts'

const CODE_NAMES = new Map<number, ErrorCodeName>(
  Object.entries(ErrorCode).map(([name, code]) => [code, name as ErrorCodeName]),
)

interface Told {
  readonly code: ErrorCodeName
  readonly message: string
}

/** Codes that a version does not have are told as the nearest one that it has. */
function toldIn(version: number, error: RequestError): Told {
  const { code, message, fields } = error
  const timedOut = `Operation timed out - received only ${fields.received ?? 0} responses.`
  if (version < 4) {
    if (code === 'READ_FAILURE') return { code: 'READ_TIMEOUT', message: timedOut }
    if (code === 'WRITE_FAILURE') return { code: 'WRITE_TIMEOUT', message: timedOut }
    if (code === 'FUNCTION_FAILURE' || code === 'CDC_WRITE_FAILURE')
      return { code: 'INVALID', message: `ERROR ${code}: ${message}` }
  }
  if (version < 5) {
    if (code === 'CAS_WRITE_UNKNOWN') return { code: 'WRITE_TIMEOUT', message: timedOut }
    if (code === 'WRITE_TIMEOUT' && fields.writeType === 'CAS') return { code, message: timedOut }
  }
  return { code, message }
}

function writeCounts(writer: ByteWriter, fields: ErrorFields): void {
  writer.uint16(fields.consistency ?? 0)
  writer.int32(fields.received ?? 0)
  writer.int32(fields.blockFor ?? 0)
}

function writeFailures(writer: ByteWriter, fields: ErrorFields, version: number): void {
  const failures = fields.failures ?? []
  writer.int32(failures.length)
  if (version < 5) return
  for (const { address, reason } of failures) {
    writeAddress(writer, address)
    writer.uint16(reason)
  }
}

/** The body from the code on; warnings and tracing id come before it. */
export function writeError(writer: ByteWriter, error: RequestError, version: number): void {
  const { code, message } = toldIn(version, error)
  const fields = error.fields
  // Only a CAS has this write type; the failures of v3 that are told as timeouts keep their own.
  const writeType = fields.writeType ?? (error.code === 'CAS_WRITE_UNKNOWN' ? 'CAS' : 'SIMPLE')
  writer.int32(ErrorCode[code])
  writeString(writer, message)
  switch (code) {
    case 'UNAVAILABLE':
      writer.uint16(fields.consistency ?? 0)
      writer.int32(fields.required ?? 0)
      writer.int32(fields.alive ?? 0)
      return
    case 'READ_TIMEOUT':
      writeCounts(writer, fields)
      writer.uint8(fields.dataPresent ? 1 : 0)
      return
    case 'READ_FAILURE':
      writeCounts(writer, fields)
      writeFailures(writer, fields, version)
      writer.uint8(fields.dataPresent ? 1 : 0)
      return
    case 'WRITE_TIMEOUT':
      writeCounts(writer, fields)
      writeString(writer, writeType)
      if (version >= 5 && writeType === 'CAS') writer.uint16(fields.contentions ?? 0)
      return
    case 'WRITE_FAILURE':
      writeCounts(writer, fields)
      writeFailures(writer, fields, version)
      writeString(writer, writeType)
      return
    case 'CAS_WRITE_UNKNOWN':
      writeCounts(writer, fields)
      return
    case 'FUNCTION_FAILURE':
      writeString(writer, fields.keyspace ?? '')
      writeString(writer, fields.name ?? '')
      writeStringList(writer, fields.argumentTypes ?? [])
      return
    case 'ALREADY_EXISTS':
      writeString(writer, fields.keyspace ?? '')
      writeString(writer, fields.name ?? '')
      return
    case 'UNPREPARED':
      writeShortBytes(writer, fields.id ?? Buffer.alloc(0))
      return
    default:
      return
  }
}

function readFailures(reader: ByteReader, version: number): { address: Uint8Array; reason: number }[] {
  const failures: { address: Uint8Array; reason: number }[] = []
  const count = reader.int32()
  // Before v5 only the number is told.
  for (let index = 0; index < count && version >= 5; index++)
    failures.push({ address: readAddress(reader), reason: reader.uint16() })
  return failures
}

function readFields(reader: ByteReader, code: ErrorCodeName, version: number): ErrorFields {
  const fields: ErrorFields = {}
  switch (code) {
    case 'UNAVAILABLE':
      return { consistency: readConsistency(reader), required: reader.int32(), alive: reader.int32() }
    case 'READ_TIMEOUT':
    case 'READ_FAILURE':
    case 'WRITE_TIMEOUT':
    case 'WRITE_FAILURE':
    case 'CAS_WRITE_UNKNOWN':
      fields.consistency = readConsistency(reader)
      fields.received = reader.int32()
      fields.blockFor = reader.int32()
      if (code === 'READ_FAILURE' || code === 'WRITE_FAILURE') fields.failures = readFailures(reader, version)
      if (code === 'READ_TIMEOUT' || code === 'READ_FAILURE') fields.dataPresent = reader.uint8() !== 0
      if (code === 'WRITE_TIMEOUT' || code === 'WRITE_FAILURE') fields.writeType = readString(reader)
      if (code === 'WRITE_TIMEOUT' && version >= 5 && fields.writeType === 'CAS') fields.contentions = reader.uint16()
      return fields
    case 'FUNCTION_FAILURE':
      return { keyspace: readString(reader), name: readString(reader), argumentTypes: readStringList(reader) }
    case 'ALREADY_EXISTS':
      return { keyspace: readString(reader), name: readString(reader) }
    case 'UNPREPARED':
      return { id: readShortBytes(reader) }
    default:
      return fields
  }
}

export function readError(reader: ByteReader, version: number): RequestError {
  const number = reader.int32()
  const code = CODE_NAMES.get(number)
  if (code === undefined) throw protocolError(`Unknown error code ${number}`)
  const message = readString(reader)
  return new RequestError(code, message, readFields(reader, code, version))
}
