/**
 * Registers of which nothing is going on any more are forgotten, so that what acceptors keep does not grow with every partition that ever had a
 * lightweight transaction. Cassandra lets such state expire; here nothing is forgotten before it is harmless.
 *
 *   all replicas have committed the same ballot, and nothing above it ─▶ all forget what is up to that ballot
 *   else: prepare and propose at all replicas, what is unfinished or nothing at all, commit at all ─▶ all forget
 *
 * Always: a register is forgotten only when every replica, of all data centres, is known to have its last decision and no unfinished proposal at or
 * below it. Who has forgotten promises nothing up to its floor (paxos-state.ts), so proposals of old that are still on their way win nothing. Who did
 * not hear of it keeps what it has: it says the same to whoever asks. The first replica of a partition sees to it; all must be alive.
 * The same round is made before a node that joins counts as a replica.
 */
import { uuidBytes } from '../../lib/base/uuid.ts'
import type { Messenger } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import { type Ballot, type BallotSource, compareBallots, highestBallot } from '../paxos/ballot.ts'
import {
  Attempt,
  majorityOf,
  type PrepareVerdict,
  type Proposal,
  type ProposeReply,
  type ProposeVerdict,
} from '../paxos/core.ts'
import { encodeValue, FIRST_BALLOT, mutationOf, type Register } from '../paxos/register.ts'
import type { RingNode } from '../ring/topology.ts'
import { isPast } from './behind.ts'
import type { CoordinatorEnvironment } from './environment.ts'
import type { PaxosAcceptor } from './paxos-acceptor.ts'
import { ask } from './paxos-ask.ts'
import {
  decodePrepareAnswer,
  decodeProposeAnswer,
  encodeCommit,
  encodePrepare,
  encodePropose,
  encodeRegister,
  type PrepareAnswer,
} from './paxos-messages.ts'
import type { KeptRegister, PaxosStore } from './paxos-state.ts'

export interface PaxosCleanerOptions {
  readonly environment: CoordinatorEnvironment
  readonly acceptor: PaxosAcceptor
  readonly store: PaxosStore
  readonly ballots: BallotSource
  /** From one look at some registers to the next. */
  readonly everyMs?: number
  /** A register rests for so long before it is forgotten. The longer, the less is done in vain; the shorter, the less is kept. */
  readonly restMs?: number
}

const EVERY_MS = 1000
const REST_MS = 10 * 60 * 1000
const ROUND_MS = 2000
const NOTHING = Buffer.alloc(0)

export class PaxosCleaner {
  readonly #environment: CoordinatorEnvironment
  readonly #acceptor: PaxosAcceptor
  readonly #store: PaxosStore
  readonly #ballots: BallotSource
  readonly #everyMs: number
  readonly #restMs: number
  #from: Buffer | null = null
  #timer: Disposable | null = null
  #isClosed = false
  /** Since the start. */
  forgotten = 0

  constructor({ environment, acceptor, store, ballots, everyMs, restMs }: PaxosCleanerOptions) {
    this.#environment = environment
    this.#acceptor = acceptor
    this.#store = store
    this.#ballots = ballots
    this.#everyMs = everyMs ?? EVERY_MS
    this.#restMs = restMs ?? REST_MS
  }

  start(): void {
    this.#arm()
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.[Symbol.dispose]()
  }

