/** The ways to run a store that must give the same answers: each seed of the model check takes one. */
import type { StoreSettings } from '../../../storage/store-words.ts'
import {
  type CompactionOptions,
  DEFAULT_SIZE_TIERED,
  DEFAULT_TABLE_OPTIONS,
  DEFAULT_TIME_WINDOW,
  type SizeTieredOptions,
  type TableOptions,
} from '../../../storage/table-options.ts'

export interface OptionSet {
  readonly name: string
  readonly settings: StoreSettings
  readonly table: Partial<TableOptions>
}

type LogOptions = NonNullable<StoreSettings['commitLog']>

const KIB = 1024
const MIB = 1024 * KIB

interface Memory {
  readonly memtable: number
  readonly cache: number
}

function set(
  name: string,
  { memtable, cache }: Memory,
  commitLog: LogOptions,
  table: Partial<TableOptions> = {},
): OptionSet {
  return { name, settings: { memtableBytesMax: memtable, blockCacheBytes: cache, commitLog }, table }
}

const IN_MEMORY: Memory = { memtable: 64 * MIB, cache: MIB }
const SMALL: Memory = { memtable: 64 * KIB, cache: 16 * KIB }
const TINY: Memory = { memtable: 16 * KIB, cache: 0 }
const GROUP: LogOptions = { mode: 'group', segmentBytes: 64 * KIB }
const GROUP_SMALL: LogOptions = { mode: 'group', segmentBytes: 16 * KIB }
const BATCH: LogOptions = { mode: 'batch', segmentBytes: 16 * KIB }
/** A log of so many bytes asks for flushes by itself. */
const SHORT: LogOptions = { ...GROUP_SMALL, totalBytes: 128 * KIB }
const periodic = (syncPeriodMs: number): LogOptions => ({ mode: 'periodic', segmentBytes: 16 * KIB, syncPeriodMs })

const blocks = (blockBytes: number, enabled = true): Partial<TableOptions> => ({ compression: { enabled, blockBytes } })
const filter = (bloomFilterFpChance: number): Partial<TableOptions> => ({ bloomFilterFpChance })
const caching = (keys: boolean, rowsPerPartition: number): Partial<TableOptions> => ({
  caching: { keys, rowsPerPartition },
})

export const OPTION_SETS: readonly OptionSet[] = [
  set('all in memory until asked', IN_MEMORY, GROUP),
  set('flushes all the time', { ...TINY, cache: MIB }, GROUP),
  set('flushes all the time, no cache', TINY, GROUP_SMALL),
  set('flushes often', SMALL, GROUP_SMALL),
  set('batch', { memtable: MIB, cache: MIB }, BATCH),
  set('batch, flushes often', SMALL, BATCH),
  set('periodic', IN_MEMORY, periodic(1_000)),
  set('periodic, flushes often', SMALL, periodic(100)),
  set('short log', IN_MEMORY, SHORT),
  set('short log, no cache', { memtable: MIB, cache: 0 }, SHORT),
  set('blocks of one row', SMALL, GROUP, blocks(1)),
  set('blocks of 512 bytes, not compressed', SMALL, GROUP, blocks(512, false)),
  set('blocks of 64 KiB, no cache', TINY, GROUP, blocks(64 * KIB)),
  set('no filter', SMALL, GROUP, filter(1)),
  set('a filter that lets half pass', TINY, GROUP, { ...filter(0.5), ...blocks(256) }),
  set('whole partitions in the row cache', SMALL, GROUP_SMALL, caching(true, Number.POSITIVE_INFINITY)),
  set('two rows of a partition in the row cache', TINY, GROUP, caching(true, 2)),
  set('one row of a partition in the row cache, no keys', SMALL, BATCH, caching(false, 1)),
  set('flushes all the time, batch, small blocks', TINY, BATCH, blocks(256)),
  set('flushes by time', IN_MEMORY, GROUP, { memtableFlushPeriodMs: 500, ...blocks(1_024) }),
]

function compaction(strategy: CompactionOptions['strategy'], more: Partial<CompactionOptions> = {}): CompactionOptions {
  return { ...DEFAULT_TABLE_OPTIONS.compaction, strategy, ...more }
}

/** Merges as soon as there are two, whatever their sizes. */
const EAGER: SizeTieredOptions = { ...DEFAULT_SIZE_TIERED, minThreshold: 2, maxThreshold: 4 }
const SIZES: SizeTieredOptions = { ...DEFAULT_SIZE_TIERED, minThreshold: 2, minSSTableBytes: 1 }
/** Single SSTables are rewritten for next to no tombstones. */
const TOMBSTONES: Partial<CompactionOptions> = {
  tombstoneThreshold: 0.01,
  tombstoneCompactionIntervalS: 0,
  uncheckedTombstoneCompaction: true,
}
const leveled = (sstableBytes: number, fanout: number): CompactionOptions['strategy'] => ({
  kind: 'leveled',
  leveled: { sstableBytes, fanout, singleUplevel: true },
  sizeTiered: EAGER,
})
const window = (windowMs: number): CompactionOptions['strategy'] => ({
  kind: 'time-window',
  window: { ...DEFAULT_TIME_WINDOW, windowMs, expiredCheckMs: 1_000 },
  sizeTiered: EAGER,
})

/** How tables are compacted: each is made with one, and altered to others. */
export const COMPACTIONS: readonly CompactionOptions[] = [
  DEFAULT_TABLE_OPTIONS.compaction,
  compaction({ kind: 'size-tiered', ...EAGER }),
  compaction({ kind: 'size-tiered', ...SIZES }),
  compaction({ kind: 'size-tiered', ...EAGER }, TOMBSTONES),
  compaction({ kind: 'size-tiered', ...EAGER }, { provideOverlappingTombstones: 'row', ...TOMBSTONES }),
  compaction({ kind: 'size-tiered', ...DEFAULT_SIZE_TIERED }, { provideOverlappingTombstones: 'cell', ...TOMBSTONES }),
  compaction({ kind: 'size-tiered', ...EAGER }, { enabled: false }),
  compaction(leveled(4 * KIB, 2)),
  compaction(leveled(1 * KIB, 3), TOMBSTONES),
  compaction(leveled(64 * KIB, 10), { provideOverlappingTombstones: 'cell' }),
  compaction(window(60_000)),
  compaction(window(1), TOMBSTONES),
  compaction({
    kind: 'fifo',
    tableBytesMax: null,
    sstableBytes: 16 * KIB,
    minThreshold: 2,
    maxThreshold: 4,
    expiredCheckMs: 1_000,
  }),
]
