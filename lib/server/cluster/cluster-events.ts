/**
 * Tells clients of nodes that come, go and move. Source: Cassandra's Server.EventNotifier, native_protocol_v5.spec §4.2.6.
 * Always: a client is told of a node only while or after that node serves CQL; of each change once; NEW_NODE comes before UP.
 */
import type { RingNode } from '../../../cluster/ring/topology.ts'
import type { ServerEvent } from '../../../protocol/responses.ts'
import type { Clock } from '../../runtime/runtime.ts'
import { addressBytes } from '../addresses.ts'
import type { KnownCluster } from './known-cluster.ts'

/** What nodes say of themselves (that they serve clients) comes with gossip, and nobody calls here for it. */
const LOOK_EVERY_MS = 250

/** What clients were told of a node. */
interface Told {
  readonly node: RingNode
  /** That it is there: not before it serves. */
  readonly known: boolean
  readonly up: boolean
}

export class ClusterEvents {
  readonly #cluster: KnownCluster
  readonly #clock: Clock
  readonly #broadcast: (event: ServerEvent) => void
  readonly #listening: Disposable | null
  #told = new Map<string, Told>()
  #timer: Disposable | null = null
  #closed = false

  /** Begins with what is known now, of which nobody is told. */
  constructor(cluster: KnownCluster, clock: Clock, broadcast: (event: ServerEvent) => void) {
    this.#cluster = cluster
    this.#clock = clock
    this.#broadcast = broadcast
    for (const node of this.#others()) {
      const up = cluster.serves(node.hostId)
      // Members at the start of this node were announced by others, long ago or while they came.
      this.#told.set(node.hostId, { node, known: true, up })
    }
    this.#listening = cluster.hearsay?.listen(() => this.look()) ?? null
    if (cluster.hearsay) this.#wait()
  }

  /** To be called when the topology changed; what is heard is looked at anyway. */
  look(): void {
    if (this.#closed) return
    const before = this.#told
    const now = new Map<string, Told>()
    for (const node of this.#others()) now.set(node.hostId, this.#compare(before.get(node.hostId), node))
    this.#told = now
    for (const [hostId, { node, known }] of before)
      if (known && !now.has(hostId)) this.#tell('TOPOLOGY_CHANGE', 'REMOVED_NODE', node)
  }

  [Symbol.dispose](): void {
    this.#closed = true
    this.#listening?.[Symbol.dispose]()
    this.#timer?.[Symbol.dispose]()
  }

  #compare(told: Told | undefined, node: RingNode): Told {
    const serves = this.#cluster.serves(node.hostId)
    if (!told) {
      if (!serves) return { node, known: false, up: false }
      this.#tell('TOPOLOGY_CHANGE', 'NEW_NODE', node)
      this.#tell('STATUS_CHANGE', 'UP', node)
      return { node, known: true, up: true }
    }
    let { known, up } = told
    if (known && isElsewhere(told.node, node)) {
      this.#tell('TOPOLOGY_CHANGE', 'REMOVED_NODE', told.node)
      known = false
      up = false
    }
    if (!known && serves) {
      this.#tell('TOPOLOGY_CHANGE', 'NEW_NODE', node)
      known = true
    }
    if (known && serves && told.node.tokens !== node.tokens && told.node.tokens.join() !== node.tokens.join())
      this.#tell('TOPOLOGY_CHANGE', 'MOVED_NODE', node)
    if (known && serves !== up) this.#tell('STATUS_CHANGE', serves ? 'UP' : 'DOWN', node)
    return { node, known, up: serves }
  }

  #others(): RingNode[] {
    return this.#cluster.nodes().filter(({ hostId, status }) => status !== 'joining' && !this.#cluster.isSelf(hostId))
  }

  #tell(kind: 'TOPOLOGY_CHANGE', change: 'NEW_NODE' | 'REMOVED_NODE' | 'MOVED_NODE', node: RingNode): void
  #tell(kind: 'STATUS_CHANGE', change: 'UP' | 'DOWN', node: RingNode): void
  #tell(kind: string, change: string, { clientAddress, clientPort }: RingNode): void {
    this.#broadcast({ kind, change, address: addressBytes(clientAddress), port: clientPort } as ServerEvent)
  }

  #wait(): void {
    this.#timer = this.#clock.after(LOOK_EVERY_MS, () => {
      this.look()
      if (!this.#closed) this.#wait()
    })
  }
}

function isElsewhere(before: RingNode, now: RingNode): boolean {
  return before.clientAddress !== now.clientAddress || before.clientPort !== now.clientPort
}
