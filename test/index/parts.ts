/** The parts of an index by themselves: its clock, expiries, terms; stale entries, rebuilding, and ranges too wide to gather. */
import t from 'tap'
import { IndexClock } from '../../lib/index/clock.ts'
import { roundedExpiry } from '../../lib/index/entry.ts'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { openSimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { analyzerOf } from '../../lib/schema/index-analysis.ts'
import { IndexTerms } from '../../lib/schema/index-term.ts'
import type { ColumnSchema, IndexSchema } from '../../lib/schema/table.ts'
import { compare } from '../../lib/types/compare.ts'
import { NATIVE } from '../../lib/types/names.ts'
import { openIndexWorld } from '../support/index-world.ts'
import { settled } from '../support/power-loss.ts'
import { forAll } from '../support/random.ts'

const KEYSPACE = "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"

function column(type: ColumnSchema['type']): ColumnSchema {
  return { name: 'v', id: 0, kind: 'regular', position: -1, type, reversed: false, droppedAtMicros: null }
}

function sai(options: readonly (readonly [string, string])[] = []): IndexSchema {
  return { name: 'i', id: '0', kind: 'CUSTOM', options: new Map([['class_name', 'sai'], ['target', 'v'], ...options]) }
}

t.test('times of entries never go back, also when the clock did between two runs', (t) => {
  let wall = 1_000_000_000
  const ledger = {
    reserved: 0,
    reserve(until: number) {
      this.reserved = until
    },
  }
  const first = new IndexClock(() => wall, ledger)
  const times = [first.next(), first.next()]
  wall -= 500_000_000
  times.push(first.next())
  const second = new IndexClock(() => wall, { reserved: ledger.reserved, reserve: () => {} })
  times.push(second.next(), second.next())
  t.same(
    times,
    [...new Set(times)].sort((a, b) => a - b),
  )
  t.end()
})

t.test('an entry outlives its value, and not by much', (t) => {
  forAll(500, (dice) => {
    const now = 1_700_000_000 + dice.int(1e6)
    const ttl = 1 + dice.int(dice.pick([10, 1000, 1e6]))
    const rounded = roundedExpiry(now + ttl, now)
    if (rounded < now + ttl) throw new Error(`${ttl} s: ${rounded - now}`)
    if (rounded > now + ttl + Math.max(64, ttl / 2)) throw new Error(`${ttl} s: ${rounded - now}`)
  })
  t.equal(roundedExpiry(1_700_000_010, 1_700_000_000), roundedExpiry(1_700_000_011, 1_700_000_000), 'few of them')
  t.end()
})

t.test('terms of numbers lie in the bounds of every range that holds them', (t) => {
  for (const type of [NATIVE.int, NATIVE.bigint, NATIVE.timestamp]) {
    const terms = new IndexTerms(sai(), { column: column(type), part: 'simple' })
    const width = type === NATIVE.int ? 4 : 8
    forAll(500, (dice) => {
      const draw = (): Buffer => {
        const bytes = Buffer.alloc(width)
        if (width === 4) bytes.writeInt32BE(dice.int(2 ** dice.int(31)) * dice.pick([1, -1]))
        else bytes.writeBigInt64BE(BigInt(dice.int(2 ** dice.int(52))) * dice.pick([1n, -1n]) * dice.pick([1n, 1000n]))
        return bytes
      }
      const [a, b] = [draw(), draw()]
      const [low, high] = compare(type, a, b) <= 0 ? [a, b] : [b, a]
      const position = terms.ofValue(low)
      if (position.compare(terms.from(low)) < 0) throw new Error('before its own bound')
      const end = terms.to(high)
      if (end !== null && position.compare(end) >= 0)
        throw new Error(`${low.toString('hex')} after ${high.toString('hex')}`)
      if (terms.from(low).compare(terms.from(high)) > 0) throw new Error('bounds out of order')
    })
  }
  t.end()
})

t.test('texts and addresses are compared as SAI does', (t) => {
  const text = (options: readonly (readonly [string, string])[], value: string): string | undefined =>
    analyzerOf(sai(options), { column: column(NATIVE.text), part: 'simple' })?.(Buffer.from(value)).toString()
  t.equal(text([], 'A'), undefined)
  t.equal(text([['case_sensitive', 'false']], 'ÄB'), 'äb')
  t.equal(text([['normalize', 'true']], 'e\u0301'), '\u00e9')
  t.equal(text([['ascii', 'true']], 'Éßø'), 'Esso')
  const address = analyzerOf(sai(), { column: column(NATIVE.inet), part: 'simple' })!
  t.equal(address(Buffer.of(127, 0, 0, 1)).toString('hex'), '00000000000000000000ffff7f000001')
  t.end()
})

t.test('stale entries go when a read has met them', async (t) => {
  const clock = createSimulatedClock()
  const world = await openIndexWorld(openSimulatedDisk(), clock)
  await world.run(KEYSPACE)
  await world.run('CREATE TABLE k.t (p int PRIMARY KEY, v int)')
  await world.run('CREATE INDEX i ON k.t (v)')
  for (let v = 0; v < 10; v++) await world.run(`INSERT INTO k.t (p, v) VALUES (1, ${v})`)
  t.equal(await world.entries('i'), 10, 'writes remove nothing')
  for (let v = 0; v < 9; v++) t.same(await world.rows(`SELECT p FROM k.t WHERE v = ${v}`), [])
  await settled(clock, world.indexes.settle())
  t.equal(await world.entries('i'), 1)
  // Whatever the time of a later write of an old value is, it is found.
  await world.run('DELETE FROM k.t USING TIMESTAMP 1 WHERE p = 2')
  await world.run('INSERT INTO k.t (p, v) VALUES (2, 3) USING TIMESTAMP 5')
  t.equal((await world.rows('SELECT p FROM k.t WHERE v = 3')).length, 1)
  await world.close()
})

t.test('what came by other means than writes is found after a rebuild, or after the next start', async (t) => {
  const clock = createSimulatedClock()
  const disk = openSimulatedDisk()
  let world = await openIndexWorld(disk, clock)
  await world.run(KEYSPACE)
  const id = '5a1c395e-b41f-11e5-9f22-ba0be0483c18'
  await world.run(`CREATE TABLE k.t (p int PRIMARY KEY, v int) WITH ID = ${id}`)
  await world.run('CREATE INDEX i ON k.t (v)')
  await settled(clock, world.indexes.settle())
  const query = 'SELECT p FROM k.t WHERE v = 7'
  await settled(clock, world.indexes.invalidate(id))
  await t.rejects(world.rows(query), { code: 'READ_FAILURE' }, 'not answered in between')
  await world.runUnseen('INSERT INTO k.t (p, v) VALUES (1, 7)')
  await settled(clock, world.indexes.buildAgain(id))
  t.equal((await world.rows(query)).length, 1)
  await settled(clock, world.indexes.invalidate(id))
  await world.runUnseen('INSERT INTO k.t (p, v) VALUES (2, 7)')
  await world.close()
  world = await openIndexWorld(disk, clock)
  await settled(clock, world.indexes.settle())
  t.equal((await world.rows(query)).length, 2)
  await world.close()
})

t.test('a range that is too wide to gather is answered all the same', async (t) => {
  const clock = createSimulatedClock()
  const world = await openIndexWorld(openSimulatedDisk(), clock, { gatheredMax: 40 })
  await world.run(KEYSPACE)
  await world.run('CREATE TABLE k.t (p int, c int, v int, PRIMARY KEY (p, c))')
  await world.run("CREATE INDEX i ON k.t (v) USING 'sai'")
  for (let v = 0; v < 100; v++) await world.run(`INSERT INTO k.t (p, c, v) VALUES (${v % 7}, ${v}, ${v})`)
  for (const where of ['v >= 0', 'v > 10 AND v <= 30', 'v < 41', 'v < 40']) {
    const query = `SELECT p, c FROM k.t WHERE ${where}`
    const expected = await world.scan(query)
    t.same(await world.rows(query, 7), expected, where)
  }
  await world.close()
})
