/**
 * Counter updates in a cluster: one replica, the leader, turns the deltas into its shard and sends that to the others.
 * Source: Cassandra's StorageProxy.mutateCounter and applyCounterMutationOnLeader. This node leads where it is a replica; else one of its data
 * centre that is alive, or of any.
 * Always: a delta is counted once at most. When it is not known whether a leader counted it, the client is told WRITE_TIMEOUT, and nobody tries again.
 *
 * COUNTER := level u16 | mutation*        Its answer := 0 | 1, code u16, two numbers u16 (what the code calls them), failures
 * failures := count u8, (address: length u8, bytes | reason u16)*
 */
import { ByteReader, ByteWriter } from '../../lib/base/bytes.ts'
import { ErrorCode, type ErrorCodeName, FailureReason, RequestError } from '../../lib/base/errors.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import type { Incoming, Messenger, Payload } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import type { CounterLeader } from './counter-leader.ts'
import type { CoordinatorEnvironment, ReplicaSide } from './environment.ts'
import { isReplicaFailure, reasonOf, unavailable, writeFailure, writeTimeout } from './request-errors.ts'
import { putMutation, readMutations } from './write-messages.ts'
import type { WritePlan, WriteTarget } from './write-plan.ts'
import type { WritePlans } from './write-plans.ts'

const COUNTER = 'COUNTER'

export interface CountersOptions {
  readonly environment: CoordinatorEnvironment
  readonly plans: WritePlans
  readonly leader: CounterLeader
  /** Sends what is durable here to the other replicas; resolves when the plan is met. */
  replicate(plan: WritePlan, mutation: Buffer): Promise<void> | undefined
}

export class Counters implements ReplicaSide {
  readonly #environment: CoordinatorEnvironment
  readonly #plans: WritePlans
  readonly #leader: CounterLeader
  readonly #replicate: CountersOptions['replicate']
  #turn = 0

  constructor({ environment, plans, leader, replicate }: CountersOptions) {
    this.#environment = environment
    this.#plans = plans
    this.#leader = leader
    this.#replicate = replicate
  }

  register(messenger: Messenger): void {
    messenger.handle(Verb.COUNTER, (message) => this.#serve(message))
  }

  /** Each mutation is of one partition; their bytes are copied before the call returns. */
  async write(mutations: readonly Buffer[], level: number, keyspace: string): Promise<void> {
    const work = mutations.map((mutation) => {
      const plan = this.#plans.planOf(mutation, level, this.#plans.keyspaceOf(mutation) ?? keyspace)
      if (plan?.unavailable) throw refusal(plan)
      return { plan, mutation: Buffer.from(mutation) }
    })
    await Promise.all(work.map(({ plan, mutation }) => this.#count(plan, mutation, level)))
  }

  async #count(plan: WritePlan | null, mutation: Buffer, level: number): Promise<void> {
    if (plan === null || plan.self !== null) await this.#lead(plan, mutation)
    else await this.#askLeader(plan, mutation, level)
  }

  /** Counts here, and resolves when the level is met. */
  async #lead(plan: WritePlan | null, mutation: Buffer): Promise<void> {
    let counted: Buffer
    try {
      const { mutation: shards, durable } = await this.#leader.count(mutation)
      await durable
      counted = shards
    } catch (cause) {
      throw this.#ownFailure(plan, cause)
    }
    if (plan !== null) await this.#replicate(plan, counted)
  }

  #ownFailure(plan: WritePlan | null, cause: unknown): Error {
    if (cause instanceof RequestError || !isReplicaFailure(cause)) return cause as Error
    this.#environment.report(cause)
    const { endpoint } = this.#environment.self()
    const replies = { level: plan?.level ?? Consistency.ONE, received: 0, blockFor: plan?.blockFor ?? 1 }
    return writeFailure(replies, [{ endpoint, reason: reasonOf(cause) }], COUNTER)
  }

