/**
 * The cluster whose nodetool was recorded (test/golden/nodetool): three nodes of a real Cassandra, with the tokens that describering told, as a node of
 * ours would know it.
 */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { GossipValue, NodeState } from '../../cluster/gossip/liveness.ts'
import type { MessengerCounts } from '../../cluster/internode/messenger.ts'
import type { RingNode, Topology } from '../../cluster/ring/topology.ts'
import type { Schema } from '../../lib/schema/keyspace.ts'
import { type Hearsay, KnownCluster } from '../../lib/server/cluster/known-cluster.ts'

export const NODETOOL = join(dirname(fileURLToPath(import.meta.url)), '../../../test/golden/nodetool')

/** By the last number of the address. */
const HOST_IDS: Readonly<Record<string, string>> = {
  '1': 'b36e9fa0-8c04-424a-b5f9-7a3710da0f35',
  '2': '57b21c9b-0a3e-4428-9050-e7911ce2ed0c',
  '3': '1ab807ff-9553-4dde-a241-69732edefda9',
}

export interface RecordedCluster {
  readonly cluster: KnownCluster
  topology: Topology
  readonly dead: Set<string>
  readonly loads: Map<string, number>
  readonly phis: Map<string, number>
  /** Epochs of the metadata. */
  readonly reached: Map<string, number>
  readonly states: Map<string, NodeState>
  readonly listeners: Set<(hostId: string, alive: boolean) => void>
}

function recordedTopology(): Topology {
  const text = readFileSync(join(NODETOOL, 'describering.txt'), 'utf8')
  const tokens = new Map<string, string[]>()
  for (const [, token, owner] of text.matchAll(/end_token:(-?\d+), endpoints:\[([^,\]]*)/g))
    tokens.set(owner!, [...(tokens.get(owner!) ?? []), token!])
  const nodes = Array.from(tokens, ([address, own]): RingNode => {
    const number = address.slice(address.lastIndexOf('.') + 1)
    return {
      hostId: HOST_IDS[number]!,
      endpoint: `${address}:7000`,
      clientAddress: address,
      clientPort: 9042,
      datacenter: number === '3' ? 'dc2' : 'dc1',
      rack: 'rack1',
      tokens: own.sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1)),
      status: 'normal',
      capacity: 1,
    }
  })
  return { nodes: new Map(nodes.map((node) => [node.hostId, node])) }
}

/** What recorded gossip said, by host id; the node's own first. */
function recordedGossip(): Map<string, NodeState> {
  const text = readFileSync(join(NODETOOL, 'gossipinfo.txt'), 'utf8')
  const states = new Map<string, NodeState>()
  for (const [, block] of text.matchAll(/^\/[\d.]+\n((?: {2}.*\n)+)/gm)) {
    const values = new Map<string, GossipValue>()
    let generation = 0
    let heartbeat = 0
    for (const line of block!.trimEnd().split('\n')) {
      const [key, first, ...rest] = line.trim().split(':')
      if (key === 'generation') generation = Number(first)
      else if (key === 'heartbeat') heartbeat = Number(first)
      else values.set(key!, { value: rest.join(':'), version: Number(first) })
    }
    const hostId = values.get('HOST_ID')!.value
    states.set(hostId, { hostId, generation, heartbeat, values })
  }
  return states
}

/** Node 1's view. */
export function recordedCluster(schema: Schema, messages: MessengerCounts | null = null): RecordedCluster {
  const self = HOST_IDS['1']!
  const world = {
    topology: recordedTopology(),
    dead: new Set<string>(),
    loads: new Map<string, number>(),
    phis: new Map<string, number>(),
    reached: new Map<string, number>(),
    states: recordedGossip(),
    listeners: new Set<(hostId: string, alive: boolean) => void>(),
  }
  const hearsay: Hearsay = {
    isAlive: (hostId) => !world.dead.has(hostId),
    phi: (hostId) => world.phis.get(hostId) ?? 0,
    listen(change) {
      world.listeners.add(change)
      return { [Symbol.dispose]: () => void world.listeners.delete(change) }
    },
    states: () => [...world.states.values()],
    state: (hostId) => world.states.get(hostId) ?? null,
  }
  const cluster = new KnownCluster({
    clusterName: 'Test Cluster',
    generation: 0,
    self: world.topology.nodes.get(self)!,
    metadata: {
      get state() {
        return { schema, topology: world.topology }
      },
      reached: (hostId) => world.reached.get(hostId) ?? -1,
    },
    loadBytes: () => world.loads.get(self) ?? 0,
    hearsay: {
      ...hearsay,
      state(hostId) {
        const state = hearsay.state(hostId)
        const load = world.loads.get(hostId)
        if (!state || load === undefined) return state
        return { ...state, values: new Map(state.values).set('LOAD', { value: `${load}.0`, version: 1 }) }
      },
    },
    messages: () => messages,
  })
  return Object.assign(world, { cluster })
}
