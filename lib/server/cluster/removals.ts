/**
 * Taking a node out of the ring: one that is dead (removenode), this one (decommission), or one without regard to its data (assassinate).
 * Source: Cassandra's StorageService, nodetool's words.
 *
 *   leave-start ─▶ replicas to be get each write, and fetch what they will hold (take-over.ts) ─▶ all have it ─▶ remove
 *
 * Always: one node at a time joins or leaves. Before anything is begun it is sure that all can be fetched: of each range that another will hold there is
 * somebody of every quorum. A node counts as a replica of what it takes over only when all have what they take over. Whoever began may die: what
 * remains to be done is in the metadata, and any node can be asked to do it.
 */
import type { Liveness } from '../../../cluster/gossip/liveness.ts'
import { parseEndpoint } from '../../../cluster/internode/endpoint.ts'
import type { Messenger } from '../../../cluster/internode/messenger.ts'
import { Verb } from '../../../cluster/internode/verbs.ts'
import { Placement } from '../../../cluster/ring/placement.ts'
import {
  changeTopology,
  leavingNode,
  type RingNode,
  type Topology,
  TopologyError,
} from '../../../cluster/ring/topology.ts'
import {
  decodeReport,
  encodeQuestion,
  type TakeOverQuestion,
  type TakeOverReport,
} from '../../../cluster/streaming/messages.ts'
import { planLeave, StreamError, type StreamedKeyspaces } from '../../../cluster/streaming/plan.ts'
import type { Clock, Log } from '../../runtime/runtime.ts'
import type { MetadataLog } from '../metadata-log.ts'
import { changeRing, sleep } from './change-ring.ts'
import { streamedKeyspaces } from './streamed-keyspaces.ts'

/** What is asked cannot be. The message is for the operator, in Cassandra's words where it has some. */
export class RemovalError extends Error {
  override name = 'RemovalError'
}

export interface RingRemovalsOptions {
  readonly messenger: Messenger
  readonly metadata: MetadataLog
  readonly liveness: Pick<Liveness, 'isAlive'>
  readonly clock: Clock
  readonly log: Log
  readonly self: RingNode
  /** Of this node's own part. */
  report(question: TakeOverQuestion): Promise<TakeOverReport>
}

export interface WaitingFor {
  readonly node: RingNode
  /** Null: it is at it. */
  readonly trouble: string | null
}

export interface RemovalStatus {
  readonly node: RingNode
  readonly isAlive: boolean
  readonly waiting: readonly WaitingFor[]
}

const SOURCE = 'removals.ts'
const ASK_MS = 10_000
const ASK_EVERY_MS = 500

export class RingRemovals {
  readonly #options: RingRemovalsOptions

  constructor(options: RingRemovalsOptions) {
    this.#options = options
  }

