/**
 * One lightweight transaction, or one serial read: attempts under ever higher ballots until one goes through.
 * Source: Cassandra's lightweight transactions (StorageProxy.doPaxos, and Paxos v2 for the read within the prepare); Lamport, Paxos Made Simple.
 *
 *   prepare (and read) ─▶ finish what another left unfinished ─▶ decide ─▶ propose ─▶ commit
 *        ▲────────────── refused: wait a little, higher ballot ────────────┘
 *
 * Always: a decision is made on what was read under the ballot by which it is proposed. What is answered without a proposal (a read, a condition that
 * does not hold) was read by a quorum in the very step in which it promised. A proposal of ours that some may have accepted is never forgotten:
 * whatever is answered, its fate is known by then, or the client is told that it is not.
 * An attempt is of one ring: who knows of a later one neither promises nor accepts, and the next attempt is of that, as after any other attempt that failed. Its
 * quorums meet those of the one before (paxos-parties.ts), so what some of the former participants accepted is found there, or never decided.
 */
import { RequestError } from '../../lib/base/errors.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import { Verb } from '../internode/verbs.ts'
import { type Ballot, type BallotSource, compareBallots, highestBallot } from '../paxos/ballot.ts'
import { Attempt, type PrepareVerdict, type Proposal, type ProposeReply, type ProposeVerdict } from '../paxos/core.ts'
import { encodeValue, FIRST_BALLOT, fateOf, isFrom, mutationOf, originOf, type Register } from '../paxos/register.ts'
import type { RingNode } from '../ring/topology.ts'
import { catchUpPast, isPast } from './behind.ts'
import type { CasScene } from './cas.ts'
import type { CoordinatorEnvironment } from './environment.ts'
import type { PaxosAcceptor } from './paxos-acceptor.ts'
import { ask, Failures } from './paxos-ask.ts'
import {
  decodePrepareAnswer,
  decodeProposeAnswer,
  encodeCommit,
  encodePrepare,
  encodePropose,
  type PrepareAnswer,
} from './paxos-messages.ts'
import type { Parties } from './paxos-parties.ts'
import { casTimeout, readFailure, readTimeout, writeFailure } from './request-errors.ts'

/** How reads are made. */
export interface PaxosReads {
  /** The read as it goes along with a prepare; null: it is made when the promises are there. */
  encode(command: ReadCommand): Buffer | null
  /** What several replicas read, as one; null: that is not enough to know, for a limit cut too much off. */
  merge(command: ReadCommand, answers: readonly Buffer[]): ReadResult | null
  /** At a quorum level. */
  read(command: ReadCommand, consistency: number, keyspace: string): ReadResult | Promise<ReadResult>
}

export interface TransactionTools {
  readonly environment: CoordinatorEnvironment
  readonly acceptor: PaxosAcceptor
  readonly ballots: BallotSource
  readonly reads: PaxosReads
  /** By the ring as it is now. Throws UNAVAILABLE when they cannot decide anything. */
  parties(): Parties
  /** Makes a decision known at the transaction's commit level; `contentions` are for the client's information. */
  commit(decided: Proposal<Buffer>, contentions: number): Promise<void>
  /** Makes it known without anybody waiting for it. */
  commitLater(decided: Proposal<Buffer>): void
}

export interface TransactionRequest {
  readonly keyspace: string
  readonly register: Register
  readonly parties: Parties
  /** A serial read: errors are told as those of reads. */
  readonly isRead: boolean
  readonly read: ReadCommand
  /** Of the clock that never goes back. */
  readonly startedMs: number
  decide(found: ReadResult, scene: CasScene): readonly Buffer[] | null | Promise<readonly Buffer[] | null>
}

type Promised = Extract<PrepareVerdict<Buffer>, { kind: 'promised' }>

/** What came of proposing. */
type Outcome = 'decided' | 'refused'

/** Waits between attempts: a random part of a time that doubles from the first to the last. */
const BACKOFF_FIRST_MS = 2
const BACKOFF_DOUBLINGS_MAX = 6

const TWO_32 = 4294967296
const NOTHING = Buffer.alloc(0)

/** Somebody who takes part knows of a later ring. */
class PastRing extends Error {
  override name = 'PastRing'
  /** What the client is told if that ring cannot be learned in time. */
  readonly told: RequestError

  constructor(told: RequestError) {
    super('the ring has changed')
    this.told = told
  }
}

