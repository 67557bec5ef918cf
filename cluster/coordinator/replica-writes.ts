/**
 * A replica's side of writes: applies what coordinators of other nodes send, and hands it on within its data centre when asked to.
 * Always: acknowledged is what the commit log has; a table that this node does not know is looked for in the metadata first, and refused as
 * INCOMPATIBLE_SCHEMA when it is not there either.
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import type { Incoming, Messenger, Payload } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import { behind, isPast } from './behind.ts'
import type { CoordinatorEnvironment, ReplicaSide } from './environment.ts'
import { isReplicaFailure, reasonName, reasonOf } from './request-errors.ts'
import type { TruncationMarks } from './truncation-marks.ts'
import { encodeDone, putForwarded, readForwarded, readMutationMessage } from './write-messages.ts'
import { tableOf, type WritePlans } from './write-plans.ts'

export interface ReplicaWritesOptions {
  readonly environment: CoordinatorEnvironment
  readonly plans: WritePlans
  readonly marks: TruncationMarks
}

const DONE: Payload = Buffer.alloc(0)

export class ReplicaWrites implements ReplicaSide {
  readonly #environment: CoordinatorEnvironment
  readonly #plans: WritePlans
  readonly #marks: TruncationMarks

  constructor({ environment, plans, marks }: ReplicaWritesOptions) {
    this.#environment = environment
    this.#plans = plans
    this.#marks = marks
  }

  register(messenger: Messenger): void {
    messenger.handle(Verb.MUTATION, (message) => this.#mutation(messenger, message))
    messenger.handle(Verb.MUTATION_FORWARDED, (message) => {
      void this.#forwarded(messenger, message).catch(this.#environment.report)
      return undefined
    })
  }

  #mutation(messenger: Messenger, { payload, from, epoch, remainingMs }: Incoming): Payload | Promise<Payload> {
    const { writtenAt, writeId, others, body, mutations } = readMutationMessage(payload)
    if (writeId !== null) {
      const head = new ByteWriter(64)
      putForwarded(head, { writtenAt, writeId, remainingMs }, from.endpoint)
      for (const endpoint of others) messenger.send(endpoint, Verb.MUTATION_FORWARDED, [head.view(), body])
    }
    const done = this.apply(mutations, writtenAt, epoch)
    return done === undefined ? DONE : done.then(toDone)
  }

  async #forwarded(messenger: Messenger, { payload, epoch }: Incoming): Promise<void> {
    const { writtenAt, writeId, remainingMs, coordinator, mutations } = readForwarded(Buffer.from(payload))
    // The coordinator has given it up, and keeps a hint.
    if (remainingMs === 0) return
    let reason: number | null = null
    try {
      if (isPast(this.#environment, epoch)) throw behind()
      await this.apply(mutations, writtenAt, epoch)
    } catch (cause) {
      if (!isReplicaFailure(cause)) this.#environment.report(cause as Error)
      reason = reasonOf(cause)
    }
    messenger.send(coordinator, Verb.MUTATION_DONE, encodeDone(writeId, reason))
  }

  /** Whether a mutation of a write that began then still counts: its table may have been truncated since. */
  takes(mutation: Buffer, writtenAt: number): boolean {
    return this.#marks.takes(mutation, writtenAt)
  }

  /** Whether what a read of this node found, which began then, may be written to replicas that lack it. */
  mayRepair(mutation: Buffer, began: number): boolean {
    return this.#marks.mayRepair(mutation, began, this.#environment.timestampMicros())
  }

  /** What another node sends. The bytes are copied before this returns; `epoch`: the sender's. Throws and rejects with ReplicaFailures. */
  apply(mutations: readonly Buffer[], writtenAt: number, epoch: number): Promise<void> | undefined {
    for (let i = 0; i < mutations.length; i++)
      if (this.#plans.keyspaceOf(mutations[i]!) === null)
        return this.#applyWhenKnown(
          mutations.map((mutation) => Buffer.from(mutation)),
          writtenAt,
          epoch,
        )
    return this.#applyKnown(mutations, writtenAt)
  }

  async #applyWhenKnown(mutations: readonly Buffer[], writtenAt: number, epoch: number): Promise<void> {
    if (epoch > this.#environment.epoch()) await this.#environment.catchUp(epoch)
    for (const mutation of mutations)
      if (this.#plans.keyspaceOf(mutation) === null)
        throw failure(FailureReason.INCOMPATIBLE_SCHEMA, `table ${tableOf(mutation)} is unknown here`)
    await this.#applyKnown(mutations, writtenAt)
  }

  #applyKnown(mutations: readonly Buffer[], writtenAt: number): Promise<void> | undefined {
    // Not acknowledged, as if it had been lost on the way: should the sender's clock be far behind, it was not written before the truncation.
    for (let i = 0; i < mutations.length; i++)
      if (!this.#marks.takes(mutations[i]!, writtenAt))
        throw failure(FailureReason.TIMEOUT, `table ${tableOf(mutations[i]!)} was truncated since`)
    try {
      const done = this.#environment.replica.apply(mutations)
      return done?.catch((cause: unknown) => this.#fail(cause))
    } catch (cause) {
      return this.#fail(cause)
    }
  }

  /** What is wrong with the disk is said here; the coordinator learns only that it failed. */
  #fail(cause: unknown): never {
    if (cause instanceof ReplicaFailure || !isReplicaFailure(cause)) throw cause
    this.#environment.report(cause)
    throw Object.assign(failure(FailureReason.UNKNOWN, cause.message), { cause })
  }
}

function failure(reason: number, message: string): ReplicaFailure {
  return new ReplicaFailure(reasonName(reason), reason, message)
}

function toDone(): Payload {
  return DONE
}
