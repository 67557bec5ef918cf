/**
 * USING TIMESTAMP and TTL. Source: CQL 3.4.7 "Update parameters"; rules, bounds and messages are those of Cassandra 5.0.
 */
import { invalid } from '../../base/errors.ts'
import type { TableSchema } from '../../schema/table.ts'
import { NATIVE } from '../../types/names.ts'
import type { UsingClause } from '../ast.ts'
import { type Environment, type QueryOptions, UNSET } from '../statement.ts'
import { compileTerm, type TermScope, type Value } from '../terms/terms.ts'
import type { MutationSink } from './modify-sink.ts'

/** 20 years. */
const TTL_SECONDS_MAX = 20 * 365 * 24 * 60 * 60

/** Last second at which data may expire: 2^31 - 2, since the second after means never. */
const EXPIRY_SECONDS_MAX = 2147483646

export interface Attributes {
  readonly timestamp: Value | null
  readonly timeToLive: Value | null
}

/** Keyspace and table are those that bind metadata names: the table's, or `[batch]`. */
export function compileAttributes(using: UsingClause, keyspace: string, table: string, scope: TermScope): Attributes {
  const { timestamp, timeToLive } = using
  return {
    timestamp:
      timestamp && compileTerm(timestamp, { keyspace, table, name: '[timestamp]', type: NATIVE.bigint }, scope),
    timeToLive: timeToLive && compileTerm(timeToLive, { keyspace, table, name: '[ttl]', type: NATIVE.int }, scope),
  }
}

/** Of clauses that other tables have no meaning for. */
export function needsVclock(what: string): Error {
  return invalid(`${what} needs a table with resolution = 'vclock'`)
}

/** The timestamp's bytes; null for the request's own: none was given, or its marker was left unset. */
function timestampBytes(value: Value | null, options: QueryOptions, environment: Environment): Buffer | null {
  if (value === null) return null
  const bytes = value.bind(options, environment)
  if (bytes === UNSET) return null
  if (bytes === null || bytes.length !== 8) throw invalid('Invalid null value of timestamp')
  return bytes
}

/** Makes the batch's timestamp that of the request. */
export function applyBatchTimestamp(
  attributes: Attributes,
  sink: MutationSink,
  options: QueryOptions,
  environment: Environment,
): void {
  const bytes = timestampBytes(attributes.timestamp, options, environment)
  if (bytes !== null) sink.setRequestTimestamp(bytes.readInt32BE(0), bytes.readInt32BE(4))
}

/** Gives the sink timestamp and TTL of one statement. */
export function applyAttributes(
  attributes: Attributes,
  sink: MutationSink,
  table: TableSchema,
  options: QueryOptions,
  environment: Environment,
): void {
  const bytes = timestampBytes(attributes.timestamp, options, environment)
  if (bytes === null) sink.useRequestTimestamp()
  else {
    sink.timestampHigh = bytes.readInt32BE(0)
    sink.timestampLow = bytes.readInt32BE(4)
  }
  if (sink.timestampHigh === -0x80000000 && sink.timestampLow === 0)
    throw invalid('Out of bound timestamp, must be in [-9223372036854775807, 9223372036854775807]')
  sink.setTtl(timeToLive(attributes.timeToLive, table, options, environment))
}

function timeToLive(value: Value | null, table: TableSchema, options: QueryOptions, environment: Environment): number {
  const tableDefault = table.options.defaultTimeToLive
  if (value === null) {
    if (tableDefault !== 0) checkExpiry(tableDefault, true, table, environment)
    return tableDefault
  }
  const bytes = value.bind(options, environment)
  if (bytes === UNSET) return tableDefault
  if (bytes === null || bytes.length === 0) return 0
  const ttl = bytes.readInt32BE(0)
  if (ttl < 0) throw invalid(`A TTL must be greater or equal to 0, but was ${ttl}`)
  if (ttl > TTL_SECONDS_MAX) throw invalid(`ttl is too large. requested (${ttl}) maximum (${TTL_SECONDS_MAX})`)
  if (ttl !== 0) checkExpiry(ttl, false, table, environment)
  return ttl
}

/** The policy REJECT for expiry dates beyond what can be kept. */
function checkExpiry(ttl: number, isDefault: boolean, table: TableSchema, environment: Environment): void {
  const now = Math.floor(environment.wallMicros() / 1_000_000)
  if (now + ttl <= EXPIRY_SECONDS_MAX) return
  throw invalid(
    `Request on table ${table.keyspace}.${table.name} with ${isDefault ? 'default ' : ''}ttl of ${ttl} seconds exceeds maximum supported ` +
      'expiration date of 2038-01-19T03:14:06+00:00. In order to avoid this use a lower TTL, change the expiration date overflow policy or ' +
      'upgrade to a version where this limitation is fixed. See CASSANDRA-14092 and CASSANDRA-14227 for more details.',
  )
}
