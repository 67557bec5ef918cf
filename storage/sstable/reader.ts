/**
 * One open SSTable. Look-ups and steps within blocks that are in memory give their answer at once; a promise is given only when the file must be read.
 * Always: no answer is made of bytes that did not pass their checksum: CorruptionError instead. The file never changes while it is open.
 */

import type { Disk, DiskFile } from '../../lib/runtime/runtime.ts'
import type { BlockCache, CachedFile } from '../cache.ts'
import { CorruptionError, readFailure } from '../errors.ts'
import { EntryKind } from '../model/mutation.ts'
import { readInt32 } from '../model/row.ts'
import { OpenFiles, type PooledFile } from '../open-files.ts'
import { positionLength } from '../read/keys.ts'
import { Block, BlockCursor, compareBytes } from './block.ts'
import { BloomFilter } from './bloom.ts'
import { TableCursor } from './cursor.ts'
import {
  checkHeader,
  decodeFooter,
  decodeSection,
  FOOTER_BYTES,
  type Footer,
  fileSeed,
  HEADER_BYTES,
  SectionKind,
} from './format.ts'
import { IndexCursor } from './index.ts'
import { decodeStatistics, type TableStatistics } from './statistics.ts'
import { verifyTable } from './verify.ts'

export interface TableReaderOptions {
  readonly cache: BlockCache
  /** Where index blocks are kept instead, so that blocks of data do not drive them out. */
  readonly indexCache?: BlockCache
  /** Whose descriptors it uses; absent: one of its own. */
  readonly files?: OpenFiles
  /** What the manifest says of the file; a file of another id or length is refused. */
  readonly expected?: { readonly uid: Buffer; readonly fileBytes: number }
}

export interface CursorOptions {
  /**
   * Hints: the caller will not go outside [start, end), so no block is read only to see what lies there. Entries outside may still be given from
   * blocks that are read anyway.
   */
  readonly start?: Buffer
  readonly end?: Buffer
  /** False: blocks that must be read do not enter the cache, as in a compaction. Default true. */
  readonly fillCache?: boolean
  /** Much will be read in order, and once: data blocks of a table that is large beside the cache do not enter it. */
  readonly isScan?: boolean
}

/** Reads footer, root index, bloom filter and statistics: two reads, however large the file is. */
export async function openTableReader(disk: Disk, path: string, options: TableReaderOptions): Promise<TableReader> {
  const file = await (options.files ?? new OpenFiles(disk)).open(path)
  try {
    const size = await sizeOf(file)
    if (options.expected && options.expected.fileBytes !== size)
      throw new CorruptionError(
        path,
        size,
        `the file has ${size} bytes, the manifest says ${options.expected.fileBytes}`,
      )
    const footerBytes = await readExactly(file, Math.max(0, size - FOOTER_BYTES), Math.min(size, FOOTER_BYTES))
    const footer = decodeFooter(footerBytes, path, size)
    if (options.expected && !footer.uid.equals(options.expected.uid))
      throw new CorruptionError(path, size - FOOTER_BYTES, 'another SSTable lies under this name')
    const tail = await readExactly(file, footer.root.offset, size - FOOTER_BYTES - footer.root.offset)
    const seed = fileSeed(footer.uid)
    const section = async (handle: { offset: number; length: number }, kind: number): Promise<Buffer> => {
      const at = handle.offset - footer.root.offset
      return decodeSection(tail.subarray(at, at + handle.length), { kind, offset: handle.offset, seed, path })
    }
    const root = new Block(Buffer.from(await section(footer.root, SectionKind.ROOT)))
    const bloom = footer.bloom ? new BloomFilter(Buffer.from(await section(footer.bloom, SectionKind.BLOOM))) : null
    const statistics = decodeStatistics(await section(footer.statistics, SectionKind.STATISTICS))
    if (statistics === null) throw new CorruptionError(path, footer.statistics.offset, 'no statistics')
    const header = await readExactly(file, 0, HEADER_BYTES)
    checkHeader(header, footer.uid, path)
    return new TableReader(file, options, { footer, root, bloom, statistics, seed })
  } catch (error) {
    await file.close()
    throw error
  }
}

