/** CREATE TABLE's options in the words of storage. */
import t from 'tap'
import { DEFAULT_TABLE_OPTIONS as DEFAULTS } from '../../lib/schema/options.ts'
import { storedOptions, substitutes } from '../../lib/server/table-options.ts'
import { DEFAULT_SIZE_TIERED, DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'

const PACKAGE = 'org.apache.cassandra.db.compaction.'
const MIB = 1024 * 1024

function compaction(name: string, options: Record<string, string> = {}) {
  return storedOptions({ ...DEFAULTS, compaction: new Map(Object.entries({ class: PACKAGE + name, ...options })) })
    .compaction
}

function compression(options: Record<string, string>) {
  return storedOptions({ ...DEFAULTS, compression: new Map(Object.entries(options)) }).compression
}

t.test('the defaults of both are the same', async (t) => {
  t.same(storedOptions(DEFAULTS), DEFAULT_TABLE_OPTIONS)
})

t.test('compaction', async (t) => {
  t.match(compaction('SizeTieredCompactionStrategy', { min_threshold: '2', max_threshold: '9', enabled: 'False' }), {
    enabled: false,
    strategy: { kind: 'size-tiered', minThreshold: 2, maxThreshold: 9 },
  })
  const sizes = { min_sstable_size: '1000', bucket_low: '0.25d', bucket_high: ' 2 ' }
  t.match(compaction('SizeTieredCompactionStrategy', sizes).strategy, {
    minSSTableBytes: 1000,
    bucketLow: 0.25,
    bucketHigh: 2,
  })
  const common = {
    tombstone_threshold: '0.5',
    tombstone_compaction_interval: '7',
    unchecked_tombstone_compaction: 'true',
    only_purge_repaired_tombstones: 'true',
    provide_overlapping_tombstones: 'CELL',
    log_all: 'TRUE',
  }
  t.match(compaction('LeveledCompactionStrategy', common), {
    strategy: { kind: 'leveled', leveled: { sstableBytes: 160 * MIB, fanout: 10, singleUplevel: true } },
    tombstoneThreshold: 0.5,
    tombstoneCompactionIntervalS: 7,
    uncheckedTombstoneCompaction: true,
    onlyPurgeRepairedTombstones: true,
    provideOverlappingTombstones: 'cell',
    logAll: true,
  })
  const levels = { sstable_size_in_mb: '5', fanout_size: '4', single_sstable_uplevel: 'false' }
  t.match(compaction('LeveledCompactionStrategy', levels).strategy, {
    leveled: { sstableBytes: 5 * MIB, fanout: 4, singleUplevel: false },
    sizeTiered: DEFAULT_SIZE_TIERED,
  })
  t.match(compaction('TimeWindowCompactionStrategy').strategy, {
    window: { windowMs: 86_400_000, timestampUnitMicros: 1, expiredCheckMs: 600_000 },
  })
  const window = {
    compaction_window_unit: 'MINUTES',
    compaction_window_size: '30',
    timestamp_resolution: 'MILLISECONDS',
    expired_sstable_check_frequency_seconds: '1',
  }
  t.match(compaction('TimeWindowCompactionStrategy', window).strategy, {
    window: { windowMs: 1_800_000, timestampUnitMicros: 1000, expiredCheckMs: 1000 },
  })
  t.match(compaction('TimeWindowCompactionStrategy'), { tombstoneCompaction: false })
  t.match(compaction('TimeWindowCompactionStrategy', { tombstone_threshold: '0.9' }), { tombstoneCompaction: true })
  const fifo = { max_table_size: '1GiB', max_sstable_size: '10 MiB', expired_sstable_check_frequency_seconds: '5' }
  t.same(compaction('FIFOCompactionStrategy', fifo).strategy, {
    kind: 'fifo',
    tableBytesMax: 1024 * MIB,
    sstableBytes: 10 * MIB,
    minThreshold: 4,
    maxThreshold: 32,
    expiredCheckMs: 5000,
  })
  t.match(compaction('FIFOCompactionStrategy').strategy, { tableBytesMax: null, sstableBytes: 160 * MIB })
  t.match(compaction('SizeTieredCompactionStrategy', { tombstone_threshold: '0x1p-1' }), { tombstoneThreshold: 0.5 })
  t.match(compaction('SizeTieredCompactionStrategy', { tombstone_threshold: 'NaN' }), { tombstoneThreshold: 0.2 })
})

t.test('UnifiedCompactionStrategy is carried out by the nearest', async (t) => {
  const unified = (options: Record<string, string>) => compaction('UnifiedCompactionStrategy', options).strategy
  t.match(unified({}), { kind: 'size-tiered', minThreshold: 4, maxThreshold: 32 })
  t.match(unified({ scaling_parameters: 'T8' }), { kind: 'size-tiered', minThreshold: 8 })
  t.match(unified({ scaling_parameters: 'N' }), { kind: 'size-tiered', minThreshold: 2 })
  t.match(unified({ scaling_parameters: '3' }), { kind: 'size-tiered', minThreshold: 5 })
  t.match(unified({ scaling_parameters: '-8' }), { kind: 'leveled', leveled: { fanout: 10 } })
  t.match(unified({ scaling_parameters: 'L10' }), { kind: 'leveled', leveled: { fanout: 10, sstableBytes: 160 * MIB } })
  t.match(unified({ scaling_parameters: 'T4, L8', target_sstable_size: '0.5GiB' }), {
    kind: 'leveled',
    leveled: { fanout: 8, sstableBytes: 512 * MIB },
  })
  t.match(unified({ scaling_parameters: 'L8 , T6,' }), { kind: 'size-tiered', minThreshold: 6 })
  t.match(unified({ scaling_parameters: ',' }), { kind: 'size-tiered', minThreshold: 4 })
  t.match(unified({ scaling_parameters: 'T40', max_sstables_to_compact: '64' }), { minThreshold: 40, maxThreshold: 64 })
})

t.test('compression and caching', async (t) => {
  const name = 'org.apache.cassandra.io.compress.'
  t.same(compression({ enabled: 'false' }), { enabled: false, blockBytes: 4096 })
  t.same(compression({ class: `${name}NoopCompressor` }), { enabled: false, blockBytes: 4096 })
  t.same(compression({ class: `${name}ZstdCompressor`, chunk_length_in_kb: '64' }), {
    enabled: true,
    blockBytes: 16384,
  })
  t.same(compression({ class: `${name}LZ4Compressor`, chunk_length_in_kb: '1' }), { enabled: true, blockBytes: 1024 })
  t.match(compression({ class: `${name}LZ4Compressor`, chunk_length_in_kb: '1048576' }), { blockBytes: 256 * 1024 })
  const caching = (rows: string, keys = 'ALL') =>
    storedOptions({
      ...DEFAULTS,
      caching: new Map([
        ['keys', keys],
        ['rows_per_partition', rows],
      ]),
    }).caching
  t.same(caching('NONE'), { keys: true, rowsPerPartition: 0 })
  t.same(caching('ALL', 'NONE'), { keys: false, rowsPerPartition: Infinity })
  t.same(caching('120'), { keys: true, rowsPerPartition: 120 })
})

t.test('what is done in place of what was asked for is said', async (t) => {
  t.same(substitutes(DEFAULTS), [])
  const compaction = new Map([['class', `${PACKAGE}UnifiedCompactionStrategy`]])
  const compression = new Map([['class', 'org.apache.cassandra.io.compress.ZstdCompressor']])
  t.same(substitutes({ ...DEFAULTS, compaction, compression }), [
    'UnifiedCompactionStrategy is carried out as size-tiered with min_threshold 4',
    'LZ4 is used in place of ZstdCompressor',
  ])
})
