/** Where batches are kept until they are written, and changes of views until they are sent: tables of the node's storage that no CQL name reaches. */
import type { BatchTable } from '../../../cluster/coordinator/batch-store.ts'
import type { Store } from '../../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../../storage/table-options.ts'
import { uuidBytes } from '../../base/uuid.ts'
import type { Clock } from '../../runtime/runtime.ts'
import { systemTableId } from '../../schema/system-tables.ts'

/** Of other coordinators; of changes of views that other nodes are to get. */
export type BatchTableName = 'polyxena_batches' | 'polyxena_view_changes'

export async function openBatchTable(store: Store, clock: Clock, name: BatchTableName): Promise<BatchTable> {
  const id = systemTableId('system', name)
  await store.registerTable(id, {
    keyspace: 'system',
    name,
    durableWrites: true,
    hasClustering: false,
    options: { ...DEFAULT_TABLE_OPTIONS, gcGraceSeconds: 0 },
  })
  return {
    id,
    idBytes: uuidBytes(id),
    apply: (mutations) => store.apply(mutations),
    read: (command) => store.read(command),
    nowSeconds: () => Math.floor(clock.wallMicros() / 1e6),
  }
}
