/**
 * One client's connection: its phases, its requests in flight, and when it is read. Source: native_protocol_v5.spec §2 to §4; what is refused with
 * which words on which stream, and when the connection stays open, Cassandra 5.
 * Always: whatever a client sends, nothing is thrown past data(); an answer goes out for each request that could be told apart; while one of its
 * limits holds it back, it is not read.
 */

import type { Compression } from '../../protocol/compression.ts'
import { Decoder, FrameError } from '../../protocol/decoder.ts'
import type { Envelope } from '../../protocol/envelope.ts'
import { protocolError } from '../../protocol/notation.ts'
import { HeaderFlag, opcodeName, VERSION_BETA, VERSION_LATEST } from '../../protocol/opcodes.ts'
import { checkRequestOpcode, type Request, readCustomPayload, readRequest } from '../../protocol/requests.ts'
import {
  encodeAuthChallenge,
  encodeAuthenticate,
  encodeAuthSuccess,
  encodeEvent,
  encodeLegacyError,
  encodeReady,
  encodeSupported,
  type ServerEvent,
} from '../../protocol/responses.ts'
import { ByteReader, BytesError } from '../base/bytes.ts'
import { RequestError } from '../base/errors.ts'
import type { ClientState } from '../cql/statement.ts'
import type { Socket } from '../runtime/runtime.ts'
import type { AuthAnswer, AuthConversation, Authenticator } from './authenticator.ts'
import type { ClientEvents, EventSink } from './events.ts'
import { Exchange } from './exchange.ts'
import { answerFailure, overloaded } from './failure.ts'
import {
  type Compressions,
  checkAuthMessage,
  checkFirstMessage,
  checkReadyMessage,
  checkVersion,
  readStartup,
  type StartupChoices,
  SUPPORTED,
} from './handshake.ts'
import { InFlight, type InFlightContext, type InFlightOwner } from './in-flight.ts'
import { Outbox, type OutboxOwner, type OutboxTurns } from './outbox.ts'

export type { BatchItem, Prepared, Processor, Tracer, TraceSession } from './processor.ts'

/** What all connections of a listener share. */
export interface ConnectionContext extends InFlightContext {
  readonly authenticator: Authenticator
  readonly events: ClientEvents
  readonly compressions: Compressions
  readonly turns: OutboxTurns
}

export interface ConnectionOwner {
  /** It has said who it is: others may begin. */
  settled(connection: Connection): void
  closed(connection: Connection): void
}

type Phase =
  /** Accepted, and not served yet: too many others are at their handshake. */
  | { readonly name: 'waiting' }
  /** Answers OPTIONS and STARTUP only. */
  | { readonly name: 'handshake' }
  | { readonly name: 'authenticating'; readonly conversation: AuthConversation }
  | { readonly name: 'ready' }
  /** Finishes what it holds, takes nothing new. */
  | { readonly name: 'draining' }
  /** The last answer was written; what the client still says is dropped. */
  | { readonly name: 'ending' }
  | { readonly name: 'closed' }

/** Why a connection is not read. */
const Hold = {
  TURN: 1,
  /** A step of the handshake is being worked at: one at a time. */
  HANDSHAKE: 2,
  REQUESTS: 4,
  BYTES: 8,
  SLOW: 16,
} as const

/** How long a client may take to close its side after we closed ours. */
const ENDING_MS = 5_000

/** Bytes of an incomplete request above which they are counted. */
const PARTIAL_BYTES_MIN = 64 * 1024

const EMPTY: Buffer = Buffer.alloc(0)

const SOURCE = 'connection.ts'

export class Connection implements EventSink, OutboxOwner, InFlightOwner {
  readonly #socket: Socket
  readonly #context: ConnectionContext
  readonly #owner: ConnectionOwner
  readonly #id: string
  readonly #decoder: Decoder
  readonly #outbox: Outbox
  readonly #reader = new ByteReader(EMPTY)
  readonly #requests: InFlight
  #phase: Phase = { name: 'waiting' }
  /** Of its STARTUP; 0 before. */
  #version = 0
  #startupOptions: ReadonlyMap<string, string> = new Map()
  #requestsSent = 0
  #holds: number = Hold.TURN
  #isProcessing = false
  #partialBytes = 0
  #timer: Disposable | null = null
  /** Whether it said anything since the last sweep. */
  #wasActive = true