export class Transaction {
  readonly #tools: TransactionTools
  readonly #request: TransactionRequest
  readonly #startedMs: number
  /** Of the last prepare: who has which commit, and what was read. */
  #answers = new Map<string, Extract<PrepareAnswer, { kind: 'promised' }>>()
  /** Decided under our ballot in a former attempt: goes along with the next prepare. */
  #finished: Proposal<Buffer> | null = null
  /** Proposals of ours that somebody may have accepted and that were not decided in our sight. At most one of them ever is. */
  #doubts: Proposal<Buffer>[] = []
  #above: Ballot | null = null
  #parties: Parties
  #contentions = 0
  #accepted = 0

  constructor(tools: TransactionTools, request: TransactionRequest) {
    this.#tools = tools
    this.#request = request
    this.#startedMs = request.startedMs
    this.#parties = request.parties
  }

  /** Whether it was applied. */
  async run(): Promise<boolean> {
    const { read } = this.#request
    const encoded = this.#tools.reads.encode(read)
    const { clock, timeouts } = this.#tools.environment
    for (;;) {
      // It may have waited for others of this node, or finished what others began.
      if (clock.monotonicMs() - this.#startedMs >= timeouts.casContentionMs) throw this.#contended()
      try {
        if (this.#isPast()) this.#lookAgain()
        const isApplied = await this.#attempt(encoded)
        if (isApplied !== null) return isApplied
      } catch (cause) {
        if (!(cause instanceof PastRing)) throw cause
        await this.#learnRing(cause)
      }
    }
  }

  #isPast(): boolean {
    return isPast(this.#tools.environment, this.#parties.epoch)
  }

  /** Who takes part by the ring as it is now. */
  #lookAgain(): void {
    try {
      this.#parties = this.#tools.parties()
    } catch (cause) {
      // UNAVAILABLE says that nothing happened.
      throw this.#doubts.length > 0 ? this.#unknown() : cause
    }
  }

  async #learnRing({ told }: PastRing): Promise<void> {
    const { environment } = this.#tools
    const leftMs = environment.timeouts.casContentionMs - (environment.clock.monotonicMs() - this.#startedMs)
    if (!(await catchUpPast(environment, this.#parties.epoch, leftMs))) throw told
    this.#lookAgain()
  }

  /** Null: it has to be tried again. */
  async #attempt(read: Buffer | null): Promise<boolean | null> {
    const attempt = this.#begin()
    const verdict = await this.#prepare(attempt, read)
    if (verdict === null) {
      await this.#backOff()
      return null
    }
    const known = this.#fate(verdict)
    if (known !== null) {
      await this.#tools.commit(known, this.#contentions)
      return true
    }
    const { inProgress } = verdict
    if (inProgress !== null && mutationOf(inProgress.value).length > 0)
      return (await this.#finish(attempt, verdict, inProgress)) ? true : null
    const isApplied = await this.#decide(attempt, verdict)
    if (isApplied === null) await this.#backOff()
    return isApplied
  }

  #begin(): Attempt<Buffer> {
    const { nodes, required } = this.#parties
    const ballot = this.#tools.ballots.next(this.#above)
    const ids = nodes.map(({ hostId }) => hostId)
    return new Attempt(ballot, ids, required)
  }

  /** Null: refused. */
  async #prepare(attempt: Attempt<Buffer>, read: Buffer | null): Promise<Promised | null> {
    const { register } = this.#request
    const parties = this.#parties
    const { ballot } = attempt
    const message = { register, ballot, commit: this.#finished, read }
    const payload = encodePrepare(message)
    const failures = new Failures()
    this.#answers = new Map()
    const answers = this.#answers
    const verdict = await ask<PrepareAnswer, PrepareVerdict<Buffer>>(this.#tools.environment, {
      nodes: parties.nodes,
      verb: Verb.PAXOS_PREPARE,
      payload: () => payload,
      local: () => this.#tools.acceptor.prepare(message),
      decode: decodePrepareAnswer,
      timeoutMs: this.#roundMs(),
      count: ({ hostId }, answer) => {
        if (answer?.kind === 'promised') answers.set(hostId, answer)
        const counted = attempt.promise(hostId, answer)
        return counted.kind === 'pending' ? undefined : counted
      },
      failed: (node, reason) => failures.add(node, reason),
    })
    switch (verdict.kind) {
      case 'promised':
        return verdict
      case 'refused':
        this.#above = verdict.by
        return null
      default:
        throw this.#failed(answers.size, failures)
    }
  }

  /** Of the proposals in doubt: the one that was decided, as what is known now says; null: none is known to have been. */
  #fate({ committed }: Promised): Proposal<Buffer> | null {
    const still: Proposal<Buffer>[] = []
    for (const doubt of this.#doubts) {
      const fate = committed === null ? 'unknown' : fateOf(doubt.value, committed.value)
      if (fate === 'decided') return doubt
      if (compareBallots(committed?.ballot ?? this.#floor(), doubt.ballot) < 0) still.push(doubt)
      // What came later does not tell, or it may have been decided and forgotten.
      else if (fate === 'unknown') throw this.#unknown()
    }
    this.#doubts = still
    return null
  }

  /** Up to there decisions may have been forgotten by those who promised and know of none. */
  #floor(): Ballot {
    let floor = FIRST_BALLOT
    for (const answer of this.#answers.values()) floor = highestBallot(floor, answer.floor ?? null)!
    return floor
  }

  /** Brings to a decision what may have been decided already. True: it was ours. */
  async #finish(attempt: Attempt<Buffer>, promised: Promised, inProgress: Proposal<Buffer>): Promise<boolean> {
    const { value } = inProgress
    const isOurs = this.#doubts.some((doubt) => isFrom(value, originOf(doubt.value)))
    const proposal = attempt.propose(value)
    if ((await this.#propose(attempt, promised, proposal, isOurs)) === 'refused') {
      await this.#backOff()
      return false
    }
    if (isOurs) {
      await this.#tools.commit(proposal, this.#contentions)
      return true
    }
    this.#finished = proposal
    this.#tools.commitLater(proposal)
    return false
  }

  /** Null: it has to be tried again. */
  async #decide(attempt: Attempt<Buffer>, promised: Promised): Promise<boolean | null> {
    const { ballot } = attempt
    const { read, decide } = this.#request
    const before = promised.committed?.value ?? this.#floor()
    const answers = [...this.#answers.values()]
    const merged = this.#mergeReads(answers)
    const scene = new Scene(ballot, (command) => this.#readMore(promised, command))
    const found = merged ?? (await scene.read(read))
    const decided = decide(found, scene)
    const mutations = decided instanceof Promise ? await decided : decided
    if (mutations === null || mutations.length === 0) {
      const isApplied = mutations !== null
      // Nobody has decided otherwise in the meantime, nor will what is in doubt be decided behind our back.
      if (!scene.hasRead && this.#doubts.length === 0) return isApplied
      const nothing = attempt.propose(encodeValue(ballot, before, NOTHING))
      if ((await this.#propose(attempt, promised, nothing, false)) === 'refused') return null
      return isApplied
    }
    if (mutations.length > 1) throw new Error('a transaction writes to one partition of one table')
    const proposal = attempt.propose(encodeValue(ballot, before, mutations[0]!))
    if ((await this.#propose(attempt, promised, proposal, true)) === 'refused') return null
    await this.#tools.commit(proposal, this.#contentions)
    return true
  }

  #mergeReads(answers: readonly { readonly read?: Buffer | null }[]): ReadResult | null {
    const reads = answers.flatMap(({ read }) => (read ? [read] : []))
    if (reads.length < this.#parties.required) return null
    return this.#tools.reads.merge(this.#request.read, reads)
  }

  /** A read of its own, at a quorum: those who promised have by then what was decided last. */
  async #readMore({ committed, lacking }: Promised, command: ReadCommand): Promise<ReadResult> {
    const { keyspace } = this.#request
    if (committed !== null && lacking.length > 0) await this.#repair(committed, new Set(lacking))
    const level = this.#parties.level === Consistency.SERIAL ? Consistency.QUORUM : Consistency.LOCAL_QUORUM
    return await this.#tools.reads.read(command, level, keyspace)
  }

  async #repair(committed: Proposal<Buffer>, lacking: ReadonlySet<string>): Promise<void> {
    const { register } = this.#request
    const parties = this.#parties
    const payload = encodeCommit({ register, decided: committed })
    const failures = new Failures()
    let left = lacking.size
    const isDone = await ask<true, boolean>(this.#tools.environment, {
      nodes: parties.nodes.filter(({ hostId }) => lacking.has(hostId)),
      verb: Verb.PAXOS_COMMIT,
      payload: () => payload,
      local: () => this.#tools.acceptor.commit(register, committed).then(() => true as const),
      decode: () => true,
      timeoutMs: this.#roundMs(),
      count: (_, answer) => {
        if (answer === null) return false
        left -= 1
        return left === 0 ? true : undefined
      },
      failed: (node, reason) => failures.add(node, reason),
    })
    if (!isDone) throw this.#failed(parties.required - left, failures)
  }

  /** `isOurs`: what may become of it is ours to know. */
  async #propose(
    attempt: Attempt<Buffer>,
    { committed }: Promised,
    proposal: Proposal<Buffer>,
    isOurs: boolean,
  ): Promise<Outcome> {
    // Who promised did so by another ring: nothing is proposed.
    if (this.#isPast()) return 'refused'
    const { register } = this.#request
    const parties = this.#parties
    const bare = encodePropose({ register, proposal, commit: null })
    let full: Buffer | null = null
    const commitFor = ({ hostId }: RingNode): Proposal<Buffer> | null =>
      compareBallots(this.#answers.get(hostId)?.committed?.ballot ?? null, committed?.ballot ?? null) < 0
        ? committed
        : null
    const failures = new Failures()
    this.#accepted = 0
    const verdict = await ask<ProposeReply, ProposeVerdict>(this.#tools.environment, {
      nodes: parties.nodes,
      verb: Verb.PAXOS_PROPOSE,
      payload: (node) => {
        if (commitFor(node) === null) return bare
        full ??= encodePropose({ register, proposal, commit: committed })
        return full
      },
      local: () =>
        this.#tools.acceptor.propose({ register, proposal, commit: commitFor(this.#tools.environment.self()) }),
      decode: decodeProposeAnswer,
      timeoutMs: this.#roundMs(),
      count: ({ hostId }, answer) => {
        if (answer?.kind === 'accepted') this.#accepted += 1
        const counted = attempt.accept(hostId, answer ?? (failures.behind.has(hostId) ? 'never' : null))
        return counted.kind === 'pending' ? undefined : counted
      },
      failed: (node, reason) => failures.add(node, reason),
    })
    if (verdict.kind === 'decided') return 'decided'
    const isInDoubt = isOurs && verdict.kind !== 'pending' && verdict.isUncertain
    if (isInDoubt) this.#doubt(proposal)
    if (verdict.kind === 'refused') {
      this.#above = verdict.by
      return 'refused'
    }
    throw this.#failed(this.#accepted, failures)
  }

  /** Too few answered; if some of them know of a later ring, it is tried by that. */
  #failed(received: number, failures: Failures): Error {
    const told = this.#lost(received, failures)
    return failures.behind.size > 0 ? new PastRing(told) : told
  }

  /** The same value under a higher ballot takes the place of itself. */
  #doubt(proposal: Proposal<Buffer>): void {
    const origin = originOf(proposal.value)
    this.#doubts = [...this.#doubts.filter(({ value }) => !isFrom(value, origin)), proposal]
  }

  /** Throws when there is no time for another attempt. */
  async #backOff(): Promise<void> {
    this.#contentions += 1
    const { clock, random, timeouts } = this.#tools.environment
    const mostMs = BACKOFF_FIRST_MS * 2 ** Math.min(this.#contentions - 1, BACKOFF_DOUBLINGS_MAX)
    const waitMs = random.float() * mostMs
    if (clock.monotonicMs() - this.#startedMs + waitMs >= timeouts.casContentionMs) throw this.#contended()
    await new Promise<void>((resolve) => clock.after(waitMs, resolve))
  }

  #roundMs(): number {
    const { clock, timeouts } = this.#tools.environment
    const most = this.#request.isRead ? timeouts.readMs : Math.max(timeouts.writeMs, timeouts.casContentionMs)
    return Math.max(1, most - (clock.monotonicMs() - this.#startedMs))
  }

  #contended(): RequestError {
    if (this.#doubts.length > 0) return this.#unknown()
    return this.#timeout(0)
  }

  /** Too few answered, and nothing was proposed that could be decided yet. */
  #lost(received: number, failures: Failures): RequestError {
    if (this.#doubts.length > 0) return this.#unknown()
    if (!failures.isFailure) return this.#timeout(received)
    const parties = this.#parties
    const { isRead } = this.#request
    const replies = { level: parties.level, received, blockFor: parties.required }
    return isRead ? readFailure(replies, failures.errors, false) : writeFailure(replies, failures.errors, 'CAS')
  }

  #timeout(received: number): RequestError {
    const parties = this.#parties
    const { isRead } = this.#request
    const replies = { level: parties.level, received, blockFor: parties.required }
    return isRead ? readTimeout(replies, false) : casTimeout(replies, this.#contentions)
  }

  #unknown(): RequestError {
    const { level, required } = this.#parties
    const received = Math.min(this.#accepted, required - 1)
    return new RequestError(
      'CAS_WRITE_UNKNOWN',
      `CAS operation result is unknown - proposal accepted by ${received} but not a quorum.`,
      { consistency: level, received, blockFor: required },
    )
  }
}

class Scene implements CasScene {
  readonly timestamp: { readonly high: number; readonly low: number }
  hasRead = false
  /** Whoever decides takes it as a function. */
  readonly read: (command: ReadCommand) => Promise<ReadResult>

  constructor({ micros }: Ballot, read: (command: ReadCommand) => Promise<ReadResult>) {
    this.timestamp = { high: Math.floor(micros / TWO_32), low: micros | 0 }
    this.read = (command) => {
      this.hasRead = true
      return read(command)
    }
  }
}
