/** Messengers on real sockets of loopback. */
import { randomBytes } from 'node:crypto'
import t from 'tap'
import { Verb } from '../../cluster/internode/verbs.ts'
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import { openNodeClock } from '../../lib/runtime/node/clock.ts'
import { openNodeNetwork } from '../../lib/runtime/node/network.ts'
import { answerText, ask, createMemoryLog, openTestMessenger } from '../support/messengers.ts'

const clock = openNodeClock()
const network = openNodeNetwork()

t.test('requests, answers, failures, one way', async (t) => {
  const log = createMemoryLog()
  const a = await openTestMessenger({ clock, network, endpoint: '127.0.0.1:0', seed: 1 })
  const b = await openTestMessenger({ clock, network, endpoint: '127.0.0.2:0', seed: 2, log })
  t.teardown(() => Promise.all([a.close(), b.close()]))
  b.handle(Verb.READ, ({ payload, from, epoch, remainingMs }) =>
    Buffer.from(
      `${payload} ${from.hostId === a.self.hostId} ${from.endpoint === a.self.endpoint} ${epoch} ${remainingMs > 4_000 && remainingMs <= 5_000}`,
    ),
  )
  b.handle(Verb.MUTATION, async ({ payload }) => {
    const kept = Buffer.from(payload)
    await new Promise((resolve) => setTimeout(resolve, 5))
    return [kept, Buffer.from('!')]
  })
  b.handle(Verb.TRUNCATE, () => {
    throw new ReplicaFailure('READ_TOO_MANY_TOMBSTONES', FailureReason.READ_TOO_MANY_TOMBSTONES, 'too many')
  })
  b.handle(Verb.COUNTER, async () => {
    throw new Error('a bug')
  })
  b.handle(Verb.READ_REPAIR, () => undefined)
  const to = b.self.endpoint
  t.equal(answerText(await ask(a, to, Verb.READ, Buffer.from('x'))), 'x true true 7 true')
  t.equal(answerText(await ask(a, to, Verb.MUTATION, [Buffer.from('one'), Buffer.from('two')])), 'onetwo!')
  t.equal(answerText(await ask(a, to, Verb.READ_REPAIR, Buffer.alloc(0))), '')
  t.equal(answerText(await ask(a, to, Verb.TRUNCATE, Buffer.alloc(0))), 'reason 1')
  t.equal(answerText(await ask(a, to, Verb.COUNTER, Buffer.alloc(0))), 'reason 0')
  t.equal(answerText(await ask(a, to, Verb.HINT, Buffer.alloc(0))), 'reason 0', 'nobody handles it')
  t.same(log.lines, ['ERROR COUNTER failed: a bug'])

  const heard = new Promise<string>((resolve) => b.handle(50, ({ payload }) => void resolve(payload.toString())))
  t.equal(a.send(to, 50, Buffer.from('one way')), true)
  t.equal(await heard, 'one way')

  const many = await Promise.all(Array.from({ length: 500 }, (_, i) => ask(a, to, Verb.MUTATION, Buffer.from(`${i}`))))
  t.same(
    many.map(answerText),
    many.map((_, i) => `${i}!`),
  )
  const verbs = new Map(a.counts().verbs.map((counts) => [counts.verb, counts]))
  t.match(verbs.get(Verb.MUTATION), { sent: 501, replied: 501, failed: 0 })
  t.match(verbs.get(Verb.TRUNCATE), { sent: 1, replied: 0, failed: 1 })
  t.equal(a.counts().waiting, 0)
  t.match(a.counts().peers, [{ endpoint: to, lanes: { small: { connected: true, pending: 0 } } }])
})

t.test('large messages go by a lane of their own, both ways', async (t) => {
  const a = await openTestMessenger({ clock, network, endpoint: '127.0.0.1:0', seed: 1 })
  const b = await openTestMessenger({ clock, network, endpoint: '127.0.0.1:0', seed: 2 })
  t.teardown(() => Promise.all([a.close(), b.close()]))
  b.handle(Verb.READ, ({ payload }) => Buffer.from(payload))
  for (const size of [1, 65_535, 65_536, 65_537, 1_000_000, 20_000_000]) {
    const payload = randomBytes(size)
    const outcome = await ask(a, b.self.endpoint, Verb.READ, payload)
    t.ok('answer' in outcome && outcome.answer.equals(payload), `${size} bytes`)
  }
  t.equal(a.counts().peers[0]!.lanes.large.sent, 4)
  t.equal(b.counts().peers[0]!.lanes.large.sent, 4)
})

t.test('what cannot be sent, what is not answered', async (t) => {
  const settings = { backoffMinMs: 60_000, backoffMaxMs: 60_000 }
  const a = await openTestMessenger({ clock, network, endpoint: '127.0.0.1:0', seed: 1, settings })
  const b = await openTestMessenger({ clock, network, endpoint: '127.0.0.1:0', seed: 2 })
  t.teardown(() => Promise.all([a.close(), b.close()]))
  b.handle(Verb.READ, () => new Promise(() => {}))
  b.handle(Verb.MUTATION, () => undefined)
  t.equal(answerText(await ask(a, '127.0.0.1:1', Verb.READ, Buffer.alloc(1), 60_000)), 'reason 5', 'refused')
  t.equal(answerText(await ask(a, '127.0.0.1:1', Verb.READ, Buffer.alloc(1), 60_000)), 'reason 5', 'not even tried')
  t.equal(a.send('127.0.0.1:1', Verb.READ, Buffer.alloc(1)), false)
  const c = await openTestMessenger({ clock, network, endpoint: '127.0.0.1:0', seed: 3 })
  t.teardown(() => c.close())
  t.equal(answerText(await ask(c, b.self.endpoint, Verb.MUTATION, Buffer.alloc(1), 20_000)), '')
  t.equal(answerText(await ask(c, b.self.endpoint, Verb.READ, Buffer.alloc(1), 30)), 'reason 2', 'no answer')
  const waiting = ask(c, b.self.endpoint, Verb.READ, Buffer.alloc(1), 60_000)
  t.equal(answerText(await ask(c, b.self.endpoint, Verb.MUTATION, Buffer.alloc(1), 20_000)), '')
  await b.close()
  t.equal(answerText(await waiting), 'reason 2', 'the other is gone: nothing will come')
})

t.test('to itself, without sockets', async (t) => {
  const a = await openTestMessenger({ clock, network, endpoint: '127.0.0.1:0' })
  t.teardown(() => a.close())
  a.handle(Verb.READ, ({ payload }) => payload)
  a.handle(Verb.MUTATION, async () => {
    throw new ReplicaFailure('UNKNOWN', 3, 'no such table')
  })
  a.handle(Verb.RANGE_READ, () => new Promise(() => {}))
  const payload = Buffer.from('mine')
  const asked = ask(a, a.self.endpoint, Verb.READ, payload)
  payload.fill(0)
  t.equal(answerText(await asked), 'mine', 'the payload was copied')
  t.equal(answerText(await ask(a, a.self.endpoint, Verb.MUTATION, payload)), 'reason 3')
  t.equal(answerText(await ask(a, a.self.endpoint, Verb.RANGE_READ, payload, 20)), 'reason 2')
  t.equal(a.counts().peers.length, 0)
})
