/**
 * The data blocks of an SSTable, one after the other, as far as they can be read: what is damaged is told, and passed over. Goes by the blocks' own
 * lengths, so that a file without its end (cut, or still being written) is read too; where a head is damaged the index, if it can be read, says where to go on.
 */
import type { Disk, DiskFile } from '../../lib/runtime/runtime.ts'
import { BlockCache } from '../../storage/cache.ts'
import { CorruptionError } from '../../storage/errors.ts'
import { Block } from '../../storage/sstable/block.ts'
import {
  decodeSection,
  fileSeed,
  HEADER_BYTES,
  SECTION_HEAD_BYTES,
  SectionKind,
  sectionLength,
} from '../../storage/sstable/format.ts'
import { openTableReader, type TableReader } from '../../storage/sstable/reader.ts'

export interface FoundBlock {
  readonly offset: number
  readonly block: Block
}

class BlockScan {
  readonly path: string
  /** Null: its end cannot be read, `problems` says why. */
  readonly reader: TableReader | null
  /** What is damaged, found so far. */
  readonly problems: Error[] = []
  readonly #file: DiskFile

  /** Use openBlockScan. */
  constructor(file: DiskFile, reader: TableReader | null) {
    this.path = file.path
    this.#file = file
    this.reader = reader
  }

  async *blocks(): AsyncGenerator<FoundBlock> {
    const size = await this.#file.size()
    const header = await this.#read(0, HEADER_BYTES)
    const uid = this.reader?.footer.uid ?? header.subarray(12, 20)
    const seed = fileSeed(Buffer.from(uid))
    const end = this.reader?.footer.root.offset ?? size
    for (let offset = HEADER_BYTES; offset < end; ) {
      const head = await this.#read(offset, SECTION_HEAD_BYTES)
      const kind = head[4]
      const length = head.length === SECTION_HEAD_BYTES ? sectionLength(head) : 0
      if (kind === SectionKind.ROOT && this.reader === null) return
      if ((kind !== SectionKind.DATA && kind !== SectionKind.INDEX) || length === 0 || offset + length > end) {
        this.problems.push(new CorruptionError(this.path, offset, 'here no block begins'))
        const next = await this.#after(offset)
        if (next === null) return
        offset = next
        continue
      }
      try {
        const bytes = await this.#read(offset, length)
        const raw = await decodeSection(bytes, { kind, offset, seed, path: this.path })
        if (kind === SectionKind.DATA) yield { offset, block: new Block(Buffer.from(raw)) }
      } catch (error) {
        if (!(error instanceof CorruptionError)) throw error
        this.problems.push(error)
        // Its length may be what is damaged.
        offset = (await this.#after(offset)) ?? offset + length
        continue
      }
      offset += length
    }
  }

  /** The next block that the index names. */
  async #after(offset: number): Promise<number | null> {
    if (this.reader === null) return null
    try {
      const index = this.reader.index(false)
      for (await index.first(); index.valid; await index.next()) if (index.offset > offset) return index.offset
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error
      this.problems.push(error)
    }
    return null
  }

  async #read(offset: number, length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length)
    return bytes.subarray(0, await this.#file.read(bytes, offset))
  }

  async close(): Promise<void> {
    await this.reader?.close()
    await this.#file.close()
  }
}

export async function openBlockScan(disk: Disk, path: string): Promise<BlockScan> {
  const file = await disk.open(path, 'read')
  try {
    const reader = await openTableReader(disk, path, { cache: new BlockCache(0) })
    return new BlockScan(file, reader)
  } catch (error) {
    if (!(error instanceof CorruptionError)) {
      await file.close()
      throw error
    }
    const scan = new BlockScan(file, null)
    scan.problems.push(error)
    return scan
  }
}
