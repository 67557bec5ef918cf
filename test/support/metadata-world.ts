/**
 * Nodes that have storage on simulated disks, a metadata log, and messages between them that are late, lost, doubled and cut off; no gossip, no
 * ring, no sockets. Everything follows from a seed.
 */
import type {
  Endpoint,
  Handler,
  Messenger,
  MessengerCounts,
  Payload,
  ReplyHandler,
} from '../../cluster/internode/messenger.ts'
import { Verb } from '../../cluster/internode/verbs.ts'
import { decodeMessage, encodeMessage, type FetchAnswer, type PrepareAnswer } from '../../cluster/metadata/messages.ts'
import type { RingNode } from '../../cluster/ring/topology.ts'
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import type { Log } from '../../lib/runtime/runtime.ts'
import { openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSimulatedJobs } from '../../lib/runtime/simulated/jobs.ts'
import { Kernel, type SimulatedProcess } from '../../lib/runtime/simulated/kernel.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import type { MetadataStore } from '../../lib/server/metadata-copy.ts'
import { type MetadataLog, openMetadataLog } from '../../lib/server/metadata-log.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { createDice, type Dice } from './random.ts'
import { storageRuntime } from './storage-runtime.ts'

/** Bugs that a world can have, at the doors of the nodes: what checks it must find them. */
export type Sabotage =
  /** Promises and acceptances are never written: a restart forgets them. */
  | 'acceptors forget'
  /** A promise does not say what was accepted before. */
  | 'accepted hidden'
  /** Nobody tells of what it accepted and does not know to be decided. */
  | 'progress hidden'
  /** A vote counts before it is on disk. */
  | 'vote before sync'

export interface MetadataWorldOptions {
  readonly sabotage?: Sabotage | null
  readonly seed: number
  readonly nodes: number
  /** How many of them are seeds. Default: all. */
  readonly seeds?: number
  readonly snapshotEvery?: number
  /** Virtual ms that a sync takes at most. */
  readonly syncMs?: number
}

export interface StartOptions {
  readonly alone?: boolean
  readonly seeds?: readonly number[]
  readonly clusterName?: string
}

export interface WorldNode {
  readonly index: number
  readonly hostId: string
  readonly endpoint: Endpoint
  readonly process: SimulatedProcess
  readonly store: Store
  readonly metadata: MetadataLog
  /** Resolves when the node belongs to a cluster. */
  readonly established: Promise<void>
}

export class MetadataWorld {
  readonly kernel: Kernel
  readonly dice: Dice
  readonly count: number
  /** Those that run, by index. */
  readonly nodes = new Map<number, WorldNode>()
  readonly reports: string[] = []
  loss = 0
  duplicates = 0
  delayMsMax = 5
  /** Whether a message from one node reaches the other. */
  isCut: (from: number, to: number) => boolean = () => false
  /** Added to the last number of every address: nodes that start later have other ones. */
  moved = 0
  /** Nodes that hear, and are not heard. */
  readonly muted = new Set<number>()
  /** Called when a node has answered another's prepare or proposal. */
  onVote: (index: number, proposer: number) => void = () => {}
  readonly #options: MetadataWorldOptions
  readonly #messengers = new Map<Endpoint, WorldMessenger>()
  readonly #disks: SimulatedDisk[] = []
  #starts = 0

  constructor(options: MetadataWorldOptions) {
    this.#options = options
    this.count = options.nodes
    this.dice = createDice(options.seed)
    this.kernel = new Kernel({ random: createSeededRandom(options.seed), hop: setImmediate })
  }

  ringNode(index: number): RingNode {
    return {
      hostId: hostId(index),
      endpoint: this.endpointOf(index),
      clientAddress: `10.0.0.${index + 1 + this.moved}`,
      clientPort: 9042,
      datacenter: 'dc1',
      rack: `rack${index % 3}`,
      tokens: [String(BigInt(index) * 1000n)],
      status: 'normal',
      capacity: 1,
    }
  }

  endpointOf(index: number): Endpoint {
    return `10.0.0.${index + 1 + this.moved}:7000`
  }

