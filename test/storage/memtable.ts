/** The memtable against a sorted map: many keys in the order that suits it least, walks in both directions, and very many range tombstones. */
import t from 'tap'
import { IndexCursor, OrderedIndex } from '../../storage/memtable/ordered-index.ts'
import { Slabs } from '../../storage/memtable/slabs.ts'
import { Memtable } from '../../storage/memtable.ts'
import { LastWriteWins } from '../../storage/model/merge.ts'
import { EntryKind, MutationReader, MutationWriter } from '../../storage/model/mutation.ts'
import { RangeDeletions } from '../../storage/read/range-deletions.ts'
import { createDice, type Dice, testSeed, testSeeds } from '../support/random.ts'
import { encodePosition } from '../support/storage-model.ts'

/** Keys that share much: few tokens, few letters, lengths around those at which comparison changes its way. */
function randomKey(dice: Dice): Buffer {
  const key = Buffer.alloc(8 + dice.int(60), dice.pick([0, 65, 255]))
  key.writeUInt32BE(dice.pick([0, 1, 0x7fffffff, 0x80000000, 0xffffffff]), 0)
  key.writeUInt32BE(dice.int(4), 4)
  for (let n = dice.int(4); n > 0 && key.length > 8; n--) key[8 + dice.int(key.length - 8)] = dice.int(256)
  return key
}

/** Mean length of a run: longer than a leaf. */
const RUN = 80

/** Ascending keys that begin alike: the rows of a batch. */
function run(key: Buffer, length: number): Buffer[] {
  return Array.from({ length }, (_, i) => Buffer.concat([key, Buffer.of(i)]))
}

function build(
  dice: Dice,
  count: number,
  order: 'random' | 'ascending' | 'runs',
): { index: OrderedIndex; slabs: Slabs; sorted: Buffer[] } {
  const slabs = new Slabs()
  const index = new OrderedIndex(slabs)
  const keys = new Map<string, Buffer>()
  let made = Array.from({ length: order === 'runs' ? Math.ceil(count / RUN) : count }, () => randomKey(dice))
  if (order === 'ascending') made = made.sort(Buffer.compare)
  if (order === 'runs') made = made.flatMap((key) => run(key, dice.int(2 * RUN)))
  const isNear = order === 'runs' || dice.chance(0.5)
  const removes = order !== 'runs'
  for (const key of made) {
    const there = isNear ? index.locateNear(key, 0, key.length) : index.locate(key, 0, key.length)
    if (there !== keys.has(key.toString('latin1'))) throw new Error('a key is found that is not there, or not found')
    if (!there) index.insert(slabs.add(key, 0, key.length), slabs.add(key, 0, 4))
    keys.set(key.toString('latin1'), key)
    if (removes && dice.chance(0.1)) {
      const [name, gone] = [...keys].at(-1)!
      if (!index.locate(gone, 0, gone.length)) throw new Error('a key is lost')
      index.remove()
      keys.delete(name)
    }
  }
  return { index, slabs, sorted: [...keys.values()].sort(Buffer.compare) }
}

function keyOf(slabs: Slabs, address: number): Buffer {
  const start = slabs.start(address)
  return slabs.slab(address).subarray(start, start + slabs.length(address))
}

