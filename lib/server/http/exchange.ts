/**
 * One request and its answer.
 * Always: it is answered once or its client is gone; what it holds of the bytes in flight is given back when it is answered and, as far as its client did
 * not take the answer at once, when the connection has taken it or is closed.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { RequestError } from '../../base/errors.ts'
import type { HttpContext } from './context.ts'
import { errorBody, fromRequestError, HttpError, overloaded } from './failure.ts'
import type { Target } from './target.ts'

export type HeaderList = Record<string, string | number>

const INCIDENT_BYTES = 8

/** A body of which so much is still to come is let in although nobody wants it: the connection goes on. Of a longer one it does not. */
const UNREAD_BYTES_MAX = 64 * 1024
const SOURCE = 'http.ts'

/** The client went away: there is nobody to answer. */
export class ClientGone extends Error {
  override name = 'ClientGone'
}

export class HttpExchange {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  readonly target: Target
  readonly #context: HttpContext
  readonly #ended: () => void
  /** Who reads its body hears here that no more of it can be read. */
  onBroken: ((error: HttpError) => void) | null = null
  #bytes = 0
  #isAnswered = false
  #isBroken = false
  #isRefusing = false

  /** `ended` is called once, when it is answered or given up. */
  constructor(
    { incoming, outgoing }: { incoming: IncomingMessage; outgoing: ServerResponse },
    target: Target,
    context: HttpContext,
    ended: () => void,
  ) {
    this.incoming = incoming
    this.outgoing = outgoing
    this.target = target
    this.#context = context
    this.#ended = ended
  }

  /** Of the request; its name in lower case. One that is there several times is one, with commas. */
  header(name: string): string | undefined {
    const value = this.incoming.headers[name]
    return typeof value === 'string' ? value : value?.join(', ')
  }

  /** Bytes that it holds until it is answered. Throws 503 when all requests together would hold too many. */
  reserve(bytes: number): void {
    const { counters, limits } = this.#context
    if (counters.bytes + bytes > limits.inFlightBytesMax && counters.bytes > 0)
      throw overloaded('Too many bytes are in flight on this node')
    counters.bytes += bytes
    this.#bytes += bytes
  }

  answer(status: number, headers: HeaderList, body: Buffer | string | null): void {
    if (!this.#begin(status)) return
    const { outgoing } = this
    const length = body === null ? 0 : typeof body === 'string' ? Buffer.byteLength(body) : body.length
    if (status !== 204 && status !== 304) headers['Content-Length'] = length
    if (this.#context.isClosing || this.#unreadBytes() > UNREAD_BYTES_MAX) headers.Connection = 'close'
    outgoing.writeHead(status, headers)
    if (body === null || length === 0) outgoing.end()
    else {
      outgoing.end(body)
      this.#holdUnsent(length)
    }
    this.#finish()
  }

  fail(error: unknown): void {
    if (error instanceof ClientGone) {
      this.giveUp()
      return
    }
    const told = this.#told(error)
    const body = errorBody(told)
    const headers: HeaderList = { 'Content-Type': 'application/json', ...told.headers }
    if (this.#isBroken) headers.Connection = 'close'
    if (this.#isBroken || this.#unreadBytes() <= UNREAD_BYTES_MAX) this.answer(told.status, headers, body)
    else this.#refuseBody(told.status, headers, body)
  }

  /** The rest of the body cannot be read. False: nobody was reading it. */
  breakBody(error: HttpError): boolean {
    if (this.onBroken === null || this.incoming.complete) return false
    this.#isBroken = true
    this.onBroken(error)
    return true
  }

  /** It was answered, and only waits until its client has stopped sending: no more of that can be read. False: it was not. */
  endRefusal(): boolean {
    if (this.#isRefusing) this.outgoing.end()
    return this.#isRefusing
  }

  /** Nobody is there any more. */
  giveUp(): void {
    if (this.#isAnswered) return
    this.#isAnswered = true
    this.#context.counters.aborted += 1
    this.#finish()
  }

  #begin(status: number): boolean {
    if (this.#isAnswered) return false
    this.#isAnswered = true
    const { statuses } = this.#context.counters
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
    return true
  }

  #finish(): void {
    this.#context.counters.bytes -= this.#bytes
    this.#bytes = 0
    this.#ended()
  }

  #told(error: unknown): HttpError {
    if (error instanceof HttpError) return error
    if (error instanceof RequestError) return fromRequestError(error)
    const { counters, random, log } = this.#context
    counters.incidents += 1
    const incident = random.fill(Buffer.alloc(INCIDENT_BYTES)).toString('hex')
    log.error(SOURCE, `Unexpected exception during request; incident ${incident}`, error)
    return new HttpError(500, 'SERVER_ERROR', `Unexpected exception; incident ${incident}`)
  }

  /** An answer lies in memory until the connection has taken it; a client that does not take it in time is let go. */
  #holdUnsent(bytes: number): void {
    const { outgoing } = this
    const { counters, clock, limits } = this.#context
    if (outgoing.writableLength === 0 && (outgoing.socket?.writableLength ?? 0) === 0) return
    counters.bytes += bytes
    const late = clock.after(limits.answerMs, () => outgoing.destroy())
    outgoing.once('close', () => {
      late[Symbol.dispose]()
      counters.bytes -= bytes
    })
  }

  /** What is still to come of the body, as far as its length was told. */
  #unreadBytes(): number {
    const { incoming } = this
    if (incoming.complete) return 0
    // Who asked whether its body is wanted may send it all the same, or its next request in its place: nobody can tell them apart.
    const { expect, 'transfer-encoding': encoding } = incoming.headers
    if (encoding !== undefined || expect !== undefined) return Number.POSITIVE_INFINITY
    return Number(incoming.headers['content-length'] ?? 0)
  }

  /**
   * The answer goes out at once and whole, and ends the connection when the client has stopped sending: if it ended before, what the client still sends would
   * be answered with a reset, which may overtake the answer.
   */
  #refuseBody(status: number, headers: HeaderList, body: string): void {
    if (!this.#begin(status)) return
    const { incoming, outgoing } = this
    headers['Content-Length'] = Buffer.byteLength(body)
    headers.Connection = 'close'
    outgoing.writeHead(status, headers)
    outgoing.write(body)
    this.#isRefusing = true
    const end = (): void => {
      late[Symbol.dispose]()
      outgoing.end()
    }
    const late = this.#context.clock.after(this.#context.limits.lingerMs, end)
    incoming.once('end', end)
    outgoing.once('close', () => late[Symbol.dispose]())
    incoming.on('error', () => {})
    incoming.on('data', () => {})
    incoming.resume()
    this.#finish()
  }
}
