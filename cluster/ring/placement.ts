/**
 * Who holds a key: a table from tokens to sets of replicas, made once for a keyspace's replication at one topology, never per request.
 * Source: Cassandra's ReplicaPlans and pending ranges (TokenMetadata.calculatePendingRanges).
 * Always: a key belongs to the first token at or after its own. `natural` are the replicas as the ring is now; `pending` those that will be
 * replicas when nodes that join or leave have done so, and are none yet: they take writes beside the natural ones and no reads.
 */
import type { Replication } from '../coordinator/levels.ts'
import { ownerIndex, type ReplicaWalk, type Ring, replicaWalk, ringOf } from './replicas.ts'
import type { RingNode, Topology } from './topology.ts'

export interface ReplicaSet {
  /** In the order of the ring: the first owns the range. */
  readonly natural: readonly RingNode[]
  readonly pending: readonly RingNode[]
  /** Dense, within the Placement. */
  readonly index: number
}

/** Positions in [start, end); null: no bound. */
export interface PlacedRange {
  readonly start: Buffer | null
  readonly end: Buffer | null
  readonly replicas: ReplicaSet
}

/** Keys with tokens in (after, token]; `after` is not below `token` in the range that goes around the end. */
export interface TokenRange {
  readonly after: bigint
  readonly token: bigint
  readonly replicas: ReplicaSet
}

export class Placement {
  /** Ascending; halves of the tokens, the low ones with their sign bit flipped so that signed numbers compare as they should. */
  readonly #highs: Int32Array
  readonly #lows: Int32Array
  /** By token: the index of its set. */
  readonly #indexes: Int32Array
  readonly #tokens: readonly bigint[]
  /** By set: its members without regard to order. */
  readonly #members: readonly number[]
  /** All that there are, by their index. */
  readonly sets: readonly ReplicaSet[]

  /** Use Placements.of, which makes one once. */
  constructor(replication: Replication, topology: Topology) {
    const { tokens, sets } = place(replication, topology)
    const interned = new Map<string, ReplicaSet>()
    const members = new Map<string, number>()
    const memberIds: number[] = []
    this.#tokens = tokens
    this.#highs = new Int32Array(tokens.length)
    this.#lows = new Int32Array(tokens.length)
    this.#indexes = new Int32Array(tokens.length)
    tokens.forEach((token, i) => {
      this.#highs[i] = Number(token >> 32n)
      this.#lows[i] = Number(BigInt.asIntN(32, token)) ^ SIGN
      const { natural, pending } = sets[i]!
      const key = `${ids(natural)}|${ids(pending)}`
      let set = interned.get(key)
      if (!set) {
        set = { natural, pending, index: interned.size }
        interned.set(key, set)
        const unordered = `${ids(natural, true)}|${ids(pending, true)}`
        if (!members.has(unordered)) members.set(unordered, members.size)
        memberIds.push(members.get(unordered)!)
      }
      this.#indexes[i] = set.index
    })
    this.sets = interned.size === 0 ? [NOBODY] : [...interned.values()]
    this.#members = memberIds
  }

