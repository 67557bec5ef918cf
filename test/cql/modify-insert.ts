/** What INSERT writes, byte by byte, and what it refuses in which words. */
import t from 'tap'
import { UNSET } from '../../lib/cql/statement.ts'
import { createNode, int, NOW_MICROS, type TestNode } from '../support/recording-node.ts'

const NOW_SECONDS = (NOW_MICROS / 1_000_000).toString(16)

async function nodeWith(...ddl: string[]): Promise<TestNode> {
  const node = createNode()
  await node.run("CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  for (const text of ddl) await node.run(text)
  return node
}

const ROW_LIVENESS = '010000000000000005'

t.test('a row: liveness, then cells by column id that share its time', async (t) => {
  const node = await nodeWith('CREATE TABLE ks.t (k int, c int, b int, a int, PRIMARY KEY (k, c))')
  await node.run('INSERT INTO ks.t (k, a, b, c) VALUES (1, 10, 20, 2)')
  const [partition, row, ...rest] = node.written()
  t.equal(partition, 'partition 00000001')
  t.same(rest, [])
  const [kind, , bytes] = row!.split(' ')
  t.equal(kind, '3')
  t.match(bytes, new RegExp(`^${ROW_LIVENESS}`))
  const cells = ['04' + '0000000a', '04' + '00000014']
  for (const cell of cells) t.ok(bytes!.includes(cell))
})

t.test('null is a tombstone, unset is nothing', async (t) => {
  const node = await nodeWith('CREATE TABLE ks.t (k int PRIMARY KEY, v int)')
  await node.run('INSERT INTO ks.t (k, v) VALUES (?, ?)', [int(1), null])
  t.equal(node.written()[1], `3  ${ROW_LIVENESS}0009${NOW_SECONDS}`)
  await node.run('INSERT INTO ks.t (k, v) VALUES (?, ?)', [int(1), UNSET])
  t.equal(node.written()[1], `3  ${ROW_LIVENESS}`)
})

t.test('TTL: of the statement, of the table, none', async (t) => {
  const node = await nodeWith('CREATE TABLE ks.t (k int PRIMARY KEY, v int) WITH default_time_to_live = 16')
  const row = (ttl: number): string => `${int(ttl).toString('hex')}${int(NOW_MICROS / 1_000_000 + ttl).toString('hex')}`
  await node.run('INSERT INTO ks.t (k) VALUES (1)')
  t.equal(node.written()[1], `3  030000000000000005${row(16)}`)
  await node.run('INSERT INTO ks.t (k) VALUES (1) USING TTL 7')
  t.equal(node.written()[1], `3  030000000000000005${row(7)}`)
  for (const ttl of ['0', 'null']) {
    if (ttl === 'null') await node.run('INSERT INTO ks.t (k) VALUES (1) USING TTL ?', [null])
    else await node.run('INSERT INTO ks.t (k) VALUES (1) USING TTL 0')
    t.equal(node.written()[1], `3  ${ROW_LIVENESS}`)
  }
})

t.test('static columns alone write no row', async (t) => {
  const node = await nodeWith('CREATE TABLE ks.t (k int, c int, s int STATIC, v int, PRIMARY KEY (k, c))')
  await node.run('INSERT INTO ks.t (k, s) VALUES (1, 5)')
  t.same(
    node.written().map((line) => line.slice(0, 9)),
    ['partition', '1  000000'],
  )
  await node.run('INSERT INTO ks.t (k, c, s) VALUES (1, 2, 5)')
  t.same(
    node.written().map((line) => line[0]),
    ['p', '3', '1'],
  )
})

t.test('a collection of many cells: what was there goes just before', async (t) => {
  const node = await nodeWith('CREATE TABLE ks.t (k int PRIMARY KEY, m map<text, int>)')
  await node.run("INSERT INTO ks.t (k, m) VALUES (1, {'b': 2, 'a': 1})")
  const row = node.written()[1]!
  t.ok(row.includes(`0010${'0000000000000004'}${NOW_SECONDS}`), 'complex deletion at the time before')
  t.ok(row.indexOf('00000001') < row.lastIndexOf('00000002'), 'in order of keys')
})

t.test('keys: null, unset, empty, too long', async (t) => {
  const node = await nodeWith(
    'CREATE TABLE ks.t (k text, c text, d text, PRIMARY KEY (k, c, d))',
    'CREATE TABLE ks.two (a text, b text, PRIMARY KEY ((a, b)))',
  )
  const insert = 'INSERT INTO ks.t (k, c, d) VALUES (?, ?, ?)'
  const a = Buffer.from('a')
  t.equal(await node.error(insert, [null, a, a]), 'Invalid null value in condition for column k')
  t.equal(await node.error(insert, [a, UNSET, a]), 'Invalid unset value for column c')
  t.equal(await node.error(insert, [Buffer.alloc(0), a, a]), 'Key may not be empty')
  const long = Buffer.alloc(40_000, 'x')
  t.equal(
    await node.error(insert, [Buffer.concat([long, long]), a, a]),
    'Key length of 80000 is longer than maximum of 65535',
  )
  t.equal(await node.error(insert, [a, long, long]), 'Key length of 80000 is longer than maximum of 65535')
  const two = 'INSERT INTO ks.two (a, b) VALUES (?, ?)'
  t.equal(await node.error(two, [long, long]), 'Key length of 80000 is longer than maximum of 65535')
  t.equal(await node.error(two, [Buffer.alloc(0), Buffer.alloc(0)]), 'no error')
})

t.test('what is bound is checked', async (t) => {
  const node = await nodeWith('CREATE TABLE ks.t (k int PRIMARY KEY, i int, b bigint, s text, l list<int>)')
  const insert = (column: string, value: Buffer): Promise<string> =>
    node.error(`INSERT INTO ks.t (k, ${column}) VALUES (1, ?)`, [value])
  t.equal(await insert('i', Buffer.alloc(3)), 'Expected 4 or 0 byte int (3)')
  t.equal(await insert('b', Buffer.alloc(4)), 'Expected 8 or 0 byte long (4)')
  t.equal(await insert('s', Buffer.from([0xff])), "String didn't validate.")
  t.equal(await insert('l', Buffer.alloc(2)), 'Not enough bytes to read a list')
  t.equal(await insert('i', Buffer.alloc(0)), 'no error')
})

t.test('a mutation that is too large is refused', async (t) => {
  const node = await nodeWith('CREATE TABLE ks.t (k int PRIMARY KEY, v blob)')
  const error = await node.error('INSERT INTO ks.t (k, v) VALUES (?, ?)', [int(1), Buffer.alloc(17 * 1024 * 1024)])
  t.match(error, /^Encountered an oversized mutation \(\d+\/16777216\) for keyspace: ks\. Top keys are: t/)
})
