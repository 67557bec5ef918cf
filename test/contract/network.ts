/** What every Network promises; on the loopback interface, and between two hosts of a simulated world. */
import t from 'tap'
import { openNodeNetwork } from '../../lib/runtime/node/network.ts'
import type { Network, Socket } from '../../lib/runtime/runtime.ts'
import { Kernel } from '../../lib/runtime/simulated/kernel.ts'
import { SimulatedNetwork } from '../../lib/runtime/simulated/network.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'

interface Setting {
  readonly name: string
  readonly server: Network
  readonly client: Network
  readonly address: string
  /** Lets the world go on until the promise settles. */
  finish<T>(promise: Promise<T>): Promise<T>
}

function simulated(fragmentChance: number): Setting {
  const random = createSeededRandom(3)
  const kernel = new Kernel({ random, hop: setImmediate })
  const network = new SimulatedNetwork({ clock: kernel.clock, random, fragmentChance })
  return {
    name: `simulated, fragments ${fragmentChance}`,
    server: network.attach('10.0.0.1', kernel.process('server').clock),
    client: network.attach('10.0.0.2', kernel.process('client').clock),
    address: '10.0.0.1',
    async finish(promise) {
      promise.then(
        () => kernel.stop(),
        () => kernel.stop(),
      )
      await kernel.run(kernel.nowMs + 60_000)
      return promise
    },
  }
}

const real = openNodeNetwork()
const SETTINGS: Setting[] = [
  { name: 'node', server: real, client: real, address: '127.0.18.1', finish: (promise) => promise },
  simulated(0),
  simulated(0.3),
]

/** Collects what comes; resolves when it is closed. */
function collect(socket: Socket): { readonly bytes: () => Buffer; readonly closed: Promise<Error | null> } {
  const chunks: Buffer[] = []
  const closed = new Promise<Error | null>((resolve) => {
    socket.on({ data: (chunk) => void chunks.push(Buffer.from(chunk)), drain() {}, close: resolve })
  })
  return { bytes: () => Buffer.concat(chunks), closed }
}

for (const { name, server, client, address, finish } of SETTINGS) {
  t.test(`the ${name} network`, async (t) => {
    t.test('bytes go both ways in order, and an end is answered by an end', async (t) => {
      const big = Buffer.alloc(3_000_000, 'abcdefghij')
      const done = (async () => {
        let answered = Buffer.alloc(0)
        const listener = await server.listen(address, 0, (socket) => {
          const chunks: Buffer[] = []
          socket.on({
            data(chunk) {
              chunks.push(Buffer.from(chunk))
              const length = chunks.reduce((sum, one) => sum + one.length, 0)
              if (length === big.length) {
                socket.write(Buffer.from(`got ${length}`))
                socket.end()
                answered = Buffer.concat(chunks)
              }
            },
            drain() {},
            close() {},
          })
        })
        const socket = await client.connect(address, listener.port)
        t.equal(socket.remotePort, listener.port)
        t.equal(socket.remoteAddress, address)
        const got = collect(socket)
        t.equal(socket.write(big), socket.pendingBytes === 0)
        t.equal(await got.closed, null)
        await listener.close()
        t.equal(got.bytes().toString(), `got ${big.length}`)
        t.ok(answered.equals(big))
      })()
      await finish(done)
    })

    t.test('a peer that does not read makes the writer wait', async (t) => {
      const done = (async () => {
        let accept: (socket: Socket) => void = () => {}
        const accepted = new Promise<Socket>((resolve) => {
          accept = resolve
        })
        const listener = await server.listen(address, 0, accept)
        const socket = await client.connect(address, listener.port)
        const drained = new Promise<void>((resolve) => {
          socket.on({ data() {}, drain: resolve, close() {} })
        })
        const peer = await accepted
        peer.pause()
        let length = 0
        const closed = new Promise<void>((resolve) => {
          peer.on({
            data(chunk) {
              length += chunk.length
            },
            drain() {},
            close: () => resolve(),
          })
        })
        let written = 0
        while (socket.write(Buffer.alloc(65_536)) && written < 2 ** 28) written += 65_536
        written += 65_536
        t.equal(length, 0)
        peer.resume()
        await drained
        socket.end()
        await closed
        t.equal(length, written)
        await listener.close()
      })()
      await finish(done)
    })

    t.test('errors have codes', async (t) => {
      const done = (async () => {
        const listener = await server.listen(address, 0, (socket) => {
          socket.on({ data: () => socket.destroy(), drain() {}, close() {} })
        })
        await t.rejects(
          server.listen(address, listener.port, () => {}),
          { code: 'EADDRINUSE' },
        )
        const socket = await client.connect(address, listener.port)
        const got = collect(socket)
        socket.write(Buffer.from('x'))
        await got.closed
        socket.write(Buffer.from('into the void'))
        socket.destroy()
        await listener.close()
        await t.rejects(client.connect(address, listener.port), { code: 'ECONNREFUSED' })
        await t.rejects(
          server.listen('192.0.2.1', 0, () => {}),
          { code: 'EADDRNOTAVAIL' },
        )
      })()
      await finish(done)
    })
  })
}
