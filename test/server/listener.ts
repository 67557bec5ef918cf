/** The listener on a real network: connections come, are answered, and are gone when it closes. */
import t from 'tap'
import { openNodeClock } from '../../lib/runtime/node/clock.ts'
import { openNodeNetwork } from '../../lib/runtime/node/network.ts'
import type { Socket } from '../../lib/runtime/runtime.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { ClientListener } from '../../lib/server/listener.ts'
import { Decoder } from '../../protocol/decoder.ts'
import { Encoder } from '../../protocol/encoder.ts'
import { encodeRequest, plainParameters, type Request } from '../../protocol/requests.ts'
import { decodeResponse, type Response } from '../../protocol/responses.ts'
import { createFakeProcessor, createMemoryLog } from '../support/client.ts'

const BODY_BYTES_MAX = 256 * 1024 * 1024

/** A connection to a port, one request at a time. */
class RealClient {
  readonly #socket: Socket
  readonly #version: number
  readonly #encoder = new Encoder()
  readonly #decoder = new Decoder(BODY_BYTES_MAX)
  #waiting: ((response: Response | null) => void) | null = null

  constructor(socket: Socket, version: number) {
    this.#socket = socket
    this.#version = version
    socket.on({
      data: (chunk) => {
        this.#decoder.push(chunk)
        while (this.#decoder.next()) this.#waiting?.(decodeResponse(this.#decoder.envelope).response)
      },
      drain: () => {},
      close: () => this.#waiting?.(null),
    })
  }

  ask(request: Request): Promise<Response | null> {
    encodeRequest(this.#encoder, this.#version, 1, request)
    this.#socket.write(this.#encoder.take())
    return this.next()
  }

  next(): Promise<Response | null> {
    return new Promise((resolve) => {
      this.#waiting = resolve
    })
  }

  async startup(): Promise<Response | null> {
    const response = await this.ask({ kind: 'startup', options: new Map([['CQL_VERSION', '3.0.0']]) })
    if (this.#version < 5) return response
    this.#encoder.useSegments(null)
    this.#decoder.useSegments(null)
    return response
  }

  close(): void {
    this.#socket.destroy()
  }
}

t.test('a listener on a port', async (t) => {
  const network = openNodeNetwork()
  const processor = createFakeProcessor()
  const listener = new ClientListener({
    clock: openNodeClock(),
    log: createMemoryLog(),
    random: createSeededRandom(1),
    network,
    processor,
  })
  const bound = await listener.listen('127.0.0.1', 0)
  for (const version of [3, 4, 5]) {
    const client = new RealClient(await network.connect('127.0.0.1', bound.port), version)
    t.match(await client.ask({ kind: 'options' }), { kind: 'supported' })
    t.match(await client.startup(), { kind: 'ready' })
    const query: Request = { kind: 'query', query: 'X', parameters: plainParameters(version, 1) }
    t.match(await client.ask(query), { kind: 'void' })
    const rowBytes = Buffer.alloc(40 * 1024 * 1024)
    processor.reply = () => ({
      kind: 'rows',
      metadata: { columns: [], id: Buffer.alloc(16) },
      rowCount: 0,
      rowBytes,
      pagingState: null,
    })
    const large = await client.ask(query)
    t.equal(large?.kind === 'rows' && large.rowBytes.length, rowBytes.length)
    processor.reply = async () => ({ kind: 'void' })
    t.match(await client.ask(query), { kind: 'void' })
    if (version === 4) client.close()
  }
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(listener.connections.size, 2)
  await listener.close(1_000)
  t.equal(listener.connections.size, 0)
  await t.rejects(network.connect('127.0.0.1', bound.port), { code: 'ECONNREFUSED' })
})
