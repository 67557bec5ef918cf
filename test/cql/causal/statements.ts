/** What statements on vector-clock tables ask of leaders, and what is refused: without storage. */
import t from 'tap'
import { uuidBytes } from '../../../lib/base/uuid.ts'
import { ContextSeal } from '../../../lib/cql/causal/context-blob.ts'
import { type BoundValue, UNSET } from '../../../lib/cql/statement.ts'
import { joinContexts, makeContext, NO_CONTEXT } from '../../../storage/model/causal/context.ts'
import { EntryKind, MutationReader } from '../../../storage/model/mutation.ts'
import { RowReader } from '../../../storage/model/row.ts'
import { forAll } from '../../support/random.ts'
import { createNode, type TestNode } from '../../support/recording-node.ts'

async function node(): Promise<TestNode> {
  const node = createNode()
  await node.run("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await node.run("CREATE TABLE k.t (p int PRIMARY KEY, a text, b text) WITH resolution = 'vclock'")
  await node.run(
    "CREATE TABLE k.c (p int, c int, name text, tags set<text>, PRIMARY KEY (p, c)) WITH resolution = 'vclock' AND resolver = {'tags': 'or-set'}",
  )
  await node.run('CREATE TABLE k.plain (p int PRIMARY KEY, a text)')
  return node
}

/** Cells of a row: column id, and whether it is a tombstone, a complex deletion, or has a value. */
function cells(row: Buffer | null): string[] | null {
  if (row === null) return null
  const reader = new RowReader().reset(row)
  const found = reader.hasLiveness ? ['liveness'] : []
  while (reader.next()) {
    const value = reader.buffer.toString('utf8', reader.valueStart, reader.valueEnd)
    found.push(`${reader.columnId} ${reader.isComplexDeletion ? 'cleared' : reader.isTombstone ? 'null' : value}`)
  }
  return found
}

/** The last write's causal parts. */
function written({ writes }: TestNode) {
  const { kind, mutations } = writes.at(-1)!
  const reader = new MutationReader()
  const rows = mutations.flatMap((mutation) => {
    const those: unknown[] = []
    reader.reset(mutation)
    while (reader.next()) {
      if (reader.kind !== EntryKind.CAUSAL_WRITE) {
        those.push(reader.kind)
        continue
      }
      const { context, version, sets } = reader.causalWrite()
      those.push({ context: context?.toString('hex') ?? null, version: cells(version), sets: cells(sets) })
    }
    return those
  })
  return { kind, rows }
}

/** A context that a read of a row might have given. */
const SEEN = makeContext(Buffer.from('0102030405060708', 'hex'), 0, 77)

function sealed(
  { environment }: TestNode,
  table: string,
  key: Buffer,
  clustering = NO_CONTEXT,
  context = SEEN,
): Buffer {
  const { id } = environment.schema.current.keyspaces.get('k')!.tables.get(table)!
  return new ContextSeal(uuidBytes(id)).seal(key, clustering, context)
}

const ONE = Buffer.from([0, 0, 0, 1])

t.test('INSERT is a version, with what was seen', async (t) => {
  const world = await node()
  await world.run("INSERT INTO k.t (p, a) VALUES (1, 'x')")
  t.same(written(world), { kind: 'CAUSAL', rows: [{ context: null, version: ['liveness', '0 x'], sets: null }] })
  const blob = sealed(world, 't', ONE)
  await world.run("INSERT INTO k.t (p, a) VALUES (1, 'x') USING VCLOCK ? AND TTL 9", [blob])
  t.match(written(world).rows, [{ context: SEEN.toString('hex') }])
  await world.run(`INSERT INTO k.t JSON '{"p": 1, "b": "y"}' USING VCLOCK 0x${blob.toString('hex')}`)
  t.match(written(world).rows, [{ context: SEEN.toString('hex'), version: ['liveness', '0 null', '1 y'] }])
  for (const nothing of [null, UNSET, Buffer.alloc(0)] as BoundValue[]) {
    await world.run("INSERT INTO k.t (p, a) VALUES (1, 'x') USING VCLOCK ?", [nothing])
    t.match(written(world).rows, [{ context: null }])
  }
})

t.test('or-set columns stand apart from versions', async (t) => {
  const world = await node()
  await world.run("UPDATE k.c SET tags = tags + {'a'}, tags = tags - {'b'} WHERE p = 1 AND c = 2")
  t.same(written(world).rows, [
    { context: null, version: null, sets: ['3 ', '3 null'].map((text) => text.replace('3', '1')) },
  ])
  await world.run("INSERT INTO k.c (p, c, name, tags) VALUES (1, 2, 'n', {'a'})")
  t.same(
    written(world).rows,
    [{ context: null, version: ['liveness', '0 n'], sets: ['1 '] }],
    'adds: it has seen nothing',
  )
  await world.run('INSERT INTO k.c JSON \'{"p": 1, "c": 2, "name": "n"}\'')
  t.same(written(world).rows, [{ context: null, version: ['liveness', '0 n'], sets: null }], 'nothing to add')
  await world.run('DELETE tags FROM k.c WHERE p = 1 AND c = 2')
  t.same(written(world).rows, [{ context: null, version: null, sets: ['1 cleared'] }])
  await world.run("UPDATE k.c SET name = 'n', tags = {'a'} WHERE p = 1 AND c = 2")
  t.same(
    written(world).rows,
    [{ context: null, version: ['0 n'], sets: ['1 cleared', '1 '] }],
    'nothing had to be read',
  )
})

t.test('DELETE with a vclock is of what was seen', async (t) => {
  const world = await node()
  await world.run('DELETE FROM k.t USING VCLOCK ? WHERE p = 1', [sealed(world, 't', ONE)])
  t.same(written(world).rows, [{ context: SEEN.toString('hex'), version: null, sets: null }])
  const count = world.writes.length
  await world.run('DELETE FROM k.t WHERE p = 1')
  t.equal(world.writes.length, count, 'nothing was found, so nothing is deleted')
  t.match(await world.error('DELETE FROM k.c USING VCLOCK ? WHERE p = 1', [sealed(world, 'c', ONE)]), /of one row/)
  t.match(
    await world.error('DELETE FROM k.c USING VCLOCK ? WHERE p = 1 AND c > 1', [sealed(world, 'c', ONE)]),
    /of one row/,
  )
})

t.test('prepared: bind names and types', async (t) => {
  const world = await node()
  for (const [text, names] of [
    ['INSERT INTO k.t (p, a) VALUES (?, ?) USING TTL ? AND VCLOCK ?', ['p', 'a', '[ttl]', '[vclock]']],
    ['UPDATE k.t USING VCLOCK ? SET a = ? WHERE p = ?', ['[vclock]', 'a', 'p']],
    ['UPDATE k.t SET a = ? WHERE p = ? IF VCLOCK = ?', ['a', 'p', '[vclock]']],
    ['INSERT INTO k.t (p) VALUES (?) IF VCLOCK = ?', ['p', '[vclock]']],
    ['DELETE FROM k.t USING VCLOCK ? WHERE p = ?', ['[vclock]', 'p']],
  ] as const) {
    const { variables } = world.processor.prepare(text, null, world.client).statement
    t.same(
      variables.map(({ name }) => name),
      names,
      text,
    )
    t.match(variables.find(({ name }) => name === '[vclock]')!.type, { kind: 'native', name: 'blob' })
  }
  const { statement } = world.processor.prepare('SELECT p, vclock(a), vclock(*) FROM k.t', null, world.client)
  const { resultMetadata } = statement
  t.match(resultMetadata!.columns, [
    { name: 'p' },
    { name: 'vclock(a)', type: { name: 'blob' } },
    { name: 'vclock(*)' },
  ])
})

t.test('contexts that are malformed or of another row are refused', async (t) => {
  const world = await node()
  const blob = sealed(world, 't', ONE)
  const put = (bytes: Buffer, key = 1) =>
    world.error(`INSERT INTO k.t (p, a) VALUES (${key}, 'x') USING VCLOCK ?`, [bytes])
  t.equal(await put(blob), 'no error')
  t.match(await put(blob, 2), /not of this row/)
  const ofTheFuture = makeContext(Buffer.from('0102030405060708', 'hex'), 0, 2 ** 53 - 1)
  t.match(await put(sealed(world, 't', ONE, NO_CONTEXT, ofTheFuture)), /vclock/, 'of no time there is')
  t.match(await put(sealed(world, 'c', ONE)), /not of this row/)
  t.match(await put(Buffer.concat([blob, Buffer.alloc(1)])), /Malformed vclock/)
  t.match(await put(Buffer.alloc(70_000, 1)), /Malformed vclock/)
  const counts = { refused: 0, taken: 0 }
  const outcomes: Promise<string>[] = []
  forAll(2000, (random) => {
    const bytes = Buffer.from(random.int(2) === 0 ? blob : joinContexts(SEEN, SEEN))
    let broken: Buffer = Buffer.from(bytes)
    if (random.int(3) === 0) broken = broken.subarray(0, random.int(broken.length))
    else if (broken.length > 0) broken[random.int(broken.length)]! ^= 1 + random.int(255)
    outcomes.push(put(broken))
  })
  for (const outcome of await Promise.all(outcomes)) {
    if (outcome === 'no error') counts.taken++
    else if (/vclock/.test(outcome)) counts.refused++
    else t.fail(outcome)
  }
  // Cut to nothing is no context at all.
  t.ok(counts.refused > 1900, `${counts.refused} refused, ${counts.taken} taken`)
})

t.test('what is refused, and why', async (t) => {
  const world = await node()
  const cases: [string, RegExp][] = [
    ["UPDATE k.plain SET a = 'x' WHERE p = 1 IF VCLOCK = null", /IF VCLOCK needs a table with resolution/],
    ['INSERT INTO k.t (p) VALUES (1) IF NOT EXISTS', /IF VCLOCK = null asks that there is no such row/],
    ['INSERT INTO k.t (p) VALUES (1) USING TIMESTAMP 5', /USING TIMESTAMP is not supported in k.t/],
    ["UPDATE k.t USING TIMESTAMP 5 SET a = 'x' WHERE p = 1", /USING TIMESTAMP is not supported/],
    ['DELETE FROM k.t USING TIMESTAMP 5 WHERE p = 1', /USING TIMESTAMP is not supported/],
    ['INSERT INTO k.t (p) VALUES (1) IF NOT EXISTS', /Only IF VCLOCK = \? is supported/],
    ["UPDATE k.t SET a = 'x' WHERE p = 1 IF EXISTS", /Only IF VCLOCK = \? is supported/],
    ["UPDATE k.t SET a = 'x' WHERE p = 1 IF a = 'y'", /Only IF VCLOCK = \? is supported/],
    ["UPDATE k.t SET a = 'x' WHERE p = 1 IF VCLOCK != 0x00", /Only IF VCLOCK = \? is supported/],
    ["UPDATE k.t SET a = 'x' WHERE p = 1 IF VCLOCK = 0x00 AND a = 'y'", /Only IF VCLOCK = \? is supported/],
    ["UPDATE k.t USING VCLOCK 0x01 SET a = 'x' WHERE p = 1 IF VCLOCK = 0x01", /USING VCLOCK is not supported with it/],
    ["UPDATE k.t SET a = 'x' WHERE p = 1 IF VCLOCK = 0x01", /Malformed vclock/],
    ["UPDATE k.t SET a = 'x' WHERE p IN (1, 2) IF VCLOCK = null", /IN on the partition key is not supported/],
    ['DELETE FROM k.c WHERE p = 1 IF VCLOCK = null', /IF VCLOCK needs the whole primary key/],
    ["INSERT INTO k.plain (p, a) VALUES (1, 'x') USING VCLOCK 0x00", /USING VCLOCK needs a table with resolution/],
    ["INSERT INTO k.plain (p, a) VALUES (1, 'x') IF VCLOCK = 0x00", /IF VCLOCK needs a table with resolution/],
    ["UPDATE k.plain USING VCLOCK 0x00 SET a = 'x' WHERE p = 1", /USING VCLOCK needs a table with resolution/],
    ['SELECT vclock(*) FROM k.plain', /vclock\(\) needs a table with resolution/],
    ['SELECT vclock(nosuch) FROM k.t', /Undefined column name nosuch/],
    [
      'BEGIN BATCH USING TIMESTAMP 5 INSERT INTO k.t (p) VALUES (1) APPLY BATCH',
      /USING TIMESTAMP is not supported in a batch/,
    ],
    [
      'BEGIN BATCH INSERT INTO k.t (p) VALUES (1); INSERT INTO k.t (p) VALUES (2) APPLY BATCH',
      /one partition of one table/,
    ],
    [
      'BEGIN BATCH INSERT INTO k.t (p) VALUES (1); INSERT INTO k.plain (p) VALUES (1) APPLY BATCH',
      /one partition of one table/,
    ],
    [
      'BEGIN BATCH INSERT INTO k.t (p) VALUES (1); INSERT INTO k.c (p, c) VALUES (1, 1) APPLY BATCH',
      /one partition of one table/,
    ],
    [
      'BEGIN BATCH INSERT INTO k.t (p) VALUES (1); INSERT INTO k.plain (p) VALUES (1) IF NOT EXISTS APPLY BATCH',
      /Conditional statements|span multiple tables/,
    ],
    [
      'CREATE MATERIALIZED VIEW k.v AS SELECT * FROM k.t WHERE p IS NOT NULL AND a IS NOT NULL PRIMARY KEY (a, p)',
      /Materialized views are not supported/,
    ],
  ]
  for (const [text, message] of cases) t.match(await world.error(text), message, text)
  t.match(await world.error("INSERT INTO k.t (p, a) VALUES (1, 'x') IF VCLOCK = ?", [UNSET]), /Invalid 'unset' value/)
})

t.test('batches: one partition is one mutation, several need UNLOGGED', async (t) => {
  const world = await node()
  await world.run('BEGIN BATCH INSERT INTO k.c (p, c) VALUES (1, 1); INSERT INTO k.c (p, c) VALUES (1, 2) APPLY BATCH')
  t.equal(world.writes.at(-1)!.mutations.length, 1)
  t.equal(written(world).rows.length, 2)
  const before = world.writes.length
  await world.run(
    "BEGIN UNLOGGED BATCH INSERT INTO k.c (p, c) VALUES (1, 1); INSERT INTO k.c (p, c) VALUES (2, 2); INSERT INTO k.plain (p, a) VALUES (3, 'x') APPLY BATCH",
  )
  const [causal, plain] = world.writes.slice(before)
  t.match(causal, { kind: 'CAUSAL' })
  t.equal(causal!.mutations.length, 2)
  t.match(plain, { kind: 'SIMPLE' })
})

t.test('a column, a table and a function may still be named vclock', async (t) => {
  const world = await node()
  await world.run('CREATE TABLE k.vclock (vclock int PRIMARY KEY, v int)')
  await world.run('INSERT INTO k.vclock (vclock, v) VALUES (1, 2)')
  await world.run('SELECT vclock FROM k.vclock WHERE vclock = 1')
  t.match(await world.error('UPDATE k.vclock SET v = 1 WHERE vclock = 1 IF v = 2'), 'no error')
})
