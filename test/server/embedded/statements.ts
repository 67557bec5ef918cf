/** Every kind of statement in a cluster of three: written through one node, read through another at QUORUM. What is expected is what Cassandra answers. */
import { Client, policies, types } from 'cassandra-driver'
import t from 'tap'
import { startCluster } from '../../../lib/index.ts'

const cluster = await startCluster({ nodes: 3, memory: true })
const { contactPoints, localDataCenter } = cluster
const clients = contactPoints.map(
  (contactPoint, i) =>
    new Client({
      contactPoints: [contactPoint],
      localDataCenter,
      // Requests go through the one node that the client is for.
      policies: {
        loadBalancing: new policies.loadBalancing.AllowListPolicy(new policies.loadBalancing.RoundRobinPolicy(), [
          `${cluster.node(i + 1).address}:${cluster.node(i + 1).port}`,
        ]),
      },
      queryOptions: { consistency: types.consistencies.quorum, serialConsistency: types.consistencies.serial },
    }),
)
t.teardown(async () => {
  await Promise.all(clients.map((client) => client.shutdown()))
  await cluster.close()
})

let turn = 0
/** Each statement through the next node. */
async function run(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const { rows } = await clients[turn++ % clients.length]!.execute(text, values, { prepare: true })
  return (rows ?? []).map((row) => Object.fromEntries(row.keys().map((name) => [name, plain(row.get(name))])))
}

function plain(value: unknown): unknown {
  return value instanceof types.Long ? value.toNumber() : value
}

await run("CREATE KEYSPACE app WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}")

t.test('conditions', async (t) => {
  await run('CREATE TABLE app.c (k int, c int, v int, s int STATIC, l list<int>, PRIMARY KEY (k, c))')
  t.same(await run('INSERT INTO app.c (k, c, v, l) VALUES (1, 1, 1, [1, 2, 3]) IF NOT EXISTS'), [{ '[applied]': true }])
  t.match(await run('INSERT INTO app.c (k, c, v) VALUES (1, 1, 2) IF NOT EXISTS'), [{ '[applied]': false, v: 1 }])
  t.same(await run('UPDATE app.c SET l[0] = 100 WHERE k = 1 AND c = 1 IF l[0] = 1'), [{ '[applied]': true }])
  t.same(await run('SELECT l FROM app.c WHERE k = 1'), [{ l: [100, 2, 3] }])
  t.match(await run('UPDATE app.c SET v = 3 WHERE k = 1 AND c = 1 IF v = 7'), [{ '[applied]': false, v: 1 }])
  t.same(
    await run(
      'BEGIN BATCH UPDATE app.c SET s = 5 WHERE k = 1 IF s = null; UPDATE app.c SET v = 9 WHERE k = 1 AND c = 1; APPLY BATCH',
    ),
    [{ '[applied]': true }],
  )
  t.same(await run('SELECT s, v FROM app.c WHERE k = 1'), [{ s: 5, v: 9 }])
  t.same(await run('DELETE FROM app.c WHERE k = 1 AND c = 1 IF EXISTS'), [{ '[applied]': true }])
  t.same(await run('SELECT v FROM app.c WHERE k = 1 AND c = 1'), [])
})

t.test('counters', async (t) => {
  await run('CREATE TABLE app.n (k int PRIMARY KEY, n counter)')
  for (let i = 0; i < 12; i++) await run('UPDATE app.n SET n = n + 2 WHERE k = 1')
  await run('UPDATE app.n SET n = n - 4 WHERE k = 1')
  t.same(await run('SELECT n FROM app.n WHERE k = 1'), [{ n: 20 }])
  t.same(await run('SELECT sum(n) AS total FROM app.n'), [{ total: 20 }])
})

t.test('batches, collections, deletions', async (t) => {
  await run('CREATE TABLE app.b (k int, c int, m map<text, int>, v text, PRIMARY KEY (k, c))')
  const insert = 'INSERT INTO app.b (k, c, m, v) VALUES (?, ?, ?, ?)'
  const queries = Array.from({ length: 30 }, (_, i) => ({
    query: insert,
    params: [i % 10, i, { a: i, b: 1 }, `v${i}`],
  }))
  await clients[1]!.batch(queries, { prepare: true, logged: true })
  t.equal((await run('SELECT k FROM app.b')).length, 30)
  await run("UPDATE app.b SET m = m + {'c': 3}, m['a'] = null WHERE k = 1 AND c = 1")
  t.same(await run('SELECT m FROM app.b WHERE k = 1 AND c = 1'), [{ m: { b: 1, c: 3 } }])
  await run('DELETE FROM app.b WHERE k = 2 AND c > 5')
  await run('DELETE FROM app.b WHERE k = 3')
  t.same(await run('SELECT c FROM app.b WHERE k IN (2, 3)'), [{ c: 2 }])
  const paged = await clients[2]!.execute('SELECT k FROM app.b', [], { fetchSize: 4 })
  const pages = [paged.rows.length]
  for (let state = paged.pageState; state; ) {
    const next = await clients[pages.length % 3]!.execute('SELECT k FROM app.b', [], { fetchSize: 4, pageState: state })
    pages.push(next.rows.length)
    state = next.pageState
  }
  t.equal(
    pages.reduce((sum, rows) => sum + rows, 0),
    25,
    'pages go on through any node',
  )
  await run('TRUNCATE app.b')
  t.same(await run('SELECT k FROM app.b'), [])
})

t.test('indexes and views', async (t) => {
  await run('CREATE TABLE app.i (k int PRIMARY KEY, v int, w text)')
  await run('CREATE INDEX ON app.i (v)')
  await run(
    'CREATE MATERIALIZED VIEW app.by_w AS SELECT k, v, w FROM app.i WHERE w IS NOT NULL AND k IS NOT NULL PRIMARY KEY (w, k)',
  )
  for (let k = 0; k < 20; k++) await run('INSERT INTO app.i (k, v, w) VALUES (?, ?, ?)', [k, k % 4, `w${k % 5}`])
  await run("UPDATE app.i SET v = 7, w = 'other' WHERE k = 2")
  const keys = (rows: Record<string, unknown>[]): unknown[] =>
    rows.map(({ k }) => k).sort((a, b) => Number(a) - Number(b))
  t.same(keys(await run('SELECT k FROM app.i WHERE v = 2')), [6, 10, 14, 18])
  t.same(keys(await run('SELECT k FROM app.i WHERE v = 7')), [2])
  t.same(keys(await run("SELECT k FROM app.by_w WHERE w = 'other'")), [2])
  t.same(keys(await run("SELECT k FROM app.by_w WHERE w = 'w2'")), [7, 12, 17])
})

t.test('a statement that is prepared here is executed there', async (t) => {
  await run('CREATE TABLE app.p (k int PRIMARY KEY, v text)')
  for (let k = 0; k < 9; k++) await run('INSERT INTO app.p (k, v) VALUES (?, ?)', [k, 'x'])
  t.equal((await run('SELECT * FROM app.p')).length, 9)
  const versions = new Set<string>()
  for (let i = 0; i < 3; i++)
    for (const { schema_version } of await run('SELECT schema_version FROM system.local'))
      versions.add(String(schema_version))
  t.equal(versions.size, 1)
})
