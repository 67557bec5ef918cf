/**
 * The world's errors: what a client is told, with the stable code of the native protocol (native_protocol_v5.spec §9).
 * Bugs of our own are AssertionErrors (assert.ts) and never reach a client in words.
 */

export const ErrorCode = {
  SERVER_ERROR: 0x0000,
  PROTOCOL_ERROR: 0x000a,
  BAD_CREDENTIALS: 0x0100,
  UNAVAILABLE: 0x1000,
  OVERLOADED: 0x1001,
  IS_BOOTSTRAPPING: 0x1002,
  TRUNCATE_ERROR: 0x1003,
  WRITE_TIMEOUT: 0x1100,
  READ_TIMEOUT: 0x1200,
  READ_FAILURE: 0x1300,
  FUNCTION_FAILURE: 0x1400,
  WRITE_FAILURE: 0x1500,
  CDC_WRITE_FAILURE: 0x1600,
  CAS_WRITE_UNKNOWN: 0x1700,
  SYNTAX_ERROR: 0x2000,
  UNAUTHORIZED: 0x2100,
  INVALID: 0x2200,
  CONFIG_ERROR: 0x2300,
  ALREADY_EXISTS: 0x2400,
  UNPREPARED: 0x2500,
} as const

export type ErrorCodeName = keyof typeof ErrorCode

/** The extra fields that some codes carry on the wire, in the words of the specification. */
export interface ErrorFields {
  /** Consistency code; UNAVAILABLE, *_TIMEOUT, *_FAILURE, CAS_WRITE_UNKNOWN. */
  consistency?: number
  /** UNAVAILABLE. */
  required?: number
  alive?: number
  /** *_TIMEOUT, *_FAILURE, CAS_WRITE_UNKNOWN. */
  received?: number
  blockFor?: number
  /** READ_TIMEOUT, READ_FAILURE. */
  dataPresent?: boolean
  /** WRITE_TIMEOUT, WRITE_FAILURE: SIMPLE, BATCH, UNLOGGED_BATCH, COUNTER, BATCH_LOG, CAS, VIEW, CDC. */
  writeType?: string
  /** WRITE_TIMEOUT of a CAS, v5. */
  contentions?: number
  /** *_FAILURE: v5 a reason code for each replica that failed (address as 4 or 16 bytes), before that only their number. */
  failures?: readonly { address: Uint8Array; reason: number }[]
  /** FUNCTION_FAILURE; ALREADY_EXISTS (keyspace, table; table is '' for a keyspace). */
  keyspace?: string
  name?: string
  argumentTypes?: readonly string[]
  /** UNPREPARED. */
  id?: Uint8Array
}

/** An error that is answered to the client as it stands. */
export class RequestError extends Error {
  override name = 'RequestError'
  readonly code: ErrorCodeName
  readonly fields: ErrorFields
  /** Told to the client beside the error (v4 and above): what a statement had to say before it failed. */
  warnings: readonly string[] | null = null

  constructor(code: ErrorCodeName, message: string, fields: ErrorFields = {}) {
    super(message)
    this.code = code
    this.fields = fields
  }
}

export function invalid(message: string): RequestError {
  return new RequestError('INVALID', message)
}

export function syntaxError(message: string): RequestError {
  return new RequestError('SYNTAX_ERROR', message)
}

export function configError(message: string): RequestError {
  return new RequestError('CONFIG_ERROR', message)
}

/** Why a replica failed, as the codes of native_protocol_v5.spec §9 and Cassandra's RequestFailureReason have it. */
export const FailureReason = {
  UNKNOWN: 0,
  READ_TOO_MANY_TOMBSTONES: 1,
  TIMEOUT: 2,
  INCOMPATIBLE_SCHEMA: 3,
  READ_SIZE: 4,
  NODE_DOWN: 5,
  INDEX_NOT_AVAILABLE: 6,
  READ_TOO_MANY_INDEXES: 7,
  /** Between nodes only: who asked goes by a ring that is past, and nothing was done. It catches up and asks anew; no client is told. */
  COORDINATOR_BEHIND: 10,
} as const

/** What a replica could not do, and why, as failures name it (native_protocol_v5.spec §9, reason codes). Who asked it tells the client. */
export class ReplicaFailure extends Error {
  override name = 'ReplicaFailure'
  readonly reason: string
  readonly reasonCode: number

  constructor(reason: string, reasonCode: number, message: string) {
    super(message)
    this.reason = reason
    this.reasonCode = reasonCode
  }
}
