/**
 * Tokens for a new node, so that everybody owns as much as its capacity says. Source: the aim of Cassandra's allocate_tokens (CASSANDRA-7032); the way
 * is our own: one token after the other takes the front of a large range of whoever owns most beyond its share.
 * Loads are made even within the data centre, for one to three replicas at once, with its racks. The tokens that there are stay where they are.
 */
import type { Random } from '../../lib/runtime/runtime.ts'
import { RING, TokenSearch } from './token-search.ts'
import type { RingNode, Topology } from './topology.ts'

export interface Allocation {
  readonly datacenter: string
  readonly rack: string
  /** How many tokens, 1 at least. */
  readonly count: number
  readonly capacity: number
  readonly random: Random
}

/** Signed decimal tokens, ascending, none of which belongs to a node of the topology. */
export function allocateTokens(topology: Topology, allocation: Allocation): string[] {
  const neighbours = [...topology.nodes.values()].filter(({ datacenter }) => datacenter === allocation.datacenter)
  const { count, random } = allocation
  return toTokens(neighbours.length === 0 ? evenly(count, random) : split(neighbours, allocation), topology, random)
}

/** How many tokens a node takes: more with more capacity, one at least. */
export function tokenCount(numTokens: number, capacity: number): number {
  return Math.max(1, Math.round(numTokens * capacity))
}

/** Tokens to a place of token-search.ts. What lies below is chance, which keeps two nodes that choose at the same time from choosing the same. */
const STEP = 2n ** 11n

/** With so many replicas loads shall be even, as well as may be with all of them at once. */
const FACTORS = [1, 2, 3]

function evenly(count: number, random: Random): number[] {
  const first = Math.floor(random.float() * (RING / count))
  return Array.from({ length: count }, (_, i) => Math.floor(first + (i * RING) / count))
}

/** The first node of a rack has no say in how its racks' replicas are shared out: one replica is all that is looked at. */
function split(neighbours: readonly RingNode[], own: Allocation): number[] {
  const placed = neighbours.map((node) => ({ ...node, places: node.tokens.map(placeOf) }))
  const search = new TokenSearch(placed, own, neighbours.some(({ rack }) => rack === own.rack) ? FACTORS : [1])
  const chosen: number[] = []
  for (let done = 0; done < own.count; done++) {
    const place = search.best(own.count - done, (done + 1) / own.count)
    search.take(place)
    chosen.push(place)
  }
  return chosen
}

function placeOf(token: string): number {
  return Number((BigInt(token) + 2n ** 63n) / STEP)
}

function toTokens(places: readonly number[], topology: Topology, random: Random): string[] {
  const taken = new Set<string>()
  for (const node of topology.nodes.values()) for (const token of node.tokens) taken.add(token)
  const tokens = places.map((place) => {
    let token = BigInt(place) * STEP - 2n ** 63n + BigInt(Math.floor(random.float() * Number(STEP)))
    while (taken.has(String(token))) token = BigInt.asIntN(64, token + 1n)
    taken.add(String(token))
    return token
  })
  return tokens.sort((a, b) => (a < b ? -1 : 1)).map(String)
}
