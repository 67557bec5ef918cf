/** What writes make of rows that keep versions, and what readers see of them: named cases. The laws have a test of their own (histories.ts). */
import t from 'tap'
import { ByteWriter } from '../../../lib/base/bytes.ts'
import { contextSize, coversContext, joinContexts, NO_CONTEXT } from '../../../storage/model/causal/context.ts'
import { type CausalWrite, deltaOf, lacksSeen } from '../../../storage/model/causal/delta.ts'
import type { Dots } from '../../../storage/model/causal/dots.ts'
import { CausalRow } from '../../../storage/model/causal/state.ts'
import { CausalVersions } from '../../../storage/model/merge.ts'
import { EntryKind, MutationReader, MutationWriter } from '../../../storage/model/mutation.ts'
import { RowReader } from '../../../storage/model/row.ts'
import { RowWriter } from '../../../storage/model/row-writer.ts'
import { validateMutation, validateRow } from '../../../storage/model/validation.ts'

const NOW = 1_000
const law = new CausalVersions()
const TAGS = 3

function rowOf(write: (row: RowWriter) => void): Buffer {
  const row = new RowWriter(new ByteWriter())
  row.begin()
  write(row)
  row.end()
  return row.out.copy()
}

/** As an INSERT makes it. */
function value(text: string): Buffer {
  return rowOf((row) => {
    row.liveness(0, 7, 0, 0)
    row.cell(1, 0, 7, Buffer.from(text))
  })
}

function join(...rows: (Buffer | null)[]): Buffer {
  return rows.reduce<Buffer | null>((joined, row) => {
    if (joined === null || row === null) return joined ?? row
    const out = new ByteWriter()
    law.merge(out, joined, 0, joined.length, row, 0, row.length)
    return out.copy()
  }, null)!
}

function dotsOf(byte: number, from: number): Dots {
  let last = from
  return {
    actor: Buffer.alloc(8, byte),
    next(above) {
      last = Math.max(last, above) + 1
      return last
    },
  }
}

const row = new CausalRow()

function shown(state: Buffer, now = NOW): string[] {
  validateRow(state, 0, state.length)
  const texts: string[] = []
  row.reset(state, now)
  while (row.next()) {
    const reader = new RowReader().reset(row.version)
    while (reader.next()) texts.push(reader.buffer.toString('utf8', reader.valueStart, reader.valueEnd))
  }
  if (row.count() !== texts.length) throw new Error('the versions are counted otherwise')
  return texts
}

function elements(state: Buffer, column = TAGS): string[] {
  const cells = row.reset(state, NOW).elements()
  if (cells === null) return []
  validateRow(cells, 0, cells.length, true)
  const reader = new RowReader().reset(cells)
  const found: string[] = []
  while (reader.next())
    if (reader.columnId === column) found.push(reader.buffer.toString('utf8', reader.pathStart, reader.pathEnd))
  return found
}

function contextOf(state: Buffer): Buffer {
  return Buffer.from(row.reset(state, NOW).context)
}

const put = (text: string, context: Buffer | null = null): CausalWrite => ({
  context,
  version: value(text),
  sets: null,
})
const erase = (context: Buffer | null): CausalWrite => ({ context, version: null, sets: null })

function sets(
  change: (row: RowWriter) => void,
  context: Buffer | null = null,
  version: Buffer | null = null,
): CausalWrite {
  return { context, version, sets: rowOf(change) }
}

function add(...names: string[]): (row: RowWriter) => void {
  return (row) => {
    for (const name of names) row.pathCell(TAGS, Buffer.from(name), 0, 7, Buffer.alloc(0))
  }
}

function remove(name: string): (row: RowWriter) => void {
  return (row) => row.pathTombstone(TAGS, Buffer.from(name), 0, 7, 7)
}

t.test('a put without a context becomes a sibling, one with it replaces what it had seen', (t) => {
  const dots = dotsOf(2, 100)
  let state = deltaOf(null, put('a'), dots)
  state = join(state, deltaOf(state, put('b'), dots))
  t.same(shown(state), ['a', 'b'])
  const seen = contextOf(state)
  const late = deltaOf(state, put('c'), dots)
  state = join(state, late)
  state = join(state, deltaOf(state, put('d', seen), dots))
  t.same(shown(state), ['c', 'd'], 'c was not seen')
  t.equal(row.reset(state, NOW).countUnseen(seen), 2)
  const ofLate = contextOf(late)
  t.equal(row.reset(state, NOW).countUnseen(ofLate), 1)
  t.equal(contextSize(contextOf(state)), 1, 'one actor, one interval')
  state = join(state, deltaOf(state, erase(contextOf(state)), dots))
  t.same(shown(state), [])
  t.same(shown(join(state, late)), [], 'what the delete had seen never returns')
  t.end()
})

