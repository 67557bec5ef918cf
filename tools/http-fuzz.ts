/**
 * Requests of all kinds over HTTP, drawn from a seed, each with the statuses that may answer it: right ones, wrong ones, broken ones, and clients that are slow,
 * say all at once, close their side, or go away. Used by `npm run fuzz -- --http` and by the tests.
 */
import net from 'node:net'
import type { Random } from '../lib/runtime/runtime.ts'

export interface FuzzPlace {
  readonly address: string
  readonly port: number
  /** What a value may have. */
  readonly valueBytesMax: number
  /** Bodies that stand still are part of it: they take as long as the server waits for them. */
  readonly stalls: boolean
}

/** One connection's script. */
interface Script {
  readonly kind: string
  /** Written one after the other, with a pause between. */
  readonly pieces: readonly Buffer[]
  readonly pauseMs: number
  /** The client closes its side when it has said all, or goes away without a word, or waits. */
  readonly end: 'half' | 'gone' | 'wait'
  /** Of the answers, in their order, which statuses each may have; null: whatever is right for HTTP, or none. */
  readonly expected: readonly (readonly number[])[] | null
}

export interface FuzzReport {
  readonly requests: number
  readonly kinds: ReadonlyMap<string, number>
  readonly statuses: ReadonlyMap<number, number>
  /** Answers that were not right, with the kind of request. */
  readonly problems: readonly string[]
}

/** A connection that is silent for so long counts as a problem. */
const SILENT_MS = 30_000

const PROBLEMS_MAX = 20

/** Any answer of the service to what may be anything. */
const ANY = new Set([
  200, 201, 204, 300, 304, 400, 403, 404, 405, 408, 409, 412, 413, 414, 415, 417, 421, 429, 431, 503,
])

const READ = [200, 300, 404]
const WRITE = [204, 409]

export async function fuzzHttp(place: FuzzPlace, random: Random, requests: number, workers = 8): Promise<FuzzReport> {
  const kinds = new Map<string, number>()
  const statuses = new Map<number, number>()
  const problems: string[] = []
  let left = requests
  const work = async (own: Random): Promise<void> => {
    while (left > 0) {
      const script = draw(place, own)
      const asked = Math.max(1, script.expected?.length ?? 1)
      left -= asked
      kinds.set(script.kind, (kinds.get(script.kind) ?? 0) + asked)
      const { text, isSilent } = await play(place, script)
      const found = statusesOf(text)
      for (const status of found) statuses.set(status, (statuses.get(status) ?? 0) + 1)
      const wrong = isSilent ? 'silence' : judge(script, found)
      if (wrong !== null && problems.length < PROBLEMS_MAX)
        problems.push(
          `${script.kind}: ${wrong}, to ${JSON.stringify(
            script.pieces
              .map((piece) => piece.toString('latin1', 0, 300))
              .join('')
              .slice(0, 600),
          )}`,
        )
    }
  }
  await Promise.all(Array.from({ length: workers }, (_, i) => work(random.stream(`worker ${i}`))))
  return { requests: requests - left, kinds, statuses, problems }
}

function judge({ expected, end }: Script, found: readonly number[]): string | null {
  const strange = found.find((status) => !ANY.has(status))
  if (strange !== undefined) return `answered ${strange}`
  if (expected === null || end === 'gone') return null
  if (found.length !== expected.length)
    return `${found.length} answers (${found.join()}) where ${expected.length} were due`
  const at = expected.findIndex((those, i) => !those.includes(found[i]!))
  return at < 0 ? null : `answered ${found[at]} where ${expected[at]!.join(' or ')} was due`
}

/** All that comes back until the other side ends. */
function play({ address, port }: FuzzPlace, script: Script): Promise<{ text: string; isSilent: boolean }> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: address, port, allowHalfOpen: true, noDelay: true })
    let text = ''
    let isSilent = false
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
    })
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.on('close', () => resolve({ text, isSilent }))
    socket.setTimeout(SILENT_MS, () => {
      isSilent = true
      socket.destroy()
    })
    let at = 0
    const next = (): void => {
      if (socket.destroyed || !socket.writable) return
      const piece = script.pieces[at++]
      if (piece === undefined) {
        if (script.end === 'half') socket.end()
        else if (script.end === 'gone') socket.destroy()
        return
      }
      socket.write(piece, () => {
        if (script.pauseMs > 0) setTimeout(next, script.pauseMs)
        else next()
      })
    }
    socket.on('connect', next)
  })
}

