/** Statements by text and prepared: ids, caches, values in order, and when a prepared statement is gone. */
import { createHash } from 'node:crypto'
import t from 'tap'
import { StatementCache } from '../../lib/cql/statement-cache.ts'
import { createNode, int, OPTIONS, type TestNode } from '../support/recording-node.ts'

async function nodeWithTable(): Promise<TestNode> {
  const node = createNode()
  await node.run("CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await node.run('CREATE TABLE ks.t (k int PRIMARY KEY, v int)')
  return node
}

const md5 = (text: string): Buffer => createHash('md5').update(text).digest()

t.test('ids: of the text, or of keyspace and text where USE has a say', async (t) => {
  const node = await nodeWithTable()
  const full = 'INSERT INTO ks.t (k, v) VALUES (?, ?)'
  const bare = 'INSERT INTO t (k, v) VALUES (?, ?)'
  t.same(node.processor.prepare(full, null, node.client).id, md5(full))
  await node.run('USE ks')
  t.same(node.processor.prepare(full, null, node.client).id, md5(full))
  const first = node.processor.prepare(bare, null, node.client)
  t.same(first.id, md5(`ks${bare}`))
  t.match(first.warnings?.[0], /Keyspace used: ks, statement keyspace: ks, statement id: [0-9a-f]{32}$/)
  t.same(node.processor.prepare(bare, null, node.client).warnings ?? [], [], 'a connection is warned once')
  node.client.keyspace = null
  t.same(node.processor.prepare(bare, 'ks', node.client).id, md5(`ks${bare}`))
  t.throws(() => node.processor.prepare(bare, 'nosuch', node.client), { message: "Keyspace 'nosuch' does not exist" })
})

t.test('bind variables and where the key is among them', async (t) => {
  const node = await nodeWithTable()
  await node.run('CREATE TABLE ks.two (a int, b text, c int, PRIMARY KEY ((a, b)))')
  const { statement } = node.processor.prepare(
    'INSERT INTO ks.two (c, b, a) VALUES (:x, ?, ?) USING TTL ? AND TIMESTAMP ?',
    null,
    node.client,
  )
  t.same(
    statement.variables.map(({ name, type }) => [name, type.kind === 'native' ? type.name : type.kind]),
    [
      ['x', 'int'],
      ['b', 'text'],
      ['a', 'int'],
      ['[ttl]', 'int'],
      ['[timestamp]', 'bigint'],
    ],
  )
  t.same(statement.partitionKeyIndexes, [2, 1])
})

t.test('values: their number and their names', async (t) => {
  const node = await nodeWithTable()
  const text = 'INSERT INTO ks.t (k, v) VALUES (:k, :v)'
  t.equal(await node.error(text, [int(1)]), 'Invalid amount of bind variables')
  const prepared = node.processor.prepare(text, null, node.client)
  const execute = (values: Buffer[], names: string[] | null): unknown =>
    node.processor.execute(prepared, { ...OPTIONS, values }, names, node.client)
  t.throws(() => execute([int(1)], null), { message: 'there were 2 markers(?) in CQL but 1 bound variables' })
  t.throws(() => execute([int(1)], ['k']), { message: 'there were 2 markers(?) in CQL but 1 bound variables' })
  execute([int(7), int(1)], ['v', 'k'])
  t.equal(node.written()[0], 'partition 00000001')
})

t.test('a prepared statement goes with its table, and stays when only a comment changes', async (t) => {
  const node = await nodeWithTable()
  const prepared = node.processor.prepare('INSERT INTO ks.t (k, v) VALUES (?, ?)', null, node.client)
  const name = prepared.id.toString('latin1')
  const there = (): boolean => node.processor.prepared(name) !== undefined
  t.ok(there())
  await node.run("ALTER TABLE ks.t WITH comment = 'x'")
  t.ok(there())
  await node.run('CREATE TABLE ks.other (k int PRIMARY KEY)')
  t.ok(there())
  await node.run('ALTER TABLE ks.t ADD w int')
  t.notOk(there())
  node.processor.prepare('INSERT INTO ks.t (k, v) VALUES (?, ?)', null, node.client)
  t.ok(there())
  await node.run('DROP TABLE ks.t')
  t.notOk(there())
})

t.test('a text is compiled anew when its table has changed', async (t) => {
  const node = await nodeWithTable()
  const text = 'INSERT INTO ks.t (k, w) VALUES (?, ?)'
  t.match(await node.error(text, [int(1), int(2)]), /^Undefined column name w/)
  await node.run('ALTER TABLE ks.t ADD w int')
  t.equal(await node.error(text, [int(1), int(2)]), 'no error')
  await node.run('ALTER TABLE ks.t DROP w')
  t.match(await node.error(text, [int(1), int(2)]), /^Undefined column name w/)
})

t.test('the cache forgets what was not used for the longest time', (t) => {
  const cache = new StatementCache<number>(10 * 1024)
  for (let i = 0; i < 9; i++) cache.set(`name ${i}`, i, 0)
  t.equal(cache.get('name 0'), 0)
  cache.set('large', 100, 1024)
  t.equal(cache.get('name 0'), 0)
  t.equal(cache.get('name 1'), undefined)
  t.equal(cache.get('large'), 100)
  t.ok(cache.size < 10)
  t.end()
})

t.test('levels that clients may not use', async (t) => {
  const node = await nodeWithTable()
  const insert = 'INSERT INTO ks.t (k, v) VALUES (1, 1)'
  t.equal(await node.error(insert, [], { consistency: 8 }), 'You must use conditional updates for serializable writes')
  t.match(await node.error(insert, [], { consistency: 11 }), /^NODE_LOCAL consistency level/)
})
