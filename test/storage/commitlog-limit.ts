/** The commit log keeps to its size under load, since flushes follow; and a replay of much of it keeps to the memory of memtables. */
import t from 'tap'
import { openSimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { ONE, openWorld, TWO } from '../support/snapshot-world.ts'

const SEGMENT = 16 * 1024
const TOTAL = 8 * SEGMENT

t.test('a table that is hardly written to does not keep the log alive', async (t) => {
  for (const mode of ['group', 'batch', 'periodic'] as const) {
    const settings = { commitLog: { mode, segmentBytes: SEGMENT, totalBytes: TOTAL, syncPeriodMs: 50 } }
    const world = await openWorld(openSimulatedDisk(), settings)
    let most = 0
    for (let i = 0; i < 400; i++) {
      await world.put(i % 100 === 0 ? TWO : ONE, `key ${i % 50}`, 'x'.repeat(2_000), BigInt(i))
      await world.clock.advance(5)
      most = Math.max(most, world.store.reports.statistics.commitLogBytes)
    }
    // 400 records of 2 KB fill 50 segments. The one that is written to, and those whose flush is under way, come on top.
    t.ok(most > TOTAL / 2 && most <= TOTAL + 3 * SEGMENT, `${mode}: ${most} bytes at most`)
    t.ok(world.store.reports.statistics.flushes > 4)
    await world.close()
    const again = await openWorld(world.disk, settings)
    t.equal((await again.values(ONE)).length, 50)
    await again.close()
  }
})

t.test('a replay of far more than the memtables may take flushes on its way', async (t) => {
  const first = await openWorld(openSimulatedDisk(), { commitLog: { mode: 'group', segmentBytes: SEGMENT } })
  for (let i = 0; i < 300; i++) await first.put(ONE, `key ${i}`, 'x'.repeat(2_000), BigInt(i))
  const disk = first.disk.crash(0, createSeededRandom(1))
  await first.close()
  const memtableBytesMax = 100_000
  const world = await openWorld(disk, { memtableBytesMax, commitLog: { mode: 'group', segmentBytes: SEGMENT } })
  t.ok(world.store.reports.statistics.flushes > 3, `${world.store.reports.statistics.flushes} flushes`)
  t.ok(world.store.reports.statistics.memtableBytes <= memtableBytesMax)
  t.equal((await world.values(ONE)).length, 300)
  await world.close()
})