/** A table is small when this many of its size fit into the cache. */
const SMALL_TABLE_SHARE = 16
const NOTHING = Buffer.alloc(0)

interface TableParts {
  readonly footer: Footer
  readonly root: Block
  readonly bloom: BloomFilter | null
  readonly statistics: TableStatistics
  readonly seed: number
}

export class TableReader {
  readonly isFile = true
  readonly path: string
  readonly statistics: TableStatistics
  readonly footer: Footer
  readonly hasPartitionDeletions: boolean
  readonly hasStaticRows: boolean
  readonly hasRangeTombstones: boolean
  readonly maxTimestamp: { readonly high: number; readonly low: number } | null
  readonly #file: PooledFile
  readonly #seed: number
  readonly #root: Block
  readonly #bloom: BloomFilter | null
  readonly #cache: BlockCache
  readonly #cached: CachedFile
  readonly #indexCached: CachedFile
  /** False: index blocks are kept among those of data, as if there were no cache of keys. */
  keepsIndex = true
  /** Blocks that are being read, so that two who need one read it once. */
  readonly #loading = new Map<number, Promise<Block>>()
  /** For look-ups, which never wait while they use them. */
  readonly #lookup = new BlockCursor()
  readonly #lookupIndex: IndexCursor
  /** Of an index of two levels, where a look-up may have to wait; null while one is waiting. */
  #idleIndex: IndexCursor | null = null
  #closed = false
  /** How often the filter said maybe, how often a look-up then found nothing of the partition, and how often it said no. */
  bloomPositives = 0
  bloomFalsePositives = 0
  bloomNegatives = 0

  /** Use openTableReader. */
  constructor(file: PooledFile, options: TableReaderOptions, parts: TableParts) {
    this.path = file.path
    this.statistics = parts.statistics
    this.footer = parts.footer
    this.hasPartitionDeletions = parts.statistics.partitionDeletions > 0
    this.hasStaticRows = parts.statistics.staticRows > 0
    this.hasRangeTombstones = parts.statistics.rangeTombstones > 0
    const max = parts.statistics.maxTimestamp
    this.maxTimestamp = max === null ? null : { high: readInt32(max, 0), low: readInt32(max, 4) >>> 0 }
    this.#file = file
    this.#seed = parts.seed
    this.#root = parts.root
    this.#bloom = parts.bloom
    this.#cache = options.cache
    this.#cached = options.cache.openFile()
    this.#indexCached = (options.indexCache ?? options.cache).openFile()
    this.#lookupIndex = this.index(true)
  }

  get fileBytes(): number {
    return this.footer.fileBytes
  }

  /** Memory that it holds beside its blocks in the cache: the bloom filter, and the root of the index. */
  get filterBytes(): number {
    return this.#bloom?.bytes.length ?? 0
  }

  get indexBytes(): number {
    return this.#root.bytes.length
  }