t.test('the ordered index is a sorted map', (t) => {
  for (const seed of testSeeds(20)) {
    const dice = createDice(seed)
    const order = dice.pick(['random', 'ascending', 'runs'] as const)
    const { index, slabs, sorted } = build(dice, 1 + dice.int(dice.chance(0.2) ? 12_000 : 500), order)
    const cursor = new IndexCursor(index)
    const forward: Buffer[] = []
    for (cursor.seek(Buffer.alloc(0)); cursor.valid; cursor.next()) forward.push(keyOf(slabs, cursor.key))
    t.ok(forward.length === sorted.length && forward.every((key, i) => key.equals(sorted[i]!)), `forward ${seed}`)
    const backward: Buffer[] = []
    for (cursor.seekBefore(Buffer.alloc(80, 255)); cursor.valid; cursor.previous())
      backward.unshift(keyOf(slabs, cursor.key))
    t.ok(backward.length === sorted.length && backward.every((key, i) => key.equals(sorted[i]!)), `backward ${seed}`)
    let wrong = 0
    for (let n = 0; n < 200; n++) {
      const bound = dice.chance(0.5) && sorted.length > 0 ? dice.pick(sorted) : randomKey(dice)
      const at = sorted.findIndex((key) => key.compare(bound) >= 0)
      cursor.seek(bound)
      const after = cursor.valid ? keyOf(slabs, cursor.key) : null
      if (at < 0 !== (after === null) || (after && !after.equals(sorted[at]!))) wrong++
      cursor.seekBefore(bound)
      const before = cursor.valid ? keyOf(slabs, cursor.key) : null
      const want = at < 0 ? sorted.at(-1) : sorted[at - 1]
      if ((want === undefined) !== (before === null) || (before && !before.equals(want!))) wrong++
    }
    t.equal(wrong, 0, `bounds ${seed}`)
  }
  t.end()
})

t.test('long runs of ascending keys, and the splits that they make, lose none', (t) => {
  const dice = createDice(testSeed())
  for (let n = 0; n < 4; n++) {
    const { index, sorted } = build(dice, 12_000, 'runs')
    t.ok(sorted.every((key) => index.locate(key, 0, key.length)))
    t.equal(index.size, sorted.length)
  }
  t.end()
})

t.test('a cursor finds its place again when the index grows under it', (t) => {
  const slabs = new Slabs()
  const index = new OrderedIndex(slabs)
  const add = (n: number): void => {
    const key = Buffer.alloc(12)
    key.writeUInt32BE(n, 8)
    if (!index.locate(key, 0, 12)) index.insert(slabs.add(key, 0, 12), slabs.add(key, 8, 12))
  }
  for (let n = 0; n < 4000; n += 4) add(n)
  const cursor = new IndexCursor(index)
  cursor.seek(Buffer.alloc(0))
  const seen: number[] = []
  for (let n = 1; cursor.valid; n += 3) {
    seen.push(keyOf(slabs, cursor.key).readUInt32BE(8))
    add(n % 4000)
    cursor.next()
  }
  t.ok(
    seen.every((n, i) => i === 0 || n > seen[i - 1]!),
    'it ascends',
  )
  t.equal(seen.filter((n) => n % 4 === 0).length, 1000, 'it misses nothing that was there')
  t.end()
})

t.test('a row under a hundred thousand range tombstones is found by a search', (t) => {
  const memtable = new Memtable(new LastWriteWins())
  const writer = new MutationWriter()
  const position = encodePosition('p')
  const bound = (n: number): Buffer => Buffer.from(`@${String(n).padStart(8, '0')}`)
  const reader = new MutationReader()
  const table = Buffer.alloc(16)
  const delete_ = (from: number, to: number, ts: number): void => {
    writer.begin(table, 7, 0, Buffer.from('p'))
    writer.rangeTombstone(bound(from), bound(to), 0, ts, 5)
    memtable.apply(reader.reset(writer.finish()))
  }
  for (let n = 0; n < 100_000; n++) delete_(n * 10, n * 10 + 5, n % 7)
  t.equal(memtable.size, 100_000)
  let covered = 0
  for (let n = 0; n < 20_000; n++) {
    const ranges = new RangeDeletions({
      sources: [memtable],
      position,
      reversed: false,
      covered: null,
      gcBefore: 0,
      tombstonesMax: 10,
      isSingle: true,
      sink: null,
      pause: () => Promise.resolve(),
    })
    ranges.begin(bound((n * 7919) % 1_000_000))
    if (ranges.deletion) covered++
  }
  t.ok(covered > 9_000 && covered < 11_000, `${covered} of 20000 are covered`)
  delete_(0, 1_000_000, 9)
  t.equal(memtable.size, 1, 'a range that covers them all takes their place')
  const cursor = memtable.cursor()
  cursor.seek(Buffer.alloc(0))
  t.equal(cursor.key[position.length], EntryKind.RANGE_TOMBSTONE)
  t.end()
})
