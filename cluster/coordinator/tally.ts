/**
 * Counts what replicas say of one write, by the plan that it follows. No clock, no socket: whoever feeds it acts on what it says.
 * Source: Cassandra's AbstractWriteResponseHandler and its subclasses for data centres.
 * Always: `met` and `lost` are said once at most, and never both.
 */
import { FailureReason, type RequestError } from '../../lib/base/errors.ts'
import type { Endpoint } from '../internode/messenger.ts'
import { type ReplicaError, writeFailure, writeTimeout } from './request-errors.ts'
import type { WritePlan } from './write-plan.ts'

export type Verdict = 'waiting' | 'met' | 'lost'

const NO_ERRORS: readonly ReplicaError[] = []

export class Tally {
  #plan: WritePlan | null = null
  #acks: number[] = []
  #failed: number[] = []
  /** Acknowledgements that are needed and have not come. */
  #missing = 0
  #isOver = false
  #errors: ReplicaError[] | null = null

  begin(plan: WritePlan): this {
    this.#plan = plan
    const groups = plan.needs.length
    for (let group = 0; group < groups; group++) {
      this.#acks[group] = 0
      this.#failed[group] = 0
    }
    this.#missing = plan.blockFor
    this.#isOver = false
    this.#errors = null
    return this
  }

  /** -1: it counts for nothing. */
  ack(group: number): Verdict {
    if (group < 0) return 'waiting'
    const acks = ++this.#acks[group]!
    if (acks > this.#plan!.needs[group]! || --this.#missing > 0 || this.#isOver) return 'waiting'
    this.#isOver = true
    return 'met'
  }

  fail(group: number, endpoint: Endpoint, reason: number): Verdict {
    if (group < 0) return 'waiting'
    if (this.#errors === null) this.#errors = [{ endpoint, reason }]
    else this.#errors.push({ endpoint, reason })
    const { live, needs, hintCounts } = this.#plan!
    const failed = ++this.#failed[group]!
    if (hintCounts || this.#isOver || live[group]! - failed >= needs[group]!) return 'waiting'
    this.#isOver = true
    return 'lost'
  }

  /** Nobody is waited for any longer. */
  end(): void {
    this.#isOver = true
  }

  get hintCounts(): boolean {
    return this.#plan!.hintCounts
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Why it was not met, for the client. Silence alone is a timeout: the write may be everywhere. */
  error(writeType: string): RequestError {
    const { level, blockFor, needs } = this.#plan!
    let received = 0
    for (let group = 0; group < needs.length; group++) received += this.#acks[group]!
    const errors = this.#errors ?? NO_ERRORS
    const replies = { level, received, blockFor }
    const isSilence = this.#missing > 0 && errors.every(({ reason }) => reason === FailureReason.TIMEOUT)
    return isSilence ? writeTimeout(replies, writeType) : writeFailure(replies, errors, writeType)
  }

  /** The time is up: what is missing was not heard of. */
  timeout(writeType: string): RequestError {
    const { level, blockFor, needs } = this.#plan!
    let received = 0
    for (let group = 0; group < needs.length; group++) received += this.#acks[group]!
    return writeTimeout({ level, received, blockFor }, writeType)
  }
}
