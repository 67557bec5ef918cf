/**
 * Paxos, decided purely: what an acceptor answers and must have written before it does, and what a proposer makes of the answers. No IO, no clock.
 * Source: Lamport, Paxos Made Simple; the register of repeated decisions, with a commit that ends each, is that of Cassandra's lightweight
 * transactions. Two uses: a log, with one instance of these states for each entry, which ends when it is decided (nobody commits in it); and
 * a register in each partition, where decision follows decision.
 *
 * Always, as long as a proposer asks the same participants as all others and waits for more than half of them:
 * - a value is decided when a majority accepted it under one ballot; every later proposer that is promised a majority sees it, in progress or committed;
 * - an acceptor promises a ballot only if its µs are above all that it promised or saw committed: never the same ballot twice, and no two
 *   ballots of equal µs ever get a majority each. So decisions have different timestamps, and a ballot that a restarted node makes again wins nothing;
 * - what an acceptor answers follows from what it has on disk: `write` says what to make durable before the answer leaves.
 */
import { assert } from '../../lib/base/assert.ts'
import { type Ballot, compareBallots, highestBallot } from './ballot.ts'

export interface Proposal<V> {
  readonly ballot: Ballot
  readonly value: V
}

/** What one acceptor knows of one register. All of it must survive a power loss. */
export interface AcceptorState<V> {
  readonly promised: Ballot | null
  /** Not yet known to be decided. Always above `committed`. */
  readonly accepted: Proposal<V> | null
  readonly committed: Proposal<V> | null
}

export type PrepareReply<V> =
  /** The acceptor takes part in nothing below the ballot any more. */
  | { readonly kind: 'promised'; readonly accepted: Proposal<V> | null; readonly committed: Proposal<V> | null }
  /** It promised, or saw committed, `by`. */
  | { readonly kind: 'refused'; readonly by: Ballot }

export type ProposeReply =
  | { readonly kind: 'accepted' }
  /** `never`: nor did it accept an earlier copy of the message. */
  | { readonly kind: 'refused'; readonly by: Ballot; readonly never: boolean }

/** The state after a request; null `write`: it is what it was. Else the named part must be durable before the reply leaves. */
export interface Transition<V, R> {
  readonly state: AcceptorState<V>
  readonly write: 'promised' | 'accepted' | 'committed' | null
  readonly reply: R
}

export function emptyAcceptor<V>(): AcceptorState<V> {
  return { promised: null, accepted: null, committed: null }
}

function highestSeen<V>(state: AcceptorState<V>): Ballot | null {
  return highestBallot(state.promised, state.committed?.ballot ?? null)
}

export function prepare<V>(state: AcceptorState<V>, ballot: Ballot): Transition<V, PrepareReply<V>> {
  const seen = highestSeen(state)
  if (seen !== null && ballot.micros <= seen.micros) return { state, write: null, reply: { kind: 'refused', by: seen } }
  const { accepted, committed } = state
  return {
    state: { promised: ballot, accepted, committed },
    write: 'promised',
    reply: { kind: 'promised', accepted, committed },
  }
}

export function propose<V>(state: AcceptorState<V>, proposal: Proposal<V>): Transition<V, ProposeReply> {
  const { accepted, committed } = state
  const latest = highestBallot(accepted?.ballot ?? null, committed?.ballot ?? null)
  // Said again what was accepted before: a duplicate, or the commit was faster.
  if (accepted !== null && compareBallots(accepted.ballot, proposal.ballot) === 0) return said(state)
  if (committed !== null && compareBallots(committed.ballot, proposal.ballot) === 0) return said(state)
  const seen = highestSeen(state)
  if (seen !== null && compareBallots(proposal.ballot, seen) < 0) {
    const never = compareBallots(latest, proposal.ballot) < 0
    return { state, write: null, reply: { kind: 'refused', by: seen, never } }
  }
  return {
    state: { promised: proposal.ballot, accepted: proposal, committed },
    write: 'accepted',
    reply: { kind: 'accepted' },
  }
}

function said<V>(state: AcceptorState<V>): Transition<V, ProposeReply> {
  return { state, write: null, reply: { kind: 'accepted' } }
}

/** For what was decided: it is so whatever this acceptor promised or accepted. `changed` is false when it knew, or knows of a later one. */
export function commit<V>(state: AcceptorState<V>, decided: Proposal<V>): Transition<V, { readonly changed: boolean }> {
  if (compareBallots(decided.ballot, state.committed?.ballot ?? null) <= 0)
    return { state, write: null, reply: { changed: false } }
  const { promised, accepted } = state
  const isOver = accepted !== null && compareBallots(accepted.ballot, decided.ballot) <= 0
  return {
    state: { promised, accepted: isOver ? null : accepted, committed: decided },
    write: 'committed',
    reply: { changed: true },
  }
}

export type PrepareVerdict<V> =
  | { readonly kind: 'pending' }
  /** A majority promised. With `inProgress` the proposer must propose that value under its own ballot; without, it may propose what it likes. */
  | {
      readonly kind: 'promised'
      /** The accepted value of the highest ballot, if it is above the most recent commit: it may have been decided. */
      readonly inProgress: Proposal<V> | null
      readonly committed: Proposal<V> | null
      /** Those who promised and lack `committed`: they must have it before the register is read or written. */
      readonly lacking: readonly string[]
    }
  /** Too many refused: only a ballot above `by` has prospects. */
  | { readonly kind: 'refused'; readonly by: Ballot }
  /** Too many cannot be reached. */
  | { readonly kind: 'unreachable' }

