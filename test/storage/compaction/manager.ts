/** When compactions run, what stops them, and what they leave on disk. */

import t from 'tap'
import { uuidBytes } from '../../../lib/base/uuid.ts'
import { MutationWriter } from '../../../storage/model/mutation.ts'
import { DEFAULT_SIZE_TIERED, DEFAULT_TABLE_OPTIONS, DEFAULT_TIME_WINDOW } from '../../../storage/table-options.ts'
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

t.test(
  'of two compactions that are asked for the later stops the earlier, though it still waits for its turn',
  async (t) => {
    const world = await openWorld({ compaction: { automatic: false } })
    const expected = await fill(world)
    const { compactions } = world.store
    const numbers = new Set([1, 2])
    const both = await world.wait(Promise.allSettled([compactions!.merge(TABLE, numbers), compactions!.major(TABLE)]))
    t.match(both, [{ status: 'rejected', reason: { name: 'CompactionStopped' } }, { status: 'fulfilled' }])
    t.same(await world.seen(), expected)
    t.equal(world.sstables().length, 1)
  },
)

t.test('a compaction that waits for its turn does not begin when its table is truncated meanwhile', async (t) => {
  const world = await openWorld({ compaction: { automatic: false, bytesPerSecond: 100 } })
  await fill(world)
  const { store } = world
  const other = '5a1c395e-b41f-11e5-9f22-ba0be0483c19'
  await world.wait(
    store.registerTable(other, {
      keyspace: 'k',
      name: 'u',
      durableWrites: true,
      hasClustering: true,
      options: DEFAULT_TABLE_OPTIONS,
    }),
  )
  const writer = new MutationWriter()
  writer.begin(uuidBytes(other), 0, 0, Buffer.from('p'))
  writer.partitionDeletion(0, 1, 1)
  void store.apply([writer.finish()])
  await world.wait(store.flush(other))
  const first = store.compactions!.major(TABLE)
  await world.clock.advance(20)
  t.equal(store.compactions!.running.length, 1)
  const second = store.compactions!.major(other)
  await world.clock.advance(20)
  await world.wait(store.truncate(other))
  store.compactions!.bytesPerSecond = 0
  t.match(await world.wait(Promise.allSettled([first, second])), [
    { status: 'fulfilled' },
    { status: 'rejected', reason: { name: 'CompactionStopped' } },
  ])
})

t.test('SSTables of which everything expired are dropped whole, once', async (t) => {
  const strategy = { kind: 'time-window', window: DEFAULT_TIME_WINDOW, sizeTiered: DEFAULT_SIZE_TIERED } as const
  const compaction = { ...DEFAULT_TABLE_OPTIONS.compaction, strategy }
  const world = await openWorld({ options: { gcGraceSeconds: 10, compaction } })
  world.erase('p', 7)
  await world.flush()
  await world.quiet()
  t.same(world.sstables(), [])
  const { operations } = world.disk
  await world.clock.advance(3_600_000)
  t.equal(world.disk.operations, operations, 'there is nothing more to do')
})

t.test('certain compactions, when somebody asks', async (t) => {
  const world = await openWorld({ compaction: { automatic: false }, options: { gcGraceSeconds: 10 } })
  const compactions = world.store.compactions!
  const expected = await fill(world, 3)
  world.erase('p1', 200)
  delete expected.p1
  await world.flush()
  await world.quiet()
  t.equal(world.sstables().length, 4, 'none begins by itself')
  const numbers = world.sstables().map((path) => Number(path.slice(-14, -4)))

  await world.wait(compactions.merge(TABLE, new Set(numbers.slice(0, 2))))
  t.equal(world.sstables().length, 3)
  t.match(compactions.history[0], { kind: 'user-defined' })
  t.same(await world.seen(), expected)

  await world.wait(compactions.collectGarbage(TABLE))
  t.equal(
    world.sstables().length,
    2,
    'each by itself; of that with the deletion nothing is left, as the others were first',
  )
  t.match(
    compactions.history.map(({ kind }) => kind),
    ['garbage', 'garbage', 'garbage', 'user-defined'],
  )
  t.same(await world.seen(), expected)
  t.equal(world.store.reports.tableEstimate(TABLE)!.partitions, 123, 'p1 is in none of them')

  await world.wait(compactions.major(TABLE))
  t.equal(world.sstables().length, 1)
  t.match(compactions.history[0], { kind: 'major' })
  t.equal(world.store.reports.tableEstimate(TABLE)!.partitions, 99)
  t.same(await world.seen(), expected)
  await world.wait(world.store.close())
})

t.test('only_purge_repaired_tombstones: what was not repaired is kept', async (t) => {
  const { compaction } = DEFAULT_TABLE_OPTIONS
  for (const onlyPurgeRepairedTombstones of [false, true]) {
    const options = { gcGraceSeconds: 10, compaction: { ...compaction, onlyPurgeRepairedTombstones } }
    const world = await openWorld({ compaction: { automatic: false }, options })
    world.erase('p', 200)
    await world.flush()
    await world.wait(world.store.compactions!.major(TABLE))
    t.equal(world.sstables().length, onlyPurgeRepairedTombstones ? 1 : 0)
    await world.wait(world.store.close())
  }
})
