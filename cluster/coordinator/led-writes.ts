/**
 * Writes that one replica, the leader, turns into what the others get: changes of counters into its shard, writes of causal tables into versions with
 * dots. Source: Cassandra's StorageProxy.mutateCounter and applyCounterMutationOnLeader. This node leads where it is a replica; else one of its data
 * centre that is alive, or of any.
 * Always: a write is led once at most. When it is not known whether a leader did it, the client is told WRITE_TIMEOUT, and nobody tries again. A leader that
 * refuses because the ring has changed since has done nothing: one of the ring as it is now is asked. What was led is brought to the replicas of that ring.
 *
 * COUNTER, CAUSAL := level u16 | mutation*        The answer := 0, warnings | 1, code u16, two numbers u16 (what the code calls them), failures, message
 * warnings := (length u16, UTF-8)*                failures := count u8, (address: length u8, bytes | reason u16)*
 */
import { ByteReader, ByteWriter } from '../../lib/base/bytes.ts'
import { ErrorCode, type ErrorCodeName, FailureReason, RequestError } from '../../lib/base/errors.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import type { Incoming, Messenger, Payload } from '../internode/messenger.ts'
import { catchUpPast, isPast } from './behind.ts'
import type { CoordinatorEnvironment, ReplicaSide } from './environment.ts'
import type { WriteType } from './replica.ts'
import { isReplicaFailure, reasonOf, unavailable, writeFailure, writeTimeout } from './request-errors.ts'
import { putMutation, readLedMutations } from './write-messages.ts'
import type { WritePlan, WriteTarget } from './write-plan.ts'
import type { WritePlans } from './write-plans.ts'

/** What a leader made of a write. */
export interface Led {
  /** For all replicas; in memory of its own if there are others. This one has it. */
  readonly mutation: Buffer
  /** Resolves when it is durable here; undefined: it is. */
  readonly durable: Promise<void> | undefined
  /** For the client, beside the answer. */
  readonly warnings: readonly string[] | null
}

export interface Leader {
  /** What clients are told of what goes wrong. */
  readonly writeType: string
  /** Others get it only when it is durable here: what is lost here could be given another meaning. */
  readonly isFirst: boolean
  /** A mutation of one partition; its bytes are copied before the call returns. Throws and rejects with RequestErrors, and what storage throws. */
  lead(mutation: Buffer): Led | Promise<Led>
}

export interface LedWritesOptions {
  readonly environment: CoordinatorEnvironment
  readonly plans: WritePlans
  readonly leader: Leader
  readonly kind: WriteType
  readonly verb: number
  readonly timeoutMs: number
  /** Others may take it in place of replicas that are away, if the table lets them. */
  readonly mayStandIn: boolean
  /** Sends what this node's replica has, or will have when `durable` resolves, to the others; resolves when the plan is met. */
  replicate(
    plan: WritePlan,
    mutation: Buffer,
    kind: WriteType,
    durable: Promise<void> | undefined,
  ): Promise<void> | undefined
}

export class LedWrites implements ReplicaSide {
  readonly #options: LedWritesOptions
  #turn = 0

  constructor(options: LedWritesOptions) {
    this.#options = options
  }

  register(messenger: Messenger): void {
    messenger.handle(this.#options.verb, (message) => this.#serve(message))
  }

  /** Each mutation is of one partition; their bytes are copied before the call returns. `warnings` gets what the client is to be told. */
  write(
    mutations: readonly Buffer[],
    level: number,
    keyspace: string,
    warnings: string[] | undefined,
  ): Promise<void> | undefined {
    if (mutations.length === 1) {
      const mutation = mutations[0]!
      return this.#write(this.#planOf(mutation, level, keyspace), mutation, warnings)
    }
    const { plans } = this.#options
    const planned = mutations.map((mutation) => this.#planOf(mutation, level, plans.keyspaceOf(mutation) ?? keyspace))
    return this.#writeAll(planned, mutations, warnings)
  }

  async #writeAll(
    plans: readonly (WritePlan | null)[],
    mutations: readonly Buffer[],
    warnings: string[] | undefined,
  ): Promise<void> {
    // What one of them is refused for does not keep the others from being under way: all are waited for.
    const settled = await Promise.allSettled(
      mutations.map(async (mutation, i) => this.#write(plans[i]!, mutation, warnings)),
    )
    for (const outcome of settled) if (outcome.status === 'rejected') throw outcome.reason
  }

  /** Null: this node's own data. Throws when the level cannot be met. */
  #planOf(mutation: Buffer, level: number, keyspace: string): WritePlan | null {
    const { plans, mayStandIn } = this.#options
    const plan = mayStandIn ? plans.planOfWrite(mutation, level, keyspace) : plans.planOf(mutation, level, keyspace)
    if (plan?.unavailable) throw refusal(plan)
    return plan
  }

  #write(plan: WritePlan | null, mutation: Buffer, warnings: string[] | undefined): Promise<void> | undefined {
    if (plan === null || plan.self !== null) return this.#lead(plan, mutation, warnings)
    return this.#askLeader(plan, mutation, warnings)
  }

