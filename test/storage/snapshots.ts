/** Snapshots: what they hold, outlive and cost; and that a crash at any operation leaves a whole one or none. */
import t from 'tap'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { diskError, openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import type { SnapshotSettings, TakeOptions } from '../../storage/table-snapshots.ts'

import { testSeed } from '../support/random.ts'
import { ONE, openWorld, registerTable, type SnapshotWorld, TWO } from '../support/snapshot-world.ts'

const AUTO: SnapshotSettings = { auto: true, autoTtlMs: null, describe: (id) => `CREATE TABLE ${id};\n` }

function take(world: SnapshotWorld, tag: string, options: Partial<TakeOptions> = {}): Promise<void> {
  return world.wait(world.store.snapshots!.take({ tag, tables: [ONE, TWO], ttlMs: null, skipFlush: false, ...options }))
}

async function list(world: SnapshotWorld): Promise<string[]> {
  const found = await world.wait(world.store.snapshots!.list())
  return found.map(({ tag, keyspace, table, files }) => `${tag} ${keyspace}.${table} ${files.size}`)
}

t.test('a snapshot has what was written before, and outlives its tables', async (t) => {
  const disk = openSimulatedDisk()
  const world = await openWorld(disk, { snapshots: { ...AUTO, auto: false } })
  await world.put(ONE, 'p', 'old')
  await take(world, 'first')
  await world.put(ONE, 'p', 'new')
  await take(world, 'second', { tables: [ONE] })
  t.same(await list(world), ['first k.one 1', 'first k.two 0', 'second k.one 2'])
  const [first] = await world.wait(world.store.snapshots!.list())
  t.equal(first!.freedBytes, 0, 'what is live frees nothing')

  await world.wait(world.store.truncate(ONE))
  await world.wait(world.store.dropTable(TWO))
  t.same(await list(world), ['first k.one 1', 'first k.two 0', 'second k.one 2'])
  const [after] = await world.wait(world.store.snapshots!.list())
  const [[name, bytes]] = [...after!.files] as [[string, number]]
  t.equal(after!.freedBytes, bytes)
  const files = disk.files()
  t.equal(files.get(`${after!.path}/${name}`)!.length, bytes)
  t.equal(files.get(`${after!.path}/schema.cql`)!.toString(), `CREATE TABLE ${ONE};\n`)
  const manifest = JSON.parse(files.get(`${after!.path}/manifest.json`)!.toString())
  t.match(manifest, { files: [name], ephemeral: false, sizes: { [name]: bytes }, keyspace: 'k', table: 'one', id: ONE })
  t.equal(new Date(manifest.created_at).getTime(), after!.createdAtMs)
  await world.close()
})

t.test('names', async (t) => {
  const world = await openWorld(openSimulatedDisk())
  await world.put(ONE, 'p', 'v')
  await take(world, 'x', { tables: [ONE] })
  await t.rejects(take(world, 'x'), { name: 'SnapshotError', message: 'Snapshot x already exists.' })
  await take(world, 'x', { tables: [TWO] })
  t.same(await list(world), ['x k.one 1', 'x k.two 0'], 'another table may have one of the name')
  for (const tag of ['', 'a/b', '.', '..', 'a\0b', 'x'.repeat(256)])
    await t.rejects(take(world, tag), { name: 'SnapshotError' }, JSON.stringify(tag))
  await t.rejects(take(world, 'a/b'), { message: 'Snapshot name cannot contain /' })
  t.equal(await world.wait(world.store.snapshots!.clear({ tag: '../tables' })), 0)
  await world.close()
})

t.test('without a flush what is in memory only stays out', async (t) => {
  const world = await openWorld(openSimulatedDisk())
  await world.put(ONE, 'p', 'v')
  await take(world, 'x', { skipFlush: true })
  t.same(await list(world), ['x k.one 0', 'x k.two 0'])
  await world.close()
})

t.test('clearing: by name, keyspace, age, or all', async (t) => {
  const world = await openWorld(openSimulatedDisk())
  await take(world, 'a')
  await world.clock.advance(60_000)
  await take(world, 'b')
  const snapshots = world.store.snapshots!
  t.equal(await world.wait(snapshots.clear({ tag: 'a', keyspaces: ['other'] })), 0)
  const [, , b] = await world.wait(snapshots.list())
  t.equal(await world.wait(snapshots.clear({ madeBeforeMs: b!.createdAtMs! })), 2)
  t.same(await list(world), ['b k.one 0', 'b k.two 0'])
  t.equal(await world.wait(snapshots.clear({ keyspaces: ['k'] })), 2)
  t.same(await list(world), [])
  t.notOk(await world.disk.stat('/data/snapshots/b'), 'no empty folder is left')
  await world.close()
})

t.test('what has a time to live is removed when it is over, also after a restart', async (t) => {
  const disk = openSimulatedDisk()
  const clock = createSimulatedClock()
  const world = await openWorld(disk, {}, clock)
  await take(world, 'short', { ttlMs: 60_000 })
  await take(world, 'long', { ttlMs: 3_600_000 })
  await take(world, 'ever', { tables: [ONE] })
  await clock.advance(59_000)
  t.equal((await list(world)).length, 5)
  await clock.advance(2_000)
  await world.wait(Promise.resolve())
  t.same(await list(world), ['ever k.one 0', 'long k.one 0', 'long k.two 0'])
  await world.close()
  await clock.advance(3_600_000)
  const again = await openWorld(disk, {}, clock)
  await clock.advance(6_000)
  t.same(await list(again), ['ever k.one 0'])
  await again.close()
})

t.test('tables with data have a snapshot before they are truncated or dropped', async (t) => {
  const world = await openWorld(openSimulatedDisk(), { snapshots: AUTO })
  await world.wait(world.store.truncate(ONE))
  await world.wait(world.store.prepareDrop([ONE, TWO]))
  t.same(await list(world), [], 'empty ones have none')
  await world.put(ONE, 'p', 'v')
  await world.wait(world.store.truncate(ONE))
  t.same(await world.values(ONE), [])
  await world.put(ONE, 'q', 'v')
  await world.wait(world.store.prepareDrop([ONE, TWO]))
  await world.wait(world.store.dropTable(ONE))
  const found = await list(world)
  t.equal(found.length, 2)
  t.match(found[0], /^dropped-\d+-one k\.one 1$/)
  t.match(found[1], /^truncated-\d+-one k\.one 1$/)
  await world.close()
})

t.test('a snapshot that fails leaves the table as it is, and nothing of itself', async (t) => {
  const disk = openSimulatedDisk()
  const world = await openWorld(disk, { snapshots: AUTO })
  await world.put(ONE, 'p', 'v')
  await world.wait(world.store.flush(ONE))
  const fail = (): void => {
    disk.onOperation = (operation, path) => {
      if (operation === 'link' && path.startsWith('/data/snapshots') && path.endsWith('manifest.json'))
        throw diskError('ENOSPC', path)
    }
  }
  fail()
  await t.rejects(world.wait(world.store.truncate(ONE)), { name: 'SnapshotError' })
  await t.rejects(world.wait(world.store.prepareDrop([ONE])), { name: 'SnapshotError' })
  await t.rejects(take(world, 'x'), { code: 'ENOSPC' })
  disk.onOperation = null
  t.same(await world.values(ONE), ['p=v'])
  t.same(await list(world), [])
  t.same(
    [...disk.files().keys()].filter((path) => path.startsWith('/data/snapshots')),
    [],
  )
  await world.close()
})

/** Steps whose crashes are looked at; each tells what may be listed while it runs and must be when it is done. */
interface Step {
  readonly run: (world: SnapshotWorld) => Promise<unknown>
  readonly after: readonly string[]
}

const STEPS: readonly Step[] = [
  { run: (world) => take(world, 'a'), after: ['a k.one 1', 'a k.two 1'] },
  { run: (world) => take(world, 'b', { tables: [ONE] }), after: ['a k.one 1', 'a k.two 1', 'b k.one 1'] },
  {
    run: (world) => take(world, 'b', { tables: [TWO] }),
    after: ['a k.one 1', 'a k.two 1', 'b k.one 1', 'b k.two 1'],
  },
  {
    run: (world) => world.wait(world.store.snapshots!.clear({ tag: 'a' })),
    after: ['b k.one 1', 'b k.two 1'],
  },
  { run: (world) => world.wait(world.store.truncate(ONE)), after: ['b k.one 1', 'b k.two 1'] },
  { run: (world) => world.wait(world.store.snapshots!.clear({})), after: [] },
]

t.test('a crash at any operation leaves a snapshot whole, or nothing of it', async (t) => {
  const seed = testSeed()
  const random = createSeededRandom(seed)
  const disk = openSimulatedDisk()
  const world = await openWorld(disk)
  await world.put(ONE, 'p', 'v')
  await world.put(TWO, 'p', 'v')
  await world.wait(world.store.flush())
  let allowed: (readonly string[])[] = [[]]
  const left: { disk: SimulatedDisk; allowed: (readonly string[])[]; at: string }[] = []
  disk.onOperation = (operation, path, index) => {
    if (operation === 'read' || operation === 'open') return
    for (const survival of [0, 0.5])
      left.push({ disk: disk.crash(survival, random), allowed, at: `${operation} ${path} ${index} ${survival}` })
  }
  for (const step of STEPS) {
    allowed = [allowed.at(-1)!, step.after]
    await step.run(world)
    allowed = [step.after]
    t.same(await list(world), step.after)
  }
  disk.onOperation = null
  await world.close()
  const problems: string[] = []
  for (const [i, one] of left.entries()) {
    let again: SimulatedDisk | null = null
    const crashAt = Math.floor(random.float() * 30)
    one.disk.onOperation = (_, __, index) => {
      if (index === crashAt && i % 3 === 0) again ??= one.disk.crash(random.float(), random)
    }
    const problem = await inspect(one.disk, one.allowed)
    if (problem) problems.push(`${one.at}: ${problem}`)
    const twice = again ? await inspect(again, one.allowed) : null
    if (twice) problems.push(`${one.at}, then at ${crashAt}: ${twice}`)
  }
  t.same(problems, [], `TEST_SEED=${seed}, ${left.length} disks`)
  t.ok(left.length > 100)
})

async function inspect(disk: SimulatedDisk, allowed: readonly (readonly string[])[]): Promise<string | null> {
  const world = await openWorld(disk)
  const found = await list(world)
  const text = JSON.stringify(found)
  if (!allowed.some((one) => JSON.stringify(one) === text)) return `${text} is none of ${JSON.stringify(allowed)}`
  for (const { path, files, createdAtMs } of await world.wait(world.store.snapshots!.list())) {
    if (createdAtMs === null) return `${path} has no manifest`
    for (const name of files.keys()) if (!isWhole(disk.files().get(`${path}/${name}`)!)) return `${path}/${name} is cut`
  }
  for (const name of disk.files().keys()) if (name.endsWith('.unfinished')) return `${name} is left`
  await world.close()
  return null
}

function isWhole(bytes: Buffer): boolean {
  return bytes.subarray(-8).toString('latin1') === 'PXSSTEND'
}

t.test('a table that is made again under an old id does not get what the log holds of the old one', async (t) => {
  const disk = openSimulatedDisk()
  const world = await openWorld(disk)
  await world.put(ONE, 'p', 'old')
  await world.wait(world.store.dropTable(ONE))
  await world.wait(registerTable(world.store, ONE, 'one'))
  await world.put(ONE, 'q', 'new')
  const found = await openWorld(disk.crash(1, createSeededRandom(1)))
  t.same(await found.values(ONE), ['q=new'])
  await found.close()
  await world.close()
})
