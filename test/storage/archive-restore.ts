/** Restoring from archived commit-log segments: all that was written until a point in time, whatever became of it since. */
import t from 'tap'
import { parsePointInTime } from '../../lib/config/units.ts'
import { openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { newestTimestamp } from '../../storage/archive-restore.ts'
import { MutationReader, MutationWriter } from '../../storage/model/mutation.ts'
import { ONE, openWorld, type SnapshotWorld, TWO } from '../support/snapshot-world.ts'

const ARCHIVE = '/archive'
const SETTINGS = { commitLog: { mode: 'group', segmentBytes: 4096, archiveDirectory: ARCHIVE } } as const
const FILLER = 'x'.repeat(300)

/** A node that wrote, deleted, truncated, and stopped: its archive is all that is left. */
async function archived(): Promise<SimulatedDisk> {
  const world = await openWorld(openSimulatedDisk(), SETTINGS)
  for (let i = 1; i <= 40; i++) await world.put(i % 2 ? ONE : TWO, `key ${i}`, `${i} ${FILLER}`, BigInt(i))
  await world.put(ONE, 'key 1', 'overwritten', 50n)
  await world.wait(world.store.truncate(TWO))
  await world.put(TWO, 'key 99', 'after', 60n)
  await world.close()
  const files = new Map([...world.disk.files()].filter(([path]) => path.startsWith(ARCHIVE)))
  return openSimulatedDisk({ files, directories: ['/', ARCHIVE] })
}

async function numbers(world: SnapshotWorld, table: string): Promise<string> {
  return (await world.values(table))
    .map((row) => row.replace(/key \d+=/, '').replace(` ${FILLER}`, ''))
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
    .join(' ')
}

t.test('all of it, or what was written until then; again and again with the same result', async (t) => {
  const disk = await archived()
  t.ok((await disk.list(ARCHIVE)).length > 3)
  const world = await openWorld(disk)
  const restore = (untilMicros: number | null) =>
    world.wait(world.store.restoreArchive({ directories: [ARCHIVE], untilMicros }))
  t.same(await restore(10), { segments: (await disk.list(ARCHIVE)).length, restored: 10, tooNew: 32, unknown: 0 })
  t.equal(await numbers(world, ONE), '1 3 5 7 9')
  t.equal(await numbers(world, TWO), '2 4 6 8 10')
  t.match(await restore(10), { restored: 10 })
  t.equal(await numbers(world, ONE), '1 3 5 7 9')
  await restore(null)
  const one = await numbers(world, ONE)
  t.ok(one.includes('overwritten') && one.includes(' 39') && !one.startsWith('1 '))
  t.equal((await world.values(TWO)).length, 21, 'also what was truncated')
  await world.close()
  const again = await openWorld(disk.crash(0, { float: () => 0 } as never))
  t.equal(await numbers(again, ONE), one, 'what was restored is durable')
  await again.close()
})

t.test('a damaged segment ends it, by name; a missing one does not', async (t) => {
  const disk = await archived()
  const path = `${ARCHIVE}/${(await disk.list(ARCHIVE))[1]}`
  const content = disk.files().get(path)!
  const damaged = Buffer.from(content)
  damaged[200]! ^= 1
  disk.overwrite(path, damaged)
  const world = await openWorld(disk)
  const restore = () => world.wait(world.store.restoreArchive({ directories: [ARCHIVE], untilMicros: null }))
  // The mark behind its groups tells that they were synced.
  await t.rejects(restore(), { name: 'CorruptionError', path })
  await disk.remove(path)
  const { restored } = await restore()
  t.ok(restored > 20 && restored < 42, `${restored} mutations`)
  await world.close()
})

t.test('the newest timestamp of a mutation is that of any of its parts', (t) => {
  const writer = new MutationWriter()
  const newest = (write: () => void): bigint => {
    writer.begin(Buffer.alloc(16), 0, 0, Buffer.from('k'))
    write()
    return newestTimestamp(new MutationReader().reset(Buffer.from(writer.finish())))
  }
  t.equal(
    newest(() => writer.partitionDeletion(-1, 0xfffffffe, 1)),
    -2n,
  )
  t.equal(
    newest(() => {
      writer.rangeTombstone(Buffer.from('a'), Buffer.from('b'), 1, 5, 1)
      writer.partitionDeletion(0, 7, 1)
    }),
    2n ** 32n + 5n,
  )
  t.equal(
    newest(() => {
      writer.beginRow(Buffer.from('a'))
      writer.row.liveness(0, 3, 0, 0)
      writer.row.cell(1, 0, 3, Buffer.from('v'))
      writer.row.cell(2, 0, 9, Buffer.from('v'))
      writer.endRow()
      writer.beginRow(Buffer.from('b'))
      writer.row.deletion(0, 8, 1)
      writer.endRow()
    }),
    9n,
  )
  t.end()
})

t.test('points in time as Cassandra writes them, and as ISO 8601', (t) => {
  const ms = Date.UTC(2026, 10, 21, 10, 30, 5)
  t.equal(parsePointInTime('2026:11:21 10:30:05'), ms * 1000)
  t.equal(parsePointInTime('2026:11:21 10:30:05.123456'), ms * 1000 + 123_456)
  t.equal(parsePointInTime('2026-11-21T10:30:05.5Z'), ms * 1000 + 500_000)
  for (const wrong of ['', '2026:11:21', '2026:13:21 10:30:05', 'yesterday']) t.throws(() => parsePointInTime(wrong))
  t.end()
})
