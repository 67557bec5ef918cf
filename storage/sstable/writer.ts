/**
 * Writes one SSTable from entries in ascending order, in one pass and bounded memory.
 * Always: when finish() resolves, the file and its name survive a power loss; before, no manifest may name it. After an error, abort().
 */
import { assert } from '../../lib/base/assert.ts'
import type { Disk, DiskFile } from '../../lib/runtime/runtime.ts'
import { BlockBuilder, compareBytes } from './block.ts'
import { type BloomFilter, createBloomFilter } from './bloom.ts'
import {
  encodeFooter,
  encodeHeader,
  encodeSection,
  FOOTER_BYTES,
  fileSeed,
  type Handle,
  SectionKind,
} from './format.ts'
import { IndexBuilder, separator } from './index.ts'
import { encodeStatistics, StatisticsCollector, type TableOwner, type TableStatistics } from './statistics.ts'

export interface TableWriterOptions {
  /** 8 random bytes that no other file has. */
  readonly uid: Buffer
  /** At least as many partitions as will come, roughly: the bloom filter is made for it. */
  readonly partitionsEstimate: number
  /** bloom_filter_fp_chance. Default 0.01; 1: no filter. */
  readonly falsePositiveChance?: number
  /** Default true: LZ4. */
  readonly compressed?: boolean
  /** Raw bytes of a data block. Default 4 KiB: smaller reads less for a look-up, larger compresses better. */
  readonly blockBytes?: number
  /** Keys between two restart points. */
  readonly restartInterval?: number
  readonly indexBlockBytes?: number
  /**
   * A sync begins whenever so much was written, while writing goes on. Default 8 MiB. One sync of all at the end would hold up the commit log's on
   * the same disk.
   */
  readonly syncBytes?: number
  /** Kept in the file. */
  readonly owner?: TableOwner
}

/** What the manifest needs to know. */
export interface WrittenTable {
  readonly path: string
  readonly uid: Buffer
  readonly fileBytes: number
  readonly statistics: TableStatistics
}

const DATA_BLOCK_BYTES = 4 * 1024
const RESTART_INTERVAL = 4
/** Bytes that are gathered before they are written. */
const WRITE_BYTES = 512 * 1024
/** Source: RocksDB's bytes_per_sync. */
const SYNC_BYTES = 8 * 1024 * 1024
/** As lib/types and mutation.ts: token 8 and key length 2 before the partition key. */
const POSITION_HEAD_BYTES = 10

/** Creates the file; it must not exist. */
export async function openTableWriter(disk: Disk, path: string, options: TableWriterOptions): Promise<TableWriter> {
  return new TableWriter(disk, await disk.open(path, 'create'), options)
}

export class TableWriter {
  readonly #disk: Disk
  readonly #file: DiskFile
  readonly #uid: Buffer
  readonly #seed: number
  readonly #compressed: boolean
  readonly #blockBytes: number
  readonly #block: BlockBuilder
  readonly #index: IndexBuilder
  readonly #bloom: BloomFilter | null
  readonly #owner: TableOwner | null
  readonly #statistics = new StatisticsCollector()
  #lastKey: Buffer = Buffer.alloc(0)
  #position: Buffer = Buffer.alloc(0)
  #gathered: Buffer[] = []
  #gatheredBytes = 0
  /** Where the gathered bytes will be, and where the next section begins. */
  #writeOffset = 0
  #unsyncedBytes = 0
  readonly #syncBytes: number
  #syncing: Promise<void> = Promise.resolve()
  #offset = 0
  #closed = false

  /** Use openTableWriter. */
  constructor(disk: Disk, file: DiskFile, options: TableWriterOptions) {
    this.#disk = disk
    this.#file = file
    this.#uid = options.uid
    this.#seed = fileSeed(options.uid)
    this.#compressed = options.compressed ?? true
    this.#blockBytes = options.blockBytes ?? DATA_BLOCK_BYTES
    this.#block = new BlockBuilder(options.restartInterval ?? RESTART_INTERVAL)
    this.#syncBytes = options.syncBytes ?? SYNC_BYTES
    this.#index = new IndexBuilder(options.indexBlockBytes)
    this.#owner = options.owner ?? null
    this.#bloom = createBloomFilter(options.partitionsEstimate, options.falsePositiveChance ?? 0.01)
    this.#gather(encodeHeader(options.uid))
  }

  /** Bytes of the file so far, roughly: for cutting tables at a size. */
  get fileBytes(): number {
    return this.#offset + this.#block.size
  }

