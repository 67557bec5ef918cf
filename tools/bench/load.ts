/**
 * The load: a process of its own that keeps a fixed number of prepared requests in flight and times each answer. Lean on purpose, for it
 * must not be the limit: frames are copies of a template with stream and key put in, answers are looked at only as far as proves them right.
 * With a rate, requests go out at fixed times whatever the answers do, and an answer's time counts from when its request was due: a server that
 * stands still is charged with all that waited for it.
 * Argument: a LoadPlan as JSON. Prints a LoadReport as JSON.
 */
import type net from 'node:net'
import { createHistogram } from 'node:perf_hooks'
import { HEADER_BYTES } from '../../protocol/envelope.ts'
import { encode, ToolClient } from '../support/client.ts'
import { type LoadReport, loadReport } from './load-report.ts'
import {
  CONTEXT_BYTES,
  contextsOf,
  fill,
  isRight,
  type Operation,
  type OperationName,
  operationsOf,
  requestOf,
} from './operations.ts'

export interface LoadPlan {
  /** Connections are spread over them in turn. */
  readonly addresses: readonly string[]
  readonly port: number
  readonly replicas: number
  /** Of every request. */
  readonly consistency: number
  readonly operation: OperationName
  readonly inFlight: number
  readonly connections: number
  readonly seconds: number
  readonly warmSeconds: number
  readonly keys: number
  readonly valueBytes: number
  /** Requests a second; 0: as many as answers let, with `inFlight` under way. */
  readonly rate?: number
}

const KEY_MARK = 0x5a5a5a5a5a5a5a5an

const TICK_MS = 1

/** Milliseconds that a request may take before the run is given up. */
const STALL_MS = 30_000

interface Template {
  readonly frame: Buffer
  /** Where the key belongs, once for each statement. */
  readonly keysAt: readonly number[]
  /** Where the key's context belongs, and those of all keys; null: none is sent. */
  readonly contextAt: number
  readonly contexts: Contexts | null
}

/** Each key's context is used once; when all are, the first are old: what was written with them stays beside. */
interface Contexts {
  readonly bytes: Buffer
  next: number
}

function templateOf(operation: Operation, id: string, consistency: number, contexts: Contexts | null): Template {
  const key = Buffer.alloc(8)
  key.writeBigInt64BE(KEY_MARK)
  const frame = encode(requestOf(operation, id, key, consistency), 0)
  const keysAt: number[] = []
  for (let at = frame.indexOf(key); at >= 0; at = frame.indexOf(key, at + key.length)) keysAt.push(at)
  const mark = contexts === null ? null : operation.values[operation.values.length - 1]!
  return { frame, keysAt, contextAt: mark === null ? -1 : frame.indexOf(mark), contexts }
}

/** One connection's share of the load. */
class Pump {
  readonly #socket: net.Socket
  readonly #template: Template
  readonly #frame: Buffer
  readonly #keysAt: readonly number[]
  readonly #operation: Operation
  readonly #keys: number
  readonly #started: Float64Array
  readonly #record: (milliseconds: number) => void
  #rest: Buffer | null = null
  #stopping = false
  #inFlight = 0
  #done: (() => void) | null = null
  #isPaced = false
  /** Streams without a request, when paced. */
  readonly #free: number[] = []
  #nextMs = 0
  /** Answered while measuring or warming. */
  answered = 0
  errors = 0

  constructor(
    socket: net.Socket,
    template: Template,
    operation: Operation,
    keys: number,
    depth: number,
    record: (ms: number) => void,
  ) {
    this.#socket = socket
    this.#template = template
    this.#frame = template.frame
    this.#keysAt = template.keysAt
    this.#operation = operation
    this.#keys = keys
    this.#started = new Float64Array(depth)
    this.#record = record
    socket.removeAllListeners('data')
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
  }

