/** Writes of vector-clock tables at their leader, over a replica that is a map of rows and answers at once or later. */
import t from 'tap'
import { ActorDots } from '../../../cluster/coordinator/actor-dots.ts'
import { CausalLeader, SIBLINGS_WARNED } from '../../../cluster/coordinator/causal-leader.ts'
import type { SiblingCounts } from '../../../cluster/coordinator/latencies.ts'
import type { Led } from '../../../cluster/coordinator/led-writes.ts'
import { ByteWriter } from '../../../lib/base/bytes.ts'
import { Histogram } from '../../../lib/base/histogram.ts'
import { createSeededRandom } from '../../../lib/runtime/simulated/random.ts'
import { contextSize, joinContexts, makeContext } from '../../../storage/model/causal/context.ts'
import type { CausalWrite } from '../../../storage/model/causal/delta.ts'
import { KnownRows } from '../../../storage/model/causal/known-rows.ts'
import { CausalRow } from '../../../storage/model/causal/state.ts'
import { type ReadCommand, type ReadResult, RowData } from '../../../storage/model/command.ts'
import { CausalVersions } from '../../../storage/model/merge.ts'
import { EntryKind, MutationReader, MutationWriter } from '../../../storage/model/mutation.ts'
import { RowReader } from '../../../storage/model/row.ts'
import { RowWriter } from '../../../storage/model/row-writer.ts'
import { createDice, testSeed } from '../../support/random.ts'

const TABLE_ID = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
/** An actor, how many bounds, and two. */
const INTERVAL_BYTES = 25
const COLUMN = 0
const TAGS = 1

/** A row of one cell. */
function rowOf(text: string): Buffer {
  const out = new ByteWriter()
  const writer = new RowWriter(out)
  writer.begin()
  writer.liveness(0, 1, 0, 0)
  writer.cell(COLUMN, 0, 1, Buffer.from(text))
  writer.end()
  return out.copy()
}

function tags(change: (writer: RowWriter) => void): Buffer {
  const out = new ByteWriter()
  const writer = new RowWriter(out)
  writer.begin()
  change(writer)
  writer.end()
  return out.copy()
}

const put = (text: string, context: Buffer | null = null): CausalWrite => ({
  context,
  version: rowOf(text),
  sets: null,
})

function requestOf(...writes: readonly (readonly [row: string, write: CausalWrite])[]): Buffer {
  const writer = new MutationWriter()
  writer.begin(TABLE_ID, 5, 0, Buffer.from('key'))
  for (const [row, write] of writes) writer.causalWrite(Buffer.from(row), write)
  return Buffer.from(writer.finish())
}

class World {
  readonly rows = new Map<string, Buffer>()
  readonly counts: SiblingCounts = { perRead: new Histogram(), rowsRead: 0, made: 0, refused: 0 }
  readonly leader: CausalLeader
  /** Of eight rows. */
  readonly known: KnownRows
  reads = 0
  forgettings = 0
  maxSiblings = 100
  isLate = false
  others: World | null = null
  gathered: number[] = []
  readonly #law = new CausalVersions()
  readonly #state = new CausalRow()

  constructor(seed = 1) {
    let now = 1_000_000
    const random = createSeededRandom(seed)
    this.known = new KnownRows({ random: random.stream('known'), setsFirst: 1, setsMax: 1 })
    this.leader = new CausalLeader({
      replica: {
        knownRows: this.known,
        apply: (mutations) => {
          for (const mutation of mutations) this.apply(mutation)
          return undefined
        },
        read: (command) => (this.isLate ? Promise.resolve().then(() => this.read(command)) : this.read(command)),
      },
      dots: new ActorDots(
        random,
        () => ++now,
        () => this.forgettings,
      ),
      table: () => ({ name: 'ks.t', maxSiblings: this.maxSiblings }),
      counts: () => this.counts,
      nowSeconds: () => 1,
      gather: async (command, _mutation, level) => {
        this.gathered.push(level)
        return this.others!.read(command)
      },
    })
  }

  apply(mutation: Buffer): void {
    const reader = new MutationReader().reset(mutation)
    while (reader.next()) {
      if (reader.kind !== EntryKind.ROW) throw new Error('only rows are written')
      const name = mutation.toString('latin1', reader.boundStart, reader.boundEnd)
      const row = Buffer.from(mutation.subarray(reader.valueStart, reader.valueEnd))
      const known = this.rows.get(name)
      const out = new ByteWriter()
      if (known) this.#law.merge(out, known, 0, known.length, row, 0, row.length)
      this.rows.set(name, known ? out.copy() : row)
    }
    this.known.joined(reader)
  }

  read({ slices, target }: ReadCommand): ReadResult {
    if (target.kind !== 'partition') throw new Error('a leader reads one partition')
    this.reads++
    const names = slices === null ? [''] : slices.map(({ start }) => start.toString('latin1'))
    const rows = names.flatMap((name) => {
      const row = this.rows.get(name)
      return row ? [RowData.of(Buffer.from(name, 'latin1'), row)] : []
    })
    const position = target.position
    return { partitions: [{ position, key: position.subarray(10), staticRow: null, rows }], more: false, tombstones: 0 }
  }

