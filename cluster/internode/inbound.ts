/**
 * A connection that another node opened: its handshake, then its messages. What comes through is checked before it is believed; whatever is wrong ends this
 * connection and nothing else.
 */
import { ChunkQueue } from '../../lib/base/chunks.ts'
import type { Socket } from '../../lib/runtime/runtime.ts'
import { parseEndpoint } from './endpoint.ts'
import {
  chooseVersion,
  decodeHello,
  encodeWelcome,
  GREETING_HEAD_BYTES,
  type Hello,
  readGreetingHead,
  WelcomeStatus,
} from './handshake.ts'
import type { Lane, Sender } from './messenger.ts'
import type { LinkHome, Peer } from './peer.ts'
import {
  finishSegment,
  getUint32,
  KIND_MAX,
  LARGE_BYTES_MIN,
  MESSAGE_HEADER_BYTES,
  openSegment,
  readSegmentHeader,
  SEGMENT_BYTES_FULL,
  SEGMENT_HEADER_BYTES,
  SegmentFlag,
  type SegmentHeader,
  WireError,
} from './wire.ts'

const SOURCE = 'inbound.ts'

/** Answers to heartbeats that the other does not take. */
const ANSWERS_BYTES_MAX = 64 * 1024

export interface Arrival {
  verb: number
  kind: number
  id: number
  epoch: number
  remainingMs: number
  payload: Buffer
}

export interface InboundHome extends LinkHome {
  greeted(link: InboundLink): void
  observeClock(micros: number): void
  /** One object serves all arrivals of a link. */
  arrived(link: InboundLink, arrival: Arrival): void
  ended(link: InboundLink): void
}

const NONE: Buffer = Buffer.alloc(0)

export class InboundLink {
  readonly #home: InboundHome
  readonly #socket: Socket
  readonly #chunks = new ChunkQueue()
  readonly #header: SegmentHeader = { flags: 0, storedBytes: 0, plainBytes: 0, sequence: 0, micros: 0, checksum: 0 }
  readonly #arrival: Arrival = { verb: 0, kind: 0, id: 0, epoch: 0, remainingMs: 0, payload: NONE }
  /** Null: it has not said yet. */
  from: Sender | null = null
  lane: Lane = 'small'
  incarnation = ''
  /** Where answers go; the messenger's. */
  peer: Peer | null = null
  /** Of the chunk being read. */
  nowMs = 0
  #bytesMax = 0
  #hasHeader = false
  #sequence = 0
  #answers = 0
  #heardAtMs: number
  #isClosed = false
  #timer: Disposable | null

