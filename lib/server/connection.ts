/**
 * One client's connection: its phases, its requests in flight, and when it is read. Source: native_protocol_v5.spec §2 to §4; what is refused with
 * which words on which stream, and when the connection stays open, Cassandra 5.
 * Always: whatever a client sends, nothing is thrown past data(); an answer goes out for each request that could be told apart; while one of its
 * limits holds it back, it is not read.
 */

import type { Compression } from '../../protocol/compression.ts'
import { Decoder, FrameError } from '../../protocol/decoder.ts'
import type { Envelope } from '../../protocol/envelope.ts'
import type { MetadataCache } from '../../protocol/metadata.ts'
import { protocolError } from '../../protocol/notation.ts'
import { HeaderFlag, opcodeName, VERSION_BETA, VERSION_LATEST } from '../../protocol/opcodes.ts'
import { checkRequestOpcode, type Request, readCustomPayload, readRequest } from '../../protocol/requests.ts'
import {
  encodeAuthChallenge,
  encodeAuthenticate,
  encodeAuthSuccess,
  encodeError,
  encodeEvent,
  encodeLegacyError,
  encodeReady,
  encodeSupported,
  type ServerEvent,
} from '../../protocol/responses.ts'
import { ByteReader, BytesError } from '../base/bytes.ts'
import { RequestError } from '../base/errors.ts'
import type { ClientState } from '../cql/statement.ts'
import type { Clock, Log, Random, Socket } from '../runtime/runtime.ts'
import type { AuthAnswer, AuthConversation, Authenticator } from './authenticator.ts'
import type { ClientEvents, EventSink } from './events.ts'
import { answer, Exchange, execute, type Outcome } from './exchange.ts'
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
import type { AddressAccount, ClientCounters, ClientLimits, RequestBudget } from './limits.ts'
import { Outbox, type OutboxOwner } from './outbox.ts'
import type { Processor, Tracer } from './processor.ts'

export type { BatchItem, Prepared, Processor, Tracer, TraceSession } from './processor.ts'

/** What all connections of a listener share. */
export interface ConnectionContext {
  readonly clock: Clock
  readonly log: Log
  readonly random: Random
  readonly processor: Processor
  readonly authenticator: Authenticator
  readonly tracer: Tracer | null
  readonly events: ClientEvents
  readonly limits: ClientLimits
  readonly budget: RequestBudget
  readonly counters: ClientCounters
  readonly metadata: MetadataCache
  readonly compressions: Compressions
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

export class Connection implements EventSink, OutboxOwner {
  readonly #socket: Socket
  readonly #context: ConnectionContext
  readonly #owner: ConnectionOwner
  readonly #id: string
  readonly #decoder: Decoder
  readonly #outbox: Outbox
  readonly #reader = new ByteReader(EMPTY)
  readonly #account: AddressAccount
  readonly #retry = (): void => this.#lookAtBudget()
  #phase: Phase = { name: 'waiting' }
  /** Of its STARTUP; 0 before. */
  #version = 0
  #client: ClientState
  #throwOnOverload = false
  #inFlight = 0
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
    this.#outbox = new Outbox(socket, context.clock, context.limits, this)
    this.#account = context.budget.join(socket.remoteAddress)
    this.#client = this.#clientState(null)
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
    return this.#client.user
  }

