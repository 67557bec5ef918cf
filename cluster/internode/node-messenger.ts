/**
 * The messenger of a node: it listens for the others, keeps a link to each and lane, matches answers with requests, and hands what comes to the handlers.
 * Messages of one turn of the event loop (of two, when there is much to do) leave together at its end, one write a link. Messages to the node itself take no socket.
 */
import { FailureReason } from '../../lib/base/errors.ts'
import type { Clock, Listener, Log, Network, Random, Socket } from '../../lib/runtime/runtime.ts'
import { copyPayload, payloadBytes } from './batch.ts'
import { VerbCounters } from './counts.ts'
import { formatEndpoint, parseEndpoint } from './endpoint.ts'
import { INCARNATION_BYTES } from './handshake.ts'
import { type Arrival, type InboundHome, InboundLink } from './inbound.ts'
import type { Endpoint, Handler, Messenger, MessengerCounts, Payload, ReplyHandler, Sender } from './messenger.ts'
import { LANES } from './messenger.ts'
import { OutboundLink } from './outbound.ts'
import { countPeer, type Peer } from './peer.ts'
import { type PendingRequest, PendingRequests } from './pending.ts'
import { type Asker, Serving } from './serving.ts'
import { INTERNODE_DEFAULTS, type InternodeSettings } from './settings.ts'
import { URGENT_VERBS_END, verbName } from './verbs.ts'
import { decodeFailure, encodeFailure, Kind, LARGE_BYTES_MIN } from './wire.ts'

const SOURCE = 'node-messenger.ts'

/** A node that nobody spoke to for so long is forgotten until somebody does. */
const PEER_UNUSED_MS = 600_000

/** How long close() waits for what was written to go out. */
const CLOSE_PATIENCE_MS = 500

/** With so many requests, own and others', links are written to every other turn of the event loop. */
const BUSY = 8

const NONE: Buffer = Buffer.alloc(0)

export interface MessengerOptions {
  readonly clock: Clock
  readonly random: Random
  readonly network: Network
  readonly log: Log
  /** Its endpoint is where it listens; port 0: a free one, which `self` of the messenger names. */
  readonly self: Sender
  /** Where to listen, when that is another address than the others are told. */
  readonly listenAddress?: string
  readonly clusterName: string
  readonly settings?: Partial<InternodeSettings>
  /** Of the metadata that this node has: goes along with each message. */
  epoch(): number
  /** A message came from a node that has more; called before the message is handled. */
  observeEpoch?(epoch: number, from: Sender): void
  readonly hybrid: { now(): number; observe(micros: number): void }
  /** Pack what goes to that node; default: nothing is packed. Asked at each connection. */
  compresses?(endpoint: Endpoint): boolean
}

/** Listens, and may be used when the promise resolves. Rejects with what Network.listen throws. */
export async function openMessenger(options: MessengerOptions): Promise<NodeMessenger> {
  const { address, port } = parseEndpoint(options.self.endpoint)
  let messenger: NodeMessenger | null = null
  const listener = await options.network.listen(options.listenAddress ?? address, port, (socket) => {
    if (messenger) messenger.accept(socket)
    else socket.destroy()
  })
  const self = { hostId: options.self.hostId, endpoint: formatEndpoint(address, listener.port) }
  messenger = new NodeMessenger(options, self, listener)
  return messenger
}

interface OwnMessage {
  readonly verb: number
  readonly payload: Buffer
  /** Null: one way. */
  readonly request: PendingRequest | null
  readonly remainingMs: number
}

export class NodeMessenger implements Messenger, InboundHome {
  readonly self: Sender
  readonly clock: Clock
  readonly random: Random
  readonly network: Network
  readonly log: Log
  readonly settings: InternodeSettings
  readonly clusterName: string
  readonly incarnation: string
  readonly localAddress: string | undefined
  /** Names of the clusters of nodes that did not take this one's connection for it; by their endpoints. */
  readonly otherClusters = new Map<Endpoint, string>()
  readonly #options: MessengerOptions
  readonly #listener: Listener
  readonly #serving: Serving
  readonly #peers = new Map<Endpoint, Peer>()
  readonly #inbound = new Set<InboundLink>()
  readonly #pending: PendingRequests
  readonly #verbs = new VerbCounters()
  #dirty: OutboundLink[] = []
  #own: OwnMessage[] = []
  #unsent: PendingRequest[] = []
  #isTurnDue = false
  /** What is to be said was held back for one turn. */
  #hasWaited = false
  #refused = 0
  #ticker: Disposable | null = null
  #tickAtMs = 0
  #isClosed = false
  #closing: Promise<void> | null = null

