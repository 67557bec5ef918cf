/**
 * Reads of a cluster: which replicas are asked, how often, and how their answers become one. Source: Cassandra's StorageProxy.read and
 * RangeCommandIterator.
 * Always: UNAVAILABLE is said before anything is asked; what a node can answer alone it answers as if there were no other: at once, with no promise
 * where storage needs none. A result that was given at a quorum is never taken back by a later one.
 */

import { FailureReason, RequestError } from '../../lib/base/errors.ts'
import type { Latency } from '../../lib/base/latency.ts'
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import type { Messenger } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import { catchUpPast, inTime } from './behind.ts'
import type { CoordinatorEnvironment, ReplicaSide } from './environment.ts'
import type { ReadCounts, RequestLatencies } from './latencies.ts'
import { type Replication, requirement } from './levels.ts'
import { type Answered, PendingRead } from './pending-read.ts'
import { askPiece, type PieceAnswer } from './range-parts.ts'
import { ReadCollector } from './read-collector.ts'
import { readByIndexes } from './read-indexed.ts'
import type { RangePiece, ReadPlan, ReadReplica } from './read-plan.ts'
import { ReadPlans, type ReadRoute } from './read-plans.ts'
import { concurrencyAfter, RowDensity, rangePieces } from './read-ranges.ts'
import { ReadServices, type RepairSink } from './read-services.ts'
import { ReplicaReads } from './replica-reads.ts'
import { isReplicaFailure, readFailure, reasonOf, unavailable } from './request-errors.ts'
import { speculationDelay, TableSpeculation } from './speculation.ts'

/** What of a table's options concerns its reads. */
export interface ReadOptions {
  /** As lib/schema/speculation.ts keeps it. */
  readonly speculativeRetry: string
  /** BLOCKING or NONE. */
  readonly readRepair: string
}

export interface ReadCoordinatorOptions {
  readonly environment: CoordinatorEnvironment
  readonly latencies: RequestLatencies
  readonly repairs: RepairSink
  /** Null: unknown. Asked once per table and epoch. */
  table(id: string): ReadOptions | null
}

/** Of keyspaces whose data is the node's own. */
const OWN: Replication = { strategy: 'LocalStrategy', factor: 1, datacenters: null }

const DEFAULT_OPTIONS: ReadOptions = { speculativeRetry: '99p', readRepair: 'BLOCKING' }

/** A replica answers no more at once: what is longer is asked for in rounds. */
const ROUND_BYTES_MAX = 2 * 1024 * 1024
/** Each round is at least as large, however little is missing. */
const ROUND_BYTES_MIN = 64 * 1024
/** What one of many pieces that are asked for at once may have: all of them together no more than a few MiB. */
const SHARE_BYTES_MIN = 16 * 1024
/** A round that came short is followed by one that asks for twice as much, up to so many times. */
const GROWTH_MAX = 64
/** So often a read is begun anew because others have newer metadata: they are got as a whole, so once is the rule. */
const NEW_RINGS_MAX = 3

interface TableReads {
  readonly options: ReadOptions
  readonly speculation: TableSpeculation
  readonly density: RowDensity
}

export class ReadCoordinator implements ReplicaSide {
  readonly #options: ReadCoordinatorOptions
  readonly #services: ReadServices
  readonly #plans: ReadPlans
  readonly #replica: ReplicaReads
  readonly #tables = new Map<string, TableReads>()
  #epoch = -1

  constructor(options: ReadCoordinatorOptions) {
    const { environment, repairs } = options
    this.#options = options
    this.#services = new ReadServices(environment, repairs, options.latencies.counts)
    this.#plans = new ReadPlans(environment, this.#services.nearness)
    this.#replica = new ReplicaReads(environment, repairs)
  }

  register(messenger: Messenger): void {
    this.#replica.register(messenger)
  }

  get counts(): Readonly<ReadCounts> {
    return this.#services.counts
  }

  /** µs by which a node's replies are judged; 0: it was not asked lately. */
  scoreOf(endpoint: string): number {
    return this.#services.nearness.scoreOf(endpoint)
  }

  close(): void {
    this.#plans[Symbol.dispose]()
    for (const { speculation } of this.#tables.values()) speculation.close()
    this.#tables.clear()
  }

  read(command: ReadCommand, consistency: number, keyspace: string): ReadResult | Promise<ReadResult> {
    const reading = this.#start(command, consistency, keyspace)
    if (!(reading instanceof Promise)) return reading
    return this.#withCurrentRing(reading, command, consistency, keyspace)
  }

  #start(command: ReadCommand, consistency: number, keyspace: string): ReadResult | Promise<ReadResult> {
    const route = this.#plans.route(keyspace)
    if (route === null) return this.#readOwn(command, consistency)
    if (command.target.kind === 'range') return this.#readRange(command, consistency, route)
    const plan = this.#plans.planAt(route, command.target.position, consistency)
    if (plan.unavailable !== null) throw unavailableAt(consistency, plan.unavailable)
    if (plan.isLocal) return this.#readHere(command, consistency, plan)
    const gathered =
      command.index !== undefined && plan.blockFor > 1
        ? this.#readIndexed(command, consistency, route, [{ start: null, end: null, plan }])
        : this.#gather(command, plan)
    return this.#timed(this.#options.latencies.of(command.table).reads, consistency, gathered)
  }

