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
 *         64 has a dot, the first 16 bytes of its path: it lives by the row's context, not by timestamps (causal/join.ts)
 * Cells are sorted by column id; within a complex column its complex deletion first, then its cells by path (unsigned bytes), those with dots
 * after the others. One without a path may stand before those that have one: what a counter was before it had shards (docs/formats.md).
 * Timestamps are µs, signed 64-bit; times are seconds since 1970, unsigned 32-bit. A row ends where its bytes end.
 */

import { assert } from '../../lib/base/assert.ts'
import { ByteWriter } from '../../lib/base/bytes.ts'

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

/**
 * Writes one row after another into a ByteWriter: `begin`, liveness, deletion, context, cells in order, `end`.
 * It sets the flags that share timestamp and TTL with the row's liveness, so equal rows have equal bytes.
 */
export class RowWriter {
  /** Rows are appended here; may be changed between rows. */
  out: ByteWriter
  #start = 0
  #flags = 0
  #tsHigh = 0
  #tsLow = 0
  #ttl = 0
  #expiresAt = 0
  #lastColumn = -1
  /** The cell before was a complex deletion, was one with a dot. */
  #afterDeletion = false
  #afterDotted = false
  #lastPathStart = -1
  #lastPathEnd = -1
  #complexColumn = -1
  #complexHigh = 0
  #complexLow = 0

  constructor(out: ByteWriter = new ByteWriter()) {
    this.out = out
  }

  begin(): void {
    this.#start = this.out.length
    this.out.uint8(0)
    this.#flags = 0
    this.#lastColumn = -1
    this.#lastPathStart = -1
    this.#complexColumn = -1
  }