  /**
   * Adds one entry; its key must be greater than all before. Key and value are copied, unless a promise is returned: then they must stay as they are
   * until it resolves, and nothing may be added before.
   */
  add(key: Buffer, value: Buffer): Promise<void> | undefined {
    assert(compareBytes(this.#lastKey, 0, this.#lastKey.length, key) < 0, 'entries ascend')
    const size = key.length + value.length
    if (this.#block.count > 0 && this.#block.size + size > this.#blockBytes) {
      const wait = this.#finishBlock(key)
      if (wait) return wait.then(() => this.#put(key, value))
    }
    return this.#put(key, value)
  }

  #put(key: Buffer, value: Buffer): undefined {
    const positionLength = POSITION_HEAD_BYTES + ((key[8]! << 8) | key[9]!)
    assert(key.length > positionLength && key[positionLength]! <= 3, 'a key has a position and a kind')
    if (this.#position.length !== positionLength || compareBytes(key, 0, positionLength, this.#position) !== 0) {
      this.#position = Buffer.from(key.subarray(0, positionLength))
      this.#bloom?.add(this.#position)
      this.#statistics.partition(this.#position)
    }
    this.#statistics.entry(key, positionLength, value)
    this.#block.add(key, value)
    this.#lastKey = Buffer.from(key)
    return undefined
  }

  /** Ends the data block. `next` is the key that will follow, null at the end. */
  #finishBlock(next: Buffer | null): Promise<void> | undefined {
    const bytes = encodeSection(this.#block.finish(), this.#place(SectionKind.DATA))
    if (bytes instanceof Promise) return bytes.then((encoded) => this.#blockEncoded(encoded, next))
    return this.#blockEncoded(bytes, next)
  }

  #blockEncoded(bytes: Buffer, next: Buffer | null): Promise<void> | undefined {
    const handle = this.#gather(bytes)
    const boundary = next === null ? this.#lastKey : separator(this.#lastKey, next)
    if (this.#index.add(boundary, handle)) this.#writeLeaf()
    return this.#gatheredBytes >= WRITE_BYTES ? this.#write() : undefined
  }

  #writeLeaf(): void {
    const bytes = encodeSection(this.#index.takeLeaf(), this.#place(SectionKind.INDEX))
    assert(!(bytes instanceof Promise), 'index blocks are small')
    this.#index.leafWritten(this.#gather(bytes))
  }

  #place(kind: number): { kind: number; offset: number; seed: number; compressed: boolean } {
    return { kind, offset: this.#offset, seed: this.#seed, compressed: this.#compressed }
  }

  #gather(bytes: Buffer): Handle {
    const handle = { offset: this.#offset, length: bytes.length }
    this.#gathered.push(bytes)
    this.#gatheredBytes += bytes.length
    this.#offset += bytes.length
    return handle
  }

  async #write(): Promise<void> {
    const bytes = this.#gathered.length === 1 ? this.#gathered[0]! : Buffer.concat(this.#gathered)
    const offset = this.#writeOffset
    this.#gathered = []
    this.#gatheredBytes = 0
    this.#writeOffset += bytes.length
    await this.#file.write(bytes, offset)
    this.#unsyncedBytes += bytes.length
    if (this.#unsyncedBytes >= this.#syncBytes) await this.#beginSync()
  }

  /** Fails as the sync before did: what that should have saved no other sync will. */
  async #beginSync(): Promise<void> {
    this.#unsyncedBytes = 0
    await this.#syncing
    const syncing = this.#file.sync()
    syncing.catch(() => {})
    this.#syncing = syncing
  }

  /** Writes what is left, syncs file and directory, and closes. There must be an entry. */
  async finish(): Promise<WrittenTable> {
    assert(this.#lastKey.length > 0, 'an SSTable has an entry')
    await this.#finishBlock(null)
    if (this.#index.hasOpenLeaf) this.#writeLeaf()
    const { levels } = this.#index
    const root = await this.#section(this.#index.takeRoot(), SectionKind.ROOT)
    const bloom = this.#bloom ? await this.#section(this.#bloom.bytes, SectionKind.BLOOM) : null
    const statistics = this.#statistics.finish(this.#owner)
    const described = await this.#section(encodeStatistics(statistics), SectionKind.STATISTICS)
    const fileBytes = this.#offset + FOOTER_BYTES
    this.#gather(encodeFooter({ root, bloom, statistics: described, indexLevels: levels, fileBytes, uid: this.#uid }))
    assert(this.#offset === fileBytes)
    await this.#write()
    await this.#syncing
    await this.#file.sync()
    await this.#close()
    const { path } = this.#file
    await this.#disk.syncDirectory(path.slice(0, path.lastIndexOf('/')))
    return { path, uid: this.#uid, fileBytes, statistics }
  }

  async #section(raw: Buffer, kind: number): Promise<Handle> {
    const compressed = this.#compressed && kind !== SectionKind.BLOOM
    return this.#gather(await encodeSection(raw, { ...this.#place(kind), compressed }))
  }

  /** Gives up and removes the file. */
  async abort(): Promise<void> {
    await this.#close()
    await this.#disk.remove(this.#file.path)
  }

  async #close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#syncing.catch(() => {})
    await this.#file.close()
  }
}
