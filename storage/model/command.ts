/**
 * The words in which storage is spoken to. Storage sorts bytes and knows neither CQL nor the ring.
 *
 * position    = token (8 bytes, the signed token with its sign bit flipped, big-endian) | key length u16 | partition key
 *               (the partition key as CQL serialises it: one column raw, several as Cassandra's composite). Unsigned byte order.
 * clustering  = the clustering columns in an order-preserving encoding (lib/types/ordered.ts), descending ones inverted; empty for
 *               a table without clustering columns. Unsigned byte order, no full clustering is a prefix of another's.
 * bound       = any byte string compared with clusterings: every interval is half-open [start, end). An empty start is before all
 *               rows; END_OF_PARTITION is after all.
 */

/** Greater than every clustering: no component marker reaches it. */
export const END_OF_PARTITION: Buffer = Buffer.from([0xff])

/** The empty clustering, and the bound before every row. */
export const START_OF_PARTITION: Buffer = Buffer.alloc(0)

/** A half-open interval [start, end) of clusterings. */
export interface Slice {
  readonly start: Buffer
  readonly end: Buffer
  /** The start is a whole clustering and no other row lies in the slice: the row is looked up, not searched for. */
  readonly single?: boolean
}

/** All rows of a partition. */
export const WHOLE_PARTITION: readonly Slice[] = [{ start: START_OF_PARTITION, end: END_OF_PARTITION }]

/** Where an interrupted read of a range goes on: in this partition after this clustering (null: its static row was all that was given). */
export interface ReadPoint {
  readonly position: Buffer
  /** Null with `partitionDone` false: no row of the partition was given yet. */
  readonly clustering: Buffer | null
  /** Go on with the next partition. */
  readonly partitionDone: boolean
  /** Rows of this partition given so far: they count towards perPartitionLimit. */
  readonly rowsGiven: number
}

/**
 * Rows that an index of the table names, where `target` and `slices` allow them. They hold one of the terms asked for, or had it when they were
 * written: who asks looks at them again. The terms are positions in the index's own table.
 */
export interface IndexRead {
  /** The id of the index's own table. */
  readonly id: string
  /** It names whole partitions: those of a static column or of one of the partition key. */
  readonly ofPartition?: true
  /** One term, or all whose positions lie in [start, end) (null: no bound). */
  readonly terms:
    | { readonly kind: 'one'; readonly position: Buffer }
    | { readonly kind: 'range'; readonly start: Buffer | null; readonly end: Buffer | null }
}

export interface ReadCommand {
  /** The table's id: lower-case UUID with dashes. */
  readonly table: string
  /** One partition (its position), or the partitions in [start, end) (null: no bound). */
  readonly target:
    | { readonly kind: 'partition'; readonly position: Buffer }
    | { readonly kind: 'range'; readonly start: Buffer | null; readonly end: Buffer | null }
  /** Disjoint and ascending. Null: all rows. Empty: only the static row. */
  readonly slices: readonly Slice[] | null
  /** Rows in descending order of clustering; partitions always ascend. */
  readonly reversed: boolean
  /** Give the static row; a partition with a live static row and no live row in it then counts as one row if `staticCounts`. */
  readonly wantStatic: boolean
  readonly staticCounts: boolean
  /** Most live rows to give in all, and of each partition. Infinity: no bound. */
  readonly limit: number
  readonly perPartitionLimit: number
  /** Stop after the row with which the given rows' bytes reach this; `more` is then true. */
  readonly byteLimit: number
  /** Seconds since 1970: what expired at or before is dead. */
  readonly nowSeconds: number
  readonly after: ReadPoint | null
  /**
   * Ids, ascending, of the columns that the reader looks at, if all of them have one cell a row; absent: all. Rows come with their newest
   * versions of these cells; older versions of others may be left out.
   */
  readonly columns?: readonly number[]
  /** The read ends early when it met more tombstones than this: it will fail. Absent: no bound. */
  readonly tombstonesMax?: number
  /** Only rows that an index names; absent: all. Storage itself knows no indexes: who stands before it does. */
  readonly index?: IndexRead
  /**
   * Deletions are kept, as replicas that are compared or repaired need them: of each partition its own deletion, the range tombstones that touch the
   * slices, dead rows, tombstones in rows. Limits of rows count live ones; `byteLimit` counts all. How far the read got is exact.
   */
  readonly whole?: true
  /** Of a whole read: also what is past gc_grace is given. Absent: it covers what it covers, and is left out. */
  readonly keepsPurgeable?: true
  /** Of a read of one row: it is given as it is, also if nothing of it is live. */
  readonly dead?: true
  /**
   * What is not synced yet is given at once: who asks tells nobody of it before it is, or writes what follows from it into the same log.
   * Absent: the read waits for the sync of what it gives.
   */
  readonly unsynced?: true
  /** Mutations of the table that are looked at as if they had been applied: what would a read give then? */
  readonly supposed?: readonly Buffer[]
}

