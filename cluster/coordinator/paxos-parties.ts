/**
 * Who takes part in the agreement about a partition, and how many of them make a decision. Source: Cassandra's ReplicaPlans.forPaxos.
 * Always: any two quorums of one partition have a participant in common, also while one node joins; of several that come and go at once that
 * could not be said, so it is refused.
 * Pure.
 */
import { Consistency } from '../../lib/types/consistency.ts'
import { majorityOf } from '../paxos/core.ts'
import type { ReplicaSet } from '../ring/placement.ts'
import type { RingNode } from '../ring/topology.ts'

export interface Parties {
  /** SERIAL or LOCAL_SERIAL. */
  readonly level: number
  /** The metadata that say so. */
  readonly epoch: number
  /** Replicas that are, and one that is to be. */
  readonly nodes: readonly RingNode[]
  readonly alive: readonly RingNode[]
  readonly required: number
  /** They cannot decide anything: what the client is told. */
  readonly shortage: { readonly required: number; readonly alive: number } | null
}

export function partiesOf(
  level: number,
  { natural, pending }: ReplicaSet,
  localDatacenter: string | null,
  isAlive: (node: RingNode) => boolean,
  epoch: number,
): Parties {
  const counts = ({ datacenter }: RingNode): boolean =>
    level !== Consistency.LOCAL_SERIAL || localDatacenter === null || datacenter === localDatacenter
  const joining = pending.filter(counts)
  const nodes = [...natural.filter(counts), ...joining]
  const alive = nodes.filter(isAlive)
  const required = majorityOf(nodes.length)
  const isMoving = joining.length > 1
  const isShort = isMoving || nodes.length === 0 || alive.length < required
  return {
    level,
    epoch,
    nodes,
    alive,
    required,
    shortage: isShort ? { required: isMoving ? nodes.length + 1 : required, alive: alive.length } : null,
  }
}