t.test('a delta says by itself what it replaces, on replicas that know nothing', (t) => {
  const [one, other] = [dotsOf(2, 100), dotsOf(4, 50)]
  const a = deltaOf(null, put('a'), one)
  const b = deltaOf(null, put('b', contextOf(a)), other)
  t.same(shown(b), ['b'])
  t.same(shown(join(b, a)), ['b'], 'in whatever order they arrive')
  t.ok(join(a, b).equals(join(b, a)))
  t.equal(row.reset(b, NOW).next() && row.counter, 102, 'later than what it had seen, whatever the clock says')
  t.end()
})

t.test('what an actor gave before is not claimed when the leader has forgotten it', (t) => {
  const dots = dotsOf(2, 100)
  const a = deltaOf(null, put('a'), dots)
  const b = deltaOf(null, put('b'), dots)
  t.same(shown(join(a, b)), ['a', 'b'])
  t.end()
})

t.test('or-set columns: an element that was added without being seen survives its removal', (t) => {
  const [one, other] = [dotsOf(2, 100), dotsOf(4, 200)]
  const a = deltaOf(null, sets(add('x', 'y')), one)
  t.same(elements(a), ['x', 'y'])
  t.same(shown(a), [], 'it makes no version')
  const again = deltaOf(null, sets(add('x')), other)
  const removed = deltaOf(a, sets(remove('x'), contextOf(a)), other)
  t.same(elements(join(a, removed)), ['y'])
  t.same(elements(join(a, removed, again)), ['x', 'y'])
  t.notOk(coversContext(contextOf(a), contextOf(join(a, removed))), 'a removal is a write: it is seen')
  t.same(elements(join(a, deltaOf(a, sets(remove('y')), one))), ['x'], 'without a context: what the leader has')
  t.same(elements(join(a, deltaOf(a, sets(remove('y'), NO_CONTEXT), one))), ['x', 'y'], 'nothing was seen')
  const clear = (row: RowWriter): void => {
    row.complexDeletion(TAGS, 0, 6, 7)
    row.pathCell(TAGS, Buffer.from('z'), 0, 7, Buffer.alloc(0))
  }
  t.same(elements(join(a, deltaOf(a, sets(clear, contextOf(a)), one), again)), ['x', 'z'])
  t.end()
})

t.test(
  'a removal takes effect where an earlier one was never heard of, though its leader has nothing left to remove',
  (t) => {
    const dots = dotsOf(2, 100)
    const other = deltaOf(null, sets(add('x', 'y')), dots)
    const seen = contextOf(other)
    const lost = deltaOf(other, sets(remove('x'), seen), dots)
    const leader = join(other, lost, deltaOf(other, sets(add('z')), dotsOf(4, 300)))
    const again = deltaOf(leader, sets(remove('x'), seen), dots)
    t.same(elements(join(other, again)), ['y', 'z'])
    t.same(elements(join(leader, again)), ['y', 'z'])
    t.same(
      elements(
        join(
          other,
          deltaOf(
            leader,
            sets((row) => row.complexDeletion(TAGS, 0, 6, 7), seen),
            dots,
          ),
        ),
      ),
      ['z'],
    )
    t.end()
  },
)

t.test('or-set columns and versions do not disturb each other', (t) => {
  const dots = dotsOf(2, 100)
  let state = deltaOf(null, sets(add('x'), null, value('a')), dots)
  t.same([shown(state), elements(state)], [['a'], ['x']])
  const seen = contextOf(state)
  state = join(state, deltaOf(state, put('b', seen), dots))
  t.same([shown(state), elements(state)], [['b'], ['x']], 'a put leaves the elements')
  // The leader that had never heard of the element says nothing of it either.
  t.same(elements(join(state, deltaOf(null, put('c', seen), dotsOf(4, 300)))), ['x'])
  state = join(state, deltaOf(state, sets(remove('x'), contextOf(state)), dots))
  t.same([shown(state), elements(state)], [['b'], []], 'a removal leaves the versions')
  state = join(state, deltaOf(state, sets(add('x')), dots))
  state = join(state, deltaOf(state, erase(contextOf(state)), dots))
  t.same([shown(state), elements(state)], [[], []], 'the deletion of the row takes both')
  t.end()
})

t.test('a leader that lacks what a removal has seen is told so', (t) => {
  const a = deltaOf(null, sets(add('x')), dotsOf(2, 100))
  t.ok(lacksSeen(null, sets(remove('x'), contextOf(a))))
  t.notOk(lacksSeen(a, sets(remove('x'), contextOf(a))))
  t.notOk(lacksSeen(null, sets(add('y'), contextOf(a))), 'an addition needs nothing')
  t.notOk(lacksSeen(null, put('a', contextOf(a))), 'nor does a put')
  t.end()
})

