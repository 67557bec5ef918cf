/**
 * The side of the node that was away: takes the hints that others kept for it, as it takes writes. And the side of who stands in for a node that is
 * away: keeps a hint that another coordinator asks it to keep, or those of a node that leaves.
 */
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import type { Messenger, Payload } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import type { HintedHandoff } from './handoff.ts'
import { decodeHandedOn, decodeHints, decodeStandIn } from './messages.ts'

/** As ReplicaWrites: the bytes are copied before it returns; it throws and rejects with ReplicaFailures. */
export type ApplyWrites = (mutations: readonly Buffer[], writtenAt: number, epoch: number) => Promise<void> | undefined

export class HintReceiver {
  readonly #apply: ApplyWrites
  readonly #hints: HintedHandoff

  constructor(apply: ApplyWrites, hints: HintedHandoff) {
    this.#apply = apply
    this.#hints = hints
  }

  register(messenger: Messenger): void {
    messenger.handle(Verb.HINT, ({ payload, epoch }) => this.#takeAll(payload, epoch))
    messenger.handle(Verb.STAND_IN, ({ payload }) => this.#standIn(payload))
    messenger.handle(Verb.HAND_ON, ({ payload }) => this.#takeOver(payload))
  }

  async #takeAll(payload: Buffer, epoch: number): Promise<Payload> {
    const outcomes = decodeHints(payload).map(({ writtenAt, mutation }) => this.#take(mutation, writtenAt, epoch))
    return Uint8Array.from(await Promise.all(outcomes))
  }

  async #take(mutation: Buffer, writtenAt: number, epoch: number): Promise<number> {
    try {
      await this.#apply([mutation], writtenAt, epoch)
      return 0
    } catch (cause) {
      if (!(cause instanceof ReplicaFailure)) throw cause
      // Its table was truncated since: it is not to come back.
      return cause.reasonCode === FailureReason.TIMEOUT ? 0 : 1 + cause.reasonCode
    }
  }

  async #standIn(payload: Buffer): Promise<Payload> {
    const { hostId, writtenAt, mutations } = decodeStandIn(payload)
    if (!this.#hints.mayStore(hostId))
      throw new ReplicaFailure('UNKNOWN', FailureReason.UNKNOWN, `no more hints are kept for ${hostId}`)
    await Promise.all(mutations.map((mutation) => this.#hints.store(hostId, mutation, writtenAt)))
    return new Uint8Array(0)
  }

  async #takeOver(payload: Buffer): Promise<Payload> {
    const { hostId, hints } = decodeHandedOn(payload)
    await this.#hints.takeOver(hostId, hints)
    return new Uint8Array(0)
  }
}
