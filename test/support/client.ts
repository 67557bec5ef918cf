/** A client of the native protocol without a network: its socket hands each chunk straight to the connection, and keeps what comes back. */

import type { StatementResult } from '../../lib/cql/result.ts'
import type { CompiledStatement, MaybePromise } from '../../lib/cql/statement.ts'
import type { Log, Network, Socket, SocketHandlers } from '../../lib/runtime/runtime.ts'
import { createSimulatedClock, type SimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { ClientListener, type ClientListenerOptions } from '../../lib/server/listener.ts'
import type { Prepared, Processor } from '../../lib/server/processor.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import type { Compression } from '../../protocol/compression.ts'
import { Decoder } from '../../protocol/decoder.ts'
import { Encoder } from '../../protocol/encoder.ts'
import { encodeRequest, plainParameters, type Request, type RequestExtras } from '../../protocol/requests.ts'
import { type DecodedResponse, decodeResponse } from '../../protocol/responses.ts'

/** The client's end of a connection, as the server sees it. */
export class FakeSocket implements Socket {
  readonly remoteAddress: string
  readonly remotePort = 50_000
  readonly localAddress = '127.0.0.1'
  readonly localPort = 9042
  pendingBytes = 0
  isPaused = false
  isEnded = false
  isClosed = false
  /** The client does not take what it is sent. */
  isStuck = false
  /** Called when what came was looked at. */
  endTurn: () => void = () => {}
  readonly sent: Buffer[] = []
  readonly #held: Buffer[] = []
  #handlers: SocketHandlers | null = null

  constructor(remoteAddress = '127.0.0.1') {
    this.remoteAddress = remoteAddress
  }

  on(handlers: SocketHandlers): void {
    this.#handlers = handlers
  }

  write(bytes: Uint8Array): boolean {
    if (this.isClosed || this.isEnded) return true
    // Not copied before it is taken: whoever changes it meanwhile sends what he changed.
    this.sent.push(this.isStuck ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length) : Buffer.from(bytes))
    if (!this.isStuck) return true
    this.pendingBytes += bytes.length
    return false
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
    while (!this.isPaused && this.#held.length > 0) this.#handlers?.data(this.#held.shift()!)
  }

  end(): void {
    this.isEnded = true
  }

  destroy(): void {
    if (this.isClosed) return
    this.isClosed = true
    this.#handlers?.close(null)
  }

  /** Bytes from the client. */
  receive(bytes: Buffer): void {
    if (this.isClosed) return
    if (this.isPaused) this.#held.push(bytes)
    else this.#handlers?.data(bytes)
    this.endTurn()
  }

  /** The client takes all that waits for it. */
  drain(): void {
    this.pendingBytes = 0
    this.#handlers?.drain()
  }

  /** What the server said since the last call. */
  taken(): Buffer {
    return Buffer.concat(this.sent.splice(0))
  }
}

export interface Answer extends DecodedResponse {
  readonly version: number
  readonly stream: number
  readonly flags: number
}

export class TestClient {
  readonly socket: FakeSocket
  readonly version: number
  readonly encoder = new Encoder()
  readonly decoder = new Decoder(256 * 1024 * 1024)

  constructor({ listener, clock }: TestServer, version: number, socket = new FakeSocket()) {
    this.socket = socket
    this.version = version
    socket.endTurn = () => clock.endTurn()
    listener.accept(socket)
  }

  send(stream: number, request: Request, extras?: RequestExtras): void {
    encodeRequest(this.encoder, this.version, stream, request, extras)
    this.socket.receive(this.encoder.take())
  }

  /** All answers since the last call. */
  answers(): Answer[] {
    this.decoder.push(this.socket.taken())
    const answers: Answer[] = []
    while (this.decoder.next()) {
      const { version, stream, flags } = this.decoder.envelope
      answers.push({ ...decodeResponse(this.decoder.envelope), version, stream, flags })
    }
    return answers
  }

  /** Sends one request and gives its answer, which must be there at once. */
  ask(stream: number, request: Request, extras?: RequestExtras): Answer {
    this.send(stream, request, extras)
    return this.only()
  }

  only(): Answer {
    const answers = this.answers()
    if (answers.length !== 1) throw new Error(`${answers.length} answers where one was expected`)
    return answers[0]!
  }

  /** STARTUP, and what follows from it for both sides' frames. */
  startup(options: Record<string, string> = {}, compression: Compression | null = null): Answer {
    const all = new Map(Object.entries({ CQL_VERSION: '3.0.0', ...options }))
    this.send(0, { kind: 'startup', options: all })
    return this.started(compression)
  }

  /** Reads the answer to STARTUP, and goes on as it says. */
  started(compression: Compression | null = null): Answer {
    if (this.version < 5 && compression !== null) {
      this.decoder.bodyCompression = compression
      this.encoder.useBodyCompression(compression)
    }
    const answer = this.only()
    if (this.version >= 5 && answer.response.kind !== 'error') {
      this.encoder.useSegments(compression)
      this.decoder.useSegments(compression)
    }
    return answer
  }

  query(text: string): Request {
    return { kind: 'query', query: text, parameters: plainParameters(this.version, Consistency.ONE) }
  }
}

export interface FakeProcessor extends Processor {
  /** What the next statements answer: by default nothing. */
  reply: (text: string) => MaybePromise<StatementResult>
  readonly statements: Map<string, Prepared>
  readonly calls: unknown[][]
}

export function createFakeProcessor(): FakeProcessor {
  const statements = new Map<string, Prepared>()
  const calls: unknown[][] = []
  const processor: FakeProcessor = {
    reply: () => ({ kind: 'void' }),
    statements,
    calls,
    query(...call) {
      calls.push(['query', ...call])
      return processor.reply(call[0])
    },
    prepare(...call) {
      calls.push(['prepare', ...call])
      const prepared = statements.get(call[0])
      if (prepared === undefined) throw new Error(`nobody prepared ${call[0]}`)
      return prepared
    },
    prepared: (id) => [...statements.values()].find((prepared) => prepared.id.toString('latin1') === id),
    execute(...call) {
      calls.push(['execute', ...call])
      return processor.reply('execute')
    },
    batch(...call) {
      calls.push(['batch', ...call])
      return processor.reply('batch')
    },
  }
  return processor
}

/** A statement for the fake processor: what PREPARE tells of it. */
export function fakePrepared(id: string, statement: Partial<CompiledStatement>): Prepared {
  return {
    id: Buffer.from(id, 'latin1'),
    statement: {
      variables: [],
      partitionKeyIndexes: [],
      resultMetadata: null,
      keyspace: null,
      table: null,
      execute: () => ({ kind: 'void' }),
      ...statement,
    },
  }
}

export interface LoggedLine {
  readonly level: string
  readonly message: string
}

export function createMemoryLog(): Log & { readonly lines: LoggedLine[] } {
  const lines: LoggedLine[] = []
  const at = (level: string) => (_source: string, message: string) => {
    lines.push({ level, message })
  }
  return { lines, trace: at('TRACE'), debug: at('DEBUG'), info: at('INFO'), warn: at('WARN'), error: at('ERROR') }
}

const NO_NETWORK: Network = {
  listen: () => Promise.reject(new Error('no network here')),
  connect: () => Promise.reject(new Error('no network here')),
}

export interface TestServer {
  readonly clock: SimulatedClock
  readonly processor: FakeProcessor
  readonly listener: ClientListener
  readonly log: ReturnType<typeof createMemoryLog>
}

/** A listener without a network: sockets are handed to its accept(). */
export function createTestServer(options: Partial<ClientListenerOptions> = {}): TestServer {
  const clock = createSimulatedClock()
  const log = createMemoryLog()
  const processor = createFakeProcessor()
  const random = createSeededRandom(1)
  const listener = new ClientListener({ clock, log, random, network: NO_NETWORK, processor, ...options })
  return { clock, processor, listener, log }
}
