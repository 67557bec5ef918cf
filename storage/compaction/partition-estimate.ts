/**
 * How many partitions several SSTables hold together: those that lie in more than one count once. A bloom filter made for too many wastes memory for as long as
 * its SSTable lives. Tokens are hashes, so a few places of the token range stand for all: there the inputs are merged, and what comes out is counted.
 */
import type { Disk } from '../../lib/runtime/runtime.ts'
import { positionLength } from '../read/keys.ts'
import type { TableReader } from '../sstable/reader.ts'
import { MergeCursor } from './merge-cursor.ts'
import { openTableScan, type TableScan } from './table-scan.ts'

const PLACES = 8
const PARTITIONS_PER_PLACE = 64
const ENTRIES_PER_PLACE = 2_000
const READ_BYTES = 32 * 1024
/** Below, the sum is good enough. */
const PARTITIONS_MIN = 20_000
/** A sample is no census. */
const MARGIN = 1.05

export async function estimatePartitions(disk: Disk, tables: readonly TableReader[]): Promise<number> {
  let sum = 0
  for (const { statistics } of tables) sum += statistics.partitions
  if (tables.length < 2 || sum < PARTITIONS_MIN) return sum
  const sample = { held: 0, distinct: 0 }
  for (let place = 0; place < PLACES; place++) await count(disk, tables, tokenAt(tables, place / PLACES), sample)
  if (sample.distinct < PARTITIONS_PER_PLACE) return sum
  return Math.min(sum, Math.ceil((sum * sample.distinct * MARGIN) / sample.held))
}

/** The token at that share of the way from the first to the last. */
function tokenAt(tables: readonly TableReader[], share: number): Buffer {
  let first = Number.POSITIVE_INFINITY
  let last = 0
  for (const { statistics } of tables) {
    first = Math.min(first, statistics.minPosition.readUInt32BE(0))
    last = Math.max(last, statistics.maxPosition.readUInt32BE(0))
  }
  const token = Buffer.alloc(8)
  token.writeUInt32BE(Math.floor(first + (last - first) * share), 0)
  return token
}

async function count(
  disk: Disk,
  tables: readonly TableReader[],
  token: Buffer,
  sample: { held: number; distinct: number },
): Promise<void> {
  const scans: TableScan[] = []
  try {
    for (const table of tables) {
      const scan = await openTableScan(disk, table, READ_BYTES)
      scans.push(scan)
      await scan.seek(token)
    }
    const cursor = new MergeCursor(scans)
    cursor.start()
    const holders = new Set<TableScan>()
    let position: Buffer | null = null
    let partitions = 0
    for (let entries = 0; cursor.key !== null && entries < ENTRIES_PER_PLACE; entries++) {
      const { key } = cursor
      const length = positionLength(key)
      if (position === null || position.length !== length || key.compare(position, 0, length, 0, length) !== 0) {
        sample.held += holders.size
        holders.clear()
        if (partitions === PARTITIONS_PER_PLACE) break
        partitions++
        sample.distinct++
        position = Buffer.from(key.subarray(0, length))
      }
      for (const scan of cursor.at) holders.add(scan)
      const wait = cursor.next()
      if (wait) await wait
    }
    sample.held += holders.size
  } finally {
    for (const scan of scans) await scan.close()
  }
}
