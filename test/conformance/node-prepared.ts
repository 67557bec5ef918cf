/**
 * The Node cassandra-driver 4.10 and its prepared statements over changes: a SELECT * whose table or type is altered gets the new columns, and statements of a
 * table that was dropped and made again are prepared again without the application noticing.
 */
import cassandra from 'cassandra-driver'
import t from 'tap'
import { startNode } from '../../lib/index.ts'

const node = await startNode({ memory: true })
const { address, port } = node
const client = new cassandra.Client({
  contactPoints: [address],
  protocolOptions: { port },
  localDataCenter: 'datacenter1',
})
t.teardown(async () => {
  await client.shutdown()
  await node.close()
})
await client.connect()

const prepared = (query: string, values: unknown[] = []) => client.execute(query, values, { prepare: true })
const SELECT = 'SELECT * FROM app.t WHERE k = ?'

t.test('a prepared SELECT * follows its table', async (t) => {
  await client.execute("CREATE KEYSPACE app WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await client.execute('CREATE TYPE app.place (street text)')
  await client.execute('CREATE TABLE app.t (k int PRIMARY KEY, b text, p frozen<place>)')
  await prepared("INSERT INTO app.t (k, b, p) VALUES (?, 'b', {street: 's'})", [1])
  const seen = async () => (await prepared(SELECT, [1])).first()
  t.same({ ...(await seen()) }, { k: 1, b: 'b', p: { street: 's' } })
  await client.execute('ALTER TABLE app.t ADD a int')
  await client.execute('UPDATE app.t SET a = 7 WHERE k = 1')
  t.same({ ...(await seen()) }, { k: 1, a: 7, b: 'b', p: { street: 's' } })
  await client.execute('ALTER TABLE app.t DROP b')
  t.same({ ...(await seen()) }, { k: 1, a: 7, p: { street: 's' } })
  await client.execute('ALTER TYPE app.place ADD zip int')
  await client.execute("UPDATE app.t SET p = {street: 's', zip: 5} WHERE k = 1")
  t.same({ ...(await seen()) }, { k: 1, a: 7, p: { street: 's', zip: 5 } })
  await client.execute('ALTER TABLE app.t ADD b text')
  t.same({ ...(await seen()) }, { k: 1, a: 7, b: null, p: { street: 's', zip: 5 } })
})

t.test('statements of a table that was dropped and made again', async (t) => {
  await client.execute('DROP TABLE app.t')
  await client.execute('CREATE TABLE app.t (k int PRIMARY KEY, z text)')
  await prepared('INSERT INTO app.t (k, z) VALUES (?, ?)', [1, 'two'])
  t.same({ ...(await prepared(SELECT, [1])).first() }, { k: 1, z: 'two' })
})
