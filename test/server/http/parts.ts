/** The parts of key-value over HTTP by themselves: keys of paths, queries, conditions, errors. */
import t from 'tap'
import { ErrorCode, type ErrorCodeName, RequestError } from '../../../lib/base/errors.ts'
import { createSeededRandom } from '../../../lib/runtime/simulated/random.ts'
import { matches, readConsistency, readContext, readTags, readTtl, tagOf } from '../../../lib/server/http/conditions.ts'
import { errorBody, fromRequestError, HttpError, malformed } from '../../../lib/server/http/failure.ts'
import { decodeKey, readQuery, readTarget } from '../../../lib/server/http/target.ts'
import { Consistency } from '../../../lib/types/consistency.ts'

function statusOf(act: () => unknown): number {
  try {
    act()
    return 200
  } catch (error) {
    if (error instanceof HttpError) return error.status
    throw error
  }
}

t.test('targets are taken as they were sent', (t) => {
  t.same(readTarget('/kv/a'), { path: '/kv/a', query: '' })
  t.same(readTarget('/kv/a?b=c?d'), { path: '/kv/a', query: 'b=c?d' })
  t.same(readTarget('/kv/..'), { path: '/kv/..', query: '' })
  t.same(readTarget('http://host:1/kv/a?x'), { path: '/kv/a', query: 'x' })
  t.same(readTarget('HTTP://host'), { path: '/', query: '' })
  t.equal(
    statusOf(() => readTarget('*')),
    400,
  )
  t.equal(
    statusOf(() => readTarget('')),
    400,
  )
  t.equal(
    statusOf(() => readTarget('ftp://a/kv/b')),
    400,
  )
  t.end()
})

t.test('a key is its percent-encoded UTF-8, whatever it is', (t) => {
  t.same(decodeKey('a'), Buffer.from('a'))
  t.same(decodeKey('a%2Fb%00+%25'), Buffer.from('a/b\0+%'))
  t.same(decodeKey('%F0%9F%90%98'), Buffer.from('🐘'))
  t.same(decodeKey('..'), Buffer.from('..'))
  t.same(decodeKey(''), Buffer.alloc(0))
  for (const wrong of ['%', '%a', '%zz', '%ff', '%c0%80', '%ed%a0%80', '%f5%80%80%80', 'é', 'a b', '\x7f'])
    t.equal(
      statusOf(() => decodeKey(wrong)),
      400,
      wrong,
    )
  const random = createSeededRandom(7)
  for (let i = 0; i < 500; i++) {
    const text = Array.from({ length: 1 + Math.floor(random.float() * 12) }, () => {
      const code = Math.floor(random.float() ** 3 * 0x110000)
      return code >= 0xd800 && code < 0xe000 ? '/' : String.fromCodePoint(code)
    }).join('')
    t.ok(decodeKey(encodeURIComponent(text)).equals(Buffer.from(text)), text)
  }
  t.end()
})

t.test('queries have what is known, once', (t) => {
  const known = new Set(['prefix', 'limit'])
  t.same(
    [...readQuery('prefix=a%20b+c&limit=3&', known)],
    [
      ['prefix', 'a b c'],
      ['limit', '3'],
    ],
  )
  t.same([...readQuery('prefix', known)], [['prefix', '']])
  for (const wrong of ['x=1', 'prefix=1&prefix=2', 'prefix=%ff', '__proto__=1', '%zz'])
    t.equal(
      statusOf(() => readQuery(wrong, known)),
      400,
      wrong,
    )
  t.end()
})

t.test('tags and contexts', (t) => {
  const context = Buffer.from([0, 255, 1, 62, 63])
  const tag = tagOf(context)
  t.match(tag, /^"[A-Za-z0-9_-]+"$/)
  t.same(readContext(tag), context)
  t.equal(readContext(' * '), '*')
  t.equal(matches(readTags(`"AA", W/${tag}`, 'If-None-Match'), context), true)
  t.equal(matches(readTags('"AA"', 'If-None-Match'), context), false)
  t.equal(matches('*', context), true)
  t.equal(
    statusOf(() => readContext(`${tag}, ${tag}`)),
    400,
  )
  t.equal(
    statusOf(() => readContext(`W/${tag}`)),
    412,
  )
  for (const wrong of ['', 'AA', '"A A"', '"AA', '"++"', '"a""b"'])
    t.equal(
      statusOf(() => readContext(wrong)),
      400,
      wrong,
    )
  t.end()
})

t.test('levels and times to live', (t) => {
  t.equal(readConsistency(undefined), Consistency.LOCAL_QUORUM)
  t.equal(readConsistency(' each_quorum'), Consistency.EACH_QUORUM)
  for (const wrong of ['', 'TOTAL', 'toString', '4'])
    t.equal(
      statusOf(() => readConsistency(wrong)),
      400,
      wrong,
    )
  t.equal(readTtl(undefined), null)
  t.equal(readTtl(' 630720000 '), 630_720_000)
  for (const wrong of ['', '-1', '1.5', '630720001', '1e3', '99999999999'])
    t.equal(
      statusOf(() => readTtl(wrong)),
      400,
      wrong,
    )
  t.end()
})

t.test('every error of CQL has a status, and an unknown fate is told', (t) => {
  const statuses: Record<string, number> = {}
  for (const code of Object.keys(ErrorCode) as ErrorCodeName[]) {
    const error = fromRequestError(
      new RequestError(code, 'why', { consistency: Consistency.QUORUM, received: 1, blockFor: 2 }),
    )
    statuses[code] = error.status
    const body = JSON.parse(errorBody(error)) as Record<string, unknown>
    t.match(body, {
      error: code,
      code: ErrorCode[code],
      message: 'why',
      consistency: 'QUORUM',
      received: 1,
      blockFor: 2,
    })
    t.equal(body.fate, /^(WRITE_|CAS_)/.test(code) ? 'unknown' : undefined, code)
    t.equal(error.headers['Retry-After'], error.status === 503 ? '1' : undefined, code)
  }
  t.same(statuses, {
    SERVER_ERROR: 500,
    PROTOCOL_ERROR: 400,
    BAD_CREDENTIALS: 401,
    UNAVAILABLE: 503,
    OVERLOADED: 503,
    IS_BOOTSTRAPPING: 503,
    TRUNCATE_ERROR: 500,
    WRITE_TIMEOUT: 504,
    READ_TIMEOUT: 504,
    READ_FAILURE: 500,
    FUNCTION_FAILURE: 500,
    WRITE_FAILURE: 500,
    CDC_WRITE_FAILURE: 500,
    CAS_WRITE_UNKNOWN: 504,
    SYNTAX_ERROR: 400,
    UNAUTHORIZED: 403,
    INVALID: 400,
    CONFIG_ERROR: 400,
    ALREADY_EXISTS: 409,
    UNPREPARED: 503,
  })
  t.same(
    ['HPE_HEADER_OVERFLOW', 'HPE_CHUNK_EXTENSIONS_OVERFLOW', 'ERR_HTTP_REQUEST_TIMEOUT', 'HPE_INVALID_METHOD'].map(
      (code) => malformed(code).status,
    ),
    [431, 413, 408, 400],
  )
  t.end()
})