  constructor(home: InboundHome, socket: Socket) {
    this.#home = home
    this.#socket = socket
    this.#heardAtMs = home.clock.monotonicMs()
    this.#timer = home.clock.after(home.settings.handshakeTimeoutMs, () => {
      this.#timer = null
      this.#refuse('it does not say who it is')
    })
    socket.on({
      data: (chunk) => this.#read(chunk),
      drain: () => {},
      close: () => this.#end(),
    })
  }

  /** What it is called in the log. */
  get name(): string {
    const { remoteAddress, remotePort } = this.#socket
    return this.from ? `${this.from.endpoint} (${this.lane})` : `${remoteAddress}:${remotePort}`
  }

  tick(nowMs: number, isLate: boolean): void {
    if (isLate) this.#heardAtMs = nowMs
    if (this.from === null || nowMs - this.#heardAtMs <= this.#home.settings.silenceMs) return
    this.#home.log.info(SOURCE, `Nothing came from ${this.name} for too long, its connection is closed`)
    this.close()
  }

  close(): void {
    this.#socket.destroy()
    this.#end()
  }

  #end(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#timer?.[Symbol.dispose]()
    this.#timer = null
    this.#chunks.clear()
    this.#home.ended(this)
  }

  #refuse(why: string): void {
    if (this.#isClosed) return
    this.#home.refused(`A connection from ${this.name} is closed: ${why}`)
    this.close()
  }

  #read(chunk: Buffer): void {
    if (this.#isClosed) return
    this.nowMs = this.#home.clock.monotonicMs()
    this.#heardAtMs = this.nowMs
    this.#chunks.push(chunk)
    try {
      if (this.from === null && !this.#readHello()) return
      while (!this.#isClosed && this.#readSegment());
      if (!this.#isClosed) this.#chunks.release()
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.#refuse(error.message)
    }
  }

  #readHello(): boolean {
    const chunks = this.#chunks
    if (!chunks.peek(GREETING_HEAD_BYTES)) return false
    const length = readGreetingHead(chunks.buffer, chunks.at)
    if (chunks.length < GREETING_HEAD_BYTES + length) return false
    chunks.take(GREETING_HEAD_BYTES + length)
    const at = chunks.at + GREETING_HEAD_BYTES
    const hello = decodeHello(chunks.buffer.subarray(at, at + length))
    const { self, clusterName, incarnation, settings } = this.#home
    const version = chooseVersion(hello)
    const { status, why } = this.#judge(hello, version)
    this.#socket.write(encodeWelcome({ status, version, clusterName, hostId: self.hostId, incarnation }))
    if (status !== WelcomeStatus.OK) {
      this.#home.refused(`A connection from ${hello.endpoint} at ${this.name} is refused: ${why}`)
      this.#socket.end()
      this.#end()
      return false
    }
    this.#timer?.[Symbol.dispose]()
    this.#timer = null
    this.lane = hello.lane
    this.incarnation = hello.incarnation
    this.from = { hostId: hello.hostId, endpoint: hello.endpoint }
    const messageMax = this.lane === 'large' ? settings.messageBytesMax : LARGE_BYTES_MIN
    this.#bytesMax = messageMax + MESSAGE_HEADER_BYTES + SEGMENT_BYTES_FULL
    this.#home.greeted(this)
    return true
  }

  #judge(hello: Hello, version: number): { readonly status: number; readonly why: string } {
    const { clusterName, self } = this.#home
    if (hello.clusterName !== clusterName)
      return {
        status: WelcomeStatus.OTHER_CLUSTER,
        why: `its cluster is '${printable(hello.clusterName)}', ours is '${clusterName}'`,
      }
    if (version === 0)
      return {
        status: WelcomeStatus.OTHER_VERSION,
        why: `it speaks versions ${hello.versionMin} to ${hello.versionMax}`,
      }
    if (hello.to !== self.endpoint)
      return {
        status: WelcomeStatus.OTHER_ENDPOINT,
        why: `it looks for ${printable(hello.to)}, we are ${self.endpoint}`,
      }
    if (this.#socket.names?.(parseEndpoint(hello.endpoint).address) === false)
      return { status: WelcomeStatus.OTHER_ENDPOINT, why: 'its certificate is for another address' }
    return { status: WelcomeStatus.OK, why: '' }
  }

  /** False: the next segment has not come yet. */
  #readSegment(): boolean {
    const chunks = this.#chunks
    const header = this.#header
    if (!this.#hasHeader) {
      if (!chunks.peek(SEGMENT_HEADER_BYTES)) return false
      readSegmentHeader(chunks.buffer, chunks.at, header, this.#bytesMax)
      if (header.sequence !== this.#sequence) throw new WireError(`segment ${header.sequence} after ${this.#sequence}`)
      this.#hasHeader = true
    }
    const bytes = SEGMENT_HEADER_BYTES + header.storedBytes
    if (!chunks.take(bytes)) return false
    this.#hasHeader = false
    this.#sequence = (this.#sequence + 1) >>> 0
    const plain = openSegment(chunks.buffer, chunks.at + SEGMENT_HEADER_BYTES, header)
    this.#home.observeClock(header.micros)
    if ((header.flags & SegmentFlag.PING) !== 0) this.#answerPing()
    this.#readMessages(plain)
    return true
  }

  #readMessages(plain: Buffer): void {
    const arrival = this.#arrival
    let at = 0
    while (at < plain.length && !this.#isClosed) {
      if (plain.length - at < MESSAGE_HEADER_BYTES) throw new WireError('a message header that ends early')
      const size = getUint32(plain, at)
      const start = at + MESSAGE_HEADER_BYTES
      if (size > plain.length - start) throw new WireError('a message that ends early')
      arrival.id = getUint32(plain, at + 4)
      arrival.epoch = getUint32(plain, at + 8)
      arrival.remainingMs = getUint32(plain, at + 12)
      arrival.verb = plain[at + 16]!
      arrival.kind = plain[at + 17]!
      if (arrival.kind > KIND_MAX) throw new WireError(`a message of kind ${arrival.kind}`)
      arrival.payload = plain.subarray(start, start + size)
      this.#home.arrived(this, arrival)
      at = start + size
    }
    arrival.payload = NONE
  }

  #answerPing(): void {
    if (this.#socket.pendingBytes > ANSWERS_BYTES_MAX)
      throw new WireError('it does not take the answers to its heartbeats')
    const bytes = Buffer.allocUnsafe(SEGMENT_HEADER_BYTES)
    const sequence = this.#answers++ >>> 0
    const parts = { flags: SegmentFlag.PONG, sequence, micros: this.#home.hybridNow() }
    finishSegment(bytes, 0, SEGMENT_HEADER_BYTES, parts, false)
    this.#socket.write(bytes)
  }
}

/** Names that others give go into the log without what could play tricks there. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?')
}
