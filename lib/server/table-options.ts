/**
 * A table's options as CREATE TABLE has them, in the words of storage. Everything was checked before (lib/schema/options.ts), so what cannot be
 * read here is a bug.
 */
import { describeStrategy, mapUnified } from '../../storage/compaction/unified.ts'
import {
  type CompactionOptions,
  type CompressionOptions,
  DEFAULT_LEVELED,
  DEFAULT_SIZE_TIERED,
  DEFAULT_TABLE_OPTIONS,
  DEFAULT_TIME_WINDOW,
  type SizeTieredOptions,
  type TableOptions as StoredOptions,
  type StrategyOptions,
  type TimeWindowOptions,
} from '../../storage/table-options.ts'
import { assert } from '../base/assert.ts'
import { parseHumanSize } from '../schema/human-size.ts'
import { javaParseDouble } from '../schema/java.ts'
import { maxSiblingsOf, resolutionOf } from '../schema/resolution.ts'
import type { TableOptions } from '../schema/table.ts'

type StringMap = ReadonlyMap<string, string>

const KIB = 1024
const MIB = 1024 * KIB
const SECOND_MS = 1000

export function storedOptions(options: TableOptions): StoredOptions {
  return {
    gcGraceSeconds: options.gcGraceSeconds,
    bloomFilterFpChance: options.bloomFilterFpChance || DEFAULT_TABLE_OPTIONS.bloomFilterFpChance,
    caching: {
      keys: options.caching.get('keys') !== 'NONE',
      rowsPerPartition: rowsPerPartition(options.caching.get('rows_per_partition') ?? 'NONE'),
    },
    compression: compressionOf(options.compression),
    compaction: compactionOf(options.compaction),
    memtableFlushPeriodMs: options.memtableFlushPeriodInMs,
    incrementalBackups: options.incrementalBackups ?? true,
    allowAutoSnapshot: options.allowAutoSnapshot ?? true,
    resolution: resolutionOf(options),
    maxSiblings: maxSiblingsOf(options),
  }
}

/** What the options ask for and something else is done; a sentence each, for the log. */
export function substitutes(options: TableOptions): string[] {
  const said: string[] = []
  const { strategy } = compactionOf(options.compaction)
  if (shortName(options.compaction.get('class')) === 'UnifiedCompactionStrategy')
    said.push(`UnifiedCompactionStrategy is carried out as ${describeStrategy(strategy)}`)
  const compressor = shortName(options.compression.get('class'))
  if (compressor !== '' && compressor !== 'LZ4Compressor' && compressor !== 'NoopCompressor')
    said.push(`LZ4 is used in place of ${compressor}`)
  return said
}

function rowsPerPartition(text: string): number {
  if (text === 'NONE') return 0
  return text === 'ALL' ? Number.POSITIVE_INFINITY : Number(text)
}

/** Cassandra's chunks are its unit of reading; ours, of whole rows and with an index entry each, serve best at a quarter: 4 KiB for the default 16. */
const BLOCKS_PER_CHUNK = 4
const BLOCK_BYTES_MIN = KIB
const BLOCK_BYTES_MAX = 256 * KIB

function compressionOf(compression: StringMap): CompressionOptions {
  const name = shortName(compression.get('class'))
  const chunkBytes = number(compression, 'chunk_length_in_kb', 16) * KIB
  const blockBytes = Math.min(Math.max(chunkBytes / BLOCKS_PER_CHUNK, BLOCK_BYTES_MIN), BLOCK_BYTES_MAX)
  return { enabled: name !== '' && name !== 'NoopCompressor', blockBytes }
}

/** Time-window tables have their tombstones expire with the data: they are rewritten for them only when one of these is given. */
const TOMBSTONE_OPTIONS = ['tombstone_threshold', 'tombstone_compaction_interval', 'unchecked_tombstone_compaction']

function compactionOf(compaction: StringMap): CompactionOptions {
  const otherwise = DEFAULT_TABLE_OPTIONS.compaction
  const strategy = strategyOf(compaction)
  const provide = compaction.get('provide_overlapping_tombstones')?.toLowerCase()
  return {
    strategy,
    enabled: flag(compaction, 'enabled', otherwise.enabled),
    tombstoneCompaction:
      strategy.kind !== 'time-window' || TOMBSTONE_OPTIONS.some((key) => (compaction.get(key) ?? 'false') !== 'false'),
    tombstoneThreshold: number(compaction, 'tombstone_threshold', otherwise.tombstoneThreshold),
    tombstoneCompactionIntervalS: number(
      compaction,
      'tombstone_compaction_interval',
      otherwise.tombstoneCompactionIntervalS,
    ),
    uncheckedTombstoneCompaction: flag(
      compaction,
      'unchecked_tombstone_compaction',
      otherwise.uncheckedTombstoneCompaction,
    ),
    onlyPurgeRepairedTombstones: flag(
      compaction,
      'only_purge_repaired_tombstones',
      otherwise.onlyPurgeRepairedTombstones,
    ),
    provideOverlappingTombstones: provide === 'row' || provide === 'cell' ? provide : 'none',
    logAll: flag(compaction, 'log_all', otherwise.logAll),
  }
}

