/** All of a node that has to do with writes in a cluster, put together. */
import { uuidBytes } from '../../lib/base/uuid.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import type { Messenger } from '../internode/messenger.ts'
import { ActorDots } from './actor-dots.ts'
import { BatchStore, type BatchTable } from './batch-store.ts'
import { Batchlog } from './batchlog.ts'
import { CausalLeader } from './causal-leader.ts'
import type { Reads } from './coordinator.ts'
import { CounterLeader } from './counter-leader.ts'
import { deliver } from './deliver.ts'
import type { CoordinatorEnvironment, ReplicaSide } from './environment.ts'
import type { RequestLatencies } from './latencies.ts'
import { ReplicaWrites } from './replica-writes.ts'
import { Truncation } from './truncation.ts'
import { TruncationMarks } from './truncation-marks.ts'
import { WriteCoordinator } from './write.ts'
import { WritePlans } from './write-plans.ts'

export interface WriteSideOptions {
  readonly environment: CoordinatorEnvironment
  readonly latencies: RequestLatencies
  /** Where batches of other coordinators are kept. */
  readonly batches: BatchTable
  /** When tables were truncated, as storage remembers it: by table id, ms since 1970. */
  readonly truncations: Iterable<readonly [table: string, atMs: number]>
  /** Reads of this node's coordinator; absent: there are no other replicas. */
  readonly read?: Reads['read']
}

const NO_CAUSAL_TABLE = { name: 'an unknown table', maxSiblings: Number.POSITIVE_INFINITY }

export class WriteSide implements ReplicaSide {
  readonly writes: WriteCoordinator
  readonly truncations: Truncation
  /** What other nodes send is applied through it: mutations, hints, repairs. */
  readonly replica: ReplicaWrites
  readonly marks = new TruncationMarks()
  readonly batchlog: Batchlog
  readonly plans: WritePlans
  readonly #environment: CoordinatorEnvironment

  constructor({ environment, latencies, batches, truncations, read }: WriteSideOptions) {
    this.#environment = environment
    for (const [table, atMs] of truncations) {
      this.marks.set(table, atMs * 1000)
      environment.observe(atMs * 1000)
    }
    const { marks } = this
    const plans = new WritePlans(environment)
    this.plans = plans
    this.replica = new ReplicaWrites({ environment, plans, marks })
    this.batchlog = new Batchlog(environment, new BatchStore(batches))
    const nowSeconds = (): number => Math.floor(environment.clock.wallMicros() / 1e6)
    const counters = new CounterLeader({
      replica: environment.replica,
      shard: uuidBytes(environment.self().hostId),
      timestampMicros: () => environment.timestampMicros(),
      nowSeconds,
    })
    const causal = new CausalLeader({
      replica: environment.replica,
      dots: new ActorDots(
        environment.random.stream('dots'),
        () => environment.timestampMicros(),
        () => environment.replica.forgettings?.() ?? 0,
      ),
      table: (mutation) => environment.causalTable?.(mutation) ?? NO_CAUSAL_TABLE,
      counts: (mutation) => latencies.ofMutation(mutation).siblings,
      nowSeconds,
      ...(read && { gather: (command, mutation, level) => read(command, level, plans.keyspaceOf(mutation)!) }),
    })
    this.writes = new WriteCoordinator({
      environment,
      plans,
      latencies,
      batchlog: this.batchlog,
      counters,
      causal,
      applyLate: (mutations, writtenAt) => this.replica.apply(mutations, writtenAt, environment.epoch()),
    })
    this.truncations = new Truncation(environment, marks)
  }

  register(messenger: Messenger): void {
    for (const part of [this.writes, this.replica, this.batchlog, this.truncations]) part.register(messenger)
  }

  /** Reads the batches that were kept when the node stopped. */
  async start(): Promise<void> {
    await this.batchlog.start((mutations, writtenAt) => this.deliver(mutations, writtenAt))
  }

  /**
   * What others kept for this node while it was away. What it no longer holds goes to those who do. As ReplicaWrites' apply. Source: Cassandra's
   * HintVerbHandler.
   */
  takeHinted(mutations: readonly Buffer[], writtenAt: number, epoch: number): Promise<void> | undefined {
    const isKnown = epoch <= this.#environment.epoch()
    if (isKnown && mutations.every((mutation) => this.#isHeld(mutation)))
      return this.replica.apply(mutations, writtenAt, epoch)
    return this.#takeElsewhere(
      mutations.map((mutation) => Buffer.from(mutation)),
      writtenAt,
      epoch,
    )
  }

  async #takeElsewhere(mutations: readonly Buffer[], writtenAt: number, epoch: number): Promise<void> {
    if (epoch > this.#environment.epoch()) await this.#environment.catchUp(epoch)
    const held = mutations.filter((mutation) => this.#isHeld(mutation))
    const moved = mutations.filter((mutation) => !held.includes(mutation))
    if (moved.length > 0) await this.deliver(moved, writtenAt)
    if (held.length > 0) await this.replica.apply(held, writtenAt, epoch)
  }

  /** Tables that are unknown here are for who applies them to find out about. */
  #isHeld(mutation: Buffer): boolean {
    const keyspace = this.plans.keyspaceOf(mutation)
    const plan = keyspace === null ? null : this.plans.planOf(mutation, Consistency.ONE, keyspace)
    return plan === null || plan.self !== null
  }

  /** To all replicas, or hints for them. */
  deliver(mutations: readonly Buffer[], writtenAt: number): Promise<void> {
    return deliver({ environment: this.#environment, plans: this.plans, replica: this.replica }, mutations, writtenAt)
  }

  async close(): Promise<void> {
    await this.batchlog.close()
    this.writes[Symbol.dispose]()
    this.plans[Symbol.dispose]()
  }
}
