/** COMPACT STORAGE beside the recorded answers (golden/schema, golden/select): what is kept and hidden, what a snapshot says, what is refused. */
import t from 'tap'
import { RequestError } from '../../lib/base/errors.ts'
import { tableDefinitionText } from '../../lib/cql/ddl/describe-text.ts'
import { compileSchemaStatement } from '../../lib/cql/ddl/schema-statements.ts'
import { snapshotSchemaText } from '../../lib/cql/ddl/snapshot-text.ts'
import { parseStatement } from '../../lib/cql/parser/parser.ts'
import type { CqlLimits } from '../../lib/cql/statement.ts'
import { columnsInStorage, marksRows, storageFlags } from '../../lib/schema/compact.ts'
import { decodeRecords } from '../../lib/schema/records.ts'
import { applyRecords } from '../../lib/schema/state.ts'
import { createSystemSchema } from '../../lib/schema/system-tables.ts'
import type { TableSchema } from '../../lib/schema/table.ts'
import { typeToCql } from '../../lib/types/names.ts'
import { createSchemaWorld } from '../support/schema-world.ts'

async function createWorld(limits: Partial<CqlLimits> = {}) {
  const { environment, options, client, payloads } = createSchemaWorld()
  const own = { ...environment, limits: { ...environment.limits, ...limits } }
  const run = async (cql: string): Promise<void> => {
    const { statement } = parseStatement(cql)
    await compileSchemaStatement(statement as never, 'k').execute(own, options, client)
  }
  await run("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  const schema = () => environment.schema.current
  const table = (name: string): TableSchema => schema().keyspaces.get('k')!.tables.get(name)!
  const refused = async (cql: string): Promise<string> => {
    try {
      await run(cql)
    } catch (error) {
      if (error instanceof RequestError) return error.message
      throw error
    }
    return 'nothing was wrong'
  }
  return { run, schema, table, refused, payloads }
}

function shown(table: TableSchema): string[] {
  return columnsInStorage(table).map(({ name, kind, type }) => `${name} ${kind} ${typeToCql(type)}`)
}

t.test('system_schema shows the columns that no statement reaches, also after the log was replayed', async (t) => {
  const { run, schema, table, payloads } = await createWorld()
  await run('CREATE TABLE s (k int PRIMARY KEY, column1 int, value int, v text) WITH COMPACT STORAGE')
  await run('CREATE TABLE n (k int PRIMARY KEY, v counter) WITH COMPACT STORAGE')
  await run('CREATE TABLE d (k int, c int, v int, PRIMARY KEY (k, c)) WITH COMPACT STORAGE')
  await run('CREATE TABLE dd (k int, c int, d int, PRIMARY KEY (k, c, d)) WITH COMPACT STORAGE')
  await run('CREATE TABLE o (k int PRIMARY KEY, v int)')
  await run('ALTER TABLE s DROP column1')
  const replayed = applyRecords(createSystemSchema(), payloads.flatMap(decodeRecords))
  t.equal(replayed.version, schema().version)
  for (const of of [table, (name: string) => replayed.keyspaces.get('k')!.tables.get(name)!]) {
    t.same(shown(of('s')).sort(), [
      'column2 clustering text',
      'k partition_key int',
      'v static text',
      'value static int',
      'value1 regular blob',
    ])
    t.same(shown(of('n')).sort(), [
      'column1 clustering text',
      'k partition_key int',
      'v static counter',
      'value regular counter',
    ])
    t.same(shown(of('d')).sort(), ['c clustering int', 'k partition_key int', 'v regular int'])
    t.same(shown(of('dd')).sort(), [
      'c clustering int',
      'd clustering int',
      'k partition_key int',
      'value regular empty',
    ])
    t.same(shown(of('o')).sort(), ['k partition_key int', 'v regular int'])
    t.same(
      ['s', 'n', 'd', 'dd', 'o'].map((name) => storageFlags(of(name))),
      [[], [], ['dense'], ['compound', 'dense'], ['compound']],
    )
    t.same(
      ['s', 'n', 'd', 'dd', 'o'].map((name) => marksRows(of(name))),
      [false, false, false, true, true],
      'only what has no value column needs marks',
    )
  }
})

t.test('a table that was not made so has a record as it always had', async (t) => {
  const { run, payloads } = await createWorld()
  await run('CREATE TABLE o (k int PRIMARY KEY, v int)')
  t.notMatch(payloads.at(-1), /compact"/)
})

t.test('the schema.cql of a snapshot makes the table again; DESCRIBE tells it as Cassandra has it', async (t) => {
  for (const columns of [
    'k int PRIMARY KEY, column1 int, v text',
    'k int, c int, d text, v int, PRIMARY KEY (k, c, d)',
  ]) {
    const { run, schema, table } = await createWorld()
    await run(`CREATE TABLE t (${columns}) WITH COMPACT STORAGE`)
    const isStatic = table('t').clustering.length === 0
    if (isStatic) await run('ALTER TABLE t DROP column1')
    const before = table('t')
    t.match(
      tableDefinitionText(before, 'described', true),
      isStatic
        ? /^\/\*\nWarning: [\s\S]* {4}k int,\n {4}v text,\n {4}column1 int static,\n {4}PRIMARY KEY \(k\)\n\) WITH COMPACT STORAGE\n {4}AND ID = \S+\n {4}AND CLUSTERING ORDER BY \(column2 ASC\)\n[\s\S]*;\nALTER TABLE k\.t DROP column1 USING TIMESTAMP \d+;\n\*\/$/
        : /^\/\*\nWarning: [\s\S]* WITH COMPACT STORAGE\n {4}AND ID = \S+\n {4}AND CLUSTERING ORDER BY \(c ASC, d ASC\)\n/,
    )
    const text = snapshotSchemaText(schema(), before.id)
    await run('DROP TABLE t')
    for (const statement of text.split(/(?<=;)\n/)) if (statement !== '') await run(statement)
    const { columnsById, nextColumnId, ...rest } = table('t')
    t.match(rest.compact, before.compact)
    t.equal(rest.id, before.id)
    t.same(shown(table('t')), shown(before))
    t.same([...rest.dropped.keys()], [...before.dropped.keys()])
  }
})

t.test('what is refused', async (t) => {
  const { run, table, refused } = await createWorld()
  await run('CREATE TABLE d (k int, c int, v int, PRIMARY KEY (k, c)) WITH COMPACT STORAGE')
  await run('CREATE TABLE e (k int, c int, PRIMARY KEY (k, c)) WITH COMPACT STORAGE')
  await run('CREATE TABLE s (k int PRIMARY KEY, v int) WITH COMPACT STORAGE')
  // Internal errors in Cassandra, or no words at all.
  t.match(await refused('ALTER TABLE d DROP v'), /compact value column/)
  t.match(await refused('ALTER TABLE e DROP value'), /compact value column/)
  t.match(await refused('ALTER TABLE s DROP value'), /compact value column/)
  t.match(await refused("ALTER TABLE s WITH resolution = 'vclock'"), /COMPACT STORAGE/)
  t.match(
    await refused("CREATE TABLE r (k int PRIMARY KEY, v int) WITH COMPACT STORAGE AND resolution = 'vclock'"),
    /COMPACT STORAGE/,
  )
  t.equal(table('r'), undefined)
  const strict = await createWorld({ compactTablesEnabled: false })
  t.equal(
    await strict.refused('CREATE TABLE s (k int PRIMARY KEY, v int) WITH COMPACT STORAGE'),
    'Guardrail compact_tables violated: Creation of new COMPACT STORAGE tables is not allowed',
  )
  await strict.run('CREATE TABLE s (k int PRIMARY KEY, v int)')
})
