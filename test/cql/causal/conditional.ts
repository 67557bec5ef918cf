/** IF VCLOCK: what conditions at two serial levels may claim of each other, decisions that nobody told of, and batches. */
import t from 'tap'
import { ConditionalDots } from '../../../cluster/coordinator/conditional-dots.ts'
import { ByteWriter } from '../../../lib/base/bytes.ts'
import { RequestError } from '../../../lib/base/errors.ts'
import type { RowsResult, StatementResult } from '../../../lib/cql/result.ts'
import type { BoundValue, QueryOptions } from '../../../lib/cql/statement.ts'
import { Consistency } from '../../../lib/types/consistency.ts'
import { makeContext } from '../../../storage/model/causal/context.ts'
import { type Dots, twinsOf } from '../../../storage/model/causal/dots.ts'
import { RowWriter } from '../../../storage/model/row-writer.ts'
import { countedDots } from '../../support/dots.ts'
import { openStorageNode, type StorageNode } from '../../support/storage-node.ts'

const { SERIAL, LOCAL_SERIAL } = Consistency

/** One data centre's replicas, and decisions that have not come to them. */
class World {
  readonly node: StorageNode
  /** The next decision is made on what is here, and written elsewhere; its coordinator may not get to know. */
  next: 'here' | 'elsewhere' | 'unknown' = 'here'
  readonly #elsewhere: Buffer[] = []

  constructor(node: StorageNode) {
    this.node = node
    const { coordinator } = node.environment
    const cas = coordinator.cas.bind(coordinator)
    coordinator.cas = async (request) => {
      const where = this.next
      this.next = 'here'
      if (where === 'here') return await cas(request)
      let mutations: readonly Buffer[] | null = null
      await cas({
        ...request,
        async decide(found, scene) {
          mutations = await request.decide(found, scene)
          return null
        },
      })
      if (mutations !== null) this.#elsewhere.push(...(mutations as readonly Buffer[]))
      if (where === 'unknown') throw new RequestError('CAS_WRITE_UNKNOWN', 'nobody knows', {})
      return mutations !== null
    }
  }

  async run(text: string, values: readonly BoundValue[] = [], options: Partial<QueryOptions> = {}) {
    return await this.node.run(text, { values, ...options })
  }

  /** Rows as JSON gives them. */
  async rows(text: string): Promise<Record<string, unknown>[]> {
    return jsonOf(await this.run(text))
  }

  async vclock(where: string): Promise<Buffer> {
    const { rowBytes } = (await this.run(`SELECT vclock(*) FROM k.t WHERE ${where} LIMIT 1`)) as RowsResult
    return Buffer.from(rowBytes.subarray(4))
  }

