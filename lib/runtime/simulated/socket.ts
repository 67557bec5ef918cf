/**
 * One end of a simulated TCP connection. What is written is taken into a send buffer as long as there is room, travels in order, and waits at the
 * other end until it is read; nobody hears of a peer that is silent.
 * Always: `close` is called once, never from within a call to this end (but by `on`, when it is closed already); bytes arrive in order or not at all; nothing arrives after an end is closed.
 */
import { assert } from '../../base/assert.ts'
import type { Clock, Random, Socket, SocketHandlers } from '../runtime.ts'
import type { Link, Waiting } from './link.ts'

/** Bytes that a system takes over from a process before the other end has read them. */
const SEND_BUFFER = 256 * 1024
/** A read of Node's hands over no more. */
const READ_MAX = 64 * 1024

export interface SocketWorld {
  /** Of the wires. */
  readonly clock: Clock
  readonly random: Random
  /** Chance that what arrived is handed over in two parts; if there is any, two parts may also come as one. */
  readonly fragmentChance: number
  link(from: string, to: string): Link
  /** Null: the machine is off. */
  isUp(address: string): boolean
  /** Retried when the machine is on again. */
  waitForHost(address: string, stream: Waiting): void
  delivered(from: string, to: string, bytes: Buffer): void
}

export interface SocketAddress {
  readonly address: string
  readonly port: number
}

type Packet = { readonly arrivesMs: number } & (
  | { readonly kind: 'data'; readonly bytes: Buffer }
  | { readonly kind: 'end' }
  | { readonly kind: 'reset' }
)

/** `gone`: its machine lost power, and knows nothing of it any more. */
type State = 'open' | 'closed' | 'gone'

