/**
 * The load over HTTP: a process of its own that keeps one request in flight on each of its connections and times each answer. Lean on purpose, for it must
 * not be the limit: requests are made once, answers are looked at as far as proves them right.
 * Argument: an HttpLoadPlan as JSON. Prints a LoadReport as JSON.
 */
import net from 'node:net'
import { createHistogram } from 'node:perf_hooks'
import { type LoadReport, loadReport } from './load-report.ts'

export interface HttpLoadPlan {
  readonly address: string
  readonly port: number
  readonly operation: 'fill' | 'get' | 'put'
  readonly connections: number
  readonly seconds: number
  readonly warmSeconds: number
  readonly keys: number
  readonly valueBytes: number
}

const END_OF_HEADERS = Buffer.from('\r\n\r\n')
const LENGTH = Buffer.from('Content-Length: ')
const STATUS_AT = 'HTTP/1.1 '.length

/** One connection: the next request goes out when the answer to the last is whole. */
class Asker {
  readonly #socket: net.Socket
  readonly #next: () => { readonly request: Buffer; readonly status: string; readonly bytes: number } | null
  readonly #record: (ms: number) => void
  #rest: Buffer = Buffer.alloc(0)
  #expected = { status: '', bytes: 0 }
  #sentMs = 0
  #ended: () => void = () => {}
  readonly done: Promise<void>
  answered = 0
  errors = 0

  constructor(socket: net.Socket, next: Asker['next'], record: (ms: number) => void) {
    this.#socket = socket
    this.#next = next
    this.#record = record
    this.done = new Promise((resolve) => {
      this.#ended = resolve
    })
    socket.on('data', (chunk) => this.#take(chunk))
    socket.on('error', () => this.#fail())
    socket.on('close', () => this.#fail())
  }

  get next(): () => { readonly request: Buffer; readonly status: string; readonly bytes: number } | null {
    return this.#next
  }

  send(): void {
    const asked = this.#next()
    if (asked === null) {
      this.#ended()
      this.#socket.destroy()
      return
    }
    this.#expected = asked
    this.#sentMs = performance.now()
    this.#socket.write(asked.request)
  }

  #fail(): void {
    if (this.#socket.destroyed) this.#ended()
  }

  #take(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const headersEnd = bytes.indexOf(END_OF_HEADERS)
    if (headersEnd < 0) {
      this.#rest = bytes
      return
    }
    const lengthAt = bytes.indexOf(LENGTH)
    const length =
      lengthAt < 0 || lengthAt > headersEnd
        ? 0
        : Number.parseInt(bytes.toString('latin1', lengthAt + LENGTH.length, lengthAt + LENGTH.length + 12), 10)
    if (bytes.length < headersEnd + END_OF_HEADERS.length + length) {
      this.#rest = bytes
      return
    }
    this.#rest = Buffer.alloc(0)
    this.answered++
    this.#record(performance.now() - this.#sentMs)
    if (bytes.toString('latin1', STATUS_AT, STATUS_AT + 3) !== this.#expected.status || length !== this.#expected.bytes)
      this.errors++
    this.send()
  }
}

async function run(plan: HttpLoadPlan): Promise<LoadReport> {
  const histogram = createHistogram({ figures: 3 })
  let isMeasuring = false
  let isOver = false
  const record = (ms: number): void => {
    if (isMeasuring) histogram.record(Math.max(1, Math.round(ms * 1000)))
  }
  const value = 'v'.repeat(plan.valueBytes)
  const host = `Host: ${plan.address}:${plan.port}\r\n`
  const put = (key: number): Buffer =>
    Buffer.from(
      `PUT /kv/key${key} HTTP/1.1\r\n${host}Content-Type: text/plain\r\nContent-Length: ${value.length}\r\n\r\n${value}`,
    )
  const get = (key: number): Buffer => Buffer.from(`GET /kv/key${key} HTTP/1.1\r\n${host}\r\n`)
  let filled = 0
  const nextOf = (): Asker['next'] => {
    if (plan.operation === 'fill')
      return () =>
        filled < plan.keys
          ? {
              request: put(filled++),
              status: '204',
              bytes: 0,
            }
          : null
    const isGet = plan.operation === 'get'
    const requests = Array.from({ length: Math.min(plan.keys, 2_000) }, () => {
      const key = Math.floor(Math.random() * plan.keys)
      return isGet
        ? { request: get(key), status: '200', bytes: value.length }
        : { request: put(key), status: '204', bytes: 0 }
    })
    let at = 0
    return () => (isOver ? null : requests[at++ % requests.length]!)
  }
  const askers: Asker[] = []
  for (let i = 0; i < plan.connections; i++) {
    const socket = net.connect({ host: plan.address, port: plan.port, noDelay: true })
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    askers.push(new Asker(socket, nextOf(), record))
  }
  const total = (): number => askers.reduce((sum, { answered }) => sum + answered, 0)
  for (const asker of askers) asker.send()
  if (plan.operation !== 'fill') await sleep(plan.warmSeconds)
  const cpu = process.cpuUsage()
  const before = total()
  const beganMs = performance.now()
  isMeasuring = true
  if (plan.operation !== 'fill') await sleep(plan.seconds)
  else await Promise.all(askers.map(({ done }) => done))
  isMeasuring = false
  const seconds = (performance.now() - beganMs) / 1_000
  const requests = total() - before
  const { user, system } = process.cpuUsage(cpu)
  isOver = true
  await Promise.all(askers.map(({ done }) => done))
  const errors = askers.reduce((sum, asker) => sum + asker.errors, 0)
  return loadReport({ requests, errors, seconds, cpuMicros: user + system, histogram })
}

function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1_000))
}

process.stdout.write(`${JSON.stringify(await run(JSON.parse(process.argv[2]!) as HttpLoadPlan))}\n`)
process.exit(0)