  /** False only when the table certainly holds nothing of the partition. */
  mayHold(position: Buffer): boolean {
    const { minPosition, maxPosition } = this.statistics
    if (compareBytes(minPosition, 0, minPosition.length, position) > 0) return false
    if (compareBytes(maxPosition, 0, maxPosition.length, position) < 0) return false
    if (this.#bloom === null) return true
    if (this.#bloom.mightContain(position)) {
      this.bloomPositives++
      return true
    }
    this.bloomNegatives++
    return false
  }

  mayHoldRows(start: Buffer, end: Buffer): boolean {
    const { minClustering, maxClustering } = this.statistics
    if (minClustering === null || maxClustering === null) return false
    return end.compare(minClustering) > 0 && start.compare(maxClustering) <= 0
  }

  mayHoldRow(clustering: Buffer): boolean {
    const { minClustering, maxClustering } = this.statistics
    if (minClustering === null || maxClustering === null) return false
    return (
      compareBytes(minClustering, 0, minClustering.length, clustering) <= 0 &&
      compareBytes(maxClustering, 0, maxClustering.length, clustering) >= 0
    )
  }

  /** The value under a key: a view that stays true. */
  get(key: Buffer): Buffer | null | Promise<Buffer | null> {
    if (this.footer.indexLevels === 1) {
      const index = this.#lookupIndex
      index.seek(key)
      return index.valid ? this.#getFrom(index, key) : null
    }
    const index = this.#idleIndex ?? this.index(true)
    this.#idleIndex = null
    const wait = index.seek(key)
    if (wait) return wait.then(() => this.#getAndLeave(index, key))
    return this.#getAndLeave(index, key)
  }

  /** The cursor is free for the next look-up once the block is known. */
  #getAndLeave(index: IndexCursor, key: Buffer): Buffer | null | Promise<Buffer | null> {
    const found = index.valid ? this.#getFrom(index, key) : null
    this.#idleIndex = index
    return found
  }

  #getFrom(index: IndexCursor, key: Buffer): Buffer | null | Promise<Buffer | null> {
    const block = this.block(index.offset, index.length, true)
    if (block instanceof Promise) return block.then((loaded) => this.#find(loaded, key))
    return this.#find(block, key)
  }

  #find(block: Block, key: Buffer): Buffer | null {
    const cursor = this.#lookup
    cursor.reset(block)
    cursor.seek(key)
    if (cursor.valid && cursor.compare(key) === 0) return cursor.value
    if (this.#bloom !== null && isRowKey(key) && !this.#isBesidePartition(cursor, key)) this.bloomFalsePositives++
    return null
  }

  /** Whether the entry at the cursor, or the one before it, is of the key's partition. Else the partition is not here, but at a block's edge. */
  #isBesidePartition(cursor: BlockCursor, key: Buffer): boolean {
    const position = key.subarray(0, positionLength(key))
    if (cursor.valid && cursor.startsWith(position)) return true
    if (cursor.valid) cursor.previous()
    else cursor.last()
    return cursor.valid && cursor.startsWith(position)
  }

  /** A cursor on nothing yet: seek. */
  cursor(options: CursorOptions = {}): TableCursor {
    return new TableCursor(this, options)
  }

  /** Reads the whole file and checks all that can be: checksums, order, index, filter, statistics. */
  verify(): Promise<void> {
    return verifyTable(this)
  }

  /** For cursors. */
  index(fillCache: boolean): IndexCursor {
    const load =
      this.footer.indexLevels === 1
        ? null
        : (offset: number, length: number) => this.#block(offset, length, { kind: SectionKind.INDEX, fillCache })
    return new IndexCursor(this.#root, load)
  }

  /** Too large for the cache to keep after a scan. */
  get isLarge(): boolean {
    return this.fileBytes > this.#cache.bytesMax / SMALL_TABLE_SHARE
  }

  /** Where data and index blocks lie in the file. */
  get dataStart(): number {
    return HEADER_BYTES
  }

  get dataEnd(): number {
    return this.footer.root.offset
  }

  /** A block that is in memory. */
  cachedBlock(offset: number): Block | undefined {
    return this.#cached.peek(offset)
  }

  /** A data block from its stored bytes; null: the file ends before it. */
  decode(stored: Buffer | null, offset: number, fillCache: boolean): Block | Promise<Block> {
    const raw = decodeSection(stored ?? NOTHING, { kind: SectionKind.DATA, offset, seed: this.#seed, path: this.path })
    if (raw instanceof Promise) return raw.then((bytes) => this.#made(bytes, stored, offset, fillCache))
    return this.#made(raw, stored, offset, fillCache)
  }

  /** What is kept must not hold on to the bytes around it. */
  #made(raw: Buffer, stored: Buffer | null, offset: number, fillCache: boolean): Block {
    const block = new Block(fillCache && raw.buffer === stored?.buffer ? Buffer.from(raw) : raw)
    if (fillCache) this.#cached.put(offset, block)
    return block
  }

  /** A data block: at once when it is in memory. */
  block(offset: number, length: number, fillCache: boolean): Block | Promise<Block> {
    const block = this.#cached.get(offset)
    if (block !== undefined) return block
    return this.#read(offset, length, { kind: SectionKind.DATA, fillCache })
  }

  #block(offset: number, length: number, want: { kind: number; fillCache: boolean }): Block | Promise<Block> {
    return this.#cacheOf(want.kind).get(offset) ?? this.#read(offset, length, want)
  }

  #cacheOf(kind: number): CachedFile {
    return kind === SectionKind.INDEX && this.keepsIndex ? this.#indexCached : this.#cached
  }

  #read(offset: number, length: number, want: { kind: number; fillCache: boolean }): Promise<Block> {
    const loading = this.#loading.get(offset)
    if (loading) return loading
    const handle = this.#file.acquire()
    const reading =
      handle instanceof Promise
        ? handle.then(
            (opened) => this.#readFrom(opened, offset, length, want),
            (error: unknown) => this.#failed(error, offset),
          )
        : this.#readFrom(handle, offset, length, want)
    this.#loading.set(offset, reading)
    return reading
  }