  /** Leads here; what is given resolves when the level is met. */
  #lead(plan: WritePlan | null, mutation: Buffer, warnings: string[] | undefined): Promise<void> | undefined {
    let led: Led | Promise<Led>
    try {
      led = this.#options.leader.lead(mutation)
    } catch (cause) {
      throw this.#ownFailure(plan, cause)
    }
    if (led instanceof Promise) return this.#replicateLater(plan, led, warnings)
    return this.#replicate(plan, led, warnings)
  }

  async #replicateLater(plan: WritePlan | null, leading: Promise<Led>, warnings: string[] | undefined): Promise<void> {
    let led: Led
    try {
      led = await leading
    } catch (cause) {
      throw this.#ownFailure(plan, cause)
    }
    await this.#replicate(plan, led, warnings)
  }

  #replicate(
    plan: WritePlan | null,
    { mutation, durable, warnings: said }: Led,
    warnings: string[] | undefined,
  ): Promise<void> | undefined {
    if (said !== null) warnings?.push(...said)
    const { leader } = this.#options
    if (plan !== null && (durable === undefined || !leader.isFirst)) return this.#bring(plan, mutation, durable)
    return durable?.then(
      () => (plan === null ? undefined : this.#bring(plan, mutation, undefined)),
      (cause: unknown) => {
        throw this.#ownFailure(plan, cause)
      },
    )
  }

  /** The ring may have changed while it was being led. */
  #bring(plan: WritePlan, mutation: Buffer, durable: Promise<void> | undefined): Promise<void> | undefined {
    const { environment, plans, kind, leader, replicate } = this.#options
    if (!isPast(environment, plan.epoch)) return replicate(plan, mutation, kind, durable)
    const { level, blockFor } = plan
    const keyspace = plans.keyspaceOf(mutation)
    const now = keyspace === null ? null : plans.planOf(mutation, level, keyspace)
    // It is led by now: that is not to be told as UNAVAILABLE.
    if (now === null || now.unavailable !== null) throw writeTimeout({ level, received: 0, blockFor }, leader.writeType)
    return replicate(now, mutation, kind, durable)
  }

  #ownFailure(plan: WritePlan | null, cause: unknown): Error {
    if (cause instanceof RequestError || !isReplicaFailure(cause)) return cause as Error
    const { environment, leader } = this.#options
    environment.report(cause)
    const { endpoint } = environment.self()
    const replies = { level: plan?.level ?? Consistency.ONE, received: 0, blockFor: plan?.blockFor ?? 1 }
    return writeFailure(replies, [{ endpoint, reason: reasonOf(cause) }], leader.writeType)
  }

  /** One that was never reached has done nothing: another may be asked. */
  #askLeader(plan: WritePlan, mutation: Buffer, warnings: string[] | undefined): Promise<void> {
    const out = new ByteWriter(mutation.length + 8)
    out.uint16(plan.level)
    putMutation(out, mutation)
    const { environment, timeoutMs } = this.#options
    return this.#askLeaders(plan, out.view(), environment.clock.monotonicMs() + timeoutMs, warnings)
  }

  /** `endMs`: of the clock that never goes back. */
  async #askLeaders(plan: WritePlan, request: Buffer, endMs: number, warnings: string[] | undefined): Promise<void> {
    const { environment, leader: kind } = this.#options
    const { writeType } = kind
    const { clock } = environment
    for (const leader of this.#leaders(plan)) {
      const answer = await this.#request(leader, request, Math.max(1, endMs - clock.monotonicMs()))
      if (typeof answer !== 'number') {
        readAnswer(answer, plan.level, writeType, warnings)
        return
      }
      if (answer === FailureReason.NODE_DOWN) continue
      if (
        answer === FailureReason.COORDINATOR_BEHIND &&
        (await catchUpPast(environment, plan.epoch, endMs - clock.monotonicMs()))
      ) {
        await this.#ledAnew(plan.level, request, endMs, warnings)
        return
      }
      const replies = { level: plan.level, received: 0, blockFor: plan.blockFor }
      if (answer === FailureReason.TIMEOUT) throw writeTimeout(replies, writeType)
      throw writeFailure(replies, [{ endpoint: leader.endpoint, reason: answer }], writeType)
    }
    throw unavailable(plan.level, plan.blockFor, 0)
  }

  /** By the ring as it is now: nobody has led it. */
  async #ledAnew(level: number, request: Buffer, endMs: number, warnings: string[] | undefined): Promise<void> {
    const { plans } = this.#options
    const [mutation] = readLedMutations(new ByteReader(request, LEVEL_BYTES))
    const keyspace = plans.keyspaceOf(mutation!)
    if (keyspace === null) throw this.#notLed(level)
    const plan = this.#planOf(mutation!, level, keyspace)
    if (plan !== null && plan.self === null) await this.#askLeaders(plan, request, endMs, warnings)
    else await this.#lead(plan, mutation!, warnings)
  }

  /** Best first: those of this data centre, in turn. */
  #leaders({ targets, direct }: WritePlan): WriteTarget[] {
    const { environment } = this.#options
    const { datacenter } = environment.self()
    const known = environment.nodes()
    const turn = this.#turn++
    const rotated = targets.map((_, i) => targets[(i + turn) % targets.length]!)
    // Those of another data centre would take a local level for one of theirs.
    const natural = rotated.filter(
      ({ hostId, group, standsFor }) => group >= 0 && standsFor === null && known.get(hostId)?.status !== 'joining',
    )
    const isNear = (target: WriteTarget): boolean =>
      direct.includes(target) && known.get(target.hostId)?.datacenter === datacenter
    return [...natural.filter(isNear), ...natural.filter((target) => !isNear(target))]
  }

  #request({ endpoint }: WriteTarget, payload: Buffer, timeoutMs: number): Promise<Buffer | number> {
    const { environment, verb } = this.#options
    return new Promise((resolve) => {
      environment.messenger.request(endpoint, verb, payload, timeoutMs, {
        replied: (_from, answer) => resolve(Buffer.from(answer)),
        failed: (_from, reason) => resolve(reason),
      })
    })
  }

  async #serve({ payload, epoch }: Incoming): Promise<Payload> {
    const { environment, plans } = this.#options
    const reader = new ByteReader(Buffer.from(payload))
    const level = reader.uint16()
    const mutations = readLedMutations(reader)
    // A leader that lags may not know of the table, nor that it holds the key by now.
    const isOwn = (mutation: Buffer): boolean => {
      const keyspace = plans.keyspaceOf(mutation)
      return keyspace !== null && plans.planOf(mutation, level, keyspace)?.self != null
    }
    if (epoch > environment.epoch() && !mutations.every(isOwn)) await environment.catchUp(epoch)
    const warnings: string[] = []
    try {
      for (const mutation of mutations) {
        const keyspace = plans.keyspaceOf(mutation)
        const plan = keyspace === null ? null : this.#planOf(mutation, level, keyspace)
        if (plan === null || plan.self === null) throw this.#notLed(level)
        await this.#lead(plan, mutation, warnings)
      }
      return warnings.length === 0 ? OK : encodeWarnings(warnings)
    } catch (error) {
      if (!(error instanceof RequestError)) throw error
      return encodeError(error)
    }
  }

  /** The table is unknown here, or another holds the key: nothing was done. */
  #notLed(level: number): RequestError {
    const { environment, leader } = this.#options
    const errors = [{ endpoint: environment.self().endpoint, reason: FailureReason.INCOMPATIBLE_SCHEMA }]
    return writeFailure({ level, received: 0, blockFor: 1 }, errors, leader.writeType)
  }
}

