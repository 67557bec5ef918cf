/** Makes the bytes of rows that row.ts reads. */
import { assert } from '../../lib/base/assert.ts'
import { ByteWriter } from '../../lib/base/bytes.ts'
import { type CellBytes, CellFlag, compareRanges, compareTimestamps, RowFlag, type RowReader } from './row.ts'

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

  copyLiveness(from: RowReader): void {
    if (from.hasLiveness)
      this.liveness(from.livenessTsHigh, from.livenessTsLow, from.livenessTtl, from.livenessExpiresAt)
  }

  copyDeletion(from: RowReader): void {
    if (from.hasDeletion) this.deletion(from.deletionTsHigh, from.deletionTsLow, from.deletionLocalTime)
  }

  /** Copies what the reader's row says of itself, before its cells. */
  copyHead(from: RowReader): void {
    this.copyLiveness(from)
    this.copyDeletion(from)
    if (from.hasContext) this.context(from.buffer, from.contextStart, from.contextEnd)
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

  /** Comes before the cells of its column, which it covers up to and including its timestamp. */
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