  /** ttl 0: none, `expiresAt` is ignored then. */
  liveness(tsHigh: number, tsLow: number, ttl: number, expiresAt: number): void {
    assert(this.#flags === 0 && this.#lastColumn === -1, 'liveness comes first')
    this.#flags = RowFlag.LIVENESS
    this.#tsHigh = tsHigh
    this.#tsLow = tsLow >>> 0
    this.out.int32(tsHigh)
    this.out.int32(tsLow)
    this.#ttl = ttl
    if (ttl !== 0) {
      this.#flags |= RowFlag.LIVENESS_TTL
      this.#expiresAt = expiresAt
      this.out.int32(ttl)
      this.out.int32(expiresAt)
    }
  }

  deletion(tsHigh: number, tsLow: number, localDeletionTime: number): void {
    assert((this.#flags & RowFlag.DELETION) === 0 && this.#lastColumn === -1, 'deletion comes before cells')
    this.#flags |= RowFlag.DELETION
    this.out.int32(tsHigh)
    this.out.int32(tsLow)
    this.out.int32(localDeletionTime)
  }

  /** The context that lies in bytes[start, end); an empty one is left out. */
  context(bytes: Uint8Array, start: number, end: number): void {
    assert((this.#flags & RowFlag.CAUSAL) === 0 && this.#lastColumn === -1, 'the context comes before cells')
    if (start === end) return
    this.#flags |= RowFlag.CAUSAL
    this.out.varuint(end - start)
    this.out.slice(bytes, start, end)
  }

  cell(columnId: number, tsHigh: number, tsLow: number, value: Uint8Array): void {
    this.#head(columnId, 0, tsHigh, tsLow, 0, 0)
    this.#bytes(value)
  }

  expiringCell(
    columnId: number,
    tsHigh: number,
    tsLow: number,
    ttl: number,
    expiresAt: number,
    value: Uint8Array,
  ): void {
    this.#head(columnId, CellFlag.EXPIRING, tsHigh, tsLow, expiresAt, ttl)
    this.#bytes(value)
  }

  tombstone(columnId: number, tsHigh: number, tsLow: number, localDeletionTime: number): void {
    this.#head(columnId, CellFlag.TOMBSTONE, tsHigh, tsLow, localDeletionTime, 0)
  }

  complexDeletion(columnId: number, tsHigh: number, tsLow: number, localDeletionTime: number): void {
    this.#head(columnId, CellFlag.COMPLEX_DELETION, tsHigh, tsLow, localDeletionTime, 0)
    this.#complexColumn = columnId
    this.#complexHigh = tsHigh
    this.#complexLow = tsLow >>> 0
  }

  /** A cell that the row's own complex deletion covers is left out. */
  #isCovered(columnId: number, tsHigh: number, tsLow: number): boolean {
    if (columnId !== this.#complexColumn) return false
    return compareTimestamps(tsHigh, tsLow >>> 0, this.#complexHigh, this.#complexLow) <= 0
  }

  pathCell(columnId: number, path: Uint8Array, tsHigh: number, tsLow: number, value: Uint8Array): void {
    if (this.#isCovered(columnId, tsHigh, tsLow)) return
    this.#head(columnId, CellFlag.PATH, tsHigh, tsLow, 0, 0)
    this.#path(path)
    this.#bytes(value)
  }

  expiringPathCell(
    columnId: number,
    path: Uint8Array,
    tsHigh: number,
    tsLow: number,
    ttl: number,
    expiresAt: number,
    value: Uint8Array,
  ): void {
    if (this.#isCovered(columnId, tsHigh, tsLow)) return
    this.#head(columnId, CellFlag.PATH | CellFlag.EXPIRING, tsHigh, tsLow, expiresAt, ttl)
    this.#path(path)
    this.#bytes(value)
  }

  pathTombstone(columnId: number, path: Uint8Array, tsHigh: number, tsLow: number, localDeletionTime: number): void {
    if (this.#isCovered(columnId, tsHigh, tsLow)) return
    this.#head(columnId, CellFlag.PATH | CellFlag.TOMBSTONE, tsHigh, tsLow, localDeletionTime, 0)
    this.#path(path)
  }

  /** With the path and value of another cell. ttl 0: none, expiresAt is ignored then. */
  pathCellOf(from: CellBytes, columnId: number, tsHigh: number, tsLow: number, ttl: number, expiresAt: number): void {
    if (this.#isCovered(columnId, tsHigh, tsLow)) return
    if (ttl === 0) this.#head(columnId, CellFlag.PATH, tsHigh, tsLow, 0, 0)
    else this.#head(columnId, CellFlag.PATH | CellFlag.EXPIRING, tsHigh, tsLow, expiresAt, ttl)
    this.#pathBetween(from.buffer, from.pathStart, from.pathEnd)
    this.#copyValue(from)
  }

  /** With the path of another cell. */
  pathTombstoneOf(from: CellBytes, columnId: number, tsHigh: number, tsLow: number, localDeletionTime: number): void {
    if (this.#isCovered(columnId, tsHigh, tsLow)) return
    this.#head(columnId, CellFlag.PATH | CellFlag.TOMBSTONE, tsHigh, tsLow, localDeletionTime, 0)
    this.#pathBetween(from.buffer, from.pathStart, from.pathEnd)
  }

  /** A cell that lives by its dot, with which its path begins; ttl 0: it does not expire. */
  dottedCell(
    columnId: number,
    path: Uint8Array,
    tsHigh: number,
    tsLow: number,
    ttl: number,
    expiresAt: number,
    value: Uint8Array,
  ): void {
    const kind = CellFlag.PATH | CellFlag.DOTTED | (ttl === 0 ? 0 : CellFlag.EXPIRING)
    this.#head(columnId, kind, tsHigh, tsLow, expiresAt, ttl)
    this.#path(path)
    this.#bytes(value)
  }

  /** Copies the reader's current cell, encoded anew for this row's liveness. */
  copyCell(from: RowReader): void {
    const kept = CellFlag.TOMBSTONE | CellFlag.EXPIRING | CellFlag.PATH | CellFlag.COMPLEX_DELETION | CellFlag.DOTTED
    const flags = from.flags & kept
    this.#head(from.columnId, flags, from.tsHigh, from.tsLow, from.localDeletionTime, from.ttl)
    if ((flags & CellFlag.PATH) !== 0) this.#copyPath(from)
    if ((flags & (CellFlag.TOMBSTONE | CellFlag.COMPLEX_DELETION)) === 0) this.#copyValue(from)
  }

  /** The reader's current cell, which expires, without its value: it has expired, and must not be seen again by a reader whose clock is behind. */
  expiredCell(from: RowReader): void {
    const flags = CellFlag.TOMBSTONE | CellFlag.EXPIRING | (from.flags & CellFlag.PATH)
    this.#head(from.columnId, flags, from.tsHigh, from.tsLow, from.localDeletionTime, from.ttl)
    if ((flags & CellFlag.PATH) !== 0) this.#copyPath(from)
  }

  /** A cell without a path that has expired, and gave up its value. */
  expired(columnId: number, tsHigh: number, tsLow: number, ttl: number, expiresAt: number): void {
    this.#head(columnId, CellFlag.TOMBSTONE | CellFlag.EXPIRING, tsHigh, tsLow, expiresAt, ttl)
  }

  /** Copies the reader's current cell as it stands: right when this row's liveness equals the reader's. */
  copyCellBytes(from: RowReader): void {
    this.#lastColumn = from.columnId
    this.#afterDeletion = (from.flags & CellFlag.COMPLEX_DELETION) !== 0
    this.out.slice(from.buffer, from.cellStart, from.cellEnd)
  }

  /** Closes the row; its bytes are out's [returned start, out.length). */
  end(): number {
    this.out.buffer[this.#start] = this.#flags
    return this.#start
  }

  /** Whether nothing was written into the row since begin. */
  get isEmpty(): boolean {
    return this.out.length === this.#start + 1
  }

  #head(columnId: number, kind: number, tsHigh: number, tsLow: number, localTime: number, ttl: number): void {
    const repeated = columnId === this.#lastColumn && ((kind & CellFlag.PATH) !== 0 || this.#afterDeletion)
    assert(repeated || columnId > this.#lastColumn, 'cells come in the order of their columns')
    const dotted = (kind & CellFlag.DOTTED) !== 0
    if (!repeated || dotted !== this.#afterDotted) this.#lastPathStart = -1
    this.#afterDotted = dotted
    this.#lastColumn = columnId
    this.#afterDeletion = (kind & CellFlag.COMPLEX_DELETION) !== 0
    let flags = kind
    const own = this.#flags
    const rowTime = (own & RowFlag.LIVENESS) !== 0 && tsHigh === this.#tsHigh && tsLow >>> 0 === this.#tsLow
    if (rowTime) flags |= CellFlag.ROW_TIMESTAMP
    const expiring = (kind & CellFlag.EXPIRING) !== 0
    const rowTtl = expiring && (own & RowFlag.LIVENESS_TTL) !== 0 && ttl === this.#ttl && localTime === this.#expiresAt
    if (rowTtl) flags |= CellFlag.ROW_TTL
    const out = this.out
    if (columnId < 0x80) out.uint8(columnId)
    else out.varuint(columnId)
    out.uint8(flags)
    if (!rowTime) {
      out.int32(tsHigh)
      out.int32(tsLow)
    }
    if (!rowTtl && (kind & (CellFlag.TOMBSTONE | CellFlag.EXPIRING | CellFlag.COMPLEX_DELETION)) !== 0) {
      out.int32(localTime)
      if (expiring) out.int32(ttl)
    }
  }

  #path(path: Uint8Array): void {
    this.#pathBetween(path, 0, path.length)
  }

  #pathBetween(source: Uint8Array, start: number, end: number): void {
    const out = this.out
    out.varuint(end - start)
    const at = out.length
    out.slice(source, start, end)
    if (this.#lastPathStart >= 0)
      assert(
        compareRanges(out.buffer, this.#lastPathStart, this.#lastPathEnd, source, start, end) < 0,
        'paths ascend within their column',
      )
    this.#lastPathStart = at
    this.#lastPathEnd = out.length
  }

  #copyPath(from: CellBytes): void {
    this.out.varuint(from.pathEnd - from.pathStart)
    this.out.slice(from.buffer, from.pathStart, from.pathEnd)
  }

  #copyValue(from: CellBytes): void {
    this.out.varuint(from.valueEnd - from.valueStart)
    this.out.slice(from.buffer, from.valueStart, from.valueEnd)
  }

  #bytes(value: Uint8Array): void {
    this.out.varuint(value.length)
    this.out.bytes(value)
  }
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
