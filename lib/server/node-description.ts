/** What this node says of itself in system.local and system_views. */
import { SETTINGS, type SettingName, type Settings } from '../config/settings.ts'
import { systemTableId } from '../schema/system-tables.ts'
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
    truncations: () => emptiedAtStart(identity.generation),
    settings: () => settingTexts(settings),
    clients: () => Array.from(late.clients?.connections ?? [], describeClient),
    rows: () => null,
  }
}

/** Tables that begin empty with each start, as truncated_at tells: place in the log (none), and ms since 1970. */
function emptiedAtStart(startSeconds: number): Map<string, Buffer> {
  const truncation = Buffer.alloc(20)
  truncation.writeBigInt64BE(BigInt(startSeconds) * 1000n, 12)
  return new Map(
    ['size_estimates', 'table_estimates'].map((table) => [systemTableId('system', table), truncation] as const),
  )
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