  /** Null: nobody leaves. */
  async status(): Promise<RemovalStatus | null> {
    const node = leavingNode(this.#topology)
    if (node === null) return null
    return {
      node,
      isAlive: this.#isAlive(node.hostId),
      waiting: await this.#waitingFor({ leaving: node.hostId, seals: false }),
    }
  }

  /** Resolves when the ring is without it. A removal that was begun is gone on with. */
  async removeNode(hostId: string): Promise<void> {
    const node = this.#topology.nodes.get(hostId)
    if (!node) throw new RemovalError('Host ID not found.')
    if (hostId === this.#options.self.hostId) throw new RemovalError('Cannot remove self')
    if (this.#isAlive(hostId))
      throw new RemovalError(
        `Node /${node.endpoint} is alive and owns this ID. Use decommission command to remove it from the ring`,
      )
    // What never counted has nothing that others lack.
    if (node.status === 'joining') return this.#remove(hostId)
    await this.#begin(node)
    await this.#whenTakenOver(hostId)
    if (this.#isAlive(hostId))
      throw new RemovalError(
        `Node /${node.endpoint} is alive again, and was not removed. Stop it and remove it again, or decommission it`,
      )
    await this.#remove(hostId)
  }

  /** Ends the removal that is under way, whoever lacks what. Returns what was known of it. */
  async force(): Promise<RemovalStatus> {
    const status = await this.status()
    if (status === null) throw new RemovalError("No nodes to force removal on, call 'removenode' first")
    const { node, isAlive, waiting } = status
    if (isAlive)
      throw new RemovalError(`Node /${node.endpoint} is alive and decommissions itself: stop it first, or wait for it`)
    if (waiting.length > 0)
      this.#options.log.warn(
        SOURCE,
        `The removal of ${node.endpoint} is forced: not all data is at its new replicas, repair ${names(waiting)}`,
      )
    await this.#remove(node.hostId)
    return status
  }

  /** Out of the ring at once: what only it had is lost, and the new replicas lack what it held until they are repaired. */
  async assassinate(address: string): Promise<void> {
    const node = [...this.#topology.nodes.values()].find(
      ({ endpoint }) => endpoint === address || parseEndpoint(endpoint).address === address,
    )
    // As with Cassandra: nothing is what is left of it.
    if (!node) return
    if (this.#isAlive(node.hostId))
      throw new RemovalError(`Endpoint still alive: /${node.endpoint} is up; decommission it`)
    this.#options.log.warn(SOURCE, `${node.endpoint} is assassinated: its data is not at its new replicas`)
    await this.#remove(node.hostId)
  }

  /** This node's own place. Resolves when others have all that it has; it is still in the ring then. */
  async giveUpPlace(force: boolean): Promise<void> {
    const { self } = this.#options
    const node = this.#topology.nodes.get(self.hostId)
    if (!node) throw new RemovalError('This node is not in the ring')
    if (!force) this.#checkReplicas(node)
    await this.#begin(node)
    await this.#whenTakenOver(node.hostId)
  }

  /** Waits for a majority of the metadata members, as long as it takes. */
  async finish(): Promise<void> {
    const { self } = this.#options
    await changeRing(this.#options, ({ topology }) =>
      topology.nodes.has(self.hostId) ? { kind: 'remove', hostId: self.hostId } : null,
    )
  }

  get #topology(): Topology {
    return this.#options.metadata.state.topology
  }

  #isAlive(hostId: string): boolean {
    return hostId === this.#options.self.hostId || this.#options.liveness.isAlive(hostId)
  }

  async #begin(node: RingNode): Promise<void> {
    const { metadata, log } = this.#options
    const { hostId } = node
    let isNew = false
    await metadata.changeTopology(({ topology, schema }) => {
      isNew = false
      const now = topology.nodes.get(hostId)
      if (now?.status === 'leaving') return null
      for (const other of topology.nodes.values())
        if (other.status !== 'normal')
          throw new TopologyError(
            `${other.endpoint} (${other.hostId}) is ${other.status}: nodes join and leave one after the other`,
          )
      const next = changeTopology(topology, { kind: 'leave-start', hostId })
      this.#checkSources(next, hostId, streamedKeyspaces(schema))
      isNew = true
      return { kind: 'leave-start', hostId }
    })
    log.info(SOURCE, `${node.endpoint} leaves the ring: ${isNew ? 'others fetch what it held' : 'this goes on'}`)
  }

  /** That nothing is lost, and that those who will hold more can fetch it now. */
  #checkSources(topology: Topology, leaving: string, keyspaces: readonly StreamedKeyspaces[]): void {
    const isAlive = (hostId: string): boolean => this.#isAlive(hostId)
    const later = changeTopology(topology, { kind: 'remove', hostId: leaving })
    for (const { names: those, replication, isOptional } of keyspaces) {
      if (isOptional === true) continue
      const has = (of: Topology): boolean =>
        new Placement(replication, of).sets.every(({ natural }) => natural.length > 0)
      if (has(topology) && !has(later))
        throw new RemovalError(
          `Its data of ${those.join(', ')} would be lost: there would be no replica. Change the replication of these keyspaces first`,
        )
    }
    for (const { hostId, endpoint } of later.nodes.values()) {
      let plan: readonly unknown[]
      try {
        plan = planLeave(topology, { leaving, hostId }, keyspaces, isAlive)
      } catch (error) {
        if (error instanceof StreamError)
          throw new RemovalError(`${error.message}, or assassinate the node: what nobody else has is lost then`)
        throw error
      }
      if (plan.length > 0 && !isAlive(hostId))
        throw new RemovalError(`${endpoint} is down, and would take over data: bring it up, or remove it, first`)
    }
  }