function strategyOf(compaction: StringMap): StrategyOptions {
  const name = shortName(compaction.get('class'))
  switch (name) {
    case 'SizeTieredCompactionStrategy':
      return { kind: 'size-tiered', ...sizeTiered(compaction) }
    case 'LeveledCompactionStrategy': {
      const leveled = {
        sstableBytes: number(compaction, 'sstable_size_in_mb', DEFAULT_LEVELED.sstableBytes / MIB) * MIB,
        fanout: number(compaction, 'fanout_size', DEFAULT_LEVELED.fanout),
        singleUplevel: flag(compaction, 'single_sstable_uplevel', DEFAULT_LEVELED.singleUplevel),
      }
      return { kind: 'leveled', leveled, sizeTiered: sizeTiered(compaction) }
    }
    case 'TimeWindowCompactionStrategy':
      return { kind: 'time-window', window: timeWindow(compaction), sizeTiered: sizeTiered(compaction) }
    case 'FIFOCompactionStrategy':
      return fifo(compaction)
    default:
      assert(name === 'UnifiedCompactionStrategy', `compaction strategy ${name}`)
      return mapUnified({
        scalingParameters: compaction.get('scaling_parameters') ?? null,
        targetSSTableBytes: bytes(compaction, 'target_sstable_size'),
        maxSSTablesToCompact: number(compaction, 'max_sstables_to_compact', 0),
      })
  }
}

function sizeTiered(compaction: StringMap): SizeTieredOptions {
  const otherwise = DEFAULT_SIZE_TIERED
  return {
    minThreshold: number(compaction, 'min_threshold', otherwise.minThreshold),
    maxThreshold: number(compaction, 'max_threshold', otherwise.maxThreshold),
    minSSTableBytes: number(compaction, 'min_sstable_size', otherwise.minSSTableBytes),
    bucketLow: number(compaction, 'bucket_low', otherwise.bucketLow),
    bucketHigh: number(compaction, 'bucket_high', otherwise.bucketHigh),
  }
}

function fifo(compaction: StringMap): StrategyOptions {
  return {
    kind: 'fifo',
    tableBytesMax: bytes(compaction, 'max_table_size'),
    sstableBytes: bytes(compaction, 'max_sstable_size') ?? DEFAULT_LEVELED.sstableBytes,
    minThreshold: number(compaction, 'min_threshold', DEFAULT_SIZE_TIERED.minThreshold),
    maxThreshold: number(compaction, 'max_threshold', DEFAULT_SIZE_TIERED.maxThreshold),
    expiredCheckMs: expiredCheckMs(compaction),
  }
}

function expiredCheckMs(compaction: StringMap): number {
  const otherwise = DEFAULT_TIME_WINDOW.expiredCheckMs / SECOND_MS
  return number(compaction, 'expired_sstable_check_frequency_seconds', otherwise) * SECOND_MS
}

const WINDOW_MS: Readonly<Record<string, number>> = { MINUTES: 60_000, HOURS: 3_600_000, DAYS: 86_400_000 }
const UNIT_MICROS: Readonly<Record<string, number>> = {
  NANOSECONDS: 1e-3,
  MICROSECONDS: 1,
  MILLISECONDS: 1e3,
  SECONDS: 1e6,
}

function timeWindow(compaction: StringMap): TimeWindowOptions {
  const unit = WINDOW_MS[compaction.get('compaction_window_unit') ?? 'DAYS']!
  return {
    windowMs: unit * number(compaction, 'compaction_window_size', 1),
    timestampUnitMicros: UNIT_MICROS[compaction.get('timestamp_resolution') ?? 'MICROSECONDS']!,
    expiredCheckMs: expiredCheckMs(compaction),
  }
}

function shortName(className: string | undefined): string {
  return className === undefined ? '' : className.slice(className.lastIndexOf('.') + 1)
}

/** NaN passes the checks of some; here it is as if nothing was given. */
function number(options: StringMap, key: string, otherwise: number): number {
  const text = options.get(key)
  if (text === undefined) return otherwise
  const value = javaParseDouble(text)
  return value === null || Number.isNaN(value) ? otherwise : value
}

/** `100 MiB`, `0.5GiB`: null when it was not given. */
function bytes(options: StringMap, key: string): number | null {
  const text = options.get(key)
  const size = text === undefined ? null : parseHumanSize(text)
  return size === null || 'wrong' in size || Number.isNaN(size.bytes) ? null : Math.floor(size.bytes)
}

function flag(options: StringMap, key: string, otherwise: boolean): boolean {
  const text = options.get(key)
  return text === undefined ? otherwise : text.toLowerCase() === 'true'
}
