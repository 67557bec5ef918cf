/** SSTables as strategies see them, for tests. */
import { NEVER_DROPPED, NO_MEMORY, type Snapshot, type SSTableInfo } from '../../storage/compaction/strategy.ts'
import { type CompactionOptions, DEFAULT_TABLE_OPTIONS, type TableOptions } from '../../storage/table-options.ts'

export const MIB = 1024 * 1024
export const NOW_MS = 1_700_000_000_000

/** `range`: first and last token, as numbers up to 1000. */
export type TableSpec = Partial<Omit<SSTableInfo, 'minTimestamp' | 'maxTimestamp'>> & {
  readonly number: number
  readonly mib?: number
  readonly range?: readonly [number, number]
  readonly timestamps?: readonly [number, number]
}

export function position(token: number): Buffer {
  const bytes = Buffer.alloc(11)
  bytes.writeDoubleBE(0, 0)
  bytes.writeUInt32BE(Math.floor((token / 1001) * 0xffffffff), 0)
  bytes.writeUInt16BE(1, 8)
  return bytes
}

export function sstable(spec: TableSpec): SSTableInfo {
  const { number, mib = 100, range = [0, 1000], timestamps = [number, number], ...others } = spec
  return {
    number,
    level: 0,
    fileBytes: mib * MIB,
    minPosition: position(range[0]),
    maxPosition: position(range[1]),
    minTimestamp: BigInt(timestamps[0]),
    maxTimestamp: BigInt(timestamps[1]),
    lastDropSeconds: NEVER_DROPPED,
    droppable: 0,
    isDroppableLater: false,
    madeAtMs: 0,
    repairedAtMs: 0,
    isCompacting: false,
    ...others,
  }
}

export function snapshot(
  specs: readonly (TableSpec | SSTableInfo)[],
  compaction: Partial<CompactionOptions> = {},
  others: Partial<Snapshot> & { readonly table?: Partial<TableOptions> } = {},
): Snapshot {
  const { table, ...rest } = others
  return {
    tables: specs.map((spec) => ('fileBytes' in spec ? (spec as SSTableInfo) : sstable(spec as TableSpec))),
    options: {
      ...DEFAULT_TABLE_OPTIONS,
      ...table,
      compaction: { ...DEFAULT_TABLE_OPTIONS.compaction, ...compaction },
    },
    outside: [],
    nowMs: NOW_MS,
    memtableMinTimestamp: null,
    memory: NO_MEMORY,
    ...rest,
  }
}
