/** A node that has no place in the ring answers nobody who asks for data, whoever had its address before. */
import t from 'tap'
import type { Handler, Incoming, Messenger } from '../../../cluster/internode/messenger.ts'
import { FailureReason } from '../../../lib/base/errors.ts'
import { servingInRing } from '../../../lib/server/cluster/in-ring.ts'

const VERB = 7
const from = { hostId: 'other', endpoint: '10.0.0.2:7000' }

function open(): { ask: (epoch: number) => Promise<string>; ring: { place: number; epoch: number; reached: number } } {
  const handlers = new Map<number, Handler>()
  const messenger = {
    self: from,
    handle: (verb: number, handler: Handler) => void handlers.set(verb, handler),
    send: () => true,
  } as unknown as Messenger
  /** It has a place from that epoch on, knows the metadata up to `epoch`, and can get those up to `reached`. */
  const ring = { place: 5, epoch: 4, reached: 4 }
  const serving = servingInRing(messenger, {
    isIn: () => ring.epoch >= ring.place,
    epoch: () => ring.epoch,
    async catchUp(epoch) {
      ring.epoch = Math.max(ring.epoch, Math.min(epoch, ring.reached))
    },
  })
  serving.handle(VERB, ({ payload }) => Buffer.from(`answer to ${payload}`))
  const ask = async (epoch: number): Promise<string> => {
    const payload = Buffer.from('question')
    const message: Incoming = { verb: VERB, from, payload, epoch, remainingMs: 100 }
    const answer = handlers.get(VERB)!(message)
    // The bytes are lent.
    payload.fill('x')
    return String(await answer)
  }
  return { ask, ring }
}

t.test('without a place in the ring nothing is answered, with one everything', async (t) => {
  const { ask, ring } = open()
  const refused = { name: 'ReplicaFailure', reasonCode: FailureReason.INCOMPATIBLE_SCHEMA }
  await t.rejects(ask(4), refused)
  await t.rejects(ask(5), refused, 'it cannot learn of its place now')
  ring.reached = 5
  t.equal(await ask(5), 'answer to question', 'it asks for the metadata that its sender has')
  t.equal(await ask(4), 'answer to question')
})