  /** Starts a node with what its disk has; resolves when its log is open. */
  async start(index: number, more: StartOptions = {}): Promise<WorldNode> {
    const { seed, snapshotEvery = 1000, seeds = this.count } = this.#options
    const run = ++this.#starts
    const process = this.kernel.process(`node ${index}`)
    let disk = this.#disks[index]
    if (!disk) {
      disk = openSimulatedDisk()
      await disk.mkdir('/data')
      await disk.syncDirectory('/')
      this.#disks[index] = disk
    }
    this.#slow(disk, process)
    const { clock } = process
    const random = createSeededRandom(seed * 1000 + run)
    const runtime = storageRuntime(clock, disk)
    const store = await openStore({
      runtime: { ...runtime, jobs: createSimulatedJobs({ clock, disk, random }) },
      directory: '/data',
      settings: { commitLog: { mode: 'group', segmentBytes: 256 * 1024 } },
    })
    const self = this.ringNode(index)
    const messenger = new WorldMessenger(this, index, process)
    this.#messengers.set(self.endpoint, messenger)
    const metadata = await openMetadataLog({
      store: this.#sabotaged(store),
      nowSeconds: () => 1_700_000_000,
      snapshotEvery,
      self,
      ...(more.alone
        ? {}
        : {
            cluster: {
              self,
              messenger,
              clock,
              random,
              log: this.#log(index),
              clusterName: more.clusterName ?? 'Test Cluster',
              seeds:
                more.seeds?.map((i) => this.endpointOf(i)) ??
                Array.from({ length: seeds }, (_, i) => this.endpointOf(i)),
              whereabouts: (id) => [...this.nodes.values()].find((node) => node.hostId === id)?.endpoint ?? null,
            },
          }),
    })
    const established = metadata.establish()
    established.catch(() => undefined)
    const node = { index, hostId: self.hostId, endpoint: self.endpoint, process, store, metadata, established }
    this.nodes.set(index, node)
    return node
  }

  /** Ends the node at once. With power loss its disk forgets what was not synced. */
  kill(index: number, survival: number | null): void {
    const node = this.nodes.get(index)
    if (!node) return
    node.process.kill()
    this.nodes.delete(index)
    this.#messengers.delete(node.endpoint)
    const random = createSeededRandom(this.dice.int(2 ** 31))
    // Without power loss all that was written is there: the disk as another process finds it.
    this.#disks[index] = this.#disks[index]!.crash(survival ?? 1, random)
  }

  /** Lets virtual time pass until the promise settles. */
  async until<T>(promise: Promise<T>, limitMs = 60_000): Promise<T> {
    let done = false
    const finish = (): void => {
      done = true
      this.kernel.stop()
    }
    promise.then(finish, finish)
    await this.kernel.run(this.kernel.nowMs + limitMs)
    if (!done) throw new Error(`nothing came of it in ${limitMs} ms`)
    return promise
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.kernel.clock.after(ms, resolve))
  }

  /** Every running node has the newest epoch of all. */
  async settle(limitMs = 60_000): Promise<void> {
    const end = this.kernel.nowMs + limitMs
    for (;;) {
      const epochs = [...this.nodes.values()].map(({ metadata }) => metadata.state.epoch)
      if (epochs.every((epoch) => epoch > 0 && epoch === epochs[0])) return
      if (this.kernel.nowMs > end) throw new Error(`epochs ${epochs} after ${limitMs} ms`)
      await this.sleep(100)
    }
  }

  deliver(from: number, to: Endpoint, arrive: (messenger: WorldMessenger) => void): void {
    const target = this.#messengers.get(to)?.index ?? -1
    const copies = this.dice.chance(this.duplicates) ? 2 : 1
    for (let i = 0; i < copies; i++) {
      if (this.dice.chance(this.loss)) continue
      this.kernel.clock.after(this.dice.int(this.delayMsMax * 1000) / 1000, () => {
        const messenger = this.#messengers.get(to)
        if (messenger && !this.muted.has(from) && !this.isCut(from, target) && messenger.process.isAlive)
          messenger.receive(arrive)
      })
    }
  }

  get sabotage(): Sabotage | null {
    return this.#options.sabotage ?? null
  }

  #sabotaged(store: Store): MetadataStore {
    const { sabotage } = this
    if (sabotage !== 'acceptors forget' && sabotage !== 'vote before sync') return store
    const apply = (mutations: readonly Buffer[]): Promise<void> | undefined => {
      if (!mutations[0]!.includes('acceptor')) return store.apply(mutations)
      if (sabotage === 'vote before sync') void Promise.resolve(store.apply(mutations)).catch(() => undefined)
      return Promise.resolve()
    }
    return {
      apply,
      read: (command) => store.read(command),
      get tableIds() {
        return store.tableIds
      },
      registerTable: (id, table) => store.registerTable(id, table),
      prepareDrop: (ids) => store.prepareDrop(ids),
      dropTable: (id) => store.dropTable(id),
      flush: (id) => store.flush(id),
    }
  }

  /** A message as it is, from one node to another; whatever is answered is not heard. */
  say(from: number, to: number, verb: number, payload: Buffer): void {
    const messenger = this.#messengers.get(this.endpointOf(from))!
    messenger.request(this.endpointOf(to), verb, payload, 1_000, { replied() {}, failed() {} })
  }

  #slow(disk: SimulatedDisk, process: SimulatedProcess): void {
    const { syncMs = 3 } = this.#options
    disk.onOperation = (operation) =>
      operation === 'sync'
        ? new Promise<void>((resolve) => process.clock.after(this.dice.int(syncMs * 1000) / 1000, resolve))
        : undefined
  }

  #log(index: number): Log {
    const say = (_: string, message: string, cause?: unknown): void => {
      this.reports.push(`${index}: ${message}${cause ? ` ${(cause as Error).stack}` : ''}`)
    }
    return { trace() {}, debug() {}, info() {}, warn() {}, error: say }
  }
}

