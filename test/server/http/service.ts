/** Key-value over HTTP from a client's side: every status that the document tells of. */
import t from 'tap'
import { RequestError } from '../../../lib/base/errors.ts'
import { COMMON_ANSWERS } from '../../../lib/server/http/openapi.ts'
import { OPERATIONS } from '../../../lib/server/http/operations.ts'
import { type AskOptions, ask, type HttpWorld, openHttpWorld, sendRaw } from '../../support/http-world.ts'

let world: HttpWorld
t.before(async () => {
  world = await openHttpWorld()
})
t.teardown(() => world[Symbol.asyncDispose]())
t.afterEach(() => {
  world.fault = null
  t.equal(world.counters.incidents, 0)
  t.equal(world.counters.bytes, 0)
  t.equal(world.service.inFlight, 0)
})

/** Asks, and looks that the answer's status is one that the document tells of. */
async function tell(method: string, path: string, options: AskOptions = {}) {
  const answer = await ask(world.port, method, path, options)
  const parts = path.split('?')[0]!.split('/')
  const operation = OPERATIONS.find(
    (one) => one.method === method.toLowerCase() && one.path.split('/').length === parts.length,
  )
  if (operation && parts[1] === 'kv' && !(answer.status in operation.answers || answer.status in COMMON_ANSWERS))
    t.fail(`${method} ${path}: ${answer.status}`)
  return answer
}

async function statusOf(method: string, path: string, options: AskOptions = {}): Promise<number> {
  return (await tell(method, path, options)).status
}

t.test('that there is no such table is said only by who knows of all there are', async (t) => {
  const level = { consistency: 8, required: 2, alive: 1 }
  for (const [method, path, there] of [
    ['GET', '/kv/unheard/a', 404],
    ['HEAD', '/kv/unheard/a', 404],
    ['DELETE', '/kv/unheard/a', 204],
    ['GET', '/kv?table=unheard', 200],
  ] as const) {
    world.fault = { schema: new RequestError('UNAVAILABLE', 'It cannot be learned what there is', level) }
    t.equal(await statusOf(method, path), 503, `${method} ${path}`)
    world.fault = null
    t.equal(await statusOf(method, path), there, `${method} ${path}`)
  }
})

t.test('values go in and out as they are', async (t) => {
  const values: [string, string | Buffer, string | null][] = [
    ['plain', 'hello', 'text/plain; charset=utf-8'],
    ['empty', '', 'text/plain'],
    ['bytes', Buffer.from(Array.from({ length: 70_000 }, (_, i) => i & 0xff)), null],
  ]
  for (const [key, value, type] of values) {
    const put = await tell('PUT', `/kv/${key}`, { body: value, ...(type && { headers: { 'content-type': type } }) })
    t.equal(put.status, 204)
    t.match(put.headers.etag, /^"[\w-]+"$/)
    const got = await tell('GET', `/kv/${key}`)
    t.equal(got.status, 200)
    t.ok(got.body.equals(Buffer.from(value)), key)
    t.equal(got.headers['content-type'], type ?? 'application/octet-stream')
    t.equal(got.headers.etag, put.headers.etag)
    t.equal(got.headers['x-content-type-options'], 'nosniff')
    const head = await tell('HEAD', `/kv/${key}`)
    t.equal(head.status, 200)
    t.equal(head.headers['content-length'], String(got.body.length))
    t.equal(head.body.length, 0)
    t.equal(await statusOf('DELETE', `/kv/${key}`), 204)
    t.equal(await statusOf('GET', `/kv/${key}`), 404)
    t.equal(await statusOf('DELETE', `/kv/${key}`), 204)
  }
})