  #checkReplicas(node: RingNode): void {
    const { schema, topology } = this.#options.metadata.state
    const nodes = [...topology.nodes.values()].filter(({ status }) => status !== 'joining')
    for (const { names: those, replication } of streamedKeyspaces(schema)) {
      const { datacenters, factor } = replication
      const wanted = datacenters === null ? factor : (datacenters.get(node.datacenter) ?? 0)
      const there = nodes.filter(({ datacenter }) => datacenters === null || datacenter === node.datacenter).length
      if (there <= wanted)
        throw new RemovalError(
          `Unsupported operation: Not enough live nodes to maintain replication factor in keyspace ${those[0]} (RF = ${wanted}, N = ${there}). ` +
            'Perform a forceful decommission to ignore.',
        )
    }
  }

  /** Resolves when all who will hold more have it, or the node is not leaving any more. */
  async #whenTakenOver(leaving: string): Promise<void> {
    const { clock } = this.#options
    while (this.#topology.nodes.get(leaving)?.status === 'leaving') {
      // Sealed is when all are done: who then cannot be reached would keep others from acknowledging writes.
      if (
        (await this.#waitingFor({ leaving, seals: false })).length === 0 &&
        (await this.#waitingFor({ leaving, seals: true })).length === 0
      )
        return
      await sleep(clock, ASK_EVERY_MS)
    }
  }

  /** Who is alive must know of it; who is not is waited for if it takes something over. */
  async #waitingFor(question: TakeOverQuestion): Promise<WaitingFor[]> {
    const { leaving } = question
    const { schema } = this.#options.metadata.state
    const keyspaces = streamedKeyspaces(schema)
    const others = [...this.#topology.nodes.values()].filter(({ hostId }) => hostId !== leaving)
    const waiting = await Promise.all(
      others.map(async (node): Promise<WaitingFor | null> => {
        const { hostId } = node
        if (!this.#isAlive(hostId)) {
          const plan = planLeave(this.#topology, { leaving, hostId }, keyspaces, () => true)
          return plan.length === 0 ? null : { node, trouble: 'it is down' }
        }
        const { isDone, trouble } = await this.#ask(node, question)
        return isDone ? null : { node, trouble }
      }),
    )
    return waiting.filter((one) => one !== null)
  }

  #ask({ hostId, endpoint }: RingNode, question: TakeOverQuestion): Promise<TakeOverReport> {
    const { messenger, self, report } = this.#options
    if (hostId === self.hostId) return report(question)
    return new Promise((resolve) => {
      messenger.request(endpoint, Verb.TAKE_OVER, encodeQuestion(question), ASK_MS, {
        replied: (_from, answer) => resolve(decodeReport(answer)),
        failed: () => resolve({ isDone: false, trouble: 'it does not answer' }),
      })
    })
  }

  async #remove(hostId: string): Promise<void> {
    await changeRing(this.#options, ({ topology }) => (topology.nodes.has(hostId) ? { kind: 'remove', hostId } : null))
    this.#options.log.info(SOURCE, `${hostId} is removed from the ring`)
  }
}

function names(waiting: readonly WaitingFor[]): string {
  return waiting.map(({ node }) => node.endpoint).join(', ')
}
