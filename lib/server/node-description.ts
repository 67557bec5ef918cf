/** What this node says of itself in system.local and system_views. */
import { SETTINGS, type SettingName, type Settings } from '../config/settings.ts'
import { POLYXENA_VERSION } from '../version.ts'
import type { Connection } from './connection.ts'
import type { Identity } from './identity.ts'
import type { ClientListener } from './listener.ts'
import type { ClientInfo, NodeInfo } from './system-tables/node-info.ts'

export interface DescribedNode {
  readonly settings: Settings
  readonly identity: Identity
  /** Known only when clients are served. */
  readonly late: { readonly clients: ClientListener | null; readonly port: number }
}

export function describeNode({ settings, identity, late }: DescribedNode): NodeInfo {
  const listenAddress = settings.listen_address ?? settings.rpc_address
  return {
    clusterName: identity.clusterName,
    hostId: identity.hostId,
    datacenter: identity.datacenter,
    rack: identity.rack,
    tokens: () => identity.tokens,
    listenAddress,
    listenPort: settings.storage_port,
    broadcastAddress: settings.broadcast_address ?? listenAddress,
    broadcastPort: settings.storage_port,
    rpcAddress: settings.broadcast_rpc_address ?? settings.rpc_address,
    get rpcPort() {
      return late.port
    },
    gossipGeneration: identity.generation,
    version: POLYXENA_VERSION,
    peers: () => [],
    truncations: () => new Map(),
    settings: () => settingTexts(settings),
    clients: () => Array.from(late.clients?.connections ?? [], describeClient),
    rows: () => null,
  }
}

function settingTexts(settings: Settings): Map<string, string | null> {
  const texts = new Map<string, string | null>()
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const value = settings[name]
    texts.set(name, value === null ? null : Array.isArray(value) ? value.join(',') : String(value))
  }
  return texts
}

function describeClient(connection: Connection): ClientInfo {
  return {
    address: connection.remoteAddress,
    port: connection.remotePort,
    options: connection.startupOptions,
    stage: connection.phase,
    hostname: connection.remoteAddress,
    keyspace: connection.keyspace,
    protocolVersion: connection.version,
    requestCount: connection.requestsSent,
    username: connection.user ?? 'anonymous',
    tls: null,
  }
}
