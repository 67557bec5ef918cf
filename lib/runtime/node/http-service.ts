/**
 * The real HTTP server for many clients: connections that are kept, pipelined, half-closed or silent, with a limit on each. What a request is answered is
 * its listener's matter.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type net from 'node:net'

export type HttpRequestListener = (incoming: IncomingMessage, outgoing: ServerResponse) => void

export interface HttpServiceOptions {
  readonly address: string
  /** 0 takes a free one. */
  readonly port: number
  /** Of the request line and all headers. */
  readonly headerBytesMax: number
  readonly connectionsMax: number
  /** From the first byte of a request to the end of its headers. */
  readonly headersMs: number
  /** From the first byte of a request to its last. */
  readonly requestMs: number
  /** Without a byte either way. */
  readonly idleMs: number
  readonly onConnection: (socket: net.Socket) => void
  readonly onRequest: HttpRequestListener
  /** Nothing more can be read from this connection: what came is no request (the parser's code), or came too slowly (ERR_HTTP_REQUEST_TIMEOUT). */
  readonly onMalformed: (code: string, socket: net.Socket) => void
}

export interface HttpServiceListener {
  /** `address:port`. */
  readonly name: string
  readonly port: number
  /** Connections that are open. */
  connections(): Promise<number>
  /** Takes no new connections and closes those that wait for a request; resolves when the last is closed. */
  stop(): Promise<void>
  closeIdle(): void
  closeAll(): void
}

export type ListenHttpService = (options: HttpServiceOptions) => Promise<HttpServiceListener>

/** How often headers and requests that take too long are looked for. */
const CHECK_MS = 1_000

/** Throws with code EADDRINUSE, EADDRNOTAVAIL, EACCES. */
export const listenHttpService: ListenHttpService = async (options) => {
  const server = createServer({
    maxHeaderSize: options.headerBytesMax,
    headersTimeout: options.headersMs,
    requestTimeout: options.requestMs,
    keepAliveTimeout: options.idleMs,
    connectionsCheckingInterval: CHECK_MS,
    noDelay: true,
  })
  server.maxConnections = options.connectionsMax
  server.timeout = options.idleMs
  // A client that has sent all it has to say may close its side and wait for the answers.
  Object.assign(server, { httpAllowHalfOpen: true })
  server.on('connection', options.onConnection)
  server.on('request', options.onRequest)
  // Whoever reads the body says that it may come.
  server.on('checkContinue', options.onRequest)
  server.on('clientError', (error: NodeJS.ErrnoException, socket) =>
    options.onMalformed(error.code ?? '', socket as net.Socket),
  )
  server.on('connect', (_, socket) => options.onMalformed('HPE_INVALID_METHOD', socket as net.Socket))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: options.address, port: options.port }, () => {
      server.off('error', reject)
      server.on('error', () => {})
      resolve()
    })
  })
  const { port } = server.address() as net.AddressInfo
  return {
    name: `${options.address}:${port}`,
    port,
    connections: () =>
      new Promise((resolve, reject) => {
        server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
      }),
    stop: () => new Promise((resolve) => void server.close(() => resolve())),
    closeIdle: () => server.closeIdleConnections(),
    closeAll: () => server.closeAllConnections(),
  }
}
