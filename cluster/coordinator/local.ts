/**
 * The coordinator of a cluster of one: every replica there can be is this node. Levels are checked as they will be with many: what cannot
 * be met is refused before anything is written or read.
 */
import { ReplicaFailure, RequestError } from '../../lib/base/errors.ts'
import { SerialLocks } from '../../lib/base/serial-locks.ts'
import type { Clock } from '../../lib/runtime/runtime.ts'
import { Consistency, consistencyName } from '../../lib/types/consistency.ts'
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import type { CasRequest, CasScene } from './cas.ts'
import { CausalLeader, type CausalLeaderOptions } from './causal-leader.ts'
import { CounterLeader, type CounterLeaderOptions } from './counter-leader.ts'
import { endWrites, RequestLatencies } from './latencies.ts'
import type { Leader } from './led-writes.ts'
import { type Replication, requirement } from './levels.ts'
import type { Replica, WriteType } from './replica.ts'
import { isReplicaFailure, unavailable } from './request-errors.ts'

export interface LocalCoordinatorOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly replica: Replica
  readonly datacenter: string
  /** 4 or 16 bytes: named in failures. */
  readonly address: Uint8Array
  /** Null: no such keyspace. Asked once per keyspace and epoch. */
  replication(keyspace: string): Replication | null
  /** Told of what the replica could not do; the client learns only that it failed. */
  report(cause: Error): void
  readonly counters: Omit<CounterLeaderOptions, 'replica'>
  readonly causal: Omit<CausalLeaderOptions, 'replica' | 'counts'>
  /** Changes whenever a keyspace's replication may have changed. */
  epoch(): number
}

/** Reason codes of READ_FAILURE and WRITE_FAILURE, native_protocol_v5.spec §9. */
const REASON_UNKNOWN = 0x0000

/** The level's answer for a keyspace: null when it can be met. */
type Verdict =
  | { readonly error: RequestError; readonly required: number }
  | { readonly error: null; readonly required: number }

/** As clients know it. */
function told(kind: WriteType): string {
  return kind === 'CAUSAL' ? 'SIMPLE' : kind
}

export class LocalCoordinator {
  readonly #options: LocalCoordinatorOptions
  readonly latencies = new RequestLatencies()
  #epoch = -1
  /** Verdicts by keyspace, one slot a level. */
  readonly #verdicts = new Map<string, (Verdict | undefined)[]>()
  readonly #serial = new SerialLocks()
  readonly #counters: CounterLeader
  readonly #causal: CausalLeader

