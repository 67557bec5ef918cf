/** When compactions run, what stops them, and what they leave on disk. */
import t from 'tap'
import { TABLE } from '../../support/compaction.ts'
import { openWorld, type World } from '../../support/compaction-world.ts'

/** Four SSTables of 50 partitions, of which the odd ones are overwritten in each. */
async function fill(world: World, rounds = 4): Promise<Record<string, string>> {
  const expected: Record<string, string> = {}
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < 50; i++) {
      const partition = i % 2 === 0 ? `p${i}/${round}` : `p${i}`
      expected[partition] = `v${round}`
      world.put(partition, 100 + round, `v${round}`)
    }
    await world.flush()
  }
  return expected
}

t.test('four SSTables of like size become one, and nothing else changes', async (t) => {
  const world = await openWorld()
  const expected = await fill(world)
  await world.quiet()
  t.same(await world.seen(), expected)
  t.equal(world.sstables().length, 1, 'the inputs are gone')
  const [record] = world.store.compactions!.history
  t.match(record, { kind: 'compaction', keyspace: 'k', name: 't' })
  t.same(
    [...record!.rowsMerged],
    [
      [1, 100],
      [4, 25],
    ],
  )
  t.ok(record!.bytesOut < record!.bytesIn)
  t.match(record!.id, /^[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  await world.reopen()
  t.same(await world.seen(), expected, 'after a restart')
  t.equal(world.sstables().length, 1)
  t.same(world.logged, [])
})

t.test('closing ends a compaction at once and leaves no litter', async (t) => {
  const world = await openWorld({ compaction: { bytesPerSecond: 100 } })
  const expected = await fill(world)
  await world.clock.advance(20)
  t.equal(world.store.compactions!.running.length, 1)
  const files = world.sstables()
  await world.wait(world.store.close())
  t.same(
    world.sstables().filter((path) => !files.includes(path)),
    [],
  )
  t.equal(world.sstables().length, 4)
  await world.reopen()
  t.same(await world.seen(), expected)
})

t.test('TRUNCATE and DROP end the compactions of their table and win', async (t) => {
  for (const end of ['truncate', 'dropTable'] as const) {
    const world = await openWorld({ compaction: { bytesPerSecond: 100 } })
    await fill(world)
    await world.clock.advance(20)
    t.equal(world.store.compactions!.running.length, 1)
    await world.wait(world.store[end](TABLE))
    await world.quiet()
    t.same(await world.seen(), {})
    t.same(world.sstables(), [], end)
    t.same(world.logged, [])
    await world.wait(world.store.close())
  }
})

t.test('a compaction that was stopped begins again; its progress is shown', async (t) => {
  const world = await openWorld({ compaction: { bytesPerSecond: 100 } })
  const expected = await fill(world)
  await world.clock.advance(20)
  const compactions = world.store.compactions!
  const [task] = compactions.running
  t.match(task, { kind: 'compaction', keyspace: 'k', name: 't', sstables: 4 })
  t.equal(
    compactions.stop((each) => each.id === task!.id),
    1,
  )
  await world.clock.advance(20)
  t.equal(compactions.counts.stopped, 1)
  compactions.bytesPerSecond = 0
  await world.quiet()
  t.equal(world.sstables().length, 1)
  t.same(await world.seen(), expected)
  await world.wait(world.store.close())
})
