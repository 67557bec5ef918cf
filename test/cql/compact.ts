/** Rows of compact tables where Apache Cassandra 5.0.6 fails or refuses by accident; all else is in golden/select/compact.jsonl. */
import t from 'tap'
import { openStorageNode } from '../support/storage-node.ts'

async function open() {
  const node = await openStorageNode()
  await node.run("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  node.client.keyspace = 'k'
  /** Of int and counter columns. */
  const rows = async (cql: string): Promise<(number | null)[][]> => {
    const result = await node.run(cql)
    if (result.kind !== 'rows') throw new Error(`${cql} gave no rows`)
    let at = 0
    return Array.from({ length: result.rowCount }, () =>
      result.metadata.columns.map(() => {
        const length = result.rowBytes.readInt32BE(at)
        at += 4 + Math.max(0, length)
        if (length < 0) return null
        return length <= 1 ? result.rowBytes[at - 1]! : result.rowBytes.readInt32BE(at - 4)
      }),
    )
  }
  return { node, rows }
}

t.test('INSERT JSON', async (t) => {
  const { node, rows } = await open()
  await node.run('CREATE TABLE s (k int PRIMARY KEY, v int, w int) WITH COMPACT STORAGE')
  await node.run('CREATE TABLE e (k int, c int, PRIMARY KEY (k, c)) WITH COMPACT STORAGE')
  await node.run(`INSERT INTO s JSON '{"k": 1, "v": 2}'`)
  await node.run(`INSERT INTO s JSON '{"k": 2}'`)
  await node.run(`INSERT INTO e JSON '{"k": 1, "c": 2}'`)
  t.same(await rows('SELECT * FROM s'), [[1, 2, null]])
  t.same(await rows('SELECT * FROM e'), [[1, 2]])
  await node[Symbol.asyncDispose]()
})

t.test('conditional deletions', async (t) => {
  const { node, rows } = await open()
  await node.run('CREATE TABLE s (k int PRIMARY KEY, v int) WITH COMPACT STORAGE')
  t.same(await rows('DELETE FROM s WHERE k = 1 IF EXISTS'), [[0]])
  await node.run('INSERT INTO s (k, v) VALUES (1, 2)')
  t.same(await rows('DELETE FROM s WHERE k = 1 IF v = 3'), [[0, 2]])
  t.same(await rows('DELETE FROM s WHERE k = 1 IF v = 2'), [[1]])
  t.same(await rows('INSERT INTO s (k, v) VALUES (1, 4) IF NOT EXISTS'), [[1]])
  await node[Symbol.asyncDispose]()
})

t.test('an index finds rows that are there by their cells, until the last one is gone', async (t) => {
  const { node, rows } = await open()
  await node.run('CREATE TABLE s (k int PRIMARY KEY, v int, w int) WITH COMPACT STORAGE')
  await node.run('CREATE INDEX ON s (w)')
  await node.run('INSERT INTO s (k, w) VALUES (5, 7)')
  await node.run('INSERT INTO s (k, v, w) VALUES (6, 1, 7)')
  t.same(await rows('SELECT * FROM s WHERE w = 7'), [
    [5, null, 7],
    [6, 1, 7],
  ])
  await node.run('DELETE w FROM s WHERE k = 5')
  await node.run('UPDATE s SET w = 8 WHERE k = 6')
  t.same(await rows('SELECT * FROM s WHERE w = 7'), [])
  t.same(await rows('SELECT k FROM s'), [[6]])
  await node[Symbol.asyncDispose]()
})

t.test('counters of rows whose last clustering columns have no value', async (t) => {
  const { node, rows } = await open()
  await node.run('CREATE TABLE n (k int, a int, b int, v counter, PRIMARY KEY (k, a, b)) WITH COMPACT STORAGE')
  await node.run('UPDATE n SET v = v + 1 WHERE k = 1 AND a = 1')
  await node.run('UPDATE n SET v = v + 5 WHERE k = 1 AND a = 1 AND b = 1')
  await node.run('UPDATE n SET v = v + 1 WHERE k = 1 AND a = 1')
  t.same(await rows('SELECT * FROM n'), [
    [1, 1, null, 2],
    [1, 1, 1, 5],
  ])
  await node[Symbol.asyncDispose]()
})