  /** From now on other nodes may ask for what a node that joins needs. */
  register(messenger: Messenger): void {
    messenger.handle(Verb.PAXOS_SETTLE, async ({ from, epoch }) => {
      const { hostId } = from
      if (epoch > this.#environment.epoch()) await this.#environment.catchUp(epoch)
      const left = await this.settleFor(hostId)
      const answer = Buffer.allocUnsafe(4)
      answer.writeUInt32BE(left)
      return answer
    })
  }

  /**
   * Ends whatever may be unfinished in partitions of which a node is to be a replica, and makes the last decisions known to all their replicas, that one among
   * them: then it may count, and each new quorum knows what the old ones decided. How many could not be ended, for too few replicas are there.
   */
  async settleFor(joiner: string): Promise<number> {
    const { liveness } = this.#environment
    const self = this.#environment.self().hostId
    const isThere = ({ hostId }: RingNode): boolean => hostId === self || liveness.isAlive(hostId)
    let left = 0
    let from: Buffer | null = null
    do {
      const { registers, next } = await this.#store.walk(from)
      from = next
      for (const { register } of registers) {
        const nodes = this.#replicas(register)
        if (nodes === null || !nodes.some(({ hostId }) => hostId === joiner)) continue
        const alive = nodes.filter(isThere)
        if (alive[0]?.hostId !== self) continue
        if ((await this.#settleTwice(nodes, alive, register)) === null) left += 1
      }
    } while (from !== null && !this.#isClosed)
    return left
  }

  /** Others may have been in the way. */
  async #settleTwice(
    nodes: readonly RingNode[],
    alive: readonly RingNode[],
    register: Register,
  ): Promise<Ballot | null> {
    if (alive.length < majorityOf(nodes.length)) return null
    return (await this.#settle(nodes, register, alive)) ?? (await this.#settle(nodes, register, alive))
  }

  #arm(): void {
    if (this.#isClosed) return
    this.#timer = this.#environment.clock.after(this.#everyMs, () => {
      this.round()
        .catch((cause: unknown) => {
          if (!this.#isClosed) this.#environment.report(cause as Error)
        })
        .finally(() => this.#arm())
    })
  }

  /** Looks at the next registers, and forgets what can be. */
  async round(): Promise<void> {
    const { registers, next } = await this.#store.walk(this.#from)
    this.#from = next
    const youngest = this.#environment.clock.wallMicros() - this.#restMs * 1000
    for (const kept of registers) {
      if (this.#isClosed) return
      const last = lastOf(kept)
      if (last !== null && last.micros <= youngest) await this.#clean(kept, last)
    }
  }

  async #clean(kept: KeptRegister, last: Ballot): Promise<void> {
    const { register, state } = kept
    const nodes = this.#replicas(register)
    const self = this.#environment.self().hostId
    if (nodes === null || nodes.every(({ hostId }) => hostId !== self)) {
      // The table is gone, or the range is others' now.
      await this.#acceptor.drop(register, last)
      this.forgotten += 1
      return
    }
    if (nodes[0]!.hostId !== self) return
    const { liveness } = this.#environment
    if (nodes.some(({ hostId }) => hostId !== self && !liveness.isAlive(hostId))) return
    const { committed } = state
    const settled =
      committed !== null && (await this.#isSettled(nodes, register, committed.ballot))
        ? committed.ballot
        : await this.#settle(nodes, register)
    if (settled === null) return
    await this.#tellAll(nodes, Verb.PAXOS_FORGET, encodeRegister(register, settled), () =>
      this.#acceptor.forget(register, settled),
    )
    this.forgotten += 1
  }

  /** All that may be asked about the partition; null: there is no such table. */
  #replicas({ table, position }: Register): RingNode[] | null {
    const keyspace = this.#environment.keyspaceOf(uuidBytes(table).toString('latin1'))
    const placed = keyspace === null ? null : this.#environment.placement(keyspace)
    if (placed === null) return null
    const { natural, pending } = placed.placement.at(position.readInt32BE(0), position.readInt32BE(4))
    return [...natural, ...pending]
  }

  #isSettled(nodes: readonly RingNode[], register: Register, ballot: Ballot): Promise<boolean> {
    let left = nodes.length
    return ask<boolean, boolean>(this.#environment, {
      nodes,
      verb: Verb.PAXOS_SETTLED,
      payload: () => encodeRegister(register, ballot),
      local: () => this.#acceptor.isSettled(register, ballot),
      decode: (payload) => payload[0] === 1,
      timeoutMs: ROUND_MS,
      count(_, answer) {
        if (answer !== true) return false
        left -= 1
        return left === 0 ? true : undefined
      },
    })
  }

  /** Ends whatever may be unfinished, with the consent of all who are there. The ballot that they have committed then; null: not this time. */
  async #settle(
    nodes: readonly RingNode[],
    register: Register,
    alive: readonly RingNode[] = nodes,
  ): Promise<Ballot | null> {
    const plannedAt = this.#environment.epoch()
    const ballot = this.#ballots.next()
    const ids = nodes.map(({ hostId }) => hostId)
    const attempt = new Attempt<Buffer>(ballot, ids, alive.length)
    const prepare = { register, ballot, commit: null, read: null }
    let floor = FIRST_BALLOT
    const promised = await ask<PrepareAnswer, PrepareVerdict<Buffer>>(this.#environment, {
      nodes,
      verb: Verb.PAXOS_PREPARE,
      payload: () => encodePrepare(prepare),
      local: () => this.#acceptor.prepare(prepare),
      decode: decodePrepareAnswer,
      timeoutMs: ROUND_MS,
      count({ hostId }, answer) {
        if (answer?.kind === 'promised') floor = highestBallot(floor, answer.floor ?? null)!
        const verdict = attempt.promise(hostId, answer)
        return verdict.kind === 'pending' ? undefined : verdict
      },
    })
    if (promised.kind !== 'promised' || isPast(this.#environment, plannedAt)) return null
    const { inProgress, committed } = promised
    const isUnfinished = inProgress !== null && mutationOf(inProgress.value).length > 0
    const value = isUnfinished ? inProgress.value : encodeValue(ballot, committed?.value ?? floor, NOTHING)
    const message = { register, proposal: attempt.propose(value), commit: committed }
    const accepted = await ask<ProposeReply, ProposeVerdict>(this.#environment, {
      nodes,
      verb: Verb.PAXOS_PROPOSE,
      payload: () => encodePropose(message),
      local: () => this.#acceptor.propose(message),
      decode: decodeProposeAnswer,
      timeoutMs: ROUND_MS,
      count({ hostId }, answer) {
        const verdict = attempt.accept(hostId, answer)
        return verdict.kind === 'pending' ? undefined : verdict
      },
    })
    if (accepted.kind !== 'decided') return null
    const decided: Proposal<Buffer> = message.proposal
    const isKnown = await this.#tellAll(alive, Verb.PAXOS_COMMIT, encodeCommit({ register, decided }), () =>
      this.#acceptor.commit(register, decided),
    )
    return isKnown ? ballot : null
  }

  /** Whether all acknowledged it. */
  #tellAll(nodes: readonly RingNode[], verb: number, payload: Buffer, local: () => Promise<void>): Promise<boolean> {
    let left = nodes.length
    return ask<true, boolean>(this.#environment, {
      nodes,
      verb,
      payload: () => payload,
      local: () => local().then(() => true as const),
      decode: () => true,
      timeoutMs: ROUND_MS,
      count(_, answer) {
        if (answer === null) return false
        left -= 1
        return left === 0 ? true : undefined
      },
    })
  }
}

function lastOf({ state: { promised, committed } }: KeptRegister): Ballot | null {
  return compareBallots(promised, committed?.ballot ?? null) >= 0 ? promised : (committed?.ballot ?? null)
}
