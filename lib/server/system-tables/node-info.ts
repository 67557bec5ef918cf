/**
 * What a node tells of itself and its cluster in system.local, system.peers and system_views. The node fills it; everything is asked anew for
 * each read.
 */
import type { PlainRow } from './plain-values.ts'

export interface NodeInfo {
  readonly clusterName: string
  /** UUID. */
  readonly hostId: string
  readonly datacenter: string
  readonly rack: string
  /** Decimal tokens. */
  tokens(): readonly string[]
  /** Where other nodes reach it. */
  readonly listenAddress: string
  readonly listenPort: number
  readonly broadcastAddress: string
  readonly broadcastPort: number
  /** Where clients reach it. */
  readonly rpcAddress: string
  readonly rpcPort: number
  /** Seconds since 1970 at which it started. */
  readonly gossipGeneration: number
  /** Our own version, as package.json has it. */
  readonly version: string
  peers(): readonly PeerInfo[]
  /** By table id: when and where in the log it was truncated. */
  truncations(): ReadonlyMap<string, Buffer>
  /** Names as in cassandra.yaml; null: not set. */
  settings(): ReadonlyMap<string, string | null>
  clients(): readonly ClientInfo[]
  /** Rows of any other answered table (of system_views, or one of system that others do not answer); null or []: it has none. */
  rows(table: string): readonly PlainRow[] | null
}

export interface PeerInfo {
  readonly address: string
  readonly port: number
  readonly nativeAddress: string
  readonly nativePort: number
  readonly datacenter: string
  readonly rack: string
  readonly hostId: string
  /** Null: it was not heard of yet. */
  readonly schemaVersion: string | null
  readonly tokens: readonly string[]
}

/** A connected client. */
export interface ClientInfo {
  readonly address: string
  readonly port: number
  /** Of STARTUP. */
  readonly options: ReadonlyMap<string, string>
  readonly stage: string
  readonly hostname: string
  readonly keyspace: string | null
  readonly protocolVersion: number
  readonly requestCount: number
  readonly username: string
  readonly tls: { readonly cipherSuite: string; readonly protocol: string } | null
}
