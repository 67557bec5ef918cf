/** How many partitions a merge is taken to give: within a fifth, however much its inputs share. */
import t from 'tap'
import { openSimulatedDisk } from '../../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../../lib/runtime/simulated/random.ts'
import { estimatePartitions } from '../../../storage/compaction/partition-estimate.ts'
import { RowWriter } from '../../../storage/model/row-writer.ts'
import type { TableReader } from '../../../storage/sstable/reader.ts'
import { openTableWriter } from '../../../storage/sstable/writer.ts'
import { open } from '../../support/compaction.ts'
import { testSeed } from '../../support/random.ts'

const PARTITIONS = 12_000

t.test('shared partitions count once', async (t) => {
  const seed = testSeed()
  const random = createSeededRandom(seed)
  const writer = new RowWriter()
  writer.begin()
  writer.liveness(0, 1, 0, 0)
  writer.end()
  const row = Buffer.from(writer.out.view())
  for (const shared of [0, 0.3, 0.9, 1]) {
    const disk = openSimulatedDisk()
    const tables: TableReader[] = []
    const fresh = (): Buffer => {
      const key = random.fill(Buffer.alloc(12))
      key.writeUInt16BE(1, 8)
      key[11] = 3
      return key
    }
    const common = Array.from({ length: PARTITIONS * shared }, fresh)
    for (let i = 0; i < 3; i++) {
      const keys = [...common]
      while (keys.length < PARTITIONS) keys.push(fresh())
      keys.sort(Buffer.compare)
      const uid = Buffer.alloc(8, i + 1)
      const file = await openTableWriter(disk, `/${i}.sst`, { uid, partitionsEstimate: PARTITIONS })
      for (const key of keys) await file.add(key, row)
      await file.finish()
      tables.push(await open(disk, `/${i}.sst`))
    }
    const exact = PARTITIONS * (shared + 3 * (1 - shared))
    const estimate = await estimatePartitions(disk, tables)
    t.ok(Math.abs(estimate / exact - 1) < 0.2, `TEST_SEED=${seed}: ${estimate} for ${exact}`)
    t.equal(await estimatePartitions(disk, tables.slice(0, 1)), PARTITIONS)
  }
})
