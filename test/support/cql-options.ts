/** What a statement is executed with where a test says nothing else. */
import type { CqlLimits, QueryOptions } from '../../lib/cql/statement.ts'
import { Consistency } from '../../lib/types/consistency.ts'

export const QUERY_OPTIONS: QueryOptions = {
  protocolVersion: 5,
  consistency: Consistency.ONE,
  serialConsistency: Consistency.SERIAL,
  values: [],
  pageSize: null,
  pagingState: null,
  timestamp: null,
  nowSeconds: null,
}

/** As a node has them by default, but for the size of pages. */
export const USUAL_LIMITS: CqlLimits = {
  batchSizeWarnBytes: 5120,
  batchSizeFailBytes: 51200,
  unloggedBatchAcrossPartitionsWarn: 10,
  tombstoneWarnThreshold: 1000,
  tombstoneFailureThreshold: 100_000,
  pageBytesMax: 4 * 1024 * 1024,
  unpagedBytesMax: 64 * 1024 * 1024,
  inProductMax: 25,
}

/** Limits that no test meets. */
export const LOOSE_LIMITS: CqlLimits = {
  batchSizeWarnBytes: 1e9,
  batchSizeFailBytes: 1e9,
  unloggedBatchAcrossPartitionsWarn: 1e9,
  tombstoneWarnThreshold: 1e9,
  tombstoneFailureThreshold: 1e9,
  pageBytesMax: 4 * 1024 * 1024,
  unpagedBytesMax: 64 * 1024 * 1024,
  inProductMax: 25,
}
