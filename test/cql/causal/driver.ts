/** Vector-clock tables through an unmodified driver: siblings in results and pages, contexts handed back, resolvers, carts, conditions, ALTER, restarts. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, types } from 'cassandra-driver'
import t from 'tap'
import { startNode } from '../../../lib/index.ts'

const directory = await mkdtemp(join(tmpdir(), 'polyxena-causal-'))
let node = await startNode({ directory })
let client = await connect()
t.teardown(async () => {
  await client.shutdown()
  await node.close()
  await rm(directory, { recursive: true })
})

async function connect(): Promise<Client> {
  const one = new Client({
    contactPoints: [node.address],
    protocolOptions: { port: node.port },
    localDataCenter: 'datacenter1',
  })
  await one.connect()
  return one
}

async function restart(): Promise<void> {
  await client.shutdown()
  await node.close()
  node = await startNode({ directory })
  client = await connect()
}

const ask = (text: string, values: unknown[] = [], options = {}): Promise<types.ResultSet> =>
  client.execute(text, values, { prepare: true, ...options })

async function run(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  return plain(await ask(text, values))
}

function plain({ rows }: types.ResultSet): Record<string, unknown>[] {
  return (rows ?? []).map((row) =>
    Object.fromEntries(
      row.keys().map((name) => {
        const value: unknown = row.get(name)
        return [name, value instanceof types.Long ? value.toNumber() : value]
      }),
    ),
  )
}

async function values(text: string, bound: unknown[] = []): Promise<unknown[]> {
  return (await run(text, bound)).map((row) => Object.values(row)[0])
}

async function vclock(table: string, where: string): Promise<unknown> {
  const found = await values(`SELECT vclock(*) FROM k.${table} WHERE ${where}`)
  for (const one of found) t.same(one, found[0], 'equal for all siblings')
  return found[0]
}

await run("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")

t.test('a profile: siblings, and what resolves them', async (t) => {
  await run("CREATE TABLE k.profile (id int PRIMARY KEY, name text, mail text) WITH resolution = 'vclock'")
  await run("INSERT INTO k.profile (id, name, mail) VALUES (1, 'Ada', 'ada@a')")
  const seen = await vclock('profile', 'id = 1')
  await run("UPDATE k.profile USING VCLOCK ? SET mail = 'ada@b' WHERE id = 1", [seen])
  t.same(
    await run('SELECT * FROM k.profile WHERE id = 1'),
    [{ id: 1, mail: 'ada@b', name: 'Ada' }],
    'one after another',
  )
  await run("UPDATE k.profile USING VCLOCK ? SET mail = 'ada@c' WHERE id = 1", [seen])
  const result = await ask('SELECT name, mail FROM k.profile WHERE id = 1')
  t.same(plain(result), [
    { name: 'Ada', mail: 'ada@b' },
    { name: 'Ada', mail: 'ada@c' },
  ])
  t.match(result.info.warnings, [/1 key has siblings in k.profile/])
  const both = await vclock('profile', 'id = 1')
  await run("INSERT INTO k.profile (id, name, mail) VALUES (1, 'Ada', 'ada@c') USING VCLOCK ?", [both])
  const resolved = await ask('SELECT mail FROM k.profile WHERE id = 1')
  t.same(plain(resolved), [{ mail: 'ada@c' }])
  t.notOk(resolved.info.warnings?.length)
  await run("INSERT INTO k.profile (id, name, mail) VALUES (1, 'Ada', 'ada@d') USING VCLOCK ?", [both])
  t.same(await values('SELECT mail FROM k.profile WHERE id = 1'), ['ada@c', 'ada@d'], 'both had seen the same')
})

t.test('deletions are of what was seen', async (t) => {
  await run("CREATE TABLE k.del (p int, c int, v text, PRIMARY KEY (p, c)) WITH resolution = 'vclock'")
  for (const c of [1, 2, 3]) await run(`INSERT INTO k.del (p, c, v) VALUES (1, ${c}, 'a')`)
  const seen = await vclock('del', 'p = 1 AND c = 1')
  await run("INSERT INTO k.del (p, c, v) VALUES (1, 1, 'b')")
  await run('DELETE FROM k.del USING VCLOCK ? WHERE p = 1 AND c = 1', [seen])
  t.same(await values('SELECT v FROM k.del WHERE p = 1 AND c = 1'), ['b'], 'what it had not seen is there')
  await run('DELETE FROM k.del WHERE p = 1 AND c >= 1 AND c < 3')
  t.same(await values('SELECT c FROM k.del WHERE p = 1'), [3])
  await run('DELETE v FROM k.del WHERE p = 1 AND c = 3')
  t.same(
    await values('SELECT v FROM k.del WHERE p = 1 AND c = 3'),
    ['a', null],
    'a column without a vclock: a version beside',
  )
  for (let c = 0; c < 600; c += 100)
    await client.batch(
      Array.from({ length: 100 }, (_, i) => `INSERT INTO k.del (p, c, v) VALUES (2, ${c + i}, 'x')`),
      { logged: false },
    )
  t.same(await values('SELECT count(*) FROM k.del WHERE p = 2'), [600])
  await run('DELETE FROM k.del WHERE p = 2')
  t.same(await run('SELECT c FROM k.del WHERE p = 2'), [])
  await run('DELETE FROM k.del WHERE p = 1 AND c IN (3, 4)')
  t.same(await run('SELECT * FROM k.del'), [])
})

t.test('pages, limits and aggregates count siblings', async (t) => {
  await run("CREATE TABLE k.pages (p int, c int, v int, PRIMARY KEY (p, c)) WITH resolution = 'vclock'")
  const all: number[][] = []
  for (let p = 0; p < 3; p++)
    for (let c = 0; c < 4; c++)
      for (let v = 0; v < 1 + ((p + c) % 4) * 3; v++) {
        await run(`INSERT INTO k.pages (p, c, v) VALUES (${p}, ${c}, ${v})`)
        all.push([p, c, v])
      }
  const triples = (rows: Record<string, unknown>[]): unknown[][] => rows.map(({ p, c, v }) => [p, c, v])
  const bySelect = triples(await run('SELECT p, c, v FROM k.pages'))
  t.same([...bySelect].sort(), [...all].sort())
  for (const [text, expected] of [
    ['SELECT p, c, v FROM k.pages', bySelect],
    ['SELECT p, c, v FROM k.pages WHERE p = 1', bySelect.filter(([p]) => p === 1)],
    ['SELECT p, c, v FROM k.pages WHERE p = 2 AND c = 1', bySelect.filter(([p, c]) => p === 2 && c === 1)],
    [
      'SELECT p, c, v FROM k.pages WHERE p IN (0, 2)',
      bySelect.filter(([p]) => p !== 1).sort((a, b) => Number(a[0]) - Number(b[0])),
    ],
    ['SELECT p, c, v FROM k.pages LIMIT 17', bySelect.slice(0, 17)],
    [
      'SELECT p, c, v FROM k.pages PER PARTITION LIMIT 3',
      [0, 1, 2].flatMap((p) => bySelect.filter((row) => row[0] === p).slice(0, 3)),
    ],
    ['SELECT p, c, v FROM k.pages WHERE v = 2 ALLOW FILTERING', bySelect.filter(([, , v]) => v === 2)],
  ] as [string, unknown[][]][]) {
    for (const fetchSize of [1, 3, 7, 5000]) {
      const found: unknown[][] = []
      let pageState: string | undefined
      do {
        const page: types.ResultSet = await client.execute(text, [], {
          prepare: true,
          fetchSize,
          ...(pageState ? { pageState } : {}),
        })
        t.ok(page.rowLength <= fetchSize)
        found.push(...triples(plain(page)))
        pageState = page.pageState
      } while (pageState)
      const sorted = (rows: unknown[][]): unknown[][] => (text.includes('PER PARTITION') ? [...rows].sort() : rows)
      t.same(sorted(found), sorted(expected), `${text} in pages of ${fetchSize}`)
    }
  }
  t.same(await values('SELECT count(*) FROM k.pages'), [all.length])
  t.same(await values('SELECT count(*) FROM k.pages WHERE p = 2 AND c = 1'), [10])
  t.same(await values('SELECT max(v) FROM k.pages WHERE p = 2'), [9])
  t.same(await run('SELECT c, count(v) AS n FROM k.pages WHERE p = 2 GROUP BY c'), [
    { c: 0, n: 7 },
    { c: 1, n: 10 },
    { c: 2, n: 1 },
    { c: 3, n: 4 },
  ])
  t.same(await values('SELECT DISTINCT p FROM k.pages WHERE p IN (0, 1, 2)'), [0, 1, 2])
  t.same(await values('SELECT c FROM k.pages WHERE p = 0 ORDER BY c DESC LIMIT 11'), [...Array(10).fill(3), 2])
  const pageState = (await ask('SELECT v FROM k.pages WHERE p = 2 AND c = 1', [], { fetchSize: 4 })).pageState!
  await run('INSERT INTO k.pages (p, c, v) VALUES (2, 1, 77) USING VCLOCK ?', [
    await vclock('pages', 'p = 2 AND c = 1'),
  ])
  const rest = await ask('SELECT v FROM k.pages WHERE p = 2 AND c = 1', [], { fetchSize: 100, pageState })
  t.same(plain(rest), [{ v: 77 }], 'resolved between two pages: what is there now')
  t.match((await ask('SELECT v FROM k.pages')).info.warnings, [/8 keys have siblings in k.pages/])
})

t.test('filters and indexes look at each sibling', async (t) => {
  await run(
    "CREATE TABLE k.idx (p int PRIMARY KEY, v text, n int, tags set<text>) WITH resolution = 'vclock' AND resolver = {'tags': 'or-set'}",
  )
  await run('CREATE INDEX by_v ON k.idx (v)')
  await run("CREATE INDEX by_n ON k.idx (n) USING 'sai'")
  await run('CREATE INDEX by_tag ON k.idx (tags)')
  for (const v of ['red', 'green', 'red']) await run(`INSERT INTO k.idx (p, v, n) VALUES (1, '${v}', ${v.length})`)
  await run("INSERT INTO k.idx (p, v, n) VALUES (2, 'green', 9)")
  await run("UPDATE k.idx SET tags = tags + {'new'} WHERE p = 2")
  await run("UPDATE k.idx SET tags = tags + {'new', 'old'} WHERE p = 3")
  t.same(await run("SELECT p, v FROM k.idx WHERE v = 'red'"), [
    { p: 1, v: 'red' },
    { p: 1, v: 'red' },
  ])
  t.same((await values("SELECT p FROM k.idx WHERE v = 'green'")).sort(), [1, 2])
  t.same(await values('SELECT v FROM k.idx WHERE n > 4 AND n < 9'), ['green'])
  t.same((await values("SELECT p FROM k.idx WHERE tags CONTAINS 'new'")).sort(), [2, 3])
  await run("INSERT INTO k.idx (p, v, n) VALUES (1, 'blue', 4) USING VCLOCK ?", [await vclock('idx', 'p = 1')])
  await run("UPDATE k.idx SET tags = tags - {'new'} WHERE p = 3")
  t.same(await run("SELECT p FROM k.idx WHERE v = 'red'"), [])
  t.same(await values("SELECT p FROM k.idx WHERE v = 'green'"), [2])
  t.same(await values("SELECT p FROM k.idx WHERE v = 'blue'"), [1])
  t.same(await values('SELECT p FROM k.idx WHERE n = 4'), [1])
  t.same(await values("SELECT p FROM k.idx WHERE tags CONTAINS 'new'"), [2])
  t.same(await values("SELECT p FROM k.idx WHERE tags CONTAINS 'old'"), [3])
  await run('DROP INDEX k.by_v')
  await run("CREATE INDEX later ON k.idx (v) USING 'sai'")
  // Until it is built, reads by it fail.
  let blue: unknown[] = []
  for (let i = 0; i < 1000 && blue.length === 0; i++)
    blue = await values("SELECT p FROM k.idx WHERE v = 'blue'").catch(() => [])
  t.same(blue, [1], 'an index that is built on what is there')
  await run('DELETE FROM k.idx WHERE p = 2')
  t.same(await run("SELECT p FROM k.idx WHERE v = 'green'"), [])
})

t.test('a cart: elements of or-sets merge by themselves', async (t) => {
  await run(
    "CREATE TABLE k.cart (id int PRIMARY KEY, owner text, items set<text>, amounts map<text, int>) WITH resolution = 'vclock' AND resolver = {'items': 'or-set', 'amounts': 'or-set'}",
  )
  await run("UPDATE k.cart SET items = items + {'tea', 'milk'} WHERE id = 1")
  t.same(
    await run('SELECT * FROM k.cart WHERE id = 1'),
    [{ id: 1, amounts: null, items: ['milk', 'tea'], owner: null }],
    'no version',
  )
  await run("INSERT INTO k.cart (id, owner) VALUES (1, 'Ada')")
  const seen = await vclock('cart', 'id = 1')
  await run("UPDATE k.cart SET items = items + {'tea'} WHERE id = 1")
  await run("UPDATE k.cart USING VCLOCK ? SET items = items - {'tea', 'milk'} WHERE id = 1", [seen])
  t.same(
    await values('SELECT items FROM k.cart WHERE id = 1'),
    [['tea']],
    'the later tea was not seen by who took them out',
  )
  await run("UPDATE k.cart SET items = items - {'tea'} WHERE id = 1")
  t.same(await values('SELECT items FROM k.cart WHERE id = 1'), [null])
  await run("UPDATE k.cart SET amounts['tea'] = 2, amounts['milk'] = 1 WHERE id = 1")
  await run("UPDATE k.cart SET amounts['tea'] = 3 WHERE id = 1")
  t.same(await values('SELECT amounts FROM k.cart WHERE id = 1'), [{ milk: 1, tea: 3 }])
  await run("DELETE amounts['milk'] FROM k.cart WHERE id = 1")
  const now = await vclock('cart', 'id = 1')
  await run("UPDATE k.cart USING VCLOCK ? SET owner = 'Bob' WHERE id = 1", [now])
  t.same(
    await run('SELECT * FROM k.cart WHERE id = 1'),
    [{ id: 1, amounts: { tea: 3 }, items: null, owner: 'Bob' }],
    'the cart stays',
  )
  await run("INSERT INTO k.cart (id, owner) VALUES (1, 'Eve')")
  t.same(await run('SELECT owner, amounts FROM k.cart WHERE id = 1'), [
    { owner: 'Bob', amounts: { tea: 3 } },
    { owner: 'Eve', amounts: { tea: 3 } },
  ])
  await run("UPDATE k.cart SET amounts = {'salt': 5} WHERE id = 1")
  t.same(await values('SELECT amounts FROM k.cart WHERE id = 1'), [{ salt: 5 }, { salt: 5 }])
  await run('DELETE FROM k.cart WHERE id = 1')
  t.same(await run('SELECT * FROM k.cart'), [])
  await run("UPDATE k.cart SET items = items + {'tea'} WHERE id = 1")
  t.same(await values('SELECT items FROM k.cart'), [['tea']])
})

t.test('resolvers', async (t) => {
  const columns = 'p int PRIMARY KEY, n int, s set<int>, f frozen<set<int>>, m map<text, int>, v text'
  const insert = 'INSERT INTO k.res (p, n, s, f, m, v) VALUES (1, ?, ?, ?, ?, ?)'
  const versions: [number | null, number[], number[], Record<string, number>, string][] = [
    [5, [1, 2], [4], { a: 1, b: 1 }, 'x'],
    [9, [2, 3], [5, 6], { b: 2 }, 'z'],
    [7, [4], [4], { c: 3 }, 'y'],
  ]
  for (const [resolver, expected] of [
    ["'newest'", [{ n: 7, s: [4], f: [4], m: { c: 3 }, v: 'y' }]],
    ["'max'", [{ n: 9, v: 'z' }]],
    ["'min'", [{ n: 5, v: 'x' }]],
    ["'union'", [5, 9, 7].map((n) => ({ n, s: [1, 2, 3, 4], f: [4, 5, 6], m: { a: 1, b: 2, c: 3 } }))],
    [
      "{'n': 'max', 's': 'union', 'f': 'union', 'm': 'union', 'v': 'newest'}",
      [{ n: 9, s: [1, 2, 3, 4], f: [4, 5, 6], m: { a: 1, b: 2, c: 3 }, v: 'y' }],
    ],
    ["{'n': 'min'}", ['x', 'z', 'y'].map((v) => ({ n: 5, v }))],
    ["'siblings'", ['x', 'z', 'y'].map((v) => ({ v }))],
  ] as [string, Record<string, unknown>[]][]) {
    await run(`CREATE TABLE k.res (${columns}) WITH resolution = 'vclock' AND resolver = ${resolver}`)
    for (const version of versions) await run(insert, version)
    const found = await run('SELECT * FROM k.res')
    t.match(found, expected, resolver)
    t.equal(found.length, expected.length)
    t.equal(
      (await run('SELECT * FROM k.res WHERE n = 5 ALLOW FILTERING')).length,
      expected.filter(({ n }) => n === undefined || n === 5).length - (resolver === "'siblings'" ? 2 : 0),
    )
    const all = await vclock('res', 'p = 1')
    await run("UPDATE k.res USING VCLOCK ? SET v = 'w' WHERE p = 1", [all])
    const resolved = await run('SELECT * FROM k.res')
    t.equal(resolved.length, 1, 'what they come to is written back')
    if (expected[0]!.s !== undefined) t.match(resolved, [{ s: expected[0]!.s, v: 'w' }])
    if (expected.length === 1) t.match(resolved, [{ n: expected[0]!.n, v: 'w' }])
    await run('DROP TABLE k.res')
  }
})

t.test('TTL is of a version, times are of the one that has them', async (t) => {
  await run("CREATE TABLE k.ttl (p int PRIMARY KEY, a text, b text) WITH resolution = 'vclock'")
  await run("INSERT INTO k.ttl (p, a) VALUES (1, 'short') USING TTL 1")
  await run("INSERT INTO k.ttl (p, a) VALUES (1, 'long') USING TTL 1000")
  const found = await run('SELECT a, ttl(a) AS t, writetime(a) AS w FROM k.ttl WHERE p = 1')
  t.same(
    found.map(({ a }) => a),
    ['short', 'long'],
  )
  t.ok(Number(found[1]!.w) > Number(found[0]!.w))
  await new Promise((resolve) => setTimeout(resolve, 2100))
  const left = await run('SELECT a, ttl(a) AS t FROM k.ttl WHERE p = 1')
  t.same(
    left.map(({ a }) => a),
    ['long'],
  )
  t.ok(Number(left[0]!.t) > 900)
  await run("UPDATE k.ttl USING VCLOCK ? SET b = 'stays' WHERE p = 1", [await vclock('ttl', 'p = 1')])
  t.match(await run('SELECT a, b, ttl(a) AS t, ttl(b) AS u FROM k.ttl'), [{ a: 'long', b: 'stays', u: null }])
})

t.test('IF VCLOCK', async (t) => {
  await run("CREATE TABLE k.cas (p int PRIMARY KEY, v text, l list<int>) WITH resolution = 'vclock'")
  const first = await run("INSERT INTO k.cas (p, v, l) VALUES (1, 'a', [1, 2]) IF VCLOCK = null")
  t.same(first, [{ '[applied]': true }])
  const again = await run("INSERT INTO k.cas (p, v) VALUES (1, 'b') IF VCLOCK = null")
  t.match(again, [{ '[applied]': false }])
  const seen = await vclock('cas', 'p = 1')
  t.same(again[0]!['[vclock]'], seen)
  t.same(await run("UPDATE k.cas SET v = 'c' WHERE p = 1 IF VCLOCK = ?", [seen]), [{ '[applied]': true }])
  t.match(await run("UPDATE k.cas SET v = 'd' WHERE p = 1 IF VCLOCK = ?", [seen]), [{ '[applied]': false }])
  t.same(await run('SELECT v, l FROM k.cas'), [{ v: 'c', l: [1, 2] }], 'one version, the list goes on')
  t.same(await run('UPDATE k.cas SET l[0] = 7 WHERE p = 1 IF VCLOCK = ?', [await vclock('cas', 'p = 1')]), [
    { '[applied]': true },
  ])
  t.same(await run('SELECT v, l FROM k.cas'), [{ v: 'c', l: [7, 2] }])
  await run("INSERT INTO k.cas (p, v) VALUES (1, 'beside')")
  const both = await vclock('cas', 'p = 1')
  t.same(await run('DELETE FROM k.cas WHERE p = 1 IF VCLOCK = ?', [both]), [{ '[applied]': true }])
  t.same(await run('SELECT * FROM k.cas'), [])
  t.same(await run("INSERT INTO k.cas (p, v) VALUES (1, 'anew') IF VCLOCK = null"), [{ '[applied]': true }])
  t.same(await values('SELECT v FROM k.cas'), ['anew'])
})

t.test('lists go on from the version that was seen', async (t) => {
  await run("CREATE TABLE k.lists (p int PRIMARY KEY, l list<int>, s set<int>, v int) WITH resolution = 'vclock'")
  await run('INSERT INTO k.lists (p, l, s, v) VALUES (1, [1, 2], {1}, 5)')
  await run('UPDATE k.lists USING VCLOCK ? SET l = l + [3], s = s + {2} WHERE p = 1', [await vclock('lists', 'p = 1')])
  await run('UPDATE k.lists USING VCLOCK ? SET l[0] = 9 WHERE p = 1', [await vclock('lists', 'p = 1')])
  await run('DELETE s[1] FROM k.lists USING VCLOCK ? WHERE p = 1', [await vclock('lists', 'p = 1')])
  t.same(await run('SELECT * FROM k.lists'), [{ p: 1, l: [9, 2, 3], s: [2], v: 5 }])
})

t.test('JSON keeps siblings apart', async (t) => {
  await run("CREATE TABLE k.json (p int PRIMARY KEY, v text) WITH resolution = 'vclock'")
  await run('INSERT INTO k.json JSON \'{"p": 1, "v": "a"}\'')
  await run('INSERT INTO k.json JSON \'{"p": 1, "v": "b"}\'')
  t.same(await values('SELECT JSON * FROM k.json'), ['{"p": 1, "v": "a"}', '{"p": 1, "v": "b"}'])
  t.match((await values('SELECT JSON p, vclock(*) AS seen FROM k.json'))[0], /^{"p": 1, "seen": "0x01/)
})

t.test('bounds: a warning at 25 siblings, none beyond max_siblings', async (t) => {
  await run("CREATE TABLE k.many (p int PRIMARY KEY, v int) WITH resolution = 'vclock' AND max_siblings = 30")
  let warned = 0
  for (let v = 0; v < 30; v++) {
    const { info } = await ask('INSERT INTO k.many (p, v) VALUES (1, ?)', [v])
    if (info.warnings?.length) warned++
  }
  t.equal(warned, 6)
  await t.rejects(run('INSERT INTO k.many (p, v) VALUES (1, 30)'), /max_siblings/)
  await run('INSERT INTO k.many (p, v) VALUES (1, 31) USING VCLOCK ?', [await vclock('many', 'p = 1')])
  t.same(await values('SELECT v FROM k.many'), [31])
})

t.test('ALTER both ways, and a restart between', async (t) => {
  await run('CREATE TABLE k.alt (p int, c int, v text, s set<int>, PRIMARY KEY (p, c))')
  await run("INSERT INTO k.alt (p, c, v, s) VALUES (1, 1, 'old', {1})")
  await run("INSERT INTO k.alt (p, c, v) VALUES (1, 2, 'two')")
  const select = await ask('SELECT v FROM k.alt WHERE p = 1 AND c = 1')
  t.same(plain(select), [{ v: 'old' }])
  await run("ALTER TABLE k.alt WITH resolution = 'vclock'")
  t.same(await values('SELECT v FROM k.alt WHERE p = 1 AND c = 1'), ['old'], 'rows stay')
  const seen = await vclock('alt', 'p = 1 AND c = 1')
  await run("INSERT INTO k.alt (p, c, v) VALUES (1, 1, 'beside')")
  t.same(await values('SELECT v FROM k.alt WHERE p = 1 AND c = 1'), ['old', 'beside'])
  await run("UPDATE k.alt USING VCLOCK ? SET v = 'new' WHERE p = 1 AND c = 1", [seen])
  t.same(await run('SELECT v, s FROM k.alt WHERE p = 1 AND c = 1'), [
    { v: 'beside', s: null },
    { v: 'new', s: [1] },
  ])
  await restart()
  t.same(await values('SELECT v FROM k.alt WHERE p = 1'), ['beside', 'new', 'two'])
  await t.rejects(run("ALTER TABLE k.alt WITH resolution = 'lww'"), /state resolver = 'newest'/)
  await run("ALTER TABLE k.alt WITH resolution = 'lww' AND resolver = 'newest'")
  t.same(await values('SELECT v FROM k.alt WHERE p = 1'), ['new', 'two'])
  await run('UPDATE k.alt SET s = s + {2} WHERE p = 1 AND c = 1')
  await run("UPDATE k.alt SET v = 'later' WHERE p = 1 AND c = 2")
  t.same(await run('SELECT v, s FROM k.alt WHERE p = 1'), [
    { v: 'new', s: [1, 2] },
    { v: 'later', s: null },
  ])
  await run('DELETE FROM k.alt WHERE p = 1 AND c = 1')
  t.same(await values('SELECT v FROM k.alt WHERE p = 1'), ['later'])
  await restart()
  t.same(await values('SELECT v FROM k.alt WHERE p = 1'), ['later'])
  await t.rejects(run("ALTER TABLE k.alt WITH resolution = 'vclock'"), /overwritten or deleted by timestamps/)
})

t.test('an or-set column is added, dropped, and added anew: what was in it neither stays nor comes back', async (t) => {
  const all = (): Promise<unknown[]> => run('SELECT v, tags, more FROM k.late')
  await run("CREATE TABLE k.late (p int PRIMARY KEY, v int, tags set<int>) WITH resolution = 'vclock'")
  for (const v of [1, 2]) await run(`INSERT INTO k.late (p, v, tags) VALUES (1, ${v}, {${v}})`)
  await run("ALTER TABLE k.late WITH resolver = {'more': 'or-set'}")
  await run('ALTER TABLE k.late ADD more map<text, int>')
  await run("UPDATE k.late SET more['x'] = 1 WHERE p = 1")
  const both = [
    { v: 1, tags: [1], more: { x: 1 } },
    { v: 2, tags: [2], more: { x: 1 } },
  ]
  t.same(await all(), both)
  await run('ALTER TABLE k.late DROP tags')
  await run("ALTER TABLE k.late WITH resolver = {'more': 'or-set', 'tags': 'or-set'}")
  await run('ALTER TABLE k.late ADD tags set<int>')
  await run('ALTER TABLE k.late DROP more')
  await run('ALTER TABLE k.late ADD more map<text, int>')
  t.same(
    await all(),
    both.map(({ v }) => ({ v, tags: null, more: null })),
  )
  await run('UPDATE k.late SET tags = tags + {7} WHERE p = 1')
  await run("UPDATE k.late USING VCLOCK ? SET more = {'y': 2} WHERE p = 1", [await vclock('late', 'p = 1')])
  await restart()
  t.same(await all(), [{ v: 2, tags: [7], more: { y: 2 } }])
})
