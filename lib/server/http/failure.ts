/**
 * From what went wrong to a status and a JSON body: CQL's errors with their names, codes and fields, those that only HTTP has with a name of their own.
 * Always: `fate: "unknown"` stands in every answer after which a write may have been done, or be done yet.
 */
import { ErrorCode, type ErrorCodeName, type RequestError } from '../../base/errors.ts'
import { FOREIGN_VCLOCK, MALFORMED_VCLOCK } from '../../cql/causal/context-blob.ts'
import { consistencyName } from '../../types/consistency.ts'

/** Seconds after which it is worth asking again. */
const RETRY_SECONDS = 1

const STATUS_OF: Readonly<Record<ErrorCodeName, number>> = {
  SERVER_ERROR: 500,
  PROTOCOL_ERROR: 400,
  BAD_CREDENTIALS: 401,
  UNAVAILABLE: 503,
  OVERLOADED: 503,
  IS_BOOTSTRAPPING: 503,
  TRUNCATE_ERROR: 500,
  WRITE_TIMEOUT: 504,
  READ_TIMEOUT: 504,
  READ_FAILURE: 500,
  FUNCTION_FAILURE: 500,
  WRITE_FAILURE: 500,
  CDC_WRITE_FAILURE: 500,
  CAS_WRITE_UNKNOWN: 504,
  SYNTAX_ERROR: 400,
  UNAUTHORIZED: 403,
  INVALID: 400,
  CONFIG_ERROR: 400,
  ALREADY_EXISTS: 409,
  UNPREPARED: 503,
}

/** After these a write may have been done. */
const FATE_UNKNOWN = new Set<ErrorCodeName>(['WRITE_TIMEOUT', 'WRITE_FAILURE', 'CAS_WRITE_UNKNOWN'])

export type HttpErrorName =
  | 'CONFLICT'
  | 'FORBIDDEN'
  | 'HEADERS_TOO_LARGE'
  | 'INVALID'
  | 'MALFORMED'
  | 'METHOD_NOT_ALLOWED'
  | 'MISDIRECTED'
  | 'NOT_FOUND'
  | 'OVERLOADED'
  | 'PRECONDITION_FAILED'
  | 'REQUEST_TIMEOUT'
  | 'SERVER_ERROR'
  | 'UNSUPPORTED_ENCODING'
  | 'URI_TOO_LONG'
  | 'VALUE_TOO_LARGE'

/** An answer that is no success, as it stands. */
export class HttpError extends Error {
  override name = 'HttpError'
  readonly status: number
  readonly error: string
  readonly headers: Readonly<Record<string, string>>
  /** Further members of the body. */
  readonly fields: Readonly<Record<string, unknown>>

  constructor(
    status: number,
    error: HttpErrorName | ErrorCodeName,
    message: string,
    more: { headers?: Readonly<Record<string, string>>; fields?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message)
    this.status = status
    this.error = error
    this.headers = more.headers ?? {}
    this.fields = more.fields ?? {}
  }
}

export function badRequest(message: string): HttpError {
  return new HttpError(400, 'INVALID', message)
}

/** This node has too much to do. */
export function overloaded(message: string): HttpError {
  return new HttpError(503, 'OVERLOADED', message, { headers: { 'Retry-After': String(RETRY_SECONDS) } })
}

/** This client asks for too much at once. */
export function tooManyRequests(message: string): HttpError {
  return new HttpError(429, 'OVERLOADED', message, { headers: { 'Retry-After': String(RETRY_SECONDS) } })
}

export function preconditionFailed(message: string): HttpError {
  return new HttpError(412, 'PRECONDITION_FAILED', message)
}

/** What CQL says, in HTTP's terms. */
export function fromRequestError(error: RequestError): HttpError {
  const { code, fields } = error
  const status = STATUS_OF[code]
  const told: Record<string, unknown> = {}
  if (fields.consistency !== undefined) told.consistency = consistencyName(fields.consistency)
  if (fields.required !== undefined) told.required = fields.required
  if (fields.alive !== undefined) told.alive = fields.alive
  if (fields.received !== undefined) told.received = fields.received
  if (fields.blockFor !== undefined) told.blockFor = fields.blockFor
  if (fields.dataPresent !== undefined) told.dataPresent = fields.dataPresent
  if (fields.failures !== undefined) told.failures = fields.failures.length
  if (FATE_UNKNOWN.has(code)) told.fate = 'unknown'
  const headers: Record<string, string> = status === 503 ? { 'Retry-After': String(RETRY_SECONDS) } : {}
  return new HttpError(status, code, IN_HTTP_WORDS.get(error.message) ?? error.message, { fields: told, headers })
}

/** What CQL calls a vclock is the ETag here. */
const IN_HTTP_WORDS: ReadonlyMap<string, string> = new Map([
  [MALFORMED_VCLOCK, 'If-Match: this is no ETag that was given here'],
  [FOREIGN_VCLOCK, 'If-Match: the ETag is not of this key'],
])

/** The body: `error` names what went wrong, `code` is CQL's number for it, null where CQL has none. */
export function errorBody({ error, message, fields }: HttpError): string {
  const code = Object.hasOwn(ErrorCode, error) ? ErrorCode[error as ErrorCodeName] : null
  return `${JSON.stringify({ error, code, message, ...fields })}\n`
}

/** Of what a parser of HTTP stumbles over. */
export function malformed(code: string): HttpError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new HttpError(431, 'HEADERS_TOO_LARGE', 'The URL and the headers are too long')
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new HttpError(413, 'VALUE_TOO_LARGE', 'The extensions of a chunk are too long')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new HttpError(408, 'REQUEST_TIMEOUT', 'The request came too slowly')
    default:
      return new HttpError(400, 'MALFORMED', 'This is no request of HTTP/1.1')
  }
}