export function hostId(index: number): string {
  return `00000000-0000-4000-8000-00000000000${index}`
}

class WorldMessenger implements Messenger {
  readonly self: { readonly hostId: string; readonly endpoint: Endpoint }
  readonly process: SimulatedProcess
  readonly #world: MetadataWorld
  readonly index: number
  readonly #handlers = new Map<number, Handler>()
  readonly #waiting = new Map<number, { readonly reply: ReplyHandler; readonly timer: Disposable }>()
  #requests = 0

  constructor(world: MetadataWorld, index: number, process: SimulatedProcess) {
    this.#world = world
    this.index = index
    this.process = process
    this.self = { hostId: hostId(index), endpoint: world.endpointOf(index) }
  }

  handle(verb: number, handler: Handler): void {
    this.#handlers.set(verb, handler)
  }

  send(to: Endpoint, verb: number, payload: Payload): boolean {
    const bytes = Buffer.from(payload as Uint8Array)
    this.#world.deliver(this.index, to, (other) => {
      void other.#handlers.get(verb)?.({ verb, from: this.self, payload: bytes, epoch: 0, remainingMs: 0 })
    })
    return true
  }

  request(to: Endpoint, verb: number, payload: Payload, timeoutMs: number, reply: ReplyHandler): void {
    const id = ++this.#requests
    const bytes = Buffer.from(payload as Uint8Array)
    const timer = this.process.clock.after(timeoutMs, () => this.#answered(id, to, null))
    this.#waiting.set(id, { reply, timer })
    this.#world.deliver(this.index, to, (other) => other.#serve(this, id, verb, bytes, timeoutMs))
  }

  /** In the turn of the process. */
  receive(arrive: (messenger: WorldMessenger) => void): void {
    this.process.clock.after(0, () => arrive(this))
  }

  #serve(from: WorldMessenger, id: number, verb: number, payload: Buffer, remainingMs: number): void {
    const handler = this.#handlers.get(verb)
    if (!handler) return
    const answer = async (): Promise<Buffer | null> => {
      try {
        const given = await handler({ verb, from: from.self, payload, epoch: 0, remainingMs })
        return this.#sabotaged(verb, Buffer.from((given ?? Buffer.alloc(0)) as Uint8Array))
      } catch (error) {
        if (!(error instanceof ReplicaFailure)) this.#world.reports.push(`${this.index}: ${(error as Error).stack}`)
        return null
      }
    }
    void answer().then((bytes) => {
      if (!this.process.isAlive) return
      this.#world.deliver(this.index, from.self.endpoint, (back) => {
        if (back === from) back.#answered(id, this.self.endpoint, bytes)
      })
      if (verb === Verb.METADATA_PREPARE || verb === Verb.METADATA_PROPOSE) this.#world.onVote(this.index, from.index)
    })
  }

  #sabotaged(verb: number, answer: Buffer): Buffer {
    const { sabotage } = this.#world
    if (sabotage === 'accepted hidden' && verb === Verb.METADATA_PREPARE)
      return encodeMessage({ ...decodeMessage<PrepareAnswer>(answer, () => true), accepted: null })
    if (sabotage === 'progress hidden' && verb === Verb.METADATA_FETCH)
      return encodeMessage({ ...decodeMessage<FetchAnswer>(answer, () => true), isInProgress: false })
    return answer
  }

  #answered(id: number, from: Endpoint, payload: Buffer | null): void {
    const waiting = this.#waiting.get(id)
    if (!waiting) return
    this.#waiting.delete(id)
    waiting.timer[Symbol.dispose]()
    if (payload) waiting.reply.replied(from, payload)
    else waiting.reply.failed(from, FailureReason.TIMEOUT)
  }

  counts(): MessengerCounts {
    throw new Error('not in this test')
  }

  async close(): Promise<void> {}
}