  /** One that was never reached has counted nothing: another may be asked. */
  async #askLeader(plan: WritePlan, mutation: Buffer, level: number): Promise<void> {
    const out = new ByteWriter(mutation.length + 8)
    out.uint16(level)
    putMutation(out, mutation)
    const leaders = this.#leaders(plan)
    for (const leader of leaders) {
      const answer = await this.#request(leader, out.view())
      if (typeof answer !== 'number') {
        readAnswer(answer, plan.level)
        return
      }
      if (answer === FailureReason.NODE_DOWN) continue
      const replies = { level: plan.level, received: 0, blockFor: plan.blockFor }
      if (answer === FailureReason.TIMEOUT) throw writeTimeout(replies, COUNTER)
      throw writeFailure(replies, [{ endpoint: leader.endpoint, reason: answer }], COUNTER)
    }
    throw unavailable(plan.level, plan.blockFor, 0)
  }

  /** Best first: those of this data centre, in turn. */
  #leaders({ targets, direct }: WritePlan): WriteTarget[] {
    const { datacenter } = this.#environment.self()
    const known = this.#environment.nodes()
    const turn = this.#turn++
    const rotated = targets.map((_, i) => targets[(i + turn) % targets.length]!)
    const natural = rotated.filter(({ hostId }) => known.get(hostId)?.status !== 'joining')
    const isNear = (target: WriteTarget): boolean =>
      direct.includes(target) && known.get(target.hostId)?.datacenter === datacenter
    return [...natural.filter(isNear), ...natural.filter((target) => !isNear(target))]
  }

  #request({ endpoint }: WriteTarget, payload: Buffer): Promise<Buffer | number> {
    const { messenger, timeouts } = this.#environment
    return new Promise((resolve) => {
      messenger.request(endpoint, Verb.COUNTER, payload, timeouts.counterMs, {
        replied: (_from, answer) => resolve(Buffer.from(answer)),
        failed: (_from, reason) => resolve(reason),
      })
    })
  }

  async #serve({ payload, epoch }: Incoming): Promise<Payload> {
    const reader = new ByteReader(Buffer.from(payload))
    const level = reader.uint16()
    const { mutations } = readMutations(reader)
    const known = (mutation: Buffer): boolean => this.#plans.keyspaceOf(mutation) !== null
    if (!mutations.every(known) && epoch > this.#environment.epoch()) await this.#environment.catchUp(epoch)
    try {
      for (const mutation of mutations) {
        const keyspace = this.#plans.keyspaceOf(mutation)
        const plan = keyspace === null ? null : this.#plans.planOf(mutation, level, keyspace)
        if (plan === null || plan.self === null) throw notLed(level, this.#environment.self().endpoint)
        if (plan.unavailable) throw refusal(plan)
        await this.#lead(plan, mutation)
      }
      return OK
    } catch (error) {
      if (!(error instanceof RequestError)) throw error
      return encodeError(error)
    }
  }
}

const OK = Buffer.of(0)

/** The table is unknown here, or another holds the key: nothing was counted. */
function notLed(level: number, endpoint: string): RequestError {
  const errors = [{ endpoint, reason: FailureReason.INCOMPATIBLE_SCHEMA }]
  return writeFailure({ level, received: 0, blockFor: 1 }, errors, COUNTER)
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

/** Throws the error that a leader tells. */
function readAnswer(answer: Buffer, consistency: number): void {
  const reader = new ByteReader(answer)
  if (reader.uint8() === 0) return
  const code = reader.uint16()
  const first = reader.uint16()
  const second = reader.uint16()
  const failures: { address: Uint8Array; reason: number }[] = []
  for (let count = reader.uint8(); count > 0; count--)
    failures.push({ address: Buffer.from(reader.view(reader.uint8())), reason: reader.uint16() })
  const message = reader.utf8(reader.remaining())
  const name = (Object.keys(ErrorCode) as ErrorCodeName[]).find((each) => ErrorCode[each] === code) ?? 'SERVER_ERROR'
  const fields =
    name === 'UNAVAILABLE'
      ? { consistency, required: first, alive: second }
      : { consistency, received: first, blockFor: second, writeType: COUNTER, failures }
  throw new RequestError(name, message, fields)
}
