/** Rows with versions whose bytes were changed: each is refused, or is a row that every part of the code can read, and the laws hold for it. */
import t from 'tap'
import { BytesError } from '../../../lib/base/bytes.ts'
import { deltaOf } from '../../../storage/model/causal/delta.ts'
import { CausalRow } from '../../../storage/model/causal/state.ts'
import { validateMutation, validateRow } from '../../../storage/model/validation.ts'
import { CausalWriter, joinRows, makeRow, rowMutation, versionRow } from '../../support/causal-writes.ts'
import { type Dice, forAll } from '../../support/random.ts'

const NOW = 2_000_000
const RUNS = 300

function isValid(row: Buffer): boolean {
  try {
    validateRow(row, 0, row.length)
    return true
  } catch (error) {
    if (!(error instanceof BytesError)) throw error
    return false
  }
}

function randomState(dice: Dice): Buffer {
  const writer = new CausalWriter(dice, NOW, 4)
  let state = dice.chance(0.3) ? versionRow('old') : writer.next(10)
  for (let i = dice.int(6); i > 0; i--) state = joinRows(state, writer.next(10))
  return Buffer.from(state)
}

const LENGTHS = [0, 1, 0x7f, 0x80, 0xff]

function changed(dice: Dice, row: Buffer): Buffer {
  const bytes = Buffer.from(row)
  switch (dice.int(4)) {
    case 0:
      return bytes.subarray(0, dice.int(bytes.length))
    case 1: {
      const at = dice.int(bytes.length)
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + dice.int(4))])
    }
    case 2:
      bytes[dice.int(bytes.length)] = dice.pick(LENGTHS)
      return bytes
    default:
      bytes[dice.int(bytes.length)]! ^= 1 << dice.int(8)
      return bytes
  }
}

t.test('what is not refused can be read and joined', (t) => {
  let refused = 0
  let taken = 0
  t.doesNotThrow(() =>
    forAll(RUNS, (dice) => {
      const state = randomState(dice)
      if (!isValid(state)) throw new Error('a good row is refused')
      for (let i = 0; i < 40; i++) {
        const row = changed(dice, state)
        if (row.length === 0 || !isValid(row)) {
          refused++
          continue
        }
        taken++
        const shown = new CausalRow().reset(row, NOW)
        let count = 0
        while (shown.next()) count++
        if (shown.count() !== count || shown.context.length < 0) throw new Error('versions are counted otherwise')
        shown.elements()
        const normal = Buffer.from(joinRows(row, row))
        const joined = joinRows(normal, state)
        if (!joined.equals(joinRows(state, normal))) throw new Error('not commutative')
        if (!joinRows(joined, normal).equals(joined)) throw new Error('not absorbing')
        if (!isValid(joined)) throw new Error('what was joined is refused')
        const context = Buffer.from(new CausalRow().reset(normal, NOW).context)
        const dots = { actor: Buffer.alloc(8, 0x66), next: (above: number) => Math.max(above, NOW * 1e6) + 1 }
        const delta = deltaOf(normal, { context, version: versionRow('new'), sets: null }, dots)
        const after = new CausalRow().reset(joinRows(normal, delta), NOW)
        if (after.count() !== 1) throw new Error('a put leaves what it had seen')
      }
    }),
  )
  t.ok(refused > taken / 10 && taken > refused / 100, `${refused} refused, ${taken} taken`)
  t.end()
})

t.test('rows that no writer makes are refused', (t) => {
  const dots = { actor: Buffer.alloc(8, 2), next: (above: number) => above + 1 }
  const state = deltaOf(null, { context: null, version: versionRow('a'), sets: null }, dots)
  const changedAt = (search: string, to: string): Buffer => {
    const hex = state.toString('hex')
    if (!hex.includes(search)) throw new Error(`${hex} has no ${search}`)
    return Buffer.from(hex.replace(search, to), 'hex')
  }
  const actor = '0202020202020202'
  t.ok(isValid(state))
  t.notOk(isValid(changedAt(actor, '0000000000000000')), 'the actor of what has no dots')
  t.notOk(isValid(changedAt(`10${actor}`, '100202020202020204')), 'a dot that the context does not cover')
  const twin = '0202020202020203'
  t.notOk(
    isValid(Buffer.from(state.toString('hex').replaceAll(actor, twin), 'hex')),
    'a version with the dot of an element',
  )
  const sets = makeRow((row) => row.pathCell(3, Buffer.from('e'), 0, 1, Buffer.alloc(0)))
  const added = deltaOf(null, { context: null, version: null, sets }, dots)
  t.ok(isValid(added))
  t.notOk(
    isValid(Buffer.from(added.toString('hex').replaceAll(twin, actor), 'hex')),
    'an element with the dot of a version',
  )
  t.notOk(isValid(changedAt(`44${'00'.repeat(7)}01`, `44${'00'.repeat(7)}02`)), 'another timestamp')
  t.notOk(isValid(changedAt('feffff7f44', 'feffff7f04')), 'a version without a dot')
  t.notOk(isValid(changedAt('feffff7f44', 'feffff7f45')), 'a tombstone with a dot')
  const inner = deltaOf(null, { context: null, version: versionRow('b'), sets: null }, dots)
  const nested = makeRow((row) => {
    row.context(Buffer.concat([Buffer.alloc(8, 2), Buffer.of(1), Buffer.from([0, 0, 0, 0, 0, 0, 0, 1])]), 0, 17)
    row.dottedCell(
      0x0ffffffe,
      Buffer.concat([Buffer.alloc(8, 2), Buffer.from([0, 0, 0, 0, 0, 0, 0, 1])]),
      0,
      1,
      0,
      0,
      inner,
    )
  })
  t.notOk(isValid(nested), 'versions within a version')
  t.throws(() => validateMutation(rowMutation(Buffer.alloc(16), 1, Buffer.of(0x40), nested)), BytesError)
  t.end()
})