  constructor(options: LocalCoordinatorOptions) {
    this.#options = options
    this.#counters = new CounterLeader({ ...options.counters, replica: options.replica })
    this.#causal = new CausalLeader({
      ...options.causal,
      replica: options.replica,
      counts: (mutation) => this.latencies.ofMutation(mutation).siblings,
    })
  }

  write(
    mutations: readonly Buffer[],
    kind: WriteType,
    consistency: number,
    keyspace: string,
    warnings?: string[],
  ): Promise<void> | undefined {
    const verdict = this.#verdict(consistency, keyspace)
    if (verdict.error && consistency !== Consistency.ANY) throw verdict.error
    const timed = this.latencies.beginWrites(mutations)
    const began = timed === null ? 0 : this.#options.clock.monotonicMs()
    try {
      const done =
        kind === 'CAUSAL'
          ? this.#lead(this.#causal, mutations, warnings)
          : kind === 'COUNTER'
            ? this.#lead(this.#counters, mutations, warnings)
            : this.#options.replica.apply(mutations)
      if (timed !== null) {
        const end = (): void => endWrites(timed, this.#options.clock.monotonicMs() - began)
        if (done) done.then(end, () => {})
        else end()
      }
      return done?.catch((cause: unknown) => {
        throw this.#writeFailure(cause, told(kind), consistency, verdict.required)
      })
    } catch (cause) {
      throw this.#writeFailure(cause, told(kind), consistency, verdict.required)
    }
  }

  /** All are copied before the call returns. */
  #lead(leader: Leader, mutations: readonly Buffer[], warnings: string[] | undefined): Promise<void> | undefined {
    if (mutations.length > 1) return this.#leadAll(leader, mutations, warnings)
    const led = leader.lead(mutations[0]!)
    if (led instanceof Promise)
      return led.then(({ durable, warnings: said }) => {
        if (said !== null) warnings?.push(...said)
        return durable
      })
    if (led.warnings !== null) warnings?.push(...led.warnings)
    return led.durable
  }

  /** All are waited for: what one of them is refused for does not undo the others. */
  async #leadAll(leader: Leader, mutations: readonly Buffer[], warnings: string[] | undefined): Promise<void> {
    const done = await Promise.allSettled(mutations.map(async (mutation) => this.#lead(leader, [mutation], warnings)))
    for (const outcome of done) if (outcome.status === 'rejected') throw outcome.reason
  }

  read(command: ReadCommand, consistency: number, keyspace: string): ReadResult | Promise<ReadResult> {
    const verdict = this.#verdict(consistency, keyspace)
    if (verdict.error) throw verdict.error
    const { clock, replica } = this.#options
    const latencies = this.latencies.of(command.table)
    const latency = command.target.kind === 'partition' ? latencies.reads : latencies.scans
    const isTimed = latency.begins()
    const began = isTimed ? clock.monotonicMs() : 0
    try {
      const result = replica.read(command)
      if (!(result instanceof Promise)) {
        if (isTimed) latency.sampled(clock.monotonicMs() - began)
        return result
      }
      const waits = isTimed ? began : clock.monotonicMs()
      return result.then(
        (given) => {
          latency.single(clock.monotonicMs() - waits)
          return given
        },
        (cause: unknown) => {
          throw this.#readFailure(cause, consistency, verdict.required)
        },
      )
    } catch (cause) {
      throw this.#readFailure(cause, consistency, verdict.required)
    }
  }

  /** One after another for each partition: every replica there is takes part in that order, so there is nothing to agree about. */
  async cas(request: CasRequest): Promise<boolean> {
    const { table, keyspace, position, serial } = request
    const scene: CasScene = { timestamp: null, read: (command) => this.read(command, serial, keyspace) }
    return await this.#serial.run(`${table}/${position.toString('latin1')}`, async () => {
      const found = this.read(request.read, serial, keyspace)
      const decided = request.decide(found instanceof Promise ? await found : found, scene)
      const mutations = decided instanceof Promise ? await decided : decided
      if (mutations === null) return false
      if (mutations.length > 0) await this.write(mutations, 'CAS', request.commit, keyspace)
      return true
    })
  }

  async truncate(table: string): Promise<void> {
    try {
      await this.#options.replica.truncate(table)
    } catch (cause) {
      if (!isReplicaFailure(cause)) throw cause
      this.#options.report(cause)
      throw Object.assign(new RequestError('TRUNCATE_ERROR', 'Error during truncate: Truncate failed on this node'), {
        cause,
      })
    }
  }

  #verdict(consistency: number, keyspace: string): Verdict {
    const epoch = this.#options.epoch()
    if (epoch !== this.#epoch) {
      this.#verdicts.clear()
      this.#epoch = epoch
    }
    let levels = this.#verdicts.get(keyspace)
    if (!levels) {
      levels = []
      this.#verdicts.set(keyspace, levels)
    }
    let verdict = levels[consistency]
    if (!verdict) {
      verdict = this.#judge(consistency, keyspace)
      levels[consistency] = verdict
    }
    return verdict
  }

  #judge(consistency: number, keyspace: string): Verdict {
    const replication = this.#options.replication(keyspace)
    if (!replication) return { error: null, required: 1 }
    const { datacenter } = this.#options
    const { required, each } = requirement(consistency, replication, datacenter)
    const here = replication.datacenters ? (replication.datacenters.get(datacenter) ?? 0) : replication.factor
    const alive = here > 0 ? 1 : 0
    for (const [name, quorum] of each ?? []) {
      const aliveThere = name === datacenter ? alive : 0
      if (aliveThere < quorum) return { error: unavailable(consistency, quorum, aliveThere, name), required }
    }
    if (alive < required) return { error: unavailable(consistency, required, alive), required }
    return { error: null, required }
  }

  #writeFailure(cause: unknown, writeType: string, consistency: number, blockFor: number): Error {
    return this.#failure('WRITE_FAILURE', cause, { consistency, blockFor, writeType })
  }

  #readFailure(cause: unknown, consistency: number, blockFor: number): Error {
    return this.#failure('READ_FAILURE', cause, { consistency, blockFor, dataPresent: false })
  }

  /** What a replica's own error becomes for the client; errors that are meant for the client pass. */
  #failure(
    code: 'READ_FAILURE' | 'WRITE_FAILURE',
    cause: unknown,
    fields: { consistency: number; blockFor: number; writeType?: string; dataPresent?: boolean },
  ): Error {
    if (cause instanceof RequestError) return cause
    if (!isReplicaFailure(cause)) return cause as Error
    const known = cause instanceof ReplicaFailure ? cause : null
    if (known === null) this.#options.report(cause)
    const { address } = this.#options
    const name = consistencyName(fields.consistency) ?? 'ONE'
    return Object.assign(
      new RequestError(
        code,
        `Operation failed - received 0 responses and 1 failures: ${known?.reason ?? 'UNKNOWN'} from this node at ${name}`,
        {
          ...fields,
          received: 0,
          failures: [{ address, reason: known?.reasonCode ?? REASON_UNKNOWN }],
        },
      ),
      { cause },
    )
  }
}
