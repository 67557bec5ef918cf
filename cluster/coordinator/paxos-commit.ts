/**
 * What was decided is made known: to every replica, in all data centres, also those that took no part in the decision. The client waits for as many as
 * its commit level asks for; who does not acknowledge gets a hint, as with any write.
 * Where somebody knows of a later ring, it is made known to the replicas of that ring, too.
 * Source: Cassandra's PaxosCommit. What goes wrong from here on is told with the commit's level: the decision stands, and serial reads show it.
 */
import { FailureReason, type RequestError } from '../../lib/base/errors.ts'
import { Verb } from '../internode/verbs.ts'
import type { Proposal } from '../paxos/core.ts'
import { mutationOf, originOf, type Register } from '../paxos/register.ts'
import { catchUpPast, StillBehindError } from './behind.ts'
import type { CoordinatorEnvironment } from './environment.ts'
import type { PaxosAcceptor } from './paxos-acceptor.ts'
import { encodeCommit } from './paxos-messages.ts'
import { casTimeout, isReplicaFailure, reasonOf } from './request-errors.ts'
import { Tally, type Verdict } from './tally.ts'
import type { WritePlan, WriteTarget } from './write-plan.ts'

export interface PaxosCommitOptions {
  readonly environment: CoordinatorEnvironment
  readonly acceptor: PaxosAcceptor
}

export class PaxosCommits {
  readonly #environment: CoordinatorEnvironment
  readonly #acceptor: PaxosAcceptor

  constructor({ environment, acceptor }: PaxosCommitOptions) {
    this.#environment = environment
    this.#acceptor = acceptor
  }

  /** `planNow`: by the ring as it is. Resolves when the plan's level is met; rejects with what the client is told. It goes on by itself after that. */
  spread(
    planNow: () => WritePlan,
    register: Register,
    decided: Proposal<Buffer>,
    contentions: number,
    endMs = this.#environment.clock.monotonicMs() + this.#environment.timeouts.writeMs,
  ): Promise<void> {
    const plan = planNow()
    const { targets, self, dead } = plan
    const { messenger, clock } = this.#environment
    const leftMs = Math.max(1, endMs - clock.monotonicMs())
    for (const hostId of dead) this.#hint(hostId, decided)
    const tally = new Tally().begin(plan)
    return new Promise<void>((resolve, reject) => {
      const refused: string[] = []
      let again: Promise<void> | null = null
      const judge = (verdict: Verdict): void => {
        if (verdict === 'met') resolve()
        else if (verdict === 'lost' && again === null) reject(asCas(tally.error('CAS'), contentions))
        else if (verdict === 'lost')
          again!.catch((cause: Error) =>
            reject(cause instanceof StillBehindError ? asCas(tally.error('CAS'), contentions) : cause),
          )
      }
      const failed = ({ group, hostId, endpoint }: WriteTarget, reason: number): void => {
        if (reason === FailureReason.COORDINATOR_BEHIND) {
          refused.push(hostId)
          again ??= this.#again(plan.epoch, endMs, () => this.spread(planNow, register, decided, contentions, endMs))
          again.then(resolve, () => {
            for (const each of refused.splice(0)) this.#hint(each, decided)
          })
        } else this.#hint(hostId, decided)
        judge(tally.fail(group, endpoint, reason))
      }
      const payload = encodeCommit({ register, decided })
      for (const target of targets) {
        if (target === self) continue
        messenger.request(target.endpoint, Verb.PAXOS_COMMIT, payload, leftMs, {
          replied: () => judge(tally.ack(target.group)),
          failed: (_, reason) => failed(target, reason),
        })
      }
      if (self !== null)
        this.#acceptor.commit(register, decided).then(
          () => judge(tally.ack(self.group)),
          (cause: unknown) => {
            if (!isReplicaFailure(cause)) this.#environment.report(cause as Error)
            failed(self, reasonOf(cause))
          },
        )
      if (plan.hintCounts) resolve()
      // Replicas died since it was looked whether there are enough.
      else if (plan.unavailable !== null) reject(asCas(tally.timeout('CAS'), contentions))
    })
  }

  async #again(plannedAt: number, endMs: number, spread: () => Promise<void>): Promise<void> {
    const leftMs = endMs - this.#environment.clock.monotonicMs()
    if (!(await catchUpPast(this.#environment, plannedAt, leftMs))) throw new StillBehindError()
    await spread()
  }

  #hint(hostId: string, { value }: Proposal<Buffer>): void {
    const mutation = mutationOf(value)
    const { hints, report } = this.#environment
    if (mutation.length === 0 || hostId === this.#environment.self().hostId || !hints.mayStore(hostId)) return
    try {
      const stored = hints.store(hostId, mutation, originOf(value).micros)
      if (stored instanceof Promise) stored.catch(report)
    } catch (cause) {
      report(cause as Error)
    }
  }
}

/** Silence is told in a transaction's own words. */
function asCas(error: RequestError, contentions: number): RequestError {
  if (error.code !== 'WRITE_TIMEOUT') return error
  const { consistency = 0, received = 0, blockFor = 0 } = error.fields
  return casTimeout({ level: consistency, received, blockFor }, contentions)
}
