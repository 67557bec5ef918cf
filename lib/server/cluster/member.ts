/**
 * A node as a member of a cluster: its links to the others, its copy of the metadata, and the coordinator that asks all replicas. Put together in
 * the order in which one needs the other, and closed in the opposite order.
 */

import { BatchStore } from '../../../cluster/coordinator/batch-store.ts'
import { ClusterCoordinator } from '../../../cluster/coordinator/coordinator.ts'
import { RequestLatencies } from '../../../cluster/coordinator/latencies.ts'
import { ReadCoordinator } from '../../../cluster/coordinator/read.ts'
import type { Replica } from '../../../cluster/coordinator/replica.ts'
import { ViewOutbox } from '../../../cluster/coordinator/view-outbox.ts'
import { WriteSide } from '../../../cluster/coordinator/write-side.ts'
import type { Gossiper } from '../../../cluster/gossip/gossiper.ts'
import type { HintedHandoff } from '../../../cluster/hints/handoff.ts'
import { HintReceiver } from '../../../cluster/hints/receiver.ts'
import type { Messenger } from '../../../cluster/internode/messenger.ts'
import type { NodeMessenger } from '../../../cluster/internode/node-messenger.ts'
import { TracedMessenger, type Traces } from '../../../cluster/internode/traced.ts'
import { FoundingError } from '../../../cluster/metadata/founding.ts'
import type { RingNode, Topology } from '../../../cluster/ring/topology.ts'
import type { Store } from '../../../storage/store.ts'
import { Closers } from '../../base/closers.ts'
import type { Settings } from '../../config/settings.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { ViewPlaces } from '../../view/places.ts'
import { openClockLedger } from '../clock-ledger.ts'
import { HybridClock } from '../hybrid-clock.ts'
import type { Identity } from '../identity.ts'
import { type MetadataLog, openMetadataLog } from '../metadata-log.ts'
import { StartError } from '../start-error.ts'
import { checkAdmission, checkMembership } from './admission.ts'
import { Announcer } from './announce.ts'
import { openBatchTable } from './batch-table.ts'
import { sleep } from './change-ring.ts'
import type { ClusterEvents } from './cluster-events.ts'
import { openHints } from './hints.ts'
import { servingInRing } from './in-ring.ts'
import { joinRing } from './join.ts'
import { openGossip, openLinks } from './links.ts'
import { MemberCare } from './member-care.ts'
import { NodeEnvironment } from './node-environment.ts'
import { openPaxosSide, type PaxosSide } from './paxos-side.ts'
import { RingRemovals } from './removals.ts'
import { RingChanges } from './ring-changes.ts'
import { seedEndpoints, selfNode, tokensFor } from './self.ts'
import { type IndexedData, NodeStreaming } from './streaming.ts'
import { TakeOver } from './take-over.ts'

export interface MemberOptions {
  readonly settings: Settings
  readonly runtime: Runtime
  readonly identity: Identity
  readonly store: Store
  /** Null: all is in memory. */
  readonly directory: string | null
  /** This node must not go on. */
  end(error: Error): void
}

/** Hints for nodes that are up, and changes of views, are sent before a node leaves, if it takes no longer; others keep the other hints. */
const HINTS_MS = 60_000

export class ClusterMember implements AsyncDisposable {
  readonly self: RingNode
  readonly hybrid: HybridClock
  readonly messenger: NodeMessenger
  readonly metadata: MetadataLog
  readonly gossiper: Gossiper
  readonly #options: MemberOptions
  readonly #opened: Closers
  /** Since it coordinates. */
  hints: HintedHandoff | null = null
  #announcer: Announcer | null = null
  #streaming: NodeStreaming | null = null
  #paxos: PaxosSide | null = null
  #takeOver: TakeOver | null = null
  #outbox: ViewOutbox | null = null
  readonly #ring: RingChanges
  /** Taking nodes out of the ring. */
  readonly removals: RingRemovals
  /** That the ring is without this node is as it should be. */
  #isLeaving = false

