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

/** Each key's context is used once: what is written with an old one stays beside what came since. When all are used they are read again. */
class Contexts {
  readonly #read: () => Promise<Buffer>
  readonly #keys: number
  #bytes: Buffer = Buffer.alloc(0)
  #next = 0
  #usedUp: (() => void) | null = null

  constructor(read: () => Promise<Buffer>, keys: number) {
    this.#read = read
    this.#keys = keys
  }

  get left(): number {
    return this.#keys - this.#next
  }

  async refresh(): Promise<void> {
    this.#bytes = await this.#read()
    this.#next = 0
  }

  /** Resolves when none is left. */
  usedUp(): Promise<void> {
    return new Promise((resolve) => {
      this.#usedUp = resolve
    })
  }

  /** Puts the next key's context at `at`; that key. */
  take(out: Buffer, at: number): number {
    const key = this.#next++
    this.#bytes.copy(out, at, key * CONTEXT_BYTES, (key + 1) * CONTEXT_BYTES)
    if (this.#next === this.#keys) this.#usedUp?.()
    return key
  }
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
  /** Streams without a request: when paced, and when contexts ran out. */
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
    for (let stream = 0; stream < depth; stream++) this.#free.push(stream)
    this.#record = record
    socket.removeAllListeners('data')
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
  }

  /** Also after a stop. */
  start(rate: number): void {
    this.#stopping = false
    this.#isPaced = rate > 0
    if (this.#isPaced) {
      this.#nextMs = performance.now()
      const timer = setInterval(() => {
        if (this.#stopping) clearInterval(timer)
        else this.#sendDue(1000 / rate)
      }, TICK_MS)
      return
    }
    this.#sendFree(performance.now())
  }

  #sendFree(now: number): void {
    const count = Math.min(this.#free.length, this.#template.contexts?.left ?? this.#free.length)
    if (count === 0) return
    const out = Buffer.allocUnsafe(count * this.#frame.length)
    for (let i = 0; i < count; i++) this.#put(out, i * this.#frame.length, this.#free.pop()!, now)
    this.#socket.write(out)
  }

  #sendDue(periodMs: number): void {
    const now = performance.now()
    const most = Math.min(this.#free.length, this.#template.contexts?.left ?? this.#free.length)
    const due = Math.min(most, Math.floor((now - this.#nextMs) / periodMs) + 1)
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
    const key = contexts === null ? Math.floor(Math.random() * this.#keys) : contexts.take(out, at + contextAt)
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
    let at = 0
    while (chunk.length - at >= HEADER_BYTES) {
      const length = chunk.readInt32BE(at + 5)
      if (chunk.length - at < HEADER_BYTES + length) break
      const stream = chunk.readInt16BE(at + 2)
      if (!isRight(this.#operation, chunk, at, at + HEADER_BYTES)) this.errors++
      this.#record(now - this.#started[stream]!)
      this.#free.push(stream)
      this.answered++
      this.#inFlight--
      at += HEADER_BYTES + length
    }
    this.#rest = at === chunk.length ? null : chunk.subarray(at)
    if (!this.#stopping && !this.#isPaced) this.#sendFree(now)
    else if (this.#stopping && this.#inFlight === 0) this.#done?.()
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
  const text = operation.contexts
  let contexts: Contexts | null = null
  if (text !== null) {
    const reader = await ToolClient.connect(plan.addresses[0]!, plan.port)
    contexts = new Contexts(() => contextsOf(reader, text, keys, plan.consistency), keys)
    await contexts.refresh()
  }
  for (let i = 0; i < connections; i++) {
    const client = await ToolClient.connect(plan.addresses[i % plan.addresses.length]!, plan.port)
    const id = await client.prepare(operation.text)
    const depth = Math.floor(plan.inFlight / connections) + (i < plan.inFlight % connections ? 1 : 0)
    pumps.push(
      new Pump(client.socket, templateOf(operation, id, plan.consistency, contexts), operation, keys, depth, record),
    )
  }
  const total = (): number => pumps.reduce((sum, pump) => sum + pump.answered, 0)
  const start = (): void => {
    for (const pump of pumps) pump.start((plan.rate ?? 0) / pumps.length)
  }
  const stop = (): Promise<unknown> =>
    Promise.race([
      Promise.all(pumps.map((pump) => pump.stop())),
      sleep(STALL_MS).then(() => Promise.reject(new Error('requests were not answered'))),
    ])
  /** That long under load; what it takes to read contexts again does not count. */
  const pass = async (seconds: number): Promise<{ requests: number; seconds: number; cpuMicros: number }> => {
    const sum = { requests: 0, seconds: 0, cpuMicros: 0 }
    for (;;) {
      const cpu = process.cpuUsage()
      const before = total()
      const began = performance.now()
      const over = sleep((seconds - sum.seconds) * 1000)
      if (contexts === null) await over
      else if (contexts.left > 0) await Promise.race([over, contexts.usedUp()])
      const isUsedUp = contexts?.left === 0
      if (isUsedUp) await stop()
      sum.seconds += (performance.now() - began) / 1000
      sum.requests += total() - before
      const { user, system } = process.cpuUsage(cpu)
      sum.cpuMicros += user + system
      if (isUsedUp) {
        await contexts!.refresh()
        start()
      }
      if (sum.seconds >= seconds) return sum
    }
  }
  start()
  await pass(plan.warmSeconds)
  measuring = true
  const measured = await pass(plan.seconds)
  measuring = false
  await stop()
  const errors = pumps.reduce((sum, pump) => sum + pump.errors, 0)
  return loadReport({ ...measured, errors, histogram })
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
