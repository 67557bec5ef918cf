/**
 * What is known of each node, how two such pieces of knowledge become one, and what one node must tell another. Pure.
 * Source: van Renesse et al., Efficient Reconciliation and Flow Control for Anti-Entropy Protocols (2008), as Cassandra uses it: digests of
 * (generation, version) one way, differences back, and what was asked for once more.
 * Always: merging is a join of a lattice (order, grouping and repetition do not matter); who has a state up to a version has all that its node
 * said until then. For that a difference names the version that it begins at, and one that begins behind what is known here is left alone.
 */
import { uuidBytes, uuidText } from '../../lib/base/uuid.ts'
import type { GossipValue, NodeState } from './liveness.ts'

/** The 16 bytes of a host id as latin1: shorter than its text, and read from a message at the price of a copy. */
export type NodeKey = string

export function nodeKey(hostId: string): NodeKey {
  return uuidBytes(hostId).toString('latin1')
}

export function hostIdOf(key: NodeKey): string {
  return uuidText(Buffer.from(key, 'latin1'))
}

export interface Known extends NodeState {
  readonly key: NodeKey
  /** The greatest version of a value. */
  readonly said: number
  /** The greatest of heartbeat and versions: all that the node said until then is here. */
  readonly version: number
}

export interface Digest {
  readonly key: NodeKey
  readonly generation: number
  readonly version: number
}

/** What a node said after `since`, in one generation: everything, if that is 0. */
export interface Difference {
  readonly key: NodeKey
  readonly generation: number
  readonly since: number
  readonly heartbeat: number
  readonly values: ReadonlyMap<string, GossipValue>
}

const NOTHING: ReadonlyMap<string, GossipValue> = new Map()

export function makeKnown(
  key: NodeKey,
  hostId: string,
  generation: number,
  heartbeat: number,
  values: ReadonlyMap<string, GossipValue>,
): Known {
  let said = 0
  for (const value of values.values()) if (value.version > said) said = value.version
  return { key, hostId, generation, heartbeat, values, said, version: Math.max(heartbeat, said) }
}

/** Of two versions of a value the later; a tie, which only two nodes with one identity can make, goes to the greater text. */
function later(mine: GossipValue | undefined, theirs: GossipValue): GossipValue {
  if (!mine || theirs.version > mine.version) return theirs
  return theirs.version === mine.version && theirs.value > mine.value ? theirs : mine
}

/** Within a generation the later of each value. Gives `mine` itself when nothing is new. */
function extend(mine: Known, heartbeat: number, values: ReadonlyMap<string, GossipValue>): Known {
  let merged: Map<string, GossipValue> | null = null
  for (const [key, value] of values) {
    const known = mine.values.get(key)
    const chosen = later(known, value)
    if (chosen === known) continue
    merged ??= new Map(mine.values)
    merged.set(key, chosen)
  }
  if (!merged && heartbeat <= mine.heartbeat) return mine
  const beat = Math.max(mine.heartbeat, heartbeat)
  if (!merged) return withHeartbeat(mine, beat)
  return makeKnown(mine.key, mine.hostId, mine.generation, beat, merged)
}

export function withHeartbeat({ key, hostId, generation, values, said, version }: Known, heartbeat: number): Known {
  return { key, hostId, generation, heartbeat, values, said, version: Math.max(version, heartbeat) }
}

/** What is known after the difference was heard. Undefined: nothing was known, and it does not begin at the beginning. */
export function applyDifference(mine: Known | undefined, theirs: Difference): Known | undefined {
  if (!mine || theirs.generation > mine.generation) {
    if (theirs.since > 0) return mine
    return makeKnown(
      theirs.key,
      mine?.hostId ?? hostIdOf(theirs.key),
      theirs.generation,
      theirs.heartbeat,
      theirs.values,
    )
  }
  if (theirs.generation < mine.generation || theirs.since > mine.version) return mine
  return extend(mine, theirs.heartbeat, theirs.values)
}

export function digestOf({ key, generation, version }: Known): Digest {
  return { key, generation, version }
}

/** What somebody lacks who knows that much of the node (null: nothing). Null: he lacks nothing. */
export function differenceFor(state: Known, known: { generation: number; version: number } | null): Difference | null {
  const { key, generation, heartbeat, values, version } = state
  if (!known || known.generation < generation) return { key, generation, since: 0, heartbeat, values }
  if (known.generation > generation || known.version >= version) return null
  if (known.version >= state.said) return { key, generation, since: known.version, heartbeat, values: NOTHING }
  const newer = new Map<string, GossipValue>()
  for (const [name, value] of values) if (value.version > known.version) newer.set(name, value)
  return { key, generation, since: known.version, heartbeat, values: newer }
}

export interface Answer {
  readonly differences: readonly Difference[]
  /** Of which the other shall tell what is newer than that. */
  readonly wanted: readonly Digest[]
}

/**
 * The answer to another's digests: what he lacks, and what is lacking here. At most `differencesMax` nodes are told of, in the order of his
 * digests, which he shuffles; nodes that he did not name come last.
 */
export function answerDigests(
  states: ReadonlyMap<NodeKey, Known>,
  digests: readonly Digest[],
  differencesMax: number,
): Answer {
  const differences: Difference[] = []
  const wanted: Digest[] = []
  let known = 0
  for (const digest of digests) {
    const { key, generation, version } = digest
    const mine = states.get(key)
    if (mine) known++
    if (!mine || generation > mine.generation) wanted.push({ key, generation: 0, version: 0 })
    else if (generation === mine.generation && version > mine.version)
      wanted.push({ key, generation, version: mine.version })
    else if (differences.length < differencesMax) {
      const difference = differenceFor(mine, digest)
      if (difference) differences.push(difference)
    }
  }
  if (known < states.size) {
    const named = new Set(digests.map(({ key }) => key))
    for (const state of states.values()) {
      if (differences.length >= differencesMax) break
      if (!named.has(state.key)) differences.push(differenceFor(state, null)!)
    }
  }
  return { differences, wanted }
}

/** What was asked for, as far as it is here. */
export function answerWanted(
  states: ReadonlyMap<NodeKey, Known>,
  wanted: readonly Digest[],
  differencesMax: number,
): Difference[] {
  const differences: Difference[] = []
  for (const digest of wanted) {
    const mine = states.get(digest.key)
    if (!mine || differences.length >= differencesMax) continue
    const difference = differenceFor(mine, digest)
    if (difference) differences.push(difference)
  }
  return differences
}
