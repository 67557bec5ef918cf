/**
 * What a node must fetch that joins, or takes over from one that leaves, and from whom. Pure.
 * Source: Cassandra's RangeStreamer with consistent range movement.
 *
 * Of each range that it will hold and does not yet, it takes all from the node whose place it takes: whatever that one acknowledged, the new one has then, so that every
 * quorum of the new replicas meets every quorum of the old ones. If that node is down, it takes all from so many others that every write of a
 * quorum is at one of them. Where nobody leaves, because there were fewer nodes than replicas, one does.
 */
import type { Replication } from '../coordinator/levels.ts'
import { quorumOf } from '../coordinator/levels.ts'
import { Placement } from '../ring/placement.ts'
import { changeTopology, type RingNode, type Topology } from '../ring/topology.ts'

/** Positions in [start, end); null: no bound. */
export interface Range {
  readonly start: Buffer | null
  readonly end: Buffer | null
}

/** Keyspaces that are replicated alike. */
export interface StreamedKeyspaces {
  readonly names: readonly string[]
  readonly replication: Replication
  /** Where nobody can give all, what there is will do: nothing that was acknowledged to a client is in them. */
  readonly isOptional?: boolean
}

/** From one node: these ranges of these keyspaces. */
export interface Fetch {
  readonly from: RingNode
  readonly parts: readonly { readonly keyspaces: readonly string[]; readonly ranges: readonly Range[] }[]
}

/** A range of which nobody can give all that was acknowledged. The message is meant for people. */
export class StreamError extends Error {
  override name = 'StreamError'
}

/** `topology` has the node as one that joins. Throws StreamError. */
export function planJoin(
  topology: Topology,
  hostId: string,
  keyspaces: readonly StreamedKeyspaces[],
  isAlive: (hostId: string) => boolean,
): Fetch[] {
  return plan(topology, changeTopology(topology, { kind: 'join-finish', hostId }), { hostId, keyspaces, isAlive })
}

/** `topology` has a node that leaves; what `hostId` will hold when it has gone. Throws StreamError. */
export function planLeave(
  topology: Topology,
  { leaving, hostId }: { readonly leaving: string; readonly hostId: string },
  keyspaces: readonly StreamedKeyspaces[],
  isAlive: (hostId: string) => boolean,
): Fetch[] {
  return plan(topology, changeTopology(topology, { kind: 'remove', hostId: leaving }), { hostId, keyspaces, isAlive })
}

interface Fetcher {
  readonly hostId: string
  readonly keyspaces: readonly StreamedKeyspaces[]
  readonly isAlive: (hostId: string) => boolean
}

function plan(now: Topology, later: Topology, { hostId, keyspaces, isAlive }: Fetcher): Fetch[] {
  const bySource = new Map<string, { from: RingNode; parts: { keyspaces: readonly string[]; ranges: Range[] }[] }>()
  for (const group of keyspaces) {
    const { names, replication } = group
    const before = new Placement(replication, now)
    const after = new Placement(replication, later)
    const ranges = new Map<string, { from: RingNode; ranges: Range[] }>()
    for (const old of before.ranges(null, null)) {
      for (const { start, end, replicas } of after.ranges(old.start, old.end)) {
        if (!has(replicas.natural, hostId) || has(old.replicas.natural, hostId)) continue
        for (const from of chooseSources(old.replicas.natural, replicas.natural, { ...group, isAlive })) {
          const of = ranges.get(from.hostId) ?? { from, ranges: [] }
          ranges.set(from.hostId, of)
          const last = of.ranges.at(-1)
          if (last?.end && start && last.end.equals(start)) of.ranges[of.ranges.length - 1] = { start: last.start, end }
          else of.ranges.push({ start, end })
        }
      }
    }
    for (const { from, ranges: fetched } of ranges.values()) {
      const source = bySource.get(from.hostId) ?? { from, parts: [] }
      bySource.set(from.hostId, source)
      source.parts.push({ keyspaces: names, ranges: fetched })
    }
  }
  return [...bySource.values()]
}

function chooseSources(
  before: readonly RingNode[],
  after: readonly RingNode[],
  { replication, names, isOptional, isAlive }: StreamedKeyspaces & Pick<Fetcher, 'isAlive'>,
): readonly RingNode[] {
  const left = before.filter((node) => !has(after, node.hostId))
  const alive = before.filter((node) => isAlive(node.hostId))
  if (left.length === 0 && alive.length > 0) return alive.slice(0, 1)
  if (left.length > 0 && left.every((node) => isAlive(node.hostId))) return left
  if (isOptional === true || meetsQuorums(alive, left, replication)) return alive
  const down = before.filter((node) => !isAlive(node.hostId)).map(({ endpoint }) => endpoint)
  throw new StreamError(
    `Data of ${names.join(', ')} cannot be fetched: ${down.length === 0 ? 'there is no replica' : `${down.join(', ')} is down`}. ` +
      'Bring it up first',
  )
}

/** Whether among the nodes there is one of every quorum, also of every local one where those stand whose place is taken. */
function meetsQuorums(
  nodes: readonly RingNode[],
  left: readonly RingNode[],
  { factor, datacenters }: Replication,
): boolean {
  // A quorum leaves out at most this many: among one more there is one of its members.
  const needed = (of: number): number => of - quorumOf(of) + 1
  if (nodes.length < needed(factor)) return false
  return left.every(({ datacenter }) => {
    const local = datacenters?.get(datacenter)
    return local === undefined || nodes.filter((node) => node.datacenter === datacenter).length >= needed(local)
  })
}

function has(nodes: readonly RingNode[], hostId: string): boolean {
  return nodes.some((node) => node.hostId === hostId)
}
