/** Nodes, rings and replications, made by hand or drawn. */
import type { Replication } from '../../cluster/coordinator/levels.ts'
import { changeTopology, EMPTY_TOPOLOGY, type RingNode, type Topology } from '../../cluster/ring/topology.ts'
import type { Dice } from './random.ts'

const PACKAGE = 'org.apache.cassandra.locator.'

export function ringNode(number: number, given: Partial<RingNode> = {}): RingNode {
  return {
    hostId: hostId(number),
    endpoint: `10.0.0.${number}:7000`,
    clientAddress: `10.0.0.${number}`,
    clientPort: 9042,
    datacenter: 'dc1',
    rack: 'rack1',
    tokens: [String(number)],
    status: 'normal',
    capacity: 1,
    ...given,
  }
}

export function hostId(number: number): string {
  return `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`
}

export function topologyOf(...nodes: readonly RingNode[]): Topology {
  return nodes.reduce((topology, node) => changeTopology(topology, { kind: 'join-start', node }), EMPTY_TOPOLOGY)
}

/** Up to 9 nodes in up to 3 data centres of up to 4 racks, with few tokens each; the ends of the token range among them. */
export function randomTopology(dice: Dice, statuses: readonly RingNode['status'][] = ['normal']): Topology {
  const taken = new Set<bigint>()
  const token = (): string => {
    for (;;) {
      const value = dice.chance(0.05)
        ? dice.pick([-(2n ** 63n), -(2n ** 63n) + 1n, -1n, 0n, 1n, 2n ** 63n - 2n, 2n ** 63n - 1n])
        : BigInt.asIntN(64, (BigInt(dice.int(2 ** 32)) << 32n) | BigInt(dice.int(2 ** 32)))
      if (taken.has(value)) continue
      taken.add(value)
      return String(value)
    }
  }
  const datacenters = 1 + dice.int(3)
  const racks = 1 + dice.int(4)
  const nodes: RingNode[] = []
  for (let number = 1 + dice.int(9); number > 0; number--)
    nodes.push(
      ringNode(number, {
        datacenter: `dc${1 + dice.int(datacenters)}`,
        rack: `rack${1 + dice.int(racks)}`,
        tokens: sortTokens(Array.from({ length: 1 + dice.int(6) }, token)),
      }),
    )
  const topology = topologyOf(...nodes)
  return {
    nodes: new Map(
      Array.from(topology.nodes, ([id, node], i) => [
        id,
        { ...node, status: i === 0 ? 'normal' : dice.pick(statuses) },
      ]),
    ),
  }
}

export function sortTokens(tokens: readonly string[]): string[] {
  return [...tokens].sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1))
}

export function simple(factor: number): Replication {
  return { strategy: `${PACKAGE}SimpleStrategy`, factor, datacenters: null }
}

export function network(factors: Readonly<Record<string, number>>): Replication {
  const datacenters = new Map(Object.entries(factors))
  let factor = 0
  for (const count of datacenters.values()) factor += count
  return { strategy: `${PACKAGE}NetworkTopologyStrategy`, factor, datacenters }
}

export function randomReplication(dice: Dice): Replication {
  if (dice.chance(0.3)) return simple(1 + dice.int(5))
  const factors: Record<string, number> = {}
  for (const datacenter of ['dc1', 'dc2', 'dc3', 'dc4']) if (dice.chance(0.7)) factors[datacenter] = dice.int(6)
  return network(factors)
}
