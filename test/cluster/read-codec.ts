/** Reads between nodes: what is encoded is decoded as it was; other bytes are refused, whatever they are, and take no time. */
import t from 'tap'
import {
  decodeAnswer,
  decodeReadRequest,
  decodeRepair,
  digestIn,
  digestOf,
  encodeAnswer,
  encodeDigest,
  encodeReadRequest,
  encodeRepair,
  tombstonesIn,
} from '../../cluster/coordinator/read-codec.ts'
import { TableIds } from '../../cluster/coordinator/table-ids.ts'
import { BytesError, ByteWriter } from '../../lib/base/bytes.ts'
import { type PartitionData, type ReadCommand, type ReadResult, RowData } from '../../storage/model/command.ts'
import { createDice, type Dice, forAll } from '../support/random.ts'
import { encodePosition, encodeWrite, randomWrite } from '../support/storage-model.ts'

const ids = new TableIds()
const TABLE = '5a1c395e-b41f-11e5-9f22-ba0be0483c18'
const INDEX = '6b1c395e-b41f-11e5-9f22-ba0be0483c18'

const text = (dice: Dice): Buffer => Buffer.from('x'.repeat(dice.pick([0, 1, 5, 200])))
const limit = (dice: Dice): number => dice.pick([0, 1, 5_000, 0xfffffffe, Number.POSITIVE_INFINITY])
const bounds = (dice: Dice) => ({
  start: dice.chance(0.5) ? null : encodePosition('p'),
  end: dice.chance(0.5) ? null : encodePosition('q').subarray(0, 8),
})

function randomCommand(dice: Dice): ReadCommand {
  const isRange = dice.chance(0.5)
  const single = [{ start: text(dice), end: text(dice), single: true }]
  const slices = dice.pick([null, [], single, [{ start: text(dice), end: text(dice) }]])
  return {
    table: TABLE,
    target: isRange ? { kind: 'range', ...bounds(dice) } : { kind: 'partition', position: encodePosition('long key') },
    slices,
    reversed: dice.chance(0.5),
    wantStatic: dice.chance(0.5),
    staticCounts: dice.chance(0.5),
    limit: limit(dice),
    perPartitionLimit: limit(dice),
    byteLimit: limit(dice),
    nowSeconds: dice.pick([0, 1_700_000_000, 0xffffffff]),
    after: dice.chance(0.5)
      ? null
      : {
          position: encodePosition('p'),
          clustering: dice.chance(0.5) ? null : text(dice),
          partitionDone: dice.chance(0.5),
          rowsGiven: dice.int(1_000_000),
        },
    ...(dice.chance(0.5) ? { columns: dice.pick([[], [0], [1, 200, 70_000]]) } : {}),
    ...(dice.chance(0.5) ? { tombstonesMax: 100_000 } : {}),
    ...(dice.chance(0.3)
      ? { index: { id: INDEX, terms: { kind: 'range' as const, ...bounds(dice) }, ofPartition: true as const } }
      : {}),
    ...(dice.chance(0.5) ? { whole: true as const } : {}),
    ...(dice.chance(0.2) ? { keepsPurgeable: true as const } : {}),
  }
}

function randomResult(dice: Dice, isWhole: boolean): ReadResult {
  const deletion = Buffer.from('0123456789ab')
  const partitions = Array.from({ length: dice.int(4) }, (_, i): PartitionData => {
    const position = encodePosition(`p${i}`)
    const rows = Array.from({ length: dice.int(4) }, () =>
      RowData.of(text(dice), Buffer.from([1, 2, 3]), isWhole && dice.chance(0.3)),
    )
    const plain = { position, key: position.subarray(10), staticRow: dice.pick([null, Buffer.from([7])]), rows }
    if (!isWhole) return plain
    const rangeTombstones = dice.chance(0.5) ? [] : [{ start: text(dice), end: text(dice), deletion }]
    return { ...plain, deletion: dice.pick([null, deletion]), rangeTombstones, cut: dice.pick([null, text(dice)]) }
  })
  return { partitions, more: dice.chance(0.5), tombstones: dice.int(1_000) }
}

function encoded(write: (out: ByteWriter) => void): Buffer {
  const out = new ByteWriter()
  write(out)
  return out.copy()
}

t.test('there and back', async (t) => {
  forAll(300, (dice) => {
    const command = randomCommand(dice)
    const isDigest = dice.chance(0.5)
    const request = decodeReadRequest(
      encoded((out) => encodeReadRequest(out, command, isDigest, ids)),
      ids,
    )
    if (!t.same(request, { command, isDigest })) throw new Error(JSON.stringify(command))
    const isWhole = dice.chance(0.5)
    const result = randomResult(dice, isWhole)
    const answer = encoded((out) => encodeAnswer(out, result, isWhole))
    if (!t.same(decodeAnswer(answer), result)) throw new Error(JSON.stringify(result))
  })
})

t.test('digests tell of everything but the count of tombstones', async (t) => {
  const result = randomResult(createDice(3), true)
  const answer = (changes: Partial<ReadResult>): Buffer =>
    encoded((out) => encodeAnswer(out, { ...result, ...changes }, true))
  const digest = digestOf(answer({}))
  t.same(digestOf(answer({ tombstones: 77 })), digest)
  t.not(digestOf(answer({ more: !result.more })).equals(digest), true)
  const sent = encoded((out) => encodeDigest(out, 5, digest))
  t.same(digestIn(sent), digest)
  t.equal(tombstonesIn(sent), 5)
  t.equal(digestIn(answer({})), null)
  t.throws(() => decodeAnswer(sent), BytesError)
})

t.test('bytes that nobody sends are refused', async (t) => {
  let refused = 0
  const attempt = (act: () => unknown): void => {
    try {
      act()
    } catch (error) {
      if (!(error instanceof BytesError)) throw error
      refused++
    }
  }
  forAll(300, (dice) => {
    const request = encoded((out) => encodeReadRequest(out, randomCommand(dice), false, ids))
    const isWhole = dice.chance(0.5)
    const answer = encoded((out) => encodeAnswer(out, randomResult(dice, isWhole), isWhole))
    const mutation = encodeWrite(randomWrite(dice), Buffer.alloc(16, 1))
    const repair = Buffer.concat(encodeRepair(mutation, 1_700_000_000_000_000))
    for (const [bytes, decode] of [
      [request, (damaged: Buffer) => decodeReadRequest(damaged, ids)],
      [answer, decodeAnswer],
      [repair, decodeRepair],
    ] as const) {
      const damaged = Buffer.from(bytes)
      for (let n = 1 + dice.int(3); n > 0; n--) damaged[dice.int(damaged.length)] = dice.pick([0, 0x7f, 0x80, 0xff])
      attempt(() => decode(damaged))
      attempt(() => decode(bytes.subarray(0, dice.int(bytes.length))))
      attempt(() => decode(Buffer.concat([bytes, Buffer.from([0])])))
    }
  })
  t.ok(refused > 900, `${refused} refused`)
})
