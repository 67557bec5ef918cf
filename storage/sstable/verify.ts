/** Checks a whole SSTable: what a scrub does, and what streaming does before it takes a file in. */
import { CorruptionError } from '../errors.ts'
import { Block, BlockCursor } from './block.ts'
import { checkHeader, FOOTER_BYTES, HEADER_BYTES, SECTION_HEAD_BYTES, SectionKind, sectionLength } from './format.ts'
import type { TableReader } from './reader.ts'

const POSITION_HEAD_BYTES = 10

/** Throws CorruptionError at the first thing that is wrong. Reads block by block, past the cache. */
export async function verifyTable(table: TableReader): Promise<void> {
  const { footer, path, statistics } = table
  const damaged = (offset: number, what: string): CorruptionError => new CorruptionError(path, offset, what)
  checkHeader(await table.read(0, HEADER_BYTES), footer.uid, path)
  const index = table.index(false)
  const cursor = new BlockCursor()
  let lastKey: Buffer = Buffer.alloc(0)
  let lastPosition: Buffer = Buffer.alloc(0)
  /** The separator before this block: its keys are all greater. */
  let bound: Buffer = Buffer.alloc(0)
  let entries = 0
  let partitions = 0
  await index.first()
  for (let offset = HEADER_BYTES; offset < footer.root.offset; ) {
    const head = await table.read(offset, SECTION_HEAD_BYTES)
    if (head.length < SECTION_HEAD_BYTES) throw damaged(offset, 'the block is cut short')
    const length = sectionLength(head)
    if (offset + length > footer.root.offset) throw damaged(offset, 'a block reaches into the index')
    const kind = head[4]!
    if (kind !== SectionKind.DATA && kind !== SectionKind.INDEX) throw damaged(offset, `a block of kind ${kind}`)
    const block = new Block(await table.section(offset, length, kind))
    if (kind === SectionKind.DATA) {
      if (!index.valid || index.offset !== offset || index.length !== length)
        throw damaged(offset, 'the index does not name this block')
      cursor.reset(block)
      for (cursor.first(); cursor.valid; cursor.next()) {
        const { key } = cursor
        if (lastKey.compare(key) >= 0 || bound.compare(key) >= 0) throw damaged(offset, 'keys do not ascend')
        const position = key.subarray(0, POSITION_HEAD_BYTES + key.readUInt16BE(8))
        if (!position.equals(lastPosition)) {
          partitions += 1
          lastPosition = position
          if (!table.mayHold(position)) throw damaged(offset, 'filter or bounds do not know a partition')
        }
        entries += 1
        lastKey = key
      }
      if (index.compareSeparator(lastKey) < 0) throw damaged(offset, 'the index ends the block too early')
      bound = index.separator
      await index.next()
    }
    offset += length
  }
  if (index.valid) throw damaged(footer.root.offset, 'the index names a block that is not there')
  if (entries !== statistics.entries || partitions !== statistics.partitions)
    throw damaged(footer.statistics.offset, `${entries} entries, statistics say ${statistics.entries}`)
  const last = footer.statistics.offset + footer.statistics.length
  if (last + FOOTER_BYTES !== footer.fileBytes) throw damaged(last, 'bytes that belong to no part')
}
