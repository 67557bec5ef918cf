/** system_views.internode_outbound and pending_hints: what waits for other nodes and was sent to them. Source: Cassandra 5.0.6's tables of these names. */
import type { HintedHandoff } from '../../../cluster/hints/handoff.ts'
import { parseEndpoint } from '../../../cluster/internode/endpoint.ts'
import type { KnownCluster } from '../cluster/known-cluster.ts'
import type { PlainRow } from './plain-values.ts'

/** Null: it is another table. */
export function linkRows(table: string, cluster: KnownCluster, hints: HintedHandoff | null): PlainRow[] | null {
  if (table === 'internode_outbound') return outboundRows(cluster)
  if (table === 'pending_hints') return hints === null ? [] : hintRows(cluster, hints)
  return null
}

/** All lanes of a node together; what Cassandra counts and this node does not is 0. */
function outboundRows(cluster: KnownCluster): PlainRow[] {
  const rows: PlainRow[] = []
  for (const { endpoint, lanes } of cluster.messages()?.peers ?? []) {
    const node = cluster.nodes().find((other) => other.endpoint === endpoint)
    if (!node) continue
    const all = Object.values(lanes)
    const sum = (count: (lane: (typeof all)[number]) => number): number =>
      all.reduce((total, lane) => total + count(lane), 0)
    const { address, port } = parseEndpoint(endpoint)
    const connected = sum((lane) => (lane.connected ? 1 : 0))
    rows.push({
      address,
      port,
      dc: node.datacenter,
      rack: node.rack,
      active_connections: connected,
      connection_attempts: connected,
      error_bytes: 0,
      error_count: 0,
      expired_bytes: 0,
      expired_count: sum((lane) => lane.dropped),
      overload_bytes: 0,
      overload_count: 0,
      pending_bytes: sum((lane) => lane.pendingBytes),
      pending_count: sum((lane) => lane.pending),
      sent_bytes: sum((lane) => lane.sentBytes),
      sent_count: sum((lane) => lane.sent),
      successful_connection_attempts: connected,
      using_bytes: sum((lane) => lane.pendingBytes),
      using_reserve_bytes: 0,
    })
  }
  return rows
}

function hintRows(cluster: KnownCluster, hints: HintedHandoff): PlainRow[] {
  const rows: PlainRow[] = []
  for (const { hostId, bytes, files, newestMs, oldestMs } of hints.counts().hosts) {
    if (bytes === 0) continue
    const node = cluster.topology().nodes.get(hostId)
    const where = node ? parseEndpoint(node.endpoint) : null
    rows.push({
      host_id: hostId,
      address: where?.address ?? null,
      port: where?.port ?? null,
      dc: node?.datacenter ?? 'Unknown',
      rack: node?.rack ?? 'Unknown',
      status: node === undefined ? 'Unknown' : cluster.isAlive(hostId) ? 'UP' : 'DOWN',
      files,
      newest: newestMs,
      oldest: oldestMs,
    })
  }
  return rows
}
