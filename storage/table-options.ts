/**
 * What a table asks of storage, in storage's own words: plain data that a worker thread can be handed.
 * Source: the options of CREATE TABLE in Cassandra 5.0, with its defaults; lib/server/table-options.ts makes them of a schema's.
 * Always: options never change; an ALTER registers new ones, and whoever begins something (a flush, a compaction, a read) asks for those of then.
 */
import type { TableWriterOptions } from './sstable/writer.ts'

export interface TableOptions {
  /** Seconds for which a tombstone, or a cell that expired, is kept, and counts as one in reads. */
  readonly gcGraceSeconds: number
  /** Share of look-ups of absent partitions that a filter lets pass; 1: no filter. */
  readonly bloomFilterFpChance: number
  readonly caching: CachingOptions
  readonly compression: CompressionOptions
  readonly compaction: CompactionOptions
  /** A memtable with data is flushed at least so often; 0: only for its size. */
  readonly memtableFlushPeriodMs: number
  /** False: no hard links of its new SSTables although the node makes incremental backups. */
  readonly incrementalBackups: boolean
  /** False: no snapshot before a truncation or drop although the node takes them. */
  readonly allowAutoSnapshot: boolean
  /** By which law versions of its rows merge: by timestamps, or all that no later one has seen are kept. */
  readonly resolution: 'lww' | 'vclock'
  /** Versions of a row that a write may leave beside each other. */
  readonly maxSiblings: number
}

export interface CachingOptions {
  /** Where the partitions lie in SSTables is remembered. */
  readonly keys: boolean
  /** Rows at the head of each partition that the row cache may keep: 0 none, Infinity all. */
  readonly rowsPerPartition: number
}

export interface CompressionOptions {
  /** LZ4; false: blocks are kept as they are. */
  readonly enabled: boolean
  /** Raw bytes of a data block: what one look-up reads and unpacks. */
  readonly blockBytes: number
}

/** Which SSTables are merged, and when. */
export interface CompactionOptions {
  readonly strategy: StrategyOptions
  /** False: nothing is merged by itself. */
  readonly enabled: boolean
  /** Single SSTables are rewritten for the tombstones in them: */
  readonly tombstoneCompaction: boolean
  /** when this share of the cells is droppable, */
  readonly tombstoneThreshold: number
  /** and the SSTable is at least so old, in seconds, */
  readonly tombstoneCompactionIntervalS: number
  /** and, unless true, little of it is overlapped by others. */
  readonly uncheckedTombstoneCompaction: boolean
  /** Tombstones that were not repaired stay, however old they are. */
  readonly onlyPurgeRepairedTombstones: boolean
  /** Deletions in SSTables outside a compaction are looked at too, to drop what they cover: none, those of partitions and rows, of cells too. */
  readonly provideOverlappingTombstones: 'none' | 'row' | 'cell'
  /** Each decision is logged. */
  readonly logAll: boolean
}

export type StrategyOptions =
  | ({ readonly kind: 'size-tiered' } & SizeTieredOptions)
  | { readonly kind: 'leveled'; readonly leveled: LeveledOptions; readonly sizeTiered: SizeTieredOptions }
  | { readonly kind: 'time-window'; readonly window: TimeWindowOptions; readonly sizeTiered: SizeTieredOptions }
  | ({ readonly kind: 'fifo' } & FifoOptions)

export interface SizeTieredOptions {
  /** SSTables of like size that are merged at once: at least, at most. */
  readonly minThreshold: number
  readonly maxThreshold: number
  /** Below this all sizes are alike, in bytes. */
  readonly minSSTableBytes: number
  /** Sizes are alike between these multiples of their average. */
  readonly bucketLow: number
  readonly bucketHigh: number
}

export interface LeveledOptions {
  readonly sstableBytes: number
  /** Each level holds so many times the bytes of the one above. */
  readonly fanout: number
  /** An SSTable that overlaps nothing in the next level goes there without being rewritten. */
  readonly singleUplevel: boolean
}

export interface TimeWindowOptions {
  readonly windowMs: number
  /** µs in one unit of the clients' timestamps: 1 unless they give others by USING TIMESTAMP. May be a fraction. */
  readonly timestampUnitMicros: number
  /** Time between two searches for SSTables of which everything expired. */
  readonly expiredCheckMs: number
}

export interface FifoOptions {
  /** Beyond this the SSTables with the oldest data are dropped, whatever they hold; null: only what expired is. */
  readonly tableBytesMax: number | null
  /** SSTables below this are merged with their neighbours in time, so that small flushes do not add up. 0: never. */
  readonly sstableBytes: number
  readonly minThreshold: number
  readonly maxThreshold: number
  readonly expiredCheckMs: number
}

const MIB = 1024 * 1024

export const DEFAULT_SIZE_TIERED: SizeTieredOptions = {
  minThreshold: 4,
  maxThreshold: 32,
  minSSTableBytes: 50 * MIB,
  bucketLow: 0.5,
  bucketHigh: 1.5,
}

export const DEFAULT_LEVELED: LeveledOptions = { sstableBytes: 160 * MIB, fanout: 10, singleUplevel: true }

export const DEFAULT_TIME_WINDOW: TimeWindowOptions = {
  windowMs: 86_400_000,
  timestampUnitMicros: 1,
  expiredCheckMs: 600_000,
}

export const DEFAULT_TABLE_OPTIONS: TableOptions = {
  gcGraceSeconds: 864_000,
  bloomFilterFpChance: 0.01,
  caching: { keys: true, rowsPerPartition: 0 },
  compression: { enabled: true, blockBytes: 4 * 1024 },
  compaction: {
    strategy: { kind: 'size-tiered', ...DEFAULT_SIZE_TIERED },
    enabled: true,
    tombstoneCompaction: true,
    tombstoneThreshold: 0.2,
    tombstoneCompactionIntervalS: 86_400,
    uncheckedTombstoneCompaction: false,
    onlyPurgeRepairedTombstones: false,
    provideOverlappingTombstones: 'none',
    logAll: false,
  },
  memtableFlushPeriodMs: 0,
  incrementalBackups: true,
  allowAutoSnapshot: true,
  resolution: 'lww',
  maxSiblings: 100,
}

/** How an SSTable of the table is written. */
export function writerOptions(
  options: TableOptions,
): Required<Pick<TableWriterOptions, 'falsePositiveChance' | 'compressed' | 'blockBytes'>> {
  return {
    falsePositiveChance: options.bloomFilterFpChance,
    compressed: options.compression.enabled,
    blockBytes: options.compression.blockBytes,
  }
}
