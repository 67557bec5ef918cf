/**
 * Many gossipers in virtual time, without promises: a queue of what happens when, and messengers that lose, delay and are cut off as the test
 * says. Everything follows from the seed.
 */
import { Gossiper, type GossiperOptions } from '../../cluster/gossip/gossiper.ts'
import type { Handler, Incoming, Messenger, Payload, ReplyHandler } from '../../cluster/internode/messenger.ts'
import { FailureReason } from '../../lib/base/errors.ts'
import { uuidText } from '../../lib/base/uuid.ts'
import type { Clock, Random } from '../../lib/runtime/runtime.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'

interface Event {
  readonly atMs: number
  readonly sequence: number
  readonly run: () => void
  dropped: boolean
}

/** A heap by time, then by the order of making. */
class Agenda {
  nowMs = 0
  #sequence = 0
  readonly #heap: Event[] = []

  add(delayMs: number, run: () => void): Event {
    const event = { atMs: this.nowMs + delayMs, sequence: this.#sequence++, run, dropped: false }
    const heap = this.#heap
    let at = heap.push(event) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(event, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
    return event
  }

  runUntil(endMs: number): void {
    for (;;) {
      const first = this.#heap[0]
      if (!first || first.atMs > endMs) break
      this.#removeFirst()
      this.nowMs = first.atMs
      if (!first.dropped) first.run()
    }
    this.nowMs = endMs
  }

  #removeFirst(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
  }
}

function before(x: Event, y: Event): boolean {
  return x.atMs < y.atMs || (x.atMs === y.atMs && x.sequence < y.sequence)
}

export interface GossipNode {
  readonly hostId: string
  readonly endpoint: string
  readonly index: number
  gossiper: Gossiper
  messenger: Messenger
  clock: Clock
  /** Of its wall clock. */
  skewMs: number
  /** dead: nobody takes its connections. paused: they are taken, and nothing happens. */
  phase: 'running' | 'paused' | 'dead'
  readonly log: string[]
  /** What its listener heard: `up <index>`, `down <index>`. */
  readonly changes: string[]
  readonly woken: number[]
  readonly conflicts: string[]
  sentBytes: number
  messages: number
  handlers: Map<number, Handler>
  waking: (() => void)[]
}

export interface GossipWorldOptions {
  readonly seed: number
  readonly nodes: number
  readonly seeds?: number
  /** All nodes are members from the beginning, and keep their places. Default true. */
  readonly members?: boolean
  readonly loss?: number
  readonly gossiper?: Partial<GossiperOptions>
}

export class GossipWorld {
  readonly agenda = new Agenda()
  readonly nodes: GossipNode[] = []
  loss: number
  /** Whether a message may go from one to the other. */
  connected: (from: GossipNode, to: GossipNode) => boolean = () => true
  readonly #random: Random
  readonly #seeds: string[]
  readonly #options: GossipWorldOptions
  readonly #byEndpoint = new Map<string, GossipNode>()

  constructor(options: GossipWorldOptions) {
    this.#options = options
    this.#random = createSeededRandom(options.seed)
    this.loss = options.loss ?? 0
    this.#seeds = Array.from({ length: options.seeds ?? 3 }, (_, index) => endpointOf(index))
    for (let i = 0; i < options.nodes; i++) this.add()
  }

