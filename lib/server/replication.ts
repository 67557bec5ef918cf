/** A keyspace's replication map, as the coordinator counts replicas. */
import type { Replication } from '../../cluster/coordinator/levels.ts'
import type { KeyspaceSchema } from '../schema/keyspace.ts'
import { LOCAL_STRATEGY, NETWORK_TOPOLOGY_STRATEGY } from '../schema/replication.ts'

/** Null for no keyspace, and for one whose data is the node's own: levels are then as with one replica. */
export function replicationOf(keyspace: KeyspaceSchema | null): Replication | null {
  if (keyspace === null) return null
  const strategy = keyspace.replication.get('class') ?? LOCAL_STRATEGY
  if (strategy === NETWORK_TOPOLOGY_STRATEGY) {
    const datacenters = new Map<string, number>()
    for (const [name, count] of keyspace.replication) if (name !== 'class') datacenters.set(name, replicas(count))
    let factor = 0
    for (const count of datacenters.values()) factor += count
    return { strategy, factor, datacenters }
  }
  const factor =
    keyspace.isVirtual || strategy === LOCAL_STRATEGY
      ? 1
      : replicas(keyspace.replication.get('replication_factor') ?? '1')
  return { strategy, factor, datacenters: null }
}

/** `3`, or `3/1` with transient ones. */
function replicas(text: string): number {
  return Number.parseInt(text, 10)
}
