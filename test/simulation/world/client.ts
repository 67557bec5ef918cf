/**
 * A client of the native protocol on the simulated network: one connection to one node, requests by stream, and what it was told of each, which
 * may be nothing.
 */
import type { ErrorCodeName, ErrorFields } from '../../../lib/base/errors.ts'
import type { Clock, Network, Socket } from '../../../lib/runtime/runtime.ts'
import { Decoder } from '../../../protocol/decoder.ts'
import { Encoder } from '../../../protocol/encoder.ts'
import { encodeRequest, plainParameters, type QueryParameters, type Request } from '../../../protocol/requests.ts'
import { decodeResponse, type Response } from '../../../protocol/responses.ts'

export type Cell = Buffer | null

export type Answer =
  | { readonly kind: 'void' }
  | {
      readonly kind: 'rows'
      readonly columns: readonly string[]
      readonly rows: readonly (readonly Cell[])[]
      readonly pagingState: Buffer | null
    }
  | { readonly kind: 'prepared'; readonly id: string; readonly resultMetadataId: Buffer | null }
  | {
      readonly kind: 'error'
      readonly code: ErrorCodeName
      readonly message: string
      readonly fields: ErrorFields
    }
  /** Nobody answered: the connection was lost, or it took too long. `sent`: the node may have it. */
  | { readonly kind: 'lost'; readonly sent: boolean; readonly why: string }

export interface Ask {
  readonly consistency: number
  readonly serialConsistency?: number
  readonly pageSize?: number | null
  readonly pagingState?: Buffer | null
  /** Through that node, by a connection of its own that is kept; absent: through the one that the client talks to. */
  readonly via?: number
  /** Errors that would be bugs elsewhere. */
  readonly expected?: readonly ErrorCodeName[]
}

/** Longer than any time-out of a node. */
const PATIENCE_MS = 15_000
const CONNECT_PATIENCE_MS = 3_000

export class CqlConnection {
  readonly #clock: Clock
  readonly #socket: Socket
  readonly #version: number
  readonly #encoder = new Encoder()
  readonly #decoder = new Decoder(256 * 1024 * 1024)
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  readonly #prepared = new Map<string, { id: string; resultMetadataId: Buffer | null }>()
  #nextStream = 1
  isOpen = true

  private constructor(clock: Clock, socket: Socket, version: number) {
    this.#clock = clock
    this.#socket = socket
    this.#version = version
    socket.on({
      data: (chunk) => this.#data(chunk),
      drain() {},
      close: (error) => this.#lost(error?.message ?? 'closed'),
    })
  }

  /** Null: it did not come about. */
  static async open(
    clock: Clock,
    network: Network,
    address: string,
    port: number,
    version: number,
  ): Promise<CqlConnection | null> {
    const socket = await within(clock, network.connect(address, port), CONNECT_PATIENCE_MS, (late) => late.destroy())
    if (socket === null) return null
    const connection = new CqlConnection(clock, socket, version)
    const options = new Map([['CQL_VERSION', '3.0.0']])
    const ready = await connection.#ask({ kind: 'startup', options }, CONNECT_PATIENCE_MS)
    if (ready.kind === 'void') return connection
    connection.close()
    return null
  }

  close(): void {
    this.#socket.destroy()
    this.#lost('closed by the client')
  }

  query(text: string, values: readonly Cell[], ask: Ask): Promise<Answer> {
    return this.#ask({ kind: 'query', query: text, parameters: this.#parameters(values, ask) })
  }

  /** Prepares the statement when this connection has not done so, or the node has forgotten it. */
  async execute(text: string, values: readonly Cell[], ask: Ask): Promise<Answer> {
    for (let attempt = 0; ; attempt++) {
      let prepared = this.#prepared.get(text)
      if (prepared === undefined) {
        const answer = await this.#ask({ kind: 'prepare', query: text, keyspace: null })
        if (answer.kind === 'lost') return { ...answer, sent: false }
        if (answer.kind !== 'prepared') return answer
        prepared = answer
        this.#prepared.set(text, prepared)
      }
      const answer = await this.#ask({ ...prepared, kind: 'execute', parameters: this.#parameters(values, ask) })
      if (answer.kind !== 'error' || answer.code !== 'UNPREPARED' || attempt === 3) return answer
      this.#prepared.delete(text)
    }
  }