  start(rate: number): void {
    const depth = this.#started.length
    this.#isPaced = rate > 0
    if (this.#isPaced) {
      for (let stream = 0; stream < depth; stream++) this.#free.push(stream)
      this.#nextMs = performance.now()
      const timer = setInterval(() => {
        if (this.#stopping) clearInterval(timer)
        else this.#sendDue(1000 / rate)
      }, TICK_MS)
      return
    }
    const out = Buffer.allocUnsafe(depth * this.#frame.length)
    const now = performance.now()
    for (let stream = 0; stream < depth; stream++) this.#put(out, stream * this.#frame.length, stream, now)
    this.#socket.write(out)
  }

  #sendDue(periodMs: number): void {
    const now = performance.now()
    const due = Math.min(this.#free.length, Math.floor((now - this.#nextMs) / periodMs) + 1)
    if (due <= 0) return
    const out = Buffer.allocUnsafe(due * this.#frame.length)
    for (let i = 0; i < due; i++, this.#nextMs += periodMs)
      this.#put(out, i * this.#frame.length, this.#free.pop()!, this.#nextMs)
    this.#socket.write(out)
  }

  /** Resolves when all that is in flight was answered. */
  stop(): Promise<void> {
    this.#stopping = true
    if (this.#inFlight === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#done = resolve
    })
  }

  #put(out: Buffer, at: number, stream: number, now: number): void {
    this.#frame.copy(out, at)
    out[at + 2] = stream >> 8
    out[at + 3] = stream
    const { contexts, contextAt } = this.#template
    const key = contexts === null ? Math.floor(Math.random() * this.#keys) : contexts.next++ % this.#keys
    contexts?.bytes.copy(out, at + contextAt, key * CONTEXT_BYTES, (key + 1) * CONTEXT_BYTES)
    for (let i = 0; i < this.#keysAt.length; i++) {
      const keyAt = at + this.#keysAt[i]!
      out.writeUInt32BE(0, keyAt)
      out.writeUInt32BE(key, keyAt + 4)
    }
    this.#started[stream] = now
    this.#inFlight++
  }

  #take(received: Buffer): void {
    const chunk = this.#rest === null ? received : Buffer.concat([this.#rest, received])
    const now = performance.now()
    const streams: number[] = []
    let at = 0
    while (chunk.length - at >= HEADER_BYTES) {
      const length = chunk.readInt32BE(at + 5)
      if (chunk.length - at < HEADER_BYTES + length) break
      const stream = chunk.readInt16BE(at + 2)
      if (!isRight(this.#operation, chunk, at, at + HEADER_BYTES)) this.errors++
      this.#record(now - this.#started[stream]!)
      streams.push(stream)
      at += HEADER_BYTES + length
    }
    this.#rest = at === chunk.length ? null : chunk.subarray(at)
    this.answered += streams.length
    this.#inFlight -= streams.length
    if (this.#stopping) {
      if (this.#inFlight === 0) this.#done?.()
      return
    }
    if (this.#isPaced) {
      this.#free.push(...streams)
      return
    }
    if (streams.length === 0) return
    const out = Buffer.allocUnsafe(streams.length * this.#frame.length)
    for (let i = 0; i < streams.length; i++) this.#put(out, i * this.#frame.length, streams[i]!, now)
    this.#socket.write(out)
  }
}

async function run(plan: LoadPlan): Promise<LoadReport> {
  const histogram = createHistogram({ figures: 3 })
  let measuring = false
  const record = (ms: number): void => {
    if (measuring) histogram.record(Math.max(1, Math.round(ms * 1000)))
  }
  const operation = operationsOf(plan.valueBytes)[plan.operation]
  const keys = Math.floor(plan.keys * operation.keyShare)
  const connections = Math.min(plan.connections, plan.inFlight)
  const pumps: Pump[] = []
  let contexts: Contexts | null = null
  for (let i = 0; i < connections; i++) {
    const client = await ToolClient.connect(plan.addresses[i % plan.addresses.length]!, plan.port)
    if (operation.contexts !== null)
      contexts ??= { bytes: await contextsOf(client, operation.contexts, keys, plan.consistency), next: 0 }
    const id = await client.prepare(operation.text)
    const depth = Math.floor(plan.inFlight / connections) + (i < plan.inFlight % connections ? 1 : 0)
    pumps.push(
      new Pump(client.socket, templateOf(operation, id, plan.consistency, contexts), operation, keys, depth, record),
    )
  }
  const total = (): number => pumps.reduce((sum, pump) => sum + pump.answered, 0)
  for (const pump of pumps) pump.start((plan.rate ?? 0) / pumps.length)
  await sleep(plan.warmSeconds * 1000)
  const cpu = process.cpuUsage()
  const before = total()
  const start = performance.now()
  measuring = true
  await sleep(plan.seconds * 1000)
  measuring = false
  const seconds = (performance.now() - start) / 1000
  const requests = total() - before
  const { user, system } = process.cpuUsage(cpu)
  await Promise.race([
    Promise.all(pumps.map((pump) => pump.stop())),
    sleep(STALL_MS).then(() => Promise.reject(new Error('requests were not answered'))),
  ])
  const errors = pumps.reduce((sum, pump) => sum + pump.errors, 0)
  return loadReport({ requests, errors, seconds, cpuMicros: user + system, histogram })
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}

const [task, json] = process.argv.slice(2)
const plan = JSON.parse(json!) as LoadPlan
if (task === 'fill') {
  const client = await ToolClient.connect(plan.addresses[0]!, plan.port)
  await fill(client, operationsOf(plan.valueBytes)[plan.operation], plan)
  client.close()
} else process.stdout.write(`${JSON.stringify(await run(plan))}\n`)
process.exit(0)
