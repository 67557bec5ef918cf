/** Compactions as others are shown them: those that run, and those that did. */

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
