/** What all reads of a coordinator share: how replicas are asked, here and elsewhere, and what is counted. */
import { ByteWriter } from '../../lib/base/bytes.ts'
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import type { Endpoint, ReplyHandler } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import { behind, isPast } from './behind.ts'
import type { CoordinatorEnvironment } from './environment.ts'
import type { ReadCounts } from './latencies.ts'
import { Nearness } from './nearness.ts'
import { encodeAnswer, encodeReadRequest, encodeRepair } from './read-codec.ts'
import { type Merged, mergeAnswers } from './read-merge.ts'
import type { ReadReplica } from './read-plan.ts'
import { isReplicaFailure } from './request-errors.ts'
import { TableIds } from './table-ids.ts'

/** Where mutations of repair are applied on this node. */
export interface RepairSink {
  /** `writtenAt`: µs of the hybrid clock when the read began. Throws and rejects with ReplicaFailures. */
  apply(mutations: readonly Buffer[], writtenAt: number, epoch: number): Promise<void> | undefined
  /** False: the table was being truncated while the read, which began then, went on; what it found is not to be written anywhere. */
  mayRepair?(mutation: Buffer, began: number): boolean
}

const WRITER_BYTES_KEPT = 256 * 1024

export class ReadServices {
  readonly #environment: CoordinatorEnvironment
  readonly #repairs: RepairSink
  readonly #ids = new TableIds()
  #writer = new ByteWriter(1024)
  readonly nearness = new Nearness()
  readonly counts: ReadCounts

  constructor(environment: CoordinatorEnvironment, repairs: RepairSink, counts: ReadCounts) {
    this.counts = counts
    this.#environment = environment
    this.#repairs = repairs
  }

  get clock(): CoordinatorEnvironment['clock'] {
    return this.#environment.clock
  }

  /** Whether the ring has changed since something was planned at that epoch. */
  isPast(plannedAt: number): boolean {
    return isPast(this.#environment, plannedAt)
  }

  get endpoint(): Endpoint {
    return this.#environment.self().endpoint
  }

  timestampMicros(): number {
    return this.#environment.timestampMicros()
  }

  report(cause: Error): void {
    this.#environment.report(cause)
  }

  send(
    to: Endpoint,
    verb: number,
    command: ReadCommand,
    isDigest: boolean,
    timeoutMs: number,
    reply: ReplyHandler,
  ): void {
    const out = this.#writer
    out.reset()
    encodeReadRequest(out, command, isDigest, this.#ids)
    this.#environment.messenger.request(to, verb, out.view(), timeoutMs, reply)
  }

  /** This node's own answer, as others send theirs, in memory of its own. Throws and rejects with what went wrong. */
  readHere(command: ReadCommand): Buffer | Promise<Buffer> {
    const reading = this.#environment.replica.read(command)
    return reading instanceof Promise
      ? reading.then((result) => this.#encoded(command, result))
      : this.#encoded(command, reading)
  }

  #encoded(command: ReadCommand, result: ReadResult): Buffer {
    checkTombstones(command, result)
    const out = this.#writer
    out.reset()
    encodeAnswer(out, result, command.whole === true)
    const answer = out.copy()
    if (out.buffer.length > WRITER_BYTES_KEPT) this.#writer = new ByteWriter(1024)
    return answer
  }

  merge(answers: readonly ReadResult[], command: ReadCommand): Merged {
    return mergeAnswers(
      answers,
      command,
      this.#environment.replica.resolution(command.table),
      this.#ids.bytes(command.table),
    )
  }

  /** Gives a replica what it lacks; false: it is not known to have it. Rejects with a ReplicaFailure when the read went by a ring that is past. */
  async repair(
    replica: ReadReplica,
    mutations: readonly Buffer[],
    writtenAt: number,
    timeoutMs: number,
  ): Promise<boolean> {
    if (mutations.some((mutation) => this.#repairs.mayRepair?.(mutation, writtenAt) === false)) return true
    if (!replica.isSelf) {
      const outcomes = mutations.map((mutation) => this.#repairThere(replica.endpoint, mutation, writtenAt, timeoutMs))
      return (await Promise.all(outcomes)).every((isDone) => isDone)
    }
    try {
      // Each in a record of its own: all of them may be more than one record of the commit log takes.
      const epoch = this.#environment.epoch()
      await Promise.all(mutations.map((mutation) => this.#repairs.apply([mutation], writtenAt, epoch)))
      return true
    } catch (cause) {
      if (!isReplicaFailure(cause)) throw cause
      if (!(cause instanceof ReplicaFailure)) this.report(cause)
      return false
    }
  }

  #repairThere(to: Endpoint, mutation: Buffer, writtenAt: number, timeoutMs: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#environment.messenger.request(to, Verb.READ_REPAIR, encodeRepair(mutation, writtenAt), timeoutMs, {
        replied: () => resolve(true),
        failed: (_from, reason) => {
          if (reason === FailureReason.COORDINATOR_BEHIND) reject(behind())
          else resolve(false)
        },
      })
    })
  }
}

/** A read that met more tombstones than it may has not seen all there is. */
export function checkTombstones(command: ReadCommand, { tombstones }: ReadResult): void {
  if (command.tombstonesMax === undefined || tombstones <= command.tombstonesMax) return
  throw new ReplicaFailure(
    'READ_TOO_MANY_TOMBSTONES',
    FailureReason.READ_TOO_MANY_TOMBSTONES,
    `${tombstones} tombstones were read past`,
  )
}