  /** A node more; it does nothing before it is started. */
  add(over: { hostId?: string; options?: Partial<GossiperOptions> } = {}): GossipNode {
    const index = this.nodes.length
    const hostId = over.hostId ?? uuidText(this.#random.fill(Buffer.alloc(16)))
    const node: GossipNode = {
      hostId,
      endpoint: endpointOf(index),
      index,
      gossiper: null as unknown as Gossiper,
      messenger: null as unknown as Messenger,
      clock: null as unknown as Clock,
      skewMs: 0,
      phase: 'dead',
      log: [],
      changes: [],
      woken: [],
      conflicts: [],
      sentBytes: 0,
      messages: 0,
      handlers: new Map(),
      waking: [],
    }
    this.nodes.push(node)
    this.#byEndpoint.set(node.endpoint, node)
    this.#make(node, over.options ?? {})
    return node
  }

  #make(node: GossipNode, over: Partial<GossiperOptions>): void {
    node.handlers = new Map()
    node.clock = this.#clock(node)
    node.messenger = this.#messenger(node)
    node.gossiper = new Gossiper({
      clock: node.clock,
      random: this.#random.stream(`${node.index} ${this.agenda.nowMs}`),
      messenger: node.messenger,
      cluster: () => ({ name: 'Test Cluster', id: null }),
      generation: 1_700_000_000 + Math.floor(this.agenda.nowMs / 1000),
      seeds: this.#seeds,
      members: () => (this.#options.members === false ? [] : this.nodes),
      report: (message) => node.log.push(message),
      woke: (pausedMs) => node.woken.push(pausedMs),
      conflict: (endpoint) => node.conflicts.push(endpoint),
      ...this.#options.gossiper,
      ...over,
    })
    node.gossiper.listen((hostId, alive) => {
      const index = this.nodes.findIndex((other) => other.hostId === hostId)
      node.changes.push(`${alive ? 'up' : 'down'} ${index}`)
    })
  }

  start(node: GossipNode): void {
    node.phase = 'running'
    node.gossiper.start()
  }

  /** All at once, or spread over so many ms. */
  startAll(withinMs = 0): void {
    for (const node of this.nodes) this.agenda.add(this.#random.float() * withinMs, () => this.start(node))
  }

  kill(node: GossipNode): void {
    node.phase = 'dead'
    node.gossiper.close()
  }

  restart(node: GossipNode, over: Partial<GossiperOptions> = {}): void {
    this.kill(node)
    this.#make(node, over)
    this.start(node)
  }

  pause(node: GossipNode): void {
    node.phase = 'paused'
  }

  resume(node: GossipNode): void {
    node.phase = 'running'
    for (const run of node.waking.splice(0)) run()
  }

  run(ms: number): void {
    this.agenda.runUntil(this.agenda.nowMs + ms)
  }

  /** Runs in steps of `stepMs` until it holds; the ms that it took, or Infinity after `maxMs`. */
  until(holds: () => boolean, maxMs: number, stepMs = 100): number {
    const start = this.agenda.nowMs
    while (!holds()) {
      if (this.agenda.nowMs - start >= maxMs) return Number.POSITIVE_INFINITY
      this.run(stepMs)
    }
    return this.agenda.nowMs - start
  }

  get running(): GossipNode[] {
    return this.nodes.filter(({ phase }) => phase === 'running')
  }

  /** Every running node holds every running node for alive. */
  isWhole(): boolean {
    const running = this.running
    return running.every(({ gossiper }) => running.every(({ hostId }) => gossiper.isAlive(hostId)))
  }

  /** What was lost of the times while a process was paused happens when it goes on. */
  #whenRunning(node: GossipNode, run: () => void): void {
    if (node.phase === 'paused') node.waking.push(run)
    else run()
  }

  #clock(node: GossipNode): Clock {
    return {
      monotonicMs: () => this.agenda.nowMs,
      wallMicros: () => 1_700_000_000_000_000 + (this.agenda.nowMs + node.skewMs) * 1000,
      after: (delayMs, run) => {
        const event = this.agenda.add(delayMs, () =>
          this.#whenRunning(node, () => {
            if (!event.dropped) run()
          }),
        )
        return {
          [Symbol.dispose]() {
            event.dropped = true
          },
        }
      },
      soon: (run) => void this.agenda.add(0, run),
    }
  }

  /** Half a millisecond, seldom much more. */
  #latencyMs(): number {
    return 0.5 - 2 * Math.log(1 - this.#random.float())
  }

  #deliver(from: GossipNode, to: GossipNode, act: () => void): void {
    if (!this.connected(from, to) || this.#random.float() < this.loss) return
    this.agenda.add(this.#latencyMs(), () => {
      if (to.phase !== 'dead') this.#whenRunning(to, act)
    })
  }

  #messenger(node: GossipNode): Messenger {
    const { handlers } = node
    const incoming = (verb: number, payload: Buffer, remainingMs: number): Incoming => ({
      verb,
      from: { hostId: node.hostId, endpoint: node.endpoint },
      payload,
      epoch: 0,
      remainingMs,
    })
    return {
      self: { hostId: node.hostId, endpoint: node.endpoint },
      handle: (verb, handler) => void handlers.set(verb, handler),
      send: (to, verb, payload) => {
        const target = this.#byEndpoint.get(to)
        const bytes = this.#count(node, payload)
        if (!target || target.phase === 'dead') return false
        this.#deliver(node, target, () => void target.handlers.get(verb)?.(incoming(verb, bytes, 0)))
        return true
      },
      request: (to, verb, payload, timeoutMs, reply) => {
        const bytes = this.#count(node, payload)
        this.#request(node, to, timeoutMs, reply, (target) =>
          target.handlers.get(verb)?.(incoming(verb, bytes, timeoutMs)),
        )
      },
      counts: () => {
        throw new Error('nobody counts here')
      },
      close: async () => {},
    }
  }

  #request(
    node: GossipNode,
    to: string,
    timeoutMs: number,
    reply: ReplyHandler,
    ask: (target: GossipNode) => ReturnType<Handler>,
  ): void {
    const target = this.#byEndpoint.get(to)
    let settled = false
    const settle = (act: () => void): void => {
      if (settled) return
      settled = true
      act()
    }
    if (!target || target.phase === 'dead') {
      this.agenda.add(1, () => settle(() => reply.failed(to, FailureReason.NODE_DOWN)))
      return
    }
    this.agenda.add(timeoutMs, () =>
      this.#whenRunning(node, () => settle(() => reply.failed(to, FailureReason.TIMEOUT))),
    )
    this.#deliver(node, target, () => {
      const answer = ask(target)
      if (answer instanceof Promise) throw new Error('gossip answers at once')
      const bytes = this.#count(target, answer ?? Buffer.alloc(0))
      this.#deliver(target, node, () => settle(() => reply.replied(to, bytes)))
    })
  }

  /** A copy, as the messenger's contract says. */
  #count(node: GossipNode, payload: Payload): Buffer {
    const bytes = Buffer.concat(payload instanceof Uint8Array ? [payload] : payload)
    node.sentBytes += bytes.length
    node.messages++
    return bytes
  }
}

function endpointOf(index: number): string {
  return `10.0.${index >> 8}.${index & 255}:7000`
}
