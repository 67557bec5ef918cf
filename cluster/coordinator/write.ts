/**
 * Writes of a node in a cluster: each mutation goes to all replicas of its token that are alive, those to be included; the client is told as soon
 * as its level's acknowledgements have come. Source: Cassandra's StorageProxy.mutate and mutateAtomically; the Dynamo paper for hints.
 * Always: what cannot be met is refused before anything is sent; the bytes that CQL made are those that every replica gets; a replica that did
 * not acknowledge in time, or was not there, has a hint.
 * In another data centre one replica gets the write and hands it on to the others there; they acknowledge to the coordinator themselves, so
 * that the one who hands on may die without delaying what it handed on.
 */
import type { Messenger } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import { BatchWrite } from './batch-write.ts'
import { catchUpPast, isPast, StillBehindError } from './behind.ts'
import type { Writes } from './coordinator.ts'
import { Deadlines } from './deadlines.ts'
import type { CoordinatorEnvironment } from './environment.ts'
import { endWrites, type RequestLatencies } from './latencies.ts'
import { type Leader, LedWrites, type LedWritesOptions } from './led-writes.ts'
import { type PastWrite, PendingWrite, type WriteShop } from './pending-write.ts'
import type { WriteType } from './replica.ts'
import { unavailable, writeTimeout } from './request-errors.ts'
import { readDone } from './write-messages.ts'
import type { WritePlan } from './write-plan.ts'
import type { WritePlans } from './write-plans.ts'

/** What makes a batch of several partitions atomic before it is written. */
export interface BatchGuard {
  /** Resolves when the batch is kept; what it gives is called when the batch has been written. Rejects with what the client is told. */
  keep(mutations: readonly Buffer[], consistency: number): Promise<() => void>
}

export interface WriteCoordinatorOptions {
  readonly environment: CoordinatorEnvironment
  readonly plans: WritePlans
  readonly latencies: RequestLatencies
  readonly batchlog: BatchGuard
  readonly counters: Leader
  readonly causal: Leader
  /** As the node's replica applies, but what was truncated since it began is not taken. */
  applyLate(mutations: readonly Buffer[], writtenAt: number): Promise<void> | undefined
}

/** Pending writes that are kept for use. */
const POOL_MAX = 4096

export class WriteCoordinator implements Writes {
  readonly #environment: CoordinatorEnvironment
  readonly #plans: WritePlans
  readonly #latencies: RequestLatencies
  readonly #batchlog: BatchGuard
  readonly #counters: LedWrites
  readonly #causal: LedWrites
  readonly #deadlines: Deadlines
  readonly #shop: WriteShop
  readonly #pool: PendingWrite[] = []
  /** By the low half of their names. */
  readonly #named = new Map<number, PendingWrite>()
  /** The high half of names: another after each start, so that nothing that was meant for one before is taken for ours. */
  readonly #incarnation: number
  #names = 0

