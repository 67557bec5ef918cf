/**
 * Key-value over HTTP: takes connections, hands requests to the operations, and lets clients go.
 * Always: each request is counted while it is not answered, of its connection and of all; answers of one connection go out in the order of its requests, an
 * error of the parser after them.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type net from 'node:net'
import { Hono } from 'hono'
import type { HttpServiceListener, ListenHttpService } from '../../runtime/node/http-service.ts'
import { isLoopback } from '../../types/inet.ts'
import type { HttpContext } from './context.ts'
import { HttpExchange } from './exchange.ts'
import { badRequest, errorBody, HttpError, malformed, overloaded, tooManyRequests } from './failure.ts'
import { createOpenApi } from './openapi.ts'
import { OPERATIONS, type Operation } from './operations.ts'
import { readTarget, type Target } from './target.ts'

export interface HttpServiceOptions extends Omit<HttpContext, 'isClosing'> {
  readonly listen: ListenHttpService
  readonly address: string
  readonly port: number
}

/** One connection's requests that are not answered yet. */
interface ConnectionState {
  inFlight: number
  /** Of its requests the last. */
  last: HttpExchange | null
  /** Nothing more can be read. */
  isBroken: boolean
}

/** What the router hands on with a request. */
interface HttpBindings {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
}

/** The router wants an answer of each handler; ours go out by node:http, and nobody looks at this one. */
const SENT = new Response(null)

export async function openHttpService(options: HttpServiceOptions): Promise<HttpService> {
  const service = new HttpService(options)
  await service.listen(options)
  return service
}

export class HttpService {
  readonly #context: HttpContext
  readonly #isLocal: boolean
  readonly #connections = new WeakMap<net.Socket, ConnectionState>()
  #inFlight = 0
  #listener: HttpServiceListener | null = null
  #closed: Promise<void> | null = null
  #idle: (() => void) | null = null

  /** Use openHttpService. */
  constructor({ clock, log, random, limits, counters, tables, address }: HttpServiceOptions) {
    this.#context = { clock, log, random, limits, counters, tables, isClosing: false }
    this.#isLocal = isLoopback(address)
  }

  /** `address:port`. */
  get name(): string {
    return this.#listener!.name
  }

  get port(): number {
    return this.#listener!.port
  }

  /** Requests that are not answered yet. */
  get inFlight(): number {
    return this.#inFlight
  }

