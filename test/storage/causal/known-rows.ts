/** What is remembered of rows, against a map of all that was told. */
import t from 'tap'
import { createSeededRandom } from '../../../lib/runtime/simulated/random.ts'
import { NO_CONTEXT } from '../../../storage/model/causal/context.ts'
import { DeltaWriter } from '../../../storage/model/causal/delta.ts'
import { KnownRows, ROOM_MAX } from '../../../storage/model/causal/known-rows.ts'
import { MutationReader, MutationWriter } from '../../../storage/model/mutation.ts'
import { PartitionMutationWriter } from '../../../storage/model/partition-mutation.ts'
import { RowWriter } from '../../../storage/model/row-writer.ts'
import { countedDots } from '../../support/dots.ts'
import { createDice, testSeed } from '../../support/random.ts'

const NOTHING: Buffer = Buffer.from([0])

/** The entry of a row in the mutation that joins it with `row`. */
function entryOf(table: number, key: Buffer, clustering: Buffer, row: Buffer = NOTHING): MutationReader {
  const head = new MutationWriter()
  head.begin(Buffer.alloc(16, table), 0, 0, key)
  const writer = new PartitionMutationWriter()
  writer.begin(Buffer.alloc(16, table), head.finish().subarray(16))
  writer.row(clustering, row)
  const reader = new MutationReader().reset(writer.finish())
  reader.next()
  return reader
}

/** All with one token, so that nothing but the bytes tells them apart. */
function rowNumber(i: number): MutationReader {
  const digits = String(i)
  const cut = i % (digits.length + 1)
  return entryOf(1, Buffer.from(digits.slice(0, cut)), Buffer.from(digits.slice(cut)))
}

function tell(rows: KnownRows, entry: MutationReader, last: number, room: number, stands: boolean): void {
  rows.find(entry)
  rows.set(last, room, stands)
}

const known = (setsFirst: number, setsMax: number): KnownRows =>
  new KnownRows({ random: createSeededRandom(1), setsFirst, setsMax })

t.test('what was told is found while there is room for all rows', (t) => {
  const rows = known(1, 1 << 12)
  t.notOk(rows.find(rowNumber(1)))
  const ROWS = 5_000
  for (let i = 1; i <= ROWS; i++) tell(rows, rowNumber(i), i, i % ROOM_MAX, i % 2 === 0)
  let wrong = 0
  for (let i = 1; i <= ROWS; i++)
    if (!rows.find(rowNumber(i)) || rows.last !== i || rows.room !== i % ROOM_MAX || rows.stands !== (i % 2 === 0))
      wrong++
  t.equal(wrong, 0)
  for (let i = ROWS + 1; i <= 2 * ROWS; i++) if (rows.find(rowNumber(i))) wrong++
  t.equal(wrong, 0, 'others are not there')
  rows.forgetRoom()
  t.ok(rows.find(rowNumber(7)))
  t.match({ last: rows.last, room: rows.room, stands: rows.stands }, { last: 7, room: 0, stands: false })
  rows.clear()
  t.notOk(rows.find(rowNumber(7)))
  t.end()
})

t.test('rows are told apart by each part of their names', (t) => {
  const rows = known(1, 1 << 12)
  const [key, clustering] = [Buffer.from('key'), Buffer.from('clustering')]
  const names: (readonly [number, Buffer, Buffer])[] = [
    [1, key, clustering],
    [2, key, clustering],
    [1, Buffer.from('keycl'), Buffer.from('ustering')],
    [1, key, Buffer.concat([clustering, Buffer.alloc(1)])],
    [1, key, NO_CONTEXT],
    [1, clustering, key],
  ]
  for (const [i, name] of names.entries()) tell(rows, entryOf(...name), i + 1, 0, false)
  t.same(
    names.map((name) => rows.find(entryOf(...name)) && rows.last),
    names.map((_, i) => i + 1),
  )
  t.end()
})

t.test('rows go from a full table, the oldest first; none is told wrongly', (t) => {
  const seed = testSeed()
  const dice = createDice(seed)
  const rows = known(1, 4)
  const told = new Map<number, { last: number; room: number }>()
  let found = 0
  let last = 0
  for (let step = 0; step < 20_000; step++) {
    const i = dice.int(100)
    const is = rows.find(rowNumber(i))
    if (is) {
      found++
      if (rows.last !== told.get(i)?.last || rows.room !== told.get(i)?.room) {
        t.fail(`TEST_SEED=${seed}: row ${i} at step ${step}`)
        break
      }
    }
    const room = dice.int(30)
    last++
    if (is && dice.chance(0.5)) rows.set(last, room, false)
    else tell(rows, rowNumber(i), last, room, false)
    told.set(i, { last, room })
  }
  t.ok(found > 1_000, `found ${found} times`)
  tell(rows, rowNumber(1), last, 1, false)
  for (let i = 0; i < 7; i++) tell(rows, rowNumber(200 + i), ++last, 1, false)
  t.ok(rows.find(rowNumber(1)), 'seven younger ones leave it where it is')
  t.end()
})

t.test('counters do not go back, room has its bounds', (t) => {
  const rows = known(1, 1)
  tell(rows, rowNumber(1), 10, -5, true)
  t.ok(rows.find(rowNumber(1)))
  t.match({ last: rows.last, room: rows.room, stands: rows.stands }, { last: 10, room: 0, stands: true })
  rows.set(9, ROOM_MAX + 5, false)
  t.match({ last: rows.last, room: rows.room, stands: rows.stands }, { last: 10, room: ROOM_MAX, stands: false })
  t.end()
})

t.test('what is joined with a row takes of its room: each version, and what has no dots as one', (t) => {
  const rows = known(1, 1)
  const version = new RowWriter()
  version.begin()
  version.liveness(0, 1, 0, 0)
  version.cell(1, 0, 1, Buffer.from('x'))
  version.end()
  const plain = version.out.copy()
  const delta = new DeltaWriter().delta(null, { context: null, version: plain, sets: null }, countedDots())
  const joined = (row: Buffer): number => {
    rows.joined(new MutationReader().reset(entryOf(1, Buffer.from('k'), NO_CONTEXT, row).buffer))
    t.ok(rows.find(entryOf(1, Buffer.from('k'), NO_CONTEXT)))
    return rows.room
  }
  tell(rows, entryOf(1, Buffer.from('k'), NO_CONTEXT), 1, 3, true)
  t.equal(joined(plain), 2)
  t.notOk(rows.stands, 'it may have taken the place of the version')
  t.equal(joined(delta), 1)
  t.equal(joined(NOTHING), 1)
  rows.isLeading = true
  t.equal(joined(delta), 1, 'a leader counts itself')
  rows.isLeading = false
  t.equal(joined(delta), 0)
  t.equal(joined(delta), 0)
  t.equal(rows.arrivals, 4)
  t.end()
})
