/** Asks a node's administration interface. */
import { Agent, request } from 'node:http'

export interface AdminPlace {
  readonly host: string
  readonly port: number
  /** A Unix socket, in place of both. */
  readonly socket: string | null
}

/** A process that stands still (SIGSTOP, a swapping machine) takes connections and says nothing. What takes long is another matter: it was begun. */
const SILENCE_MS_MAX = 10_000

/** The node could not be asked. */
export class UnreachableError extends Error {
  override name = 'UnreachableError'
}

/** The node's answer to what it could not do (`failure`), or what was asked wrongly (`usage`). */
export class RefusedError extends Error {
  override name = 'RefusedError'
  readonly kind: 'usage' | 'failure'

  constructor(kind: 'usage' | 'failure', message: string) {
    super(message)
    this.kind = kind
  }
}

export type Values = Readonly<Record<string, string | number | boolean | readonly string[] | null | undefined>>

/** What commands need of it. */
export interface Asked {
  get<T>(report: string, values?: Values): Promise<T>
  post<T>(action: string, values?: Values): Promise<T>
}

export class AdminClient implements Asked {
  readonly place: AdminPlace
  readonly #silenceMsMax: number
  readonly #agent = new Agent({ keepAlive: false })

  constructor(place: AdminPlace, silenceMsMax = SILENCE_MS_MAX) {
    this.place = place
    this.#silenceMsMax = silenceMsMax
  }

  async get<T>(report: string, values: Values = {}): Promise<T> {
    const query = new URLSearchParams()
    for (const [name, value] of Object.entries(values)) {
      if (value === null || value === undefined) continue
      for (const one of Array.isArray(value) ? value : [value]) query.append(name, String(one))
    }
    return this.#ask<T>('GET', `/v1/${report}?${query}`, null)
  }

  async post<T>(action: string, values: Values = {}): Promise<T> {
    return this.#ask<T>('POST', `/v1/${action}`, JSON.stringify(values))
  }

  #ask<T>(method: string, path: string, body: string | null): Promise<T> {
    const { host, port, socket } = this.place
    const where = socket === null ? { host, port } : { socketPath: socket, headers: { host: 'localhost' } }
    return new Promise<T>((resolve, reject) => {
      const asked = request({ ...where, method, path, agent: this.#agent }, (answer) => {
        clearTimeout(silence)
        const chunks: Buffer[] = []
        answer.on('data', (chunk: Buffer) => chunks.push(chunk))
        answer.on('error', reject)
        answer.on('end', () => {
          try {
            resolve(read<T>(answer.statusCode ?? 0, Buffer.concat(chunks).toString()))
          } catch (error) {
            reject(error)
          }
        })
      })
      const silence = setTimeout(
        () => asked.destroy(Object.assign(new Error('Read timed out'), { code: SILENT })),
        this.#silenceMsMax,
      )
      // The node says at once that it has the request; the answer may take as long as what is asked for does.
      asked.setHeader('expect', '100-continue')
      asked.on('continue', () => clearTimeout(silence))
      asked.on('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(silence)
        reject(new UnreachableError(whyUnreachable(error)))
      })
      if (body !== null) asked.setHeader('content-type', 'application/json')
      asked.end(body ?? undefined)
    })
  }
}

function read<T>(status: number, text: string): T {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new UnreachableError('the answer is not that of an administration interface')
  }
  if (status >= 200 && status < 300) return value as T
  const { kind, error } = value as { kind?: unknown; error?: unknown }
  throw new RefusedError(kind === 'usage' ? 'usage' : 'failure', String(error ?? `status ${status}`))
}

const SILENT = 'SocketTimeoutException'

/** In the words of Java's exceptions, as scripts look for them. */
function whyUnreachable({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'ECONNREFUSED' || code === 'ENOENT')
    return "ConnectException: 'Connection refused (Connection refused)'."
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `UnknownHostException: '${message}'.`
  return `${code ?? 'IOException'}: '${message}'.`
}
