/** Messages of streaming: what was written is read; cut or altered bytes are an error, or something else that is well formed. */
import t from 'tap'
import {
  decodeMutations,
  decodeOpen,
  decodePage,
  decodePageRequest,
  decodeWrite,
  encodeMutations,
  encodeOpen,
  encodePage,
  encodePageRequest,
  encodeState,
  encodeWrite,
  SessionState,
} from '../../../cluster/streaming/messages.ts'
import { BytesError } from '../../../lib/base/bytes.ts'
import { type Dice, forAll } from '../../support/random.ts'
import { hostIdAt, randomMutation, TABLE } from '../../support/stream-world.ts'

const bytes = (dice: Dice): Buffer => Buffer.from(Array.from({ length: dice.int(40) }, () => dice.int(256)))
const cursor = (dice: Dice) => ({
  range: dice.int(300),
  after: dice.chance(0.5)
    ? null
    : {
        position: bytes(dice),
        clustering: dice.chance(0.5) ? null : bytes(dice),
        partitionDone: dice.chance(0.5),
        rowsGiven: 0,
      },
})

t.test('messages of streaming', (t) => {
  forAll(100, (dice) => {
    const session = hostIdAt(dice.int(80))
    const mutations = Array.from({ length: dice.int(4) }, (_, i) => randomMutation(dice, i + 1))
    const request = { session, table: TABLE, cursor: cursor(dice), bytes: dice.int(1e6) }
    const page = { truncatedAtMs: dice.int(1e9), next: dice.chance(0.3) ? null : cursor(dice), mutations }
    const open = {
      session,
      parts: [
        {
          keyspaces: ['a', 'ü'],
          ranges: [
            { start: null, end: bytes(dice) },
            { start: bytes(dice), end: null },
          ],
        },
      ],
    }
    t.same(decodeOpen(encodeOpen(open)), open)
    const messages: [Buffer, (message: Buffer) => unknown, unknown][] = [
      [encodePageRequest(request), decodePageRequest, request],
      [encodePage(page), decodePage, page],
      [encodeWrite(session, mutations), decodeWrite, { session, mutations }],
      [encodeMutations(mutations), decodeMutations, mutations],
    ]
    for (const [message, decode, expected] of messages) {
      t.same(decode(message), expected)
      for (let i = 0; i < 10; i++) {
        t.throws(() => decode(message.subarray(0, dice.int(message.length))), BytesError)
        const damaged = Buffer.from(message)
        damaged[dice.int(damaged.length)] = dice.int(256)
        try {
          decode(damaged)
        } catch (error) {
          if (!(error instanceof BytesError)) throw error
        }
      }
    }
  })
  t.equal(decodePage(encodeState(SessionState.LOST)), null)
  t.throws(() => decodeOpen(Buffer.from('{')), BytesError)
  t.end()
})
