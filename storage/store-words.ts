/** What a store is given when it opens, and what it tells of itself. */
import type { CacheReport } from './cache-report.ts'
import type { CommitLogOptions } from './commitlog/writer.ts'
import type { CompactionSettings } from './compaction/manager.ts'
import type { DamageSettings } from './damaged-files.ts'
import type { DiskSpaceSettings } from './disk-space.ts'
import type { TableStatistics } from './sstable/statistics.ts'
import type { SnapshotSettings } from './table-snapshots.ts'

export interface StoreSettings {
  /** Memory of all memtables, in bytes: from two fifths of it on the largest is flushed, and writers slow down when flushes fall behind. Default 256 MiB. */
  readonly memtableBytesMax?: number
  /** Memory of the blocks of SSTables that are kept, in bytes. Default 32 MiB. */
  readonly blockCacheBytes?: number
  /** Memory of the index blocks of SSTables that are kept apart from those of data, in bytes. Default 32 MiB. */
  readonly indexCacheBytes?: number
  /** SSTables that are open at the same time; others are opened again when they are read. Default 1000. */
  readonly openFilesMax?: number
  /** Memory of the heads of partitions that are kept, of tables whose option asks for it. Default 0: none are. */
  readonly rowCacheBytes?: number
  /** Default: `commitlog` in the directory. A disk of its own keeps syncs from waiting for flushes. */
  readonly commitLogDirectory?: string
  /** Default: mode group. */
  readonly commitLog?: Pick<
    CommitLogOptions,
    'mode' | 'syncPeriodMs' | 'groupWindowMs' | 'segmentBytes' | 'totalBytes' | 'archiveDirectory'
  >
  readonly diskSpace?: DiskSpaceSettings
  readonly damage?: DamageSettings
  /** Default: none before a truncation or drop. */
  readonly snapshots?: SnapshotSettings
  /** Hard-link each SSTable that new data comes in by into backups/. Default false. */
  readonly incrementalBackups?: boolean
  readonly compaction?: CompactionSettings
  /** Called once, when nothing can be acknowledged any more. */
  readonly onFailure?: (error: Error) => void
}

export interface FileDescription {
  readonly path: string
  readonly number: number
  readonly level: number
  readonly repairedAtMs: number
  readonly fileBytes: number
  readonly statistics: TableStatistics
}

/** Blocks of SSTables, blocks of their indexes, heads of partitions. */
export type CacheName = 'blocks' | 'keys' | 'rows'

/** `segment` and `offset` in the commit log; 0 where there is none. `atMs` since 1970. */
export interface Truncation {
  readonly segment: number
  readonly offset: number
  readonly atMs: number
}

export interface StoreStatistics {
  readonly tables: number
  readonly memtableBytes: number
  readonly files: number
  readonly fileBytes: number
  readonly commitLogBytes: number
  readonly commitLogPendingBytes: number
  readonly caches: readonly CacheReport[]
  readonly writes: number
  readonly reads: number
  readonly flushes: number
  /** Writes that waited because flushes or compactions were behind. */
  readonly stalls: number
}
