/**
 * Key-value over HTTP in the simulated world, without sockets: requests go to the service's own listener, and what it writes comes back, each after the
 * time that the network takes. What parsers and connections do is left out; all behind them is the real service.
 * Always: a node that died or is paused takes no request and gives no answer.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import type { ListenHttpService } from '../../../lib/runtime/node/http-service.ts'
import type { Clock } from '../../../lib/runtime/runtime.ts'
// Loaded with the world: a node loads them when it has started, which would take real time.
import '../../../lib/server/http/key-value.ts'
import '../../../lib/server/http/service.ts'

export interface HttpAsk {
  readonly method: 'GET' | 'PUT' | 'DELETE'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Buffer
}

export type HttpAnswer =
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly headers: Readonly<Record<string, string>>
      readonly body: Buffer
    }
  /** Nobody answered. `sent`: the node may have it. */
  | { readonly kind: 'lost'; readonly sent: boolean }

interface Served {
  /** Of the node's process: what is put off by it never happens when that is dead. */
  readonly clock: Clock
  readonly options: Parameters<ListenHttpService>[0]
}

const PORT = 8080
const PATIENCE_MS = 15_000

export class HttpWire {
  readonly #served = new Map<string, Served>()
  readonly #latencyMs: number

  constructor(latencyMs: number) {
    this.#latencyMs = latencyMs
  }

  /** What a node at that address listens by. */
  listener(address: string, clock: Clock): ListenHttpService {
    return (options) => {
      const served = { clock, options }
      this.#served.set(address, served)
      const end = (): void => {
        if (this.#served.get(address) === served) this.#served.delete(address)
      }
      return Promise.resolve({
        name: `${address}:${PORT}`,
        port: PORT,
        connections: () => Promise.resolve(0),
        stop: () => {
          end()
          return Promise.resolve()
        },
        closeIdle() {},
        closeAll() {},
      })
    }
  }

  /** The node at that address is dead. */
  detach(address: string): void {
    this.#served.delete(address)
  }

  /** `clock`: the client's. */
  ask(clock: Clock, address: string, ask: HttpAsk): Promise<HttpAnswer> {
    const served = this.#served.get(address)
    if (served === undefined) return Promise.resolve({ kind: 'lost', sent: false })
    return new Promise((resolve) => {
      const late = clock.after(PATIENCE_MS, () => resolve({ kind: 'lost', sent: true }))
      const answered = (answer: HttpAnswer): void => {
        // The answer is on its way when the node dies: it arrives.
        clock.after(this.#latencyMs, () => {
          late[Symbol.dispose]()
          resolve(answer)
        })
      }
      served.clock.after(this.#latencyMs, () => deliver(served.options, ask, answered))
    })
  }
}

function deliver(options: Served['options'], ask: HttpAsk, answered: (answer: HttpAnswer) => void): void {
  const socket = { writableLength: 0, writable: true, destroy() {} } as unknown as Socket
  const body = ask.body ?? Buffer.alloc(0)
  const readable = new Readable({ read() {} })
  if (body.length > 0) readable.push(body)
  readable.push(null)
  const incoming = Object.assign(readable, {
    method: ask.method,
    url: ask.path,
    headers: { host: 'kv', 'content-length': String(body.length), ...ask.headers },
    socket,
    complete: true,
  })
  options.onConnection(socket)
  options.onRequest(incoming as unknown as IncomingMessage, outgoingOf(answered) as unknown as ServerResponse)
}

/** As much of a response as the service uses. */
function outgoingOf(answered: (answer: HttpAnswer) => void): object {
  let status = 0
  let headers: Record<string, string> = {}
  const chunks: Buffer[] = []
  return {
    socket: null,
    writableLength: 0,
    writableFinished: false,
    writeHead(code: number, list: Record<string, string | number>) {
      status = code
      headers = Object.fromEntries(Object.entries(list).map(([name, value]) => [name.toLowerCase(), String(value)]))
    },
    write(chunk: string | Buffer) {
      chunks.push(Buffer.from(chunk as string))
    },
    end(chunk?: string | Buffer) {
      if (chunk !== undefined) chunks.push(Buffer.from(chunk as string))
      answered({ kind: 'answer', status, headers, body: Buffer.concat(chunks) })
    },
    once() {},
    destroy() {},
  }
}
