/** Views where the schema changes, where values expire, and where a build is cut short. */
import t from 'tap'
import { snapshotSchemaText } from '../../lib/cql/ddl/snapshot-text.ts'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { openSimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { Gate } from '../../lib/view/gate.ts'
import { type IndexWorld, openIndexWorld } from '../support/index-world.ts'
import { settled } from '../support/power-loss.ts'

const KEYSPACE = "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
const BY_V =
  'CREATE MATERIALIZED VIEW k.by_v AS SELECT * FROM k.t WHERE k IS NOT NULL AND v IS NOT NULL PRIMARY KEY (v, k)'

async function open(t: {
  teardown(run: () => Promise<void>): void
}): Promise<{ world: IndexWorld; clock: ReturnType<typeof createSimulatedClock> }> {
  const clock = createSimulatedClock()
  const world = await openIndexWorld(openSimulatedDisk(), clock)
  t.teardown(() => world.close())
  await world.run(KEYSPACE)
  await world.run('CREATE TABLE k.t (k int PRIMARY KEY, v int, w int)')
  return { world, clock }
}

const count = async (world: IndexWorld, view = 'k.by_v'): Promise<number> =>
  (await world.rows(`SELECT * FROM ${view}`)).length

t.test('a view of all columns gets new ones, and key columns are renamed in it', async (t) => {
  const { world } = await open(t)
  await world.run(BY_V)
  await world.run('ALTER TABLE k.t ADD x int')
  await world.run('ALTER TABLE k.t RENAME k TO kk')
  await world.run('INSERT INTO k.t (kk, v, x) VALUES (1, 2, 3)')
  t.same(await world.rows('SELECT v, kk, x FROM k.by_v'), ['000000040000000200000004000000010000000400000003'])
  await t.rejects(
    async () => world.run('ALTER TABLE k.t DROP w'),
    /Cannot drop column w on base table t with materialized views/,
  )
  await t.rejects(
    async () => world.run('ALTER TABLE k.by_v ADD y int'),
    /Cannot use ALTER TABLE on a materialized view/,
  )
})

t.test('nobody writes to a view', async (t) => {
  const { world } = await open(t)
  await world.run(BY_V)
  const refused = /Cannot directly modify a materialized view/
  await t.rejects(async () => world.run('INSERT INTO k.by_v (v, k) VALUES (1, 1)'), refused)
  await t.rejects(async () => world.run('BEGIN BATCH DELETE FROM k.by_v WHERE v = 1 APPLY BATCH'), refused)
  await t.rejects(async () => world.run('TRUNCATE k.by_v'), /must truncate base table instead/)
  await t.rejects(async () => world.run('DROP TABLE k.t'), /still depend on it/)
  await t.rejects(async () => world.run('CREATE INDEX ON k.by_v (w)'), /Secondary indexes on materialized views/)
})

t.test('a row goes from the view when the column of its key expires', async (t) => {
  const { world, clock } = await open(t)
  await world.run(BY_V)
  await world.run('INSERT INTO k.t (k, v, w) VALUES (1, 2, 3)')
  await world.run('UPDATE k.t USING TTL 100 SET v = 4 WHERE k = 1')
  t.equal(await count(world), 1)
  await clock.advance(101_000)
  t.equal(await count(world), 0)
  t.equal(await count(world, 'k.t'), 1)
  await world.run('UPDATE k.t SET v = 4 WHERE k = 1')
  t.same(await world.rows('SELECT w FROM k.by_v WHERE v = 4'), ['0000000400000003'])
})

t.test('an entry comes back as often as its row says, whatever timestamps there were', async (t) => {
  const { world } = await open(t)
  await world.run(BY_V)
  await world.run('INSERT INTO k.t (k, v, w) VALUES (1, 1, 7) USING TIMESTAMP 10')
  for (let i = 0; i < 3; i++) {
    await world.run(`UPDATE k.t USING TIMESTAMP ${20 + 2 * i} SET v = 2 WHERE k = 1`)
    t.equal((await world.rows('SELECT w FROM k.by_v WHERE v = 1')).length, 0)
    await world.run(`UPDATE k.t USING TIMESTAMP ${21 + 2 * i} SET v = 1 WHERE k = 1`)
    t.same(await world.rows('SELECT w FROM k.by_v WHERE v = 1'), ['0000000400000007'])
  }
  // Older than what is there: nothing changes.
  await world.run('UPDATE k.t USING TIMESTAMP 5 SET v = 9 WHERE k = 1')
  await world.run('DELETE FROM k.t USING TIMESTAMP 5 WHERE k = 1')
  t.equal((await world.rows('SELECT w FROM k.by_v WHERE v = 1')).length, 1)
})

t.test('a row that only a column outside the view keeps alive is in the view as long', async (t) => {
  const { world } = await open(t)
  await world.run('CREATE MATERIALIZED VIEW k.bare AS SELECT k FROM k.t WHERE k IS NOT NULL PRIMARY KEY (k)')
  await world.run('UPDATE k.t USING TIMESTAMP 10 SET w = 1 WHERE k = 1')
  t.equal(await count(world, 'k.bare'), 1)
  await world.run('DELETE w FROM k.t USING TIMESTAMP 20 WHERE k = 1')
  t.equal(await count(world, 'k.bare'), 0)
  await world.run('UPDATE k.t USING TIMESTAMP 15 SET v = 1 WHERE k = 1')
  t.equal(await count(world, 'k.bare'), 1)
})

t.test('what cannot be a key of the view is not written', async (t) => {
  const { world } = await open(t)
  await world.run('CREATE TABLE k.b (k int PRIMARY KEY, v text)')
  await world.run(
    'CREATE MATERIALIZED VIEW k.b_v AS SELECT * FROM k.b WHERE k IS NOT NULL AND v IS NOT NULL PRIMARY KEY (v, k)',
  )
  await t.rejects(
    async () => world.run(`INSERT INTO k.b (k, v) VALUES (1, '${'x'.repeat(70_000)}')`),
    /longer than the maximum/,
  )
  t.equal(await count(world, 'k.b'), 0)
  await world.run("INSERT INTO k.b (k, v) VALUES (1, '')")
  t.equal(await count(world, 'k.b_v'), 1)
})

t.test('a build that was cut short begins anew', async (t) => {
  const clock = createSimulatedClock()
  const disk = openSimulatedDisk()
  let world = await openIndexWorld(disk, clock)
  await world.run(KEYSPACE)
  await world.run('CREATE TABLE k.t (k int PRIMARY KEY, v int, w int)')
  for (let k = 0; k < 300; k++) await world.run(`INSERT INTO k.t (k, v) VALUES (${k}, ${k})`)
  await world.run(BY_V)
  await world.close()
  world = await openIndexWorld(disk, clock)
  await settled(clock, world.views.settle())
  t.same(world.views.builtViews(), [{ keyspace: 'k', name: 'by_v' }])
  t.equal(await count(world), 300)
  await world.run('DROP MATERIALIZED VIEW k.by_v')
  t.same(world.views.builtViews(), [])
  await world.close()
})

t.test('a table whose files were changed by other means has its views built again', async (t) => {
  const { world, clock } = await open(t)
  await world.run(BY_V)
  await world.run('INSERT INTO k.t (k, v) VALUES (1, 1)')
  await settled(clock, world.views.settle())
  const { id } = world.schema().keyspaces.get('k')!.tables.get('t')!
  await settled(clock, world.views.invalidate(id))
  await world.runUnseen('INSERT INTO k.t (k, v) VALUES (1, 2)')
  await world.runUnseen('INSERT INTO k.t (k, v) VALUES (2, 3)')
  t.same(world.views.builtViews(), [])
  await settled(clock, world.views.buildAgain(id))
  t.equal(world.views.builtViews().length, 1)
  t.same((await world.rows('SELECT v FROM k.by_v')).sort(), ['0000000400000002', '0000000400000003'])
})

t.test('a snapshot says how to make a view', async (t) => {
  const { world } = await open(t)
  await world.run(BY_V)
  const text = snapshotSchemaText(world.schema(), world.schema().keyspaces.get('k')!.tables.get('by_v')!.id)
  t.match(text, /^CREATE MATERIALIZED VIEW IF NOT EXISTS k\.by_v AS\n {4}SELECT \*\n {4}FROM k\.t\n/)
})

t.test('views of compact tables: of rows that have a whole key, for as long as they have cells', async (t) => {
  const { world } = await open(t)
  await world.run('CREATE TABLE k.d (k int, a int, b int, v int, PRIMARY KEY (k, a, b)) WITH COMPACT STORAGE')
  await world.run('CREATE TABLE k.e (k int, a int, b int, PRIMARY KEY (k, a, b)) WITH COMPACT STORAGE')
  for (const base of ['d', 'e'])
    await world.run(
      `CREATE MATERIALIZED VIEW k.of_${base} AS SELECT * FROM k.${base} WHERE k IS NOT NULL AND a IS NOT NULL AND b IS NOT NULL PRIMARY KEY (b, k, a)`,
    )
  await world.run('INSERT INTO k.d (k, a, v) VALUES (1, 2, 4)')
  await world.run('INSERT INTO k.d (k, a, b, v) VALUES (1, 2, 3, 4)')
  await world.run('INSERT INTO k.e (k, a) VALUES (1, 2)')
  await world.run('INSERT INTO k.e (k, a, b) VALUES (1, 2, 3)')
  const key = '000000040000000300000004000000010000000400000002'
  t.same(await world.rows('SELECT b, k, a FROM k.of_d'), [key])
  t.same(await world.rows('SELECT b, k, a FROM k.of_e'), [key])
  await world.run('DELETE v FROM k.d WHERE k = 1 AND a = 2 AND b = 3')
  await world.run('DELETE FROM k.e WHERE k = 1 AND a = 2')
  t.same(await world.rows('SELECT * FROM k.of_d'), [])
  t.same(await world.rows('SELECT * FROM k.of_e'), [])
  await world.run('CREATE TABLE k.s (k int PRIMARY KEY, v int) WITH COMPACT STORAGE')
  const view = (columns: string, key: string) =>
    `CREATE MATERIALIZED VIEW k.of_s AS SELECT ${columns} FROM k.s WHERE k IS NOT NULL PRIMARY KEY (${key})`
  await t.rejects(async () => world.run(view('*', 'k')), /Cannot include static column 'v' in materialized view 'of_s'/)
  await t.rejects(
    async () => world.run(view('k', 'k')),
    /Cannot create materialized view 'of_s' without primary key columns column1 from base table 's'/,
  )
})

t.test('the gate is closed only when nobody is inside', async (t) => {
  const gate = new Gate()
  const seen: string[] = []
  await gate.enter()
  const alone = gate.alone(async () => {
    seen.push('alone')
  })
  const late = gate.enter().then(() => seen.push('late'))
  await Promise.resolve()
  seen.push('inside')
  gate.leave()
  await Promise.all([alone, late])
  t.same(seen, ['inside', 'alone', 'late'])
})
