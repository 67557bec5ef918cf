/** The Node cassandra-driver 4.10 against an embedded node: connect with defaults, metadata, put, get, delete, paging, every native type. */
import cassandra from 'cassandra-driver'
import t from 'tap'
import { nodeAndClient } from '../support/driver.ts'

const { types } = cassandra

const { client } = await nodeAndClient(t)
await client.connect()
const run = (query: string, values: unknown[] = []): Promise<cassandra.types.ResultSet> =>
  client.execute(query, values, { prepare: true })

t.test('schema and metadata', async (t) => {
  await client.execute("CREATE KEYSPACE app WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await client.execute(
    'CREATE TABLE app.kv (k text, c int, v text, s int STATIC, PRIMARY KEY (k, c)) WITH CLUSTERING ORDER BY (c DESC)',
  )
  t.equal(client.hosts.length, 1)
  const table = await client.metadata.getTable('app', 'kv')
  t.same(
    table.partitionKeys.map((column) => column.name),
    ['k'],
  )
  t.same(
    table.clusteringKeys.map((column) => column.name),
    ['c'],
  )
  t.same(table.columns.map((column) => column.name).sort(), ['c', 'k', 's', 'v'])
  const keyspace = client.metadata.keyspaces.app as { strategy: string } | undefined
  t.match(keyspace?.strategy, /SimpleStrategy/)
})

t.test('put, get, delete', async (t) => {
  await run('INSERT INTO app.kv (k, c, v) VALUES (?, ?, ?)', ['a', 1, 'one'])
  t.equal((await run('SELECT v FROM app.kv WHERE k = ? AND c = ?', ['a', 1])).first().v, 'one')
  await run('UPDATE app.kv SET v = ? WHERE k = ? AND c = ?', ['two', 'a', 1])
  t.equal((await run('SELECT v FROM app.kv WHERE k = ? AND c = ?', ['a', 1])).first().v, 'two')
  await run('DELETE FROM app.kv WHERE k = ? AND c = ?', ['a', 1])
  t.equal((await run('SELECT v FROM app.kv WHERE k = ? AND c = ?', ['a', 1])).rowLength, 0)
  await client.batch(
    [
      { query: 'INSERT INTO app.kv (k, c, v) VALUES (?, ?, ?)', params: ['b', 1, 'x'] },
      { query: 'INSERT INTO app.kv (k, c, v) VALUES (?, ?, ?)', params: ['b', 2, 'y'] },
    ],
    { prepare: true },
  )
  t.same(
    (await run('SELECT v FROM app.kv WHERE k = ?', ['b'])).rows.map((row) => row.v),
    ['y', 'x'],
  )
  await t.rejects(client.execute('SELECT nosuch FROM app.kv'), {
    code: 0x2200,
    message: 'Undefined column name nosuch in table app.kv',
  })
  await t.rejects(client.execute('SELEC'), { code: 0x2000 })
})

t.test('10 000 rows in pages', async (t) => {
  const query = 'INSERT INTO app.kv (k, c, v) VALUES (?, ?, ?)'
  const values = Array.from({ length: 10_000 }, (_, c) => ['page', c, `v${c}`])
  await cassandra.concurrent.executeConcurrent(client, query, values)
  const seen: number[] = []
  await new Promise<void>((resolve, reject) => {
    client.eachRow(
      'SELECT c FROM app.kv WHERE k = ?',
      ['page'],
      { prepare: true, fetchSize: 777, autoPage: true },
      (_, row) => seen.push(row.c),
      (error) => (error ? reject(error) : resolve()),
    )
  })
  t.same(
    seen,
    Array.from({ length: 10_000 }, (_, i) => 9_999 - i),
  )
  t.equal(Number((await run('SELECT count(*) FROM app.kv WHERE k = ?', ['page'])).first().count), 10_000)
})

t.test('every native type', async (t) => {
  const values: Record<string, unknown> = {
    ascii: 'plain',
    bigint: types.Long.MIN_VALUE,
    blob: Buffer.from([0, 0xca, 0xfe]),
    boolean: true,
    date: types.LocalDate.fromString('2024-02-29'),
    decimal: types.BigDecimal.fromString('-123.4500'),
    double: Math.PI,
    duration: types.Duration.fromString('1y2mo3d5s1ns'),
    float: 1.5,
    inet: types.InetAddress.fromString('192.168.0.1'),
    int: -(2 ** 31),
    smallint: -32_768,
    text: 'grüße 🙂',
    time: types.LocalTime.fromString('13:14:15.123456789'),
    timestamp: new Date('2024-02-29T12:34:56.789Z'),
    timeuuid: types.TimeUuid.fromString('50554d6e-29bb-11e5-b345-feff819cdc9f'),
    tinyint: -128,
    uuid: types.Uuid.fromString('f47ac10b-58cc-4372-a567-0e02b2c3d479'),
    varint: types.Integer.fromString('340282366920938463463374607431768211456'),
  }
  const names = Object.keys(values)
  await client.execute(
    `CREATE TABLE app.every (k int PRIMARY KEY, ${names.map((name) => `c_${name} ${name}`).join(', ')})`,
  )
  await run(
    `INSERT INTO app.every (k, ${names.map((name) => `c_${name}`).join(', ')}) VALUES (1, ${names.map(() => '?').join(', ')})`,
    Object.values(values),
  )
  const row = (await run('SELECT * FROM app.every WHERE k = ?', [1])).first()
  for (const name of names) t.equal(String(row[`c_${name}`]), String(values[name]), name)
})
