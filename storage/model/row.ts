/**
 * A row's bytes: the one encoding that travels between nodes, lies in commit log, memtable and SSTable. Source: Cassandra ≥ 3 rows (liveness,
 * deletion, cells; complex cells with paths). See docs/formats.md.
 *
 * row  := flags u8 | [timestamp 8 | if TTL: ttl u32, expiresAt u32] | [deletion: timestamp 8, localDeletionTime u32]
 *         | [context: varuint length, bytes] | cell*
 *         row flags: 1 has liveness, 2 liveness has TTL, 4 has deletion, 8 has a context (causal/context.ts)
 * cell := columnId varuint | flags u8 | [timestamp 8] | [localDeletionTime u32] | [ttl u32] | [path: varuint length, bytes]
 *         | [value: varuint length, bytes]
 *         cell flags: 1 tombstone (no value; has localDeletionTime), 2 expiring (has localDeletionTime = expiry second, and ttl),
 *         4 has path, 8 timestamp is that of the row's liveness (absent here), 16 complex deletion (no value, no path; has localDeletionTime:
 *         covers this column's cells with timestamp <= its own), 32 expiry and ttl are those of the row's liveness (absent here)
 *         1 and 2 together: expired, and its value was given up; among other versions it has the place that it had
 *         64 has a dot, the first 16 bytes of its path: it lives by the row's context, not by timestamps (row-merge.ts)
 * Cells are sorted by column id; within a complex column its complex deletion first, then its cells by path (unsigned bytes), those with dots
 * after the others. One without a path may stand before those that have one: what a counter was before it had shards (docs/formats.md).
 * Timestamps are µs, signed 64-bit; times are seconds since 1970, unsigned 32-bit. A row ends where its bytes end.
 */
export const RowFlag = { LIVENESS: 1, LIVENESS_TTL: 2, DELETION: 4, CAUSAL: 8 } as const

/** Columns of tables have smaller ids. A cell of this one says something of its row (docs/formats.md); it never keeps the row alive. */
export const ANNOTATION_COLUMN_ID = 0x0fffffff

/** Its cells are the versions of a row of a vector-clock table, each a row by itself (causal/state.ts). No column of a table has this id. */
export const VERSION_COLUMN_ID = 0x0ffffffe
/**
 * A row that has a cell of this one is there only while that cell is live and the last byte of its value is 1, whatever else the row holds. For
 * rows that come and go with something that lies elsewhere: those of materialized views (lib/view/view-row.ts).
 */
export const PRESENCE_COLUMN_ID = 0x0ffffffd

export const CellFlag = {
  TOMBSTONE: 1,
  EXPIRING: 2,
  PATH: 4,
  ROW_TIMESTAMP: 8,
  COMPLEX_DELETION: 16,
  ROW_TTL: 32,
  DOTTED: 64,
} as const

/** No expiry: greater than every second that can come. */
export const NEVER = 0xffffffff

/** Negative, zero or positive as timestamp a is older than, equal to or newer than b (high signed, low unsigned halves). */
export function compareTimestamps(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  if (aHigh !== bHigh) return aHigh < bHigh ? -1 : 1
  return aLow === bLow ? 0 : aLow < bLow ? -1 : 1
}

export function readInt32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}

/** Where the path and the value of a cell lie: a RowReader's, or what is gathered for a row that is yet to be written. */
export interface CellBytes {
  readonly buffer: Buffer
  readonly pathStart: number
  readonly pathEnd: number
  readonly valueStart: number
  readonly valueEnd: number
}

/**
 * A cursor over one row's bytes: `reset`, then `next` until it is false; the fields tell of the current cell.
 * It trusts the bytes (what comes from outside goes through validateRow first) and allocates nothing.
 */
export class RowReader implements CellBytes {
  buffer: Buffer = Buffer.alloc(0)
  /** Where the row and its cells begin, and where it ends. */
  start = 0
  cellsStart = 0
  end = 0

