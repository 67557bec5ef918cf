/** The schema's log: what was changed is there after the next start, whatever was compacted in between. */
import t from 'tap'
import type { SchemaStatement } from '../../lib/cql/ast.ts'
import { compileSchemaStatement } from '../../lib/cql/ddl/schema-statements.ts'
import { parseStatement } from '../../lib/cql/parser/parser.ts'
import { SILENT_LOG } from '../../lib/runtime/node/log.ts'
import { openNodeRuntime } from '../../lib/runtime/node/runtime.ts'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { openSimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { decodeRecords } from '../../lib/schema/records.ts'
import { applyRecords, snapshotRecords } from '../../lib/schema/state.ts'
import { createSystemSchema } from '../../lib/schema/system-tables.ts'
import type { MetadataStore } from '../../lib/server/metadata-copy.ts'
import { type MetadataLog, openMetadataLog } from '../../lib/server/metadata-log.ts'
import { METADATA_TABLE_ID } from '../../lib/server/metadata-rows.ts'
import { openStore } from '../../storage/store.ts'
import { settled } from '../support/power-loss.ts'
import { createSchemaWorld } from '../support/schema-world.ts'
import { storageRuntime } from '../support/storage-runtime.ts'

const HISTORY = [
  "CREATE KEYSPACE a WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  'CREATE TYPE a.u (x int, y text)',
  'CREATE TYPE a.w (z frozen<u>)',
  'CREATE TABLE a.t (k int, c int, v text, s int STATIC, f frozen<w>, m map<text, frozen<u>>, PRIMARY KEY (k, c))',
  'ALTER TABLE a.t ADD n int',
  'ALTER TABLE a.t DROP v',
  'ALTER TABLE a.t ADD v text',
  'ALTER TABLE a.t DROP f',
  'ALTER TYPE a.u ADD q list<int>',
  'ALTER TYPE a.w RENAME z TO zz',
  "CREATE TABLE a.cnt (k int PRIMARY KEY, n counter) WITH comment = 'it''s' AND compression = {'enabled': 'false'}",
  'ALTER TABLE a.t RENAME c TO cc',
  "ALTER KEYSPACE a WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1} AND durable_writes = false",
  "ALTER KEYSPACE system_auth WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1}",
  "CREATE KEYSPACE \"Dropped\" WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  'CREATE TABLE "Dropped"."__proto__" ("constructor" int PRIMARY KEY, v int)',
  'DROP KEYSPACE "Dropped"',
  'CREATE TABLE a.gone (k int PRIMARY KEY)',
  'DROP TABLE a.gone',
  'CREATE TABLE a.still (k int PRIMARY KEY, column1 int, v text) WITH COMPACT STORAGE',
  'CREATE TABLE a.dense (k int, c int, d int, PRIMARY KEY (k, c, d)) WITH COMPACT STORAGE',
  'ALTER TABLE a.still DROP v',
  "ALTER TABLE a.dense WITH comment = 'compact'",
  'CREATE TABLE a.gone (k text PRIMARY KEY, v frozen<map<text, frozen<list<frozen<tuple<int, text>>>>>>)',
]

const world = createSchemaWorld()

async function run(log: MetadataLog, texts: readonly string[]): Promise<void> {
  const environment = { ...world.environment, schema: log }
  for (const text of texts) {
    const { statement } = parseStatement(text)
    const compiled = compileSchemaStatement(statement as SchemaStatement, null)
    await compiled.execute(environment, world.options, world.client)
  }
  await log.settle()
}

async function memoryStore(): Promise<MetadataStore> {
  return openStore({ runtime: openNodeRuntime(SILENT_LOG), directory: null })
}

const nowSeconds = () => 1_700_000_000

for (const snapshotEvery of [1, 3, 1000])
  t.test(`a restart gives the same schema, with a snapshot every ${snapshotEvery}`, async (t) => {
    const store = await memoryStore()
    const first = await openMetadataLog({ store, nowSeconds, snapshotEvery })
    for (const [i, text] of HISTORY.entries()) {
      await run(first, [text])
      const again = await openMetadataLog({ store, nowSeconds, snapshotEvery })
      t.equal(again.current.epoch, i + 1)
      t.equal(again.current.version, first.current.version, text)
      t.same(
        snapshotRecords(again.current, createSystemSchema()),
        snapshotRecords(first.current, createSystemSchema()),
        text,
      )
    }
  })

t.test('the version tells content, not history', async (t) => {
  const log = await openMetadataLog({ store: await memoryStore(), nowSeconds })
  const empty = log.current.version
  t.equal(empty, createSystemSchema().version)
  await run(log, HISTORY.slice(0, 4))
  const filled = log.current.version
  t.not(filled, empty)
  await run(log, ['ALTER KEYSPACE a WITH durable_writes = false'])
  t.not(log.current.version, filled)
  await run(log, ['ALTER KEYSPACE a WITH durable_writes = true'])
  t.equal(log.current.version, filled)
  await run(log, ['DROP KEYSPACE a'])
  t.equal(log.current.version, empty)
})

t.test('records replayed at once give what they gave one by one', async (t) => {
  const store = await memoryStore()
  const payloads: string[] = []
  const log = await openMetadataLog({ store, nowSeconds })
  const change = log.change.bind(log)
  log.change = (apply) =>
    change((schema) => {
      const outcome = apply(schema)
      if (outcome.change) payloads.push(outcome.payload)
      return outcome
    })
  await run(log, HISTORY)
  const atOnce = applyRecords(createSystemSchema(), payloads.flatMap(decodeRecords), log.current.epoch)
  t.equal(atOnce.version, log.current.version)
  t.same(snapshotRecords(atOnce, createSystemSchema()), snapshotRecords(log.current, createSystemSchema()))
})

t.test('changes that come together are made one after another, and listeners hear of each', async (t) => {
  const log = await openMetadataLog({ store: await memoryStore(), nowSeconds })
  const heard: string[] = []
  log.listen((changes) => heard.push(...changes.map(({ change, target, name }) => `${change} ${target} ${name}`)))
  await run(log, HISTORY.slice(0, 1))
  const environment = { ...world.environment, schema: log }
  const statements = Array.from({ length: 20 }, (_, i) =>
    compileSchemaStatement(
      parseStatement(`CREATE TABLE a.t${i} (k int PRIMARY KEY) WITH id = 5a1c395e-b41f-11e5-9f22-ba0be04830${10 + i}`)
        .statement as SchemaStatement,
      null,
    ),
  )
  const failing = parseStatement('CREATE TABLE a.t0 (k int PRIMARY KEY)').statement as SchemaStatement
  const results = await Promise.allSettled([
    ...statements.map((statement) => statement.execute(environment, world.options, world.client)),
    compileSchemaStatement(failing, null).execute(environment, world.options, world.client),
  ])
  t.equal(results.filter((result) => result.status === 'rejected').length, 1)
  t.equal(log.current.keyspaces.get('a')!.tables.size, 20)
  t.equal(heard.length, 21)
  t.equal(log.current.epoch, 21)
})

t.test('after the log could not be written nothing more is changed', async (t) => {
  const store = await memoryStore()
  let broken = false
  const log = await openMetadataLog({
    store: {
      apply: (mutations) => (broken ? Promise.reject(new Error('disk')) : store.apply(mutations)),
      read: (command) => store.read(command),
      tableIds: [],
      registerTable: (id, table) => store.registerTable(id, table),
      flush: (id) => store.flush(id),
      prepareDrop: (ids) => store.prepareDrop(ids),
      dropTable: (id) => store.dropTable(id),
    },
    nowSeconds,
  })
  await run(log, HISTORY.slice(0, 1))
  broken = true
  await t.rejects(run(log, HISTORY.slice(1, 2)), { message: 'disk' })
  broken = false
  await t.rejects(run(log, HISTORY.slice(1, 2)), { code: 'SERVER_ERROR' })
  t.equal(log.current.epoch, 1)
})

t.test('what a power loss leaves is the schema that was answered for, and no data of dropped tables', async (t) => {
  const clock = createSimulatedClock()
  const random = createSeededRandom(7)
  let disk = openSimulatedDisk()
  await disk.mkdir('/data')
  await disk.syncDirectory('/')
  const open = async () => {
    const store = await settled(
      clock,
      openStore({
        runtime: storageRuntime(clock, disk),
        directory: '/data',
        settings: { commitLog: { mode: 'group', segmentBytes: 64 * 1024 } },
      }),
    )
    return { store, log: await settled(clock, openMetadataLog({ store, nowSeconds, snapshotEvery: 4 })) }
  }
  let version = createSystemSchema().version
  for (const text of [...HISTORY, 'DROP KEYSPACE a']) {
    const { store, log } = await open()
    t.equal(log.current.version, version, `before ${text}`)
    for (const id of store.tableIds) t.ok(id === METADATA_TABLE_ID || log.current.tablesById.has(id), `${id} is known`)
    await settled(clock, run(log, [text]))
    version = log.current.version
    disk = disk.crash(0.5, random)
  }
  const { log } = await open()
  t.equal(log.current.version, version)
  t.equal(log.current.epoch, HISTORY.length + 1)
})

t.test('thousands of tables start fast', async (t) => {
  const store = await memoryStore()
  const log = await openMetadataLog({ store, nowSeconds })
  await run(log, [
    HISTORY[0]!,
    ...Array.from(
      { length: 1500 },
      (_, i) =>
        `CREATE TABLE a.t${i} (k int, c int, v text, w int, PRIMARY KEY (k, c)) WITH id = 5a1c395e-b41f-11e5-9f22-ba0be048${1000 + i}`,
    ),
  ])
  const again = await openMetadataLog({ store, nowSeconds })
  t.equal(again.current.version, log.current.version)
  t.equal(again.current.keyspaces.get('a')!.tables.size, 1500)
})
