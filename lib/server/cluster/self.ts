/** This node as the others know it, and where it looks for them. */
import { formatEndpoint, isEndpoint } from '../../../cluster/internode/endpoint.ts'
import { allocateTokens, tokenCount } from '../../../cluster/ring/allocation.ts'
import type { RingNode, Topology } from '../../../cluster/ring/topology.ts'
import type { Settings } from '../../config/settings.ts'
import type { Random } from '../../runtime/runtime.ts'
import type { Identity } from '../identity.ts'

/** As it comes to a ring: with the tokens that were chosen for it by hand, or none yet. */
export function selfNode(settings: Settings, identity: Identity): RingNode {
  return {
    hostId: identity.hostId,
    endpoint: formatEndpoint(storageAddress(settings), settings.storage_port),
    clientAddress: settings.broadcast_rpc_address ?? settings.rpc_address,
    clientPort: settings.native_transport_port,
    datacenter: identity.datacenter,
    rack: identity.rack,
    tokens: ascending(settings.initial_token),
    status: 'normal',
    capacity: settings.capacity / 100,
  }
}

export function storageAddress(settings: Settings): string {
  return settings.broadcast_address ?? settings.listen_address ?? settings.rpc_address
}

/** Those that it brings, or as many as its capacity asks for, chosen so that all loads are even. */
export function tokensFor(topology: Topology, node: RingNode, numTokens: number, random: Random): readonly string[] {
  if (node.tokens.length > 0) return node.tokens
  const { datacenter, rack, capacity } = node
  return allocateTokens(topology, { datacenter, rack, capacity, count: tokenCount(numTokens, capacity), random })
}

/** `address` or `address:port`, as endpoints: nodes of one cluster have one storage_port unless it is said. */
export function seedEndpoints(settings: Settings): string[] {
  return settings.seeds.map((seed) => (isEndpoint(seed) ? seed : formatEndpoint(seed, settings.storage_port)))
}

function ascending(tokens: readonly string[]): string[] {
  return [...tokens].sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1))
}
