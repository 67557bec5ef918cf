/**
 * Compaction when things go wrong: the power goes, the disk fails, somebody stops it or writes something older, its thread dies; at each operation of the disk.
 * What is read stays the same, and nothing is left on disk that nobody needs.
 */
import t from 'tap'
import { diskError, openSimulatedDisk, type SimulatedDisk } from '../../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../../lib/runtime/simulated/random.ts'
import { TABLE } from '../../support/compaction.ts'
import { openWorld, type World, type WorldOptions } from '../../support/compaction-world.ts'

/** Tombstones of 100 seconds may go. */
const OPTIONS: WorldOptions = { options: { gcGraceSeconds: 10 } }

/** Four SSTables: values, newer values, and deletions that are old enough to go. */
async function fill(world: World): Promise<Record<string, string>> {
  world.store.compactions!.setAutomatic(TABLE, false)
  const expected: Record<string, string> = {}
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 6; i++) {
      const partition = `p${i}`
      if (round === 3 && i % 3 === 0) {
        world.erase(partition, 200)
        delete expected[partition]
      } else {
        world.put(partition, 100 + round, `v${round}`)
        expected[partition] = `v${round}`
      }
    }
    await world.flush()
  }
  return expected
}

/** The compaction of what was filled in, to its end. */
async function compact(world: World): Promise<void> {
  world.store.compactions!.setAutomatic(TABLE, true)
  await world.quiet()
}

/** Calls `at` before each use of the disk for SSTables or manifest, with their count; returns how many there were. */
function watch(disk: SimulatedDisk, at: (index: number, operation: string, path: string) => void): () => number {
  let index = 0
  disk.onOperation = (operation, path) => {
    if (path.includes('/tables/')) at(index++, operation, path)
  }
  return () => index
}

/** What is wrong, if anything. */
async function check(world: World, expected: Record<string, string>, what: string): Promise<string[]> {
  const seen = JSON.stringify(await world.seen())
  const wrong: string[] = []
  if (seen !== JSON.stringify(expected)) wrong.push(`${what}: ${seen} is seen`)
  const { files } = world.store.reports.statistics
  if (world.sstables().length !== files) wrong.push(`${what}: ${files} of ${world.sstables().length} SSTables are live`)
  return wrong
}

/** How often a compaction uses the disk. */
async function countOperations(): Promise<number> {
  const world = await openWorld(OPTIONS)
  await fill(world)
  const count = watch(world.disk, () => {})
  await compact(world)
  world.disk.onOperation = null
  await world.wait(world.store.close())
  return count()
}

const operations = await countOperations()

t.test('it purges what it may', async (t) => {
  const world = await openWorld(OPTIONS)
  const expected = await fill(world)
  await compact(world)
  t.same(await check(world, expected, 'compacted'), [])
  t.equal(world.store.reports.tableEstimate(TABLE)!.partitions, 4, 'deleted partitions are gone with their tombstones')
  t.ok(operations > 30, `${operations} operations`)
})

t.test('the power goes', async (t) => {
  const world = await openWorld(OPTIONS)
  const expected = await fill(world)
  const random = createSeededRandom(7)
  const left: { readonly at: string; readonly disk: SimulatedDisk }[] = []
  watch(world.disk, (index, operation, path) => {
    if (operation === 'read' || operation === 'open') return
    for (const survival of [0, 0.5, 1])
      left.push({ at: `${index} ${operation} ${path} ${survival}`, disk: world.disk.crash(survival, random) })
  })
  await compact(world)
  const problems: string[] = []
  for (const { at, disk } of left) {
    const found = await openWorld({ ...OPTIONS, disk, compaction: { automatic: false } })
    problems.push(...(await check(found, expected, at)))
    await compact(found)
    problems.push(...(await check(found, expected, `${at}, compacted again`)))
    if (found.store.reports.statistics.files !== 1) problems.push(`${at}: is not compacted again`)
    await found.wait(found.store.close())
  }
  t.same(problems, [], `${left.length} disks`)
})

