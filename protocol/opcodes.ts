/**
 * Numbers of the native protocol: versions, opcodes, flags, kinds of results and events.
 * Source: native_protocol_v3.spec, _v4.spec, _v5.spec §2 and §4. Version 6 is the beta that Cassandra 5 offers: v5 in all we use of it.
 */

/** The versions as SUPPORTED names them, lowest first. */
export const VERSION_NAMES = new Map([
  [3, '3/v3'],
  [4, '4/v4'],
  [5, '5/v5'],
  [6, '6/v6-beta'],
])

/** The highest version that is no beta: answers are written in it when the client's is not one of ours. */
export const VERSION_LATEST = 5
export const VERSION_BETA = 6

export const Opcode = {
  ERROR: 0x00,
  STARTUP: 0x01,
  READY: 0x02,
  AUTHENTICATE: 0x03,
  /** Of v1: known by name, and refused. */
  CREDENTIALS: 0x04,
  OPTIONS: 0x05,
  SUPPORTED: 0x06,
  QUERY: 0x07,
  RESULT: 0x08,
  PREPARE: 0x09,
  EXECUTE: 0x0a,
  REGISTER: 0x0b,
  EVENT: 0x0c,
  BATCH: 0x0d,
  AUTH_CHALLENGE: 0x0e,
  AUTH_RESPONSE: 0x0f,
  AUTH_SUCCESS: 0x10,
} as const

export type OpcodeName = keyof typeof Opcode

const NAMES = new Map<number, OpcodeName>(Object.entries(Opcode).map(([name, code]) => [code, name as OpcodeName]))

const REQUESTS: ReadonlySet<number> = new Set([
  Opcode.STARTUP,
  Opcode.CREDENTIALS,
  Opcode.OPTIONS,
  Opcode.QUERY,
  Opcode.PREPARE,
  Opcode.EXECUTE,
  Opcode.REGISTER,
  Opcode.BATCH,
  Opcode.AUTH_RESPONSE,
])

/** The name of an opcode, or null when there is no such one. */
export function opcodeName(opcode: number): OpcodeName | null {
  return NAMES.get(opcode) ?? null
}

export function isRequestOpcode(opcode: number): boolean {
  return REQUESTS.has(opcode)
}

/** Flags of an envelope's header, §2.2. */
export const HeaderFlag = {
  COMPRESSED: 0x01,
  TRACING: 0x02,
  CUSTOM_PAYLOAD: 0x04,
  WARNING: 0x08,
  USE_BETA: 0x10,
} as const

/** Flags of QUERY, EXECUTE and BATCH parameters, §4.1.4: a byte in v3 and v4, an int in v5. */
export const QueryFlag = {
  VALUES: 0x01,
  SKIP_METADATA: 0x02,
  PAGE_SIZE: 0x04,
  PAGING_STATE: 0x08,
  SERIAL_CONSISTENCY: 0x10,
  TIMESTAMP: 0x20,
  NAMES: 0x40,
  KEYSPACE: 0x80,
  NOW_IN_SECONDS: 0x100,
} as const

/** Flags of a PREPARE, v5. */
export const PREPARE_KEYSPACE = 0x01

/** Flags of result metadata, §4.2.5.2. */
export const MetadataFlag = {
  GLOBAL_TABLES_SPEC: 0x01,
  HAS_MORE_PAGES: 0x02,
  NO_METADATA: 0x04,
  METADATA_CHANGED: 0x08,
} as const

export const ResultKind = { VOID: 1, ROWS: 2, SET_KEYSPACE: 3, PREPARED: 4, SCHEMA_CHANGE: 5 } as const

export const BATCH_TYPES = ['logged', 'unlogged', 'counter'] as const
export type BatchType = (typeof BATCH_TYPES)[number]

export const EVENT_TYPES = ['TOPOLOGY_CHANGE', 'STATUS_CHANGE', 'SCHEMA_CHANGE'] as const
export type EventType = (typeof EVENT_TYPES)[number]

/** The stream of events, which answer no request. */
export const EVENT_STREAM = -1
