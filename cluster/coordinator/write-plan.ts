/**
 * To whom a write goes, and whose acknowledgements make it done: once for each set of replicas and level, while nobody dies or returns.
 * Source: Cassandra's ConsistencyLevel.blockForWrite and assureSufficientLiveReplicas: replicas to be (pending) get each write, and one more
 * acknowledgement is waited for each of them, so that what is acknowledged is also where it will be looked for.
 * Pure.
 */
import { assert } from '../../lib/base/assert.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import type { Endpoint } from '../internode/messenger.ts'
import type { ReplicaSet } from '../ring/placement.ts'
import type { RingNode } from '../ring/topology.ts'
import { groupsOf, type Replication } from './levels.ts'

/** One replica of a plan. */
export interface WriteTarget {
  readonly hostId: string
  readonly endpoint: Endpoint
  /** The replica in whose place it keeps the write, as a hint; null: it is a replica itself. */
  readonly standsFor: string | null
  /** Its place in `targets`. */
  readonly slot: number
  /** Whose acknowledgements it adds to; -1: nobody waits for it. */
  readonly group: number
}

export interface WritePlan {
  readonly level: number
  /** The metadata by which it was made. */
  readonly epoch: number
  /** Null: the level can be met; it is to be refused otherwise, unless a hint is enough. */
  readonly unavailable: { readonly required: number; readonly alive: number; readonly datacenter: string | null } | null
  /** Replicas that are alive, and who stands in for those that are not. */
  readonly targets: readonly WriteTarget[]
  /** This node among them, or null. */
  readonly self: WriteTarget | null
  /** Those to be sent to directly: of the own data centre, and who is the only one of another. */
  readonly direct: readonly WriteTarget[]
  /** Those of each other data centre that has several: one of them hands on to the others. */
  readonly remote: readonly (readonly WriteTarget[])[]
  /** Those who stand in. */
  readonly standIns: readonly WriteTarget[]
  /** Host ids of replicas that are not alive, and for which nobody stands in. */
  readonly dead: readonly string[]
  /** Acknowledgements needed, by group, and how many of its targets could give one. */
  readonly needs: readonly number[]
  readonly live: readonly number[]
  /** The sum of `needs`, as clients are told. */
  readonly blockFor: number
  /** A hint is as good as an acknowledgement. */
  readonly hintCounts: boolean
}

/** So that a set of them fits into the bits of a number. */
const TARGETS_MAX = 31

export interface PlanScene {
  readonly self: RingNode
  readonly epoch: number
  isAlive(hostId: string): boolean
  /** Other nodes, in the order in which they may stand in for replicas that are away. Default: nobody may. */
  readonly standIns?: Iterable<RingNode>
}

export function planWrite(level: number, replication: Replication, replicas: ReplicaSet, scene: PlanScene): WritePlan {
  const { self } = scene
  const groups = groupsOf(level, replication, self.datacenter)
  const { needs, names } = groups
  if (level !== Consistency.ANY)
    for (const node of replicas.pending) {
      const group = groups.of(node.datacenter)
      if (group >= 0) needs[group]! += 1
    }
  const live = needs.map(() => 0)
  const targets: WriteTarget[] = []
  const direct: WriteTarget[] = []
  const remote = new Map<string, WriteTarget[]>()
  const dead: string[] = []
  const standIns: WriteTarget[] = []
  const spare = new Set(scene.standIns)
  let own: WriteTarget | null = null
  for (const node of [...replicas.natural, ...replicas.pending]) {
    const { hostId, endpoint, datacenter } = node
    const group = groups.of(datacenter)
    if (hostId !== self.hostId && !scene.isAlive(hostId)) {
      const other = takeStandIn(spare, datacenter)
      if (other === null) {
        dead.push(hostId)
        continue
      }
      if (group >= 0) live[group]! += 1
      const slot = targets.length
      const target = { hostId: other.hostId, endpoint: other.endpoint, standsFor: hostId, slot, group }
      targets.push(target)
      standIns.push(target)
      continue
    }
    if (group >= 0) live[group]! += 1
    const target = { hostId, endpoint, standsFor: null, slot: targets.length, group }
    targets.push(target)
    if (hostId === self.hostId) own = target
    else if (datacenter === self.datacenter) direct.push(target)
    else remote.set(datacenter, [...(remote.get(datacenter) ?? []), target])
  }
  assert(targets.length <= TARGETS_MAX, 'more replicas of one key than there may be')
  for (const those of remote.values()) if (those.length === 1) direct.push(those[0]!)
  let blockFor = 0
  for (const need of needs) blockFor += need
  return {
    level,
    epoch: scene.epoch,
    unavailable: shortage(level, needs, live, names, groups.each),
    targets,
    self: own,
    direct,
    remote: [...remote.values()].filter(({ length }) => length > 1),
    standIns,
    dead,
    needs,
    live,
    blockFor,
    hintCounts: level === Consistency.ANY,
  }
}

/** Each stands in for one at most, and for none of another data centre. */
function takeStandIn(spare: Set<RingNode>, datacenter: string): RingNode | null {
  for (const node of spare) {
    if (node.datacenter !== datacenter) continue
    spare.delete(node)
    return node
  }
  return null
}

/** In the order and with the numbers in which Cassandra looks: each data centre's quorum first, pending replicas only in the sum. */
function shortage(
  level: number,
  needs: readonly number[],
  live: readonly number[],
  names: readonly string[] | null,
  each: ReadonlyMap<string, number> | null,
): WritePlan['unavailable'] {
  let required = 0
  let alive = 0
  for (let group = 0; group < needs.length; group++) {
    const quorum = each?.get(names![group]!) ?? 0
    if (live[group]! < quorum) return { required: quorum, alive: live[group]!, datacenter: names![group]! }
    required += needs[group]!
    alive += live[group]!
  }
  // One data centre's surplus does not make up for what another's pending replicas add.
  const isShort = needs.some((need, group) => live[group]! < need)
  if (!isShort) return null
  return { required: level === Consistency.LOCAL_ONE ? 1 : required, alive, datacenter: null }
}