for (const code of ['EIO', 'ENOSPC'])
  t.test(`${code}`, async (t) => {
    const problems: string[] = []
    for (let failing = 0; failing < operations; failing++) {
      const world = await openWorld(OPTIONS)
      const expected = await fill(world)
      let at = ''
      watch(world.disk, (index, operation, path) => {
        if (index !== failing) return
        at = `${index} ${operation} ${path}`
        if (code === 'ENOSPC' && (operation === 'read' || operation === 'open')) return
        throw diskError(code, path)
      })
      await compact(world)
      world.disk.onOperation = null
      if (JSON.stringify(await world.seen()) !== JSON.stringify(expected)) problems.push(`${at}: wrong`)
      // After a failed write to the manifest only a restart helps, and an SSTable that cannot be read is set aside until then.
      if (!at.includes('MANIFEST') && !(code === 'EIO' && / (open|read) /.test(at))) {
        await world.clock.advance(5_000)
        await world.quiet()
        if (world.store.reports.statistics.files !== 1) problems.push(`${at}: is not tried again`)
      }
      await world.reopen()
      await world.quiet()
      problems.push(...(await check(world, expected, `${at}, opened again`)))
      await world.wait(world.store.close())
    }
    t.same(problems, [], `${operations} operations`)
  })

t.test('it is stopped', async (t) => {
  let stopped = 0
  const problems: string[] = []
  for (let stopping = 0; stopping < operations; stopping++) {
    const world = await openWorld(OPTIONS)
    const expected = await fill(world)
    watch(world.disk, (index) => {
      if (index === stopping) world.store.compactions!.stop()
    })
    await compact(world)
    world.disk.onOperation = null
    stopped += world.store.compactions!.counts.stopped
    problems.push(...(await check(world, expected, `at ${stopping}`)), ...world.logged)
    if (world.store.reports.statistics.files !== 1) problems.push(`at ${stopping}: it did not begin again`)
    await world.wait(world.store.close())
  }
  t.same(problems, [])
  t.ok(stopped > operations / 2, `${stopped} of ${operations}`)
})

t.test('something older is written: a reader who did not see it never does', async (t) => {
  let hidden = 0
  let shown = 0
  const problems: string[] = []
  for (let writing = 0; writing < operations; writing++) {
    const world = await openWorld(OPTIONS)
    const expected = await fill(world)
    let first: Promise<Record<string, string>> | null = null
    watch(world.disk, (index) => {
      if (index !== writing) return
      world.put('p0', 150, 'late')
      first = Promise.resolve(world.seen())
    })
    await compact(world)
    world.disk.onOperation = null
    const seen = await first!
    const last = await world.seen()
    if (last.p0 !== seen.p0) problems.push(`at ${writing}: first ${seen.p0}, then ${last.p0}`)
    if (seen.p0 === undefined) hidden++
    else shown++
    delete last.p0
    if (JSON.stringify(last) !== JSON.stringify(expected)) problems.push(`at ${writing}: wrong`)
    await world.wait(world.store.close())
  }
  t.same(problems, [])
  t.ok(hidden > operations / 2, `hidden ${hidden} times, shown ${shown} times: when the tombstone was gone`)
  t.ok(shown > 0)
})

t.test('its thread dies', async (t) => {
  const world = await openWorld({ ...OPTIONS, deathChance: 0.05 })
  const expected = await fill(world)
  world.store.compactions!.setAutomatic(TABLE, true)
  for (let waited = 0; world.store.reports.statistics.files > 1; waited++) {
    if (waited === 100) throw new Error('it never comes to an end')
    await world.clock.advance(10_000)
  }
  await world.quiet()
  t.ok(world.store.compactions!.counts.failed > 0)
  t.same(await check(world, expected, 'in the end'), [])
  await world.wait(world.store.close())
})

t.test('a full disk is left alone until there is room', async (t) => {
  const disk = openSimulatedDisk()
  const room = disk.freeBytes
  const world = await openWorld({ ...OPTIONS, disk })
  const expected = await fill(world)
  disk.freeBytes = async () => 1_000
  const used = watch(disk, () => {})
  await compact(world)
  t.equal(used(), 0, 'nothing was begun')
  t.match(world.logged[0], /failed; it is tried again/)
  disk.freeBytes = room
  await world.clock.advance(2_000)
  await world.quiet()
  t.equal(world.store.reports.statistics.files, 1)
  t.same(await check(world, expected, 'compacted'), [])
  await world.wait(world.store.close())
})
