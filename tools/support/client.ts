/** A small CQL client for tools: one connection, one request at a time or many; no pools, no metadata. Protocol v4, uncompressed. */
import net from 'node:net'
import { ByteReader } from '../../lib/base/bytes.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import type { CqlType } from '../../lib/types/type.ts'
import { Decoder } from '../../protocol/decoder.ts'
import { Encoder } from '../../protocol/encoder.ts'
import { encodeRequest, plainParameters, type Request } from '../../protocol/requests.ts'
import { type DecodedResponse, decodeResponse, type Response } from '../../protocol/responses.ts'

export const VERSION = 4
const BODY_BYTES_MAX = 256 * 1024 * 1024

export class ToolClient {
  readonly socket: net.Socket
  readonly #decoder = new Decoder(BODY_BYTES_MAX)
  readonly #waiting = new Map<number, { resolve: (answer: DecodedResponse) => void; reject: (error: Error) => void }>()
  #stream = 0

  private constructor(socket: net.Socket) {
    this.socket = socket
    socket.on('data', (chunk) => this.#take(chunk))
    socket.on('close', () => this.#fail(new Error('the server closed the connection')))
    socket.on('error', (error) => this.#fail(error))
  }

  static async connect(address: string, port: number): Promise<ToolClient> {
    const socket = net.connect({ host: address, port, noDelay: true })
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    const client = new ToolClient(socket)
    await client.request({ kind: 'startup', options: new Map([['CQL_VERSION', '3.0.0']]) })
    return client
  }

  /** Rejects with the server's RequestError. */
  async request(request: Request): Promise<Response> {
    const { response } = await this.ask(request)
    if (response.kind === 'error') throw response.error
    return response
  }

  /** The whole answer, an error too, with its warnings. */
  ask(request: Request): Promise<DecodedResponse> {
    const stream = this.#stream++ & 0x7fff
    return new Promise<DecodedResponse>((resolve, reject) => {
      this.#waiting.set(stream, { resolve, reject })
      this.socket.write(encode(request, stream))
    })
  }

  query(text: string): Promise<Response> {
    return this.request({ kind: 'query', query: text, parameters: plainParameters(VERSION, Consistency.ONE) })
  }

  /** The id of the prepared statement, a character a byte. */
  async prepare(text: string): Promise<string> {
    const response = await this.request({ kind: 'prepare', query: text, keyspace: null })
    if (response.kind !== 'prepared') throw new Error(`PREPARE answered ${response.kind}`)
    return response.id.toString('latin1')
  }

  close(): void {
    this.socket.destroy()
  }

  #take(chunk: Buffer): void {
    this.#decoder.push(chunk)
    while (this.#decoder.next()) {
      const { stream } = this.#decoder.envelope
      const waiting = this.#waiting.get(stream)
      this.#waiting.delete(stream)
      waiting?.resolve(decodeResponse(this.#decoder.envelope))
    }
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}

export function encode(request: Request, stream: number): Buffer {
  const encoder = new Encoder()
  encodeRequest(encoder, VERSION, stream, request)
  return Buffer.from(encoder.writer.view())
}

/** A row by the names of its columns. */
export type ResultRow = ReadonlyMap<string, { readonly type: CqlType; readonly bytes: Buffer | null }>

/** The rows of an answer; none when it is of another kind. */
export function rowsOf(response: Response): ResultRow[] {
  if (response.kind !== 'rows') return []
  const reader = new ByteReader(response.rowBytes)
  const rows: ResultRow[] = []
  for (let left = response.rowCount; left > 0; left--) {
    const row = new Map<string, { type: CqlType; bytes: Buffer | null }>()
    for (const { name, type } of response.metadata.columns ?? []) {
      const length = reader.int32()
      row.set(name, { type, bytes: length < 0 ? null : reader.view(length) })
    }
    rows.push(row)
  }
  return rows
}
