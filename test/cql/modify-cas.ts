/** Conditional statements on one node: one after another for each partition, whatever comes at once, and deciding by what is there then. */
import t from 'tap'
import type { RowsResult } from '../../lib/cql/result.ts'
import { openStorageNode, type StorageNode } from '../support/storage-node.ts'

async function openNode(): Promise<StorageNode> {
  const node = await openStorageNode()
  await node.run("CREATE KEYSPACE p WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  return node
}

async function isApplied(node: StorageNode, cql: string): Promise<boolean> {
  const { rowBytes } = (await node.run(cql)) as RowsResult
  return rowBytes[4] === 1
}

async function firstInt(node: StorageNode, cql: string): Promise<number | null> {
  const { rowCount, rowBytes } = (await node.run(cql)) as RowsResult
  return rowCount === 0 ? null : rowBytes.readInt32BE(4)
}

t.test('of statements that compare with the same value one wins', async (t) => {
  await using node = await openNode()
  await node.run('CREATE TABLE p.t (k int PRIMARY KEY, v int)')
  const inserts = await Promise.all(
    Array.from({ length: 20 }, (_, i) => isApplied(node, `INSERT INTO p.t (k, v) VALUES (1, ${i}) IF NOT EXISTS`)),
  )
  t.equal(inserts.filter((applied) => applied).length, 1)
  await node.run('UPDATE p.t SET v = 0 WHERE k = 1 IF EXISTS')
  for (let round = 0; round < 5; round++) {
    const updates = await Promise.all(
      Array.from({ length: 8 }, () => isApplied(node, `UPDATE p.t SET v = ${round + 1} WHERE k = 1 IF v = ${round}`)),
    )
    t.equal(updates.filter((applied) => applied).length, 1)
  }
  t.equal(await firstInt(node, 'SELECT v FROM p.t WHERE k = 1'), 5)
})

t.test('a statement that fails lets the next one in', async (t) => {
  await using node = await openNode()
  await node.run('CREATE TABLE p.t (k int PRIMARY KEY, v int, l list<int>)')
  await node.run('INSERT INTO p.t (k, v, l) VALUES (1, 1, [7])')
  const wrong = node.run('UPDATE p.t SET l[3] = 1 WHERE k = 1 IF v = 1')
  const right = isApplied(node, 'UPDATE p.t SET l[0] = 8 WHERE k = 1 IF v = 1')
  await t.rejects(wrong, { code: 'INVALID' })
  t.ok(await right)
})

t.test('an insertion is found behind more rows than are read at once', async (t) => {
  await using node = await openNode()
  await node.run('CREATE TABLE p.t (k int, c int, v int, s int STATIC, PRIMARY KEY (k, c))')
  for (let c = 0; c < 250; c++) await node.run(`UPDATE p.t SET v = 1 WHERE k = 1 AND c = ${c}`)
  const shown = async (): Promise<number> =>
    ((await node.run('UPDATE p.t SET s = 2 WHERE k = 1 IF s = 1')) as RowsResult).rowBytes.length
  const nothing = await shown()
  await node.run('INSERT INTO p.t (k, c) VALUES (1, 999)')
  t.ok((await shown()) > nothing, 'the partition is there, so its missing value is told')
  t.ok(await isApplied(node, 'UPDATE p.t SET s = 2 WHERE k = 1 IF s = null'))
})

t.test('what is decided is written, whatever else is written at the same time', async (t) => {
  await using node = await openNode()
  await node.run('CREATE TABLE p.t (k int PRIMARY KEY, v text)')
  const keys = Array.from({ length: 40 }, (_, i) => i)
  await Promise.all(
    keys.map((k) =>
      k % 2 === 0
        ? node.run(`INSERT INTO p.t (k, v) VALUES (${k}, '${'x'.repeat(k + 1)}') IF NOT EXISTS`)
        : node.run(`INSERT INTO p.t (k, v) VALUES (${k}, '${'x'.repeat(k + 1)}')`),
    ),
  )
  for (const k of keys) {
    const { rowBytes } = (await node.run(`SELECT v FROM p.t WHERE k = ${k}`)) as RowsResult
    t.equal(rowBytes.toString('latin1', 4), 'x'.repeat(k + 1))
  }
})