  /** What was decided elsewhere comes here. */
  async heal(): Promise<void> {
    for (const mutation of this.#elsewhere.splice(0))
      await this.node.environment.coordinator.write([mutation], 'SIMPLE', Consistency.ONE, 'k')
  }

  async update(v: string, level: number, seen: Buffer): Promise<boolean> {
    const text = `UPDATE k.t SET v = '${v}' WHERE p = 1 AND c = 1 IF VCLOCK = ?`
    const result = (await this.run(text, [seen], { serialConsistency: level })) as RowsResult
    return result.rowBytes[4] === 1
  }
}

function jsonOf(result: StatementResult): Record<string, unknown>[] {
  const { rowBytes, rowCount } = result as RowsResult
  const found: Record<string, unknown>[] = []
  for (let i = 0, at = 0; i < rowCount; i++) {
    const length = rowBytes.readInt32BE(at)
    found.push(JSON.parse(rowBytes.toString('utf8', at + 4, at + 4 + length)))
    at += 4 + length
  }
  return found
}

async function withWorld(run: (world: World) => Promise<void>): Promise<void> {
  await using node = await openStorageNode()
  const world = new World(node)
  await world.run("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await world.run(
    "CREATE TABLE k.t (p int, c int, v text, n int, tags set<text>, PRIMARY KEY (p, c)) WITH resolution = 'vclock' AND resolver = {'tags': 'or-set'} AND max_siblings = 3",
  )
  await run(world)
}

const VALUES = 'SELECT JSON v FROM k.t WHERE p = 1 AND c = 1'

t.test('SERIAL and LOCAL_SERIAL do not order each other, and neither hides what the other wrote', async (t) => {
  for (const [first, second] of [
    [SERIAL, LOCAL_SERIAL],
    [LOCAL_SERIAL, SERIAL],
  ] as const)
    await withWorld(async (world) => {
      await world.run("INSERT INTO k.t (p, c, v) VALUES (1, 1, 'a') IF VCLOCK = null", [], {
        serialConsistency: second,
      })
      const seen = await world.vclock('p = 1 AND c = 1')
      world.next = 'elsewhere'
      t.equal(await world.update('b', first, seen), true)
      t.equal(await world.update('c', second, seen), true, 'those who agreed have not heard of it')
      await world.heal()
      t.same(
        (await world.rows(VALUES)).map(({ v }) => v).sort(),
        ['b', 'c'],
        'both are acknowledged, neither had seen the other',
      )
      t.equal(await world.update('d', first, await world.vclock('p = 1 AND c = 1')), true)
      t.same(await world.rows(VALUES), [{ v: 'd' }])
    })
})

t.test('a decision that turns up late was not seen by those that came after it', async (t) => {
  for (const told of ['elsewhere', 'unknown'] as const)
    await withWorld(async (world) => {
      await world.run("INSERT INTO k.t (p, c, v) VALUES (1, 1, 'a') IF VCLOCK = null")
      const seen = await world.vclock('p = 1 AND c = 1')
      world.next = told
      await world.update('b', SERIAL, seen).catch((error) => t.equal(error.code, 'CAS_WRITE_UNKNOWN'))
      t.equal(await world.update('c', SERIAL, seen), true)
      t.equal(await world.update('d', SERIAL, await world.vclock('p = 1 AND c = 1')), true)
      await world.heal()
      t.same((await world.rows(VALUES)).map(({ v }) => v).sort(), ['b', 'd'])
    })
})

t.test('a row that is written by conditions again and again has a context of one entry', async (t) => {
  await withWorld(async (world) => {
    await world.run("INSERT INTO k.t (p, c, v) VALUES (1, 1, 'a') IF VCLOCK = null")
    const { length } = await world.vclock('p = 1 AND c = 1')
    for (let i = 0; i < 20; i++) {
      t.equal(await world.update(`${i}`, SERIAL, await world.vclock('p = 1 AND c = 1')), true)
      await world.run(`INSERT INTO k.t (p, c, v) VALUES (2, ${i}, 'x') IF VCLOCK = null`)
      t.equal(await world.update('late', SERIAL, makeSeen()).catch(() => false), false)
    }
    // From where the actor was first heard of: two bounds.
    t.ok((await world.vclock('p = 1 AND c = 1')).length <= length + 8)
  })
})

function makeSeen(): Buffer {
  return Buffer.from('no vclock')
}

/** A row that has seen one dot of the actor. */
function stateOf({ actor }: Dots, counter: number): Buffer {
  const out = new ByteWriter(64)
  const writer = new RowWriter(out)
  writer.begin()
  const context = makeContext(twinsOf(actor)[0], counter - 1, counter)
  writer.context(context, 0, context.length)
  writer.end()
  return out.copy()
}

t.test('rows that are forgotten go back to an actor that lacks nothing of them', async (t) => {
  let byte = 1
  const writes = new ConditionalDots(() => {
    byte += 2
    return countedDots(byte)
  }, 2)
  const row = Buffer.from('row')
  const common = writes.dotsFor(row, SERIAL, null)
  t.equal(writes.dotsFor(Buffer.from('other'), SERIAL, null), common)
  t.not(writes.dotsFor(row, LOCAL_SERIAL, null), common)
  writes.written(row, SERIAL, common, stateOf(common, 7))
  t.equal(writes.dotsFor(row, SERIAL, stateOf(common, 7)), common)
  const other = writes.dotsFor(row, SERIAL, stateOf(common, 6))
  t.not(other, common, 'the row lacks what was given')
  writes.written(row, SERIAL, other, stateOf(other, 9))
  t.equal(writes.dotsFor(row, SERIAL, stateOf(other, 9)), other)
  for (const name of ['x', 'y']) writes.written(Buffer.from(name), SERIAL, common, stateOf(common, 10))
  const later = writes.dotsFor(row, SERIAL, null)
  t.not(later, common, 'which the row may be lacking dots of')
  t.not(later, other)
})

t.test('a batch of one partition is done as a whole, or not at all', async (t) => {
  await withWorld(async (world) => {
    const all = 'SELECT JSON c, v, n, tags FROM k.t WHERE p = 1'
    for (const c of [1, 2, 3]) await world.run(`INSERT INTO k.t (p, c, v, n) VALUES (1, ${c}, 'old', ${c})`)
    const [one, two, three] = await Promise.all([1, 2, 3].map((c) => world.vclock(`p = 1 AND c = ${c}`)))
    const batch = `BEGIN BATCH
      UPDATE k.t SET v = 'new' WHERE p = 1 AND c = 2 IF VCLOCK = ?;
      UPDATE k.t SET v = 'new', tags = tags + {'x'} WHERE p = 1 AND c = 1 IF VCLOCK = ?;
      INSERT INTO k.t (p, c, v) VALUES (1, 4, 'made') IF VCLOCK = null;
      UPDATE k.t USING VCLOCK ? SET v = 'put' WHERE p = 1 AND c = 3;
      INSERT INTO k.t (p, c, v) VALUES (1, 5, 'beside');
      APPLY BATCH`
    await world.run("UPDATE k.t USING VCLOCK ? SET v = 'between' WHERE p = 1 AND c = 2", [two!])
    const before = await world.rows(all)
    const refused = (await world.run(batch, [two!, one!, three!])) as RowsResult
    t.same(
      refused.metadata.columns.map(({ name }) => name),
      ['[applied]', 'p', 'c', '[vclock]'],
    )
    t.same(rowsOf(refused), [
      ['00', '00000001', '00000001', one!.toString('hex')],
      ['00', '00000001', '00000002', (await world.vclock('p = 1 AND c = 2')).toString('hex')],
    ])
    t.same(await world.rows(all), before, 'nothing was done')

    const applied = (await world.run(batch, [await world.vclock('p = 1 AND c = 2'), one!, three!])) as RowsResult
    t.same(rowsOf(applied), [['01']])
    t.same(await world.rows(all), [
      { c: 1, v: 'new', n: 1, tags: ['x'] },
      { c: 2, v: 'new', n: 2, tags: null },
      { c: 3, v: 'put', n: 3, tags: null },
      { c: 4, v: 'made', n: null, tags: null },
      { c: 5, v: 'beside', n: null, tags: null },
    ])
  })
})

t.test('what stands beside conditions does what it does alone', async (t) => {
  await withWorld(async (world) => {
    for (const c of [1, 2, 3, 4]) await world.run(`INSERT INTO k.t (p, c, v) VALUES (1, ${c}, 'old')`)
    await world.run(`BEGIN UNLOGGED BATCH
      INSERT INTO k.t (p, c, v) VALUES (1, 9, 'new') IF VCLOCK = null;
      INSERT INTO k.t (p, c, v) VALUES (1, 1, 'sibling');
      UPDATE k.t SET n = 7 WHERE p = 1 AND c = 2;
      DELETE FROM k.t WHERE p = 1 AND c = 3;
      DELETE FROM k.t WHERE p = 1 AND c = 77;
      DELETE v FROM k.t WHERE p = 1 AND c = 4;
      APPLY BATCH`)
    t.same(await world.rows('SELECT JSON c, v, n FROM k.t WHERE p = 1'), [
      { c: 1, v: 'old', n: null },
      { c: 1, v: 'sibling', n: null },
      { c: 2, v: 'old', n: null },
      { c: 2, v: 'old', n: 7 },
      { c: 4, v: 'old', n: null },
      { c: 4, v: null, n: null },
      { c: 9, v: 'new', n: null },
    ])
    await world.run("INSERT INTO k.t (p, c, v) VALUES (1, 2, 'third')")
    const condition = 'DELETE FROM k.t WHERE p = 1 AND c = 9 IF VCLOCK = ?'
    await t.rejects(
      world.run(`BEGIN BATCH ${condition}; INSERT INTO k.t (p, c, v) VALUES (1, 2, 'fourth'); APPLY BATCH`, [
        await world.vclock('p = 1 AND c = 9'),
      ]),
      { message: /max_siblings/ },
    )
    t.same(await world.rows('SELECT JSON v FROM k.t WHERE p = 1 AND c = 9'), [{ v: 'new' }])
  })
})

function rowsOf({ rowBytes, rowCount, metadata }: RowsResult): (string | null)[][] {
  let at = 0
  return Array.from({ length: rowCount }, () =>
    metadata.columns.map(() => {
      const length = rowBytes.readInt32BE(at)
      at += 4 + Math.max(0, length)
      return length < 0 ? null : rowBytes.toString('hex', at - length, at)
    }),
  )
}

t.test('what has no one meaning in a batch is refused', async (t) => {
  await withWorld(async (world) => {
    await world.run('CREATE TABLE k.plain (p int PRIMARY KEY, v text)')
    await world.run("INSERT INTO k.t (p, c, v) VALUES (1, 1, 'a')")
    const seen = await world.vclock('p = 1 AND c = 1')
    const condition = 'UPDATE k.t SET n = 1 WHERE p = 1 AND c = 1 IF VCLOCK = ?'
    for (const [other, message] of [
      ['UPDATE k.t SET v = 1 WHERE p = 1 AND c = 1', /./],
      ["UPDATE k.t SET v = 'b' WHERE p = 1 AND c = 1", /write the same row/],
      ["INSERT INTO k.t (p, c, v) VALUES (1, 1, 'b') IF VCLOCK = null", /write the same row/],
      ["INSERT INTO k.t (p, c, v) VALUES (2, 1, 'b')", /cannot span multiple partitions/],
      ["INSERT INTO k.plain (p, v) VALUES (1, 'b')", /cannot span multiple tables/],
      ['DELETE FROM k.t WHERE p = 1 AND c > 1', /whole primary keys: no ranges/],
      ['DELETE FROM k.t WHERE p = 1', /whole primary keys: no partitions/],
      ["UPDATE k.t SET v = 'b' WHERE p = 1 AND c IN (2, 3)", /whole primary keys: no ranges/],
    ] as const)
      await t.rejects(world.run(`BEGIN BATCH ${condition}; ${other}; APPLY BATCH`, [seen]), { message }, other)
    await t.rejects(world.run(`BEGIN BATCH USING TIMESTAMP 5 ${condition}; APPLY BATCH`, [seen]), {
      message: /timestamp for conditional BATCH/,
    })
    await t.rejects(
      world.run(`BEGIN BATCH ${condition}; INSERT INTO k.t (p, c) VALUES (1, 2) IF NOT EXISTS; APPLY BATCH`, [seen]),
      { message: /Only IF VCLOCK/ },
    )
    t.same(await world.rows('SELECT JSON n FROM k.t WHERE p = 1'), [{ n: null }])
  })
})

t.test('statements that are decided at once write each its own version', async (t) => {
  await withWorld(async (world) => {
    const keys = Array.from({ length: 20 }, (_, i) => i)
    const done = keys.map((c) =>
      world.run(`INSERT INTO k.t (p, c, v) VALUES (1, ${c}, 'v${c}${'.'.repeat(c * 7)}') IF VCLOCK = null`),
    )
    const other = keys.map((c) => world.run(`INSERT INTO k.t (p, c, v) VALUES (2, ${c}, 'other')`))
    await Promise.all([...done, ...other])
    t.same(
      (await world.rows('SELECT JSON v FROM k.t WHERE p = 1')).map(({ v }) => v),
      keys.map((c) => `v${c}${'.'.repeat(c * 7)}`),
    )
  })
})