  get inFlight(): number {
    return this.#inFlight
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
        if (this.#inFlight === 0) this.#end()
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
    const wasActive = this.#wasActive || this.#inFlight > 0
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

  #clientState(user: string | null): ClientState {
    const { remoteAddress, remotePort } = this.#socket
    return { keyspace: null, user, remoteAddress, remotePort }
  }

  #isOver(): boolean {
    return this.#phase.name === 'ending' || this.#phase.name === 'closed'
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
    if (this.#isOver()) return
    this.#wasActive = true
    this.#decoder.push(chunk)
    this.#process()
  }

  /** Takes what has come, request by request, until something holds it back. */
  #process(): void {
    if (this.#isProcessing) return
    this.#isProcessing = true
    while (this.#holds === 0 && !this.#isOver()) {
      let isThere = false
      try {
        isThere = this.#decoder.next()
      } catch (error) {
        this.#refuse(error)
        continue
      }
      if (!isThere) break
      this.#handle(this.#decoder.envelope)
    }
    this.#isProcessing = false
    this.#decoder.release()
    this.#reader.buffer = EMPTY
    this.#outbox.flush()
    this.#countPartial()
  }

  /** Clients that begin large requests and do not finish them must not take all memory. */
  #countPartial(): void {
    const held = this.#decoder.heldBytes
    const partial = held < PARTIAL_BYTES_MIN ? 0 : held
    if (partial === this.#partialBytes || this.#isOver()) return
    const delta = partial - this.#partialBytes
    this.#partialBytes = partial
    if (this.#context.budget.addPartial(delta)) return
    this.#context.counters.overloaded += 1
    this.#fail(this.#version || VERSION_LATEST, 0, overloaded('Too many requests have come in part only'), null)
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
      this.#fail(this.#version || version, stream, error, null)
      return
    }
    const { encoder } = this.#outbox
    const message = error.fatal && error.message.startsWith('invalid') ? `${this.#id} ${error.message}` : error.message
    const told = new RequestError(error.code, message)
    if (error.version !== null && error.version < 3 && this.#version === 0)
      encodeLegacyError(encoder, error.version, message)
    else this.#fail(this.#versionOf(error), error.stream, told, null)
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
    let request: Request
    try {
      request = this.#read(envelope)
    } catch (error) {
      this.#context.counters.protocolErrors += 1
      // Before a STARTUP nobody has a stream yet; a version is ours when we know what it says.
      if (this.#version !== 0) this.#fail(this.#version, stream, error, null)
      else if (opcodeName(opcode) === null) this.#fail(VERSION_LATEST, stream, error, null)
      else this.#fail(version, 0, error, null)
      return
    }
    try {
      this.#serve(request, envelope)
    } catch (error) {
      this.#fail(this.#version || version, stream, error, null)
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
        this.#execute(new Exchange(version, stream, request, bytes), (envelope.flags & HeaderFlag.TRACING) !== 0)
      }
    }
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
    this.#throwOnOverload = choices.throwOnOverload
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
    this.#client = this.#clientState(user)
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
        if (!this.#isOver()) then(value)
      })
      .catch((error: unknown) => this.#fail(version, stream, error, null))
      .then(() => {
        this.#outbox.flush()
        this.#release(Hold.HANDSHAKE)
      })
  }

  // --- Requests

  #execute(exchange: Exchange, isTraced: boolean): void {
    const { processor, tracer, clock } = this.#context
    const { request } = exchange
    try {
      this.#checkLoad()
      if (request.kind === 'execute') exchange.prepared = processor.prepared(request.id) ?? null
      if (isTraced && tracer !== null) {
        exchange.startedMs = clock.monotonicMs()
        exchange.trace = tracer.begin(this.#client, request, exchange.prepared)
      }
      const outcome = execute(exchange, processor, this.#client)
      if (outcome instanceof Promise) this.#await(exchange, outcome)
      else this.#answer(exchange, outcome)
    } catch (error) {
      this.#fail(exchange.version, exchange.stream, error, exchange)
    }
  }

  /** Throws OVERLOADED where the request would be one too many and its client wants to be told. */
  #checkLoad(): void {
    if (this.#phase.name === 'draining') throw overloaded('Server is shutting down')
    if (!this.#throwOnOverload) return
    const { limits, budget, counters } = this.#context
    if (this.#inFlight < limits.requestsMax && !budget.isExhausted(this.#account)) return
    counters.overloaded += 1
    throw overloaded('Server is in overloaded state. Cannot accept more requests at this point')
  }

  #await(exchange: Exchange, outcome: Promise<Outcome>): void {
    const { limits, budget } = this.#context
    this.#inFlight += 1
    budget.take(this.#account, exchange.bytes)
    if (!this.#throwOnOverload) {
      if (this.#inFlight >= limits.requestsMax) this.#hold(Hold.REQUESTS)
      if (budget.isExhausted(this.#account)) this.#lookAtBudget()
    }
    outcome.then(
      (value) => this.#settle(exchange, value, null),
      (error: unknown) => this.#settle(exchange, null, error ?? new Error('rejected with nothing')),
    )
  }

  #settle(exchange: Exchange, outcome: Outcome | null, error: unknown): void {
    const { limits, budget } = this.#context
    this.#inFlight -= 1
    if (!this.#isOver()) {
      if (outcome === null) this.#fail(exchange.version, exchange.stream, error, exchange)
      else this.#answer(exchange, outcome)
      this.#outbox.flushSoon()
      if (this.#phase.name === 'draining' && this.#inFlight === 0) this.#end()
      else if (this.#inFlight < limits.requestsMax) this.#release(Hold.REQUESTS)
    }
    budget.give(this.#account, exchange.bytes)
  }

  /** Waits while there are too many bytes in flight, and goes on when there are not. */
  #lookAtBudget(): void {
    const { budget } = this.#context
    if (this.#isOver() || !budget.isExhausted(this.#account)) {
      this.#release(Hold.BYTES)
      return
    }
    this.#hold(Hold.BYTES)
    budget.wait(this.#retry)
  }

  #answer(exchange: Exchange, outcome: Outcome): void {
    if (outcome.kind === 'set_keyspace') this.#client.keyspace = outcome.keyspace
    try {
      this.#endTrace(exchange)
      answer(this.#outbox.encoder, this.#context.metadata, exchange, outcome)
    } catch (error) {
      this.#fail(exchange.version, exchange.stream, error, exchange)
    }
  }

  #endTrace(exchange: Exchange): void {
    if (exchange.trace === null || exchange.isTraceEnded) return
    exchange.isTraceEnded = true
    exchange.trace.end(Math.round((this.#context.clock.monotonicMs() - exchange.startedMs) * 1000))
  }

  /** Answers with ERROR: the world's errors in their words, ours with the number under which they were logged. */
  #fail(version: number, stream: number, error: unknown, exchange: Exchange | null): void {
    const { encoder } = this.#outbox
    encoder.rollback()
    this.#context.counters.errors += 1
    if (exchange !== null) this.#endTrace(exchange)
    const told = this.#told(error)
    encodeError(encoder, version, stream, told, { tracingId: exchange?.trace?.id ?? null, warnings: told.warnings })
  }

  #told(error: unknown): RequestError {
    if (error instanceof RequestError) return error
    if (error instanceof BytesError) return protocolError(`Body ends early: ${error.message}`)
    const { counters, random, log } = this.#context
    counters.incidents += 1
    const incident = random.fill(Buffer.alloc(8)).toString('hex')
    log.error(SOURCE, `Unexpected exception during request; incident ${incident}`, error)
    return new RequestError('SERVER_ERROR', `Unexpected exception; incident ${incident}`)
  }

  // --- The end

  /** Writes what there is and closes our side. */
  #end(): void {
    if (this.#isOver()) return
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
    budget.forget(this.#retry)
    this.#forgetPartial()
    budget.leave(this.#socket.remoteAddress)
    this.#owner.closed(this)
  }
}

function overloaded(message: string): RequestError {
  return new RequestError('OVERLOADED', message)
}
