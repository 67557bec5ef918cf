/**
 * What a request names: the path with its keys, and the query. Source: RFC 3986 §2, §3.3.
 * Always: a key is the text whose UTF-8 bytes stand percent-encoded between two slashes, taken as sent: no dot segment is resolved, no case changed.
 */
import { badRequest } from './failure.ts'

export interface Target {
  /** As sent. */
  readonly path: string
  /** As sent, without the question mark. */
  readonly query: string
}

/** Of a request line's target; an absolute one is taken for its path. */
export function readTarget(url: string): Target {
  let start = 0
  if (url.charCodeAt(0) !== SLASH) {
    const scheme = /^https?:\/\/[^/?#]*/i.exec(url)
    if (scheme === null) throw badRequest('The target of a request begins with a slash')
    start = scheme[0].length
  }
  const mark = url.indexOf('?', start)
  const path = url.slice(start, mark < 0 ? url.length : mark)
  return { path: path === '' ? '/' : path, query: mark < 0 ? '' : url.slice(mark + 1) }
}

const SLASH = 0x2f
const PERCENT = '%'

/** UTF-8 of a percent-encoded segment. */
export function decodeKey(segment: string): Buffer {
  for (let i = 0; i < segment.length; i++) {
    const code = segment.charCodeAt(i)
    if (code <= 0x20 || code >= 0x7f) throw badRequest('A key in a URL is percent-encoded UTF-8')
  }
  return segment.includes(PERCENT) ? Buffer.from(decode(segment), 'utf8') : Buffer.from(segment, 'latin1')
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch (error) {
    if (!(error instanceof URIError)) throw error
    throw badRequest('A key in a URL is percent-encoded UTF-8')
  }
}

/** The query's parameters; each of them is known, and there once at most. */
export function readQuery(query: string, known: ReadonlySet<string>): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  if (query === '') return values
  for (const part of query.split('&')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    const name = decode(plain(equals < 0 ? part : part.slice(0, equals)))
    if (!known.has(name)) throw badRequest(`There is no parameter ${JSON.stringify(name.slice(0, 64))} here`)
    if (values.has(name)) throw badRequest(`The parameter ${name} is there twice`)
    values.set(name, equals < 0 ? '' : decode(plain(part.slice(equals + 1))))
  }
  return values
}

/** In queries, unlike in paths, a plus sign is a space. */
function plain(text: string): string {
  return text.includes('+') ? text.replaceAll('+', ' ') : text
}
