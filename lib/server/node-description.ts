/** What this node says of itself in system.local and system_views. */

import type { HintedHandoff } from '../../cluster/hints/handoff.ts'
import type { Store } from '../../storage/store.ts'
import type { Truncation } from '../../storage/store-words.ts'
import { SETTINGS, type SettingName, type Settings } from '../config/settings.ts'
import type { PreparedText } from '../cql/processor.ts'
import type { Metrics } from '../metrics.ts'
import type { Schema } from '../schema/keyspace.ts'
import { systemTableId } from '../schema/system-tables.ts'
import { POLYXENA_VERSION } from '../version.ts'
import type { NodeViews } from '../view/node-views.ts'
import type { KnownCluster } from './cluster/known-cluster.ts'
import type { Connection } from './connection.ts'
import type { Identity } from './identity.ts'
import type { ClientListener } from './listener.ts'
import { gossipRows } from './system-tables/gossip-rows.ts'
import { linkRows } from './system-tables/link-rows.ts'
import { metricRows } from './system-tables/metric-rows.ts'
import type { ClientInfo, NodeInfo } from './system-tables/node-info.ts'
import type { PlainRow } from './system-tables/plain-values.ts'
import { estimateRows } from './system-tables/size-estimates.ts'

export interface DescribedNode {
  readonly settings: Settings
  readonly identity: Identity
  readonly store: Store
  readonly cluster: KnownCluster
  /** Null: the node is alone. */
  hints(): HintedHandoff | null
  schema(): Schema
  /** Keyspaces and names. */
  builtIndexes(): readonly { readonly keyspace: string; readonly name: string }[]
  readonly views: Pick<NodeViews, 'builtViews' | 'builds'>
  /** Known only when clients are served. */
  readonly late: {
    readonly clients: ClientListener | null
    readonly metrics: Metrics | null
    readonly port: number
    readonly prepared: () => readonly PreparedText[]
  }
}

export function describeNode({
  settings,
  identity,
  store,
  cluster,
  hints,
  schema,
  builtIndexes,
  views,
  late,
}: DescribedNode): NodeInfo {
  const listenAddress = settings.listen_address ?? settings.rpc_address
  return {
    clusterName: identity.clusterName,
    hostId: identity.hostId,
    datacenter: identity.datacenter,
    rack: identity.rack,
    tokens: () => cluster.self().tokens,
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
    peers: () => cluster.peers(),
    truncations: () => truncatedAt(store, schema(), identity.generation),
    settings: () => settingTexts(settings),
    clients: () => Array.from(late.clients?.connections ?? [], describeClient),
    rows: (table) =>
      (table === 'IndexInfo' ? builtIndexes().map(indexRow) : null) ??
      (table === 'prepared_statements' ? late.prepared().map(preparedRow) : null) ??
      viewRows(table, views, identity.hostId) ??
      (late.metrics ? metricRows(table, late.metrics) : null) ??
      gossipRows(table, cluster) ??
      linkRows(table, cluster, hints()) ??
      estimateRows(table, {
        schema: schema(),
        hostId: identity.hostId,
        datacenter: identity.datacenter,
        ranges: ({ name }) => cluster.placed(name)?.placement.tokenRanges() ?? null,
        estimate: (id) => store.reports.tableEstimate(id),
      }),
  }
}

function indexRow({ keyspace, name }: { readonly keyspace: string; readonly name: string }): PlainRow {
  return { table_name: keyspace, index_name: name, value: null }
}

function preparedRow({ id, text, keyspace }: PreparedText): PlainRow {
  return { prepared_id: id, logged_keyspace: keyspace, query_string: text }
}

/** Null: the table is not of views. */
function viewRows(table: string, views: DescribedNode['views'], hostId: string): PlainRow[] | null {
  switch (table) {
    case 'built_views':
      return views
        .builtViews()
        .map(({ keyspace, name }) => ({ keyspace_name: keyspace, view_name: name, status_replicated: true }))
    case 'view_build_status': {
      const row = (status: string) => (view: { keyspace: string; name: string }) => ({
        keyspace_name: view.keyspace,
        view_name: view.name,
        host_id: hostId,
        status,
      })
      return [...views.builtViews().map(row('SUCCESS')), ...views.builds().map(row('STARTED'))]
    }
    case 'view_builds_in_progress':
      return views.builds().map(({ keyspace, name, rows, lastToken }) => ({
        keyspace_name: keyspace,
        view_name: name,
        start_token: String(-(2n ** 63n)),
        end_token: String(2n ** 63n - 1n),
        keys_built: rows,
        last_token: lastToken === null ? null : String(lastToken),
      }))
    default:
      return null
  }
}

/** The tables of estimates begin empty with each start; of the others the store knows. Blobs: segment i64, offset i32, ms since 1970 i64. */
function truncatedAt(store: Store, schema: Schema, startSeconds: number): Map<string, Buffer> {
  const blobs = new Map<string, Buffer>()
  const emptied = { segment: 0, offset: 0, atMs: startSeconds * 1000 }
  for (const table of ['size_estimates', 'table_estimates'])
    blobs.set(systemTableId('system', table), truncationBlob(emptied))
  for (const [table, truncation] of store.truncations())
    if (schema.tablesById.has(table)) blobs.set(table, truncationBlob(truncation))
  return blobs
}

function truncationBlob({ segment, offset, atMs }: Truncation): Buffer {
  const blob = Buffer.alloc(20)
  blob.writeBigInt64BE(BigInt(segment), 0)
  blob.writeInt32BE(offset, 8)
  blob.writeBigInt64BE(BigInt(atMs), 12)
  return blob
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