  #readFrom(
    handle: DiskFile,
    offset: number,
    length: number,
    want: { kind: number; fillCache: boolean },
  ): Promise<Block> {
    const bytes = this.#cache.buffers.take(length)
    return handle.read(bytes, offset).then(
      (read) => {
        this.#file.release()
        return this.#loaded(read === length ? bytes : bytes.subarray(0, read), offset, want)
      },
      (error: unknown) => {
        this.#file.release()
        return this.#failed(error, offset)
      },
    )
  }

  #failed(error: unknown, offset: number): never {
    this.#loading.delete(offset)
    throw readFailure(error, this.path, offset)
  }

  #loaded(bytes: Buffer, offset: number, want: { kind: number; fillCache: boolean }): Block | Promise<Block> {
    this.#loading.delete(offset)
    const raw = decodeSection(bytes, { kind: want.kind, offset, seed: this.#seed, path: this.path })
    if (raw instanceof Promise) return raw.then((decoded) => this.#keep(decoded, offset, want))
    if (this.#cache.buffers.isOwn(bytes)) {
      // The buffer goes back to the stock.
      const own = raw.buffer === bytes.buffer ? Buffer.from(raw) : raw
      this.#cache.buffers.give(bytes)
      return this.#keep(own, offset, want)
    }
    return this.#keep(raw, offset, want)
  }

  #keep(raw: Buffer, offset: number, want: { kind: number; fillCache: boolean }): Block {
    const block = new Block(raw)
    if (want.fillCache) this.#cacheOf(want.kind).put(offset, block)
    return block
  }

  /** Reads and checks one section, past the cache. */
  async section(offset: number, length: number, kind: number): Promise<Buffer> {
    const bytes = await readExactly(this.#file, offset, length)
    return decodeSection(bytes, { kind, offset, seed: this.#seed, path: this.path })
  }

  /** Bytes as they are in the file. For verify. */
  read(offset: number, length: number): Promise<Buffer> {
    return readExactly(this.#file, offset, length)
  }

  /** The file is about to be renamed: it is looked for under both names. */
  movesTo(path: string): void {
    this.#file.movesTo = path
  }

  /** May be called twice. Cursors must not be used any more. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#cached.close()
    this.#indexCached.close()
    await this.#file.close()
  }
}

function isRowKey(key: Buffer): boolean {
  return key[positionLength(key)] === EntryKind.ROW
}

async function sizeOf(file: PooledFile): Promise<number> {
  const handle = await file.acquire()
  try {
    return await handle.size()
  } finally {
    file.release()
  }
}

/** Fewer bytes than asked for when the file ends early: what is made of them then fails its checks. */
async function readExactly(file: PooledFile, offset: number, length: number): Promise<Buffer> {
  if (length < 0) throw new CorruptionError(file.path, offset, 'the footer names places outside the file')
  const bytes = Buffer.allocUnsafeSlow(length)
  const handle = await file.acquire()
  try {
    const read = await handle.read(bytes, offset)
    return read === length ? bytes : bytes.subarray(0, read)
  } catch (error) {
    throw readFailure(error, file.path, offset)
  } finally {
    file.release()
  }
}