  /** Of a keyspace whose data is the node's own: its one replica is here. */
  #readOwn(command: ReadCommand, consistency: number): ReadResult | Promise<ReadResult> {
    const { required } = requirement(consistency, OWN, this.#options.environment.self().datacenter)
    if (required > 1) throw unavailable(consistency, required, 1)
    return this.#readHere(command, consistency, null)
  }

  /** This node alone; others of the plan if it cannot. */
  #readHere(command: ReadCommand, consistency: number, plan: ReadPlan | null): ReadResult | Promise<ReadResult> {
    const { clock, replica } = this.#options.environment
    const latencies = this.#options.latencies.of(command.table)
    const latency = command.target.kind === 'partition' ? latencies.reads : latencies.scans
    const ofLevel = this.#options.latencies.readsAt(consistency)
    const isTimed = latency.begins()
    ofLevel.begins()
    const began = isTimed ? clock.monotonicMs() : 0
    try {
      const result = replica.read(command)
      if (!(result instanceof Promise)) {
        if (isTimed) {
          const ms = clock.monotonicMs() - began
          latency.sampled(ms)
          ofLevel.single(ms)
        }
        return result
      }
      const waits = isTimed ? began : clock.monotonicMs()
      return result.then(
        (given) => {
          const ms = clock.monotonicMs() - waits
          latency.single(ms)
          ofLevel.single(ms)
          return given
        },
        (cause: unknown) => this.#readElsewhere(cause, command, consistency, plan),
      )
    } catch (cause) {
      return this.#readElsewhere(cause, command, consistency, plan)
    }
  }

  /** This node cannot read what it should hold: a spare does, if there is one. Throws what is wrong if there is none. */
  #readElsewhere(
    cause: unknown,
    command: ReadCommand,
    consistency: number,
    plan: ReadPlan | null,
  ): Promise<ReadResult> {
    if (plan === null || plan.spares.length === 0 || !isReplicaFailure(cause)) throw this.#failure(cause, consistency)
    if (cause.name !== 'ReplicaFailure') this.#options.environment.report(cause)
    this.#services.counts.failovers++
    const [first, ...spares] = plan.spares
    return this.#gather(command, { ...plan, contacts: [first!], spares, isLocal: false })
  }

  #failure(cause: unknown, level: number): unknown {
    if (!isReplicaFailure(cause)) return cause
    const { environment } = this.#options
    if (cause.name !== 'ReplicaFailure') environment.report(cause)
    const errors = [{ endpoint: environment.self().endpoint, reason: reasonOf(cause) }]
    return Object.assign(readFailure({ level, received: 0, blockFor: 1 }, errors, false), { cause })
  }

  /**
   * Replicas that know of a newer ring refuse what was planned by the one before: who lags learns of it and asks by that, as long as there is time. Reading
   * twice changes nothing.
   */
  async #withCurrentRing(
    first: Promise<ReadResult>,
    command: ReadCommand,
    consistency: number,
    keyspace: string,
  ): Promise<ReadResult> {
    const { environment } = this.#options
    const { clock, timeouts } = environment
    const endMs = clock.monotonicMs() + (command.target.kind === 'range' ? timeouts.rangeMs : timeouts.readMs)
    let epoch = environment.epoch()
    let reading: ReadResult | Promise<ReadResult> = first
    for (let tries = 1; ; tries++)
      try {
        return await reading
      } catch (cause) {
        if (tries > NEW_RINGS_MAX || !isIncompatible(cause)) throw cause
        if (!(await catchUpPast(environment, epoch, endMs - clock.monotonicMs()))) throw cause
        const leftMs = endMs - clock.monotonicMs()
        if (leftMs <= 0) throw cause
        epoch = environment.epoch()
        reading = inTime(clock, leftMs, this.#start(command, consistency, keyspace), cause as Error)
      }
  }

  #timed(latency: Latency, level: number, reading: Promise<ReadResult>): Promise<ReadResult> {
    const { environment, latencies } = this.#options
    const { clock } = environment
    const ofLevel = latencies.readsAt(level)
    const began = clock.monotonicMs()
    latency.begins()
    ofLevel.begins()
    return reading.then((result) => {
      const ms = clock.monotonicMs() - began
      latency.single(ms)
      ofLevel.single(ms)
      return result
    })
  }

  /** Rounds over one partition, until the limits are reached or there is no more. */
  async #gather(command: ReadCommand, plan: ReadPlan): Promise<ReadResult> {
    const collector = new ReadCollector(command)
    for (let round = 0; ; round++) {
      const { result, next } = await this.#ask(command, collector, plan, round)
      collector.take(result, next)
      if (collector.isFull || collector.after === null) return collector.result(false)
      this.#services.counts.extraRounds++
    }
  }

  /** One round. */
  #ask(command: ReadCommand, collector: ReadCollector, plan: ReadPlan, round: number, atOnce = 1): Promise<Answered> {
    const { clock, timeouts } = this.#options.environment
    const isRange = command.target.kind === 'range'
    const { options, speculation } = this.#tableOf(command.table)
    const nowMs = clock.monotonicMs()
    this.#services.nearness.refresh(nowMs)
    const read = new PendingRead(
      this.#services,
      {
        command: roundOf(command, collector, plan.blockFor > 1, round, atOnce),
        plan,
        verb: isRange ? Verb.RANGE_READ : Verb.READ,
        timeoutMs: isRange ? timeouts.rangeMs : timeouts.readMs,
        blocksForRepair: options.readRepair !== 'NONE',
      },
      nowMs,
    )
    read.begin()
    if (!isRange && !read.isOver) {
      const delayMs = speculation.delayAt(nowMs)
      if (delayMs === 0) read.speculate()
      else if (plan.spares.length > 0 && delayMs < timeouts.readMs) speculation.add(read, nowMs, delayMs)
    }
    return read.promise
  }

  #tableOf(id: string): TableReads {
    const { environment, latencies } = this.#options
    const epoch = environment.epoch()
    if (epoch !== this.#epoch) {
      for (const { speculation } of this.#tables.values()) speculation.close()
      this.#tables.clear()
      this.#epoch = epoch
    }
    let table = this.#tables.get(id)
    if (table === undefined) {
      const options = this.#options.table(id) ?? DEFAULT_OPTIONS
      const { micros } = latencies.of(id).reads
      // Without samples: as Cassandra, half of the time that there is.
      const delay = (): number => speculationDelay(options.speculativeRetry, micros, environment.timeouts.readMs / 2)
      table = { options, speculation: new TableSpeculation(environment.clock, delay), density: new RowDensity() }
      this.#tables.set(id, table)
    }
    return table
  }

  #readRange(command: ReadCommand, consistency: number, route: ReadRoute): ReadResult | Promise<ReadResult> {
    const pieces = rangePieces(command, route, consistency, this.#plans)
    for (const { plan } of pieces) if (plan.unavailable !== null) throw unavailableAt(consistency, plan.unavailable)
    if (pieces.length === 0 || (pieces.length === 1 && pieces[0]!.plan.isLocal))
      return this.#readHere(command, consistency, pieces[0]?.plan ?? null)
    const latency = this.#options.latencies.of(command.table).scans
    if (command.index !== undefined && pieces.some(({ plan }) => plan.blockFor > 1))
      return this.#timed(latency, consistency, this.#readIndexed(command, consistency, route, pieces))
    return this.#timed(latency, consistency, this.#gatherPieces(command, pieces))
  }

  /** Pieces of a range in order, several at once as it shows how many hold what is wanted. */
  async #gatherPieces(command: ReadCommand, pieces: readonly RangePiece[]): Promise<ReadResult> {
    const collector = new ReadCollector(command)
    const { density } = this.#tableOf(command.table)
    let concurrency = density.concurrencyFor(pieces, command.limit)
    for (let at = 0; at < pieces.length; ) {
      const batch = pieces.slice(at, at + concurrency)
      const asked = batch.map((piece, i) =>
        // A command that goes on does so in the first piece.
        this.#askPiece(command, piece, i === 0 ? collector : collector.beyond(), 0, batch.length),
      )
      const answers = (await Promise.all(asked)).flat()
      for (let i = 0; i < answers.length; i++) {
        collector.take(answers[i]!.answer.result, answers[i]!.answer.next)
        for (let round = 1; collector.after !== null && !collector.isFull; round++) {
          this.#services.counts.extraRounds++
          const again = await this.#askPiece(command, answers[i]!.piece, collector, round)
          answers.splice(i, 1, ...again)
          const { result, next } = again[0]!.answer
          collector.take(result, next)
        }
        if (collector.isFull) {
          const read = answers.slice(0, i + 1).map(({ piece }) => piece)
          density.found([...pieces.slice(0, at), ...read], collector.rows)
          return collector.result(true)
        }
      }
      at += batch.length
      concurrency = concurrencyAfter(concurrency, at, collector.rows, command.limit)
    }
    density.found(pieces, collector.rows)
    return collector.result(false)
  }

  /** One round. Parts of a piece come with a limit of their own, as pieces do. */
  #askPiece(
    command: ReadCommand,
    piece: RangePiece,
    collector: ReadCollector,
    round: number,
    atOnce = 1,
  ): Promise<PieceAnswer<Answered>[]> {
    return askPiece(piece, collector.after?.position ?? null, ({ start, end, plan }, isFirst, among) => {
      const part = { ...command, target: { kind: 'range' as const, start, end } }
      return this.#ask(part, isFirst ? collector : collector.beyond(), plan, round, atOnce * among)
    })
  }

  #readIndexed(
    command: ReadCommand,
    consistency: number,
    route: ReadRoute,
    pieces: readonly RangePiece[],
  ): Promise<ReadResult> {
    return readByIndexes(command, {
      pieces,
      askEach: (part, plan) => this.#askEach(part, plan),
      read: (part) => this.#gather(part, this.#planOfPartition(part, route, consistency)),
    })
  }

  #planOfPartition({ target }: ReadCommand, route: ReadRoute, consistency: number): ReadPlan {
    const plan = this.#plans.planAt(route, (target as { readonly position: Buffer }).position, consistency)
    if (plan.unavailable !== null) throw unavailableAt(consistency, plan.unavailable)
    return plan
  }

  /** Plain answers of as many replicas as the level asks for, one by one. */
  async #askEach(command: ReadCommand, plan: ReadPlan): Promise<readonly ReadResult[]> {
    const { clock, timeouts } = this.#options.environment
    const isRange = command.target.kind === 'range'
    const nowMs = clock.monotonicMs()
    // Who is asked in the place of one that fails is not asked for another as well.
    const spares = [...plan.spares]
    const reads = plan.contacts.map((contact) => {
      const read = new PendingRead(
        this.#services,
        {
          command,
          plan: alone(contact, plan),
          spares,
          verb: isRange ? Verb.RANGE_READ : Verb.READ,
          timeoutMs: isRange ? timeouts.rangeMs : timeouts.readMs,
          blocksForRepair: false,
        },
        nowMs,
      )
      read.begin()
      return read.promise
    })
    const outcomes = await Promise.allSettled(reads)
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed === undefined)
      return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<Answered>).value.result)
    const received = outcomes.filter(({ status }) => status === 'fulfilled').length
    throw ofAll(failed.reason, received, plan.blockFor)
  }
}