/** Heads of answers; those that only say to go on are not counted. */
export function statusesOf(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) [A-Za-z' -]+\r\n/g)]
    .map(([, status]) => Number(status))
    .filter((status) => status !== 100)
}

// --- What is asked

const KEYS = ['a', 'b', 'c%2Fd', '%F0%9F%90%98', '..', 'e', 't/f', 't/g', `long${'x'.repeat(400)}`]

interface Asked {
  readonly bytes: Buffer
  readonly expected: readonly number[]
}

class Writer {
  readonly #random: Random
  readonly #host: string

  constructor(random: Random, host: string) {
    this.#random = random
    this.#host = host
  }

  below(limit: number): number {
    return Math.floor(this.#random.float() * limit)
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }

  bytes(length: number): Buffer {
    return this.#random.fill(Buffer.alloc(length))
  }

  request(method: string, path: string, headers: readonly string[], body?: Buffer): Buffer {
    const length = body === undefined ? [] : [`Content-Length: ${body.length}`]
    const head = `${[`${method} ${path} HTTP/1.1`, `Host: ${this.#host}`, ...headers, ...length].join('\r\n')}\r\n\r\n`
    return body === undefined ? Buffer.from(head, 'latin1') : Buffer.concat([Buffer.from(head, 'latin1'), body])
  }

  /** One that is right. */
  valid(): Asked {
    const path = `/kv/${this.pick(KEYS)}`
    const level =
      this.below(4) === 0 ? [`X-Consistency: ${this.pick(['ONE', 'local_one', 'QUORUM', 'ALL', 'EACH_QUORUM'])}`] : []
    switch (this.below(9)) {
      case 0:
      case 1:
        return { bytes: this.request('GET', path, level), expected: READ }
      case 2:
        return { bytes: this.request('HEAD', path, level), expected: READ }
      case 3: {
        const ttl = this.below(3) === 0 ? [`X-TTL: ${this.below(1_000)}`] : []
        const body = this.bytes(this.below(8) === 0 ? this.below(100_000) : this.below(200))
        const bytes = this.request('PUT', path, [...level, ...ttl, 'Content-Type: text/plain', 'If-Match: *'], body)
        return { bytes, expected: [...WRITE, 412] }
      }
      case 4:
        return { bytes: this.request('PUT', path, level, this.bytes(this.below(50))), expected: WRITE }
      case 5:
        return { bytes: this.request('DELETE', path, level), expected: [204] }
      case 6: {
        const query = this.pick(['', '?prefix=a', '?limit=3', '?table=t', '?prefix=%F0&limit=1'])
        return { bytes: this.request('GET', `/kv${query}`, level), expected: query.includes('%F0') ? [400] : [200] }
      }
      case 7:
        return { bytes: this.request('PUT', path, [...level, 'If-None-Match: *'], this.bytes(9)), expected: [201, 412] }
      default:
        return { bytes: this.request('GET', path, ['If-None-Match: *', ...level]), expected: [304, 300, 404] }
    }
  }

  /** One that is HTTP, and wrong. */
  wrong(): Asked {
    const put = (headers: readonly string[], status: number): Asked => ({
      bytes: this.request('PUT', '/kv/wrong', headers, this.bytes(this.below(30))),
      expected: [status],
    })
    const get = (path: string, status: number): Asked => ({ bytes: this.request('GET', path, []), expected: [status] })
    const method = this.pick(['POST', 'PATCH', 'OPTIONS', 'TRACE', 'LINK'])
    return this.pick([
      put(['X-Consistency: most'], 400),
      put(['X-TTL: -1'], 400),
      put(['If-Match: nonsense'], 400),
      put([`If-Match: "${this.bytes(20).toString('base64url')}"`], 400),
      put(['X-If-Unmodified: true'], 400),
      put(['If-None-Match: "AA"'], 400),
      put(['Origin: http://example.com'], 403),
      put([`Content-Type: ${'x'.repeat(300)}`], 400),
      get('/kv/%ff', 400),
      get('/kv/%e0%80%af', 400),
      get('/kv/', 400),
      get('/kv/NoTable/a', 400),
      get('/kv/a?x=1', 400),
      get('/kv?limit=0', 400),
      get(`/kv?cursor=${this.bytes(30).toString('base64url')}`, 400),
      get('/nothing', 404),
      get('/kv/a/b/c', 404),
      get(`/kv/${'x'.repeat(210 * 1024)}`, 414),
      { bytes: this.request(method, '/kv/a', []), expected: [405] },
      { bytes: Buffer.from('GET /kv/a HTTP/1.1\r\nHost: example.com\r\n\r\n'), expected: [421] },
    ])
  }

  /** Bytes that are no request; the connection ends with it. */
  malformed(): Asked {
    const head = (text: string): Buffer =>
      Buffer.from(`GET /kv/a HTTP/1.1\r\nHost: ${this.#host}\r\n${text}\r\n\r\n`, 'latin1')
    return this.pick<Asked>([
      { bytes: head('No colon'), expected: [400] },
      { bytes: head('Bad\0name: x'), expected: [400] },
      { bytes: head('X: a\rb'), expected: [400] },
      { bytes: head('Content-Length: 1e3'), expected: [400] },
      { bytes: head('Content-Length: 99999999999999999999999'), expected: [400] },
      { bytes: head('Transfer-Encoding: chunked\r\nContent-Length: 3'), expected: [400] },
      { bytes: head('Transfer-Encoding: gzip'), expected: [400] },
      { bytes: head(`X: ${'x'.repeat(270 * 1024)}`), expected: [431] },
      { bytes: head(Array.from({ length: 30_000 }, (_, i) => `X-${i}: ${i}`).join('\r\n')), expected: [431] },
      { bytes: Buffer.from('GET /kv/a HTTP/3.0\r\n\r\n'), expected: [400] },
      { bytes: Buffer.from('GET /kv/a HTTP/1.1\r\n\r\n'), expected: [400] },
      { bytes: Buffer.from('\x16\x03\x01\x00\xa5\x01\x00\x00', 'latin1'), expected: [400] },
      { bytes: Buffer.concat([Buffer.from([0xff, 0, 0x80]), this.bytes(this.below(500))]), expected: [400] },
    ])
  }

  chunked(body: Buffer): Buffer {
    const parts: Buffer[] = [this.request('PUT', '/kv/chunked', ['Transfer-Encoding: chunked', 'Connection: close'])]
    for (let at = 0; at < body.length; ) {
      const part = body.subarray(at, at + 1 + this.below(3_000))
      parts.push(
        Buffer.from(`${part.length.toString(16)}${this.pick(['', '', ';a=b'])}\r\n`),
        part,
        Buffer.from('\r\n'),
      )
      at += part.length
    }
    parts.push(Buffer.from(this.pick(['0\r\n\r\n', '0\r\nX-Trailer: 1\r\n\r\n'])))
    return Buffer.concat(parts)
  }

  /** Cut into pieces anywhere. */
  cut(bytes: Buffer, count: number): Buffer[] {
    const places = Array.from({ length: count - 1 }, () => this.below(bytes.length)).sort((a, b) => a - b)
    const all = [0, ...places, bytes.length]
    return all
      .slice(1)
      .map((end, i) => bytes.subarray(all[i]!, end))
      .filter((piece) => piece.length > 0)
  }

  mutated(bytes: Buffer): Buffer {
    const copy = Buffer.from(bytes)
    for (let times = 1 + this.below(4); times > 0; times--) copy[this.below(copy.length)] = this.below(256)
    return this.below(3) === 0 ? copy.subarray(0, this.below(copy.length)) : copy
  }
}

const CLOSE = Buffer.from('GET /kv/last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')

function draw(place: FuzzPlace, random: Random): Script {
  const write = new Writer(random, `${place.address}:${place.port}`)
  const close = { bytes: CLOSE, expected: READ }
  const script = (kind: string, parts: readonly Asked[], more: Partial<Script> = {}): Script => ({
    kind,
    pieces: parts.map(({ bytes }) => bytes),
    pauseMs: 0,
    end: 'half',
    expected: parts.map(({ expected }) => expected),
    ...more,
  })
  const many = (count: number, make: () => Asked): Asked[] => Array.from({ length: count }, make)
  const { valueBytesMax } = place
  switch (write.below(place.stalls ? 16 : 15)) {
    case 0:
    case 1:
    case 2:
      return script('right, one after the other', [...many(1 + write.below(8), () => write.valid()), close], {
        end: 'wait',
      })
    case 3: {
      const parts = many(2 + write.below(20), () => write.valid())
      return script('pipelined', parts, { pieces: [Buffer.concat(parts.map(({ bytes }) => bytes))] })
    }
    case 4:
      return script('wrong', [...many(1 + write.below(4), () => write.wrong()), close], { end: 'wait' })
    case 5:
      return script('malformed', [write.malformed()], { end: write.below(2) === 0 ? 'half' : 'wait' })
    case 6:
      return script('malformed after right ones', [...many(1 + write.below(3), () => write.valid()), write.malformed()])
    case 7: {
      const parts = [write.valid(), write.valid()]
      const bytes = Buffer.concat(parts.map((part) => part.bytes))
      return script('in small pieces', parts, { pieces: write.cut(bytes, 2 + write.below(8)), pauseMs: 1 })
    }
    case 8:
      return script('bytes changed', [], {
        pieces: [write.mutated(write.valid().bytes), write.mutated(write.valid().bytes)],
        expected: null,
      })
    case 9: {
      const [first, second] = [write.valid().bytes, write.bytes(30)]
      return script('gone', [], {
        pieces: write.cut(Buffer.concat([first, second]), 3),
        pauseMs: write.below(3),
        end: 'gone',
        expected: null,
      })
    }
    case 10: {
      const head = write.request('PUT', '/kv/gone', [`Content-Length: ${1_000 + write.below(valueBytesMax - 1_000)}`])
      return script('gone within its body', [], {
        pieces: [head, write.bytes(900)],
        pauseMs: 2,
        end: 'gone',
        expected: null,
      })
    }
    case 11: {
      const body = write.bytes(write.below(10) === 0 ? valueBytesMax + 1 : write.below(8_000))
      return script(
        'chunked',
        [{ bytes: write.chunked(body), expected: body.length > valueBytesMax ? [413] : WRITE }],
        { end: 'wait' },
      )
    }
    case 12: {
      const length = write.pick([valueBytesMax + 1, valueBytesMax * 3, 2 ** 40])
      const head = write.request('PUT', '/kv/huge', [
        `Content-Length: ${length}`,
        ...write.pick([[], ['Expect: 100-continue']]),
      ])
      return script('huge', [{ bytes: head, expected: [413] }], {
        pieces: [head, write.bytes(5_000)],
        pauseMs: 1,
        end: 'half',
      })
    }
    case 13: {
      const body = write.bytes(write.below(5_000))
      const head = write.request('PUT', '/kv/expects', [
        `Content-Length: ${body.length}`,
        'Expect: 100-continue',
        'Connection: close',
      ])
      return script('asks first', [{ bytes: head, expected: WRITE }], { pieces: [head, body], pauseMs: 2, end: 'wait' })
    }
    case 14: {
      const head = write.request('PUT', '/kv/short', ['Content-Length: 50'])
      // The client closes its side before it has sent what it said: nothing may be stored, and the answer says why.
      return script('body too short', [{ bytes: head, expected: [400] }], {
        pieces: [head, write.bytes(write.below(49))],
        end: 'half',
      })
    }
    default: {
      const head = write.request('PUT', '/kv/stalls', ['Content-Length: 50'])
      return script('body stands still', [{ bytes: head, expected: [408] }], {
        pieces: [head, write.bytes(10)],
        end: 'wait',
      })
    }
  }
}
