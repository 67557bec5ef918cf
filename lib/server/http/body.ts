/**
 * The body of a request: counted while it comes in, never more than a value may be, given up when it comes too slowly.
 * One chunk, as small values come, is taken as it is; more are copied once.
 */
import type { IncomingMessage } from 'node:http'
import type { HttpContext } from './context.ts'
import { ClientGone, type HttpExchange } from './exchange.ts'
import { HttpError } from './failure.ts'

/** A body whose length was not told holds its bytes by so many. */
const RESERVE_BYTES = 64 * 1024

const NO_BYTES: Buffer = Buffer.alloc(0)

/** Throws 413, 503. Rejects with 408, 413, 503, or ClientGone. */
export function readBody(exchange: HttpExchange, context: HttpContext): Buffer | Promise<Buffer> {
  const { incoming } = exchange
  const declared = declaredBytes(incoming)
  if (declared === 0) return NO_BYTES
  const { valueBytesMax } = context.limits
  if (declared !== null && declared > valueBytesMax) throw tooLarge(valueBytesMax)
  if (declared !== null) exchange.reserve(declared)
  // A client that asked whether its body is wanted sends it now.
  if (incoming.headers.expect !== undefined) exchange.outgoing.writeContinue()
  return new Promise((resolve, reject) => new BodyReader(exchange, context, declared, resolve, reject))
}

/** Null: it was not told. */
function declaredBytes(incoming: IncomingMessage): number | null {
  if (incoming.headers['transfer-encoding'] !== undefined) return null
  return Number(incoming.headers['content-length'] ?? 0)
}

function tooLarge(bytes: number): HttpError {
  return new HttpError(413, 'VALUE_TOO_LARGE', `A value has ${bytes} bytes at most`)
}

class BodyReader {
  readonly #exchange: HttpExchange
  readonly #context: HttpContext
  readonly #declared: number | null
  readonly #resolve: (body: Buffer) => void
  readonly #reject: (error: Error) => void
  readonly #beganMs: number
  readonly #onData = (chunk: Buffer): void => this.#take(chunk)
  readonly #onEnd = (): void => this.#end()
  readonly #onClose = (): void => this.#fail(new ClientGone())
  #timer: Disposable
  #chunks: Buffer[] = []
  /** Where the chunks go when there is more than one and the length is known. */
  #whole: Buffer | null = null
  #bytes = 0
  #reserved = 0
  #bytesAtTick = 0

  constructor(
    exchange: HttpExchange,
    context: HttpContext,
    declared: number | null,
    resolve: (body: Buffer) => void,
    reject: (error: Error) => void,
  ) {
    this.#exchange = exchange
    this.#context = context
    this.#declared = declared
    this.#resolve = resolve
    this.#reject = reject
    this.#beganMs = context.clock.monotonicMs()
    this.#timer = this.#watch()
    const { incoming } = exchange
    exchange.onBroken = (error) => this.#fail(error)
    incoming.on('data', this.#onData)
    incoming.on('end', this.#onEnd)
    incoming.on('close', this.#onClose)
    incoming.on('error', this.#onClose)
  }

  #take(chunk: Buffer): void {
    this.#bytes += chunk.length
    const { valueBytesMax } = this.#context.limits
    if (this.#bytes > valueBytesMax) {
      this.#fail(tooLarge(valueBytesMax))
      return
    }
    if (this.#declared === null) {
      if (!this.#reserve()) return
      this.#chunks.push(chunk)
    } else if (this.#whole !== null) chunk.copy(this.#whole, this.#bytes - chunk.length)
    else if (chunk.length === this.#declared) this.#chunks.push(chunk)
    else {
      this.#whole = Buffer.allocUnsafeSlow(this.#declared)
      chunk.copy(this.#whole, 0)
    }
  }

  #reserve(): boolean {
    if (this.#bytes <= this.#reserved) return true
    const more = Math.ceil((this.#bytes - this.#reserved) / RESERVE_BYTES) * RESERVE_BYTES
    try {
      this.#exchange.reserve(more)
    } catch (error) {
      this.#fail(error as Error)
      return false
    }
    this.#reserved += more
    return true
  }

  #watch(): Disposable {
    const { clock, limits } = this.#context
    return clock.after(limits.bodyStallMs, () => {
      const allowedMs = limits.bodyMs + (this.#bytes / limits.bodyBytesPerSecondMin) * 1_000
      if (this.#bytes === this.#bytesAtTick || clock.monotonicMs() - this.#beganMs > allowedMs) {
        this.#fail(
          new HttpError(408, 'REQUEST_TIMEOUT', 'The body came too slowly', { headers: { Connection: 'close' } }),
        )
        return
      }
      this.#bytesAtTick = this.#bytes
      this.#timer = this.#watch()
    })
  }

  #end(): void {
    const [first] = this.#chunks
    this.#leave()
    if (this.#whole !== null) this.#resolve(this.#whole)
    else if (first === undefined) this.#resolve(NO_BYTES)
    else this.#resolve(this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks, this.#bytes))
  }

  #fail(error: Error): void {
    this.#leave()
    this.#chunks = []
    this.#whole = null
    this.#reject(error)
  }

  #leave(): void {
    this.#timer[Symbol.dispose]()
    const { incoming } = this.#exchange
    this.#exchange.onBroken = null
    incoming.off('data', this.#onData)
    incoming.off('end', this.#onEnd)
    incoming.off('close', this.#onClose)
    // A connection that breaks later is no error of ours.
    incoming.off('error', this.#onClose)
    incoming.on('error', () => {})
  }
}
