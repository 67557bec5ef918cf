/**
 * The way to another node, one lane of it: a connection that is opened when there is something to say, what waits for it, and what happens when it ends.
 * All messages to that node go this way, requests and answers alike; nothing comes back on it but the handshake's end and answers to heartbeats.
 * Always: a request that fails as never sent was never handed to a socket; what waits is bounded, and leaves when its time is up; after a connection
 * failed, what has to be said is refused at once until the next attempt is due.
 */
import { ChunkQueue } from '../../lib/base/chunks.ts'
import type { Socket } from '../../lib/runtime/runtime.ts'
import { Batch, copyPayload } from './batch.ts'
import { parseEndpoint } from './endpoint.ts'
import { decodeWelcome, encodeHello, GREETING_HEAD_BYTES, readGreetingHead, WelcomeStatus } from './handshake.ts'
import type { Lane, LaneCounts, Payload } from './messenger.ts'
import { heldBytes, type LinkHome, type Peer } from './peer.ts'
import type { PendingRequest } from './pending.ts'
import {
  finishSegment,
  LARGE_BYTES_MIN,
  MESSAGE_HEADER_BYTES,
  putRemaining,
  readSegmentHeader,
  SEGMENT_BYTES_FULL,
  SEGMENT_HEADER_BYTES,
  SegmentFlag,
  type SegmentHeader,
  type SegmentParts,
  WIRE_VERSION,
  WireError,
  writeMessageHeader,
} from './wire.ts'

const SOURCE = 'outbound.ts'

/** What a socket holds may be so much; more waits here, where it can still expire. */
const SOCKET_BYTES_MAX = 256 * 1024

export interface Outgoing {
  readonly verb: number
  readonly kind: number
  readonly id: number
  readonly epoch: number
  /** Infinity: it may wait for ever. */
  readonly deadlineMs: number
  /** Null: an answer, or one way. */
  readonly request: PendingRequest | null
  /** The run of the other that an answer is for; null: for any. */
  readonly incarnation: string | null
}

interface Queued {
  /** Room for a segment's header, then the message. */
  readonly bytes: Buffer
  readonly message: Outgoing
}

type Phase = 'idle' | 'connecting' | 'greeting' | 'open' | 'closed'

export class OutboundLink {
  readonly lane: Lane
  readonly #home: LinkHome
  readonly #peer: Peer
  #phase: Phase = 'idle'
  #socket: Socket | null = null
  readonly #batch: Batch
  #queue: Queued[] = []
  #queueHead = 0
  #queuedBytes = 0
  /** The socket has enough: wait until it has none. */
  #isBlocked = false
  isFlushDue = false
  #compresses = false
  #sequence = 0
  #notBeforeMs = 0
  #failures = 0
  #openedAtMs = 0
  #heardAtMs = 0
  #lastRefusal = ''
  #timer: Disposable | null = null
  readonly #chunks = new ChunkQueue()
  readonly #header: SegmentHeader = { flags: 0, storedBytes: 0, plainBytes: 0, sequence: 0, micros: 0, checksum: 0 }
  #sent = 0
  #sentBytes = 0
  #dropped = 0

