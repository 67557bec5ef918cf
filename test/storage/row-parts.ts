/** Rows that are too large for one mutation: their parts are the row again, in whatever order they come. */
import t from 'tap'
import { ByteWriter } from '../../lib/base/bytes.ts'
import { DOT_BYTES, joinContexts, makeContext, makeDot, NO_CONTEXT } from '../../storage/model/causal/context.ts'
import { CausalVersions, LastWriteWins, type Resolution } from '../../storage/model/merge.ts'
import { RowReader, VERSION_COLUMN_ID } from '../../storage/model/row.ts'
import { rowParts } from '../../storage/model/row-parts.ts'
import { RowWriter } from '../../storage/model/row-writer.ts'
import { validateRow } from '../../storage/model/validation.ts'
import { createDice, type Dice, testSeed } from '../support/random.ts'

const EMPTY: Buffer = Buffer.from([0])
const NO_BYTES = Buffer.alloc(0)

function merged(law: Resolution, rows: readonly Buffer[]): Buffer {
  let row: Buffer = EMPTY
  for (const next of rows) {
    const out = new ByteWriter(64)
    law.merge(out, row, 0, row.length, next, 0, next.length)
    row = out.copy()
  }
  return row
}

function made(write: (writer: RowWriter) => void): Buffer {
  const out = new ByteWriter(64)
  const writer = new RowWriter(out)
  writer.begin()
  write(writer)
  writer.end()
  return out.copy()
}

function value(dice: Dice): Buffer {
  return Buffer.alloc(dice.int(60), dice.int(256))
}

function plainRow(dice: Dice): Buffer {
  return made((writer) => {
    if (dice.chance(0.7)) writer.liveness(0, 20, dice.chance(0.5) ? 100 : 0, 5000)
    if (dice.chance(0.3)) writer.deletion(0, 10, 1000)
    for (let column = 1; column < 8; column++) {
      if (dice.chance(0.2)) writer.tombstone(column, 0, 20, 1000)
      else if (dice.chance(0.5)) writer.expiringCell(column, 0, 20, 100, 5000, value(dice))
      else writer.cell(column, 0, 20 + dice.int(5), value(dice))
    }
    if (dice.chance(0.5)) writer.complexDeletion(8, 0, 19, 1000)
    for (let path = 0; path < 10; path++) writer.pathCell(8, Buffer.of(path), 0, 25, value(dice))
  })
}

function versionsOf(row: Buffer): string[] {
  const reader = new RowReader().reset(row)
  const found: string[] = []
  while (reader.next()) if (reader.isDotted) found.push(row.toString('hex', reader.pathStart, reader.pathEnd))
  return found
}

/** Of versions, and of elements. */
const ACTORS = [2, 3, 4, 5, 6].map((byte) => Buffer.alloc(8, byte))

function isOfVersion(dot: Buffer): boolean {
  return dot[0]! % 2 === 0
}

/** Its lower half: the counters here are small. */
function timestampOf(dot: Buffer): number {
  return dot.readUInt32BE(DOT_BYTES - 4)
}

/** No other element has that dot. */
function elementOf(dot: Buffer): Buffer {
  return Buffer.concat([dot, Buffer.alloc(timestampOf(dot) * 3, 'e')])
}

/** Some versions or elements, and some that were superseded, of each actor. */
function versionsRow(dice: Dice): Buffer {
  const dots: Buffer[] = []
  let context: Buffer = NO_CONTEXT
  for (const actor of ACTORS) {
    let counter = 0
    for (let i = dice.int(6); i > 0; i--) {
      const low = dice.chance(0.5) ? counter : counter + 1
      counter = low + 1 + dice.int(3)
      context = joinContexts(context, makeContext(actor, low, counter))
      if (dice.chance(0.6)) dots.push(makeDot(actor, counter))
    }
  }
  dots.sort(Buffer.compare)
  return made((writer) => {
    if (dice.chance(0.3)) writer.liveness(0, 20, 0, 0)
    if (dice.chance(0.3)) writer.deletion(0, 10, 1000)
    writer.context(context, 0, context.length)
    if (dice.chance(0.3)) writer.cell(3, 0, 15, value(dice))
    for (const dot of dots)
      if (!isOfVersion(dot)) writer.dottedCell(4, elementOf(dot), 0, timestampOf(dot), 0, 0, NO_BYTES)
    for (const dot of dots.filter(isOfVersion))
      writer.dottedCell(VERSION_COLUMN_ID, dot, 0, timestampOf(dot), 0, 0, plainRow(dice))
  })
}

for (const [name, law, random] of [
  ['of timestamps', new LastWriteWins(), plainRow],
  ['that keeps versions', new CausalVersions(), versionsRow],
] as const)
  t.test(`a row ${name} is its parts, in whatever order they come, and whatever comes twice`, async (t) => {
    const seed = testSeed()
    const dice = createDice(seed)
    for (let round = 0; round < 300; round++) {
      const row = merged(law, [random(dice)])
      const parts = rowParts(row, 20 + dice.int(row.length))
      for (const part of parts) validateRow(part, 0, part.length)
      const order = [...parts, dice.pick(parts)].sort(() => dice.int(3) - 1)
      if (!merged(law, order).equals(row)) t.fail(`TEST_SEED=${seed} round ${round}: ${row.toString('hex')}`)
    }
  })

t.test('until the last part comes, nothing is taken away', async (t) => {
  const seed = testSeed()
  const dice = createDice(seed)
  const law = new CausalVersions()
  for (let round = 0; round < 300; round++) {
    const older = merged(law, [versionsRow(dice)])
    const row = merged(law, [versionsRow(dice)])
    const before = merged(law, [older, ...rowParts(row, 40).slice(0, -1)])
    const left = versionsOf(before)
    for (const version of versionsOf(older))
      if (!left.includes(version)) t.fail(`TEST_SEED=${seed} round ${round}: ${version}`)
  }
  const row = merged(law, [versionsRow(createDice(7))])
  t.same(rowParts(row, row.length), [row], 'a row that is small enough is one part')
})

t.test('a set of very many elements, each of a write of its own', async (t) => {
  const actor = Buffer.alloc(8, 3)
  const ELEMENTS = 200_000
  const row = made((writer) => {
    const context = makeContext(actor, 0, 2 * ELEMENTS)
    writer.context(context, 0, context.length)
    for (let counter = 2; counter <= 2 * ELEMENTS; counter += 2)
      writer.dottedCell(4, makeDot(actor, counter), 0, counter, 0, 0, NO_BYTES)
  })
  const parts = rowParts(row, row.length - 100)
  t.equal(parts.length, 2)
  for (const part of parts) validateRow(part, 0, part.length)
  t.ok(merged(new CausalVersions(), parts).equals(row))
})