  /** Use openMember. */
  constructor(
    options: MemberOptions,
    parts: Pick<ClusterMember, 'self' | 'hybrid' | 'messenger' | 'metadata' | 'gossiper'>,
    opened: Closers,
  ) {
    this.#options = options
    this.self = parts.self
    this.hybrid = parts.hybrid
    this.messenger = parts.messenger
    this.metadata = parts.metadata
    this.gossiper = parts.gossiper
    this.#opened = opened
    this.#ring = new RingChanges(parts.metadata)
    opened.defer(() => this.#ring[Symbol.dispose]())
    this.removals = new RingRemovals({
      messenger: parts.messenger,
      metadata: parts.metadata,
      liveness: parts.gossiper,
      clock: options.runtime.clock,
      log: options.runtime.log,
      self: parts.self,
      report: async (question) => this.#takeOver?.report(question) ?? { isDone: false, trouble: 'it is starting' },
    })
    opened.defer(
      watchMembership(parts.metadata, parts.self.hostId, () => {
        if (!this.#isLeaving) options.end(new Error('This node was removed from the cluster: others have its data now'))
      }),
    )
  }

  /** The node's data, as it is to be used from now on: nodes that join take part in what is written. */
  share(data: IndexedData): IndexedData {
    const { settings, runtime, store } = this.#options
    const { metadata, gossiper } = this
    const streaming = new NodeStreaming({
      runtime,
      messenger: this.#serving(this.messenger),
      metadata,
      liveness: gossiper,
      data,
      store,
      bytesPerSecond: settings.stream_throughput_inbound,
    })
    this.#streaming = streaming
    this.#opened.defer(() => streaming[Symbol.dispose]())
    return streaming
  }

  /** For whoever serves data. */
  #serving(messenger: Messenger): Messenger {
    const { metadata } = this
    const { hostId } = this.self
    let topology: Topology | null = null
    let isIn = false
    return servingInRing(messenger, {
      isIn() {
        if (metadata.state.topology !== topology) {
          topology = metadata.state.topology
          isIn = topology.nodes.has(hostId)
        }
        return isIn
      },
      epoch: () => metadata.state.epoch,
      changedAt: () => this.#ring.epoch,
      catchUp: (epoch) => metadata.catchUp(epoch).catch(() => undefined),
    })
  }

  #placesKnown: (places: ViewPlaces) => void = () => {}
  /** Who holds what of materialized views; known when the node coordinates. */
  readonly viewPlaces = new Promise<ViewPlaces>((resolve) => {
    this.#placesKnown = resolve
  })

  /** The coordinator of this node's clients; other nodes' coordinators are answered from now on. */
  async coordinate(replica: Replica, report: (cause: Error) => void, traces: Traces): Promise<ClusterCoordinator> {
    const { settings, runtime, store, directory } = this.#options
    const { messenger, metadata, hybrid, self, gossiper } = this
    const hints = await openHints({ settings, runtime, directory, messenger, liveness: gossiper, metadata })
    this.#opened.defer(() => hints.close())
    this.hints = hints
    const traced = new TracedMessenger(messenger, traces)
    const environment = new NodeEnvironment({
      clock: runtime.clock,
      random: runtime.random,
      messenger: traced,
      liveness: gossiper,
      metadata,
      ring: this.#ring,
      self,
      replica,
      hybrid,
      hints,
      settings,
      report,
    })
    const latencies = new RequestLatencies()
    const writeSide = new WriteSide({
      environment,
      latencies,
      batches: await openBatchTable(store, runtime.clock, 'polyxena_batches'),
      truncations: truncations(store),
      read: (...asked) => reads.read(...asked),
    })
    const reads: ReadCoordinator = new ReadCoordinator({
      environment,
      latencies,
      repairs: writeSide.replica,
      table: (id) => metadata.current.tablesById.get(id)?.options ?? null,
    })
    const { marks, plans } = writeSide
    metadata.listen((_, schema) => marks.keep((table) => schema.tablesById.has(table)))
    const paxos = await openPaxosSide({ environment, store, log: runtime.log, replica, marks, plans, reads })
    this.#paxos = paxos
    const coordinator = new ClusterCoordinator({
      latencies,
      writes: writeSide.writes,
      reads,
      transactions: paxos.transactions,
      truncations: writeSide.truncations,
      others: [
        writeSide.replica,
        writeSide.batchlog,
        paxos.cleaner,
        new HintReceiver((...write) => writeSide.takeHinted(...write), hints),
      ],
    })
    coordinator.register(this.#serving(traced))
    this.#opened.defer(() => writeSide.close())
    this.#opened.defer(() => reads.close())
    const outbox = new ViewOutbox(
      environment,
      new BatchStore(await openBatchTable(store, runtime.clock, 'polyxena_view_changes')),
      (mutations, writtenAt) => writeSide.deliver(mutations, writtenAt),
    )
    this.#outbox = outbox
    this.#opened.defer(() => outbox.close())
    await outbox.start()
    this.#placesKnown(outbox)
    this.#opened.defer(() => paxos.cleaner.close())
    paxos.cleaner.start()
    await writeSide.start()
    return coordinator
  }

  /** Finds or founds the cluster, and takes its place in the ring. Rejects with a StartError. */
  async enter(): Promise<void> {
    const { settings, runtime, store, identity } = this.#options
    const { metadata, self, gossiper } = this
    const { log, random } = runtime
    const announcer = new Announcer({
      gossiper,
      metadata,
      self,
      clock: runtime.clock,
      load: () => store.reports.statistics.fileBytes,
    })
    this.#announcer = announcer
    this.#opened.defer(() => announcer[Symbol.dispose]())
    const { topology, clusterId } = metadata.state
    await checkAdmission({
      messenger: this.messenger,
      clock: runtime.clock,
      log,
      clusterName: identity.clusterName,
      seeds: seedEndpoints(settings),
      clusterId,
      topology,
      otherClusters: this.messenger.otherClusters,
    })
    gossiper.start()
    await metadata.establish().catch((error: unknown) => {
      throw error instanceof FoundingError ? new StartError(error.message) : error
    })
    checkMembership(self, topology.nodes.has(self.hostId) ? clusterId : null, metadata.state)
    await joinRing({
      self,
      metadata,
      clock: runtime.clock,
      random,
      log,
      numTokens: settings.num_tokens,
      streaming: {
        clear: async () => {
          await this.#streaming!.clear()
          await this.#paxos!.clear()
        },
        fetch: async (hostId) => {
          await this.#streaming!.fetch(hostId)
          await this.#paxos!.settle()
        },
        joined: (hostId) => this.#streaming!.joined(hostId),
      },
      isAlive: (hostId) => gossiper.isAlive(hostId),
    })
    this.#takeOver = new TakeOver({
      messenger: this.messenger,
      metadata,
      clock: runtime.clock,
      log,
      hostId: self.hostId,
      streaming: this.#streaming!,
      settle: () => this.#paxos!.settle(),
    })
    this.#opened.defer(() => this.#takeOver?.[Symbol.dispose]())
    const care = new MemberCare({ metadata, liveness: gossiper, clock: runtime.clock, log, hostId: self.hostId })
    this.#opened.defer(() => care[Symbol.dispose]())
  }

