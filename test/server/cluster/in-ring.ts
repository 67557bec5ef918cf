/** A node that has no place in the ring answers nobody who asks for data, whoever had its address before. */
import t from 'tap'
import type { Handler, Incoming, Messenger } from '../../../cluster/internode/messenger.ts'
import { Verb } from '../../../cluster/internode/verbs.ts'
import { FailureReason } from '../../../lib/base/errors.ts'
import { servingInRing } from '../../../lib/server/cluster/in-ring.ts'

const VERB = Verb.MUTATION
const from = { hostId: 'other', endpoint: '10.0.0.2:7000' }

function open(verb: number = VERB): {
  ask: (epoch: number) => Promise<string>
  ring: { place: number; epoch: number; reached: number; changedAt: number }
} {
  const handlers = new Map<number, Handler>()
  const messenger = {
    self: from,
    handle: (verb: number, handler: Handler) => void handlers.set(verb, handler),
    send: () => true,
  } as unknown as Messenger
  /** It has a place from that epoch on, knows the metadata up to `epoch`, and can get those up to `reached`. */
  const ring = { place: 5, epoch: 4, reached: 4, changedAt: 0 }
  const serving = servingInRing(messenger, {
    isIn: () => ring.epoch >= ring.place,
    epoch: () => ring.epoch,
    changedAt: () => ring.changedAt,
    async catchUp(epoch) {
      ring.epoch = Math.max(ring.epoch, Math.min(epoch, ring.reached))
    },
  })
  serving.handle(verb, ({ payload }) => Buffer.from(`answer to ${payload}`))
  const ask = async (epoch: number): Promise<string> => {
    const payload = Buffer.from('question')
    const message: Incoming = { verb, from, payload, epoch, remainingMs: 100 }
    const answer = handlers.get(verb)!(message)
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

t.test('who has not heard of the last change of the ring is refused', async (t) => {
  const { ask, ring } = open()
  ring.epoch = 9
  ring.changedAt = 8
  t.equal(await ask(8), 'answer to question', "what came after it changed nobody's place")
  await t.rejects((async () => await ask(7))(), {
    name: 'ReplicaFailure',
    reasonCode: FailureReason.COORDINATOR_BEHIND,
  })
})

t.test('what goes its own way about rings is not refused for their sake', async (t) => {
  const { STREAM_WRITE, HINT, BATCH_STORE, TRUNCATE, PAXOS_SETTLE, MUTATION_FORWARDED, MUTATION_DONE } = Verb
  for (const verb of [STREAM_WRITE, HINT, BATCH_STORE, TRUNCATE, PAXOS_SETTLE, MUTATION_FORWARDED, MUTATION_DONE]) {
    const { ask, ring } = open(verb)
    ring.epoch = 9
    ring.changedAt = 8
    t.equal(await ask(7), 'answer to question')
  }
})
