/** Batches: what is merged, what is refused, what is warned of. */
import t from 'tap'
import type { BatchItem } from '../../lib/cql/processor.ts'
import type { StatementResult } from '../../lib/cql/result.ts'
import { createNode, int, OPTIONS, type TestNode } from '../support/recording-node.ts'

async function nodeWithTables(): Promise<TestNode> {
  const node = createNode()
  await node.run("CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await node.run('CREATE TABLE ks.t (k int, c int, v blob, PRIMARY KEY (k, c))')
  await node.run('CREATE TABLE ks.n (k int PRIMARY KEY, n counter)')
  return node
}

function batch(
  node: TestNode,
  type: 'logged' | 'unlogged' | 'counter',
  items: readonly BatchItem[],
): Promise<StatementResult> {
  return Promise.resolve().then(() => node.processor.batch(type, items, OPTIONS, node.client, null))
}

t.test('one write; statements of one partition that follow each other share a mutation', async (t) => {
  const node = await nodeWithTables()
  await node.run(
    'BEGIN BATCH INSERT INTO ks.t (k, c) VALUES (1, 1); INSERT INTO ks.t (k, c) VALUES (1, 2); INSERT INTO ks.t (k, c) VALUES (2, 1); APPLY BATCH',
  )
  t.equal(node.writes.length, 1)
  t.equal(node.writes[0]!.kind, 'BATCH')
  t.equal(node.writes[0]!.mutations.length, 2)
  t.same(
    node.written().map((line) => line.split(' ')[0]),
    ['partition', '3', '3', 'partition', '3'],
  )
})

t.test('kinds of writes', async (t) => {
  const node = await nodeWithTables()
  const insert = (k: number): string => `INSERT INTO ks.t (k, c) VALUES (${k}, 1);`
  await node.run(`BEGIN UNLOGGED BATCH ${insert(1)} ${insert(2)} APPLY BATCH`)
  t.equal(node.writes.at(-1)!.kind, 'UNLOGGED_BATCH')
  await node.run(`BEGIN BATCH ${insert(1)} ${insert(1)} APPLY BATCH`)
  t.equal(node.writes.at(-1)!.kind, 'SIMPLE')
  t.same(await node.run('BEGIN BATCH APPLY BATCH'), { kind: 'void' })
  t.equal(node.writes.length, 2)
})

t.test('the message: values of each statement, and what may not be in it', async (t) => {
  const node = await nodeWithTables()
  const text = 'INSERT INTO ks.t (k, c) VALUES (?, ?)'
  const prepared = node.processor.prepare(text, null, node.client)
  await batch(node, 'logged', [
    { prepared, values: [int(1), int(2)] },
    { text, values: [int(3), int(4)] },
    { text: 'INSERT INTO ks.t (k, c) VALUES (5, 6)', values: [] },
  ])
  t.same(
    node.written().filter((line) => line.startsWith('partition')),
    ['partition 00000001', 'partition 00000003', 'partition 00000005'],
  )
  const refusals: [Parameters<typeof batch>[1], BatchItem, string][] = [
    ['logged', { text, values: [int(1)] }, 'There were 2 markers(?) in CQL but 1 bound variables'],
    [
      'logged',
      { text: 'TRUNCATE ks.t', values: [] },
      'Invalid statement in batch: only UPDATE, INSERT and DELETE statements are allowed.',
    ],
    ['counter', { text, values: [int(1), int(1)] }, 'Cannot include non-counter statement in a counter batch'],
  ]
  for (const [type, item, message] of refusals) await t.rejects(batch(node, type, [item]), { message })
})

t.test('timestamps: of the batch or of its statements', async (t) => {
  const node = await nodeWithTables()
  await node.run('BEGIN BATCH USING TIMESTAMP 9 INSERT INTO ks.t (k, c) VALUES (1, 1); APPLY BATCH')
  t.match(node.written()[1], /010000000000000009$/)
  await node.run(
    'BEGIN BATCH INSERT INTO ks.t (k, c) VALUES (1, 1) USING TIMESTAMP 8; INSERT INTO ks.t (k, c) VALUES (1, 2); APPLY BATCH',
  )
  t.match(node.written()[1], /010000000000000008$/)
  t.match(node.written()[2], /010000000000000005$/)
  t.equal(
    await node.error(
      'BEGIN BATCH USING TIMESTAMP 9 INSERT INTO ks.t (k, c) VALUES (1, 1) USING TIMESTAMP 8; APPLY BATCH',
    ),
    'Timestamp must be set either on BATCH or individual statements',
  )
})

t.test('sizes are counted as Cassandra counts them', async (t) => {
  const node = await nodeWithTables()
  const insert = 'INSERT INTO ks.t (k, c, v) VALUES (?, ?, ?);'
  const write = (bytes: number): Promise<StatementResult> => {
    const value = Buffer.alloc(bytes)
    return node.run(`BEGIN BATCH ${insert} ${insert} APPLY BATCH`, [int(1), int(1), value, int(2), int(1), value])
  }
  t.same(await write(10), { kind: 'void' })
  const { warnings } = await write(6000)
  t.equal(warnings?.length, 1)
  t.match(warnings?.[0], /^Batch for \[ks\.t\] is of size \d+, exceeding specified threshold of 5120 by \d+\.$/)
  await t.rejects(write(30_000), { message: 'Batch too large' })
})

t.test('an unlogged batch across many partitions', async (t) => {
  const node = await nodeWithTables()
  const inserts = Array.from({ length: 11 }, (_, k) => `INSERT INTO ks.t (k, c) VALUES (${k}, 1);`).join(' ')
  const { warnings } = await node.run(`BEGIN UNLOGGED BATCH ${inserts} APPLY BATCH`)
  t.same(warnings, [
    'Unlogged batch covering 11 partitions detected against table [ks.t]. You should use a logged batch for atomicity, or asynchronous writes ' +
      'for performance.',
  ])
})