  constructor(socket: Socket, id: number, context: ConnectionContext, owner: ConnectionOwner) {
    this.#socket = socket
    this.#context = context
    this.#owner = owner
    this.#id = (id >>> 0).toString(16).padStart(8, '0')
    this.#decoder = new Decoder(context.limits.handshakeBodyBytesMax)
    this.#outbox = new Outbox(socket, context.turns, context.clock, context.limits, this)
    const account = context.budget.join(socket.remoteAddress)
    this.#requests = new InFlight(this.#clientState(null), account, this.#outbox, context, this)
    socket.pause()
    socket.on({
      data: (chunk) => this.#data(chunk),
      drain: () => this.#outbox.drained(),
      close: (error) => this.#closed(error),
    })
  }

  get phase(): Phase['name'] {
    return this.#phase.name
  }

  get remoteAddress(): string {
    return this.#socket.remoteAddress
  }

  get remotePort(): number {
    return this.#socket.remotePort
  }

  /** 0 before STARTUP. */
  get version(): number {
    return this.#version
  }

  get user(): string | null {
    return this.#requests.client.user
  }

  get inFlight(): number {
    return this.#requests.count
  }

  /** Set by USE. */
  get keyspace(): string | null {
    return this.#requests.client.keyspace
  }

  /** Of its STARTUP; empty before. */
  get startupOptions(): ReadonlyMap<string, string> {
    return this.#startupOptions
  }

  /** How many requests it has sent. */
  get requestsSent(): number {
    return this.#requestsSent
  }

