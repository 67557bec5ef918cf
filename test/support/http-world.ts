/** Key-value over HTTP on a processor over storage in memory, with limits of one's own, and with replicas that fail when they are told to. */
import http from 'node:http'
import net from 'node:net'
import type { RequestError } from '../../lib/base/errors.ts'
import { QueryProcessor } from '../../lib/cql/processor.ts'
import type { Coordinator } from '../../lib/cql/statement.ts'
import { openNodeClock } from '../../lib/runtime/node/clock.ts'
import { listenHttpService } from '../../lib/runtime/node/http-service.ts'
import { SILENT_LOG } from '../../lib/runtime/node/log.ts'
import type { Clock } from '../../lib/runtime/runtime.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { KeyValueTables } from '../../lib/server/http/key-value.ts'
import { createHttpCounters, HTTP_LIMITS, type HttpCounters, type HttpLimits } from '../../lib/server/http/limits.ts'
import { type HttpService, openHttpService } from '../../lib/server/http/service.ts'
import { openStorageNode, type StorageNode } from './storage-node.ts'

export interface HttpWorld extends AsyncDisposable {
  readonly node: StorageNode
  readonly service: HttpService
  readonly counters: HttpCounters
  readonly port: number
  /** What reads and writes meet: an error, or a promise that they wait for; null: nothing. */
  fault: {
    read?: RequestError | Error | Promise<void> | undefined
    write?: RequestError | Error | Promise<void>
    cas?: RequestError
    /** Whether the schema is the newest cannot be learned. */
    schema?: RequestError
  } | null
}

const ADDRESS = '127.0.0.1'
const DATACENTERS = new Map([['dc1', 1]])

export async function openHttpWorld(limits: Partial<HttpLimits> = {}, clock?: Clock): Promise<HttpWorld> {
  const node = await openStorageNode()
  const realClock = clock ?? openNodeClock()
  const world: { fault: HttpWorld['fault'] } = { fault: null }
  const meet = <T>(fault: Error | Promise<void> | undefined, act: () => T): T | Promise<Awaited<T>> => {
    if (fault instanceof Promise) return fault.then(act) as Promise<Awaited<T>>
    if (fault) throw fault
    return act()
  }
  const { coordinator: inner } = node.environment
  const coordinator: Coordinator = {
    ...inner,
    write: (...parts) => meet(world.fault?.write, () => inner.write(...parts)) as ReturnType<Coordinator['write']>,
    read: (...parts) => meet(world.fault?.read, () => inner.read(...parts)) as ReturnType<Coordinator['read']>,
    cas: async (request) => {
      if (world.fault?.cas) throw world.fault.cas
      return inner.cas(request)
    },
    truncate: (table) => inner.truncate(table),
  }
  const processor = new QueryProcessor({
    ...node.environment,
    coordinator,
    cluster: { clusterName: 'test', datacenters: () => DATACENTERS, rangeOwnership: () => new Map() },
  })
  const counters = createHttpCounters()
  const random = createSeededRandom(1)
  const service = await openHttpService({
    clock: realClock,
    log: SILENT_LOG,
    random,
    limits: { ...HTTP_LIMITS, ...limits },
    counters,
    tables: new KeyValueTables({
      processor,
      random,
      schema: () => node.environment.schema.current,
      confirm: async () => {
        if (world.fault?.schema) throw world.fault.schema
      },
      replication: () => DATACENTERS,
    }),
    listen: listenHttpService,
    address: ADDRESS,
    port: 0,
  })
  return {
    node,
    service,
    counters,
    port: service.port,
    get fault() {
      return world.fault
    },
    set fault(fault) {
      world.fault = fault
    },
    async [Symbol.asyncDispose]() {
      await service.close(0)
      await node[Symbol.asyncDispose]()
    },
  }
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
  /** Of a JSON body. */
  readonly json: Record<string, unknown>
}

export interface AskOptions {
  readonly headers?: http.OutgoingHttpHeaders
  readonly body?: string | Buffer
  readonly agent?: http.Agent
  readonly address?: string
}

export function ask(port: number, method: string, path: string, options: AskOptions = {}): Promise<HttpAnswer> {
  const { headers = {}, body, agent, address = ADDRESS } = options
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }
    const asked = http.request({
      host: address,
      port,
      method,
      path,
      headers: { ...length, ...headers },
      agent: agent ?? false,
    })
    asked.on('error', reject)
    asked.on('response', (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('error', reject)
      answer.on('end', () => {
        const whole = Buffer.concat(chunks)
        resolve({
          status: answer.statusCode!,
          headers: answer.headers,
          body: whole,
          get json() {
            return JSON.parse(whole.toString()) as Record<string, unknown>
          },
        })
      })
    })
    asked.end(body)
  })
}

/** Sends bytes as they are; resolves with all that came back, when the other side ends. */
export function sendRaw(
  port: number,
  bytes: string | Buffer,
  options: { readonly end?: boolean } = {},
): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: ADDRESS, allowHalfOpen: true })
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
    })
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.on('close', () => resolve(text))
    if (options.end) socket.end(bytes)
    else socket.write(bytes)
  })
}
