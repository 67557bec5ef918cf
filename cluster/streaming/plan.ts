/**
 * What a node that joins must fetch, and from whom. Pure.
 * Source: Cassandra's RangeStreamer with consistent range movement.
 *
 * Of each range that it will hold, it takes all from the node whose place it takes: whatever that one acknowledged, the new one has then, so that every
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
  const finished = changeTopology(topology, { kind: 'join-finish', hostId })
  const bySource = new Map<string, { from: RingNode; parts: { keyspaces: readonly string[]; ranges: Range[] }[] }>()
  for (const { names, replication } of keyspaces) {
    const before = new Placement(replication, topology)
    const after = new Placement(replication, finished)
    const ranges = new Map<string, { from: RingNode; ranges: Range[] }>()
    for (const old of before.ranges(null, null)) {
      for (const { start, end, replicas } of after.ranges(old.start, old.end)) {
        if (!has(replicas.natural, hostId)) continue
        for (const from of chooseSources(old.replicas.natural, replicas.natural, { replication, names, isAlive })) {
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
  {
    replication,
    names,
    isAlive,
  }: { replication: Replication; names: readonly string[]; isAlive: (hostId: string) => boolean },
): readonly RingNode[] {
  const left = before.filter((node) => !has(after, node.hostId))
  const alive = before.filter((node) => isAlive(node.hostId))
  if (left.length === 0 && alive.length > 0) return alive.slice(0, 1)
  if (left.length > 0 && left.every((node) => isAlive(node.hostId))) return left
  // Any quorum leaves out at most this many: among one more there is one of its members.
  const needed = replication.factor - quorumOf(replication.factor) + 1
  if (alive.length >= needed) return alive
  const down = before.filter((node) => !isAlive(node.hostId)).map(({ endpoint }) => endpoint)
  throw new StreamError(
    `Data of ${names.join(', ')} cannot be fetched: ${down.length === 0 ? 'there is no replica' : `${down.join(', ')} is down`}. ` +
      'Bring it up, or remove it, and start this node again',
  )
}

function has(nodes: readonly RingNode[], hostId: string): boolean {
  return nodes.some((node) => node.hostId === hostId)
}
