/**
 * A cluster of stores in memory: real replicas, real coordinators, messages that come after some virtual milliseconds, and nodes that may be dead, silent
 * or slow. Nothing of sockets, gossip or CQL.
 */
import type { CoordinatorEnvironment } from '../../cluster/coordinator/environment.ts'
import { RequestLatencies } from '../../cluster/coordinator/latencies.ts'
import type { Replication } from '../../cluster/coordinator/levels.ts'
import { ReadCoordinator, type ReadOptions } from '../../cluster/coordinator/read.ts'
import type { Replica } from '../../cluster/coordinator/replica.ts'
import type { Handler, Messenger, Payload, ReplyHandler } from '../../cluster/internode/messenger.ts'
import { Placement } from '../../cluster/ring/placement.ts'
import type { RingNode, Topology } from '../../cluster/ring/topology.ts'
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import { uuidBytes, uuidText } from '../../lib/base/uuid.ts'
import { createSimulatedClock, type SimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import { memoryRuntime } from './storage-runtime.ts'
import { REQUEST_TIMEOUTS } from './timeouts.ts'

export const TABLE = '5a1c395e-b41f-11e5-9f22-ba0be0483c18'
export const TABLE_BYTES = uuidBytes(TABLE)
const TABLE_LATIN1 = TABLE_BYTES.toString('latin1')

export interface ReplicaNode {
  readonly ring: RingNode
  readonly store: Store
  readonly replica: Pick<Replica, 'apply' | 'read'>
  readonly reads: ReadCoordinator
  /** dead: known to be so. silent: takes messages and answers none. */
  state: 'alive' | 'dead' | 'silent'
  /** Of each answer. */
  delayMs: number
  /** What its reads fail with; null: they do not. */
  failure: Error | null
  /** By verb: messages taken. */
  readonly taken: Map<number, number>
  knowsTable: boolean
  epoch: number
  /** Verbs that it takes and never answers. */
  readonly refuses: Set<number>
  /** Called when it has caught up. */
  caughtUp: (() => void) | null
}

export interface ReplicasOptions {
  readonly nodes: number
  /** By node, in turn; default: one. */
  readonly datacenters?: readonly string[]
  readonly replication: Replication
  readonly tokens?: number
  readonly gcGraceSeconds?: number
  readonly table?: Partial<ReadOptions>
  readonly hasClustering?: boolean
  /** What stands before each store, and whose tables there are. Default: nothing, and the one of this file. */
  readonly before?: {
    open(store: Store, clock: SimulatedClock): Promise<Pick<Replica, 'apply' | 'read'>>
    keyspaceOf(table: string): string | null
  }
}

export class Replicas implements AsyncDisposable {
  readonly clock: SimulatedClock = createSimulatedClock()
  readonly nodes: ReplicaNode[] = []
  readonly placement: Placement
  readonly topology: Topology
  readonly errors: Error[] = []
  readonly #options: ReplicasOptions
  readonly #listeners: ((hostId: string, alive: boolean) => void)[] = []

  constructor(options: ReplicasOptions) {
    this.#options = options
    const { nodes, datacenters = ['dc1'], replication, tokens = 4 } = options
    const random = createSeededRandom(7)
    const rings = Array.from({ length: nodes }, (_, i): RingNode => {
      const own = Array.from({ length: tokens }, () => random.fill(Buffer.alloc(8)).readBigInt64BE(0))
      return {
        hostId: `00000000-0000-4000-8000-00000000000${i}`,
        endpoint: `127.0.16.${i + 1}:7000`,
        clientAddress: `127.0.16.${i + 1}`,
        clientPort: 9042,
        datacenter: datacenters[i % datacenters.length]!,
        rack: 'r1',
        tokens: own.sort((a, b) => (a < b ? -1 : 1)).map(String),
        status: 'normal',
        capacity: 1,
      }
    })
    this.topology = { nodes: new Map(rings.map((ring) => [ring.hostId, ring])) }
    this.placement = new Placement(replication, this.topology)
  }

  async open(): Promise<this> {
    for (const ring of this.topology.nodes.values()) {
      const store = await openStore({ runtime: memoryRuntime(this.clock), directory: null })
      const options = { ...DEFAULT_TABLE_OPTIONS, gcGraceSeconds: this.#options.gcGraceSeconds ?? 100_000 }
      const hasClustering = this.#options.hasClustering ?? true
      await store.registerTable(TABLE, { keyspace: 'k', name: 't', durableWrites: true, hasClustering, options })
      const handlers = new Map<number, Handler>()
      const messenger = this.#messenger(ring, handlers)
      const replica = (await this.#options.before?.open(store, this.clock)) ?? store
      const node: { reads: ReadCoordinator | null } & Omit<ReplicaNode, 'reads'> = {
        ring,
        store,
        replica,
        reads: null,
        state: 'alive',
        delayMs: 1,
        failure: null,
        taken: new Map(),
        knowsTable: true,
        epoch: 1,
        refuses: new Set(),
        caughtUp: null,
      }
      const environment = this.#environment(node, messenger)
      const { speculativeRetry = 'NEVER', readRepair = 'BLOCKING' } = this.#options.table ?? {}
      node.reads = new ReadCoordinator({
        environment,
        latencies: new RequestLatencies(),
        repairs: environment.replica,
        table: () => ({ speculativeRetry, readRepair }),
      })
      node.reads.register(messenger)
      this.#handlers.set(ring.endpoint, handlers)
      this.nodes.push(node as ReplicaNode)
    }
    return this
  }

  readonly #handlers = new Map<string, Map<number, Handler>>()

  #environment(node: Pick<ReplicaNode, Exclude<keyof ReplicaNode, 'reads'>>, messenger: Messenger) {
    const { replication } = this.#options
    let micros = 0
    const environment: CoordinatorEnvironment = {
      clock: this.clock,
      random: createSeededRandom(1),
      messenger,
      liveness: {
        isAlive: (hostId) => this.nodes.find(({ ring }) => ring.hostId === hostId)?.state !== 'dead',
        listen: (listener) => {
          this.#listeners.push(listener)
          return { [Symbol.dispose]: () => {} }
        },
      },
      self: () => node.ring,
      nodes: () => this.topology.nodes,
      replica: {
        apply: (mutations) => node.replica.apply(mutations),
        read: (command) => {
          if (node.failure !== null) throw node.failure
          return node.replica.read(command)
        },
        resolution: (table) => node.store.resolutionOf(table),
        truncate: (table) => node.store.truncate(table),
      },
      placement: (keyspace) => (keyspace === 'k' ? { placement: this.placement, replication } : null),
      keyspaceOf: (id) => (node.knowsTable ? this.#keyspaceOf(id) : null),
      epoch: () => node.epoch,
      ringEpoch: () => 0,
      catchUp: async (epoch) => {
        if (node.epoch < epoch) node.epoch = epoch
        node.caughtUp?.()
      },
      timestampMicros: () => ++micros,
      observe: () => {},
      hints: { store: () => {}, mayStore: () => true },
      timeouts: REQUEST_TIMEOUTS,
      report: (cause) => this.errors.push(cause),
    }
    return environment
  }

  #messenger(from: RingNode, handlers: Map<number, Handler>): Messenger {
    const self = { hostId: from.hostId, endpoint: from.endpoint }
    return {
      self,
      handle: (verb, handler) => {
        handlers.set(verb, handler)
      },
      send: () => false,
      request: (to, verb, payload, timeoutMs, reply) => {
        this.#request(from, to, verb, payload, timeoutMs, reply)
      },
      counts: () => ({ peers: [], verbs: [], waiting: 0, serving: 0, connectionsIn: 0, refused: 0 }),
      close: async () => {},
    }
  }

  #request(from: RingNode, to: string, verb: number, payload: Payload, timeoutMs: number, reply: ReplyHandler): void {
    const bytes = join(payload)
    const node = this.nodes.find(({ ring }) => ring.endpoint === to)!
    const sender = this.nodes.find(({ ring }) => ring === from)!
    if (node.state === 'dead') {
      this.clock.after(0, () => reply.failed(to, FailureReason.NODE_DOWN))
      return
    }
    node.taken.set(verb, (node.taken.get(verb) ?? 0) + 1)
    let isOver = false
    const timer = this.clock.after(timeoutMs, () => {
      isOver = true
      reply.failed(to, FailureReason.TIMEOUT)
    })
    if (node.state === 'silent' || node.refuses.has(verb)) return
    const done = (act: () => void): void => {
      this.clock.after(node.delayMs / 2, () => {
        if (isOver) return
        isOver = true
        timer[Symbol.dispose]()
        act()
      })
    }
    this.clock.after(node.delayMs / 2, async () => {
      const message = {
        verb,
        from: { hostId: from.hostId, endpoint: from.endpoint },
        payload: bytes,
        epoch: sender.epoch,
        remainingMs: timeoutMs,
      }
      try {
        const made = this.#handlers.get(to)!.get(verb)!(message)
        const answer = join((made instanceof Promise ? await made : made) ?? Buffer.alloc(0))
        done(() => reply.replied(to, answer))
      } catch (cause) {
        const reason = cause instanceof ReplicaFailure ? cause.reasonCode : FailureReason.UNKNOWN
        if (!(cause instanceof ReplicaFailure)) this.errors.push(cause as Error)
        done(() => reply.failed(to, reason))
      }
    })
  }

  /** Dead to all others from now on, or alive again. */
  setAlive(at: number, alive: boolean): void {
    const node = this.nodes[at]!
    node.state = alive ? 'alive' : 'dead'
    for (const listener of this.#listeners) listener(node.ring.hostId, alive)
  }

  replicasOf(position: Buffer): ReplicaNode[] {
    const { natural } = this.placement.atPosition(position)
    return natural.map((ring) => this.nodes.find((node) => node.ring.hostId === ring.hostId)!)
  }

  /** Reads through a node, moving time on until there is an answer. */
  async read(at: number, command: ReadCommand, level: number): Promise<ReadResult> {
    const reading = this.nodes[at]!.reads.read(command, level, 'k')
    return reading instanceof Promise ? this.until(reading) : reading
  }

  #keyspaceOf(id: string): string | null {
    const { before } = this.#options
    if (before === undefined) return id === TABLE_LATIN1 ? 'k' : null
    return before.keyspaceOf(uuidText(Buffer.from(id, 'latin1')))
  }

  /** Moves time on until the promise is settled. */
  async until<T>(promise: Promise<T>): Promise<T> {
    let isOver = false
    const watched = promise.finally(() => {
      isOver = true
    })
    watched.catch(() => {})
    for (let turns = 0; !isOver; turns++) await this.clock.advance(turns < 40 ? 1 : 20)
    return watched
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { reads, store } of this.nodes) {
      reads.close()
      await store.close()
    }
  }
}

function join(payload: Payload): Buffer {
  return payload instanceof Uint8Array ? Buffer.from(payload) : Buffer.concat(payload)
}
