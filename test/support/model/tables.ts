/** The plan's tables: each as the store knows it, with the judge of its answers and what is certain of it. */
import { uuidBytes } from '../../../lib/base/uuid.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../../storage/table-options.ts'
import type { StoredTable } from '../../../storage/table-store.ts'
import { Judge, type PartitionHistory } from './judge.ts'
import { COMPACTIONS, OPTION_SETS } from './options.ts'
import { type Plan, VERSIONS_TABLE } from './plan.ts'
import { VersionsJudge } from './versions.ts'

/** One table as it is now: re-created, it gets another id. */
export interface Table {
  readonly id: string
  readonly idBytes: Buffer
  stored: StoredTable
  readonly judge: Judge
  /** Of a table that keeps versions; null: it keeps none. */
  readonly versions: VersionsJudge | null
  /** Compactions begin by themselves. */
  automatic: boolean
  /** Of those that somebody asked for, how many are not done. */
  asked: number
  /** The last write that certainly survives. */
  sure: number
  /** The last one taken: its folder, and what it has. */
  snapshot: {
    readonly folder: string
    readonly has: ReadonlyMap<number, PartitionHistory>
    readonly versions: ReturnType<VersionsJudge['snapshot']> | null
  } | null
}

export function makeTable({ shape, options }: Plan, index: number, id: string): Table {
  const { gcGraceSeconds, compaction: chosen } = shape
  const compaction = COMPACTIONS[chosen]!
  return {
    id,
    idBytes: uuidBytes(id),
    stored: {
      keyspace: 'k',
      name: `t${index}`,
      durableWrites: index !== 2,
      hasClustering: index !== 1,
      shape: '{}',
      options: {
        ...DEFAULT_TABLE_OPTIONS,
        ...OPTION_SETS[options]!.table,
        compaction,
        gcGraceSeconds,
        ...(index === VERSIONS_TABLE && { resolution: 'vclock' as const }),
      },
    },
    judge: new Judge(),
    versions: index === VERSIONS_TABLE ? new VersionsJudge() : null,
    automatic: compaction.enabled,
    asked: 0,
    sure: 0,
    snapshot: null,
  }
}