  hasLiveness = false
  livenessTsHigh = 0
  livenessTsLow = 0
  /** 0: none. */
  livenessTtl = 0
  /** NEVER without a TTL. */
  livenessExpiresAt: number = NEVER
  hasDeletion = false
  deletionTsHigh = 0
  deletionTsLow = 0
  deletionLocalTime = 0
  hasContext = false
  /** The context is buffer[contextStart, contextEnd) if the row has one. */
  contextStart = 0
  contextEnd = 0

  columnId = -1
  /** CellFlag bits as they stand in the bytes. */
  flags = 0
  tsHigh = 0
  tsLow = 0
  /** Of a tombstone: when it was made; of an expiring cell: when it expires; else NEVER. */
  localDeletionTime: number = NEVER
  /** 0 when the cell does not expire. */
  ttl = 0
  /** Offsets into `buffer`; the path is empty (pathStart = pathEnd) unless the cell has one, the value unless it is live or expiring. */
  pathStart = 0
  pathEnd = 0
  valueStart = 0
  valueEnd = 0
  /** The current cell's bytes are [cellStart, cellEnd). */
  cellStart = 0
  cellEnd = 0

  /** Begins a row: reads its own fields and stands before its first cell. */
  reset(row: Buffer, start = 0, end = row.length): this {
    this.buffer = row
    this.start = start
    this.end = end
    const flags = row[start]!
    let at = start + 1
    this.hasLiveness = (flags & RowFlag.LIVENESS) !== 0
    this.livenessTtl = 0
    this.livenessExpiresAt = NEVER
    if (this.hasLiveness) {
      this.livenessTsHigh = readInt32(row, at)
      this.livenessTsLow = readInt32(row, at + 4) >>> 0
      at += 8
      if ((flags & RowFlag.LIVENESS_TTL) !== 0) {
        this.livenessTtl = readInt32(row, at) >>> 0
        this.livenessExpiresAt = readInt32(row, at + 4) >>> 0
        at += 8
      }
    }
    this.hasDeletion = (flags & RowFlag.DELETION) !== 0
    if (this.hasDeletion) {
      this.deletionTsHigh = readInt32(row, at)
      this.deletionTsLow = readInt32(row, at + 4) >>> 0
      this.deletionLocalTime = readInt32(row, at + 8) >>> 0
      at += 12
    }
    this.hasContext = (flags & RowFlag.CAUSAL) !== 0
    if (this.hasContext) {
      const length = this.#varuint(at)
      this.contextStart = this.#after
      at = this.#after + length
      this.contextEnd = at
    }
    this.cellsStart = at
    this.cellEnd = at
    this.columnId = -1
    return this
  }

  /** Goes back to before the first cell. */
  rewind(): void {
    this.cellEnd = this.cellsStart
    this.columnId = -1
  }