export function networkError(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${message}`), { code })
}

export class SimulatedSocket implements Socket {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  pendingBytes = 0
  readonly #world: SocketWorld
  /** To the other end, and back. */
  readonly #out: Link
  readonly #back: Link
  /** Of its process. */
  readonly #clock: Clock
  readonly #closed: (socket: SimulatedSocket) => void
  #peer: SimulatedSocket | null = null
  #state: State = 'open'
  #handlers: SocketHandlers | null = null
  #error: Error | null = null
  /** Not copied before the system takes it: whoever changes it meanwhile sends what he changed. */
  readonly #unsent: Uint8Array[] = []
  #needsDrain = false
  #hasEnded = false
  #endIsSent = false
  /** Bytes that the system has taken and the other end has not read. */
  #outstanding = 0
  #heldAcks = 0
  readonly #wire: Packet[] = []
  #wireIsWatched = false
  #lastArrivalMs: number
  readonly #received: Buffer[] = []
  #peerHasEnded = false
  #isPaused = false
  #flowIsDue = false

  constructor(
    world: SocketWorld,
    clock: Clock,
    local: SocketAddress,
    remote: SocketAddress,
    closed: (socket: SimulatedSocket) => void,
  ) {
    this.#world = world
    this.#clock = clock
    this.localAddress = local.address
    this.localPort = local.port
    this.remoteAddress = remote.address
    this.remotePort = remote.port
    this.#closed = closed
    this.#out = world.link(local.address, remote.address)
    this.#back = world.link(remote.address, local.address)
    this.#lastArrivalMs = 0
  }

  /** Nothing that one end writes is there before `earliestMs`. */
  static join(one: SimulatedSocket, other: SimulatedSocket, earliestMs: number): void {
    one.#peer = other
    other.#peer = one
    one.#lastArrivalMs = other.#lastArrivalMs = earliestMs
  }

  get #other(): SimulatedSocket {
    assert(this.#peer !== null, 'a connection has two ends')
    return this.#peer
  }

  on(handlers: SocketHandlers): void {
    assert(this.#handlers === null, 'handlers are set once')
    this.#handlers = handlers
    if (this.#state === 'open') this.#flowSoon()
    else handlers.close(this.#error)
  }

  write(bytes: Uint8Array): boolean {
    if (this.#state !== 'open') return false
    if (this.#hasEnded) {
      this.#fail(networkError('EPIPE', 'a write after the end'))
      return false
    }
    if (bytes.length > 0) {
      this.#unsent.push(bytes)
      this.pendingBytes += bytes.length
      this.#send()
    }
    if (this.pendingBytes > 0) this.#needsDrain = true
    return this.pendingBytes === 0
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#flowSoon()
  }

  end(): void {
    if (this.#state !== 'open' || this.#hasEnded) return
    this.#hasEnded = true
    this.#send()
  }

  destroy(): void {
    if (this.#state !== 'open') return
    this.#transmit(this.#received.length > 0 ? 'reset' : 'end')
    this.#close(null)
  }

  /** The connection breaks, for both ends, whatever the links are like. */
  break(): void {
    const error = networkError('ECONNRESET', `${this.localAddress} and ${this.remoteAddress}`)
    const peer = this.#other
    if (peer.#state === 'open') peer.#fail(error)
    if (this.#state === 'open') this.#fail(error)
  }

  /** Its process was killed: the system closes the connection. */
  killed(): void {
    if (this.#state !== 'open') return
    this.#state = 'closed'
    this.#transmit(this.#received.length > 0 ? 'reset' : 'end')
    this.#other.#readdress()
  }

  /** Its machine lost power: the other end hears nothing. */
  lost(): void {
    if (this.#state !== 'open') return
    this.#state = 'gone'
    this.#wire.length = 0
    this.#other.#readdress()
  }

  #close(error: Error | null): void {
    this.#state = 'closed'
    this.#error = error
    this.#unsent.length = 0
    this.#received.length = 0
    this.pendingBytes = 0
    this.#closed(this)
    this.#other.#readdress()
    if (this.#handlers !== null) this.#clock.soon(() => this.#handlers?.close(error))
  }

  #fail(error: Error): void {
    this.#wire.length = 0
    this.#close(error)
  }

  /** Gives the system what it has room for. */
  #send(): void {
    while (this.#unsent.length > 0 && this.#outstanding < SEND_BUFFER) {
      const next = this.#unsent[0]!
      const room = SEND_BUFFER - this.#outstanding
      const part = next.length <= room ? next : next.subarray(0, room)
      if (part === next) this.#unsent.shift()
      else this.#unsent[0] = next.subarray(room)
      this.#outstanding += part.length
      this.pendingBytes -= part.length
      this.#transmit('data', Buffer.from(part))
      if (this.#state !== 'open') return
    }
    if (this.#hasEnded && !this.#endIsSent && this.#unsent.length === 0) {
      this.#endIsSent = true
      this.#transmit('end')
      this.#closeIfDone()
    }
    if (this.#needsDrain && this.pendingBytes === 0) {
      this.#needsDrain = false
      this.#clock.soon(() => {
        if (this.#state === 'open') this.#handlers?.drain()
      })
    }
  }

  #transmit(kind: 'data' | 'end' | 'reset', bytes: Buffer = EMPTY): void {
    const link = this.#out
    if (kind === 'data' && link.breaks()) {
      this.break()
      return
    }
    const arrivesMs = Math.max(this.#lastArrivalMs, link.arrivalMs(bytes.length))
    this.#lastArrivalMs = arrivesMs
    this.#wire.push(kind === 'data' ? { arrivesMs, kind, bytes } : { arrivesMs, kind })
    this.#watchWire()
  }

  #watchWire(): void {
    const head = this.#wire[0]
    if (this.#wireIsWatched || head === undefined) return
    const peer = this.#other
    this.#wireIsWatched = true
    // What comes for a living process is an event of its own: it waits while the process is paused.
    const clock = peer.#state === 'open' ? peer.#clock : this.#world.clock
    clock.after(Math.max(0, head.arrivesMs - this.#world.clock.monotonicMs()), () => this.retry())
  }

  /** Whoever was to take what is on the wire is not there any more: the wire's own clock goes on with it. */
  #readdress(): void {
    if (!this.#wireIsWatched) return
    this.#wireIsWatched = false
    this.#watchWire()
  }

  /** Hands over what has arrived. */
  retry(): void {
    this.#wireIsWatched = false
    if (this.#wire.length === 0) return
    const peer = this.#other
    const link = this.#out
    if (link.isBlocked || !this.#world.isUp(this.remoteAddress)) {
      this.#wireIsWatched = true
      if (link.isBlocked) link.wait(this)
      else this.#world.waitForHost(this.remoteAddress, this)
      return
    }
    const nowMs = this.#world.clock.monotonicMs()
    while (this.#wire.length > 0 && this.#wire[0]!.arrivesMs <= nowMs) peer.#receive(this.#wire.shift()!)
    this.#watchWire()
  }

  #receive(packet: Packet): void {
    if (this.#state !== 'open') {
      // A machine that does not know a connection says so.
      if (packet.kind === 'data' && this.#other.#state === 'open') this.#transmit('reset')
      return
    }
    if (packet.kind === 'reset') {
      this.#fail(networkError('ECONNRESET', `by ${this.remoteAddress}`))
      return
    }
    if (packet.kind === 'end') this.#peerHasEnded = true
    else this.#received.push(packet.bytes)
    this.#flow()
  }

  #flowSoon(): void {
    if (this.#flowIsDue) return
    this.#flowIsDue = true
    this.#clock.soon(() => {
      this.#flowIsDue = false
      this.#flow()
    })
  }

  #flow(): void {
    while (this.#received.length > 0 && this.#canFlow()) {
      const { fragmentChance, random } = this.#world
      let chunk = this.#received.shift()!
      if (fragmentChance > 0 && this.#received.length > 0 && random.float() < 0.5)
        chunk = Buffer.concat([chunk, this.#received.shift()!])
      const cut =
        chunk.length > READ_MAX
          ? READ_MAX
          : chunk.length > 1 && fragmentChance > 0 && random.float() < fragmentChance
            ? 1 + Math.floor(random.float() * (chunk.length - 1))
            : 0
      if (cut > 0) {
        this.#received.unshift(chunk.subarray(cut))
        chunk = chunk.subarray(0, cut)
      }
      this.#world.delivered(this.remoteAddress, this.localAddress, chunk)
      this.#other.#acknowledge(chunk.length)
      this.#handlers!.data(chunk)
      if (cut > 0) {
        this.#flowSoon()
        return
      }
    }
    if (this.#peerHasEnded && this.#received.length === 0 && this.#canFlow()) {
      this.end()
      this.#closeIfDone()
    }
  }

  #canFlow(): boolean {
    return this.#handlers !== null && !this.#isPaused && this.#state === 'open'
  }

  #closeIfDone(): void {
    if (this.#state === 'open' && this.#endIsSent && this.#peerHasEnded && this.#received.length === 0)
      this.#close(null)
  }

  /** The other end has read so much; we hear of it when the way back lets us. */
  #acknowledge(bytes: number): void {
    const back = this.#back
    if (back.isBlocked) {
      this.#heldAcks += bytes
      back.wait({ retry: () => this.#releaseAcks() })
    } else if (this.#unsent.length === 0) {
      this.#outstanding -= bytes
    } else {
      this.#heldAcks += bytes
      const delayMs = Math.max(0, back.arrivalMs(0) - this.#world.clock.monotonicMs())
      this.#clock.after(delayMs, () => this.#releaseAcks())
    }
  }

  #releaseAcks(): void {
    this.#outstanding -= this.#heldAcks
    this.#heldAcks = 0
    if (this.#state === 'open') this.#send()
  }
}

const EMPTY = Buffer.alloc(0)
