/** Where batches of other coordinators are kept until they are written: a table of the node's storage that no CQL name reaches. */
import type { BatchTable } from '../../../cluster/coordinator/batch-store.ts'
import type { Store } from '../../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../../storage/table-options.ts'
import { uuidBytes } from '../../base/uuid.ts'
import type { Clock } from '../../runtime/runtime.ts'
import { systemTableId } from '../../schema/system-tables.ts'

export const BATCHES_ID = systemTableId('system', 'polyxena_batches')

export async function openBatchTable(store: Store, clock: Clock): Promise<BatchTable> {
  await store.registerTable(BATCHES_ID, {
    keyspace: 'system',
    name: 'polyxena_batches',
    durableWrites: true,
    hasClustering: false,
    options: { ...DEFAULT_TABLE_OPTIONS, gcGraceSeconds: 0 },
  })
  return {
    id: BATCHES_ID,
    idBytes: uuidBytes(BATCHES_ID),
    apply: (mutations) => store.apply(mutations),
    read: (command) => store.read(command),
    nowSeconds: () => Math.floor(clock.wallMicros() / 1e6),
  }
}
