/** WITH resolution, resolver and max_siblings: what is taken, what is refused, and that DESCRIBE tells it so that its text makes the table again. */
import t from 'tap'
import { RequestError } from '../../lib/base/errors.ts'
import { tableDefinitionText } from '../../lib/cql/ddl/describe-text.ts'
import { compileSchemaStatement } from '../../lib/cql/ddl/schema-statements.ts'
import { parseStatement } from '../../lib/cql/parser/parser.ts'
import {
  isFlattened,
  maxSiblingsOf,
  orSetColumns,
  resolutionOf,
  resolverOf,
  resolversOf,
} from '../../lib/schema/resolution.ts'
import type { TableSchema } from '../../lib/schema/table.ts'
import { createSchemaWorld } from '../support/schema-world.ts'

async function world() {
  const { environment, options, client } = createSchemaWorld()
  const run = async (cql: string): Promise<void> => {
    const { statement } = parseStatement(cql)
    await compileSchemaStatement(statement as never, 'k').execute(environment, options, client)
  }
  await run("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  const table = (name = 't'): TableSchema => environment.schema.current.keyspaces.get('k')!.tables.get(name)!
  const refused = async (cql: string): Promise<string> => {
    try {
      await run(cql)
    } catch (error) {
      if (error instanceof RequestError) return `${error.code}: ${error.message}`
      throw error
    }
    return 'nothing was wrong'
  }
  return { run, table, refused }
}

const COLUMNS = 'p int, c int, v text, n int, tags set<text>, m map<text, int>, f frozen<set<int>>, PRIMARY KEY (p, c)'

t.test('a table that says nothing is as it always was', async (t) => {
  const { run, table } = await world()
  await run(`CREATE TABLE t (${COLUMNS})`)
  t.equal(resolutionOf(table().options), 'lww')
  t.equal(table().options.extensions.size, 0)
  t.notMatch(tableDefinitionText(table(), 'described', false), /resol|siblings/)
  await run(`CREATE TABLE u (${COLUMNS}) WITH resolution = 'lww'`)
  t.equal(table('u').options.extensions.size, 0)
  t.equal(isFlattened(table('u').options), false)
})

t.test('options are kept, and told so that the text makes the same table', async (t) => {
  const { run, table } = await world()
  for (const [words, shown] of [
    ["resolution = 'vclock'", "AND resolution = 'vclock'\n"],
    ["resolution = 'VClock' AND resolver = 'newest'", "AND resolution = 'vclock'\n    AND resolver = 'newest'\n"],
    [
      "resolution = 'vclock' AND resolver = 'siblings' AND max_siblings = 100",
      "AND resolution = 'vclock'\n    AND spec",
    ],
    ["resolution = 'vclock' AND max_siblings = 7", 'AND max_siblings = 7\n    AND memtable_flush'],
    [
      "resolution = 'vclock' AND resolver = {'v': 'newest', 'tags': 'or-set', 'n': 'max', 'f': 'union', 'm': 'siblings'}",
      "AND resolver = {'f': 'union', 'n': 'max', 'tags': 'or-set', 'v': 'newest'}\n",
    ],
  ] as const) {
    await run(`CREATE TABLE t (${COLUMNS}) WITH ${words}`)
    const before = table()
    for (const internals of [false, true]) {
      const text = tableDefinitionText(before, 'described', internals)
      t.ok(text.includes(shown), `${text} has ${shown}`)
      t.match(text, /extensions = \{\}/)
      await run('DROP TABLE t')
      await run(text)
      t.same(table().options.extensions, before.options.extensions)
    }
    await run('DROP TABLE t')
  }
})

t.test('what resolvers mean for columns', async (t) => {
  const { run, table } = await world()
  await run(`CREATE TABLE t (${COLUMNS}) WITH resolution = 'vclock' AND resolver = 'union'`)
  const of = (name: string) => resolverOf(resolversOf(table().options), table().columns.get(name)!)
  t.same(['tags', 'm', 'f', 'v', 'n'].map(of), ['union', 'union', 'union', 'siblings', 'siblings'])
  t.equal(maxSiblingsOf(table().options), 100)
  await run("ALTER TABLE t WITH resolver = {'n': 'min'} AND max_siblings = 3")
  t.same(['tags', 'n'].map(of), ['siblings', 'min'])
  t.equal(maxSiblingsOf(table().options), 3)
  await run('ALTER TABLE t DROP n')
  t.equal(resolversOf(table().options), 'siblings')
  await run(
    "CREATE TABLE u (p int PRIMARY KEY, a set<int>, b map<int, int>) WITH resolution = 'vclock' AND resolver = {'a': 'or-set'}",
  )
  t.same(
    orSetColumns(table('u')).map(({ name }) => name),
    ['a'],
  )
  await run('ALTER TABLE u DROP a')
  t.same(orSetColumns(table('u')), [])
})

t.test('ALTER both ways', async (t) => {
  const { run, table, refused } = await world()
  await run(`CREATE TABLE t (${COLUMNS})`)
  await run("ALTER TABLE t WITH resolution = 'vclock' AND max_siblings = 9")
  t.equal(resolutionOf(table().options), 'vclock')
  t.match(await refused("ALTER TABLE t WITH resolution = 'lww'"), /CONFIG_ERROR.*state resolver = 'newest'/)
  t.match(await refused("ALTER TABLE t WITH resolution = 'lww' AND resolver = 'max'"), /state resolver = 'newest'/)
  await run("ALTER TABLE t WITH resolver = 'newest'")
  t.match(await refused("ALTER TABLE t WITH resolution = 'lww'"), /state resolver/, 'it has to be in the same words')
  await run("ALTER TABLE t WITH resolution = 'lww' AND resolver = 'newest'")
  t.equal(resolutionOf(table().options), 'lww')
  t.equal(isFlattened(table().options), true)
  const before = table()
  const text = tableDefinitionText(before, 'described', true)
  t.match(text, /resolution = 'lww'\n +AND resolver = 'newest'/)
  await run('DROP TABLE t')
  await run(text)
  t.same(table().options.extensions, before.options.extensions, 'a table made again reads what is restored into it')
  await run("ALTER TABLE t WITH comment = 'still'")
  t.match(await refused("ALTER TABLE t WITH resolver = 'max'"), /resolver needs resolution = 'vclock'/)
  t.match(
    await refused("ALTER TABLE t WITH resolution = 'vclock' AND resolver = 'siblings'"),
    /CONFIG_ERROR: Table k.t had resolution = 'vclock' before: versions that were overwritten/,
  )
  t.equal(resolutionOf(table().options), 'lww')
})

t.test('a column is an or-set from its first day to its last', async (t) => {
  const { run, table, refused } = await world()
  await run(`CREATE TABLE t (${COLUMNS}) WITH resolution = 'vclock' AND resolver = {'tags': 'or-set'}`)
  t.match(await refused("ALTER TABLE t WITH resolver = 'max'"), /CONFIG_ERROR: Column tags cannot cease to be/)
  t.match(
    await refused("ALTER TABLE t WITH resolver = {'tags': 'or-set', 'm': 'or-set'}"),
    /CONFIG_ERROR: Column m cannot become an 'or-set'.* State a new column/,
  )
  await run(`CREATE TABLE u (${COLUMNS})`)
  t.match(
    await refused("ALTER TABLE u WITH resolution = 'vclock' AND resolver = {'m': 'or-set'}"),
    /Column m cannot become/,
  )
  await run("ALTER TABLE t WITH resolver = {'tags': 'or-set', 'labels': 'or-set', 'owners': 'or-set'}")
  t.match(tableDefinitionText(table(), 'described', false), /resolver = \{'tags': 'or-set'\}\n/, 'it can be replayed')
  await run("ALTER TABLE t WITH comment = 'still'")
  t.match(await refused('ALTER TABLE t ADD labels text'), /Resolver 'or-set' is of sets and maps/)
  await run('ALTER TABLE t ADD labels map<text, int>')
  t.same(
    orSetColumns(table()).map(({ name }) => name),
    ['labels', 'tags'],
  )
  t.match(
    await refused("ALTER TABLE t WITH resolver = {'tags': 'or-set', 'other': 'max'}"),
    /Undefined column name other/,
  )
  t.match(await refused("ALTER TABLE t WITH resolver = {'tags': 'or-set'}"), /Column labels cannot cease/)
  await run('ALTER TABLE t DROP tags')
  t.match(tableDefinitionText(table(), 'described', false), /resolver = \{'labels': 'or-set'\}\n/)
})

t.test('what is refused, and why', async (t) => {
  const { run, refused } = await world()
  const create = (words: string, columns = COLUMNS) => refused(`CREATE TABLE w (${columns}) WITH ${words}`)
  const vclock = (words: string) => create(`resolution = 'vclock' AND ${words}`)
  t.match(await create("resolution = 'riak'"), /CONFIG_ERROR: Invalid value 'riak' for resolution/)
  t.match(await create("resolution = {'a': 'b'}"), /SYNTAX_ERROR.*should be a string/)
  t.match(await create("resolver = 'max'"), /CONFIG_ERROR: resolver needs/)
  t.match(await create("resolver = 'max' AND resolution = 'lww'"), /CONFIG_ERROR: resolver needs/)
  t.match(await create('max_siblings = 4'), /CONFIG_ERROR: max_siblings needs/)
  t.match(await vclock('max_siblings = 0'), /CONFIG_ERROR: max_siblings must be between/)
  t.match(await vclock("max_siblings = 'x'"), /SYNTAX_ERROR: Invalid integer/)
  t.match(await vclock("resolver = 'or-set'"), /CONFIG_ERROR: Resolver 'or-set' is of columns/)
  t.match(await vclock("resolver = 'best'"), /CONFIG_ERROR: Invalid resolver 'best'/)
  t.match(await vclock("resolver = {'v': 'best'}"), /CONFIG_ERROR: Invalid resolver 'best'/)
  t.match(await vclock("resolver = {'x': 'max'}"), /CONFIG_ERROR: Undefined column name x/)
  t.match(await vclock("resolver = {'c': 'max'}"), /CONFIG_ERROR: Primary key column c/)
  t.match(await vclock("resolver = {'v': 'or-set'}"), /CONFIG_ERROR: Resolver 'or-set' is of sets and maps/)
  t.match(await vclock("resolver = {'f': 'or-set'}"), /CONFIG_ERROR: Resolver 'or-set' is of sets and maps/)
  t.match(await vclock("resolver = {'n': 'union'}"), /CONFIG_ERROR: Resolver 'union' is of sets/)
  t.match(await create("resolution = 'vclock'", 'p int PRIMARY KEY, n counter'), /INVALID: Counters/)
  t.match(await create("resolution = 'vclock'", 'p int, c int, s int static, PRIMARY KEY (p, c)'), /INVALID: Static/)
  await run(`CREATE TABLE t (${COLUMNS}) WITH resolution = 'vclock' AND resolver = {'tags': 'or-set'}`)
  t.match(await refused('ALTER TABLE t ADD s int static'), /INVALID: Static/)
  await run(`CREATE TABLE u (${COLUMNS})`)
  t.match(await refused("ALTER TABLE u WITH resolver = {'m': 'max'}"), /resolver needs/)
})
