/**
 * A data centre's ring while a node's tokens are chosen for it: what everybody owns with one, two and three replicas, and how a token more would
 * change that. Only the few ranges before the token are walked again, by the rules of NetworkTopologyStrategy (replicas.ts).
 * Places on the ring are counted in steps of 2^11 tokens, so that plain numbers hold them exactly.
 */
import type { RingNode } from './topology.ts'

/** The length of the ring, in places. */
export const RING = 2 ** 53

/** The new node. */
const NEW = 0

/** Ranges of so many of those who own too much are looked at, so many of each, and so large parts of what is wanted on average. */
const DONORS = 3
const RANGES = 3
const PARTS = [0.6, 1, 1.5]
/** A donor keeps this much of a range: slivers are of no use to anybody. */
const KEPT = 0.1

export class TokenSearch {
  /** Ascending. */
  readonly #places: number[]
  /** By place. */
  readonly #owners: number[]
  /** By owner. */
  readonly #racks: readonly number[]
  readonly #objectives: readonly Objective[]
  /** What a walk found: that many owners of replicas, and whether it came past the token that is thought of. */
  readonly #replicas: number[] = []
  #found = 0
  #passed = false
  /** By owner what a token would change, 0 but for those that are named. */
  readonly #changes: number[]
  readonly #changed: number[] = []
  readonly #donors = new Greatest(DONORS)
  /** By donor: its largest ranges. */
  readonly #ranges = Array.from({ length: DONORS }, () => new Greatest(RANGES))
  readonly #thought: number[] = []