  constructor({ environment, plans, latencies, batchlog, counters, causal, applyLate }: WriteCoordinatorOptions) {
    this.#environment = environment
    this.#plans = plans
    this.#latencies = latencies
    this.#batchlog = batchlog
    const replicate: LedWritesOptions['replicate'] = (...led) => this.#replicate(...led)
    this.#counters = new LedWrites({
      environment,
      plans,
      leader: counters,
      kind: 'COUNTER',
      verb: Verb.COUNTER,
      timeoutMs: environment.timeouts.counterMs,
      mayStandIn: false,
      replicate,
    })
    this.#causal = new LedWrites({
      environment,
      plans,
      leader: causal,
      kind: 'SIMPLE',
      verb: Verb.CAUSAL,
      timeoutMs: environment.timeouts.writeMs,
      mayStandIn: true,
      replicate,
    })
    this.#deadlines = new Deadlines(environment.clock, environment.timeouts.writeMs)
    this.#incarnation = environment.random.fill(Buffer.alloc(4)).readUInt32BE(0)
    this.#shop = {
      environment,
      deadlines: this.#deadlines,
      applyLate,
      again: (past) => this.#again(past),
      name: (write) => this.#name(write),
      forget: (write) => this.#named.delete(write.writeId!.readUInt32BE(4)),
      release: (write) => {
        if (this.#pool.length < POOL_MAX) this.#pool.push(write)
      },
    }
  }

  /** What is under way is left to itself. */
  [Symbol.dispose](): void {
    this.#deadlines.close()
  }

  register(messenger: Messenger): void {
    this.#counters.register(messenger)
    this.#causal.register(messenger)
    messenger.handle(Verb.MUTATION_DONE, ({ payload, from, epoch }) => {
      const { incarnation, name, reason } = readDone(payload)
      if (incarnation === this.#incarnation) this.#named.get(name)?.forwardedDone(from.endpoint, reason, epoch)
      return undefined
    })
  }

  #name(write: PendingWrite): Buffer {
    do this.#names = (this.#names + 1) >>> 0
    while (this.#named.has(this.#names))
    const name = Buffer.allocUnsafe(8)
    name.writeUInt32BE(this.#incarnation, 0)
    name.writeUInt32BE(this.#names, 4)
    this.#named.set(this.#names, write)
    return name
  }

  write(
    mutations: readonly Buffer[],
    kind: WriteType,
    consistency: number,
    keyspace: string,
    warnings?: string[],
  ): Promise<void> | undefined {
    const timed = this.#latencies.beginWrites(mutations)
    if (timed === null) return this.#write(mutations, kind, consistency, keyspace, warnings)
    const began = this.#environment.clock.monotonicMs()
    const done = this.#write(mutations, kind, consistency, keyspace, warnings)
    const end = (): void => endWrites(timed, this.#environment.clock.monotonicMs() - began)
    if (done === undefined) end()
    else done.then(end, () => {})
    return done
  }

  /** What this node's replica has, for good when `durable` resolves: to the others. */
  #replicate(
    plan: WritePlan,
    mutation: Buffer,
    kind: WriteType,
    durable: Promise<void> | undefined,
  ): Promise<void> | undefined {
    return this.#pending().begin(plan, [mutation], kind, { durable })
  }

  #pending(): PendingWrite {
    return this.#pool.pop() ?? new PendingWrite(this.#shop)
  }

  /** What was refused because the ring has changed since it was planned; what became of the first try does not matter. */
  async #again({ mutations, plan: past, kind, writtenAt, deadlineMs }: PastWrite): Promise<void> {
    const { clock } = this.#environment
    const { level } = past
    if (!(await catchUpPast(this.#environment, past.epoch, deadlineMs - clock.monotonicMs())))
      throw new StillBehindError()
    const plans: WritePlan[] = []
    for (const mutation of mutations) {
      const keyspace = this.#plans.keyspaceOf(mutation)
      const plan = keyspace === null ? null : this.#plans.planOfWrite(mutation, level, keyspace)
      // The table is gone; or some of the former replicas may have it, which is not to be told as UNAVAILABLE.
      if (plan === null || (plan.unavailable !== null && !plan.hintCounts))
        throw writeTimeout({ level, received: 0, blockFor: plan?.blockFor ?? 1 }, kind)
      plans.push(plan)
    }
    const first = plans[0]!
    if (!plans.every((plan) => plan === first)) {
      await new BatchWrite(this.#shop, plans, mutations, kind, writtenAt).begin()
      return
    }
    const durable = first.self === null ? undefined : this.#applyLate(mutations, writtenAt)
    await this.#pending().begin(first, mutations, kind, { durable }, writtenAt)
  }

  async #applyLate(mutations: readonly Buffer[], writtenAt: number): Promise<void> {
    await this.#shop.applyLate(mutations, writtenAt)
  }

  #write(
    mutations: readonly Buffer[],
    kind: WriteType,
    consistency: number,
    keyspace: string,
    warnings?: string[],
  ): Promise<void> | undefined {
    if (kind === 'COUNTER') return this.#counters.write(mutations, consistency, keyspace, warnings)
    if (kind === 'CAUSAL') return this.#causal.write(mutations, consistency, keyspace, warnings)
    const first = this.#plans.planOfWrite(mutations[0]!, consistency, keyspace)
    if (mutations.length === 1) return this.#writeTo(first, mutations, kind)
    const plans: (WritePlan | null)[] = [first]
    let isOne = true
    for (let i = 1; i < mutations.length; i++) {
      const mutation = mutations[i]!
      const plan = this.#plans.planOfWrite(mutation, consistency, this.#plans.keyspaceOf(mutation) ?? keyspace)
      plans.push(plan)
      if (plan !== first) isOne = false
    }
    if (isOne && kind !== 'BATCH') return this.#writeTo(first, mutations, kind)
    // In a batch of several partitions nobody stands in.
    plans.forEach((plan, i) => {
      if (plan === null || plan.standIns.length === 0) return
      const mutation = mutations[i]!
      plans[i] = this.#plans.planOf(mutation, consistency, this.#plans.keyspaceOf(mutation) ?? keyspace)
    })
    return this.#writeBatch(plans, mutations, kind, consistency)
  }

  #writeTo(plan: WritePlan | null, mutations: readonly Buffer[], kind: WriteType): Promise<void> | undefined {
    if (plan === null) return this.#environment.replica.apply(mutations)
    this.#check(plan)
    return this.#pending().begin(plan, mutations, kind)
  }

  /** Refuses what cannot be met. */
  #check({ unavailable: shortage, hintCounts, level, targets, dead }: WritePlan): void {
    if (shortage === null) return
    if (hintCounts) {
      if (targets.length > 0) return
      const { hints } = this.#environment
      if (dead.some((hostId) => hints.mayStore(hostId))) return
    }
    throw unavailable(level, shortage.required, shortage.alive, shortage.datacenter)
  }

  async #writeBatch(
    plans: readonly (WritePlan | null)[],
    mutations: readonly Buffer[],
    kind: WriteType,
    consistency: number,
  ): Promise<void> {
    // The caller takes its bytes back when this call returns.
    const own = mutations.map((mutation) => Buffer.from(mutation))
    for (const plan of plans) if (plan !== null) this.#check(plan)
    const placed: WritePlan[] = []
    const replicated: Buffer[] = []
    const local: Buffer[] = []
    plans.forEach((plan, i) => {
      if (plan === null) local.push(own[i]!)
      else {
        placed.push(plan)
        replicated.push(own[i]!)
      }
    })
    const forget = kind === 'BATCH' && placed.length > 1 ? await this.#batchlog.keep(replicated, consistency) : null
    if (local.length > 0) await this.#environment.replica.apply(local)
    if (placed.length > 0) await this.#writeParts(placed, replicated, kind)
    forget?.()
  }

  /** The ring may have changed while the batch was being kept. */
  #writeParts(plans: readonly WritePlan[], mutations: readonly Buffer[], kind: WriteType): Promise<void> {
    const plan = plans[0]!
    if (!isPast(this.#environment, plan.epoch)) return new BatchWrite(this.#shop, plans, mutations, kind).begin()
    const { clock, timeouts } = this.#environment
    const deadlineMs = clock.monotonicMs() + timeouts.writeMs
    const writtenAt = this.#environment.timestampMicros()
    return this.#again({ mutations, plan, kind, writtenAt, deadlineMs })
  }
}
