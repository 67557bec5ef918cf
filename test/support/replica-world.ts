/**
 * Nodes that coordinate and replicate, without storage, gossip or sockets: replicas keep the bytes they were given, messages are delivered,
 * delayed and lost by chance over virtual time.
 */
import type { CoordinatorEnvironment, Hints, ReplicaSide } from '../../cluster/coordinator/environment.ts'
import type { Replication } from '../../cluster/coordinator/levels.ts'
import type { Replica } from '../../cluster/coordinator/replica.ts'
import type {
  Endpoint,
  Handler,
  Incoming,
  Messenger,
  MessengerCounts,
  Payload,
  ReplyHandler,
} from '../../cluster/internode/messenger.ts'
import { Placement } from '../../cluster/ring/placement.ts'
import { changeTopology, EMPTY_TOPOLOGY, type RingNode, type Topology } from '../../cluster/ring/topology.ts'
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import { createSimulatedClock, type SimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { servingInRing } from '../../lib/server/cluster/in-ring.ts'
import { LastWriteWins } from '../../storage/model/merge.ts'
import { MutationWriter } from '../../storage/model/mutation.ts'
import type { Store } from '../../storage/store.ts'
import type { Dice } from './random.ts'
import { hostId, ringNode } from './rings.ts'
import { REQUEST_TIMEOUTS } from './timeouts.ts'

export const TABLE_ID = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
export const TABLE = '00112233-4455-6677-8899-aabbccddeeff'

/** What becomes of a message. */
export interface Weather {
  /** Of each message to be lost, one way. */
  readonly loss: number
  readonly delayMs: number
  /** Of a replica to fail instead of applying. */
  readonly failure: number
  /** Of a replica's own work to take its time. */
  readonly slow: number
}

export const CALM: Weather = { loss: 0, delayMs: 1, failure: 0, slow: 0 }

export interface Hint {
  readonly hostId: string
  readonly mutation: string
  readonly writtenAt: number
}

export interface NodeSpec {
  readonly number: number
  readonly datacenter?: string
  readonly rack?: string
  readonly joining?: boolean
}

export class ReplicaWorld {
  readonly clock: SimulatedClock = createSimulatedClock()
  readonly nodes = new Map<string, WorldNode>()
  readonly topology: Topology
  replication: Replication
  weather: Weather = CALM
  /** Verbs sent, from and to. */
  readonly sent: { readonly verb: number; readonly from: Endpoint; readonly to: Endpoint }[] = []
  /** Who cannot be reached although it is thought alive. */
  readonly unreachable = new Set<Endpoint>()
  readonly #dice: Dice
  #placement: Placement | null = null

  constructor(dice: Dice, replication: Replication, specs: readonly NodeSpec[]) {
    this.#dice = dice
    this.replication = replication
    let topology = EMPTY_TOPOLOGY
    for (const spec of specs) topology = changeTopology(topology, { kind: 'join-start', node: nodeOf(spec) })
    this.topology = topology
    for (const node of topology.nodes.values()) this.nodes.set(node.hostId, new WorldNode(this, node, dice))
  }

  get placement(): Placement {
    this.#placement ??= new Placement(this.replication, this.topology)
    return this.#placement
  }

  node(number: number): WorldNode {
    return this.nodes.get(hostId(number))!
  }

  at(endpoint: Endpoint): WorldNode {
    for (const node of this.nodes.values()) if (node.self.endpoint === endpoint) return node
    throw new Error(`nobody at ${endpoint}`)
  }

  /** Kills it, or brings it back; everybody hears of it at once. */
  setAlive(node: WorldNode, alive: boolean): void {
    node.alive = alive
    for (const other of this.nodes.values()) for (const listener of other.listeners) listener(node.self.hostId, alive)
  }

  lost(): boolean {
    return this.#dice.chance(this.weather.loss)
  }

  delay(): number {
    return this.weather.delayMs * (0.5 + (this.#dice.chance(0.1) ? this.#dice.int(100) / 5 : this.#dice.int(100) / 100))
  }
}

function nodeOf({ number, datacenter = 'dc1', rack = 'r1', joining = false }: NodeSpec): RingNode {
  const token = BigInt(number) * 1_000_000_000_000_000_000n - 4_000_000_000_000_000_000n
  return ringNode(number, { datacenter, rack, tokens: [String(token)], status: joining ? 'joining' : 'normal' })
}

/** A mutation of one row of no columns, at a place that follows from `token`. */
export function mutationAt(token: number, text: string, table: Buffer = TABLE_ID): Buffer {
  const writer = new MutationWriter()
  writer.begin(table, token | 0, 0, Buffer.from(text))
  writer.beginRow(Buffer.alloc(0))
  writer.row.liveness(0, 1, 0, 0)
  writer.endRow()
  return Buffer.from(writer.finish())
}

export class WorldNode {
  readonly self: RingNode
  readonly world: ReplicaWorld
  readonly listeners = new Set<(hostId: string, alive: boolean) => void>()
  readonly handlers = new Map<number, Handler>()
  /** Mutations that were applied, as hexadecimal text, in order. */
  readonly applied: string[] = []
  readonly hints: Hint[] = []
  readonly reports: Error[] = []
  readonly environment: CoordinatorEnvironment & { gcGraceSeconds?: () => number }
  readonly truncated: { readonly table: string; readonly atMs: number | undefined }[] = []
  /** Null: what is applied is only written down. */
  store: Store | null = null
  alive = true
  epoch = 1
  /** Of the ring's last change, as it knows it. */
  ringEpoch = 0
  /** The ring as it knows it; null: as it is. */
  former: Placement | null = null
  /** How it gets metadata; null: at once. */
  catchesUp: (() => Promise<void>) | null = null
  knows = true
  mayHint = true
  /** When a hint is durable; undefined: at once. Default: one or the other. */
  keptWhen: (() => Promise<void> | undefined) | null = null
  /** Of the wall clock, µs. */
  skew = 0
  #lastMicros = 0

  constructor(world: ReplicaWorld, self: RingNode, dice: Dice) {
    this.self = self
    this.world = world
    const { clock } = world
    const hints: Hints = {
      mayStore: () => this.mayHint,
      store: (host, mutation, writtenAt) => {
        this.hints.push({ hostId: host, mutation: Buffer.from(mutation).toString('hex'), writtenAt })
        if (this.keptWhen !== null) return this.keptWhen()
        return dice.chance(0.5) ? undefined : Promise.resolve()
      },
    }
    const replica: Replica = {
      apply: (mutations) => {
        const texts = mutations.map((mutation) => mutation.toString('hex'))
        if (dice.chance(world.weather.failure)) {
          if (dice.chance(0.5)) throw new ReplicaFailure('UNKNOWN', FailureReason.UNKNOWN, 'by chance')
          return Promise.reject(new ReplicaFailure('UNKNOWN', FailureReason.UNKNOWN, 'by chance'))
        }
        this.applied.push(...texts)
        if (this.store !== null) return this.store.apply(mutations)
        if (dice.chance(world.weather.slow)) return new Promise((resolve) => void clock.after(dice.int(3_000), resolve))
        if (this.keptWhen !== null) return this.keptWhen()
        return dice.chance(0.5) ? undefined : Promise.resolve()
      },
      read: (command) => this.store?.read(command) ?? { partitions: [], more: false, tombstones: 0 },
      resolution: (table) => this.store?.resolutionOf(table) ?? new LastWriteWins(),
      truncate: async (table, atMs) => {
        this.truncated.push({ table, atMs })
        this.applied.length = 0
      },
    }
    this.environment = {
      clock,
      random: createSeededRandom(dice.int(0x7fffffff)),
      messenger: new WorldMessenger(this),
      liveness: {
        isAlive: (host) => world.nodes.get(host)?.alive ?? false,
        listen: (listener) => {
          this.listeners.add(listener)
          return { [Symbol.dispose]: () => this.listeners.delete(listener) }
        },
      },
      // As methods of a class: whoever takes them off the environment fails.
      self() {
        return this.nodes().get(self.hostId)!
      },
      nodes() {
        return this.liveness && world.topology.nodes
      },
      replica,
      placement: (keyspace) =>
        keyspace === 'system' ? null : { placement: this.former ?? world.placement, replication: world.replication },
      keyspaceOf: (id) => (this.knows && id === TABLE_ID.toString('latin1') ? 'ks' : null),
      epoch: () => this.epoch,
      ringEpoch: () => this.ringEpoch,
      catchUp: async (epoch) => {
        if (this.catchesUp !== null) return await this.catchesUp()
        if (this.former !== null) this.ringEpoch = epoch
        this.former = null
        this.epoch = epoch
        this.knows = true
      },
      timestampMicros: () => {
        this.#lastMicros = Math.max(clock.wallMicros() + this.skew, this.#lastMicros + 1)
        return this.#lastMicros
      },
      observe: (micros) => {
        this.#lastMicros = Math.max(this.#lastMicros, micros)
      },
      hints,
      timeouts: REQUEST_TIMEOUTS,
      report: (cause) => this.reports.push(cause),
    }
  }

  serve(...parts: readonly ReplicaSide[]): void {
    const { messenger, epoch, ringEpoch, catchUp } = this.environment
    const serving = servingInRing(messenger, { isIn: () => true, epoch, changedAt: ringEpoch, catchUp })
    for (const part of parts) part.register(serving)
  }
}

class WorldMessenger implements Messenger {
  readonly self: { hostId: string; endpoint: Endpoint }
  readonly #node: WorldNode

  constructor(node: WorldNode) {
    this.#node = node
    this.self = { hostId: node.self.hostId, endpoint: node.self.endpoint }
  }

  handle(verb: number, handler: Handler): void {
    if (this.#node.handlers.has(verb)) throw new Error(`two handlers of ${verb}`)
    this.#node.handlers.set(verb, handler)
  }

  send(to: Endpoint, verb: number, payload: Payload): boolean {
    const { world } = this.#node
    if (!this.#node.alive) return false
    world.sent.push({ verb, from: this.self.endpoint, to })
    if (world.unreachable.has(to)) return false
    if (!world.lost()) void this.#deliver(to, verb, bytesOf(payload), 0, () => {})
    return true
  }

  request(to: Endpoint, verb: number, payload: Payload, timeoutMs: number, reply: ReplyHandler): void {
    const { world } = this.#node
    const { clock } = world
    if (this.#node.alive) world.sent.push({ verb, from: this.self.endpoint, to })
    if (world.unreachable.has(to) || !this.#node.alive) {
      clock.after(1, () => reply.failed(to, FailureReason.NODE_DOWN))
      return
    }
    let isOver = false
    const timer = clock.after(timeoutMs, () => {
      isOver = true
      reply.failed(to, FailureReason.TIMEOUT)
    })
    const answer = (given: Buffer | number): void => {
      if (isOver) return
      isOver = true
      timer[Symbol.dispose]()
      if (typeof given === 'number') reply.failed(to, given)
      else reply.replied(to, given)
    }
    if (world.lost()) return
    void this.#deliver(to, verb, bytesOf(payload), timeoutMs, (given) => {
      if (!world.lost()) clock.after(world.delay(), () => answer(given))
    })
  }

  async #deliver(
    to: Endpoint,
    verb: number,
    payload: Buffer,
    timeoutMs: number,
    answer: (given: Buffer | number) => void,
  ): Promise<void> {
    const { world } = this.#node
    const micros = this.#node.environment.timestampMicros()
    const delayMs = world.delay()
    const { epoch } = this.#node
    await new Promise<void>((resolve) => void world.clock.after(delayMs, resolve))
    const target = world.at(to)
    if (!target.alive) return
    target.environment.observe(micros)
    const message: Incoming = {
      verb,
      from: this.self,
      payload,
      epoch,
      remainingMs: timeoutMs === 0 ? 0 : Math.max(1, timeoutMs - delayMs),
    }
    try {
      const given = await target.handlers.get(verb)!(message)
      answer(given === undefined ? Buffer.alloc(0) : bytesOf(given))
    } catch (cause) {
      if (!(cause instanceof ReplicaFailure)) target.reports.push(cause as Error)
      answer(cause instanceof ReplicaFailure ? cause.reasonCode : FailureReason.UNKNOWN)
    }
  }

  counts(): MessengerCounts {
    return { peers: [], verbs: [], waiting: 0, serving: 0, connectionsIn: 0, refused: 0 }
  }

  async close(): Promise<void> {}
}

function bytesOf(payload: Payload): Buffer {
  return payload instanceof Uint8Array ? Buffer.from(payload) : Buffer.concat(payload)
}
