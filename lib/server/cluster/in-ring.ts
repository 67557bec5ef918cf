/**
 * Nobody is taken for the node whose address he has: what others ask of data is refused as long as this node has no place in the ring. A machine that lost
 * its disk starts as another node at the same address while the ring still has the one that it was, which others may hold for alive: without this it
 * would answer reads with nothing, acknowledge writes that it drops when it joins, promise what the other one had promised to another, and
 * give its nothing to who takes over.
 * And nobody coordinates by a ring that is past: a quorum of those who held a range need not meet a quorum of those who hold it now. Who has not heard of the
 * last change is refused, hears of it by the refusal, and asks anew (cluster/coordinator/behind.ts).
 */
import { behind } from '../../../cluster/coordinator/behind.ts'
import type { Incoming, Messenger } from '../../../cluster/internode/messenger.ts'
import { Verb } from '../../../cluster/internode/verbs.ts'
import { FailureReason, ReplicaFailure } from '../../base/errors.ts'

/**
 * What somebody plans by the ring and counts the answers of. The rest says nothing of who holds what (batches that are kept for others), goes its own way
 * about rings (truncation, streams, the settling of transactions for who joins, what is handed on: replica-writes.ts), or is counted by nobody (hints).
 */
const PLANNED: ReadonlySet<number> = new Set([
  Verb.MUTATION,
  Verb.READ,
  Verb.RANGE_READ,
  Verb.READ_REPAIR,
  Verb.COUNTER,
  Verb.CAUSAL,
  Verb.STAND_IN,
  Verb.PAXOS_PREPARE,
  Verb.PAXOS_PROPOSE,
  Verb.PAXOS_COMMIT,
  Verb.PAXOS_READ,
])

export interface Ring {
  /** Whether this node has a place in it, be it of one that joins. */
  isIn(): boolean
  epoch(): number
  /** The epoch of the last change of who holds what, as far as this node knows. */
  changedAt(): number
  /** Resolves when this node has the metadata up to that epoch, or could not get them in reasonable time. */
  catchUp(epoch: number): Promise<void>
}

/** The messenger for whoever serves data to other nodes: its handlers are called while this node is in the ring. */
export function servingInRing(messenger: Messenger, ring: Ring): Messenger {
  return {
    self: messenger.self,
    handle(verb, handler) {
      const isPlanned = PLANNED.has(verb)
      messenger.handle(verb, (message) => {
        if (isPlanned && message.epoch < ring.changedAt()) throw behind()
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
