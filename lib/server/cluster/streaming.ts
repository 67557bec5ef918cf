/**
 * This node as one that gives its data to others that join or take over from one that leaves, and as such a one itself: cluster/streaming, with the node's tables, ring and store.
 * It stands directly above the indexes: every mutation that the node applies comes by here, those of views too.
 */

import type { Liveness } from '../../../cluster/gossip/liveness.ts'
import type { Messenger } from '../../../cluster/internode/messenger.ts'
import { Placement } from '../../../cluster/ring/placement.ts'
import { leavingNode, type RingNode, type Topology } from '../../../cluster/ring/topology.ts'
import { Joiner } from '../../../cluster/streaming/joiner.ts'
import { Mirror, mayBeQuorum } from '../../../cluster/streaming/mirror.ts'
import { type Fetch, planJoin, planLeave, type StreamedKeyspaces } from '../../../cluster/streaming/plan.ts'
import { StreamSource } from '../../../cluster/streaming/source.ts'
import type { ReadCommand, ReadResult } from '../../../storage/model/command.ts'
import { FailureReason, ReplicaFailure } from '../../base/errors.ts'
import { uuidBytes } from '../../base/uuid.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { Schema } from '../../schema/keyspace.ts'
import type { MetadataLog } from '../metadata-log.ts'
import { streamedKeyspaces } from './streamed-keyspaces.ts'

const SOURCE = 'streaming.ts'

/** How long a node that starts waits until it has heard of all others, before it takes some for down. */
const HEAR_MS = 10_000
const HEAR_EVERY_MS = 50

/** Who is up and does not know after so long that this node has joined is cut off: who reads through it may read what is old. */
const KNOWN_MS = 30_000

/** The node's data with its indexes. */
export interface IndexedData {
  apply(mutations: readonly Buffer[]): Promise<void> | undefined
  read(command: ReadCommand): ReadResult | Promise<ReadResult>
  truncate(table: string, also: readonly string[], atMs?: number): Promise<void>
}

export interface NodeStreamingOptions {
  readonly runtime: Runtime
  readonly messenger: Messenger
  readonly metadata: MetadataLog
  readonly liveness: Liveness
  readonly data: IndexedData
  readonly store: {
    truncations(): ReadonlyMap<string, { readonly atMs: number }>
    flush(): Promise<void>
  }
  /** Bytes a second that this node fetches; 0: no limit. */
  readonly bytesPerSecond: number
}

export class NodeStreaming implements IndexedData, Disposable {
  readonly #options: NodeStreamingOptions
  readonly #source: StreamSource
  readonly #joiner: Joiner
  readonly #watching: Disposable
  /** From the fetching's end until everybody knows that this node has joined. */
  #mirror: Mirror | null = null
  /** Who held what when it fetched. */
  #former: FormerReplicas | null = null
  /** This node, since it has fetched what it will hold; and the epoch since which it counts. */
  #joining: string | null = null
  #joinedAt: number | null = null
  #closed = false
  /** This node has given its data away. */
  #hasLeft = false
  #keyspaces: { readonly schema: Schema; readonly byTable: ReadonlyMap<string, string> } | null = null

