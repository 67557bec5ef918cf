/** What this node tells of itself by gossip, and keeps true. Keys and forms as Cassandra's, which nodetool gossipinfo shows. */
import type { Gossiper } from '../../../cluster/gossip/gossiper.ts'
import type { GossipKey } from '../../../cluster/gossip/liveness.ts'
import { formatEndpoint } from '../../../cluster/internode/endpoint.ts'
import type { RingNode } from '../../../cluster/ring/topology.ts'
import type { Clock } from '../../runtime/runtime.ts'
import { RELEASE_VERSION } from '../../version.ts'
import type { MetadataLog } from '../metadata-log.ts'

/** Of MessagingService in Cassandra 5.0. */
const NET_VERSION = '12'

/** As Cassandra's LoadBroadcaster. */
const LOAD_EVERY_MS = 60_000

const STATUSES = { joining: 'BOOT', normal: 'NORMAL', leaving: 'LEAVING' } as const

/** All but whether clients may come. Without tokens the node is not in the ring, and has no status yet. */
export function ownValues(node: RingNode, schemaVersion: string, loadBytes: number): Map<GossipKey, string> {
  const values = new Map<GossipKey, string>([
    ['NET_VERSION', NET_VERSION],
    ['RELEASE_VERSION', RELEASE_VERSION],
    ['DC', node.datacenter],
    ['RACK', node.rack],
    ['SCHEMA', schemaVersion],
    ['LOAD', loadBytes.toFixed(1)],
    ['NATIVE_ADDRESS_AND_PORT', formatEndpoint(node.clientAddress, node.clientPort)],
  ])
  // The tokens themselves are in the topology, which everybody has.
  if (node.tokens.length > 0) values.set('STATUS_WITH_PORT', `${STATUSES[node.status]},${node.tokens[0]}`)
  return values
}

export interface AnnounceOptions {
  readonly gossiper: Pick<Gossiper, 'setLocal' | 'hurry'>
  readonly metadata: Pick<MetadataLog, 'state' | 'watch'>
  /** Until the ring has this node. */
  readonly self: RingNode
  readonly clock: Pick<Clock, 'after'>
  /** Bytes of its SSTables. */
  load(): number
}

export class Announcer {
  readonly #options: AnnounceOptions
  readonly #watching: Disposable
  #timer: Disposable | null = null
  #loadBytes: number
  #closed = false

  constructor(options: AnnounceOptions) {
    this.#options = options
    this.#loadBytes = options.load()
    this.serving(false)
    this.#refresh()
    this.#watching = options.metadata.watch(() => this.#refresh())
    this.#wait()
  }

  serving(isServing: boolean): void {
    if (this.#closed) return
    this.#options.gossiper.setLocal('RPC_READY', String(isServing))
    // Clients of other nodes are told of it as soon as these know.
    this.#options.gossiper.hurry()
  }

  /** Before gossip ends. */
  [Symbol.dispose](): void {
    this.#closed = true
    this.#watching[Symbol.dispose]()
    this.#timer?.[Symbol.dispose]()
  }

  #refresh(): void {
    if (this.#closed) return
    const { gossiper, metadata, self } = this.#options
    const { schema, topology } = metadata.state
    const node = topology.nodes.get(self.hostId) ?? self
    for (const [key, value] of ownValues(node, schema.version, this.#loadBytes)) gossiper.setLocal(key, value)
  }

  #wait(): void {
    this.#timer = this.#options.clock.after(LOAD_EVERY_MS, () => {
      if (this.#closed) return
      this.#loadBytes = this.#options.load()
      this.#refresh()
      this.#wait()
    })
  }
}
