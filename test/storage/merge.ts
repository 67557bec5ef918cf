/** The laws of merge, with random rows; and that every way of the bytes through validation holds. */
import t from 'tap'
import { ByteWriter } from '../../lib/base/bytes.ts'
import { Coverage, LastWriteWins } from '../../storage/model/merge.ts'
import { EntryKind, MutationReader } from '../../storage/model/mutation.ts'
import { RowReader, rowIsLive } from '../../storage/model/row.ts'
import { validateMutation } from '../../storage/model/validation.ts'
import { type Dice, forAll } from '../support/random.ts'
import { encodeWrite, high, low, randomWrite } from '../support/storage-model.ts'

const TABLE = Buffer.alloc(16, 7)
const resolution = new LastWriteWins()

function merge(a: Buffer, b: Buffer): Buffer {
  const out = new ByteWriter()
  resolution.merge(out, a, 0, a.length, b, 0, b.length)
  return out.copy()
}

function applyDeletion(row: Buffer, ts: bigint): Buffer {
  const out = new ByteWriter()
  resolution.applyDeletion(out, row, 0, row.length, high(ts), low(ts))
  return out.copy()
}

/** A row of a random mutation, made normal as storage does on its way in. Few timestamps, so that ties abound. */
function randomRow(dice: Dice): Buffer {
  for (;;) {
    const write = randomWrite(dice, dice.chance(0.3) ? 5n : undefined)
    const reader = new MutationReader().reset(encodeWrite(write, TABLE))
    while (reader.next())
      if (reader.kind === EntryKind.ROW) {
        const row = Buffer.from(reader.buffer.subarray(reader.valueStart, reader.valueEnd))
        return merge(row, row)
      }
  }
}

t.test('order, grouping and repetition do not matter', (t) => {
  t.doesNotThrow(() =>
    forAll(5_000, (dice) => {
      const [a, b, c] = [randomRow(dice), randomRow(dice), randomRow(dice)]
      const ab = merge(a, b)
      if (!ab.equals(merge(b, a))) throw new Error('not commutative')
      if (!merge(ab, c).equals(merge(a, merge(b, c)))) throw new Error('not associative')
      if (!merge(a, a).equals(a)) throw new Error('not idempotent')
      if (!merge(ab, a).equals(ab)) throw new Error('not absorbing')
    }),
  )
  t.end()
})

t.test('a deletion can be applied before a merge or after it', (t) => {
  t.doesNotThrow(() =>
    forAll(3_000, (dice) => {
      const [a, b] = [randomRow(dice), randomRow(dice)]
      const ts = dice.pick([-1n, 0n, 2n, 5n, 2n ** 32n])
      const after = applyDeletion(merge(a, b), ts)
      if (!after.equals(merge(applyDeletion(a, ts), applyDeletion(b, ts)))) throw new Error('does not distribute')
      if (!applyDeletion(after, ts).equals(after)) throw new Error('not idempotent')
      const coverage = resolution.coverage(a, 0, a.length, high(ts), low(ts))
      const left = applyDeletion(a, ts)
      if (coverage === Coverage.NONE && !left.equals(a)) throw new Error('NONE, but it changes')
      if (coverage === Coverage.ALL && left.length !== 1) throw new Error('ALL, but something is left')
      if (coverage === Coverage.SOME && left.equals(a)) throw new Error('SOME, but nothing changes')
    }),
  )
  t.end()
})

t.test('what a writer writes is valid, and damaged bytes never break a reader that validated them', (t) => {
  t.doesNotThrow(() =>
    forAll(1_000, (dice) => {
      const mutation = encodeWrite(randomWrite(dice), TABLE)
      validateMutation(mutation)
      for (let i = 0; i < 20; i++) {
        const damaged = Buffer.from(mutation.subarray(0, dice.chance(0.3) ? dice.int(mutation.length) : undefined))
        if (damaged.length > 0) damaged[dice.int(damaged.length)] = dice.int(256)
        try {
          validateMutation(damaged)
        } catch (error) {
          if ((error as Error).name !== 'BytesError') throw error
          continue
        }
        const reader = new MutationReader().reset(damaged)
        while (reader.next()) {
          if (reader.valueEnd > damaged.length) throw new Error('read past the end')
          if (reader.kind === EntryKind.ROW || reader.kind === EntryKind.STATIC_ROW)
            merge(damaged.subarray(reader.valueStart, reader.valueEnd), Buffer.from([0]))
        }
      }
    }),
  )
  t.end()
})

/** What a reader of the columns (ids below 3 are simple) sees of a row: nothing, or the live values. */
function seen(row: Buffer, columns: readonly number[], nowSeconds: number): string {
  if (!rowIsLive(new RowReader().reset(row), nowSeconds)) return 'no row'
  const reader = new RowReader().reset(row)
  const values: string[] = []
  while (reader.next()) {
    if (!columns.includes(reader.columnId) || !reader.isLive(nowSeconds)) continue
    values.push(`${reader.columnId}=${reader.buffer.toString('hex', reader.valueStart, reader.valueEnd)}`)
  }
  return values.join()
}

function greatestTimestamp(row: Buffer): bigint {
  const reader = new RowReader().reset(row)
  const of = (tsHigh: number, tsLow: number): bigint => (BigInt(tsHigh) << 32n) | BigInt(tsLow >>> 0)
  let greatest = -(2n ** 63n)
  const take = (ts: bigint): void => {
    if (ts > greatest) greatest = ts
  }
  if (reader.hasLiveness) take(of(reader.livenessTsHigh, reader.livenessTsLow))
  if (reader.hasDeletion) take(of(reader.deletionTsHigh, reader.deletionTsLow))
  while (reader.next()) take(of(reader.tsHigh, reader.tsLow))
  return greatest
}

t.test('what settles a row cannot be changed by anything older', (t) => {
  let settled = 0
  t.doesNotThrow(() =>
    forAll(20_000, (dice) => {
      const [row, older] = [randomRow(dice), randomRow(dice)]
      const columns = [0, 1, 2].filter(() => dice.chance(0.4))
      const nowSeconds = dice.pick([0, 50, 100, 1000])
      const max = greatestTimestamp(older)
      if (!resolution.settles(row, columns, nowSeconds, high(max), low(max))) return
      settled++
      const [alone, merged] = [seen(row, columns, nowSeconds), seen(merge(row, older), columns, nowSeconds)]
      if (alone !== merged) throw new Error(`${alone} became ${merged}`)
    }),
  )
  t.ok(settled > 100, `${settled} rows were settled`)
  t.end()
})
