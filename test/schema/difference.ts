/** What clients are told when a node takes over many changes of the schema at once. */
import t from 'tap'
import type { SchemaStatement } from '../../lib/cql/ast.ts'
import { compileSchemaStatement } from '../../lib/cql/ddl/schema-statements.ts'
import { parseStatement } from '../../lib/cql/parser/parser.ts'
import type { Schema } from '../../lib/schema/keyspace.ts'
import { applyRecords, snapshotRecords } from '../../lib/schema/state.ts'
import { createSystemSchema } from '../../lib/schema/system-tables.ts'
import { schemaDifference } from '../../lib/server/schema-difference.ts'
import { createSchemaWorld } from '../support/schema-world.ts'

const REPLICATION = "replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"

async function after(texts: readonly string[], world = createSchemaWorld()): Promise<Schema> {
  const { environment, options, client } = world
  for (const text of texts) {
    const statement = parseStatement(text).statement as SchemaStatement
    await compileSchemaStatement(statement, null).execute(environment, options, client)
  }
  return environment.schema.current
}

/** The same schema as another node makes it: no object is shared. */
function copy(schema: Schema): Schema {
  const builtIn = createSystemSchema()
  return applyRecords(builtIn, snapshotRecords(schema, builtIn), schema.epoch)
}

t.test('a schema and its copy do not differ', async (t) => {
  const schema = await after([
    `CREATE KEYSPACE a WITH ${REPLICATION}`,
    'CREATE TYPE a.u (x int)',
    'CREATE TABLE a.t (k int PRIMARY KEY, u frozen<u>)',
  ])
  t.same(schemaDifference(schema, copy(schema)), [])
})

t.test('each thing that differs is told of once, in an order that clients can follow', async (t) => {
  const world = createSchemaWorld()
  const before = await after(
    [
      `CREATE KEYSPACE a WITH ${REPLICATION}`,
      `CREATE KEYSPACE b WITH ${REPLICATION}`,
      `CREATE KEYSPACE same WITH ${REPLICATION}`,
      'CREATE TYPE a.altered (x int)',
      'CREATE TYPE a.gone (x int)',
      'CREATE TABLE a.altered (k int PRIMARY KEY)',
      'CREATE TABLE a.again (k int PRIMARY KEY)',
      'CREATE TABLE a.gone (k int PRIMARY KEY)',
      'CREATE TABLE b.t (k int PRIMARY KEY)',
      'CREATE TABLE same.t (k int PRIMARY KEY)',
    ],
    world,
  )
  const now = await after(
    [
      'ALTER KEYSPACE a WITH durable_writes = false',
      'DROP KEYSPACE b',
      'ALTER TYPE a.altered ADD y int',
      'DROP TYPE a.gone',
      'CREATE TYPE a.made (x int)',
      'ALTER TABLE a.altered ADD v int',
      'DROP TABLE a.again',
      'CREATE TABLE a.again (k int PRIMARY KEY) WITH id = 5a1c395e-b41f-11e5-9f22-ba0be0483012',
      'DROP TABLE a.gone',
      `CREATE KEYSPACE c WITH ${REPLICATION}`,
      'CREATE TABLE c.made (k int PRIMARY KEY)',
    ],
    world,
  )
  const told = schemaDifference(before, copy(now)).map(
    ({ change, target, keyspace, name }) => `${change} ${target} ${keyspace} ${name}`,
  )
  t.same(told, [
    'DROPPED TABLE b t',
    'DROPPED KEYSPACE b ',
    'DROPPED TABLE a again',
    'DROPPED TABLE a gone',
    'DROPPED TYPE a gone',
    'CREATED TYPE a made',
    'CREATED TABLE a again',
    'UPDATED KEYSPACE a ',
    'UPDATED TYPE a altered',
    'UPDATED TABLE a altered',
    'CREATED KEYSPACE c ',
    'CREATED TABLE c made',
  ])
})

/** Statement after statement in one keyspace, and what Cassandra 5.0.6 told clients of each. */
const TOLD: readonly (readonly [string, ...string[]])[] = [
  [`CREATE KEYSPACE a WITH ${REPLICATION}`, 'CREATED KEYSPACE a '],
  ['CREATE TABLE a.users (name text PRIMARY KEY, first text)', 'CREATED TABLE a users'],
  [
    'CREATE MATERIALIZED VIEW a.every AS SELECT * FROM a.users WHERE name IS NOT NULL AND first IS NOT NULL PRIMARY KEY (first, name)',
    'CREATED TABLE a every',
  ],
  [
    'CREATE MATERIALIZED VIEW a.some AS SELECT name, first FROM a.users WHERE name IS NOT NULL AND first IS NOT NULL PRIMARY KEY (first, name)',
    'CREATED TABLE a some',
  ],
  ['ALTER TABLE a.users ADD last text', 'UPDATED TABLE a users', 'UPDATED TABLE a every'],
  ['CREATE INDEX last ON a.users (last)', 'UPDATED TABLE a users'],
  ['DROP INDEX a.last', 'UPDATED TABLE a users'],
  ['ALTER TABLE a.users RENAME name TO nick', 'UPDATED TABLE a users', 'UPDATED TABLE a every', 'UPDATED TABLE a some'],
  ["ALTER TABLE a.users WITH comment = 'x'", 'UPDATED TABLE a users'],
  ["ALTER MATERIALIZED VIEW a.every WITH comment = 'x'", 'UPDATED TABLE a every'],
  ['CREATE TYPE a.inner (x int)', 'CREATED TYPE a inner'],
  ['ALTER TABLE a.users ADD list list<frozen<inner>>', 'UPDATED TABLE a users', 'UPDATED TABLE a every'],
  ['ALTER TYPE a.inner ADD y int', 'UPDATED TYPE a inner', 'UPDATED TABLE a users', 'UPDATED TABLE a every'],
  ['ALTER TYPE a.inner RENAME y TO z', 'UPDATED TYPE a inner', 'UPDATED TABLE a users', 'UPDATED TABLE a every'],
  ['CREATE TYPE a.holder (i frozen<inner>)', 'CREATED TYPE a holder'],
  [
    'ALTER TYPE a.inner ADD q int',
    'UPDATED TYPE a holder',
    'UPDATED TYPE a inner',
    'UPDATED TABLE a users',
    'UPDATED TABLE a every',
  ],
  ['DROP MATERIALIZED VIEW a.some', 'DROPPED TABLE a some'],
  ['ALTER KEYSPACE a WITH durable_writes = false', 'UPDATED KEYSPACE a '],
  [
    'DROP KEYSPACE a',
    'DROPPED TABLE a every',
    'DROPPED TABLE a users',
    'DROPPED TYPE a holder',
    'DROPPED TYPE a inner',
    'DROPPED KEYSPACE a ',
  ],
]

t.test('what a statement changes besides what it names is told of, in the order of Cassandra', async (t) => {
  const world = createSchemaWorld()
  let before = world.environment.schema.current
  for (const [statement, ...changes] of TOLD) {
    const now = await after([statement], world)
    const told = schemaDifference(before, now).map(
      ({ change, target, keyspace, name }) => `${change} ${target} ${keyspace} ${name}`,
    )
    t.same(told, changes, statement)
    before = now
  }
})