t.test('a row that was written before its table kept versions is one more version', (t) => {
  const dots = dotsOf(2, 100)
  const old = value('old')
  t.same(shown(old), ['old'])
  t.equal(row.reset(old, NOW).next() && row.counter, 7)
  const seen = contextOf(old)
  const beside = join(old, deltaOf(old, put('new'), dots))
  t.same(shown(beside), ['old', 'new'])
  t.equal(row.reset(beside, NOW).countUnseen(seen), 1)
  const after = deltaOf(old, put('new', seen), dots)
  t.same(shown(join(old, after)), ['new'])
  t.same(shown(join(beside, deltaOf(null, erase(contextOf(beside)), dots))), [])
  const younger = rowOf((row) => row.cell(1, 0, 9, Buffer.from('younger')))
  t.same(shown(join(old, after, younger)), ['younger', 'new'], 'what the put had not seen of it stays')
  const tagged = rowOf((row) => {
    row.liveness(0, 7, 0, 0)
    add('x', 'y')(row)
  })
  const untagged = join(tagged, deltaOf(tagged, sets(remove('x'), contextOf(tagged)), dots))
  row.reset(untagged, NOW).next()
  const reader = new RowReader().reset(row.version)
  const left: string[] = []
  while (reader.next())
    if (reader.isLive(NOW)) left.push(reader.buffer.toString('utf8', reader.pathStart, reader.pathEnd))
  t.same(left, ['y'], 'an element from then can be removed')
  t.end()
})

t.test('a version lives as long as something in it does', (t) => {
  const dots = dotsOf(2, 100)
  const expiring = (keeps: boolean): Buffer =>
    rowOf((row) => {
      row.liveness(0, 7, 10, NOW + 10)
      row.expiringCell(1, 0, 7, 20, NOW + 20, Buffer.from('a'))
      if (keeps) row.cell(2, 0, 7, Buffer.from('b'))
    })
  const state = deltaOf(null, { context: null, version: expiring(false), sets: null }, dots)
  t.same(shown(state, NOW + 19), ['a'])
  t.same(shown(state, NOW + 20), [])
  const kept = deltaOf(null, { context: null, version: expiring(true), sets: null }, dots)
  t.equal(row.reset(kept, NOW + 20).count(), 1)
  const empty = rowOf((row) => row.tombstone(1, 0, 7, 7))
  t.same(shown(join(state, deltaOf(state, { context: contextOf(state), version: empty, sets: null }, dots))), [])
  t.end()
})

t.test('causal writes in mutations: what is written is read, and only leaders take them', (t) => {
  const writer = new MutationWriter()
  const seen = contextOf(deltaOf(null, put('a'), dotsOf(2, 100)))
  const writes: CausalWrite[] = [
    erase(null),
    erase(seen),
    put('a'),
    put('a', NO_CONTEXT),
    sets(add('x')),
    sets(add('x'), seen, value('b')),
  ]
  writer.begin(Buffer.alloc(16, 1), 1, 2, Buffer.from('key'))
  for (const [i, write] of writes.entries()) writer.causalWrite(Buffer.alloc(i, 0x40), write)
  writer.partitionDeletion(0, 1, 2)
  const mutation = Buffer.from(writer.finish())
  validateMutation(mutation, { isToLeader: true })
  t.throws(() => validateMutation(mutation), { name: 'BytesError' })
  const reader = new MutationReader().reset(mutation)
  for (const [i, write] of writes.entries()) {
    t.ok(reader.next() && reader.kind === EntryKind.CAUSAL_WRITE)
    t.same(mutation.subarray(reader.boundStart, reader.boundEnd), Buffer.alloc(i, 0x40))
    t.same(reader.causalWrite(), write)
  }
  t.ok(reader.next() && reader.kind === EntryKind.PARTITION_DELETION)
  t.notOk(reader.next())
  const dotted = { context: null, version: deltaOf(null, put('a'), dotsOf(2, 100)), sets: null }
  writer.begin(Buffer.alloc(16, 1), 1, 2, Buffer.from('key'))
  writer.causalWrite(Buffer.alloc(0), dotted)
  t.throws(
    () => validateMutation(writer.finish(), { isToLeader: true }),
    { name: 'BytesError' },
    'dots within a version',
  )
  t.end()
})

t.test('joined contexts of a row and its deletion', (t) => {
  const old = rowOf((row) => row.deletion(0, 50, 7))
  const state = join(old, deltaOf(null, put('a'), dotsOf(2, 100)))
  t.ok(contextOf(state).equals(joinContexts(contextOf(old), contextOf(deltaOf(null, put('a'), dotsOf(2, 100))))))
  t.end()
})