  async listen({ listen, address, port, limits }: HttpServiceOptions): Promise<void> {
    const app = this.#createApp()
    this.#listener = await listen({
      address,
      port,
      headerBytesMax: limits.headerBytesMax,
      connectionsMax: limits.connectionsMax,
      headersMs: limits.headersMs,
      requestMs: limits.requestMs,
      idleMs: limits.idleMs,
      onConnection: (socket) => {
        this.#context.counters.connections += 1
        this.#connections.set(socket, { inFlight: 0, last: null, isBroken: false })
      },
      // Of a request the router looks at the method only, and at the path that getPath says; HEAD is a GET without its body, which node:http leaves out.
      onRequest(incoming, outgoing) {
        const method = incoming.method === 'HEAD' ? 'GET' : incoming.method
        void app.fetch({ method } as Request, { incoming, outgoing })
      },
      onMalformed: (code, socket) => this.#malformed(code, socket),
    })
  }

  /** Takes no new connections; requests that have begun are answered, for `graceMs` at most. May be called twice. */
  close(graceMs: number): Promise<void> {
    this.#closed ??= this.#close(graceMs)
    return this.#closed
  }

  async #close(graceMs: number): Promise<void> {
    this.#context.isClosing = true
    const listener = this.#listener
    if (listener === null) return
    const stopped = listener.stop()
    if (this.#inFlight > 0 && graceMs > 0) {
      await new Promise<void>((resolve) => {
        const deadline = this.#context.clock.after(graceMs, resolve)
        this.#idle = () => {
          deadline[Symbol.dispose]()
          resolve()
        }
      })
    }
    // What is still being sent is given the rest of the time; then connections that keep silent are closed with the others.
    listener.closeIdle()
    const late = this.#context.clock.after(graceMs, () => listener.closeAll())
    await stopped
    late[Symbol.dispose]()
  }

  #createApp(): Hono<{ Bindings: HttpBindings }> {
    // The path as it was sent: a normalized one would make ".." of "/kv/..".
    const app = new Hono<{ Bindings: HttpBindings }>({
      getPath: (_, options) => pathOf((options as { env: HttpBindings }).env.incoming),
    })
    for (const operation of OPERATIONS) {
      if (operation.method === 'head') continue
      app.on(operation.method.toUpperCase(), operation.path.replaceAll(/\{(\w+)\}/g, ':$1'), (context) =>
        this.#serve(operation, context.env),
      )
    }
    const openApi = `${JSON.stringify(createOpenApi(OPERATIONS), null, 2)}\n`
    app.get('/openapi.json', ({ env }) =>
      this.#answer(env, (exchange) => exchange.answer(200, { ...JSON_HEADERS }, openApi)),
    )
    app.notFound(({ env }) =>
      this.#answer(env, (exchange) => {
        throw unknownPath(exchange.incoming.method ?? '', exchange.target)
      }),
    )
    return app
  }

  #serve(operation: Operation, env: HttpBindings): Response | Promise<Response> {
    return this.#answer(env, (exchange) => operation.run(exchange, this.#context))
  }

  #answer(env: HttpBindings, run: (exchange: HttpExchange) => void | Promise<void>): Response | Promise<Response> {
    const { incoming, outgoing } = env
    const { counters, limits } = this.#context
    const connection = this.#connections.get(incoming.socket)
    counters.requests += 1
    this.#inFlight += 1
    if (connection) connection.inFlight += 1
    const exchange = new HttpExchange({ incoming, outgoing }, targetOf(incoming), this.#context, () =>
      this.#ended(connection),
    )
    if (connection) connection.last = exchange
    try {
      if (this.#inFlight > limits.requestsMax) throw overloaded('Too many requests are in flight on this node')
      if (connection && connection.inFlight > limits.requestsPerConnectionMax)
        throw tooManyRequests('Too many requests of this connection are in flight')
      if ((incoming.url ?? '').length > limits.urlBytesMax)
        throw new HttpError(414, 'URI_TOO_LONG', `A URL has ${limits.urlBytesMax} bytes at most`)
      this.#checkEncoding(incoming, connection)
      this.#checkSender(incoming)
      const done = run(exchange)
      if (!(done instanceof Promise)) return SENT
      return done.then(
        () => SENT,
        (error: unknown) => {
          exchange.fail(error)
          return SENT
        },
      )
    } catch (error) {
      exchange.fail(error)
      return SENT
    }
  }

  #ended(connection: ConnectionState | undefined): void {
    this.#inFlight -= 1
    if (connection) connection.inFlight -= 1
    if (this.#inFlight === 0) this.#idle?.()
  }

  /** The parser tells of a request whose body it cannot read, and then says that it cannot. */
  #checkEncoding({ headers }: IncomingMessage, connection: ConnectionState | undefined): void {
    const encoding = headers['transfer-encoding']
    if (encoding === undefined || encoding.toLowerCase() === 'chunked') return
    if (connection) connection.isBroken = true
    throw new HttpError(400, 'MALFORMED', 'The only Transfer-Encoding is chunked', { headers: { Connection: 'close' } })
  }

  /** A page in a browser must not ask, not even one whose name was made to mean this machine: being on loopback means being on this machine. */
  #checkSender({ headers }: IncomingMessage): void {
    if (headers.origin !== undefined)
      throw new HttpError(403, 'FORBIDDEN', 'Pages in a browser may not ask (the request has an Origin)')
    if (this.#isLocal && headers.host !== undefined && !isLocalHost(headers.host))
      throw new HttpError(421, 'MISDIRECTED', `This node is on loopback, and ${JSON.stringify(headers.host)} is not`)
  }

  #malformed(code: string, socket: net.Socket): void {
    const connection = this.#connections.get(socket)
    if (!socket.writable || code === 'ECONNRESET' || code === 'EPIPE') {
      socket.destroy()
      return
    }
    if (connection?.isBroken) return
    if (connection) connection.isBroken = true
    const error = malformed(code)
    const last = connection?.last ?? null
    // It is within the last request: that one is answered so.
    if (last?.breakBody(error) || last?.endRefusal()) return
    const { statuses } = this.#context.counters
    statuses.set(error.status, (statuses.get(error.status) ?? 0) + 1)
    const body = errorBody(error)
    const text =
      `HTTP/1.1 ${error.status} ${REASONS[error.status]}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
    // Answers go out in order: when the last one is out, all are; before node:http ends a connection of which the client has closed its side.
    if (last === null || last.outgoing.writableFinished || last.outgoing.destroyed) this.#endWith(socket, text)
    else last.outgoing.prependOnceListener('finish', () => this.#endWith(socket, text))
  }

  /** The client is listened to until it closes its side, so that no reset overtakes the answer; not for long. */
  #endWith(socket: net.Socket, text: string): void {
    if (!socket.writable) {
      socket.destroy()
      return
    }
    const { clock, limits } = this.#context
    const late = clock.after(limits.lingerMs, () => socket.destroy())
    socket.once('close', () => late[Symbol.dispose]())
    socket.end(text)
    socket.resume()
  }
}

const JSON_HEADERS = { 'Content-Type': 'application/json' } as const

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  413: 'Payload Too Large',
  431: 'Request Header Fields Too Large',
}

function pathOf({ url }: { readonly url?: string | undefined }): string {
  try {
    return readTarget(url ?? '/').path
  } catch {
    return '*'
  }
}

function targetOf({ url }: IncomingMessage): Target {
  try {
    return readTarget(url ?? '/')
  } catch {
    return { path: url ?? '/', query: '' }
  }
}

/** 405 where another method would do, else 404. */
function unknownPath(method: string, { path }: Target): HttpError {
  if (/^\/kv(\/\/[^/]*|\/[^/]*\/|\/)$/.test(path)) return badRequest('Tables and keys may not be empty')
  const depth = path.split('/').length
  const allowed = path === '/openapi.json' ? ['GET', 'HEAD'] : []
  for (const operation of OPERATIONS) {
    const parts = operation.path.split('/')
    if (parts.length !== depth) continue
    if (parts.every((part, i) => part.startsWith('{') || part === path.split('/')[i]))
      allowed.push(operation.method.toUpperCase())
  }
  if (allowed.length > 0 && !allowed.includes(method))
    return new HttpError(405, 'METHOD_NOT_ALLOWED', `${method} is none of ${allowed.join(', ')}`, {
      headers: { Allow: allowed.join(', ') },
    })
  return new HttpError(
    404,
    'NOT_FOUND',
    'There is no such path: /kv/{key}, /kv/{table}/{key} and /kv are served, /openapi.json describes them. A slash in a key is written %2F',
  )
}

function isLocalHost(host: string): boolean {
  const name = host.replace(/:\d+$/, '').toLowerCase()
  return isLoopback(name) || name === '[::1]'
}
