/**
 * What this node knows of its cluster, for those who tell of it: system tables, DESCRIBE, events, the administration interface. One view of topology
 * (what all agreed on), gossip (what was heard) and schema; of a node that is alone, too, whose topology is itself.
 */

import type { GossipKey, LivenessChange, NodeState } from '../../../cluster/gossip/liveness.ts'
import { parseEndpoint } from '../../../cluster/internode/endpoint.ts'
import type { MessengerCounts } from '../../../cluster/internode/messenger.ts'
import { datacenterSizes, type RingNode, type Topology } from '../../../cluster/ring/topology.ts'
import type { ClusterView } from '../../cql/statement.ts'
import type { Schema } from '../../schema/keyspace.ts'
import type { PeerInfo } from '../system-tables/node-info.ts'
import { ownValues } from './announce.ts'
import { KeyspacePlacements, type PlacedKeyspace } from './keyspace-placements.ts'

/** What is heard of others. */
export interface Hearsay {
  isAlive(hostId: string): boolean
  /** How unusual its silence is. */
  phi(hostId: string): number
  listen(change: LivenessChange): Disposable
  /** Of all nodes that were heard of. */
  states(): readonly NodeState[]
  state(hostId: string): NodeState | null
}

export interface ClusterSources {
  readonly clusterName: string
  /** Seconds since 1970 of this start. */
  readonly generation: number
  /** This node, until the topology has it. */
  readonly self: RingNode
  readonly metadata: {
    readonly state: { readonly schema: Schema; readonly topology: Topology }
    /** The epoch that the node has at least. Absent: nothing is known of others. */
    reached?(hostId: string): number
  }
  /** Bytes of data on this node's disk. */
  loadBytes(): number
  /** Null: nobody else is there to be heard of. */
  readonly hearsay: Hearsay | null
  messages(): MessengerCounts | null
}

export class KnownCluster implements ClusterView {
  readonly clusterName: string
  readonly hearsay: Hearsay | null
  readonly #sources: ClusterSources
  readonly #placements = new KeyspacePlacements()
  /** Made once for each topology. */
  #sorted: { readonly of: Topology['nodes']; readonly nodes: readonly RingNode[] } | null = null

  constructor(sources: ClusterSources) {
    this.#sources = sources
    this.clusterName = sources.clusterName
    this.hearsay = sources.hearsay
  }

  self(): RingNode {
    const { self } = this.#sources
    return this.topology().nodes.get(self.hostId) ?? self
  }

  schema(): Schema {
    return this.#sources.metadata.state.schema
  }

  messages(): MessengerCounts | null {
    return this.#sources.messages()
  }

  topology(): Topology {
    return this.#sources.metadata.state.topology
  }

  /** All members, by data centre and address. */
  nodes(): readonly RingNode[] {
    const { nodes } = this.topology()
    if (this.#sorted?.of !== nodes) {
      const sorted = [...nodes.values()].sort(
        (a, b) => compare(a.datacenter, b.datacenter) || ENDPOINT_ORDER.compare(a.endpoint, b.endpoint),
      )
      this.#sorted = { of: nodes, nodes: sorted }
    }
    return this.#sorted.nodes
  }

  isSelf(hostId: string): boolean {
    return hostId === this.#sources.self.hostId
  }

  isAlive(hostId: string): boolean {
    return this.isSelf(hostId) || (this.hearsay?.isAlive(hostId) ?? false)
  }

  /** It is alive and has said that clients may come. */
  serves(hostId: string): boolean {
    return this.isAlive(hostId) && (this.isSelf(hostId) || this.heard(hostId, 'RPC_READY') === 'true')
  }

  /** Of all nodes that were heard of, this one first. */
  states(): readonly NodeState[] {
    if (this.hearsay) return this.hearsay.states()
    const self = this.self()
    const told = ownValues(self, this.schema().version, this.#sources.loadBytes())
    told.set('HOST_ID', self.hostId).set('INTERNAL_ADDRESS_AND_PORT', self.endpoint).set('RPC_READY', 'true')
    const values = new Map(Array.from(told, ([key, value], i) => [key, { value, version: i + 1 }]))
    return [{ hostId: self.hostId, generation: this.#sources.generation, heartbeat: 0, values }]
  }

  /** What the node said of itself last; null: nothing. */
  heard(hostId: string, key: GossipKey): string | null {
    return this.hearsay?.state(hostId)?.values.get(key)?.value ?? null
  }

  /** Null: it was never heard. */
  loadBytes(hostId: string): number | null {
    if (this.isSelf(hostId)) return this.#sources.loadBytes()
    const load = this.heard(hostId, 'LOAD')
    return load === null ? null : Number(load)
  }

  /**
   * A node that is away serves nobody, and has this node's version before it does again: drivers that wait until all nodes agree need not wait
   * for it. Who has the entry by which the schema changed last has this schema: that is known sooner than gossip tells it.
   */
  schemaVersion(hostId: string): string {
    const { version: own, epoch } = this.schema()
    if (this.isSelf(hostId) || !this.isAlive(hostId)) return own
    const reached = this.#sources.metadata.reached?.(hostId) ?? 0
    if (reached > 0 && reached >= epoch) return own
    return this.heard(hostId, 'SCHEMA') ?? own
  }

  placed(keyspace: string): PlacedKeyspace | null {
    return this.#placements.of(this.schema().keyspaces.get(keyspace), this.topology())
  }

  /** All that own data, but this node. */
  peers(): PeerInfo[] {
    return this.nodes()
      .filter(({ hostId, status }) => status !== 'joining' && !this.isSelf(hostId))
      .map((node) => ({
        ...parseEndpoint(node.endpoint),
        nativeAddress: node.clientAddress,
        nativePort: node.clientPort,
        datacenter: node.datacenter,
        rack: node.rack,
        hostId: node.hostId,
        schemaVersion: this.schemaVersion(node.hostId),
        tokens: node.tokens,
      }))
  }

  datacenters(): ReadonlyMap<string, number> {
    return datacenterSizes(this.topology())
  }

  rangeOwnership(keyspace: string): ReadonlyMap<string, readonly string[]> {
    const placed = this.placed(keyspace)
    const self = this.self()
    if (!placed) return new Map(self.tokens.map((token) => [token, [`/${self.endpoint}`]]))
    return new Map(
      placed.placement
        .tokenRanges()
        .map(({ token, replicas }) => [String(token), replicas.natural.map(({ endpoint }) => `/${endpoint}`)]),
    )
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Numbers within addresses count as numbers: .9 before .10. */
/** 10.0.0.9 before 10.0.0.10. */
const ENDPOINT_ORDER = new Intl.Collator('en', { numeric: true })