t.test('keys are texts', async (t) => {
  const keys = ['a/b', '..', '.', '%', '🐘', ' ', '\0', '+', '?#', 'x'.repeat(65_535)]
  for (const key of keys) {
    const path = `/kv/${encodeURIComponent(key).replaceAll('.', '%2e')}`
    t.equal(await statusOf('PUT', path, { body: key }), 204, key.slice(0, 20))
    t.equal((await tell('GET', path)).body.toString(), key)
  }
  const raw = await sendRaw(world.port, 'GET /kv/.. HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  t.match(raw, /^HTTP\/1.1 200 /)
  t.equal(await statusOf('PUT', `/kv/${'x'.repeat(65_536)}`, { body: 'v' }), 400)
  t.equal(await statusOf('PUT', `/kv/${'x'.repeat(201 * 1024)}`, { body: 'v' }), 414)
  t.equal(await statusOf('GET', '/kv/%ff'), 400)
  t.equal(await statusOf('PUT', '/kv/', { body: 'v' }), 400)
  t.equal(await statusOf('GET', '/kv/a?b=c'), 400)
})

t.test('tables are made by the first PUT, and by nothing else', async (t) => {
  t.equal(await statusOf('GET', '/kv/shop/a'), 404)
  t.equal(await statusOf('DELETE', '/kv/shop/a'), 204)
  t.equal(world.node.environment.schema.current.keyspaces.get('kv')!.tables.has('shop'), false)
  t.equal(await statusOf('PUT', '/kv/shop/a', { body: '1' }), 204)
  t.equal(await statusOf('PUT', '/kv/shop/a%2Fb', { body: '2' }), 204)
  t.equal((await tell('GET', '/kv/shop/a%2Fb')).body.toString(), '2')
  t.equal(await statusOf('GET', '/kv/a'), 404)
  for (const name of ['Shop', '1shop', 'x'.repeat(49), 'a-b', '%61', 'system.local', ''])
    t.equal(await statusOf('PUT', `/kv/${name}/a`, { body: '1' }), 400, name)
  await world.node.run('CREATE TABLE kv.other (key text PRIMARY KEY, value text)')
  t.match((await tell('PUT', '/kv/other/a', { body: '1' })).json, {
    error: 'INVALID',
    message: /content_type text is missing/,
  })
  await world.node.run('DROP TABLE kv.shop')
  t.equal(await statusOf('GET', '/kv/shop/a'), 404)
  t.equal(await statusOf('PUT', '/kv/shop/a', { body: '3' }), 204)
  t.equal((await tell('GET', '/kv/shop/a')).body.toString(), '3')
  const at_once = await Promise.all(
    Array.from({ length: 8 }, (_, i) => statusOf('PUT', `/kv/together/${i}`, { body: 'v' })),
  )
  t.same(at_once, Array(8).fill(204))
})

t.test('what cannot be understood is refused, and nothing is stored', async (t) => {
  const refused: [number, Record<string, string>][] = [
    [400, { 'x-consistency': 'most' }],
    [400, { 'x-consistency': 'SERIAL' }],
    [400, { 'x-serial-consistency': 'QUORUM' }],
    [400, { 'x-ttl': 'soon' }],
    [400, { 'content-type': 'x'.repeat(256) }],
    [400, { 'if-match': 'abc' }],
    [400, { 'if-match': '"AA", "AA"' }],
    [400, { 'if-match': '"AA"' }],
    [400, { 'if-none-match': '"AA"' }],
    [400, { 'if-none-match': '*', 'if-match': '*' }],
    [400, { 'x-if-unmodified': 'true' }],
    [400, { 'x-if-unmodified': 'yes', 'if-match': '*' }],
    [403, { origin: 'http://example.com' }],
    [412, { 'if-match': '*' }],
    [412, { 'if-match': 'W/"AA"' }],
    [415, { 'content-encoding': 'gzip' }],
    [421, { host: 'example.com' }],
    [421, { host: '192.168.0.1:80' }],
  ]
  for (const [status, headers] of refused) {
    const answer = await tell('PUT', '/kv/refused', { body: 'v', headers })
    t.equal(answer.status, status, JSON.stringify(headers))
    t.type(answer.json.error, 'string')
    t.type(answer.json.message, 'string')
  }
  t.equal(await statusOf('GET', '/kv/refused'), 404)
  t.equal(await statusOf('PUT', '/kv/packed', { body: 'v', headers: { 'content-encoding': 'identity' } }), 204)
  const { headers: ofPacked } = await tell('GET', '/kv/packed')
  for (const [tag, message] of [
    ['"AAAA"', /^If-Match: this is no ETag/],
    [ofPacked.etag, /^If-Match: the ETag is not of this key/],
  ] as const)
    t.match((await tell('PUT', '/kv/refused', { body: 'v', headers: { 'if-match': tag! } })).json.message, message)
  t.match((await tell('GET', '/kv?cursor=AAAA')).json, { error: 'INVALID', message: /^cursor is that/ })
  t.equal(await statusOf('GET', '/kv/refused', { headers: { 'x-consistency': 'ANY' } }), 400)
  t.equal(await statusOf('DELETE', '/kv/refused', { headers: { 'if-none-match': '*' } }), 400)
  for (const host of ['localhost', 'localhost:80', '127.0.0.1', '[::1]:9'])
    t.equal(await statusOf('GET', '/kv/refused', { headers: { host } }), 404)
})

t.test('other paths and methods', async (t) => {
  for (const path of ['/', '/kv/a/b/c', '/KV/a', '/v1/kv', '//kv/a']) t.equal(await statusOf('GET', path), 404, path)
  for (const method of ['POST', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND']) {
    const answer = await tell(method, '/kv/a')
    t.equal(answer.status, 405, method)
    t.equal(answer.headers.allow, 'GET, HEAD, PUT, DELETE')
  }
  t.equal((await tell('PUT', '/kv', { body: 'v' })).headers.allow, 'GET, HEAD')
  t.equal((await tell('DELETE', '/openapi.json')).headers.allow, 'GET, HEAD')
  t.equal(await statusOf('POST', '/nothing'), 404)
})

t.test('the list goes on in bounded steps', async (t) => {
  for (let i = 0; i < 40; i++)
    await ask(world.port, 'PUT', `/kv/listed/${i % 4 === 0 ? 'four' : 'key'}%2F${i}`, { body: 'v' })
  const gather = async (query: string): Promise<{ keys: string[]; steps: number }> => {
    const keys: string[] = []
    let cursor: string | null = null
    let steps = 0
    do {
      const answer = await tell('GET', `/kv?table=listed&${query}${cursor === null ? '' : `&cursor=${cursor}`}`)
      t.equal(answer.status, 200)
      const page = answer.json as { keys: string[]; cursor: string | null; lookedAt: number }
      t.ok(page.lookedAt <= 1_000)
      keys.push(...page.keys)
      cursor = page.cursor
      steps++
    } while (cursor !== null)
    return { keys: keys.sort(), steps }
  }
  const all = Array.from({ length: 40 }, (_, i) => `${i % 4 === 0 ? 'four' : 'key'}/${i}`).sort()
  t.same((await gather('')).keys, all)
  t.same((await gather('limit=1')).keys, all)
  t.same(
    (await gather('limit=7&prefix=four/')).keys,
    all.filter((key) => key.startsWith('four/')),
  )
  t.same((await gather('prefix=five')).keys, [])
  t.same((await gather('prefix=four%2F8')).keys, ['four/8'])
  t.same((await tell('GET', '/kv?table=unknown')).json, { keys: [], cursor: null, lookedAt: 0 })
  for (const query of [
    'limit=0',
    'limit=1001',
    'limit=x',
    'cursor=%00',
    'cursor=AAAA',
    'cursor=',
    'all=1',
    'table=A',
    'prefix=%ff',
  ])
    t.equal(await statusOf('GET', `/kv?${query}`), 400, query)
})

t.test('what replicas say', async (t) => {
  await ask(world.port, 'PUT', '/kv/faults', { body: 'v' })
  const fields = { consistency: 6, required: 2, alive: 1, received: 1, blockFor: 2 }
  world.fault = { read: new RequestError('UNAVAILABLE', 'too few', fields) }
  const unavailable = await tell('GET', '/kv/faults')
  t.equal(unavailable.status, 503)
  t.equal(unavailable.headers['retry-after'], '1')
  t.match(unavailable.json, { error: 'UNAVAILABLE', code: 0x1000, consistency: 'LOCAL_QUORUM', required: 2, alive: 1 })
  world.fault = { read: new RequestError('READ_TIMEOUT', 'late', fields) }
  t.equal(await statusOf('GET', '/kv/faults'), 504)
  world.fault = { write: new RequestError('WRITE_TIMEOUT', 'late', fields) }
  t.match((await tell('PUT', '/kv/faults', { body: 'v' })).json, {
    error: 'WRITE_TIMEOUT',
    fate: 'unknown',
    received: 1,
    blockFor: 2,
  })
  world.fault = { cas: new RequestError('CAS_WRITE_UNKNOWN', 'late', fields) }
  const cas = await tell('PUT', '/kv/faults', { body: 'v', headers: { 'if-none-match': '*' } })
  t.match([cas.status, cas.json.fate], [504, 'unknown'])
  // The write is done, whether its context can be told or not.
  world.fault = { read: new RequestError('READ_TIMEOUT', 'late', fields) }
  const written = await tell('PUT', '/kv/unread', { body: 'v' })
  t.match([written.status, written.headers.etag], [204, undefined])
  world.fault = null
  const { etag } = (await tell('GET', '/kv/faults')).headers
  t.equal(await statusOf('PUT', '/kv/faults', { body: 'unseen' }), 204)
  let reads = 0
  const fault: HttpWorld['fault'] = {
    // How many stand there is read, and then what they are.
    get read() {
      return ++reads === 2 ? new RequestError('UNAVAILABLE', 'too few', fields) : undefined
    },
  }
  world.fault = fault
  const beside = await tell('PUT', '/kv/faults', { body: 'stored', headers: { 'if-match': etag! } })
  t.equal(beside.status, 409, 'what is stored is not answered by what a later read met')
  t.match(beside.json, { error: 'CONFLICT', stored: true, complete: false, context: null, siblings: [] })
  world.fault = null
  t.equal((await tell('GET', '/kv/faults')).json.conflict, true)
  const each = await tell('PUT', '/kv/each', { body: 'v', headers: { 'x-consistency': 'EACH_QUORUM' } })
  t.type(each.headers.etag, 'string', 'there is no read at EACH_QUORUM')
})

t.test('bugs of ours are not told', async (t) => {
  await ask(world.port, 'PUT', '/kv/bugs', { body: 'v' })
  world.fault = { read: new TypeError('secret') }
  const answer = await tell('GET', '/kv/bugs')
  t.equal(answer.status, 500)
  t.match(answer.json, { error: 'SERVER_ERROR', message: /^Unexpected exception; incident [0-9a-f]{16}$/ })
  t.equal(world.counters.incidents, 1)
  world.counters.incidents = 0
})

t.test('the document tells of all operations', async (t) => {
  const answer = await ask(world.port, 'GET', '/openapi.json')
  t.match([answer.status, answer.headers['content-type']], [200, 'application/json'])
  const document = answer.json as {
    openapi: string
    paths: Record<
      string,
      Record<
        string,
        { operationId: string; responses: Record<string, unknown>; parameters: { name: string; in: string }[] }
      >
    >
  }
  t.match(document.openapi, /^3\.1/)
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
  )
  t.equal(operations.length, OPERATIONS.length)
  t.equal(new Set(operations.map(({ operationId }) => operationId)).size, OPERATIONS.length)
  for (const { path, method, parameters, responses } of operations) {
    const named = parameters.filter((one) => one.in === 'path').map(({ name }) => name)
    t.same(
      named,
      [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name),
      path,
    )
    t.ok('503' in responses && '400' in responses)
    // Each is served: whatever it answers, it is not that the path or the method is unknown.
    const real = path.replace('{table}', 'documented').replace('{key}', 'a')
    const told = await ask(world.port, method.toUpperCase(), real, method === 'put' ? { body: 'v' } : {})
    t.not(told.status, 405, `${method} ${path}`)
    if (method !== 'head' && told.status === 404) t.equal(told.json.message, 'Nothing is there')
  }
  const references = [...JSON.stringify(document).matchAll(/#\/components\/schemas\/(\w+)/g)].map(([, name]) => name!)
  t.same([...new Set(references)].sort(), ['Error', 'Keys', 'Siblings'])
})
