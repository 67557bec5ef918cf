/** The real HTTP server, for an application that answers Requests with Responses: on an address, or on a Unix socket that only its user may open. */
import { chmod, unlink } from 'node:fs/promises'
import type { Server } from 'node:http'
import net from 'node:net'
import { createAdaptorServer } from '@hono/node-server'

export interface HttpListener {
  /** `address:port`, or the path of the socket. */
  readonly name: string
  readonly port: number
  close(): Promise<void>
}

export interface HttpOptions {
  readonly fetch: (request: Request) => Response | Promise<Response>
  readonly where: { readonly address: string; readonly port: number } | { readonly socket: string }
  /** Called with the first bytes of a connection that does not speak HTTP; what it returns is sent before the connection ends. */
  readonly onForeign: (firstBytes: Buffer) => string
}

/** Throws with code EADDRINUSE, EADDRNOTAVAIL, EACCES. */
export async function listenHttp({ fetch, where, onForeign }: HttpOptions): Promise<HttpListener> {
  // The program that a node is part of keeps its own Request and Response.
  const server = createAdaptorServer({ fetch, overrideGlobalObjects: false }) as Server
  server.on('clientError', (error: Error & { rawPacket?: Buffer }, socket) => {
    if (socket.writable) socket.end(onForeign(error.rawPacket ?? Buffer.alloc(0)))
    else socket.destroy()
  })
  if ('socket' in where) await removeStaleSocket(where.socket)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen('socket' in where ? { path: where.socket } : { host: where.address, port: where.port }, () => {
      server.off('error', reject)
      server.on('error', () => {})
      resolve()
    })
  })
  if ('socket' in where) await chmod(where.socket, 0o600)
  const port = 'socket' in where ? 0 : (server.address() as net.AddressInfo).port
  return {
    name: 'socket' in where ? where.socket : `${where.address}:${port}`,
    port,
    close: () =>
      new Promise((closed) => {
        server.close(() => closed())
        server.closeAllConnections()
      }),
  }
}

/** Of a process that was killed: nobody answers on it. */
async function removeStaleSocket(path: string): Promise<void> {
  const isStale = await new Promise<boolean>((resolve) => {
    const probe = net.connect({ path })
    probe.once('connect', () => {
      probe.destroy()
      resolve(false)
    })
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'))
  })
  if (isStale) await unlink(path)
}