  /** Whether clients are served here. */
  serving(isServing: boolean): void {
    this.#announcer?.serving(isServing)
  }

  /**
   * Gives this node's place to others; it is out of the ring then, and answers nobody. Rejects, and all is as before or can be gone on with, when that
   * cannot be. `stopClients`: others have all by now.
   */
  async decommission(force: boolean, stopClients: () => Promise<void>): Promise<void> {
    const { clock } = this.#options.runtime
    await this.removals.giveUpPlace(force)
    await stopClients()
    for (
      let waited = 0;
      waited < HINTS_MS &&
      (this.#hintsFor((hostId) => this.gossiper.isAlive(hostId)) > 0 || (this.#outbox?.underWay ?? 0) > 0);
      waited += 100
    )
      await sleep(clock, 100)
    await this.#handHintsOn()
    this.#isLeaving = true
    // Nobody asks it for data any more, and who does all the same is refused: the new replicas are asked from here on.
    this.announceShutdown()
    this.#streaming!.leave()
    await this.removals.finish()
  }

  /** To one who stays, of this data centre before others. What nobody takes is lost, and said. */
  async #handHintsOn(): Promise<void> {
    const { hints, self, gossiper, metadata } = this
    if (hints === null || this.#hintsFor(() => true) === 0) return
    const staying = [...metadata.state.topology.nodes.values()].filter(
      ({ hostId, status }) => hostId !== self.hostId && status === 'normal' && gossiper.isAlive(hostId),
    )
    const isNear = ({ datacenter }: RingNode): boolean => datacenter === self.datacenter
    for (const { endpoint } of [...staying.filter(isNear), ...staying.filter((node) => !isNear(node))])
      if (await hints.handOn(endpoint)) return
    this.#options.runtime.log.warn(
      'member.ts',
      'No node took the hints that this one keeps: those they are for must be repaired',
    )
  }