export type ProposeVerdict =
  | { readonly kind: 'pending' }
  /** A majority accepted: it is decided. */
  | { readonly kind: 'decided' }
  /** `isUncertain`: somebody accepted it, or may have: a later proposer may bring it to decision. Otherwise it never is. */
  | { readonly kind: 'refused'; readonly by: Ballot; readonly isUncertain: boolean }
  | { readonly kind: 'unreachable'; readonly isUncertain: boolean }

/** One attempt: the answers to one ballot's prepare, then to its proposal. Counts each participant once; who is not one is not heard. */
export class Attempt<V> {
  readonly ballot: Ballot
  readonly required: number
  readonly #participants: ReadonlySet<string>
  #phase: 'prepare' | 'propose' | 'over' = 'prepare'
  #heard = new Set<string>()
  #positive = 0
  /** Those of whom it is known that they never accepted the proposal. */
  #refusals = 0
  #refusedBy: Ballot | null = null
  #accepted: Proposal<V> | null = null
  #committed: Proposal<V> | null = null
  #commits = new Map<string, Ballot | null>()

  /** `required`: more than half of the participants if it is not said; a coordinator with pending replicas may ask for more, never for fewer. */
  constructor(ballot: Ballot, participants: readonly string[], required = majorityOf(participants.length)) {
    assert(required >= majorityOf(participants.length), 'two quorums have an acceptor in common')
    this.ballot = ballot
    this.required = required
    this.#participants = new Set(participants)
    assert(this.#participants.size === participants.length, 'a participant counts once')
  }

  /** A reply to the prepare; null: there will be none. A verdict other than pending is given once. */
  promise(from: string, reply: PrepareReply<V> | null): PrepareVerdict<V> {
    if (this.#phase !== 'prepare' || !this.#hears(from)) return { kind: 'pending' }
    if (reply?.kind === 'promised') {
      this.#positive += 1
      const { accepted, committed } = reply
      this.#commits.set(from, committed?.ballot ?? null)
      if (accepted && compareBallots(accepted.ballot, this.#accepted?.ballot ?? null) > 0) this.#accepted = accepted
      if (committed && compareBallots(committed.ballot, this.#committed?.ballot ?? null) > 0)
        this.#committed = committed
      if (this.#positive < this.required) return this.#lost() ?? { kind: 'pending' }
      return this.#promised()
    }
    if (reply) this.#refusedBy = highestBallot(this.#refusedBy, reply.by)
    return this.#lost() ?? { kind: 'pending' }
  }

  /** Begins the second phase: from now on accept() is fed. */
  propose(value: V): Proposal<V> {
    assert(this.#phase === 'over' && this.#positive >= this.required, 'proposed before a majority promised')
    this.#phase = 'propose'
    this.#heard = new Set()
    this.#positive = 0
    this.#refusedBy = null
    return { ballot: this.ballot, value }
  }

  /**
   * A reply to the proposal; null: it is not known whether it was heard; 'never': it was not accepted, nor will be. A verdict other than pending is given
   * once.
   */
  accept(from: string, reply: ProposeReply | 'never' | null): ProposeVerdict {
    if (this.#phase !== 'propose') return { kind: 'pending' }
    if (!this.#hears(from)) return { kind: 'pending' }
    if (reply === 'never') {
      this.#refusals += 1
      return this.#defeated()
    }
    if (reply?.kind === 'accepted') {
      this.#positive += 1
      if (this.#positive < this.required) return this.#defeated()
      this.#phase = 'over'
      return { kind: 'decided' }
    }
    if (reply) {
      this.#refusedBy = highestBallot(this.#refusedBy, reply.by)
      if (reply.never) this.#refusals += 1
    }
    return this.#defeated()
  }

  #hears(from: string): boolean {
    if (!this.#participants.has(from) || this.#heard.has(from)) return false
    this.#heard.add(from)
    return true
  }

  #isLost(): boolean {
    return this.#positive + this.#participants.size - this.#heard.size < this.required
  }

  #lost(): Extract<PrepareVerdict<V>, { kind: 'refused' | 'unreachable' }> | null {
    if (!this.#isLost()) return null
    this.#phase = 'over'
    return this.#refusedBy ? { kind: 'refused', by: this.#refusedBy } : { kind: 'unreachable' }
  }

  #defeated(): ProposeVerdict {
    if (!this.#isLost()) return { kind: 'pending' }
    this.#phase = 'over'
    const isUncertain = this.#refusals < this.#participants.size
    return this.#refusedBy
      ? { kind: 'refused', by: this.#refusedBy, isUncertain }
      : { kind: 'unreachable', isUncertain }
  }

  #promised(): PrepareVerdict<V> {
    this.#phase = 'over'
    const committed = this.#committed
    const isOpen = compareBallots(this.#accepted?.ballot ?? null, committed?.ballot ?? null) > 0
    const lacking: string[] = []
    if (committed)
      for (const [from, ballot] of this.#commits) if (compareBallots(ballot, committed.ballot) < 0) lacking.push(from)
    return { kind: 'promised', inProgress: isOpen ? this.#accepted : null, committed, lacking }
  }
}

export function majorityOf(participants: number): number {
  return Math.floor(participants / 2) + 1
}