/**
 * Of a command for all rows of its target, ascending and without bounds, their static rows apart; what else is wanted is said after it. To
 * spread it costs more than to spell it out: not where each request would pay for it.
 */
export const ALL_ROWS = {
  slices: null,
  reversed: false,
  wantStatic: false,
  staticCounts: false,
  limit: Number.POSITIVE_INFINITY,
  perPartitionLimit: Number.POSITIVE_INFINITY,
  byteLimit: Number.POSITIVE_INFINITY,
  after: null,
} as const

/**
 * Where a row lies in memory of the store: valid until the caller's turn ends, whoever keeps it copies it. Views are cut when somebody asks for them;
 * where rows are many, readers take the places.
 */
export class RowData {
  readonly clusteringBuffer: Buffer
  readonly clusteringStart: number
  readonly clusteringEnd: number
  readonly rowBuffer: Buffer
  readonly rowStart: number
  readonly rowEnd: number
  /** Of a whole read: nothing of the row is live. */
  readonly isDead: boolean

  constructor(
    clusteringBuffer: Buffer,
    clusteringStart: number,
    clusteringEnd: number,
    rowBuffer: Buffer,
    rowStart: number,
    rowEnd: number,
    isDead: boolean,
  ) {
    this.clusteringBuffer = clusteringBuffer
    this.clusteringStart = clusteringStart
    this.clusteringEnd = clusteringEnd
    this.rowBuffer = rowBuffer
    this.rowStart = rowStart
    this.rowEnd = rowEnd
    this.isDead = isDead
  }

  static of(clustering: Buffer, row: Buffer, isDead = false): RowData {
    return new RowData(clustering, 0, clustering.length, row, 0, row.length, isDead)
  }

  get clustering(): Buffer {
    return viewOf(this.clusteringBuffer, this.clusteringStart, this.clusteringEnd)
  }

  /** The merged row, deletions of partition and range already applied; it may still hold tombstones and expired cells (row.ts). */
  get row(): Buffer {
    return viewOf(this.rowBuffer, this.rowStart, this.rowEnd)
  }

  /** Of clustering and row. */
  get bytes(): number {
    return this.clusteringEnd - this.clusteringStart + this.rowEnd - this.rowStart
  }
}

function viewOf(buffer: Buffer, start: number, end: number): Buffer {
  return start === 0 && end === buffer.length ? buffer : buffer.subarray(start, end)
}

/** Index of the first of a partition's rows, which ascend, at or after the bound. */
export function firstRowFrom(rows: readonly RowData[], bound: Buffer): number {
  let low = 0
  let high = rows.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (rows[middle]!.clustering.compare(bound) < 0) low = middle + 1
    else high = middle
  }
  return low
}

/** Rows in [start, end) are deleted; the bytes of the deletion as deletion.ts says. */
export interface RangeTombstone {
  readonly start: Buffer
  readonly end: Buffer
  readonly deletion: Buffer
}

export interface PartitionData {
  readonly position: Buffer
  /** The partition key, a view of position. */
  readonly key: Buffer
  /** Null when there is none or it holds nothing live; a whole read gives it also when all of it is dead. */
  readonly staticRow: Buffer | null
  /** In the order asked for. Live rows only, but for a whole read. */
  readonly rows: RowData[]
  /** Of a whole read: the partition's own deletion (deletion.ts). */
  readonly deletion?: Buffer | null
  /** Of a whole read: ascending, disjoint, greater than the partition's deletion, cut at the slices and at `cut`. */
  readonly rangeTombstones?: readonly RangeTombstone[]
  /** Of a whole read: its rows were read up to this bound, with the row that has its bytes, and no further; null: to the end of the slices. */
  readonly cut?: Buffer | null
}

export interface ReadResult {
  readonly partitions: PartitionData[]
  /** A limit ended the read: more rows may follow. Of a whole read: nothing after the last partition given was looked at. */
  readonly more: boolean
  /** Tombstones (cells, rows, ranges, partitions) that were read past, for the warn and fail thresholds. */
  readonly tombstones: number
}
