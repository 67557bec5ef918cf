/** What the settings mean to the rooms below, each in its own words. */
import { resolve } from 'node:path'
import type { StoreSettings } from '../../storage/store-words.ts'
import type { Settings } from '../config/settings.ts'
import type { CqlLimits } from '../cql/statement.ts'

export function storeSettings(settings: Settings): StoreSettings {
  const {
    commitlog_directory: log,
    commitlog_archiving_directory: archive,
    data_disk_usage_percentage_fail_threshold: usedPercent,
  } = settings
  return {
    memtableBytesMax: settings.memtable_offheap_space,
    incrementalBackups: settings.incremental_backups,
    blockCacheBytes: settings.file_cache_size,
    indexCacheBytes: settings.key_cache_size,
    rowCacheBytes: settings.row_cache_size,
    compaction: {
      concurrent: settings.concurrent_compactors,
      bytesPerSecond: settings.compaction_throughput,
      automatic: settings.autocompaction_on_startup_enabled,
    },
    commitLog: {
      mode: settings.commitlog_sync,
      syncPeriodMs: settings.commitlog_sync_period,
      groupWindowMs: settings.commitlog_sync_group_window,
      segmentBytes: settings.commitlog_segment_size,
      totalBytes: settings.commitlog_total_space,
      archiveDirectory: archive === null ? null : resolve(archive),
    },
    diskSpace: {
      usedPercentMax: usedPercent < 0 ? null : usedPercent,
      ballastBytes: settings.ballast_size,
    },
    ...(log === null ? {} : { commitLogDirectory: resolve(log) }),
  }
}

export function cqlLimits(settings: Settings): CqlLimits {
  return {
    batchSizeWarnBytes: settings.batch_size_warn_threshold,
    batchSizeFailBytes: settings.batch_size_fail_threshold,
    unloggedBatchAcrossPartitionsWarn: settings.unlogged_batch_across_partitions_warn_threshold,
    tombstoneWarnThreshold: settings.tombstone_warn_threshold,
    tombstoneFailureThreshold: settings.tombstone_failure_threshold,
    pageBytesMax: settings.page_size_bytes,
    unpagedBytesMax: settings.unpaged_size_bytes,
    inProductMax: settings.in_select_cartesian_product_fail_threshold,
    viewsEnabled: settings.materialized_views_enabled,
    compactTablesEnabled: settings.compact_tables_enabled,
  }
}
