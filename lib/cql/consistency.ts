/** Which consistency levels reads may have. Source: native_protocol_v5.spec §3; messages are those of Cassandra 5.0. */
import { invalid } from '../base/errors.ts'
import { Consistency } from '../types/consistency.ts'

export function checkReadConsistency(consistency: number): void {
  if (consistency === Consistency.ANY) throw invalid('ANY ConsistencyLevel is only supported for writes')
}

/** Serial reads go through Paxos, which knows one partition at a time. */
export function checkPartitionCount(consistency: number, partitions: number): void {
  if (partitions > 1 && (consistency === Consistency.SERIAL || consistency === Consistency.LOCAL_SERIAL))
    throw invalid('SERIAL/LOCAL_SERIAL consistency may only be requested for one partition at a time')
}