  /** Of a key, by the halves of its position as readInt32BE gives them. */
  at(positionHigh: number, positionLow: number): ReplicaSet {
    const high = positionHigh ^ SIGN
    const low = positionLow ^ SIGN
    const highs = this.#highs
    const lows = this.#lows
    let from = 0
    let to = highs.length
    while (from < to) {
      const middle = (from + to) >>> 1
      const middleHigh = highs[middle]!
      if (middleHigh < high || (middleHigh === high && lows[middle]! < low)) from = middle + 1
      else to = middle
    }
    return this.sets[from === highs.length ? (this.#indexes[0] ?? 0) : this.#indexes[from]!]!
  }

  /** Of a key, by its position. */
  atPosition(position: Buffer): ReplicaSet {
    return this.at(position.readInt32BE(0), position.readInt32BE(4))
  }

  /**
   * Cuts [start, end) of positions (null: no bound) where the replicas change, in order. Neighbours with the same replicas are one, in whatever
   * order the ring names them. An empty interval gives none.
   */
  ranges(start: Buffer | null, end: Buffer | null): readonly PlacedRange[] {
    if (start !== null && end !== null && Buffer.compare(start, end) >= 0) return []
    const ranges: { start: Buffer | null; end: Buffer | null; replicas: ReplicaSet }[] = []
    const add = (from: Buffer | null, to: Buffer | null, replicas: ReplicaSet): void => {
      const last = ranges.at(-1)
      if (last && this.#members[last.replicas.index] === this.#members[replicas.index]) last.end = to
      else ranges.push({ start: from, end: to, replicas })
    }
    let from = start
    for (let i = start === null ? 0 : this.#firstEndingAfter(start); i < this.#tokens.length; i++) {
      const cut = positionAfter(this.#tokens[i]!)
      const replicas = this.sets[this.#indexes[i]!]!
      if (cut === null || (end !== null && Buffer.compare(end, cut) <= 0)) {
        add(from, end, replicas)
        return ranges
      }
      add(from, cut, replicas)
      from = cut
    }
    add(from, end, this.sets[this.#indexes[0] ?? 0]!)
    return ranges
  }

  /** The ring's ranges in the order of their tokens; the first goes around the end. */
  tokenRanges(): TokenRange[] {
    return this.#tokens.map((token, i) => ({
      after: this.#tokens.at(i - 1)!,
      token,
      replicas: this.sets[this.#indexes[i]!]!,
    }))
  }

  /** By host id: which share of all keys it is a natural replica of, 0 to 1. */
  ownership(): Map<string, number> {
    const shares = new Map<string, number>()
    for (const { after, token, replicas } of this.tokenRanges()) {
      const width = after === token ? 1 : Number(BigInt.asUintN(64, token - after)) / 2 ** 64
      for (const { hostId } of replicas.natural) shares.set(hostId, (shares.get(hostId) ?? 0) + width)
    }
    return shares
  }

  /** Index of the first token whose keys do not all lie before the position. */
  #firstEndingAfter(position: Buffer): number {
    let from = 0
    let to = this.#tokens.length
    while (from < to) {
      const middle = (from + to) >>> 1
      const cut = positionAfter(this.#tokens[middle]!)
      if (cut !== null && Buffer.compare(cut, position) <= 0) from = middle + 1
      else to = middle
    }
    return from
  }
}

/** Placements by replication and topology; those of topologies that nobody holds any more are forgotten. */
export class Placements {
  readonly #byTopology = new WeakMap<
    Topology,
    { readonly same: WeakMap<Replication, Placement>; readonly equal: Map<string, Placement> }
  >()

  of(replication: Replication, topology: Topology): Placement {
    let known = this.#byTopology.get(topology)
    if (!known) {
      known = { same: new WeakMap(), equal: new Map() }
      this.#byTopology.set(topology, known)
    }
    let placement = known.same.get(replication)
    if (placement) return placement
    const { strategy, factor, datacenters } = replication
    const key = JSON.stringify([strategy, datacenters === null ? factor : [...datacenters].sort()])
    placement = known.equal.get(key) ?? new Placement(replication, topology)
    known.equal.set(key, placement)
    known.same.set(replication, placement)
    return placement
  }
}

/** Of a ring without nodes, and of keyspaces whose data is each node's own. */
const NOBODY: ReplicaSet = { natural: [], pending: [], index: 0 }
const SIGN = -0x80000000

/** The least position behind all keys with the token; null: none is. */
export function positionAfter(token: bigint): Buffer | null {
  if (token === TOKEN_MAX) return null
  return tokenPosition(token + 1n)
}

/** The least position of all keys with the token. */
export function tokenPosition(token: bigint): Buffer {
  const position = Buffer.allocUnsafe(8)
  position.writeBigUInt64BE(BigInt.asUintN(64, token) ^ (1n << 63n))
  return position
}

const TOKEN_MAX = 2n ** 63n - 1n

/**
 * The ranges of all rings that matter, now and soon, and the replicas of each. A node that joins may do so before others that do, or after:
 * what it would own alone counts as well as what it owns when all have joined and left.
 */
function place(
  replication: Replication,
  topology: Topology,
): { readonly tokens: readonly bigint[]; readonly sets: readonly { natural: RingNode[]; pending: RingNode[] }[] } {
  const nodes = [...topology.nodes.values()]
  const joining = nodes.filter(({ status }) => status === 'joining')
  const now = nodes.filter(({ status }) => status !== 'joining')
  const stay = now.filter(({ status }) => status === 'normal')
  const current = walked(replication, now)
  const later: Walked[] = []
  if (joining.length > 0 || stay.length < now.length) later.push(walked(replication, [...stay, ...joining]))
  if (joining.length > 1 || (joining.length === 1 && stay.length < now.length))
    for (const node of joining) later.push(walked(replication, [...now, node]))
  if (joining.length > 0 && stay.length < now.length) later.push(walked(replication, stay))
  const tokens = ringOf(nodes).tokens
  const sets = tokens.map((token) => {
    const natural = replicasOf(current, token)
    const pending = new Set<RingNode>()
    for (const ring of later) for (const node of replicasOf(ring, token)) if (!natural.includes(node)) pending.add(node)
    return { natural, pending: [...pending] }
  })
  return { tokens, sets }
}

interface Walked {
  readonly ring: Ring
  readonly walk: ReplicaWalk
}

function walked(replication: Replication, nodes: readonly RingNode[]): Walked {
  const ring = ringOf(nodes)
  return { ring, walk: replicaWalk(replication, ring) }
}

/** While nobody owns anything (all are joining an empty cluster), nobody is a natural replica. */
function replicasOf({ ring, walk }: Walked, token: bigint): RingNode[] {
  return ring.tokens.length === 0 ? [] : walk(ownerIndex(ring, token))
}

function ids(nodes: readonly RingNode[], sorted = false): string {
  const texts = nodes.map(({ hostId }) => hostId)
  return (sorted ? texts.sort() : texts).join()
}