/** One of a plan's replicas, to be asked by itself. */
function alone(contact: ReadReplica, plan: ReadPlan): ReadPlan {
  const needs = plan.needs.map((_, group) => (group === contact.group ? 1 : 0))
  return { ...plan, contacts: [contact], needs, blockFor: 1 }
}

/** What one could not answer, as the client of all is told. */
function ofAll(error: unknown, received: number, blockFor: number): unknown {
  if (error instanceof RequestError) Object.assign(error.fields, { received, blockFor, dataPresent: received > 0 })
  return error
}

function isIncompatible(cause: unknown): boolean {
  if (!(cause instanceof RequestError) || cause.code !== 'READ_FAILURE') return false
  return cause.fields.failures?.some(({ reason }) => reason === FailureReason.INCOMPATIBLE_SCHEMA) === true
}

function unavailableAt(level: number, { required, alive, datacenter }: NonNullable<ReadPlan['unavailable']>): Error {
  return unavailable(level, required, alive, datacenter)
}

/** What of a command is asked in a round, beside others: together they answer no more than one may. */
function roundOf(
  command: ReadCommand,
  collector: ReadCollector,
  whole: boolean,
  round: number,
  atOnce: number,
): ReadCommand {
  const growth = Math.min(2 ** round, GROWTH_MAX)
  const missingBytes = Math.max(command.byteLimit - collector.bytes, ROUND_BYTES_MIN)
  const limit = (command.limit - collector.rows) * growth
  const perPartitionLimit = command.perPartitionLimit * growth
  const byteLimit = Math.min(missingBytes, Math.max(Math.floor(ROUND_BYTES_MAX / atOnce), SHARE_BYTES_MIN))
  const { after } = collector
  if (!whole) return { ...command, limit, perPartitionLimit, byteLimit, after }
  const { table, target, slices, reversed, wantStatic, staticCounts, nowSeconds, tombstonesMax } = command
  const part = { table, target, slices, reversed, wantStatic, staticCounts, nowSeconds }
  const most = tombstonesMax ?? Number.POSITIVE_INFINITY
  return { ...part, limit, perPartitionLimit, byteLimit, after, tombstonesMax: most, whole: true }
}