  constructor(options: MessengerOptions, self: Sender, listener: Listener) {
    this.#options = options
    this.#listener = listener
    this.self = self
    this.clock = options.clock
    this.random = options.random.stream('internode')
    this.network = options.network
    this.log = options.log
    this.settings = { ...INTERNODE_DEFAULTS, ...options.settings }
    this.clusterName = options.clusterName
    this.incarnation = Buffer.from(this.random.fill(new Uint8Array(INCARNATION_BYTES))).toString('hex')
    const from = options.listenAddress ?? parseEndpoint(self.endpoint).address
    this.localAddress = from === '0.0.0.0' || from === '::' ? undefined : from
    this.#serving = new Serving(options.log)
    const first = Math.floor(this.random.float() * 0x1_0000_0000)
    this.#pending = new PendingRequests(this.clock, first, (request) => this.#timedOut(request))
  }

  handle(verb: number, handler: Handler): void {
    this.#serving.handle(verb, handler)
  }

  send(to: Endpoint, verb: number, payload: Payload): boolean {
    if (this.#isClosed) return false
    if (to === this.self.endpoint) {
      this.#toSelf(verb, payload, null, 0)
      return true
    }
    const size = payloadBytes(payload)
    const message = {
      verb,
      kind: Kind.ONE_WAY,
      id: 0,
      epoch: this.#options.epoch(),
      deadlineMs: Number.POSITIVE_INFINITY,
      request: null,
      incarnation: null,
    }
    const isQueued =
      size <= this.settings.messageBytesMax &&
      this.#linkTo(this.#peerAt(to), verb, size).write(message, payload, { size, remainingMs: 0 })
    this.#verbs[isQueued ? 'sent' : 'dropped'][verb]!++
    return isQueued
  }

  request(to: Endpoint, verb: number, payload: Payload, timeoutMs: number, reply: ReplyHandler): void {
    const deadlineMs = this.clock.monotonicMs() + timeoutMs
    const request: PendingRequest = { id: 0, to, verb, deadlineMs, reply, isSent: false, isDone: false }
    this.#pending.add(request)
    if (this.#isClosed) {
      this.neverSent(request)
      return
    }
    const remainingMs = Math.max(1, Math.ceil(timeoutMs))
    if (to === this.self.endpoint) {
      this.#toSelf(verb, payload, request, remainingMs)
      return
    }
    const size = payloadBytes(payload)
    const epoch = this.#options.epoch()
    const message = { verb, kind: Kind.REQUEST, id: request.id, epoch, deadlineMs, request, incarnation: null }
    if (
      size <= this.settings.messageBytesMax &&
      this.#linkTo(this.#peerAt(to), verb, size).write(message, payload, { size, remainingMs })
    )
      this.#verbs.sent[verb]!++
    else this.neverSent(request)
  }

  counts(): MessengerCounts {
    return {
      peers: [...this.#peers.values()].map(countPeer),
      verbs: this.#verbs.counts(),
      waiting: this.#pending.size,
      serving: this.#serving.count,
      connectionsIn: this.#inbound.size,
      refused: this.#refused,
    }
  }

  close(): Promise<void> {
    this.#isClosed = true
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#ticker?.[Symbol.dispose]()
    this.#ticker = null
    const listener = this.#listener.close()
    const links = [...this.#peers.values()].flatMap((peer) => peer.links)
    for (const link of links) link.close()
    for (const link of [...this.#inbound]) link.close()
    const waiting = this.#pending.takeAll(() => true)
    this.#pending.close()
    for (const request of waiting) this.#fail(request, reasonFor(request))
    if (links.some((link) => link.socketBytes > 0))
      await new Promise<void>((resolve) => this.clock.after(CLOSE_PATIENCE_MS, resolve))
    for (const link of links) link.destroy()
    await listener
  }

  // What links need of their messenger.

  hybridNow(): number {
    return this.#options.hybrid.now()
  }

  observeClock(micros: number): void {
    this.#options.hybrid.observe(micros)
  }

  compresses(endpoint: Endpoint): boolean {
    return this.#options.compresses?.(endpoint) ?? false
  }

  flushSoon(link: OutboundLink): void {
    link.isFlushDue = true
    this.#dirty.push(link)
    this.#turnSoon()
  }

  neverSent(request: PendingRequest): void {
    if (!this.#pending.take(request.id)) return
    this.#verbs.dropped[request.verb]!++
    this.#unsent.push(request)
    this.#turnSoon()
  }

  dropped(verb: number): void {
    this.#verbs.dropped[verb]!++
  }

  gone(peer: Peer): void {
    const lost = this.#pending.takeAll((request) => request.isSent && request.to === peer.endpoint)
    for (const request of lost) this.#fail(request, FailureReason.TIMEOUT)
  }

  hasSent(peer: Peer): boolean {
    return this.#pending.some((request) => request.isSent && request.to === peer.endpoint)
  }

  metCluster(endpoint: Endpoint, other: string | null): void {
    if (other === null) this.otherClusters.delete(endpoint)
    else this.otherClusters.set(endpoint, other)
  }

  refused(message: string): void {
    this.#refused++
    this.log.warn(SOURCE, message)
  }

  // The other side's connections.

  accept(socket: Socket): void {
    if (this.#isClosed || this.#inbound.size >= this.settings.connectionsInMax) {
      this.#refused++
      socket.destroy()
      return
    }
    this.#inbound.add(new InboundLink(this, socket))
    this.#tickSoon()
  }

  greeted(link: InboundLink): void {
    const peer = this.#peerAt(link.from!.endpoint)
    link.peer = peer
    if (peer.incarnation !== null && peer.incarnation !== link.incarnation) {
      peer.incarnation = null
      for (const outbound of peer.links) outbound.restart()
      this.gone(peer)
    }
    for (const outbound of peer.links) outbound.encourage()
  }

  ended(link: InboundLink): void {
    this.#inbound.delete(link)
  }

  arrived(link: InboundLink, { verb, kind, id, epoch, remainingMs, payload }: Arrival): void {
    const from = link.from!
    if (epoch > this.#options.epoch()) this.#options.observeEpoch?.(epoch, from)
    if (kind === Kind.REPLY || kind === Kind.FAILURE) {
      this.#answered(from.endpoint, id, kind, payload)
      return
    }
    this.#verbs.received[verb]!++
    const asker = kind === Kind.REQUEST ? this.#askerOf(link, verb, id, remainingMs) : null
    const { servingMax, servingBytesMax } = this.settings
    const { count, bytes } = this.#serving
    if (count < servingMax && (bytes === 0 || bytes + payload.length <= servingBytesMax))
      this.#serving.serve({ verb, from, payload, epoch, remainingMs: asker ? remainingMs : 0 }, asker)
    else {
      this.#verbs.dropped[verb]!++
      asker?.failed(FailureReason.UNKNOWN)
    }
  }

  #askerOf({ peer, nowMs, incarnation }: InboundLink, verb: number, id: number, remainingMs: number): Asker {
    const deadlineMs = nowMs + remainingMs
    const answer = (kind: number, payload: Payload, size: number): void => {
      if (this.#isClosed) return
      const epoch = this.#options.epoch()
      const message = { verb, kind, id, epoch, deadlineMs, request: null, incarnation }
      if (!this.#linkTo(peer!, verb, size).write(message, payload, { size, remainingMs: 0 })) this.dropped(verb)
    }
    const failed = (reason: number): void => {
      const payload = encodeFailure(reason)
      answer(Kind.FAILURE, payload, payload.length)
    }
    return {
      failed,
      answered: (payload = NONE) => {
        const size = payloadBytes(payload)
        if (size > this.settings.messageBytesMax) failed(FailureReason.READ_SIZE)
        else answer(Kind.REPLY, payload, size)
      },
    }
  }

  // Answers to what we asked.

  #answered(from: Endpoint, id: number, kind: number, payload: Buffer): void {
    if (this.#pending.get(id)?.to !== from) return
    const request = this.#pending.take(id)!
    if (kind === Kind.FAILURE) {
      this.#fail(request, decodeFailure(payload))
      return
    }
    this.#verbs.replied[request.verb]!++
    try {
      request.reply.replied(from, payload)
    } catch (error) {
      this.log.error(SOURCE, `An answer to ${verbName(request.verb)} was not understood`, error)
    }
  }

  #timedOut(request: PendingRequest): void {
    this.#verbs[request.isSent ? 'timedOut' : 'dropped'][request.verb]!++
    this.#fail(request, reasonFor(request))
  }

  #fail(request: PendingRequest, reason: number): void {
    this.#verbs.failed[request.verb]!++
    try {
      request.reply.failed(request.to, reason)
    } catch (error) {
      this.log.error(SOURCE, `A failure of ${verbName(request.verb)} was not understood`, error)
    }
  }

  // What the node says to itself.

  #toSelf(verb: number, payload: Payload, request: PendingRequest | null, remainingMs: number): void {
    const copy = Buffer.allocUnsafe(payloadBytes(payload))
    copyPayload(copy, 0, payload)
    if (request) request.isSent = true
    this.#own.push({ verb, payload: copy, request, remainingMs })
    this.#turnSoon()
  }

  #serveOwn({ verb, payload, request, remainingMs }: OwnMessage): void {
    if (request?.isDone) return
    this.#verbs.received[verb]!++
    const { endpoint } = this.self
    const asker: Asker | null = request && {
      failed: (reason) => this.#answered(endpoint, request.id, Kind.FAILURE, Buffer.from(encodeFailure(reason))),
      answered: (answer = NONE) => {
        const copy = Buffer.allocUnsafe(payloadBytes(answer))
        copyPayload(copy, 0, answer)
        this.#answered(endpoint, request.id, Kind.REPLY, copy)
      },
    }
    this.#serving.serve({ verb, from: this.self, payload, epoch: this.#options.epoch(), remainingMs }, asker)
  }

  // The end of a turn.

  #turnSoon(): void {
    if (this.#isTurnDue) return
    this.#isTurnDue = true
    this.clock.soon(() => this.#turn())
  }

  #turn(): void {
    // A write costs more than a look at what else has come: with much under way there is more to say at once.
    if (!this.#hasWaited && this.#dirty.length > 0 && this.#pending.size + this.#serving.count >= BUSY) {
      this.#hasWaited = true
      this.clock.soon(() => this.#turn())
      return
    }
    this.#hasWaited = false
    this.#isTurnDue = false
    const dirty = this.#dirty
    this.#dirty = []
    for (const link of dirty) {
      link.isFlushDue = false
      link.flush()
    }
    const unsent = this.#unsent
    this.#unsent = []
    for (const request of unsent) this.#fail(request, FailureReason.NODE_DOWN)
    const own = this.#own
    this.#own = []
    for (const message of own) this.#serveOwn(message)
  }

  // Peers.

  #peerAt(endpoint: Endpoint): Peer {
    return this.#peers.get(endpoint) ?? this.#addPeer(endpoint)
  }

  #addPeer(endpoint: Endpoint): Peer {
    const links: OutboundLink[] = []
    const peer = { endpoint, links, incarnation: null, queuedBytes: 0, usedAtMs: this.clock.monotonicMs() }
    for (const lane of LANES) links.push(new OutboundLink(this, peer, lane))
    this.#peers.set(endpoint, peer)
    this.#tickSoon()
    return peer
  }

  /** Gossip, small, large: as LANES. */
  #linkTo(peer: Peer, verb: number, size: number): OutboundLink {
    if (size >= LARGE_BYTES_MIN) return peer.links[2]!
    return peer.links[verb < URGENT_VERBS_END ? 0 : 1]!
  }

  #tickSoon(): void {
    if (this.#ticker || this.#isClosed) return
    this.#tickAtMs = this.clock.monotonicMs() + this.settings.heartbeatMs
    this.#ticker = this.clock.after(this.settings.heartbeatMs, () => this.#tick())
  }

  #tick(): void {
    this.#ticker = null
    const nowMs = this.clock.monotonicMs()
    // Whoever slept himself does not blame the others for their silence.
    const isLate = nowMs - this.#tickAtMs > this.settings.heartbeatMs
    for (const link of [...this.#inbound]) {
      link.tick(nowMs, isLate)
      if (link.peer) link.peer.usedAtMs = nowMs
    }
    for (const peer of [...this.#peers.values()]) {
      for (const link of peer.links) {
        link.tick(nowMs, isLate)
        if (!link.isIdle) peer.usedAtMs = nowMs
      }
      if (nowMs - peer.usedAtMs > PEER_UNUSED_MS) this.#peers.delete(peer.endpoint)
    }
    if (this.#peers.size > 0 || this.#inbound.size > 0) this.#tickSoon()
  }
}

function reasonFor({ isSent }: PendingRequest): number {
  return isSent ? FailureReason.TIMEOUT : FailureReason.NODE_DOWN
}
