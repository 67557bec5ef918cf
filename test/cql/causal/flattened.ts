/** A table that goes back from vector clocks to timestamps, in a cluster: every kind of read shows the newest version of each row. */
import { Client, types } from 'cassandra-driver'
import t from 'tap'
import { startCluster } from '../../../lib/index.ts'

const cluster = await startCluster({ nodes: 2, memory: true })
const contactPoints = [...cluster.contactPoints]
const { localDataCenter } = cluster
const client = new Client({ contactPoints, localDataCenter })
t.teardown(async () => {
  await client.shutdown()
  await cluster.close()
})

async function run(text: string, consistency: number = types.consistencies.quorum): Promise<unknown[][]> {
  const { rows } = await client.execute(text, [], { consistency, prepare: true })
  return (rows ?? []).map((row) => row.values())
}

t.test('reads of all levels, conditions, lists by index, paging', async (t) => {
  await run("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 2}")
  await run(
    "CREATE TABLE k.t (p int, c int, v text, l list<int>, tags set<text>, PRIMARY KEY (p, c)) WITH resolution = 'vclock' AND resolver = {'tags': 'or-set'}",
  )
  await run('CREATE INDEX by_v ON k.t (v)')
  for (let c = 0; c < 4; c++)
    for (const v of ['first', 'second', 'third'])
      await run(`INSERT INTO k.t (p, c, v, l, tags) VALUES (1, ${c}, '${v}', [${c}, 7], {'${v}'})`)
  t.equal((await run('SELECT v FROM k.t')).length, 12)
  await run("ALTER TABLE k.t WITH resolution = 'lww' AND resolver = 'newest'")
  const { one, quorum, all, localSerial } = types.consistencies
  for (const level of [one, quorum, all, localSerial])
    t.same(
      await run('SELECT c, v, l, tags FROM k.t', level),
      [0, 1, 2, 3].map((c) => [c, 'third', [c, 7], ['first', 'second', 'third']]),
      `at level ${level}`,
    )
  t.same(await run("UPDATE k.t SET v = 'x' WHERE p = 1 AND c = 0 IF v = 'first'"), [[false, 'third']])
  t.same(await run("UPDATE k.t SET v = 'fourth' WHERE p = 1 AND c = 0 IF v = 'third'"), [[true]])
  await run('UPDATE k.t SET l[1] = 8 WHERE p = 1 AND c = 1')
  await run("UPDATE k.t SET tags = tags - {'first'} WHERE p = 1 AND c = 1")
  await run('DELETE FROM k.t WHERE p = 1 AND c = 2', all)
  for (const level of [one, all])
    t.same(
      await run('SELECT c, v, l FROM k.t WHERE p = 1', level),
      [
        [0, 'fourth', [0, 7]],
        [1, 'third', [1, 8]],
        [3, 'third', [3, 7]],
      ],
      `at level ${level}`,
    )
  t.same(await run('SELECT tags FROM k.t WHERE p = 1 AND c = 1'), [[['second', 'third']]])
  t.same((await run("SELECT c FROM k.t WHERE v = 'third'")).flat(), [1, 3])
  t.same(await run("SELECT c FROM k.t WHERE v = 'second'"), [])
})
