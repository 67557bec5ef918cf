/** A node's links to the others: the messenger that speaks with them and the gossip that tells who is alive. */
import { Gossiper } from '../../../cluster/gossip/gossiper.ts'
import { type NodeMessenger, openMessenger } from '../../../cluster/internode/node-messenger.ts'
import type { RingNode } from '../../../cluster/ring/topology.ts'
import type { Settings } from '../../config/settings.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { HybridClock } from '../hybrid-clock.ts'
import type { Identity } from '../identity.ts'
import type { MetadataLog } from '../metadata-log.ts'
import { StartError } from '../start-error.ts'
import { internodeNetwork } from './encryption.ts'
import { seedEndpoints, storageAddress } from './self.ts'

const SOURCE = 'links.ts'

export interface LinksOptions {
  readonly settings: Settings
  readonly runtime: Runtime
  readonly identity: Identity
  readonly self: RingNode
  readonly hybrid: HybridClock
  /** Null until the node has read its log. */
  metadata(): MetadataLog | null
}

/** Listens for other nodes. Whose messages have no handler yet is answered with a failure. Rejects with a StartError. */
export async function openLinks({
  settings,
  runtime,
  identity,
  self,
  hybrid,
  metadata,
}: LinksOptions): Promise<NodeMessenger> {
  const { clock, random, log } = runtime
  const network = await internodeNetwork(settings.server_encryption_options, runtime)
  const listenAddress = settings.listen_address ?? settings.rpc_address
  const { hostId, endpoint } = self
  try {
    return await openMessenger({
      clock,
      random,
      network,
      log,
      self: { hostId, endpoint },
      ...(listenAddress === storageAddress(settings) ? {} : { listenAddress }),
      clusterName: identity.clusterName,
      settings: { connectTimeoutMs: settings.internode_tcp_connect_timeout },
      compresses: (to) => compresses(settings, self, to, metadata()),
      epoch: () => metadata()?.state.epoch ?? 0,
      observeEpoch: (epoch, from) =>
        void metadata()
          ?.catchUp(epoch, from.endpoint)
          .catch(() => undefined),
      hybrid: { now: () => hybrid.next(), observe: (micros) => hybrid.observe(micros) },
    })
  } catch (error) {
    const { code } = error as { code?: unknown }
    const where = `${listenAddress}:${settings.storage_port}`
    if (code === 'EADDRINUSE')
      throw new StartError(
        `${where}, for other nodes, is in use by another process; choose another storage_port or listen_address`,
      )
    if (code === 'EADDRNOTAVAIL')
      throw new StartError(
        `${listenAddress}, for other nodes, is no address of this machine; choose another listen_address`,
      )
    throw error
  }
}

/** Who is not known yet is of this data centre. */
function compresses(settings: Settings, self: RingNode, to: string, metadata: MetadataLog | null): boolean {
  if (settings.internode_compression !== 'dc') return settings.internode_compression === 'all'
  for (const { endpoint, datacenter } of metadata?.state.topology.nodes.values() ?? [])
    if (endpoint === to) return datacenter !== self.datacenter
  return false
}

export interface GossipOptions {
  readonly settings: Settings
  readonly runtime: Runtime
  readonly identity: Identity
  readonly messenger: NodeMessenger
  readonly metadata: MetadataLog
  /** This node must not go on. */
  end(error: Error): void
}

/** Answers gossip from now on; start() makes it speak. */
export function openGossip({ settings, runtime, identity, messenger, metadata, end }: GossipOptions): Gossiper {
  const { clock, random, log } = runtime
  return new Gossiper({
    clock,
    random,
    messenger,
    cluster: () => ({ name: identity.clusterName, id: metadata.state.clusterId || null }),
    generation: identity.generation,
    seeds: seedEndpoints(settings),
    members: () => metadata.state.topology.nodes.values(),
    report: (message) => log.info(SOURCE, message),
    conflict: (endpoint) =>
      end(
        new Error(
          `Another node, at ${endpoint}, runs with the host id of this one (${identity.hostId}) and started later: was the data directory copied?`,
        ),
      ),
  })
}
