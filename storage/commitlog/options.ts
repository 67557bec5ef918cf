/** What a commit log can be told, and what it tells of its start. */
import type { StorageError } from '../errors.ts'

export interface CommitLogOptions {
  /**
   * `group`: acknowledged when synced, all that arrived during the last sync share the next. `batch`: likewise, but the first write of a group does
   * not wait for the others of its tick. `periodic`: acknowledged at once, synced every `syncPeriodMs`; a power loss takes that much.
   */
  readonly mode: 'group' | 'batch' | 'periodic'
  /** commitlog_sync_period, only for `periodic`. Default 10 s, as Cassandra. */
  readonly syncPeriodMs?: number
  /** commitlog_sync_group_window, only for `group`: so long a sync waits for company, in ms. Default 0: only while the last one runs. */
  readonly groupWindowMs?: number
  /** commitlog_segment_size. Default 32 MiB, as Cassandra; half of it is the largest record. */
  readonly segmentBytes?: number
  /** commitlog_total_space. Default 8 GiB, as Cassandra. Beyond it the tables of the oldest segments are asked to flush. */
  readonly totalBytes?: number
  /** No segment gets an id below it: one above all ids that any flushed position of the manifest names. */
  readonly segmentIdMin?: number
  /**
   * So long after the last sync, in ms, if nothing was written since, a mark says that it was synced: damage to what was acknowledged is then told from
   * a torn tail. Default 10; 0: no such marks. Costs one sync for each pause of the writers.
   */
  readonly idleMarkMs?: number
  /** Finished segments are linked or copied into this directory before they may be deleted. Default: nowhere. */
  readonly archiveDirectory?: string | null
  /** Called when the log takes more than `totalBytes`: flushing these tables frees its oldest segments. */
  readonly requestFlush?: (tables: readonly string[]) => void
  /** Called once, when the log dies. */
  readonly onFailure?: (error: StorageError) => void
}

/** What replay found, for the log's one line at start. */
export interface ReplaySummary {
  readonly segments: number
  readonly records: number
  /** Bytes at the end that no sync had reached. */
  readonly tornBytes: number
  /** The last run closed the log. */
  readonly clean: boolean
}
