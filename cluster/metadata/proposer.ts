/**
 * Has the entry of one epoch decided: one attempt at one instance of Paxos among the members of the metadata log.
 * Source: Lamport, Paxos Made Simple §2. What to propose, and when to try again, is for the log to say (replicated-log.ts).
 * Always: what another proposer may have had decided is proposed again, and nothing else.
 */
import { assert } from '../../lib/base/assert.ts'
import type { Endpoint } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import { type Ballot, BallotSource, highestBallot } from '../paxos/ballot.ts'
import { Attempt, type ProposeVerdict } from '../paxos/core.ts'
import type { Exchange } from './exchange.ts'
import type { InstanceName, NoPart, PrepareAnswer, PrepareRequest, ProposeAnswer, ProposeRequest } from './messages.ts'

/** Who takes part in an instance: members by host id, or, to found a cluster, seeds by their endpoint. */
export interface Participant {
  readonly id: string
  readonly endpoint: Endpoint
}

export interface Instance {
  readonly epoch: number
  readonly clusterId: string
  readonly seeds: readonly Endpoint[] | null
  readonly participants: readonly Participant[]
}

export type AttemptResult =
  | { readonly kind: 'decided'; readonly payload: string }
  /** Nothing was proposed, and nothing is in progress. */
  | { readonly kind: 'free' }
  /** The participant has the decision already; uncertain: it may be what was proposed. */
  | { readonly kind: 'over'; readonly from: Endpoint; readonly isUncertain: boolean }
  | { readonly kind: 'contended'; readonly isUncertain: boolean }
  | { readonly kind: 'unreachable'; readonly isUncertain: boolean; readonly answered: number }

type Defeat = Exclude<ProposeVerdict, { kind: 'pending' | 'decided' }>

export interface ProposerOptions {
  readonly exchange: Exchange
  /** For an answer of one member. */
  readonly requestMs: number
}

export class Proposer {
  readonly #options: ProposerOptions
  readonly #ballots: BallotSource
  #heard: Ballot | null = null

  constructor(options: ProposerOptions) {
    this.#options = options
    const { self, clock } = options.exchange
    this.#ballots = new BallotSource(self.hostId, () => clock.wallMicros())
  }

  /** One attempt at one instance. With a null payload it only finishes what is in progress. */
  async attempt(instance: Instance, payload: string | null): Promise<AttemptResult> {
    const { epoch, clusterId, seeds, participants } = instance
    const { exchange, requestMs } = this.#options
    const ballot = this.#ballots.next(this.#heard)
    const attempt = new Attempt<string>(
      ballot,
      participants.map(({ id }) => id),
    )
    const name = (to: string): InstanceName => ({ clusterId, seeds, epoch, to })
    let result: AttemptResult | null = null
    let lost = null as Defeat | null
    let value: string | null = null
    let answered = 0
    await exchange.gather<Participant, PrepareAnswer>(
      participants,
      ({ id, endpoint }) =>
        exchange.ask(endpoint, Verb.METADATA_PREPARE, { ...name(id), ballot } satisfies PrepareRequest, requestMs),
      ({ id, endpoint }, answer) => {
        if (answer !== null && answer.kind !== 'absent') answered += 1
        if (answer?.kind === 'decided') {
          result = { kind: 'over', from: endpoint, isUncertain: false }
          return true
        }
        const verdict = attempt.promise(id, isPart(answer) ? answer : null)
        if (verdict.kind === 'pending') return false
        if (verdict.kind === 'promised') {
          value = verdict.inProgress?.value ?? payload
          if (value === null) result = { kind: 'free' }
        } else lost = { ...verdict, isUncertain: false }
        // Who cannot be reached is known at once; who can is still counted.
        return verdict.kind !== 'unreachable'
      },
    )
    if (result !== null) return result
    if (lost !== null) return this.#lost(lost, answered)
    assert(value !== null, 'a verdict comes with the last answer')
    const proposal = attempt.propose(value)
    answered = 0
    await exchange.gather<Participant, ProposeAnswer>(
      participants,
      ({ id, endpoint }) =>
        exchange.ask(endpoint, Verb.METADATA_PROPOSE, { ...name(id), proposal } satisfies ProposeRequest, requestMs),
      ({ id, endpoint }, answer) => {
        if (answer !== null && answer.kind !== 'absent') answered += 1
        if (answer?.kind === 'decided') {
          result = { kind: 'over', from: endpoint, isUncertain: true }
          return true
        }
        const verdict = attempt.accept(id, isPart(answer) ? answer : null)
        if (verdict.kind === 'pending') return false
        if (verdict.kind === 'decided') result = { kind: 'decided', payload: proposal.value }
        else lost = verdict
        return verdict.kind !== 'unreachable'
      },
    )
    if (result !== null) return result
    assert(lost !== null, 'a verdict comes with the last answer')
    return this.#lost(lost, answered)
  }

  #lost(defeat: Defeat, answered: number): AttemptResult {
    const { isUncertain } = defeat
    if (defeat.kind === 'unreachable') return { kind: 'unreachable', isUncertain, answered }
    this.#heard = highestBallot(this.#heard, defeat.by)
    return { kind: 'contended', isUncertain }
  }
}

function isPart<R extends PrepareAnswer | ProposeAnswer>(answer: R | null): answer is Exclude<R, NoPart> {
  return answer !== null && answer.kind !== 'decided' && answer.kind !== 'absent'
}
