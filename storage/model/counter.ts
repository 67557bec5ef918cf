/**
 * Counters as cells: a counter is a column of many cells, one for each node that ever counted, its shard. The path is that node's id, the value
 * the sum of what it counted (8 bytes, signed), the timestamp its clock: greater with each change. So the ordinary law of merging keeps the newest
 * state of each shard, deletions cover shards as they cover all else, and a reader adds the shards up.
 * Source: Cassandra's CounterContext (global shards), whose contexts of many shards lie here in cells of their own.
 * A delta is a cell with an empty path: it is written by CQL, turned into a shard by the leader (cluster/coordinator/counter-leader.ts), never stored.
 * A cell without a path is a sum that was written before there were shards; it counts as one more of them.
 */

/** Of a shard's value. */
export const COUNT_BYTES = 8

/** The path of a delta. */
export const DELTA_PATH: Uint8Array = new Uint8Array(0)

/** Timestamp of the deletion of a counter: no later count brings it back, as in Cassandra, until the deletion is purged. */
export const COUNTER_DELETION = { high: 0x7fffffff, low: -1 } as const
