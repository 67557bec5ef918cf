/** What a read may cost: thresholds of tombstones and of bytes. Source: tombstone_warn_threshold and tombstone_failure_threshold of Cassandra 5.0. */
import { RequestError } from '../../base/errors.ts'
import type { TableSchema } from '../../schema/table.ts'
import { consistencyName } from '../../types/consistency.ts'
import { toCqlLiteral } from '../../types/format.ts'
import { quoteIdentifier } from '../../types/identifier.ts'
import { splitPartitionKey, tokenOfPosition } from '../../types/partition-key.ts'
import type { Environment, QueryOptions } from '../statement.ts'
import { POSITION_HEAD_BYTES } from './select-keys.ts'
import type { Scan } from './select-scan.ts'

/** Reason codes of READ_FAILURE, native_protocol_v5.spec §9. */
const REASON_UNKNOWN = 0x0000
const REASON_TOO_MANY_TOMBSTONES = 0x0001
const REASON_READ_SIZE = 0x0004

/** Throws READ_FAILURE beyond the one threshold, warns beyond the other. */
export function checkTombstones(
  scan: Scan,
  table: TableSchema,
  isRange: boolean,
  environment: Environment,
  options: QueryOptions,
  warnings: string[],
): void {
  const { tombstoneWarnThreshold, tombstoneFailureThreshold } = environment.limits
  const { tombstones } = scan
  if (tombstones > tombstoneFailureThreshold)
    throw readFailure('READ_TOO_MANY_TOMBSTONES', REASON_TOO_MANY_TOMBSTONES, environment, options)
  if (tombstones <= tombstoneWarnThreshold) return
  const { tombstonePosition: position } = scan
  const token = position === null ? '' : tokenOfPosition(position)
  const limit = options.pageSize === null ? '' : `LIMIT ${options.pageSize}`
  const query = `SELECT * FROM ${table.keyspace}.${table.name}${isRange ? '' : whereKey(table, position)} ${limit} ALLOW FILTERING`
  warnings.push(
    `Read ${scan.rowsBesideTombstones} live rows and ${tombstones} tombstone cells for query ${query.slice(0, QUERY_TEXT_MAX)}; token ${token} (see tombstone_warn_threshold)`,
  )
}

const QUERY_TEXT_MAX = 512

function whereKey(table: TableSchema, position: Buffer | null): string {
  if (position === null) return ''
  const columns = table.partitionKey
  const values = splitPartitionKey(position.subarray(POSITION_HEAD_BYTES), columns.length)
  const conditions = columns.map(({ name, type }, i) => `${quoteIdentifier(name)} = ${toCqlLiteral(type, values[i]!)}`)
  return ` WHERE ${conditions.join(' AND ')}`
}

/** What a replica cannot do for a reason that it does not tell. */
export function replicaFailed(environment: Environment, options: QueryOptions): RequestError {
  return readFailure('UNKNOWN', REASON_UNKNOWN, environment, options)
}

export function unpagedTooLarge(environment: Environment, options: QueryOptions): RequestError {
  return readFailure('READ_SIZE', REASON_READ_SIZE, environment, options)
}

function readFailure(reason: string, code: number, environment: Environment, options: QueryOptions): RequestError {
  const { consistency } = options
  const address = environment.address ?? Uint8Array.of(127, 0, 0, 1)
  return new RequestError(
    'READ_FAILURE',
    `Operation failed - received 0 responses and 1 failures: ${reason} from this node at ${consistencyName(consistency)}`,
    { consistency, received: 0, blockFor: 1, dataPresent: false, failures: [{ address, reason: code }] },
  )
}
