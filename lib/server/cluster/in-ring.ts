/**
 * Nobody is taken for the node whose address he has: what others ask of data is refused as long as this node has no place in the ring. A machine that lost
 * its disk starts as another node at the same address while the ring still has the one that it was, which others may hold for alive: without this it
 * would answer reads with nothing, acknowledge writes that it drops when it joins, promise what the other one had promised to another, and
 * give its nothing to who takes over.
 */
import type { Incoming, Messenger } from '../../../cluster/internode/messenger.ts'
import { FailureReason, ReplicaFailure } from '../../base/errors.ts'

export interface Ring {
  /** Whether this node has a place in it, be it of one that joins. */
  isIn(): boolean
  epoch(): number
  /** Resolves when this node has the metadata up to that epoch, or could not get them in reasonable time. */
  catchUp(epoch: number): Promise<void>
}

/** The messenger for whoever serves data to other nodes: its handlers are called while this node is in the ring. */
export function servingInRing(messenger: Messenger, ring: Ring): Messenger {
  return {
    self: messenger.self,
    handle(verb, handler) {
      messenger.handle(verb, (message) => {
        if (ring.isIn()) return handler(message)
        return whenIn(ring, message).then(handler)
      })
    },
    send: (to, verb, payload) => messenger.send(to, verb, payload),
    request: (to, verb, payload, timeoutMs, reply) => messenger.request(to, verb, payload, timeoutMs, reply),
    counts: () => messenger.counts(),
    close: () => messenger.close(),
  }
}

/** Who joins may get a write before it knows that it has a place by now. */
async function whenIn(ring: Ring, message: Incoming): Promise<Incoming> {
  const kept = { ...message, payload: Buffer.from(message.payload) }
  if (message.epoch > ring.epoch()) await ring.catchUp(message.epoch)
  if (ring.isIn()) return kept
  throw new ReplicaFailure(
    'INCOMPATIBLE_SCHEMA',
    FailureReason.INCOMPATIBLE_SCHEMA,
    'this node has no place in the ring',
  )
}
