/** Another node as the messenger knows it: where it is, which run of it we speak to, and the links to it, one a lane. */
import type { Clock, Log, Network, Random } from '../../lib/runtime/runtime.ts'
import type { Endpoint, PeerCounts, Sender } from './messenger.ts'
import type { OutboundLink } from './outbound.ts'
import type { PendingRequest } from './pending.ts'
import type { InternodeSettings } from './settings.ts'

export interface Peer {
  readonly endpoint: Endpoint
  readonly links: readonly OutboundLink[]
  /** Of the run that answered our last handshake; null: none did. */
  incarnation: string | null
  /** Waiting in all lanes, not yet handed to sockets. */
  queuedBytes: number
  usedAtMs: number
}

/** What links have of the messenger that they belong to. */
export interface LinkHome {
  readonly clock: Clock
  readonly random: Random
  readonly network: Network
  readonly log: Log
  readonly settings: InternodeSettings
  readonly self: Sender
  readonly clusterName: string
  readonly incarnation: string
  readonly localAddress: string | undefined
  hybridNow(): number
  compresses(endpoint: Endpoint): boolean
  /** Flush this link at the end of the turn. */
  flushSoon(link: OutboundLink): void
  /** It left no trace outside: it fails as NODE_DOWN. */
  neverSent(request: PendingRequest): void
  dropped(verb: number): void
  /** Whoever it was that we sent requests to is not there any more: they are never answered. */
  gone(peer: Peer): void
  hasSent(peer: Peer): boolean
  refused(message: string): void
  /** A node there is of another cluster, of that name; null: it is not, or not any more. */
  metCluster(endpoint: string, other: string | null): void
}

export function heldBytes(peer: Peer): number {
  let bytes = peer.queuedBytes
  for (const link of peer.links) bytes += link.socketBytes
  return bytes
}

export function countPeer({ endpoint, links }: Peer): PeerCounts {
  const [gossip, small, large] = links
  return { endpoint, lanes: { gossip: gossip!.counts(), small: small!.counts(), large: large!.counts() } }
}
