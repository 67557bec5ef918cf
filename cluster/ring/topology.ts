/**
 * Which nodes there are, where they stand and which tokens are theirs: part of the metadata that the whole cluster agrees on, entry by entry.
 * Source: Cassandra's TokenMetadata and TCM's ClusterMetadata, as one immutable value and pure changes.
 * Always: tokens of a node ascend; no token, endpoint or client address belongs to two nodes; a change that would break this is refused.
 */

/**
 * `joining` nodes take the writes of what they will own and answer no reads; `leaving` ones still own all that they had, and what others will
 * own after them is written there, too.
 */
export type NodeStatus = 'joining' | 'normal' | 'leaving'

export interface RingNode {
  /** Lower-case UUID. */
  readonly hostId: string
  /** Between nodes, 'address:port'. */
  readonly endpoint: string
  readonly clientAddress: string
  readonly clientPort: number
  readonly datacenter: string
  readonly rack: string
  /** Signed decimal, ascending. */
  readonly tokens: readonly string[]
  readonly status: NodeStatus
  /** How much it should own beside others: twice the capacity, twice the data. */
  readonly capacity: number
}

export interface Topology {
  /** By host id. */
  readonly nodes: ReadonlyMap<string, RingNode>
}

export type TopologyChange =
  /** A node that is `normal` from the first takes part in founding the cluster: there is no data to wait for. */
  | { readonly kind: 'join-start'; readonly node: RingNode }
  | { readonly kind: 'join-finish'; readonly hostId: string }
  | { readonly kind: 'leave-start'; readonly hostId: string }
  | { readonly kind: 'remove'; readonly hostId: string }
  | {
      readonly kind: 'address'
      readonly hostId: string
      readonly endpoint: string
      readonly clientAddress: string
      readonly clientPort: number
    }

/** The change cannot be made; the message is meant for people. */
export class TopologyError extends Error {
  override name = 'TopologyError'
}

export const EMPTY_TOPOLOGY: Topology = { nodes: new Map() }

/** Pure. Throws TopologyError. */
export function changeTopology(before: Topology, change: TopologyChange): Topology {
  switch (change.kind) {
    case 'join-start':
      return joinStart(before, change.node)
    case 'join-finish': {
      const node = known(before, change.hostId)
      if (node.status !== 'joining') throw new TopologyError(`${name(node)} is not joining: it is ${node.status}`)
      return withNode(before, { ...node, status: 'normal' })
    }
    case 'leave-start': {
      const node = known(before, change.hostId)
      if (node.status !== 'normal') throw new TopologyError(`${name(node)} cannot leave: it is ${node.status}`)
      if (owners(before) === 1) throw new TopologyError(`${name(node)} is the last node: its data would be lost`)
      return withNode(before, { ...node, status: 'leaving' })
    }
    case 'remove':
      return remove(before, change.hostId)
    case 'address': {
      const { hostId, endpoint, clientAddress, clientPort } = change
      const node = { ...known(before, hostId), endpoint, clientAddress, clientPort }
      checkAddresses(before, node)
      return withNode(before, node)
    }
    default:
      throw new TopologyError(`Unknown change of the topology: ${JSON.stringify(change satisfies never)}`)
  }
}

/** Nodes by data centre: those that own data, or will. */
export function datacenterSizes(topology: Topology): Map<string, number> {
  const sizes = new Map<string, number>()
  for (const { datacenter } of topology.nodes.values()) sizes.set(datacenter, (sizes.get(datacenter) ?? 0) + 1)
  return sizes
}

/** Who leaves now; one at a time does. */
export function leavingNode(topology: Topology): RingNode | null {
  for (const node of topology.nodes.values()) if (node.status === 'leaving') return node
  return null
}

function joinStart(before: Topology, node: RingNode): Topology {
  const present = before.nodes.get(node.hostId)
  if (present && present.status !== 'joining')
    throw new TopologyError(`${name(present)} is a member already: another node may not start with a copy of its data`)
  if (node.status === 'leaving') throw new TopologyError(`${name(node)} cannot join as one that leaves`)
  checkPlace(node)
  checkTokens(before, node)
  checkAddresses(before, node)
  return withNode(before, node)
}

/** A join that was begun may be given up; the last owner of data stays. */
function remove(before: Topology, hostId: string): Topology {
  const node = known(before, hostId)
  if (node.status !== 'joining' && owners(before) === 1)
    throw new TopologyError(`${name(node)} is the last node: it cannot be removed`)
  const nodes = new Map(before.nodes)
  nodes.delete(hostId)
  return { nodes }
}

function checkPlace(node: RingNode): void {
  if (!UUID.test(node.hostId)) throw new TopologyError(`${node.hostId} is no host id: it is a UUID in lower case`)
  if (node.datacenter === '' || node.rack === '')
    throw new TopologyError(`${name(node)} does not say in which data centre and rack it stands`)
  if (!(node.capacity > 0 && Number.isFinite(node.capacity)))
    throw new TopologyError(`${name(node)} has capacity ${node.capacity}: it must be above 0`)
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const TOKEN = /^(0|-?[1-9]\d{0,18})$/

function checkTokens(before: Topology, node: RingNode): void {
  if (node.tokens.length === 0) throw new TopologyError(`${name(node)} has no tokens`)
  let previous: bigint | null = null
  for (const text of node.tokens) {
    const token = TOKEN.test(text) ? BigInt(text) : null
    if (token === null || token !== BigInt.asIntN(64, token))
      throw new TopologyError(`${name(node)} has the token ${text}, which is no 64-bit number`)
    if (previous !== null && token <= previous)
      throw new TopologyError(`The tokens of ${name(node)} do not ascend: ${previous}, ${token}`)
    previous = token
  }
  const own = new Set(node.tokens)
  for (const other of before.nodes.values()) {
    if (other.hostId === node.hostId) continue
    const taken = other.tokens.find((token) => own.has(token))
    if (taken !== undefined)
      throw new TopologyError(`Token ${taken} of ${name(node)} belongs to ${name(other)} already`)
  }
}

function checkAddresses(before: Topology, node: RingNode): void {
  for (const other of before.nodes.values()) {
    if (other.hostId === node.hostId) continue
    if (other.endpoint === node.endpoint)
      throw new TopologyError(
        `A node with address ${node.endpoint} already exists (${other.hostId}): remove that one first, or use another address`,
      )
    if (other.clientAddress === node.clientAddress && other.clientPort === node.clientPort)
      throw new TopologyError(
        `${name(other)} serves clients at ${node.clientAddress}:${node.clientPort} already: ${name(node)} needs an address of its own`,
      )
  }
}

function known(topology: Topology, hostId: string): RingNode {
  const node = topology.nodes.get(hostId)
  if (!node) throw new TopologyError(`No node has the host id ${hostId}`)
  return node
}

/** Nodes that own data now. */
function owners(topology: Topology): number {
  let count = 0
  for (const { status } of topology.nodes.values()) if (status !== 'joining') count++
  return count
}

/** A node keeps its place in the map's order, so that all who apply the same changes list the nodes alike. */
function withNode(before: Topology, node: RingNode): Topology {
  const nodes = new Map(before.nodes)
  nodes.set(node.hostId, node)
  return { nodes }
}

function name(node: RingNode): string {
  return `${node.endpoint} (${node.hostId})`
}
