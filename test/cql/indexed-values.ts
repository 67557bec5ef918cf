/** Values too large for an index are refused by whatever statement writes them; where no index is on that part, they are taken. */
import t from 'tap'
import { openStorageNode } from '../support/storage-node.ts'

const LARGE = 65535

/** A collection of one element, or of one key and value. */
function collection(...parts: Buffer[]): Buffer {
  const lengths = parts.flatMap((part) => [uint32(part.length), part])
  return Buffer.concat([uint32(1), ...lengths])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

t.test('values that are indexed have less than 64 KiB', async (t) => {
  await using node = await openStorageNode()
  await node.run("CREATE KEYSPACE i WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await node.run(
    'CREATE TABLE i.t (k int PRIMARY KEY, v blob, n blob, l list<blob>, s set<blob>, mk map<blob, blob>, mv map<blob, blob>, me map<blob, blob>, f frozen<list<blob>>)',
  )
  for (const target of ['v', 'l', 's', 'keys(mk)', 'values(mv)', 'entries(me)', 'full(f)'])
    await node.run(`CREATE INDEX ON i.t (${target})`)
  const [large, small] = [Buffer.alloc(LARGE, 1), Buffer.alloc(LARGE - 1, 1)]
  const one = Buffer.of(1)
  const wrong = (column: string, size: number): RegExp =>
    new RegExp(`Cannot index value of size ${size} for index t_${column}_idx on i\\.t\\(${column}\\)`)
  const run = (cql: string, value: Buffer): Promise<unknown> => node.run(cql, { values: [value] })
  const insert = (column: string): string => `INSERT INTO i.t (k, ${column}) VALUES (1, ?)`

  const refused: [string, Buffer, string, number][] = [
    [insert('v'), large, 'v', LARGE],
    [`${insert('v')} IF NOT EXISTS`, large, 'v', LARGE],
    [`BEGIN BATCH ${insert('v')}; APPLY BATCH`, large, 'v', LARGE],
    [insert('l'), collection(large), 'l', LARGE],
    [insert('s'), collection(large), 's', LARGE],
    [insert('mk'), collection(large, one), 'mk', LARGE],
    [insert('mv'), collection(one, large), 'mv', LARGE],
    [insert('me'), collection(one, Buffer.alloc(LARGE - 7)), 'me', LARGE],
    [insert('f'), collection(small), 'f', LARGE - 1 + 8],
    ['UPDATE i.t SET mv[0x01] = ? WHERE k = 1', large, 'mv', LARGE],
    ['UPDATE i.t SET mk[?] = 0x01 WHERE k = 1', large, 'mk', LARGE],
    ['DELETE s[?] FROM i.t WHERE k = 1', large, 's', LARGE],
  ]
  for (const [cql, value, column, size] of refused)
    await t.rejects(run(cql, value), { message: wrong(column, size) }, cql)

  const taken: [string, Buffer][] = [
    [insert('n'), large],
    [insert('v'), small],
    [insert('l'), collection(small)],
    [insert('s'), collection(small)],
    [insert('mk'), collection(one, large)],
    [insert('mv'), collection(large, one)],
    [insert('me'), collection(one, Buffer.alloc(LARGE - 8))],
    [insert('f'), collection(Buffer.alloc(LARGE - 9))],
  ]
  for (const [cql, value] of taken) await t.resolves(run(cql, value), cql)

  const over = Buffer.alloc(LARGE + 1, 1)
  await t.rejects(run('SELECT k FROM i.t WHERE v = ?', over), {
    message: 'Index expression values may not be larger than 64K',
  })
  await t.resolves(run('SELECT k FROM i.t WHERE n = ? ALLOW FILTERING', over))
})