  constructor(options: NodeStreamingOptions) {
    const { runtime, messenger, metadata, liveness, data, store, bytesPerSecond } = options
    const report = (message: string) => runtime.log.info(SOURCE, message)
    this.#options = options
    this.#source = new StreamSource({
      messenger,
      data: {
        apply: (mutations) => data.apply(mutations),
        read: (command) => data.read(command),
        truncatedAtMs: (table) => store.truncations().get(table)?.atMs ?? 0,
      },
      keyspaceOf: (table) => this.#keyspaceOf(table),
      movementOf: (hostId) => this.#movementOf(hostId),
      epoch: () => metadata.state.epoch,
      catchUp: (epoch) => metadata.catchUp(epoch).catch(() => undefined),
      nowSeconds: () => this.#nowSeconds(),
      report,
    })
    this.#joiner = new Joiner({
      messenger,
      clock: runtime.clock,
      random: runtime.random,
      data,
      tablesOf: (keyspace) =>
        Array.from(metadata.current.keyspaces.get(keyspace)?.tables.values() ?? [], ({ id }) => id),
      isAlive: (hostId) => liveness.isAlive(hostId),
      bytesPerSecond: bytesPerSecond === 0 ? Number.POSITIVE_INFINITY : bytesPerSecond,
      report,
    })
    this.#watching = metadata.watch(({ topology, epoch }) => {
      this.#source.ringChanged()
      if (this.#joining !== null && this.#joinedAt === null && topology.nodes.get(this.#joining)?.status === 'normal')
        this.#joinedAt = epoch
    })
  }

  apply(mutations: readonly Buffer[]): Promise<void> | undefined {
    if (this.#hasLeft) throw goneError()
    if (this.#mirror === null) return this.#source.apply(mutations)
    const done = this.#source.apply(mutations)
    const mirrored = this.#mirror.send(mutations)
    return mirrored.length === 0 ? done : Promise.all([done, ...mirrored]).then(nothing)
  }

  read(command: ReadCommand): ReadResult | Promise<ReadResult> {
    if (this.#hasLeft) throw goneError()
    return this.#options.data.read(command)
  }

  truncate(table: string, also: readonly string[], atMs?: number): Promise<void> {
    const countsFromMs = atMs ?? Math.floor(this.#options.runtime.clock.wallMicros() / 1_000)
    for (const id of [table, ...also]) this.#joiner.truncated(id, countsFromMs)
    return this.#options.data.truncate(table, also, atMs)
  }

  /**
   * Drops what an earlier attempt to join, or an earlier life in this ring, left here: its deletions may have been forgotten elsewhere since. What was
   * written here as to a node that joins is at a quorum of the others, too.
   */
  async clear(): Promise<void> {
    const { metadata, data } = this.#options
    for (const { names } of streamedKeyspaces(metadata.current))
      for (const name of names)
        for (const { id } of metadata.current.keyspaces.get(name)!.tables.values())
          if (await this.#hasData(id)) await data.truncate(id, [])
  }

  /** All that this node will hold when it has joined. Throws StreamError. */
  async fetch(hostId: string): Promise<void> {
    const { messenger, metadata, liveness } = this.#options
    await this.#hearOfOthers(hostId)
    const keyspaces = streamedKeyspaces(metadata.current)
    const former = new FormerReplicas(metadata.state.topology, keyspaces)
    const plan = planJoin(metadata.state.topology, hostId, keyspaces, (other) => liveness.isAlive(other))
    if (plan.length === 0) return
    await this.#counted(plan, () => this.#joiner.fetch(plan))
    // Before anybody may count it as a replica.
    this.#mirror = new Mirror({
      messenger,
      fetched: plan,
      keyspaceOf: (table) => this.#keyspaceOf(table),
      isAlive: (other) => liveness.isAlive(other),
      former: (keyspace, position) => former.at(keyspace, position),
      knows: (other) => this.#joinedAt === null || metadata.reached(other) >= this.#joinedAt,
    })
    this.#former = former
    this.#joining = hostId
  }

  /** All that this node will hold when another has left, but for the sources' promise. Throws StreamError, also when it is not wanted any more. */
  async takeOver(leaving: string, hostId: string, isWanted: () => boolean): Promise<void> {
    const { metadata, liveness } = this.#options
    const { topology } = metadata.state
    if (!topology.nodes.has(leaving)) return
    const isAlive = (other: string) => liveness.isAlive(other)
    const plan = planLeave(topology, { leaving, hostId }, streamedKeyspaces(metadata.current), isAlive)
    if (plan.length > 0) await this.#counted(plan, () => this.#joiner.gather(plan, isWanted))
  }

  /** Whether what was taken over is complete, and its sources promise that it stays so; else it is to be taken over anew. Throws StreamError. */
  seal(): Promise<boolean> {
    return this.#joiner.seal()
  }

  /** The ring has changed: nothing comes from those who gave any more. */
  release(): void {
    this.#joiner.release()
  }

  /** From now on this node answers and acknowledges nothing: others have its place. */
  leave(): void {
    this.#hasLeft = true
  }

  async #counted(plan: readonly Fetch[], fetch: () => Promise<void>): Promise<void> {
    const { runtime, store } = this.#options
    const { counts } = this.#joiner
    const before = { ...counts }
    const startMs = runtime.clock.monotonicMs()
    await fetch()
    const mutations = counts.mutations - before.mutations
    // Of tables without durable writes the commit log has nothing.
    if (mutations > 0) await store.flush()
    const seconds = ((runtime.clock.monotonicMs() - startMs) / 1_000).toFixed(1)
    runtime.log.info(
      SOURCE,
      `Fetched ${mutations} mutations, ${counts.bytes - before.bytes} bytes, from ${plan.length} nodes in ${seconds} s (${counts.retries - before.retries} tries again)`,
    )
  }

  #movementOf(hostId: string): string | null {
    const { topology } = this.#options.metadata.state
    const status = topology.nodes.get(hostId)?.status
    if (status === 'joining') return 'join'
    return status === 'normal' ? (leavingNode(topology)?.hostId ?? null) : null
  }

  /** Gossip has just begun: who is not up yet may be in a moment. */
  async #hearOfOthers(hostId: string): Promise<void> {
    const { runtime, metadata, liveness } = this.#options
    const startMs = runtime.clock.monotonicMs()
    const others = [...metadata.state.topology.nodes.keys()].filter((other) => other !== hostId)
    while (!others.every((other) => liveness.isAlive(other)) && runtime.clock.monotonicMs() - startMs < HEAR_MS)
      await new Promise<void>((resolve) => {
        runtime.clock.after(HEAR_EVERY_MS, resolve)
      })
  }

  /** This node has joined: until all who are up know that, and no quorum can be without knowing it, those whose place it took get what it takes. */
  async joined(hostId: string): Promise<void> {
    const { runtime, metadata, liveness } = this.#options
    const { epoch, topology } = metadata.state
    const others = [...topology.nodes.keys()].filter((other) => other !== hostId)
    const startMs = runtime.clock.monotonicMs()
    const knows = (other: string) => metadata.reached(other) >= epoch
    const isKnown = () =>
      others.every((other) => !liveness.isAlive(other) || knows(other)) &&
      !this.#former?.all().some((replicas) => mayBeQuorum(replicas, knows))
    while (!this.#closed && !isKnown() && runtime.clock.monotonicMs() - startMs < KNOWN_MS)
      await new Promise<void>((resolve) => {
        runtime.clock.after(HEAR_EVERY_MS, resolve)
      })
    this.#mirror = null
    this.#former = null
    this.#joiner.release()
  }

  [Symbol.dispose](): void {
    this.#closed = true
    this.#watching[Symbol.dispose]()
    this.#joiner.stop()
  }

  async #hasData(table: string): Promise<boolean> {
    const result = await this.#options.data.read({
      table,
      target: { kind: 'range', start: null, end: null },
      slices: null,
      reversed: false,
      wantStatic: true,
      staticCounts: true,
      limit: 1,
      perPartitionLimit: 1,
      byteLimit: 1,
      nowSeconds: this.#nowSeconds(),
      after: null,
      whole: true,
      keepsPurgeable: true,
    })
    return result.partitions.length > 0
  }

  #keyspaceOf(table: string): string | null {
    const { current } = this.#options.metadata
    if (this.#keyspaces?.schema !== current) {
      const byTable = new Map<string, string>()
      for (const [id, { keyspace }] of current.tablesById) byTable.set(uuidBytes(id).toString('latin1'), keyspace)
      this.#keyspaces = { schema: current, byTable }
    }
    return this.#keyspaces.byTable.get(table) ?? null
  }

  #nowSeconds(): number {
    return Math.floor(this.#options.runtime.clock.wallMicros() / 1_000_000)
  }
}

/** Thrown as it is met: whoever asked hears that this replica failed, and asks another. */
function goneError(): ReplicaFailure {
  return new ReplicaFailure('UNKNOWN', FailureReason.UNKNOWN, 'this node has left the ring')
}

function nothing(): void {}

/** Of what was promised to clients. */
class FormerReplicas {
  readonly #placements = new Map<string, Placement>()

  constructor(topology: Topology, keyspaces: readonly StreamedKeyspaces[]) {
    for (const { names, replication, isOptional } of keyspaces) {
      if (isOptional) continue
      const placement = new Placement(replication, topology)
      for (const name of names) this.#placements.set(name, placement)
    }
  }

  at(keyspace: string, position: Buffer): readonly RingNode[] {
    return this.#placements.get(keyspace)?.atPosition(position).natural ?? []
  }

  all(): (readonly RingNode[])[] {
    return [...new Set(this.#placements.values())].flatMap(({ sets }) => sets.map(({ natural }) => natural))
  }
}