  /** Its turn has come. */
  serve(): void {
    if (this.#phase.name !== 'waiting') return
    this.#phase = { name: 'handshake' }
    const { clock, limits, counters } = this.#context
    this.#timer = clock.after(limits.handshakeMs, () => {
      counters.handshakesTimedOut += 1
      this.destroy()
    })
    this.#release(Hold.TURN)
  }

  /** Finishes what is in flight, then closes; new requests are answered with OVERLOADED. */
  drain(): void {
    switch (this.#phase.name) {
      case 'ready':
        this.#phase = { name: 'draining' }
        this.#requests.isDraining = true
        if (this.#requests.count === 0) this.#end()
        return
      case 'waiting':
      case 'handshake':
      case 'authenticating':
        this.destroy()
        return
    }
  }

  destroy(): void {
    if (this.#phase.name !== 'closed') this.#socket.destroy()
  }

  /** False: nothing came in and nothing was in flight since the last call. */
  sweep(): boolean {
    const wasActive = this.#wasActive || this.#requests.count > 0
    this.#wasActive = false
    return wasActive
  }

  sendEvent(event: ServerEvent): void {
    if (this.#phase.name !== 'ready') return
    this.#context.counters.events += 1
    encodeEvent(this.#outbox.encoder, this.#version, event)
    this.#outbox.flushSoon()
  }

  setSlow(isSlow: boolean): void {
    if (isSlow) this.#hold(Hold.SLOW)
    else this.#release(Hold.SLOW)
  }

  stalled(): void {
    this.#context.counters.stalled += 1
    this.#context.log.info(
      SOURCE,
      `Closing a connection from ${this.#socket.remoteAddress} that does not take its answers`,
    )
    this.destroy()
  }

  setFull(isFull: boolean): void {
    if (isFull) this.#hold(Hold.REQUESTS)
    else this.#release(Hold.REQUESTS)
  }

  setExhausted(isExhausted: boolean): void {
    if (isExhausted) this.#hold(Hold.BYTES)
    else this.#release(Hold.BYTES)
  }

  idle(): void {
    if (this.#phase.name === 'draining') this.#end()
  }

  isOver(): boolean {
    return this.#phase.name === 'ending' || this.#phase.name === 'closed'
  }

  #clientState(user: string | null): ClientState {
    const { remoteAddress, remotePort } = this.#socket
    return { keyspace: null, user, remoteAddress, remotePort }
  }

  #hold(reason: number): void {
    if (this.#holds === 0) this.#socket.pause()
    this.#holds |= reason
  }

  #release(reason: number): void {
    if ((this.#holds & reason) === 0) return
    this.#holds &= ~reason
    if (this.#holds !== 0 || this.#phase.name === 'closed') return
    this.#socket.resume()
    this.#process()
  }

  #data(chunk: Buffer): void {
    if (this.isOver()) return
    this.#wasActive = true
    this.#decoder.push(chunk)
    this.#process()
  }

  /** Takes what has come, request by request, until something holds it back. */
  #process(): void {
    if (this.#isProcessing) return
    this.#isProcessing = true
    while (this.#holds === 0 && !this.isOver()) {
      let isThere = false
      try {
        isThere = this.#decoder.next()
      } catch (error) {
        this.#refuse(error)
        continue
      }
      if (!isThere) break
      this.#handle(this.#decoder.envelope)
      this.#outbox.flushMuch()
    }
    this.#isProcessing = false
    this.#decoder.release()
    this.#reader.release()
    this.#outbox.flushAfterInput()
    this.#countPartial()
  }

  /** Clients that begin large requests and do not finish them must not take all memory. */
  #countPartial(): void {
    const held = this.#decoder.heldBytes
    const partial = held < PARTIAL_BYTES_MIN ? 0 : held
    if (partial === this.#partialBytes || this.isOver()) return
    const delta = partial - this.#partialBytes
    this.#partialBytes = partial
    if (this.#context.budget.addPartial(delta)) return
    this.#context.counters.overloaded += 1
    this.#fail(this.#version || VERSION_LATEST, 0, overloaded('Too many requests have come in part only'))
    this.#end()
  }

  #forgetPartial(): void {
    this.#context.budget.addPartial(-this.#partialBytes)
    this.#partialBytes = 0
  }

  /** The decoder found no envelope, or one whose body it could not decompress. */
  #refuse(error: unknown): void {
    this.#context.counters.protocolErrors += 1
    if (!(error instanceof FrameError)) {
      const { version, stream } = this.#decoder.envelope
      this.#fail(this.#version || version, stream, error)
      return
    }
    const { encoder } = this.#outbox
    const message = error.fatal && error.message.startsWith('invalid') ? `${this.#id} ${error.message}` : error.message
    const told = new RequestError(error.code, message)
    if (error.version !== null && error.version < 3 && this.#version === 0)
      encodeLegacyError(encoder, error.version, message)
    else this.#fail(this.#versionOf(error), error.stream, told)
    const isTooBigTooEarly = error.code === 'INVALID' && this.#version === 0
    if (error.fatal || isTooBigTooEarly || this.#phase.name === 'authenticating') this.#end()
  }

  /** Of the beta we tell in the beta, for its client knows no other; else in the connection's version. */
  #versionOf(error: FrameError): number {
    return error.version === VERSION_BETA ? VERSION_BETA : this.#version || VERSION_LATEST
  }

  #handle(envelope: Envelope): void {
    const { version, stream, opcode } = envelope
    this.#context.counters.requests += 1
    this.#requestsSent += 1
    let request: Request
    try {
      request = this.#read(envelope)
    } catch (cause) {
      this.#context.counters.protocolErrors += 1
      const error = cause instanceof BytesError ? protocolError(`Body ends early: ${cause.message}`) : cause
      // Before a STARTUP nobody has a stream yet; a version is ours when we know what it says.
      if (this.#version !== 0) this.#fail(this.#version, stream, error)
      else if (opcodeName(opcode) === null) this.#fail(VERSION_LATEST, stream, error)
      else this.#fail(version, 0, error)
      return
    }
    try {
      this.#serve(request, envelope)
    } catch (error) {
      this.#fail(this.#version || version, stream, error)
    }
  }

  #read(envelope: Envelope): Request {
    const { version, opcode } = envelope
    checkRequestOpcode(opcode, envelope.isResponse)
    if (this.#version !== 0) checkVersion(version, this.#version)
    if (this.#phase.name === 'handshake') checkFirstMessage(opcode)
    else if (this.#phase.name === 'authenticating') checkAuthMessage(opcode)
    else checkReadyMessage(opcode)
    const reader = this.#reader
    reader.buffer = envelope.buffer
    reader.position = envelope.start
    reader.end = envelope.end
    if ((envelope.flags & HeaderFlag.CUSTOM_PAYLOAD) !== 0) readCustomPayload(reader, envelope.flags, version)
    return readRequest(reader, opcode, version)
  }

  #serve(request: Request, envelope: Envelope): void {
    const { version, stream } = envelope
    const { encoder } = this.#outbox
    switch (request.kind) {
      case 'options':
        encodeSupported(encoder, version, stream, SUPPORTED)
        return
      case 'startup':
        this.#startupOptions = request.options
        this.#startup(readStartup(request.options, version), version, stream)
        return
      case 'auth_response':
        this.#authenticate(request.token, stream)
        return
      case 'register':
        this.#context.events.register(this, request.events)
        encodeReady(encoder, version, stream)
        return
      default: {
        const bytes = envelope.end - envelope.start
        this.#requests.execute(
          new Exchange(version, stream, request, bytes),
          (envelope.flags & HeaderFlag.TRACING) !== 0,
        )
      }
    }
  }

  #fail(version: number, stream: number, error: unknown): void {
    answerFailure(this.#outbox.encoder, this.#context, version, stream, error)
  }

  // --- Handshake

  #startup(choices: StartupChoices, version: number, stream: number): void {
    if (choices.compression === null) {
      this.#started(choices, null, version, stream)
      return
    }
    const compression = this.#context.compressions.get(choices.compression)
    if (!(compression instanceof Promise)) {
      this.#started(choices, compression, version, stream)
      return
    }
    this.#step(compression, version, stream, (loaded) => this.#started(choices, loaded, version, stream))
  }

  #started(choices: StartupChoices, compression: Compression | null, version: number, stream: number): void {
    const { authenticator } = this.#context
    const { encoder } = this.#outbox
    this.#version = version
    this.#requests.throwOnOverload = choices.throwOnOverload
    if (version < 5 && compression !== null) {
      encoder.useBodyCompression(compression)
      this.#decoder.bodyCompression = compression
    }
    if (authenticator.className === null) {
      encodeReady(encoder, version, stream)
      this.#ready(null)
    } else {
      encodeAuthenticate(encoder, version, stream, authenticator.className)
      this.#phase = { name: 'authenticating', conversation: authenticator.begin(this.#socket.remoteAddress) }
    }
    if (version < 5) return
    encoder.useSegments(compression)
    this.#decoder.useSegments(compression)
  }

  #authenticate(token: Buffer | null, stream: number): void {
    if (this.#phase.name !== 'authenticating') throw protocolError('Unexpected message AUTH_RESPONSE')
    const answered = this.#phase.conversation.answer(token)
    if (answered instanceof Promise)
      this.#step(answered, this.#version, stream, (later) => this.#authenticated(later, stream))
    else this.#authenticated(answered, stream)
  }

  #authenticated(answered: AuthAnswer, stream: number): void {
    const { encoder } = this.#outbox
    if (!answered.done) {
      encodeAuthChallenge(encoder, this.#version, stream, answered.challenge)
      return
    }
    encodeAuthSuccess(encoder, this.#version, stream, answered.token)
    this.#ready(answered.user)
  }

  #ready(user: string | null): void {
    this.#phase = { name: 'ready' }
    this.#requests.client = this.#clientState(user)
    this.#decoder.bodyBytesMax = this.#context.limits.bodyBytesMax
    this.#timer?.[Symbol.dispose]()
    this.#timer = null
    this.#owner.settled(this)
  }

  /** Waits for a step of the handshake; nothing else is read meanwhile. */
  #step<T>(promise: Promise<T>, version: number, stream: number, then: (value: T) => void): void {
    this.#hold(Hold.HANDSHAKE)
    promise
      .then((value) => {
        if (!this.isOver()) then(value)
      })
      .catch((error: unknown) => this.#fail(version, stream, error))
      .then(() => {
        this.#outbox.flush()
        this.#release(Hold.HANDSHAKE)
      })
  }

  // --- The end

  /** Writes what there is and closes our side. */
  #end(): void {
    if (this.isOver()) return
    this.#outbox.flush()
    this.#phase = { name: 'ending' }
    this.#context.events.remove(this)
    this.#decoder.clear()
    this.#forgetPartial()
    this.#socket.end()
    // What comes now is dropped, but must be read for the client's own end to be seen.
    this.#socket.resume()
    this.#timer?.[Symbol.dispose]()
    this.#timer = this.#context.clock.after(ENDING_MS, () => this.#socket.destroy())
  }

  #closed(error: Error | null): void {
    if (this.#phase.name === 'closed') return
    const { budget, events, log } = this.#context
    if (error !== null) log.debug(SOURCE, `Connection from ${this.#socket.remoteAddress} broke: ${error.message}`)
    this.#phase = { name: 'closed' }
    this.#timer?.[Symbol.dispose]()
    this.#timer = null
    this.#outbox.close()
    events.remove(this)
    this.#requests.close()
    this.#forgetPartial()
    budget.leave(this.#socket.remoteAddress)
    this.#owner.closed(this)
  }
}
