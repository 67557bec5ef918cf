/** Spans against the views that they stand for, and keys that a block's cursor gave as spans. */
import t from 'tap'
import { Span } from '../../storage/read/span.ts'
import { Block, BlockBuilder, BlockCursor } from '../../storage/sstable/block.ts'
import { createDice, type Dice, testSeed } from '../support/random.ts'

/** Few letters, so that one is often the beginning of another; some longer than what is compared in JavaScript. */
function bytes(dice: Dice): Buffer {
  return Buffer.from(Array.from({ length: dice.int(dice.chance(0.3) ? 90 : 4) }, () => 254 + dice.int(2)))
}

function spanOf(value: Buffer, dice: Dice): Span {
  const before = dice.int(5)
  const around = Buffer.concat([Buffer.alloc(before, 7), value, Buffer.alloc(dice.int(5), 9)])
  return new Span().set(around, before, before + value.length)
}

t.test('a span compares as its view does', (t) => {
  const seed = testSeed()
  const dice = createDice(seed)
  for (let i = 0; i < 2_000; i++) {
    const [a, b] = [bytes(dice), bytes(dice)]
    const span = spanOf(a, dice)
    const expected = Buffer.compare(a, b)
    const isPrefix = a.subarray(0, b.length).equals(b)
    const found = [Math.sign(span.compareTo(b)), Math.sign(span.compare(spanOf(b, dice))), span.startsWith(b)]
    if (String(found) !== String([expected, expected, isPrefix]) || !span.view().equals(a))
      throw new Error(`TEST_SEED=${seed}: ${found} of ${a.toString('hex')} and ${b.toString('hex')}`)
  }
  t.end()
})

t.test('what a cursor gave stays when it goes on', (t) => {
  const keys = Array.from({ length: 300 }, (_, i) => Buffer.from(`key ${1000 + i} ${'x'.repeat(i % 70)}`))
  keys.push(Buffer.from(`long ${'y'.repeat(5_000)}`), Buffer.from('z'))
  const builder = new BlockBuilder(16)
  for (const key of keys) builder.add(key, key.subarray(1))
  const cursor = new BlockCursor()
  cursor.reset(new Block(Buffer.from(builder.finish())))
  const given: [Span, Span][] = []
  for (cursor.first(); cursor.valid; cursor.next()) {
    const places: [Span, Span] = [new Span(), new Span()]
    cursor.keyInto(places[0])
    cursor.valueInto(places[1])
    given.push(places)
  }
  t.same(
    given.map(([key]) => key.view().toString()),
    keys.map(String),
  )
  t.ok(given.every(([, value], i) => value.view().equals(keys[i]!.subarray(1))))
  t.end()
})
