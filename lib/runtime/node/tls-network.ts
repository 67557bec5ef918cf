/**
 * The real network under mutual TLS: both sides show a certificate of somebody whom the other trusts, and, if that is wanted, one that names the address that they
 * speak from. Always: a socket that is handed out has passed all that; who does not is dropped, and said to be so.
 */
import tls from 'node:tls'
import type { Listener, Network, Socket, TlsOptions } from '../runtime.ts'
import { NodeSocket } from './network.ts'

const HANDSHAKE_MS = 5_000

export function openTlsNetwork({ certificate, privateKey, trusted, verifyAddress, report }: TlsOptions): Network {
  const identity = { cert: certificate, key: privateKey, ca: trusted, minVersion: 'TLSv1.2' } as const
  // Says at once what is wrong with them.
  tls.createSecureContext(identity)
  return {
    listen(address, port, accept) {
      return new Promise<Listener>((resolve, reject) => {
        const server = tls.createServer({
          ...identity,
          requestCert: true,
          rejectUnauthorized: true,
          handshakeTimeout: HANDSHAKE_MS,
          noDelay: true,
          keepAlive: true,
        })
        server.on('secureConnection', (socket) => {
          const from = plainAddress(socket.remoteAddress ?? '')
          if (!verifyAddress) {
            accept(new NodeSocket(socket))
            return
          }
          const shown = socket.getPeerCertificate()
          const error = tls.checkServerIdentity(from, shown)
          if (error) {
            report(`A connection from ${from} is refused: ${error.message}`)
            socket.destroy()
          } else accept(new NodeSocket(socket, (name) => tls.checkServerIdentity(name, shown) === undefined))
        })
        server.on('tlsClientError', (error, socket) => {
          report(`A connection from ${plainAddress(socket.remoteAddress ?? '?')} is refused: ${error.message}`)
          socket.destroy()
        })
        server.once('error', reject)
        server.listen({ host: address, port, backlog: 1024 }, () => {
          server.off('error', reject)
          server.on('error', () => {})
          const bound = server.address() as { address: string; port: number }
          resolve({
            address: bound.address,
            port: bound.port,
            close: () => new Promise((closed) => server.close(() => closed())),
          })
        })
      })
    },
    connect(address, port, { timeoutMs, localAddress } = {}) {
      return new Promise<Socket>((resolve, reject) => {
        const from = localAddress === undefined ? {} : { localAddress }
        const anybody = verifyAddress ? {} : { checkServerIdentity: () => undefined }
        const socket = tls.connect({ ...identity, ...from, ...anybody, host: address, port })
        socket.setNoDelay(true)
        const timer = setTimeout(() => {
          const error = new Error(`no connection to ${address}:${port} in time`)
          socket.destroy(Object.assign(error, { code: 'ETIMEDOUT' }))
        }, timeoutMs ?? HANDSHAKE_MS)
        const fail = (error: Error): void => {
          clearTimeout(timer)
          reject(error)
        }
        socket.once('error', fail)
        socket.once('secureConnect', () => {
          clearTimeout(timer)
          socket.off('error', fail)
          resolve(new NodeSocket(socket))
        })
      })
    },
  }
}

/** Listeners on all addresses see those of IPv4 in the clothes of IPv6. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address
}
