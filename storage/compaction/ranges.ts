/**
 * The range tombstones of one partition while it is merged. Each input's do not overlap; a sweep over all of them, by their starts, gives pieces that do
 * not overlap either, each under the greatest deletion that covers it, neighbours that came out equal joined: what an SSTable must hold.
 * The rows come after all ranges of their partition, so the pieces are kept for them, or, when they are too many to keep, read once more.
 */
import { compareDeletions, DELETION_BYTES } from '../model/deletion.ts'
import { EntryKind } from '../model/mutation.ts'
import { isPrefix, partitionRecordKey, positionLength } from '../read/keys.ts'
import { MergeCursor } from './merge-cursor.ts'
import type { TableScan } from './table-scan.ts'

export interface RangePiece {
  readonly start: Buffer
  end: Buffer
  readonly deletion: Buffer
}

/** A range record's parts, in memory of their own. */
export function readRange(key: Buffer, value: Buffer): RangePiece {
  return {
    start: Buffer.from(key.subarray(positionLength(key) + 1)),
    end: Buffer.from(value.subarray(DELETION_BYTES)),
    deletion: Buffer.from(value.subarray(0, DELETION_BYTES)),
  }
}

export class RangeSweep {
  /** Ranges that reach beyond `#at`; one of each input at most. */
  #active: RangePiece[] = []
  #at: Buffer = Buffer.alloc(0)
  /** The last piece: what follows may extend it. */
  #open: RangePiece | null = null

  /** Takes a range, in order of the starts, and appends to `out` the pieces that nothing which follows can change. */
  add(range: RangePiece, out: RangePiece[]): void {
    this.#sweep(range.start, out)
    this.#at = range.start
    this.#active.push(range)
  }

  finish(out: RangePiece[]): void {
    this.#sweep(null, out)
    if (this.#open) out.push(this.#open)
    this.#open = null
  }

  /** Goes on to `limit` (null: to the end). */
  #sweep(limit: Buffer | null, out: RangePiece[]): void {
    while (this.#active.length > 0) {
      const [first, ...others] = this.#active
      let { end, deletion } = first!
      for (const range of others) {
        if (range.end.compare(end) < 0) end = range.end
        if (compareDeletions(range.deletion, 0, deletion, 0) > 0) deletion = range.deletion
      }
      const stop = limit !== null && limit.compare(end) < 0 ? limit : end
      if (this.#at.compare(stop) < 0) this.#give({ start: this.#at, end: stop, deletion }, out)
      this.#at = stop
      if (stop !== end) return
      this.#active = this.#active.filter((range) => range.end.compare(stop) > 0)
    }
  }

  #give(piece: RangePiece, out: RangePiece[]): void {
    const open = this.#open
    if (open?.end.equals(piece.start) && open.deletion.equals(piece.deletion)) {
      open.end = piece.end
      return
    }
    if (open) out.push(open)
    this.#open = piece
  }
}

/** Tells which deletion covers a row. Rows are asked for in order. */
export interface RangeCover {
  /** Of the row last asked for; null: none. */
  readonly deletion: Buffer | null
  find(clustering: Buffer): Promise<void> | undefined
}

/** Pieces in memory. */
export class HeldRanges implements RangeCover {
  readonly #pieces: readonly RangePiece[]
  #at = 0
  deletion: Buffer | null = null

  constructor(pieces: readonly RangePiece[]) {
    this.#pieces = pieces
  }

  find(clustering: Buffer): undefined {
    const pieces = this.#pieces
    while (this.#at < pieces.length && pieces[this.#at]!.end.compare(clustering) <= 0) this.#at++
    const piece = pieces[this.#at]
    this.deletion = piece !== undefined && piece.start.compare(clustering) <= 0 ? piece.deletion : null
    return undefined
  }
}

/** Reads the inputs once more, for their range tombstones. */
export interface Rescans {
  /** Scans of the inputs that have any, led to the key. */
  rescan(key: Buffer): Promise<TableScan[]>
  endRescan(scans: readonly TableScan[]): Promise<void>
}

/** Pieces that are read a second time, along with the rows. */
export class RescannedRanges implements RangeCover {
  readonly #rescans: Rescans
  readonly #prefix: Buffer
  #scans: TableScan[] = []
  #cursor: MergeCursor | null = null
  readonly #sweep = new RangeSweep()
  #ready: RangePiece[] = []
  #ended = false
  deletion: Buffer | null = null

  constructor(position: Buffer, rescans: Rescans) {
    this.#rescans = rescans
    this.#prefix = partitionRecordKey(position, EntryKind.RANGE_TOMBSTONE)
  }

  find(clustering: Buffer): Promise<void> | undefined {
    while (this.#ready.length > 0 && this.#ready[0]!.end.compare(clustering) <= 0) this.#ready.shift()
    if (this.#ready.length === 0 && !this.#ended) return this.#read(clustering)
    const piece = this.#ready[0]
    this.deletion = piece !== undefined && piece.start.compare(clustering) <= 0 ? piece.deletion : null
    return undefined
  }

  async #read(clustering: Buffer): Promise<void> {
    if (this.#cursor === null) {
      this.#scans = await this.#rescans.rescan(this.#prefix)
      this.#cursor = new MergeCursor(this.#scans)
      this.#cursor.start()
    }
    const cursor = this.#cursor
    while (this.#ready.length === 0 && !this.#ended) {
      const { key } = cursor
      if (key === null || !isPrefix(this.#prefix, key)) {
        this.#sweep.finish(this.#ready)
        this.#ended = true
        break
      }
      for (const scan of cursor.at) this.#sweep.add(readRange(scan.key, scan.value), this.#ready)
      await cursor.next()
    }
    await this.find(clustering)
  }

  async close(): Promise<void> {
    await this.#rescans.endRescan(this.#scans)
    this.#scans = []
  }
}