  async write(write: CausalWrite, row = 'a'): Promise<Led> {
    return await this.leader.lead(requestOf([row, write]))
  }

  /** The live versions' texts, and what who read them has seen. */
  found(row = 'a'): { texts: string[]; context: Buffer; elements: string[] } {
    const bytes = this.rows.get(row)
    if (!bytes) return { texts: [], context: Buffer.alloc(0), elements: [] }
    const state = this.#state.reset(bytes, 1)
    const texts: string[] = []
    while (state.next()) {
      const reader = new RowReader().reset(state.version)
      reader.next()
      texts.push(state.version.toString('latin1', reader.valueStart, reader.valueEnd))
    }
    const cells = state.elements()
    const elements: string[] = []
    if (cells !== null) {
      const reader = new RowReader().reset(cells)
      while (reader.next()) elements.push(cells.toString('latin1', reader.pathStart, reader.pathEnd))
    }
    return { texts, context: state.context, elements }
  }
}

t.test('a put replaces what its writer had seen, and stands beside the rest', async (t) => {
  const world = new World()
  t.notOk(world.leader.lead(requestOf(['a', put('one')])) instanceof Promise, 'what is in memory is written at once')
  const { context } = world.found()
  await world.write(put('two'))
  t.same(world.found().texts, ['one', 'two'], 'without a context it has seen nothing')
  await world.write(put('three', context))
  t.same(world.found().texts, ['two', 'three'])
  await world.write(put('four', world.found().context))
  t.same(world.found().texts, ['four'])
  await world.write({ context: world.found().context, version: null, sets: null })
  t.same(world.found().texts, [])
  for (let i = 0; i < 5; i++) {
    await world.write(put(`again ${i}`))
    await world.write({ context: world.found().context, version: null, sets: null })
  }
  const { rows } = world
  t.equal(contextSize(world.found().context), 1)
  t.ok(rows.get('a')!.length < 40, 'what was deleted leaves one interval of its actor')
  t.equal(world.counts.made, 2)
})

t.test('writes at the same time: none hides another, however late the replica answers', async (t) => {
  const seed = testSeed()
  const dice = createDice(seed)
  for (let round = 0; round < 50; round++) {
    const world = new World(seed + round)
    world.maxSiblings = 1000
    const led: Promise<Led>[] = []
    for (let i = 0; i < 20; i++) {
      world.isLate = dice.chance(0.7)
      led.push(Promise.resolve(world.leader.lead(requestOf(['a', put(String(i))]))))
      if (dice.chance(0.2)) await Promise.resolve()
    }
    const mutations = (await Promise.all(led)).map(({ mutation }) => mutation)
    if (!t.equal(world.found().texts.length, 20, `TEST_SEED=${seed}, round ${round}`)) return
    // Another replica may get them in any order, and more than once.
    const other = new World()
    const twice = [...mutations, ...mutations]
    while (twice.length > 0) other.apply(twice.splice(dice.int(twice.length), 1)[0]!)
    if (!t.same(other.rows, world.rows, `TEST_SEED=${seed}, round ${round}: replicas agree`)) return
  }
})

t.test('too many versions are refused, many are warned of', async (t) => {
  const world = new World()
  world.maxSiblings = 30
  await world.write(put('0'))
  const early = world.found().context
  for (let i = 1; i < 30; i++) {
    const { warnings } = await world.write(put(String(i)))
    if (i + 1 < SIBLINGS_WARNED) t.equal(warnings, null)
    else t.match(warnings, [new RegExp(`ks.t has ${i + 1} concurrent versions now`)])
  }
  const before = world.rows.get('a')
  await t.rejects(world.write(put('31')), { code: 'INVALID', message: /30 concurrent versions.*max_siblings \(30\)/ })
  t.equal(world.rows.get('a'), before, 'nothing was done')
  t.equal(world.counts.refused, 1)
  await world.write(put('in place of one', early))
  t.equal(world.found().texts.length, 30, 'one that makes no more of them is taken')
  world.maxSiblings = 10
  await world.write(put('x', world.found().context))
  t.same(world.found().texts, ['x'])
  const { warnings } = await world.write({ context: null, version: null, sets: null })
  t.equal(warnings, null, 'a deletion makes no version')
})

t.test('a batch is one mutation; a row that it names twice is written twice', async (t) => {
  const world = new World()
  await world.write(put('old'), 'b')
  const { context } = world.found('b')
  const { mutation } = await world.leader.lead(
    requestOf(['a', put('1')], ['b', put('new', context)], ['a', put('2')], ['a', put('3')]),
  )
  t.same(world.found('a').texts, ['1', '2', '3'])
  t.same(world.found('b').texts, ['new'])
  const other = new World()
  other.apply(mutation)
  t.same(other.found('a').texts, ['1', '2', '3'])
  world.maxSiblings = 3
  await t.rejects(async () => world.leader.lead(requestOf(['b', put('x')], ['a', put('4')])), { code: 'INVALID' })
  t.same(world.found('b').texts, ['new'], 'all of it is refused')
})

