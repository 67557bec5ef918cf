/** Requests of a traced statement between nodes: what each node tells of them, and what it does not. */
import t from 'tap'
import type { Handler, Messenger, ReplyHandler } from '../../cluster/internode/messenger.ts'
import { type Trace, TracedMessenger, type Traces, within } from '../../cluster/internode/traced.ts'
import { Verb } from '../../cluster/internode/verbs.ts'
import { BytesError } from '../../lib/base/bytes.ts'
import { FailureReason } from '../../lib/base/errors.ts'

const ID = Buffer.from('0123456789abcdef')

/** Nodes that hear each other at once; answers come in a later turn. */
class Wires {
  readonly handlers = new Map<string, Map<number, Handler>>()

  node(endpoint: string): Messenger {
    const handlers = new Map<number, Handler>()
    this.handlers.set(endpoint, handlers)
    const self = { hostId: endpoint, endpoint }
    return {
      self,
      handle: (verb, handler) => handlers.set(verb, handler),
      send: () => true,
      request: (to, verb, payload, timeoutMs, reply) => {
        const bytes = payload instanceof Uint8Array ? Buffer.from(payload) : Buffer.concat(payload)
        const handler = this.handlers.get(to)?.get(verb)
        const answer = async () => handler!({ verb, from: self, payload: bytes, epoch: 3, remainingMs: timeoutMs })
        answer().then(
          (value) => reply.replied(to, Buffer.from((value ?? Buffer.alloc(0)) as Uint8Array)),
          () => reply.failed(to, FailureReason.UNKNOWN),
        )
      },
      counts: () => ({ peers: [], verbs: [], waiting: 0, serving: 0, connectionsIn: 0, refused: 0 }),
      close: async () => {},
    }
  }
}

class Told implements Traces {
  current: Trace | null = null
  readonly events: string[] = []

  follow(id: Uint8Array): Trace {
    return { id, event: (activity) => this.events.push(`${Buffer.from(id)} ${activity}`) }
  }
}

function outcome(request: (reply: ReplyHandler) => void): Promise<string> {
  return new Promise((resolve) => {
    request({
      replied: (from, answer) => resolve(`${from} ${answer}`),
      failed: (from, reason) => resolve(`${from} ${reason}`),
    })
  })
}

t.test('what is asked within a trace is told of by both nodes, and goes on from there', async (t) => {
  const wires = new Wires()
  const traces = { a: new Told(), b: new Told(), c: new Told() }
  const a = new TracedMessenger(wires.node('a'), traces.a)
  const b = new TracedMessenger(wires.node('b'), traces.b)
  const c = new TracedMessenger(wires.node('c'), traces.c)
  c.handle(Verb.MUTATION, ({ payload }) => Buffer.from(`c got ${payload}`))
  b.handle(Verb.COUNTER, async ({ verb, payload, epoch, remainingMs, from }) => {
    const said = `${verb} ${payload} ${epoch} ${remainingMs} ${from.endpoint}`
    const answer = await outcome((reply) => b.request('c', Verb.MUTATION, Buffer.from('m'), 9, reply))
    return Buffer.from(`${said}; ${answer}`)
  })
  const trace = traces.a.follow(ID)
  const payload = [Buffer.from('x'), Buffer.from('y')]
  const asked = outcome((reply) => within(traces.a, trace, () => a.request('b', Verb.COUNTER, payload, 70, reply)))
  t.equal(traces.a.current, null, 'only this turn belongs to it')
  t.equal(await asked, `b ${Verb.COUNTER} xy 3 70 a; c c got m`)
  t.same(traces.a.events, [`${ID} Sending COUNTER message to /b`, `${ID} Processing response from /b`])
  t.same(traces.b.events, [
    `${ID} COUNTER message received from /a`,
    `${ID} Sending MUTATION message to /c`,
    `${ID} Processing response from /c`,
    `${ID} Enqueuing response to /a`,
  ])
  t.same(traces.c.events, [`${ID} MUTATION message received from /b`, `${ID} Enqueuing response to /b`])
})

t.test('an answer is handled within the trace; a failure, too', async (t) => {
  const wires = new Wires()
  const told = new Told()
  const a = new TracedMessenger(wires.node('a'), told)
  const b = new TracedMessenger(wires.node('b'), new Told())
  b.handle(Verb.READ, () => {
    throw new Error('broken')
  })
  b.handle(Verb.MUTATION, () => undefined)
  const trace = told.follow(ID)
  const currentAt: (Trace | null)[] = []
  for (const verb of [Verb.READ, Verb.MUTATION])
    await new Promise<void>((resolve) => {
      const seen = () => {
        currentAt.push(told.current)
        resolve()
      }
      within(told, trace, () => a.request('b', verb, ID, 1, { replied: seen, failed: seen }))
    })
  t.same(currentAt, [trace, trace])
  t.match(told.events, [/Sending READ/, /Failure \(0\) of \/b/, /Sending MUTATION/, /Processing response from \/b/])
})

t.test('without a trace all is as without tracing, and what is no message is refused', async (t) => {
  const wires = new Wires()
  const told = new Told()
  const a = new TracedMessenger(wires.node('a'), told)
  const b = new TracedMessenger(wires.node('b'), told)
  b.handle(Verb.READ, ({ verb, payload }) => Buffer.from(`${verb} ${payload}`))
  t.equal(await outcome((reply) => a.request('b', Verb.READ, Buffer.from('p'), 1, reply)), `b ${Verb.READ} p`)
  t.same(told.events, [])
  const traced = wires.handlers.get('b')!.get(Verb.TRACED)!
  const from = { hostId: 'a', endpoint: 'a' }
  for (const payload of [
    Buffer.alloc(0),
    ID,
    Buffer.concat([ID, Buffer.of(Verb.TRACED)]),
    Buffer.concat([ID, Buffer.of(99)]),
  ])
    t.throws(() => traced({ verb: Verb.TRACED, from, payload, epoch: 1, remainingMs: 1 }), BytesError)
})
