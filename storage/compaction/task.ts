/** Compactions as others are shown them: those that run, and those that did. */
import type { Random } from '../../lib/runtime/runtime.ts'

/** Why: the strategy's order, somebody's order for all of a table or for some files, tombstones alone, what others' tombstones cover. */
export type CompactionKind = 'compaction' | 'major' | 'user-defined' | 'tombstones' | 'garbage'

/** Cassandra's words, as nodetool prints them. */
export const KIND_NAMES: Readonly<Record<CompactionKind, string>> = {
  compaction: 'Compaction',
  major: 'Major compaction',
  'user-defined': 'User defined compaction',
  tombstones: 'Tombstone Compaction',
  garbage: 'Remove deleted data',
}

export interface CompactionTask {
  /** A time-based UUID. */
  readonly id: string
  readonly kind: CompactionKind
  readonly table: string
  readonly keyspace: string
  readonly name: string
  readonly sstables: number
  /** Bytes of the inputs' files that were read, and of all of them. */
  readonly completedBytes: number
  readonly totalBytes: number
  readonly directory: string
}

export interface CompactionRecord {
  readonly id: string
  readonly kind: CompactionKind
  readonly keyspace: string
  readonly name: string
  /** ms since 1970. */
  readonly compactedAtMs: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** By how many SSTables a partition was held: how many partitions. Ascending. */
  readonly rowsMerged: ReadonlyMap<number, number>
}

/** From 15 October 1582 to 1970, in 100 ns. */
const GREGORIAN_OFFSET = 122_192_928_000_000_000n

/** A UUID of version 1. `micros` since 1970. */
export function timeUuid(micros: number, random: Random): string {
  const time = BigInt(micros) * 10n + GREGORIAN_OFFSET
  const bytes = Buffer.alloc(16)
  bytes.writeUInt32BE(Number(time & 0xffffffffn), 0)
  bytes.writeUInt16BE(Number((time >> 32n) & 0xffffn), 4)
  bytes.writeUInt16BE(Number((time >> 48n) & 0x0fffn) | 0x1000, 6)
  random.fill(bytes.subarray(8))
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  bytes[10] = bytes[10]! | 0x01
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