const OK = Buffer.of(0)
/** Before the mutations of a request. */
const LEVEL_BYTES = 2

function encodeWarnings(warnings: readonly string[]): Buffer {
  const out = new ByteWriter(256)
  out.uint8(0)
  for (const warning of warnings) {
    const text = Buffer.from(warning)
    out.uint16(text.length)
    out.bytes(text)
  }
  return out.copy()
}

function refusal({ level, unavailable: shortage }: WritePlan): RequestError {
  return unavailable(level, shortage!.required, shortage!.alive, shortage!.datacenter)
}

function encodeError({ code, message, fields }: RequestError): Buffer {
  const out = new ByteWriter(256)
  const failures = fields.failures ?? []
  out.uint8(1)
  out.uint16(ErrorCode[code])
  out.uint16(fields.received ?? fields.required ?? 0)
  out.uint16(fields.blockFor ?? fields.alive ?? 0)
  out.uint8(failures.length)
  for (const { address, reason } of failures) {
    out.uint8(address.length)
    out.bytes(address)
    out.uint16(reason)
  }
  out.utf8(message)
  return out.copy()
}

/** Throws the error that a leader tells; `warnings` gets what it says beside its answer. */
function readAnswer(answer: Buffer, consistency: number, writeType: string, warnings: string[] | undefined): void {
  const reader = new ByteReader(answer)
  if (reader.uint8() === 0) {
    while (reader.remaining() > 0) {
      const warning = reader.utf8(reader.uint16())
      warnings?.push(warning)
    }
    return
  }
  const code = reader.uint16()
  const first = reader.uint16()
  const second = reader.uint16()
  const failures: { address: Uint8Array; reason: number }[] = []
  for (let count = reader.uint8(); count > 0; count--)
    failures.push({ address: Buffer.from(reader.view(reader.uint8())), reason: reader.uint16() })
  const message = reader.utf8(reader.remaining())
  const name = (Object.keys(ErrorCode) as ErrorCodeName[]).find((each) => ErrorCode[each] === code) ?? 'SERVER_ERROR'
  if (name === 'INVALID') throw new RequestError(name, message)
  const fields =
    name === 'UNAVAILABLE'
      ? { consistency, required: first, alive: second }
      : { consistency, received: first, blockFor: second, writeType, failures }
  throw new RequestError(name, message, fields)
}
