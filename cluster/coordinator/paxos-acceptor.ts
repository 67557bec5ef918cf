/**
 * A replica's side of lightweight transactions: promises, accepts and commits for the partitions that it holds. What it answers is decided by
 * cluster/paxos/core.ts; here it is made durable first, one request after another for each partition.
 * Always: who accepts a proposal has the data of what was decided before it, since the proposer sends it along to whoever may lack it; so what was
 * decided is, by the time the next decision is, at as many replicas as agreed on that. A decision's data and the note that it was
 * committed are one record of the commit log.
 */
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import { SerialLocks } from '../../lib/base/serial-locks.ts'
import { uuidBytes } from '../../lib/base/uuid.ts'
import type { Incoming, Messenger, Payload } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import { type Ballot, compareBallots } from '../paxos/ballot.ts'
import { commit, type Proposal, type ProposeReply, prepare, propose } from '../paxos/core.ts'
import { mutationOf, originOf, type Register, registerName } from '../paxos/register.ts'
import type { CoordinatorEnvironment, ReplicaSide } from './environment.ts'
import {
  decodeCommit,
  decodePeek,
  decodePrepare,
  decodePropose,
  decodeRegister,
  encodePeekAnswer,
  encodePrepareAnswer,
  encodeProposeAnswer,
  type PeekAnswer,
  type PrepareAnswer,
  type PrepareMessage,
  type ProposeMessage,
} from './paxos-messages.ts'
import type { PaxosStore, RegisterState } from './paxos-state.ts'
import { isReplicaFailure, reasonName } from './request-errors.ts'

export interface PaxosAcceptorOptions {
  readonly environment: Pick<
    CoordinatorEnvironment,
    'replica' | 'keyspaceOf' | 'epoch' | 'catchUp' | 'report' | 'clock' | 'placement' | 'self'
  >
  readonly store: PaxosStore
  /** False: the table was truncated since. */
  readonly marks: { takes(mutation: Buffer, writtenAt: number): boolean }
  /** Does the read that came with a prepare; what it gives is copied by then. */
  readonly read: (request: Buffer) => Buffer | Promise<Buffer>
}

const DONE: Payload = Buffer.alloc(0)

export class PaxosAcceptor implements ReplicaSide {
  readonly #environment: PaxosAcceptorOptions['environment']
  readonly #store: PaxosStore
  readonly #marks: PaxosAcceptorOptions['marks']
  readonly #read: PaxosAcceptorOptions['read']
  readonly #locks = new SerialLocks()

  constructor({ environment, store, marks, read }: PaxosAcceptorOptions) {
    this.#environment = environment
    this.#store = store
    this.#marks = marks
    this.#read = read
  }

  register(messenger: Messenger): void {
    messenger.handle(Verb.PAXOS_PREPARE, async (message) => {
      const request = decodePrepare(Buffer.from(message.payload))
      await this.#know(request.register, message, true)
      return encodePrepareAnswer(await this.prepare(request))
    })
    messenger.handle(Verb.PAXOS_PROPOSE, async (message) => {
      const request = decodePropose(Buffer.from(message.payload))
      await this.#know(request.register, message, true)
      return encodeProposeAnswer(await this.propose(request))
    })
    messenger.handle(Verb.PAXOS_READ, async (message) => {
      const { register, read } = decodePeek(Buffer.from(message.payload))
      await this.#know(register, message, true)
      return encodePeekAnswer(await this.peek(register, read))
    })
    messenger.handle(Verb.PAXOS_COMMIT, async (message) => {
      const { register, decided } = decodeCommit(Buffer.from(message.payload))
      await this.#know(register, message, false)
      await this.commit(register, decided)
      return DONE
    })
    messenger.handle(Verb.PAXOS_FORGET, async (message) => {
      const { register, ballot } = decodeRegister(Buffer.from(message.payload))
      await this.forget(register, ballot)
      return DONE
    })
    messenger.handle(Verb.PAXOS_SETTLED, async (message) => {
      const { register, ballot } = decodeRegister(Buffer.from(message.payload))
      return Buffer.of((await this.isSettled(register, ballot)) ? 1 : 0)
    })
  }

