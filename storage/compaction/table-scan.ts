/**
 * Walks an SSTable from one end to the other: reads far ahead in large pieces, past the block cache, and holds two of them at most.
 * Always: nothing is given that did not pass its checksum. A movement that gives a promise is done when it resolves; key and value are true until
 * the next one.
 */
import type { Disk, DiskFile } from '../../lib/runtime/runtime.ts'
import { CorruptionError, readFailure } from '../errors.ts'
import { readInt32 } from '../model/row.ts'
import { Block, BlockCursor } from '../sstable/block.ts'
import { decodeSection, fileSeed, HEADER_BYTES, SECTION_HEAD_BYTES, SectionKind } from '../sstable/format.ts'
import type { TableReader } from '../sstable/reader.ts'

export const READ_AHEAD_BYTES = 256 * 1024
/** Room before a piece for the beginning of a block whose end it holds. */
const HEADROOM_BYTES = 64 * 1024

const EMPTY = Buffer.alloc(0)

/** The scan keeps the reader but does not close it. */
export async function openTableScan(disk: Disk, table: TableReader, readAheadBytes?: number): Promise<TableScan> {
  return new TableScan(table, await disk.open(table.path, 'read'), readAheadBytes ?? READ_AHEAD_BYTES)
}

export class TableScan {
  readonly table: TableReader
  /** Stands on an entry. */
  valid = false
  key: Buffer = EMPTY
  /** The first eight bytes of the key as two unsigned numbers: most comparisons need no more. */
  high = 0
  low = 0
  /** Bytes taken from the file so far. */
  bytesRead = 0
  readonly #file: DiskFile
  readonly #seed: number
  readonly #end: number
  readonly #readAheadBytes: number
  readonly #data = new BlockCursor()
  /** The bytes of the file from `#at` to `#loaded`. */
  #piece: Buffer = EMPTY
  #at = HEADER_BYTES
  #loaded = HEADER_BYTES
  #buffer: Buffer | null = null
  #spare: Buffer | null = null
  /** The read of what follows `#loaded`, into the spare buffer. */
  #ahead: Promise<number> | null = null

  /** Use openTableScan. */
  constructor(table: TableReader, file: DiskFile, readAheadBytes: number) {
    this.table = table
    this.#file = file
    this.#seed = fileSeed(table.footer.uid)
    this.#end = table.footer.root.offset
    this.#readAheadBytes = readAheadBytes
  }

  get value(): Buffer {
    return this.#data.value
  }

  /** To the first entry. */
  async first(): Promise<void> {
    await this.#nextBlock()
  }

  /** To the first entry at or after the key. Before anything else. */
  async seek(key: Buffer): Promise<void> {
    const index = this.table.index(false)
    await index.seek(key)
    if (!index.valid) return
    this.#at = this.#loaded = index.offset
    await this.#nextBlock()
    while (this.valid && this.#data.compare(key) < 0) await this.next()
  }

  next(): Promise<void> | undefined {
    this.#data.next()
    if (!this.#data.valid) return this.#nextBlock()
    this.#settle()
    return undefined
  }

  #settle(): void {
    const key = this.#data.key
    this.key = key
    this.high = readInt32(key, 0) >>> 0
    this.low = readInt32(key, 4) >>> 0
    this.valid = true
  }

  #nextBlock(): Promise<void> | undefined {
    for (;;) {
      const offset = this.#at
      if (offset >= this.#end) {
        this.valid = false
        return undefined
      }
      const piece = this.#piece
      if (piece.length < SECTION_HEAD_BYTES) return this.#load(SECTION_HEAD_BYTES)
      const length = SECTION_HEAD_BYTES + (readInt32(piece, 8) >>> 0)
      if (length > this.#end - offset)
        throw new CorruptionError(this.table.path, offset, 'a block reaches into the index')
      if (piece.length < length) return this.#load(length)
      const section = piece.subarray(0, length)
      this.#piece = piece.subarray(length)
      this.#at += length
      const kind = section[4] === SectionKind.INDEX ? SectionKind.INDEX : SectionKind.DATA
      const raw = decodeSection(section, { kind, offset, seed: this.#seed, path: this.table.path })
      if (raw instanceof Promise)
        return raw.then((bytes) => (kind === SectionKind.DATA ? this.#enter(bytes) : this.#nextBlock()))
      if (kind === SectionKind.DATA) return this.#enter(raw)
    }
  }

  #enter(bytes: Buffer): undefined {
    this.#data.reset(new Block(bytes))
    this.#data.first()
    this.#settle()
    return undefined
  }

  /** Reads on until `needed` bytes of what comes next are in memory. */
  async #load(needed: number): Promise<void> {
    const rest = this.#piece
    const read = await (this.#ahead ?? this.#readAhead())
    this.#ahead = null
    const buffer = this.#spare!
    this.#spare = this.#buffer
    this.#buffer = buffer
    this.#loaded += read
    const got = buffer.subarray(HEADROOM_BYTES, HEADROOM_BYTES + read)
    if (rest.length <= HEADROOM_BYTES) {
      rest.copy(buffer, HEADROOM_BYTES - rest.length)
      this.#piece = buffer.subarray(HEADROOM_BYTES - rest.length, HEADROOM_BYTES + read)
    } else this.#piece = Buffer.concat([rest, got])
    if (this.#piece.length < needed) await this.#loadRest(needed)
    if (this.#loaded < this.#end) {
      this.#ahead = this.#readAhead()
      // Whoever loads next awaits it; until then a failure is nobody's.
      this.#ahead.catch(() => {})
    }
    await this.#nextBlock()
  }

  /** A block larger than a piece. */
  async #loadRest(needed: number): Promise<void> {
    const whole = Buffer.allocUnsafeSlow(needed)
    const have = this.#piece.copy(whole)
    const read = await this.#read(whole.subarray(have))
    if (have + read < needed) throw new CorruptionError(this.table.path, this.#loaded + read, 'the file ends early')
    this.#loaded += read
    this.bytesRead += read
    this.#piece = whole
  }

  async #readAhead(): Promise<number> {
    this.#spare ??= Buffer.allocUnsafeSlow(HEADROOM_BYTES + this.#readAheadBytes)
    const length = Math.min(this.#readAheadBytes, this.#end - this.#loaded)
    const target = this.#spare.subarray(HEADROOM_BYTES, HEADROOM_BYTES + length)
    const read = await this.#read(target)
    if (read < length) throw new CorruptionError(this.table.path, this.#loaded + read, 'the file ends early')
    this.bytesRead += read
    return read
  }

  async #read(target: Buffer): Promise<number> {
    try {
      return await this.#file.read(target, this.#loaded)
    } catch (error) {
      throw readFailure(error, this.table.path, this.#loaded)
    }
  }

  /** May be called at any time, also while a movement waits. */
  async close(): Promise<void> {
    await this.#ahead?.catch(() => {})
    await this.#file.close()
  }
}
