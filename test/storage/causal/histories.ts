/**
 * Random histories against the model of causality; and bugs that were planted in the code, each of which the model must find.
 * The long form: npm run causal.
 */
import t from 'tap'
import { ByteWriter } from '../../../lib/base/bytes.ts'
import {
  contextEntries,
  DOT_BYTES,
  joinContexts,
  lastCounter,
  makeContext,
  NO_CONTEXT,
  readCounter,
} from '../../../storage/model/causal/context.ts'
import { RowReader } from '../../../storage/model/row.ts'
import { RowWriter } from '../../../storage/model/row-writer.ts'
import { type CausalCode, REAL_CODE, runHistory } from '../../support/causal-history.ts'
import { createDice, forAll, testSeed } from '../../support/random.ts'

const HISTORIES = 1_000
const HISTORIES_FOR_A_BUG = 2_000

/** The row with another context. */
function withContext(row: Buffer, change: (context: Buffer) => Buffer): Buffer {
  const reader = new RowReader().reset(row)
  const context = reader.hasContext ? row.subarray(reader.contextStart, reader.contextEnd) : NO_CONTEXT
  const changed = change(context)
  const writer = new RowWriter(new ByteWriter(row.length))
  writer.begin()
  writer.copyLiveness(reader)
  writer.copyDeletion(reader)
  writer.context(changed, 0, changed.length)
  while (reader.next()) writer.copyCell(reader)
  writer.end()
  return writer.out.view()
}

/** What covers the row's own dots and nothing else. */
function ownDots(row: Buffer): Buffer {
  const reader = new RowReader().reset(row)
  let context = NO_CONTEXT
  while (reader.next()) {
    if (!reader.isDotted) continue
    const { pathStart } = reader
    const counter = readCounter(row, pathStart + DOT_BYTES / 2)
    context = joinContexts(context, makeContext(row.subarray(pathStart, pathStart + 8), counter - 1, counter))
  }
  return context
}

function fromTheBeginning(context: Buffer): Buffer {
  let wide = NO_CONTEXT
  for (const { actorAt, last } of contextEntries(context, 0, context.length))
    wide = joinContexts(wide, makeContext(context.subarray(actorAt, actorAt + 8), 0, last))
  return wide
}

const PLANTS: Readonly<Record<string, Partial<CausalCode>>> = {
  'a write says nothing of what its writer had seen': {
    delta: (state, write, dots) => REAL_CODE.delta(state, { ...write, context: null }, dots),
  },
  'a put replaces the elements that its writer had seen': {
    delta: (state, write, dots) =>
      withContext(REAL_CODE.delta(state, write, dots), (context) => joinContexts(context, versionsOf(write.context))),
  },
  'contexts claim all that an actor gave before': {
    delta: (state, write, dots) => withContext(REAL_CODE.delta(state, write, dots), fromTheBeginning),
  },
  'a write replaces all that its leader has': {
    delta: (state, write, dots) =>
      withContext(REAL_CODE.delta(state, write, dots), (context) =>
        joinContexts(context, rowContext(typeof state === 'number' ? null : state)),
      ),
  },
  'a merge forgets the context of one side': {
    join: (a, b) => withContext(REAL_CODE.join(a, b), () => joinContexts(rowContext(a), ownDots(REAL_CODE.join(a, b)))),
  },
  'a merge keeps what the other side had seen': {
    join: (a, b) => {
      const shy = (row: Buffer): Buffer => withContext(row, () => ownDots(row))
      const joined = REAL_CODE.join(shy(a), shy(b))
      return withContext(joined, () => joinContexts(rowContext(a), rowContext(b)))
    },
  },
  'a node that forgot goes on as the same actor': { renewsActors: false },
  'a leader that is behind removes what it has': { asksOthers: false },
  'a removal without a context removes nothing': {
    delta: (state, write, dots) =>
      REAL_CODE.delta(write.context === null && write.version === null ? null : state, write, dots),
  },
  'what is not remembered of a row was not given since its writer read': {
    lastOf: (known, row, { context }, { actor }) =>
      known.find(row) ? known.last : context === null ? null : lastCounter(context, versionsActor(actor)),
  },
  'what others write takes no room': { joined: () => {} },
  'a compaction drops the context with the last version': {
    compact: (state, now) => {
      const left = REAL_CODE.compact(state, now)
      const reader = left === null ? null : new RowReader().reset(left)
      return reader?.next() ? left : null
    },
  },
}

function rowContext(row: Buffer | null): Buffer {
  if (row === null) return NO_CONTEXT
  const { hasContext, contextStart, contextEnd } = new RowReader().reset(row)
  return hasContext ? row.subarray(contextStart, contextEnd) : NO_CONTEXT
}

function versionsActor(actor: Buffer): Buffer {
  const own = Buffer.from(actor)
  own[7]! &= 0xfe
  return own
}

/** Without what says how far the rows without dots were seen: that is no part of a stored row. */
function versionsOf(context: Buffer | null): Buffer {
  if (context === null) return NO_CONTEXT
  const [first] = contextEntries(context, 0, context.length)
  return first !== undefined && context.readBigUInt64BE(0) === 0n ? context.subarray(first.end) : context
}

t.test('what is seen is what causality says', (t) => {
  t.doesNotThrow(() => forAll(HISTORIES, (dice) => runHistory(dice)))
  t.end()
})

for (const [name, plant] of Object.entries(PLANTS))
  t.test(`found: ${name}`, (t) => {
    const code = { ...REAL_CODE, ...plant }
    const seed = testSeed()
    let tried = 0
    let found: Error | null = null
    while (found === null && tried < HISTORIES_FOR_A_BUG) {
      try {
        runHistory(createDice(seed + tried++), code)
      } catch (error) {
        found = error as Error
      }
    }
    t.ok(found, `within ${HISTORIES_FOR_A_BUG} histories from ${seed}`)
    t.comment(`${found?.message} after ${tried}`)
    t.end()
  })
