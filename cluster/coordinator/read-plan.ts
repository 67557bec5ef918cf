/**
 * Whom a read asks: once for each set of replicas and level, while nobody dies or returns and none becomes slow.
 * Source: Cassandra's ReplicaPlans.forRead and ConsistencyLevel.blockFor: as many of the nearest as the level needs; the others stand by.
 * Replicas to be (pending) are never asked. Pure.
 */
import type { Endpoint } from '../internode/messenger.ts'
import type { RingNode } from '../ring/topology.ts'
import { groupsOf, type Replication } from './levels.ts'

export interface ReadReplica {
  readonly hostId: string
  readonly endpoint: Endpoint
  readonly isSelf: boolean
  /** Of this node's data centre. */
  readonly isNear: boolean
  /** To whose answers its own is counted. */
  readonly group: number
}

export interface ReadPlan {
  readonly level: number
  /** The metadata by which it was made. */
  readonly epoch: number
  /** Null: the level can be met. */
  readonly unavailable: { readonly required: number; readonly alive: number; readonly datacenter: string | null } | null
  /** Nearest first; this node, if it is asked, before all. */
  readonly contacts: readonly ReadReplica[]
  /** To be asked when one of those is slow or fails. */
  readonly spares: readonly ReadReplica[]
  /** Answers needed, by group. */
  readonly needs: readonly number[]
  /** The sum of `needs`. */
  readonly blockFor: number
  /** This node alone is asked. */
  readonly isLocal: boolean
}

/** A part of the ring that is read by one plan. */
export interface RangePiece {
  readonly start: Buffer | null
  readonly end: Buffer | null
  readonly plan: ReadPlan
  /** The ranges that were joined, each with its own plan; absent: it is one. */
  readonly parts?: readonly RangePiece[]
}

export interface ReadScene {
  readonly self: RingNode
  readonly epoch: number
  isAlive(hostId: string): boolean
  /** Nearest first. */
  sort(nodes: readonly RingNode[]): readonly RingNode[]
}

export function planRead(
  level: number,
  replication: Replication,
  natural: readonly RingNode[],
  scene: ReadScene,
): ReadPlan {
  const { self } = scene
  const groups = groupsOf(level, replication, self.datacenter)
  const { needs, names } = groups
  const live = needs.map(() => 0)
  const contacts: ReadReplica[] = []
  const spares: ReadReplica[] = []
  for (const node of scene.sort(natural)) {
    const group = groups.of(node.datacenter)
    if (group < 0 || !(node.hostId === self.hostId || scene.isAlive(node.hostId))) continue
    const isSelf = node.hostId === self.hostId
    const isNear = node.datacenter === self.datacenter
    const replica = { hostId: node.hostId, endpoint: node.endpoint, isSelf, isNear, group }
    if (live[group]! < needs[group]!) contacts.push(replica)
    else spares.push(replica)
    live[group]! += 1
  }
  const blockFor = needs.reduce((sum, need) => sum + need, 0)
  return {
    level,
    epoch: scene.epoch,
    unavailable: shortage(needs, live, names),
    contacts,
    spares,
    needs,
    blockFor,
    isLocal: contacts.length === 1 && blockFor === 1 && contacts[0]!.isSelf,
  }
}

function shortage(
  needs: readonly number[],
  live: readonly number[],
  names: readonly string[] | null,
): ReadPlan['unavailable'] {
  for (let group = 0; group < needs.length; group++) {
    const [required, alive] = [needs[group]!, live[group]!]
    if (alive < required) return { required, alive, datacenter: names === null ? null : names[group]! }
  }
  return null
}