t.test('who removes elements that he has seen removes them, though his leader has not got them', async (t) => {
  const [one, two] = [new World(1), new World(2)]
  one.others = two
  const add = (element: string): CausalWrite => ({
    context: null,
    version: null,
    sets: tags((writer) => writer.pathCell(TAGS, Buffer.from(element), 0, 1, Buffer.alloc(0))),
  })
  await two.write(add('x'))
  await two.write(add('y'))
  const remove: CausalWrite = {
    context: two.found().context,
    version: null,
    sets: tags((writer) => writer.pathTombstone(TAGS, Buffer.from('x'), 0, 1, 1)),
  }
  const { mutation } = await one.write(remove)
  two.apply(mutation)
  t.same(two.found().elements, ['y'])
  t.same(one.gathered, [4], 'a quorum was asked')
  one.apply(mutation)
  await one.write(add('z'))
  t.same(one.gathered.length, 1, 'nobody is asked where nothing is removed')
})

t.test('a context of no time there is is refused', async (t) => {
  const world = new World()
  const context = makeContext(Buffer.alloc(8, 2), 2 ** 52, 2 ** 52 + 1)
  await t.rejects(async () => world.write(put('x', context)), { code: 'INVALID' })
})

t.test('rows that are known are not read: who writes what he has read has a context of one interval', async (t) => {
  const world = new World()
  const PUTS = 240
  for (let i = 0; i < PUTS; i++) {
    const { warnings } = await world.write(put(String(i), world.found().context))
    t.equal(warnings, null)
  }
  t.same(world.found().texts, [String(PUTS - 1)])
  t.equal(world.found().context.length, INTERVAL_BYTES)
  t.equal(world.reads, PUTS / (SIBLINGS_WARNED - 1), 'one after another might be a version more each')
  t.equal(world.counts.made, 0)
  await world.write({ context: world.found().context, version: null, sets: null })
  await world.write(put('again', world.found().context))
  t.same(world.found().texts, ['again'])
  t.equal(world.found().context.length, INTERVAL_BYTES)
})

t.test('contexts stay one interval an actor when rows are forgotten, and when nodes start again', async (t) => {
  const seed = testSeed()
  const dice = createDice(seed)
  const STARTS = 4
  let world = new World(seed)
  const others = 'abcdefghijklmnopqrstuvwxyz'
  for (let start = 0; start < STARTS; start++) {
    for (let i = 0; i < 300; i++) {
      const row = others[dice.int(others.length)]!
      const { context } = world.found(row)
      await world.write(dice.chance(0.1) ? { context, version: null, sets: null } : put(`${start} ${i}`, context), row)
      t.ok(world.found(row).texts.length <= 1)
      t.ok(world.found(row).context.length <= (start + 1) * INTERVAL_BYTES, `TEST_SEED=${seed}`)
    }
    if (start % 2 === 0) world.forgettings++
    else {
      const next = new World(seed + start + 1)
      for (const [row, bytes] of world.rows) next.rows.set(row, bytes)
      world = next
    }
  }
})

t.test('a put that has not seen the last one hides nothing, whether its row is known or not', async (t) => {
  const world = new World()
  await world.write(put('1'))
  const early = world.found().context
  await world.write(put('2', early))
  await world.write(put('3', early))
  t.same(world.found().texts, ['2', '3'])
  t.equal(world.counts.made, 1)
  for (const other of 'bcdefghij') await world.write(put('x'), other)
  t.equal(world.reads, 10)
  await world.write(put('4', early))
  t.equal(world.reads, 11, 'it is not known any more')
  t.same(world.found().texts, ['2', '3', '4'])
  t.equal(world.counts.made, 2)
  await world.write(put('5', joinContexts(early, world.found().context)))
  t.same(world.found().texts, ['5'])
})

t.test('what others write counts, too, and what comes in files', async (t) => {
  const [one, two] = [new World(1), new World(2)]
  one.maxSiblings = 5
  await one.write(put('own'))
  for (let i = 0; i < 4; i++) one.apply((await two.write(put(String(i)))).mutation)
  t.equal(one.reads, 1)
  await t.rejects(one.write(put('too many')), { code: 'INVALID', message: /has 5 concurrent versions/ })
  await one.write(put('one', one.found().context))
  t.equal(one.reads, 3)
  const law = new CausalVersions()
  const joined = new ByteWriter()
  const own = one.rows.get('a')!
  await two.write(put('new'))
  const theirs = two.rows.get('a')!
  law.merge(joined, own, 0, own.length, theirs, 0, theirs.length)
  one.rows.set('a', joined.copy())
  one.known.forgetRoom()
  await one.write(put('two'))
  t.equal(one.reads, 4)
  t.same(one.found().texts.sort(), ['new', 'one', 'two'])
})

t.test('what comes while a row is read is counted', async (t) => {
  const [one, two] = [new World(1), new World(2)]
  one.isLate = true
  one.maxSiblings = 4
  const leading = one.write(put('own'))
  for (let i = 0; i < 3; i++) one.apply((await two.write(put(String(i)))).mutation)
  await leading
  await t.rejects(one.write(put('too many')), { code: 'INVALID', message: /has 4 concurrent versions/ })
})
