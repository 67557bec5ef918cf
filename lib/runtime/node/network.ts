/** The real network: TCP over node:net, without Nagle's delay: each flush is one whole answer. */
import net from 'node:net'
import type { Listener, Network, Socket, SocketHandlers } from '../runtime.ts'

export function openNodeNetwork(): Network {
  return {
    listen(address, port, accept) {
      return new Promise<Listener>((resolve, reject) => {
        const server = net.createServer({ noDelay: true, keepAlive: true }, (socket) => accept(new NodeSocket(socket)))
        server.once('error', reject)
        server.listen({ host: address, port, backlog: 1024 }, () => {
          server.off('error', reject)
          server.on('error', () => {})
          const bound = server.address() as net.AddressInfo
          resolve({
            address: bound.address,
            port: bound.port,
            close: () => new Promise((closed) => server.close(() => closed())),
          })
        })
      })
    },
    secured: async (options) => (await import('./tls-network.ts')).openTlsNetwork(options),
    connect(address, port, { timeoutMs, localAddress } = {}) {
      return new Promise<Socket>((resolve, reject) => {
        const from = localAddress === undefined ? {} : { localAddress }
        const socket = net.connect({ host: address, port, noDelay: true, ...from })
        let timer: NodeJS.Timeout | null = null
        if (timeoutMs !== undefined) {
          timer = setTimeout(() => {
            const error = new Error(`no connection to ${address}:${port} after ${timeoutMs} ms`)
            socket.destroy(Object.assign(error, { code: 'ETIMEDOUT' }))
          }, timeoutMs)
        }
        const fail = (error: Error): void => {
          if (timer) clearTimeout(timer)
          reject(error)
        }
        socket.once('error', fail)
        socket.once('connect', () => {
          if (timer) clearTimeout(timer)
          socket.off('error', fail)
          resolve(new NodeSocket(socket))
        })
      })
    },
  }
}

export class NodeSocket implements Socket {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  readonly names?: (address: string) => boolean
  readonly #socket: net.Socket
  #handlers: SocketHandlers | null = null
  #error: Error | null = null

  constructor(socket: net.Socket, names?: (address: string) => boolean) {
    if (names) this.names = names
    this.#socket = socket
    this.remoteAddress = socket.remoteAddress ?? ''
    this.remotePort = socket.remotePort ?? 0
    this.localAddress = socket.localAddress ?? ''
    this.localPort = socket.localPort ?? 0
    socket.on('error', (error) => {
      this.#error = error
    })
  }

  get pendingBytes(): number {
    return this.#socket.writableLength
  }

  on(handlers: SocketHandlers): void {
    if (this.#handlers) throw new Error('handlers are set once')
    this.#handlers = handlers
    if (this.#socket.destroyed) {
      handlers.close(this.#error)
      return
    }
    this.#socket.on('data', (chunk) => handlers.data(chunk))
    this.#socket.on('drain', () => handlers.drain())
    this.#socket.on('close', () => handlers.close(this.#error))
  }

  write(bytes: Uint8Array): boolean {
    return this.#socket.write(bytes)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}