  prepare({ register, ballot, commit: decided, read }: PrepareMessage): Promise<PrepareAnswer> {
    return this.#alone(register, async (known) => {
      const state = decided === null ? known : await this.#commit(register, known, decided)
      const { state: next, write, reply } = prepare(state, ballot)
      if (write !== null) await this.#store.save(register, next, write)
      if (reply.kind === 'refused') return reply
      const floor = reply.committed === null ? this.#store.floor : null
      return { ...reply, floor, read: read === null ? null : await this.#read(read) }
    })
  }

  /** What is there, and whether anything is in progress: without a promise. */
  peek(register: Register, request: Buffer): Promise<PeekAnswer> {
    return this.#alone(register, async ({ accepted, committed }) => {
      const isOpen = accepted !== null && mutationOf(accepted.value).length > 0
      const read = await this.#read(request)
      return { accepted: isOpen ? accepted.ballot : null, committed: committed?.ballot ?? null, read }
    })
  }

  propose({ register, proposal, commit: decided }: ProposeMessage): Promise<ProposeReply> {
    return this.#alone(register, async (known) => {
      const state = decided === null ? known : await this.#commit(register, known, decided)
      const { state: next, write, reply } = propose(state, proposal)
      if (write !== null) await this.#store.save(register, next, write)
      return reply
    })
  }

  commit(register: Register, decided: Proposal<Buffer>): Promise<void> {
    return this.#alone(register, async (known) => {
      await this.#commit(register, known, decided)
    })
  }

  /** Commits may overtake each other: the data of an earlier one is taken too. */
  async #commit(register: Register, known: RegisterState, decided: Proposal<Buffer>): Promise<RegisterState> {
    if (compareBallots(known.committed?.ballot ?? null, decided.ballot) === 0) return known
    const { state, write } = commit(known, decided)
    const mutation = mutationOf(decided.value)
    const isData = mutation.length > 0 && this.#marks.takes(mutation, originOf(decided.value).micros)
    if (write !== null) await this.#store.save(register, state, write, isData ? mutation : null)
    else if (isData) await this.#environment.replica.apply([mutation])
    return state
  }

  /** Whether that is the last commit, and nothing was promised or accepted above it. */
  isSettled(register: Register, ballot: Ballot): Promise<boolean> {
    return this.#alone(register, async (state) => isSettledAt(state, ballot))
  }

  /** If it is settled at that ballot. */
  forget(register: Register, ballot: Ballot): Promise<void> {
    return this.#alone(register, async (state) => {
      if (isSettledAt(state, ballot)) await this.#store.forget(register, state, this.#nowSeconds())
    })
  }

  /** Of a table that is gone, or a range that is others': if nothing above that ballot happened. */
  drop(register: Register, ballot: Ballot): Promise<void> {
    return this.#alone(register, async (state) => {
      const { promised, committed } = state
      if (compareBallots(promised, ballot) > 0 || compareBallots(committed?.ballot ?? null, ballot) > 0) return
      await this.#store.forget(register, state, this.#nowSeconds())
    })
  }

  #nowSeconds(): number {
    return Math.floor(this.#environment.clock.wallMicros() / 1e6)
  }

  /** One after another for each register; what goes wrong with the disk is said here, and the coordinator learns that it failed. */
  async #alone<T>(register: Register, work: (state: RegisterState) => Promise<T>): Promise<T> {
    try {
      return await this.#locks.run(registerName(register), async () => work(await this.#store.load(register)))
    } catch (cause) {
      if (cause instanceof ReplicaFailure || !isReplicaFailure(cause)) throw cause
      this.#environment.report(cause)
      throw Object.assign(failure(FailureReason.UNKNOWN, cause.message), { cause })
    }
  }

  /** That there is the table, and, of a vote, that this node is one of those who vote about the partition. */
  async #know({ table, position }: Register, { epoch }: Incoming, isVote: boolean): Promise<void> {
    const environment = this.#environment
    if (epoch > environment.epoch()) await environment.catchUp(epoch)
    const keyspace = environment.keyspaceOf(uuidBytes(table).toString('latin1'))
    if (keyspace === null) throw incompatible(`table ${table} is unknown here`)
    const placed = isVote && epoch !== environment.epoch() ? environment.placement(keyspace) : null
    if (placed === null) return
    const { natural, pending } = placed.placement.at(position.readInt32BE(0), position.readInt32BE(4))
    const self = environment.self().hostId
    if (![...natural, ...pending].some(({ hostId }) => hostId === self))
      throw incompatible(`${keyspace} has other replicas for what is to be decided`)
  }
}

function incompatible(message: string): ReplicaFailure {
  return failure(FailureReason.INCOMPATIBLE_SCHEMA, message)
}

function isSettledAt({ promised, accepted, committed }: RegisterState, ballot: Ballot): boolean {
  if (committed === null || accepted !== null || compareBallots(promised, ballot) > 0) return false
  return compareBallots(committed.ballot, ballot) === 0
}

function failure(reason: number, message: string): ReplicaFailure {
  return new ReplicaFailure(reasonName(reason), reason, message)
}
