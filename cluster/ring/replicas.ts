/**
 * The replicas of a token, by walking the ring. Source: Cassandra 5.0's SimpleStrategy and NetworkTopologyStrategy.calculateNaturalReplicas.
 * Pure; placement.ts makes a table of it, so nothing here is on the way of a request.
 */
import type { Replication } from '../coordinator/levels.ts'
import type { RingNode } from './topology.ts'

/** A ring: tokens ascending, and whose they are. */
export interface Ring {
  readonly tokens: readonly bigint[]
  readonly owners: readonly RingNode[]
}

export function ringOf(nodes: Iterable<RingNode>): Ring {
  const entries: { token: bigint; owner: RingNode }[] = []
  for (const owner of nodes) for (const token of owner.tokens) entries.push({ token: BigInt(token), owner })
  entries.sort((a, b) => (a.token < b.token ? -1 : 1))
  return { tokens: entries.map(({ token }) => token), owners: entries.map(({ owner }) => owner) }
}

/** Index of the token that owns `token`: the first at or after it, around the end. The ring has one at least. */
export function ownerIndex(ring: Ring, token: bigint): number {
  let low = 0
  let high = ring.tokens.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ring.tokens[middle]! < token) low = middle + 1
    else high = middle
  }
  return low === ring.tokens.length ? 0 : low
}

/** Gives the replicas of ranges of one ring: asked with the index of a range's token, in the order in which Cassandra names them. */
export type ReplicaWalk = (index: number) => RingNode[]

export function replicaWalk(replication: Replication, ring: Ring): ReplicaWalk {
  if (replication.strategy.endsWith('.LocalStrategy')) return () => []
  const { datacenters } = replication
  return datacenters === null ? simpleWalk(replication.factor, ring) : topologyWalk(datacenters, ring)
}

/** The next `factor` nodes of the ring, wherever they stand. */
function simpleWalk(factor: number, { owners }: Ring): ReplicaWalk {
  const wanted = Math.min(factor, new Set(owners).size)
  return (index) => {
    const replicas: RingNode[] = []
    for (let at = index; replicas.length < wanted; at = at + 1 === owners.length ? 0 : at + 1) {
      const node = owners[at]!
      if (!replicas.includes(node)) replicas.push(node)
    }
    return replicas
  }
}

/** What a data centre gives to each range, and what was found of it for the range at hand. */
interface Quota {
  /** Replicas that it can have: all its nodes at most. */
  readonly wanted: number
  /** How many may stand in a rack that has one already: none, when there are racks enough. */
  readonly repeats: number
  left: number
  repeatsLeft: number
  readonly racks: Set<string>
}

/** In each data centre the next nodes in racks of their own; where replicas outnumber racks, the first met fill up. */
function topologyWalk(factors: ReadonlyMap<string, number>, { owners }: Ring): ReplicaWalk {
  const nodes = new Map<string, Set<RingNode>>()
  for (const owner of owners) {
    const inSame = nodes.get(owner.datacenter)
    if (inSame) inSame.add(owner)
    else nodes.set(owner.datacenter, new Set([owner]))
  }
  const quotas = new Map<string, Quota>()
  let total = 0
  for (const [datacenter, factor] of factors) {
    const present = nodes.get(datacenter)
    if (factor <= 0 || !present) continue
    const racks = new Set(Array.from(present, ({ rack }) => rack))
    const wanted = Math.min(factor, present.size)
    quotas.set(datacenter, {
      wanted,
      repeats: factor - racks.size,
      left: 0,
      repeatsLeft: 0,
      racks: new Set(),
    })
    total += wanted
  }
  return (index) => {
    for (const quota of quotas.values()) {
      quota.left = quota.wanted
      quota.repeatsLeft = quota.repeats
      quota.racks.clear()
    }
    const replicas: RingNode[] = []
    for (let step = 0, at = index; step < owners.length && replicas.length < total; step++) {
      const node = owners[at]!
      at = at + 1 === owners.length ? 0 : at + 1
      const quota = quotas.get(node.datacenter)
      if (!quota || quota.left === 0 || replicas.includes(node)) continue
      if (quota.racks.has(node.rack)) {
        if (quota.repeatsLeft <= 0) continue
        quota.repeatsLeft--
      } else quota.racks.add(node.rack)
      quota.left--
      replicas.push(node)
    }
    return replicas
  }
}
