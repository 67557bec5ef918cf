/** The keyspaces whose data belongs to the ring and goes where it goes. */
import type { StreamedKeyspaces } from '../../../cluster/streaming/plan.ts'
import type { Schema } from '../../schema/keyspace.ts'
import { LOCAL_STRATEGY } from '../../schema/replication.ts'
import { isSystemKeyspace } from '../../schema/system-tables.ts'
import { replicationOf } from '../replication.ts'

/** Those with equal replication together. The system's own hold no change up: what is in them (traces) was promised to nobody. */
export function streamedKeyspaces(schema: Schema): StreamedKeyspaces[] {
  const equal = new Map<string, StreamedKeyspaces & { readonly names: string[] }>()
  for (const keyspace of schema.keyspaces.values()) {
    if (keyspace.isVirtual || keyspace.replication.get('class') === LOCAL_STRATEGY || keyspace.tables.size === 0)
      continue
    const replication = replicationOf(keyspace)
    if (replication === null) continue
    const isOptional = isSystemKeyspace(keyspace.name)
    const key = JSON.stringify([isOptional, ...[...keyspace.replication].sort()])
    const group = equal.get(key) ?? { names: [], replication, isOptional }
    equal.set(key, group)
    group.names.push(keyspace.name)
  }
  return [...equal.values()]
}
