/** When a node that has joined may do without bringing a write to whose place it took. */
import t from 'tap'
import type { Messenger, ReplyHandler } from '../../../cluster/internode/messenger.ts'
import type { RingNode } from '../../../cluster/ring/topology.ts'
import { Mirror, mayBeQuorum } from '../../../cluster/streaming/mirror.ts'
import { FailureReason } from '../../../lib/base/errors.ts'
import { mutationAt } from '../../support/replica-world.ts'
import { hostId, ringNode } from '../../support/rings.ts'

function node(number: number, datacenter = 'dc1'): RingNode {
  return ringNode(number, { datacenter })
}

t.test('a quorum of former replicas, or of those of a data centre, that may not know of the change', async (t) => {
  const knowing = (...numbers: number[]) => {
    const ids = numbers.map(hostId)
    return (id: string): boolean => ids.includes(id)
  }
  const three = [1, 2, 3].map((number) => node(number))
  t.equal(mayBeQuorum(three, knowing()), true)
  t.equal(mayBeQuorum(three, knowing(1)), true)
  t.equal(mayBeQuorum(three, knowing(1, 2)), false)
  const both = [...three, ...[4, 5, 6].map((number) => node(number, 'dc2'))]
  t.equal(mayBeQuorum(both, knowing(1, 2, 3, 4)), true, 'a local one')
  t.equal(mayBeQuorum(both, knowing(1, 2, 4, 5)), false)
  t.equal(mayBeQuorum([], knowing()), false)
  t.equal(mayBeQuorum([node(1)], knowing()), true)
})

t.test('who seems to be down may be cut off together with a quorum that does not know', async (t) => {
  const former = [1, 2, 3].map((number) => node(number))
  const known = new Set<string>()
  let isAlive = true
  let isTaken = true
  const messenger = {
    request(to: string, _verb: number, _payload: unknown, _timeoutMs: number, reply: ReplyHandler) {
      queueMicrotask(() => (isTaken ? reply.replied(to, Buffer.alloc(0)) : reply.failed(to, FailureReason.TIMEOUT)))
    },
  } as unknown as Messenger
  const mirror = new Mirror({
    messenger,
    fetched: [{ from: former[2]!, parts: [{ keyspaces: ['ks'], ranges: [{ start: null, end: null }] }] }],
    keyspaceOf: () => 'ks',
    isAlive: () => isAlive,
    former: () => former,
    knows: (id) => known.has(id),
  })
  const take = async (): Promise<boolean> => {
    const settled = await Promise.allSettled(mirror.send([mutationAt(1, 'a')]))
    return settled.every(({ status }) => status === 'fulfilled')
  }
  t.equal(await take(), true)
  isTaken = false
  t.equal(await take(), false)
  isAlive = false
  t.equal(await take(), false, 'two others may not know')
  known.add(hostId(1))
  t.equal(await take(), false)
  known.add(hostId(2))
  t.equal(await take(), true, 'one alone is no quorum')
})
