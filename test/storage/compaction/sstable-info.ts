/** What strategies are told of an SSTable. */
import t from 'tap'
import { sstableInfo } from '../../../storage/compaction/sstable-info.ts'
import { NEVER_DROPPED } from '../../../storage/compaction/strategy.ts'
import { Memtable } from '../../../storage/memtable.ts'
import { LastWriteWins } from '../../../storage/model/merge.ts'
import { MutationReader, MutationWriter } from '../../../storage/model/mutation.ts'
import { StatisticsCollector } from '../../../storage/sstable/statistics.ts'

/** The statistics of a memtable's rows, one in each of some partitions: with a TTL that ends then (0: none). */
function statistics(expiries: readonly number[], timestamp: number) {
  const memtable = new Memtable(new LastWriteWins())
  const writer = new MutationWriter()
  for (const [i, expiresAt] of expiries.entries()) {
    writer.begin(Buffer.alloc(16), i, 0, Buffer.from('key'))
    writer.beginRow(Buffer.alloc(0))
    writer.row.liveness(Math.floor(timestamp / 2 ** 32), timestamp | 0, expiresAt === 0 ? 0 : 60, expiresAt)
    writer.endRow()
    memtable.apply(new MutationReader().reset(writer.finish()))
  }
  const collector = new StatisticsCollector()
  const cursor = memtable.cursor()
  for (cursor.seek(Buffer.alloc(0)); cursor.valid; cursor.next()) {
    const length = 10 + cursor.key.readUInt16BE(8)
    collector.partition(Buffer.from(cursor.key.subarray(0, length)))
    collector.entry(cursor.key, length, cursor.value)
  }
  return collector.finish()
}

const FILE = {
  number: 7,
  level: 2,
  fileBytes: 1234,
  uid: Buffer.alloc(8),
  minPosition: Buffer.from('a'),
  maxPosition: Buffer.from('b'),
  repairedAtMs: 9,
}
const STATE = { isCompacting: true, madeAtMs: 5, gcBefore: 6000 }

t.test('all expires', async (t) => {
  const info = sstableInfo(FILE, statistics([3000, 6000, 9000, 12_000], 1_700_000_000_000_000), STATE)
  t.same(info, {
    number: 7,
    level: 2,
    fileBytes: 1234,
    minPosition: FILE.minPosition,
    maxPosition: FILE.maxPosition,
    minTimestamp: 1_700_000_000_000_000n,
    maxTimestamp: 1_700_000_000_000_000n,
    lastDropSeconds: 12_000,
    droppable: 0.5,
    isDroppableLater: true,
    madeAtMs: 5,
    repairedAtMs: 9,
    isCompacting: true,
  })
})

t.test('something stays', async (t) => {
  const info = sstableInfo(FILE, statistics([3000, 0, 0, 0], -5), STATE)
  t.equal(info.lastDropSeconds, NEVER_DROPPED)
  t.equal(info.droppable, 0.25)
  t.equal(info.minTimestamp, -5n)
})