  /** A logged batch. */
  batch(items: readonly { readonly query: string; readonly values: readonly Cell[] }[], ask: Ask): Promise<Answer> {
    return this.#ask({
      kind: 'batch',
      type: 'logged',
      items: items.map(({ query, values }) => ({ kind: 'query', query, values: [...values] })),
      parameters: this.#parameters([], ask),
    })
  }

  #parameters(values: readonly Cell[], ask: Ask): QueryParameters {
    return {
      ...plainParameters(this.#version, ask.consistency),
      values,
      pageSize: ask.pageSize ?? null,
      pagingState: ask.pagingState ?? null,
      ...(ask.serialConsistency === undefined ? {} : { serialConsistency: ask.serialConsistency }),
    }
  }

  #ask(request: Request, patienceMs = PATIENCE_MS): Promise<Answer> {
    if (!this.isOpen) return Promise.resolve({ kind: 'lost', sent: false, why: 'the connection is closed' })
    const stream = this.#nextStream
    this.#nextStream = (this.#nextStream % 1_000) + 1
    return new Promise((resolve) => {
      const timer = this.#clock.after(patienceMs, () => {
        // An answer that comes later must not be taken for another's.
        if (this.#waiting.has(stream)) this.close()
      })
      this.#waiting.set(stream, (answer) => {
        timer[Symbol.dispose]()
        resolve(answer)
      })
      encodeRequest(this.#encoder, this.#version, stream, request)
      this.#socket.write(this.#encoder.take())
    })
  }

  #data(chunk: Buffer): void {
    this.#decoder.push(chunk)
    while (this.isOpen && this.#decoder.next()) {
      const { stream } = this.#decoder.envelope
      const { response } = decodeResponse(this.#decoder.envelope)
      if (response.kind === 'ready' && this.#version >= 5) {
        this.#encoder.useSegments(null)
        this.#decoder.useSegments(null)
      }
      const resolve = this.#waiting.get(stream)
      this.#waiting.delete(stream)
      resolve?.(answerOf(response))
    }
  }

  #lost(why: string): void {
    if (!this.isOpen) return
    this.isOpen = false
    for (const resolve of this.#waiting.values()) resolve({ kind: 'lost', sent: true, why })
    this.#waiting.clear()
  }
}

function answerOf(response: Response): Answer {
  switch (response.kind) {
    case 'error': {
      const { code, message, fields } = response.error
      return { kind: 'error', code, message, fields }
    }
    case 'rows': {
      const { metadata, rowCount, rowBytes } = response
      const columns = (metadata.columns ?? []).map(({ name }) => name)
      const rows: Cell[][] = []
      let at = 0
      for (let i = 0; i < rowCount; i++) {
        const row: Cell[] = []
        for (let j = 0; j < columns.length; j++) {
          const length = rowBytes.readInt32BE(at)
          at += 4
          row.push(length < 0 ? null : Buffer.from(rowBytes.subarray(at, at + length)))
          at += Math.max(0, length)
        }
        rows.push(row)
      }
      return { kind: 'rows', columns, rows, pagingState: metadata.pagingState && Buffer.from(metadata.pagingState) }
    }
    case 'prepared':
      return {
        kind: 'prepared',
        id: response.id.toString('latin1'),
        resultMetadataId: response.resultMetadataId && Buffer.from(response.resultMetadataId),
      }
    default:
      return { kind: 'void' }
  }
}

/** Null: it took too long, or failed. What comes too late is handed to `late`. */
function within<T>(clock: Clock, promise: Promise<T>, ms: number, late: (value: T) => void): Promise<T | null> {
  return new Promise((resolve) => {
    let isOver = false
    const timer = clock.after(ms, () => {
      isOver = true
      resolve(null)
    })
    promise.then(
      (value) => {
        timer[Symbol.dispose]()
        if (isOver) late(value)
        else resolve(value)
      },
      () => {
        timer[Symbol.dispose]()
        resolve(null)
      },
    )
  })
}

/** What became of a request: told that it was done, that it was not and never will be, or nothing certain. */
export function fateOf(answer: Answer): 'ok' | 'failed' | 'unknown' {
  if (answer.kind === 'lost') return answer.sent ? 'unknown' : 'failed'
  if (answer.kind !== 'error') return 'ok'
  switch (answer.code) {
    case 'WRITE_TIMEOUT':
    case 'WRITE_FAILURE':
    case 'CAS_WRITE_UNKNOWN':
    case 'SERVER_ERROR':
    case 'READ_TIMEOUT':
    case 'READ_FAILURE':
    case 'TRUNCATE_ERROR':
      return 'unknown'
    default:
      return 'failed'
  }
}

export const int = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

export const bigint = (value: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(BigInt(value))
  return bytes
}

export const text = (value: string): Buffer => Buffer.from(value)

export const readInt = (cell: Cell): number => cell!.readInt32BE(0)
export const readBigint = (cell: Cell): number => Number(cell!.readBigInt64BE(0))