  #hintsFor(isMeant: (hostId: string) => boolean): number {
    const { nodes } = this.metadata.state.topology
    let bytes = 0
    for (const host of this.hints?.counts().hosts ?? [])
      if (nodes.has(host.hostId) && isMeant(host.hostId)) bytes += host.bytes
    return bytes
  }

  /** Clients are told of other nodes until this one ends. */
  announceNeighbours(events: ClusterEvents): void {
    const watching = this.metadata.watch(() => events.look())
    this.#opened.defer(() => {
      watching[Symbol.dispose]()
      events[Symbol.dispose]()
    })
  }

  /** Tells the others that it leaves, before it does. */
  announceShutdown(): void {
    this.gossiper.announceShutdown()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened[Symbol.asyncDispose]()
  }
}

/** Listens for other nodes, reads the metadata that this node has. Rejects with a StartError. */
export async function openMember(options: MemberOptions): Promise<ClusterMember> {
  const { settings, runtime, identity, store } = options
  const { clock, random, log } = runtime
  const opened = new Closers()
  try {
    const self = selfNode(settings, identity)
    const hybrid = new HybridClock(
      clock,
      (message) => log.warn('hybrid-clock.ts', message),
      await openClockLedger(store, clock),
    )
    const late: { metadata: MetadataLog | null; gossiper: Gossiper | null } = { metadata: null, gossiper: null }
    const messenger = await openLinks({ settings, runtime, identity, self, hybrid, metadata: () => late.metadata })
    opened.defer(() => messenger.close())
    const metadata = await openMetadataLog({
      store,
      nowSeconds: () => Math.floor(clock.wallMicros() / 1e6),
      self,
      cluster: {
        self,
        messenger,
        clock,
        random,
        log,
        clusterName: identity.clusterName,
        seeds: seedEndpoints(settings),
        tokens: {
          count: settings.num_tokens,
          allocate: (topology, node, count) => tokensFor(topology, node, count, random),
        },
        isAlive: (hostId) => late.gossiper?.isAlive(hostId) ?? true,
        whereabouts: (hostId) => late.gossiper?.state(hostId)?.values.get('INTERNAL_ADDRESS_AND_PORT')?.value ?? null,
      },
    })
    late.metadata = metadata
    opened.defer(() => metadata.close())
    const { end } = options
    const gossiper = openGossip({ settings, runtime, identity, messenger, metadata, end })
    late.gossiper = gossiper
    opened.defer(() => gossiper.close())
    return new ClusterMember(options, { self, hybrid, messenger, metadata, gossiper }, opened)
  } catch (error) {
    await opened[Symbol.asyncDispose]()
    throw error
  }
}

/** Calls when a change takes the node out of the ring. */
function watchMembership(metadata: MetadataLog, hostId: string, removed: () => void): () => void {
  const watching = metadata.watch((after, before) => {
    if (before.topology.nodes.has(hostId) && !after.topology.nodes.has(hostId)) removed()
  })
  return () => watching[Symbol.dispose]()
}

function* truncations(store: Store): Iterable<readonly [string, number]> {
  for (const [table, { atMs }] of store.truncations()) yield [table, atMs]
}