  constructor(home: LinkHome, peer: Peer, lane: Lane) {
    this.lane = lane
    this.#home = home
    this.#peer = peer
    this.#batch = new Batch({
      segmentParts: (flags) => this.#segmentParts(flags),
      give: (bytes) => this.#give(bytes),
      compresses: () => this.#compresses,
    })
  }

  /** False: it is not sent, and nothing is kept of it. */
  write(message: Outgoing, payload: Payload, { size, remainingMs }: { size: number; remainingMs: number }): boolean {
    if (this.#phase === 'open' && !this.#isBlocked && this.#queuedBytes === 0 && size < LARGE_BYTES_MIN) {
      if (message.incarnation !== null && message.incarnation !== this.#peer.incarnation) return this.#refuse()
      if (message.request) message.request.isSent = true
      this.#sent++
      this.#batch.message(message, payload, { size, remainingMs })
      if (!this.isFlushDue) this.#home.flushSoon(this)
      return true
    }
    if (!this.#mayQueue(size)) return this.#refuse()
    const bytes = Buffer.allocUnsafeSlow(SEGMENT_HEADER_BYTES + MESSAGE_HEADER_BYTES + size)
    writeMessageHeader(bytes, SEGMENT_HEADER_BYTES, message, { size, remainingMs })
    copyPayload(bytes, SEGMENT_HEADER_BYTES + MESSAGE_HEADER_BYTES, payload)
    this.#queue.push({ bytes, message })
    this.#queuedBytes += bytes.length
    this.#peer.queuedBytes += bytes.length
    if (this.#phase === 'idle') this.#connect()
    else if (this.#phase === 'open' && !this.#isBlocked && !this.isFlushDue) this.#home.flushSoon(this)
    return true
  }

  /** The end of a turn. */
  flush(): void {
    if (this.#phase !== 'open') return
    this.#pump()
    this.#batch.flush()
  }

  /** The other side has shown that it is there: no reason to wait before the next attempt. */
  encourage(): void {
    this.#notBeforeMs = 0
  }

  /** The other is another run than the one that we speak to: what it was sent is lost. */
  restart(): void {
    if (this.#phase !== 'open' && this.#phase !== 'greeting') return
    this.#socket!.destroy()
    this.#reset()
    if (this.#queuedBytes > 0) this.#connect()
  }

  /** Now and then: heartbeats, silence, what waits too long. */
  tick(nowMs: number, isLate: boolean): void {
    this.#expire(nowMs)
    if (this.#phase !== 'open') return
    if (isLate) this.#heardAtMs = nowMs
    if (nowMs - this.#heardAtMs > this.#home.settings.silenceMs) {
      this.#home.log.info(SOURCE, `${this.#name()} is silent, the connection is given up`)
      this.#socket!.destroy()
      this.#lost()
      return
    }
    if (this.#isBlocked) return
    this.#batch.signal(SegmentFlag.PING)
    this.#batch.flush()
  }

  get isIdle(): boolean {
    return this.#phase === 'idle' && this.#queuedBytes === 0
  }

  get socketBytes(): number {
    return this.#batch.length + (this.#socket?.pendingBytes ?? 0)
  }

  counts(): LaneCounts {
    return {
      pending: this.#queue.length - this.#queueHead,
      pendingBytes: this.#queuedBytes + this.socketBytes,
      sent: this.#sent,
      sentBytes: this.#sentBytes,
      dropped: this.#dropped,
      connected: this.#phase === 'open',
    }
  }

  /** What was given to the socket still goes out; what waits fails. */
  close(): void {
    if (this.#phase === 'closed') return
    if (this.#phase === 'open') {
      this.flush()
      this.#socket!.end()
    } else this.#socket?.destroy()
    this.#phase = 'closed'
    this.#stopTimer()
    this.#dropQueue()
  }

  destroy(): void {
    this.close()
    this.#socket?.destroy()
  }

  #refuse(): false {
    this.#dropped++
    return false
  }

  #name(): string {
    return `${this.#peer.endpoint} (${this.lane})`
  }

  #mayQueue(size: number): boolean {
    if (this.#phase === 'closed') return false
    if (this.#phase === 'idle' && this.#home.clock.monotonicMs() < this.#notBeforeMs) return false
    const held = heldBytes(this.#peer)
    return held === 0 || held + size <= this.#home.settings.queueBytesMax
  }

  #segmentParts(flags: number): SegmentParts {
    const sequence = this.#sequence
    this.#sequence = (sequence + 1) >>> 0
    return { flags, sequence, micros: this.#home.hybridNow() }
  }

  #give(bytes: Buffer): void {
    const socket = this.#socket!
    this.#sentBytes += bytes.length
    if (!socket.write(bytes) && socket.pendingBytes > SOCKET_BYTES_MAX) this.#isBlocked = true
  }

  /** What waited goes out, as far as the socket takes it. */
  #pump(): void {
    if (this.#queuedBytes === 0) return
    const nowMs = this.#home.clock.monotonicMs()
    while (this.#queueHead < this.#queue.length && !this.#isBlocked) {
      const { bytes, message } = this.#queue[this.#queueHead++]!
      this.#queuedBytes -= bytes.length
      this.#peer.queuedBytes -= bytes.length
      if (!this.#isStillWanted(message, nowMs)) {
        this.#drop(message)
        continue
      }
      if (message.request) message.request.isSent = true
      this.#sent++
      if (message.deadlineMs !== Number.POSITIVE_INFINITY)
        putRemaining(bytes, SEGMENT_HEADER_BYTES, Math.max(1, Math.ceil(message.deadlineMs - nowMs)))
      if (bytes.length < LARGE_BYTES_MIN) {
        this.#batch.written(bytes.subarray(SEGMENT_HEADER_BYTES))
        if (this.#batch.length >= SEGMENT_BYTES_FULL) this.#batch.flush()
      } else {
        this.#batch.flush()
        const end = finishSegment(bytes, 0, bytes.length, this.#segmentParts(0), this.#compresses)
        this.#give(bytes.subarray(0, end))
      }
    }
    if (this.#queueHead === this.#queue.length) {
      this.#queue = []
      this.#queueHead = 0
    }
  }

  #isStillWanted({ request, deadlineMs, incarnation }: Outgoing, nowMs: number): boolean {
    if (request?.isDone || deadlineMs <= nowMs) return false
    return incarnation === null || incarnation === this.#peer.incarnation
  }

  #drop({ request, verb }: Outgoing): void {
    this.#dropped++
    if (!request) this.#home.dropped(verb)
    else if (!request.isDone) this.#home.neverSent(request)
  }

  #dropQueue(): void {
    const rest = this.#queue.slice(this.#queueHead)
    this.#queue = []
    this.#queueHead = 0
    this.#peer.queuedBytes -= this.#queuedBytes
    this.#queuedBytes = 0
    for (const { message } of rest) this.#drop(message)
  }

  #expire(nowMs: number): void {
    if (this.#queuedBytes === 0) return
    const rest = this.#queue.slice(this.#queueHead)
    const kept: Queued[] = []
    for (const entry of rest) {
      const { message, bytes } = entry
      if (!message.request?.isDone && message.deadlineMs > nowMs) {
        kept.push(entry)
        continue
      }
      this.#queuedBytes -= bytes.length
      this.#peer.queuedBytes -= bytes.length
      this.#drop(message)
    }
    this.#queue = kept
    this.#queueHead = 0
  }

  #connect(): void {
    const { network, settings, localAddress } = this.#home
    this.#stopTimer()
    this.#phase = 'connecting'
    const { address, port } = parseEndpoint(this.#peer.endpoint)
    const from = localAddress === undefined ? {} : { localAddress }
    network.connect(address, port, { timeoutMs: settings.connectTimeoutMs, ...from }).then(
      (socket) => {
        if (this.#phase === 'connecting') this.#greet(socket)
        else socket.destroy()
      },
      (error: Error) => {
        if (this.#phase === 'connecting') this.#failed(error)
      },
    )
  }

  #greet(socket: Socket): void {
    const { self, clusterName, incarnation, clock, settings } = this.#home
    this.#phase = 'greeting'
    this.#socket = socket
    this.#batch.clear()
    this.#timer = clock.after(settings.handshakeTimeoutMs, () => {
      this.#timer = null
      socket.destroy()
      this.#failed(new Error('no answer to the handshake'))
    })
    socket.on({
      data: (chunk) => {
        if (this.#socket === socket) this.#heard(chunk)
      },
      drain: () => {
        if (this.#socket === socket) this.#drained()
      },
      close: (error) => {
        if (this.#socket === socket) this.#ended(error)
      },
    })
    if (this.#socket !== socket) return
    socket.write(
      encodeHello({
        versionMin: WIRE_VERSION,
        versionMax: WIRE_VERSION,
        lane: this.lane,
        clusterName,
        hostId: self.hostId,
        incarnation,
        endpoint: self.endpoint,
        to: this.#peer.endpoint,
      }),
    )
  }

  #heard(chunk: Buffer): void {
    this.#heardAtMs = this.#home.clock.monotonicMs()
    this.#chunks.push(chunk)
    try {
      if (this.#phase === 'greeting') this.#readWelcome()
      if (this.#phase === 'open') this.#readAnswers()
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.#home.refused(`${this.#name()} said what it should not: ${error.message}`)
      this.#socket!.destroy()
      if (this.#phase === 'greeting') this.#failed(error)
      else this.#lost()
    }
  }

  #readWelcome(): void {
    const chunks = this.#chunks
    if (!chunks.peek(GREETING_HEAD_BYTES)) return
    const length = readGreetingHead(chunks.buffer, chunks.at)
    if (chunks.length < GREETING_HEAD_BYTES + length) return
    chunks.take(GREETING_HEAD_BYTES + length)
    const at = chunks.at + GREETING_HEAD_BYTES
    const welcome = decodeWelcome(chunks.buffer.subarray(at, at + length))
    const problem = this.#problemWith(welcome)
    const isOther = welcome.clusterName !== this.#home.clusterName
    this.#home.metCluster(this.#peer.endpoint, isOther ? welcome.clusterName : null)
    if (problem === '') {
      this.#opened(welcome.incarnation)
      return
    }
    if (problem !== this.#lastRefusal) this.#home.refused(`${this.#name()} does not take us: ${problem}`)
    this.#lastRefusal = problem
    this.#socket!.destroy()
    this.#failed(new Error(problem))
  }

  #problemWith({ status, clusterName, version }: { status: number; clusterName: string; version: number }): string {
    const own = this.#home.clusterName
    if (clusterName !== own || status === WelcomeStatus.OTHER_CLUSTER)
      return `its cluster is '${clusterName}', ours is '${own}'`
    if (status === WelcomeStatus.OTHER_ENDPOINT) return 'it has another address'
    if (status === WelcomeStatus.BUSY) return 'it has too many connections'
    if (status !== WelcomeStatus.OK || version !== WIRE_VERSION) return 'it speaks other versions of the protocol'
    return ''
  }

  #opened(incarnation: string): void {
    this.#stopTimer()
    this.#phase = 'open'
    this.#sequence = 0
    this.#compresses = this.#home.compresses(this.#peer.endpoint)
    this.#isBlocked = false
    this.#openedAtMs = this.#home.clock.monotonicMs()
    this.#lastRefusal = ''
    const before = this.#peer.incarnation
    this.#peer.incarnation = incarnation
    if (before !== null && before !== incarnation) this.#home.gone(this.#peer)
    this.#home.log.debug(SOURCE, `Connected to ${this.#name()}`)
    this.flush()
  }

  /** Nothing but answers to heartbeats. */
  #readAnswers(): void {
    while (this.#chunks.peek(SEGMENT_HEADER_BYTES)) {
      readSegmentHeader(this.#chunks.buffer, this.#chunks.at, this.#header, 0)
      this.#chunks.take(SEGMENT_HEADER_BYTES)
    }
    this.#chunks.release()
  }

  #drained(): void {
    this.#heardAtMs = this.#home.clock.monotonicMs()
    this.#isBlocked = false
    this.flush()
  }

  #ended(error: Error | null): void {
    if (this.#phase === 'greeting') this.#failed(error ?? new Error('closed during the handshake'))
    else if (this.#phase === 'open') {
      this.#home.log.debug(SOURCE, `The connection to ${this.#name()} ended${error ? `: ${error.message}` : ''}`)
      this.#lost()
    } else this.#socket = null
  }

  /** An open connection ended. Whether the other node did too the next attempt will show: at once, when somebody waits for it. */
  #lost(): void {
    const nowMs = this.#home.clock.monotonicMs()
    const isLasting = nowMs - this.#openedAtMs > this.#home.settings.backoffMaxMs
    this.#reset()
    if (isLasting) this.#failures = 0
    else this.#backOff(nowMs)
    this.#tryAgain(nowMs)
  }

  #failed(error: Error & { code?: string }): void {
    const nowMs = this.#home.clock.monotonicMs()
    this.#reset()
    this.#backOff(nowMs)
    this.#home.log.debug(SOURCE, `No connection to ${this.#name()}: ${error.message}`)
    if (error.code === 'ECONNREFUSED') this.#home.gone(this.#peer)
    this.#tryAgain(nowMs)
  }

  /** Requests that were sent and not answered want to know whether there is anybody left to answer them. */
  #tryAgain(nowMs: number): void {
    const delayMs = this.#notBeforeMs - nowMs
    if (delayMs > 0) this.#dropQueue()
    if (this.#queuedBytes === 0 && !this.#home.hasSent(this.#peer)) return
    if (delayMs <= 0) this.#connect()
    else
      this.#timer = this.#home.clock.after(delayMs, () => {
        this.#timer = null
        if (this.#phase === 'idle' && this.#home.hasSent(this.#peer)) this.#connect()
      })
  }

  #reset(): void {
    this.#stopTimer()
    this.#phase = 'idle'
    this.#socket = null
    this.#isBlocked = false
    this.#batch.clear()
    this.#chunks.clear()
  }

  #backOff(nowMs: number): void {
    const { backoffMinMs, backoffMaxMs } = this.#home.settings
    const delayMs = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(this.#failures, 16))
    this.#failures++
    this.#notBeforeMs = nowMs + delayMs * (0.5 + this.#home.random.float() / 2)
  }

  #stopTimer(): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = null
  }
}
