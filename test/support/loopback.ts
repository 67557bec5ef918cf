/** Loopback addresses for clusters whose nodes share one port: each its own address, of a network that nobody else uses now. */
import { createServer } from 'node:net'

/** The first three parts of addresses; the ports that nodes take by default are free on its first address. */
export async function loopbackNetwork(): Promise<string> {
  for (let tries = 0; tries < 50; tries++) {
    const network = `127.${64 + Math.floor(Math.random() * 128)}.${Math.floor(Math.random() * 256)}`
    if (await isFree(`${network}.1`, 9042)) return network
  }
  throw new Error('no loopback network is free')
}

function isFree(address: string, port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, address, () => server.close(() => resolve(true)))
  })
}
