/** The cluster as DDL and DESCRIBE ask for it. */
import { type Placement, Placements } from '../../../cluster/ring/placement.ts'
import { datacenterSizes } from '../../../cluster/ring/topology.ts'
import type { ClusterView } from '../../cql/statement.ts'
import type { Identity } from '../identity.ts'
import type { MetadataLog } from '../metadata-log.ts'
import { replicationOf } from '../replication.ts'

export function clusterView(metadata: MetadataLog, { clusterName }: Identity): ClusterView {
  const placements = new Placements()
  const placementOf = (name: string): Placement | null => {
    const { schema, topology } = metadata.state
    const replication = replicationOf(schema.keyspaces.get(name) ?? null)
    return replication === null ? null : placements.of(replication, topology)
  }
  return {
    clusterName,
    datacenters: () => datacenterSizes(metadata.state.topology),
    rangeOwnership(keyspace) {
      const owners = new Map<string, readonly string[]>()
      for (const { token, replicas } of placementOf(keyspace)?.tokenRanges() ?? [])
        owners.set(
          String(token),
          replicas.natural.map(({ endpoint }) => `/${endpoint}`),
        )
      return owners
    },
  }
}
