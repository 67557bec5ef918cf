/** Laws of pages: whatever their size, they give the rows of the whole answer; and what a read may cost. */
import t from 'tap'
import { RequestError } from '../../lib/base/errors.ts'
import type { RowsResult } from '../../lib/cql/result.ts'
import { decodePagingState, encodePagingState } from '../../lib/cql/select/paging.ts'
import type { Environment } from '../../lib/cql/statement.ts'
import { QUERY_OPTIONS } from '../support/cql-options.ts'
import { forAll } from '../support/random.ts'
import { openStorageNode, type StorageNode } from '../support/storage-node.ts'

async function fill(node: StorageNode): Promise<void> {
  await node.run("CREATE KEYSPACE p WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await node.run('CREATE TABLE p.t (k int, c int, d int, v int, s int STATIC, x text, PRIMARY KEY (k, c, d))')
  for (let k = 0; k < 12; k++) {
    if (k % 3 === 0) await node.run(`INSERT INTO p.t (k, s) VALUES (${k}, ${k})`)
    for (let c = 0; c < (k * 7) % 5; c++)
      for (let d = 0; d < 3; d++)
        await node.run(`INSERT INTO p.t (k, c, d, v) VALUES (${k}, ${c}, ${d}, ${(k + c + d) % 4})`)
  }
  await node.run('DELETE FROM p.t WHERE k = 2 AND c = 1')
  await node.run('DELETE FROM p.t WHERE k = 7')
}

const QUERIES = [
  'SELECT * FROM p.t',
  'SELECT k, c, d FROM p.t LIMIT 17',
  'SELECT * FROM p.t WHERE k = 2',
  'SELECT * FROM p.t WHERE k = 2 ORDER BY c DESC',
  'SELECT c, d, v FROM p.t WHERE k = 2 AND c >= 1 AND c < 4 LIMIT 5',
  'SELECT c, d FROM p.t WHERE k = 2 AND c IN (0, 2, 3) AND d > 0',
  'SELECT * FROM p.t WHERE k IN (0, 2, 4, 7, 9)',
  'SELECT * FROM p.t WHERE k IN (0, 2, 4, 7, 9) AND c > 0 LIMIT 7',
  'SELECT * FROM p.t PER PARTITION LIMIT 2',
  'SELECT * FROM p.t WHERE k IN (2, 4, 9) PER PARTITION LIMIT 4 LIMIT 9',
  'SELECT k, c, d FROM p.t WHERE v = 2 ALLOW FILTERING',
  'SELECT k, c, d FROM p.t WHERE v > 0 PER PARTITION LIMIT 2 ALLOW FILTERING',
  'SELECT k, c, d FROM p.t WHERE s > 2 ALLOW FILTERING',
  'SELECT DISTINCT k, s FROM p.t',
  'SELECT k, c, count(*), sum(v) FROM p.t GROUP BY k, c',
  'SELECT k, c, max(v) FROM p.t GROUP BY k, c PER PARTITION LIMIT 2',
  'SELECT k, count(v) FROM p.t GROUP BY k LIMIT 6',
  'SELECT k, s, count(v) FROM p.t WHERE k IN (0, 2, 4, 9, 11) GROUP BY k',
  'SELECT DISTINCT k, count(s) FROM p.t WHERE k IN (2, 3, 6, 9) GROUP BY k',
  'SELECT c, v + 1, ttl(v), token(k) FROM p.t WHERE k = 2',
  'SELECT k, c FROM p.t WHERE token(k) > -3000000000000000000 AND token(k) < 5000000000000000000',
]

async function pagesOf(node: StorageNode, cql: string, pageSize: number): Promise<RowsResult[]> {
  const pages: RowsResult[] = []
  let pagingState: Buffer | null = null
  do {
    const page = (await node.run(cql, { pageSize, pagingState })) as RowsResult
    pages.push(page)
    pagingState = page.pagingState
  } while (pagingState !== null && pages.length < 1000)
  return pages
}

t.test('pages of any size give the rows of the whole answer', async (t) => {
  await using node = await openStorageNode()
  await fill(node)
  for (const cql of QUERIES) {
    const whole = (await node.run(cql)) as RowsResult
    t.ok(whole.rowCount > 3, cql)
    for (const size of [1, 2, 3, 5, 7, whole.rowCount, whole.rowCount + 1]) {
      const pages = await pagesOf(node, cql, size)
      t.same(Buffer.concat(pages.map((page) => page.rowBytes)), whole.rowBytes, `${cql} by ${size}`)
      t.ok(
        pages.slice(0, -1).every((page) => page.rowCount === size),
        'all pages but the last are full',
      )
    }
  }
})

t.test('a page ends at its bytes; a result that is not paged fails beyond its own', async (t) => {
  await using node = await openStorageNode({ pageBytesMax: 2000, unpagedBytesMax: 15_000 })
  await node.run("CREATE KEYSPACE p WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await node.run('CREATE TABLE p.t (k int, c int, v text, PRIMARY KEY (k, c))')
  for (let k = 0; k < 3; k++)
    for (let c = 0; c < 20; c++) await node.run(`INSERT INTO p.t (k, c, v) VALUES (${k}, ${c}, '${'x'.repeat(300)}')`)
  for (const cql of [
    'SELECT * FROM p.t WHERE k = 1',
    'SELECT * FROM p.t',
    'SELECT * FROM p.t WHERE k IN (0, 1, 2)',
    'SELECT * FROM p.t WHERE c >= 0 ALLOW FILTERING',
  ]) {
    const pages = await pagesOf(node, cql, 1000)
    const rows = pages.reduce((count, page) => count + page.rowCount, 0)
    t.equal(rows, cql.includes('k = 1') ? 20 : 60, cql)
    if (!cql.includes('FILTERING')) t.ok(pages.length >= rows / 8, `${pages.length} pages of ${cql}`)
  }
  await node.run('SELECT * FROM p.t WHERE k = 1')
  await t.rejects(node.run('SELECT * FROM p.t'), { code: 'READ_FAILURE' })
})

t.test('tombstones are warned of, then refused', async (t) => {
  await using node = await openStorageNode({ tombstoneWarnThreshold: 10, tombstoneFailureThreshold: 30 })
  await node.run("CREATE KEYSPACE p WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await node.run('CREATE TABLE p.t (k int, c int, v int, PRIMARY KEY (k, c))')
  await node.run('INSERT INTO p.t (k, c, v) VALUES (1, 100, 1)')
  for (let c = 0; c < 11; c++) await node.run(`DELETE FROM p.t WHERE k = 1 AND c = ${c}`)
  const result = (await node.run('SELECT * FROM p.t WHERE k = 1')) as RowsResult
  t.equal(result.warnings?.length, 1)
  t.match(
    result.warnings![0],
    /^Read 1 live rows and 11 tombstone cells for query SELECT \* FROM p\.t WHERE k = 1 .*; token -4069959284402364209 \(see tombstone_warn_threshold\)$/,
  )
  for (let c = 11; c < 31; c++) await node.run(`DELETE FROM p.t WHERE k = 1 AND c = ${c}`)
  await t.rejects(node.run('SELECT * FROM p.t WHERE k = 1'), { code: 'READ_FAILURE' })
})

t.test('columns dropped and added again do not show what they held', async (t) => {
  await using node = await openStorageNode()
  await node.run("CREATE KEYSPACE p WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await node.run('CREATE TABLE p.t (k int, c int, v int, w int, m set<int>, PRIMARY KEY (k, c))')
  await node.run('INSERT INTO p.t (k, c, v, w, m) VALUES (1, 1, 1, 1, {1, 2})')
  await node.run('UPDATE p.t SET v = 2 WHERE k = 1 AND c = 2')
  await node.run('ALTER TABLE p.t DROP v')
  await node.run('ALTER TABLE p.t DROP m')
  const count = async (cql: string): Promise<number> => ((await node.run(cql)) as RowsResult).rowCount
  t.equal(await count('SELECT * FROM p.t'), 1, 'a row of nothing else is gone')
  await node.run('ALTER TABLE p.t ADD v int')
  await node.run('ALTER TABLE p.t ADD m set<int>')
  t.equal(await count('SELECT * FROM p.t WHERE k = 1 PER PARTITION LIMIT 5'), 1)
  t.equal(await count('SELECT c FROM p.t WHERE v = 1 ALLOW FILTERING'), 0)
  const result = (await node.run('SELECT v, m, w FROM p.t WHERE k = 1')) as RowsResult
  t.same(result.rowBytes.toString('hex'), 'ffffffffffffffff0000000400000001')
})

t.test('executions of one statement that wait at the same time do not disturb each other', async (t) => {
  await using node = await openStorageNode()
  await fill(node)
  const { coordinator } = node.environment
  const slow: Environment = {
    ...node.environment,
    coordinator: {
      write: (...args) => coordinator.write(...args),
      cas: (request) => coordinator.cas(request),
      truncate: (table) => coordinator.truncate(table),
      async read(...args) {
        await null
        return await coordinator.read(...args)
      },
    },
  }
  for (const cql of [
    'SELECT * FROM p.t WHERE k = ?',
    'SELECT c, v + 1 FROM p.t WHERE k = ?',
    'SELECT k, count(*) FROM p.t WHERE k = ?',
  ]) {
    const { statement } = node.processor.prepare(cql, null, node.client)
    const options = (k: number) => ({ ...OPTIONS, values: [Buffer.from([0, 0, 0, k])] })
    const keys = [0, 2, 4, 9, 11]
    const alone = []
    for (const k of keys)
      alone.push(((await statement.execute(node.environment, options(k), node.client)) as RowsResult).rowBytes)
    const together = await Promise.all(keys.map((k) => statement.execute(slow, options(k), node.client)))
    t.same(
      together.map((result) => (result as RowsResult).rowBytes),
      alone,
      cql,
    )
  }
})

const OPTIONS = { ...QUERY_OPTIONS, pageSize: 100 }

t.test('a read by key is answered at once, with one read', async (t) => {
  await using node = await openStorageNode()
  await fill(node)
  const { statement } = node.processor.prepare('SELECT * FROM p.t WHERE k = ?', null, node.client)
  const before = node.reads.count
  const result = statement.execute(node.environment, { ...OPTIONS, values: [Buffer.from([0, 0, 0, 2])] }, node.client)
  t.notOk(result instanceof Promise)
  t.equal(node.reads.count, before + 1)
})

t.test('by an index about as many rows are read as are wanted, more where most are filtered out', async (t) => {
  await using node = await openStorageNode()
  await node.run("CREATE KEYSPACE p WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await node.run('CREATE TABLE p.i (k int PRIMARY KEY, v int, w int)')
  await node.run('CREATE INDEX ON p.i (v)')
  for (let k = 0; k < 300; k++) await node.run(`INSERT INTO p.i (k, v, w) VALUES (${k}, 1, ${k % 100})`)
  const { coordinator } = node.environment
  const limits: number[] = []
  const watched: Environment = {
    ...node.environment,
    coordinator: {
      write: (...args) => coordinator.write(...args),
      cas: (request) => coordinator.cas(request),
      truncate: (table) => coordinator.truncate(table),
      read(command, ...args) {
        limits.push(command.limit)
        return coordinator.read(command, ...args)
      },
    },
  }
  const read = async (cql: string): Promise<number> => {
    limits.length = 0
    const { statement } = node.processor.prepare(cql, null, node.client)
    return ((await statement.execute(watched, OPTIONS, node.client)) as RowsResult).rowCount
  }
  t.equal(await read('SELECT * FROM p.i WHERE v = 1 LIMIT 10'), 10)
  t.same(limits, [16])
  t.equal(await read('SELECT * FROM p.i WHERE v = 1'), 100)
  t.same(limits, [100])
  t.equal(await read('SELECT * FROM p.i WHERE v = 1 AND w = 7 ALLOW FILTERING'), 3)
  t.same(limits, [100, 100, 256])
})

t.test('paging states: there and back; anything else is refused', (t) => {
  forAll(300, (random) => {
    const bytes = (): Buffer => Buffer.from(Array.from({ length: 1 + random.int(40) }, () => random.int(256)))
    const state = {
      position: bytes(),
      clustering: random.int(2) === 0 ? null : bytes(),
      dot: random.int(2) === 0 ? null : bytes(),
      partitionDone: random.int(2) === 0,
      rowsGiven: random.int(1000),
      remaining: random.int(3) === 0 ? Number.POSITIVE_INFINITY : random.int(1_000_000),
    }
    const encoded = encodePagingState(state)
    t.same(decodePagingState(encoded), state)
    const broken = Buffer.from(encoded)
    broken[random.int(broken.length)]! ^= 1 << random.int(8)
    t.throws(() => decodePagingState(broken), RequestError)
    t.throws(() => decodePagingState(encoded.subarray(0, random.int(encoded.length))), RequestError)
    t.throws(() => decodePagingState(Buffer.concat([encoded, Buffer.of(0)])), RequestError)
  })
  t.end()
})