  #varuint(at: number): number {
    const b = this.buffer
    let result = 0
    let shift = 0
    for (;;) {
      const byte = b[at++]!
      result |= (byte & 0x7f) << shift
      if (byte < 0x80) break
      shift += 7
    }
    this.#after = at
    return result >>> 0
  }
  #after = 0

  /** Goes to the next cell; false after the last. */
  next(): boolean {
    let at = this.cellEnd
    if (at >= this.end) return false
    const b = this.buffer
    this.cellStart = at
    const id = b[at]!
    if (id < 0x80) {
      this.columnId = id
      at++
    } else {
      this.columnId = this.#varuint(at)
      at = this.#after
    }
    const flags = b[at++]!
    this.flags = flags
    if ((flags & CellFlag.ROW_TIMESTAMP) !== 0) {
      this.tsHigh = this.livenessTsHigh
      this.tsLow = this.livenessTsLow
    } else {
      this.tsHigh = readInt32(b, at)
      this.tsLow = readInt32(b, at + 4) >>> 0
      at += 8
    }
    this.ttl = 0
    this.localDeletionTime = NEVER
    if ((flags & (CellFlag.TOMBSTONE | CellFlag.EXPIRING | CellFlag.COMPLEX_DELETION)) !== 0) {
      if ((flags & CellFlag.ROW_TTL) !== 0) {
        this.localDeletionTime = this.livenessExpiresAt
        this.ttl = this.livenessTtl
      } else {
        this.localDeletionTime = readInt32(b, at) >>> 0
        at += 4
        if ((flags & CellFlag.EXPIRING) !== 0) {
          this.ttl = readInt32(b, at) >>> 0
          at += 4
        }
      }
    }
    if ((flags & CellFlag.PATH) !== 0) {
      let length = b[at]!
      if (length < 0x80) at++
      else {
        length = this.#varuint(at)
        at = this.#after
      }
      this.pathStart = at
      at += length
      this.pathEnd = at
    } else {
      this.pathStart = at
      this.pathEnd = at
    }
    if ((flags & (CellFlag.TOMBSTONE | CellFlag.COMPLEX_DELETION)) === 0) {
      let length = b[at]!
      if (length < 0x80) at++
      else {
        length = this.#varuint(at)
        at = this.#after
      }
      this.valueStart = at
      at += length
      this.valueEnd = at
    } else {
      this.valueStart = at
      this.valueEnd = at
    }
    this.cellEnd = at
    return true
  }

  get isTombstone(): boolean {
    return (this.flags & CellFlag.TOMBSTONE) !== 0
  }

  get isExpiring(): boolean {
    return (this.flags & CellFlag.EXPIRING) !== 0
  }

  get isComplexDeletion(): boolean {
    return (this.flags & CellFlag.COMPLEX_DELETION) !== 0
  }

  get hasPath(): boolean {
    return (this.flags & CellFlag.PATH) !== 0
  }

  get isDotted(): boolean {
    return (this.flags & CellFlag.DOTTED) !== 0
  }

  /** Whether the current cell has a value to show at that second. */
  isLive(nowSeconds: number): boolean {
    if ((this.flags & (CellFlag.TOMBSTONE | CellFlag.COMPLEX_DELETION)) !== 0) return false
    return (this.flags & CellFlag.EXPIRING) === 0 || this.localDeletionTime > nowSeconds
  }

  /** Of a cell of presence: whether the row is there at that second. */
  saysPresent(nowSeconds: number): boolean {
    return this.isLive(nowSeconds) && this.buffer[this.valueEnd - 1] === 1
  }

  /** Whether the row itself (its primary key) is alive at that second, whatever its cells are. */
  livenessIsLive(nowSeconds: number): boolean {
    return this.hasLiveness && (this.livenessTtl === 0 || this.livenessExpiresAt > nowSeconds)
  }
}

/**
 * Whether the row is there for a reader: its liveness is live or one of its cells is; if it has one of presence, whether that is. Moves the reader, which
 * stands on that row. A row with liveness has no cell of presence.
 */
export function rowIsLive(reader: RowReader, nowSeconds: number): boolean {
  if (reader.livenessIsLive(nowSeconds)) return true
  let isLive = false
  reader.rewind()
  while (reader.next())
    if (reader.columnId === PRESENCE_COLUMN_ID) return reader.saysPresent(nowSeconds)
    else if (reader.columnId !== ANNOTATION_COLUMN_ID) isLive ||= reader.isLive(nowSeconds)
  return isLive
}

/** Unsigned byte order of a[aStart, aEnd) and b[bStart, bEnd), a prefix first. */
export function compareRanges(
  a: Uint8Array,
  aStart: number,
  aEnd: number,
  b: Uint8Array,
  bStart: number,
  bEnd: number,
): number {
  const aLength = aEnd - aStart
  const bLength = bEnd - bStart
  const shared = Math.min(aLength, bLength)
  for (let i = 0; i < shared; i++) {
    const difference = a[aStart + i]! - b[bStart + i]!
    if (difference !== 0) return difference
  }
  return aLength - bLength
}
