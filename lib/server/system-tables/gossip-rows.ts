/** system_views.gossip_info: what each node said of itself, with the versions of what it said. Source: Cassandra 5.0.6's GossipInfoTable. */
import { parseEndpoint } from '../../../cluster/internode/endpoint.ts'
import type { KnownCluster } from '../cluster/known-cluster.ts'
import type { PlainRow } from './plain-values.ts'

/** Columns of the table that nodes fill; of tokens only the version is shown. */
const SHOWN: ReadonlySet<string> = new Set([
  'STATUS_WITH_PORT',
  'LOAD',
  'SCHEMA',
  'DC',
  'RACK',
  'RELEASE_VERSION',
  'INTERNAL_ADDRESS_AND_PORT',
  'NATIVE_ADDRESS_AND_PORT',
  'HOST_ID',
  'NET_VERSION',
  'RPC_READY',
  'SSTABLE_VERSIONS',
  'INDEX_STATUS',
  'SEVERITY',
  'DISK_USAGE',
])

/** Null: it is another table. */
export function gossipRows(table: string, cluster: KnownCluster): PlainRow[] | null {
  if (table !== 'gossip_info') return null
  const rows: PlainRow[] = []
  for (const { generation, heartbeat, values } of cluster.states()) {
    const endpoint = values.get('INTERNAL_ADDRESS_AND_PORT')?.value
    if (endpoint === undefined) continue
    const { address, port } = parseEndpoint(endpoint)
    const row: Record<string, PlainRow[string]> = { address, port, generation, heartbeat, hostname: address }
    for (const [key, { value, version }] of values) {
      if (!SHOWN.has(key)) continue
      row[key.toLowerCase()] = value
      row[`${key.toLowerCase()}_version`] = version
    }
    rows.push(row as PlainRow)
  }
  return rows
}