  /** `factors`: the numbers of replicas for which loads shall be even. `others` has one node at least. */
  constructor(
    others: readonly (RingNode & { readonly places: readonly number[] })[],
    own: { readonly rack: string; readonly capacity: number },
    factors: readonly number[],
  ) {
    const entries = others
      .flatMap(({ places }, i) => places.map((place) => ({ place, owner: i + 1 })))
      .sort((a, b) => a.place - b.place)
      // Tokens of one place have no width between them.
      .filter(({ place }, i, all) => place !== all[i + 1]?.place)
    this.#places = entries.map(({ place }) => place)
    this.#owners = entries.map(({ owner }) => owner)
    const nodes = [own, ...others]
    const racks = [...new Set(nodes.map(({ rack }) => rack))]
    this.#racks = nodes.map(({ rack }) => racks.indexOf(rack))
    this.#changes = nodes.map(() => 0)
    const capacities = nodes.map(({ capacity }) => capacity)
    // With no more nodes than replicas everybody owns everything.
    this.#objectives = factors
      .filter((factor) => factor === 1 || factor < nodes.length)
      .map((factor) => createObjective(factor, this.#racks, capacities))
    for (const objective of this.#objectives)
      for (let i = 0; i < this.#places.length; i++) {
        this.#walk(i, objective, -1)
        for (let r = 0; r < this.#found; r++) objective.loads[this.#replicas[r]!]! += this.#width(i)
      }
  }

  /** Where it is best to put the next of the new node's tokens, when `left` are still to be put and then `progress` of its share is reached. */
  best(left: number, progress: number): number {
    let best = -1
    let least = Infinity
    for (const objective of this.#objectives) {
      this.#think(objective, left)
      for (const place of this.#thought) {
        let cost = 0
        for (const one of this.#objectives) cost += this.#cost(one, place, progress)
        if (cost < least) {
          least = cost
          best = place
        }
      }
    }
    return best < 0 ? this.#widestMiddle() : best
  }

  take(place: number): void {
    for (const objective of this.#objectives) {
      this.#change(objective, place)
      for (const owner of this.#changed) {
        objective.loads[owner]! += this.#changes[owner]!
        this.#changes[owner] = 0
      }
    }
    const at = this.#search(place)
    this.#places.splice(at, 0, place)
    this.#owners.splice(at, 0, NEW)
  }

  /** Writes to #thought places in and before the largest ranges of those who own most beyond their share. Makes no objects: it is done for each token. */
  #think({ loads, shares, factor }: Objective, left: number): void {
    const count = this.#places.length
    const wanted = Math.max((shares[NEW]! - loads[NEW]!) / left / factor, RING / count / 100)
    this.#donors.clear()
    for (let owner = 1; owner < shares.length; owner++) this.#donors.add(owner, loads[owner]! / shares[owner]!)
    const { items: donors } = this.#donors
    for (const ranges of this.#ranges) ranges.clear()
    for (let index = 0; index < count; index++) {
      const donor = donors.indexOf(this.#owners[index]!)
      if (donor >= 0) this.#ranges[donor]!.add(index, this.#span(index, factor))
    }
    this.#thought.length = 0
    for (let donor = 0; donor < donors.length; donor++)
      for (const index of this.#ranges[donor]!.items)
        for (let back = 0; back < factor; back++) {
          const cut = (index - back + count) % count
          const before = this.#before(cut)
          const most = this.#width(cut) * (1 - KEPT)
          for (const part of PARTS) {
            const taken = Math.floor(Math.min(wanted * part, most))
            if (taken > 0) this.#thought.push((before + taken) % RING)
          }
        }
  }

  /** How much further from even the loads would be. */
  #cost(objective: Objective, place: number, progress: number): number {
    this.#change(objective, place)
    const { loads } = objective
    let cost = this.#distance(objective, NEW, loads[NEW]! + this.#changes[NEW]!, progress)
    for (const owner of this.#changed) {
      if (owner !== NEW)
        cost +=
          this.#distance(objective, owner, loads[owner]! + this.#changes[owner]!, 1) -
          this.#distance(objective, owner, loads[owner]!, 1)
      this.#changes[owner] = 0
    }
    return cost
  }

  /** Of a load from a part of its share. */
  #distance({ shares, factor }: Objective, owner: number, load: number, progress: number): number {
    const off = load / shares[owner]! - progress
    return (off * off * shares[owner]!) / factor
  }

  /** Writes to #changes what each of #changed would own more or less with a token there. */
  #change(objective: Objective, place: number): void {
    this.#changed.length = 0
    const count = this.#places.length
    const at = this.#search(place)
    const index = at === count ? 0 : at
    for (let step = 0; step < count; step++) {
      const range = (index - step + count) % count
      const width = step === 0 ? (place - this.#before(range) + RING) % RING : this.#width(range)
      this.#walk(range, objective, index)
      // Ranges further back end their walks sooner.
      if (!this.#passed) break
      this.#add(width)
      this.#walk(range, objective, -1)
      this.#add(-width)
    }
  }

  #add(width: number): void {
    for (let i = 0; i < this.#found; i++) {
      const owner = this.#replicas[i]!
      if (!this.#changed.includes(owner)) this.#changed.push(owner)
      this.#changes[owner]! += width
    }
  }

  /** Writes the owners of a range's replicas to #replicas; with `inserted`, as if the new node had a token just before that index. */
  #walk(range: number, { wanted, repeats }: Objective, inserted: number): void {
    const count = this.#places.length
    let repeated = 0
    this.#found = 0
    this.#passed = false
    let at = range
    for (let step = 0; step < count && this.#found < wanted; step++) {
      if (at === inserted) {
        this.#passed = true
        repeated += this.#meet(NEW, repeated < repeats)
        if (this.#found === wanted) return
      }
      repeated += this.#meet(this.#owners[at]!, repeated < repeats)
      at = at + 1 === count ? 0 : at + 1
    }
  }

  /** Makes it the next replica if it may be one; 1 if its rack has one already. */
  #meet(owner: number, mayRepeat: boolean): 0 | 1 {
    const rack = this.#racks[owner]!
    let repeats = false
    for (let i = 0; i < this.#found; i++) {
      const other = this.#replicas[i]!
      if (other === owner) return 0
      if (this.#racks[other] === rack) repeats = true
    }
    if (repeats && !mayRepeat) return 0
    this.#replicas[this.#found++] = owner
    return repeats ? 1 : 0
  }

  /** How much of the ring counts towards a token's owner: its range and those before it for which it is a further replica. */
  #span(index: number, factor: number): number {
    let sum = 0
    for (let back = 0; back < factor; back++)
      sum += this.#width((index - back + this.#places.length) % this.#places.length)
    return sum
  }

  #widestMiddle(): number {
    let widest = 0
    for (let i = 1; i < this.#places.length; i++) if (this.#width(i) > this.#width(widest)) widest = i
    return (this.#before(widest) + Math.floor(this.#width(widest) / 2)) % RING
  }

  #width(index: number): number {
    if (this.#places.length === 1) return RING
    return (this.#places[index]! - this.#before(index) + RING) % RING
  }

  /** Where the range begins. */
  #before(index: number): number {
    return this.#places[index === 0 ? this.#places.length - 1 : index - 1]!
  }

  #search(place: number): number {
    let from = 0
    let to = this.#places.length
    while (from < to) {
      const middle = (from + to) >>> 1
      if (this.#places[middle]! < place) from = middle + 1
      else to = middle
    }
    return from
  }
}

/** The few items of the greatest weights, greatest first. */
class Greatest {
  readonly items: number[] = []
  readonly #weights: number[] = []
  readonly #most: number

  constructor(most: number) {
    this.#most = most
  }

  clear(): void {
    this.items.length = 0
    this.#weights.length = 0
  }

  add(item: number, weight: number): void {
    const { items } = this
    const weights = this.#weights
    let at = items.length
    if (at < this.#most) {
      items.push(item)
      weights.push(weight)
    } else if (weight <= weights[--at]!) return
    for (; at > 0 && weights[at - 1]! < weight; at--) {
      items[at] = items[at - 1]!
      weights[at] = weights[at - 1]!
    }
    items[at] = item
    weights[at] = weight
  }
}

/** Even loads with so many replicas. */
interface Objective {
  readonly factor: number
  /** Replicas that a range can have. */
  readonly wanted: number
  /** How many of them may stand in a rack that has one. */
  readonly repeats: number
  /** By owner, in places. */
  readonly loads: number[]
  readonly shares: readonly number[]
}

function createObjective(factor: number, racks: readonly number[], capacities: readonly number[]): Objective {
  return {
    factor,
    wanted: Math.min(factor, capacities.length),
    repeats: factor - new Set(racks).size,
    loads: capacities.map(() => 0),
    shares: evenShares(factor, racks, capacities),
  }
}

/**
 * What each node can own at best: a rack one replica of each range and more only if there are too few racks, a node one at most, and between
 * them as their capacities are.
 */
function evenShares(factor: number, racks: readonly number[], capacities: readonly number[]): number[] {
  const names = [...new Set(racks)]
  const members = names.map((rack) => racks.flatMap((one, i) => (one === rack ? [i] : [])))
  const rackCapacities = members.map((nodes) => nodes.reduce((sum, i) => sum + capacities[i]!, 0))
  const enough = names.length >= factor
  const first = enough ? names.map(() => 0) : names.map(() => 1)
  const rest = shareOut(
    factor - (enough ? 0 : names.length),
    rackCapacities,
    members.map((nodes) => (enough ? 1 : nodes.length - 1)),
  )
  const shares = capacities.map(() => 0)
  members.forEach((nodes, rack) => {
    const own = shareOut(
      first[rack]! + rest[rack]!,
      nodes.map((i) => capacities[i]!),
      nodes.map(() => 1),
    )
    nodes.forEach((node, i) => {
      shares[node] = own[i]! * RING
    })
  })
  return shares
}

/** Divides an amount by weights where nobody takes more than its most. */
function shareOut(amount: number, weights: readonly number[], most: readonly number[]): number[] {
  const shares = weights.map(() => 0)
  const full = new Set<number>()
  let left = amount
  while (left > 1e-12 && full.size < weights.length) {
    const open = weights.flatMap((weight, i) => (full.has(i) ? [] : [{ weight, i }]))
    const sum = open.reduce((total, { weight }) => total + weight, 0)
    const filled = open.filter(({ weight, i }) => (left * weight) / sum >= most[i]! - 1e-12)
    if (filled.length === 0) {
      for (const { weight, i } of open) shares[i] = (left * weight) / sum
      break
    }
    for (const { i } of filled) {
      shares[i] = most[i]!
      full.add(i)
      left -= most[i]!
    }
  }
  return shares
}
