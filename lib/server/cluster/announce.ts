/** What this node tells of itself by gossip, as Cassandra's nodes do; nodetool gossipinfo and system.peers show it. */
import type { Gossiper } from '../../../cluster/gossip/gossiper.ts'
import { formatEndpoint } from '../../../cluster/internode/endpoint.ts'
import type { RingNode } from '../../../cluster/ring/topology.ts'
import { RELEASE_VERSION } from '../../version.ts'
import type { MetadataLog } from '../metadata-log.ts'

export interface AnnounceOptions {
  readonly gossiper: Gossiper
  readonly metadata: MetadataLog
  readonly self: RingNode
  /** Bytes of its SSTables and memtables. */
  load(): number
}

export function announceSelf({ gossiper, metadata, self, load }: AnnounceOptions): Announcer {
  gossiper.setLocal('DC', self.datacenter)
  gossiper.setLocal('RACK', self.rack)
  gossiper.setLocal('RELEASE_VERSION', RELEASE_VERSION)
  gossiper.setLocal('NATIVE_ADDRESS_AND_PORT', formatEndpoint(self.clientAddress, self.clientPort))
  gossiper.setLocal('RPC_READY', 'false')
  return new Announcer({ gossiper, metadata, self, load })
}

export class Announcer {
  readonly #options: AnnounceOptions

  constructor(options: AnnounceOptions) {
    this.#options = options
    options.metadata.watch(() => this.refresh())
    this.refresh()
  }

  /** What follows from the metadata, and how much data there is. */
  refresh(): void {
    const { gossiper, metadata, self, load } = this.#options
    const { schema, topology } = metadata.state
    const node = topology.nodes.get(self.hostId)
    gossiper.setLocal('SCHEMA', schema.version)
    gossiper.setLocal('LOAD', load().toFixed(1))
    if (node) gossiper.setLocal('STATUS_WITH_PORT', statusText(node))
  }

  serving(isServing: boolean): void {
    this.#options.gossiper.setLocal('RPC_READY', String(isServing))
  }
}

function statusText({ status, tokens }: RingNode): string {
  switch (status) {
    case 'normal':
      return `NORMAL,${tokens[0]}`
    case 'joining':
      return `BOOT,${tokens[0]}`
    default:
      return `LEAVING,${tokens[0]}`
  }
}
