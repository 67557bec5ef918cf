/** Writes over HTTP that did not see each other: none is lost, and who has seen them resolves them. With CQL beside it, for the rows are CQL's. */
import t from 'tap'
import type { RowsResult } from '../../../lib/cql/result.ts'
import { createSeededRandom } from '../../../lib/runtime/simulated/random.ts'
import { type AskOptions, ask, type HttpWorld, openHttpWorld } from '../../support/http-world.ts'

interface Siblings {
  readonly conflict: boolean
  readonly context: string
  readonly complete: boolean
  readonly stored?: boolean
  readonly siblings: readonly {
    readonly value: string
    readonly encoding: string
    readonly contentType: string
    readonly time: string
    readonly timeMicros: number
    readonly ttl: number | null
    readonly version: string
    readonly context: string
  }[]
}

let world: HttpWorld
t.before(async () => {
  world = await openHttpWorld()
})
t.teardown(() => world[Symbol.asyncDispose]())

const put = (key: string, body: string | Buffer, headers: AskOptions['headers'] = {}) =>
  ask(world.port, 'PUT', `/kv/${key}`, { body, headers })
const get = (key: string, headers: AskOptions['headers'] = {}) => ask(world.port, 'GET', `/kv/${key}`, { headers })
const remove = (key: string, headers: AskOptions['headers'] = {}) =>
  ask(world.port, 'DELETE', `/kv/${key}`, { headers })
const valuesOf = (answer: { readonly json: unknown }): string[] =>
  (answer.json as Siblings).siblings.map(({ value }) => value).sort()

t.test('a conflict, and its end', async (t) => {
  const first = await put('cart', 'apples', { 'content-type': 'text/plain' })
  t.match([first.status, first.headers['x-siblings']], [204, undefined])
  const bytes = Buffer.from([0xff, 0])
  const second = await put('cart', bytes, { 'content-type': 'image/x', 'x-ttl': '1000' })
  // It had seen nothing: no context is told that would cover the first.
  t.match([second.status, second.headers.etag, second.headers['x-siblings']], [204, undefined, '2'])
  const conflict = await get('cart')
  t.equal(conflict.status, 300)
  const told = conflict.json as unknown as Siblings
  t.match(told, { conflict: true, complete: true })
  t.match(told.siblings, [
    { value: 'apples', encoding: 'utf-8', contentType: 'text/plain', ttl: null, context: told.context },
    { value: bytes.toString('base64'), encoding: 'base64', contentType: 'image/x', context: told.context },
  ])
  t.ok(told.siblings[0]!.timeMicros < told.siblings[1]!.timeMicros)
  t.match(told.siblings[0]!.time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  t.ok(told.siblings[1]!.ttl! > 900 && told.siblings[1]!.ttl! <= 1_000)
  t.equal(conflict.headers.etag, `"${told.context}"`)
  const head = await ask(world.port, 'HEAD', '/kv/cart')
  t.match([head.status, head.headers.etag, head.body.length], [300, conflict.headers.etag, 0])
  const resolved = await put('cart', 'both', { 'if-match': conflict.headers.etag })
  t.equal(resolved.status, 204)
  const end = await get('cart')
  t.match([end.status, end.body.toString(), end.headers.etag], [200, 'both', resolved.headers.etag])
})

t.test('If-Match replaces what was seen, and nothing else', async (t) => {
  const { etag } = (await put('seen', 'one')).headers
  t.equal((await put('seen', 'two', { 'if-match': etag })).status, 204)
  const beside = await put('seen', 'three', { 'if-match': etag, 'content-type': 'text/plain' })
  t.equal(beside.status, 409)
  t.match(beside.json, { error: 'CONFLICT', code: null, stored: true, conflict: true })
  t.same(valuesOf(beside), ['three', 'two'])
  t.equal((await get('seen')).status, 300)
  t.equal((await put('seen', 'end', { 'if-match': beside.headers.etag })).status, 204)
  t.equal((await get('seen')).body.toString(), 'end')
  // A delete that has not seen all leaves the rest.
  t.match((await put('seen', 'more')).headers['x-siblings'], '2')
  const left = await remove('seen', { 'if-match': etag })
  t.equal(left.status, 409)
  t.same(valuesOf(left), ['end', 'more'])
  t.equal((await remove('seen', { 'if-match': left.headers.etag })).status, 204)
  t.equal((await get('seen')).status, 404)
})

t.test('If-Match: * replaces what is there', async (t) => {
  t.equal((await put('star', 'x', { 'if-match': '*' })).status, 412)
  t.equal((await remove('star', { 'if-match': '*' })).status, 412)
  await put('star', 'one')
  await put('star', 'two')
  t.equal((await put('star', 'three', { 'if-match': '*' })).status, 204)
  t.equal((await get('star')).body.toString(), 'three')
  t.equal((await remove('star', { 'if-match': '*' })).status, 204)
  t.equal((await get('star')).status, 404)
})

t.test('writes under a condition change nothing unless it holds', async (t) => {
  const created = await put('once', 'one', { 'if-none-match': '*' })
  t.equal(created.status, 201)
  t.match(created.headers.etag, /^"/)
  const again = await put('once', 'two', { 'if-none-match': '*' })
  t.match([again.status, again.json.error], [412, 'PRECONDITION_FAILED'])
  const only = { 'x-if-unmodified': 'true' }
  const next = await put('once', 'three', { ...only, 'if-match': created.headers.etag })
  t.equal(next.status, 204)
  t.equal((await put('once', 'four', { ...only, 'if-match': created.headers.etag })).status, 412)
  t.equal((await remove('once', { ...only, 'if-match': created.headers.etag })).status, 412)
  t.equal((await get('once')).body.toString(), 'three')
  t.equal((await put('once', 'five', { ...only, 'if-match': '*', 'x-serial-consistency': 'LOCAL_SERIAL' })).status, 204)
  const { etag } = (await get('once')).headers
  t.equal((await remove('once', { ...only, 'if-match': etag })).status, 204)
  t.equal((await get('once')).status, 404)
  t.equal((await put('once', 'anew', { 'if-none-match': '*' })).status, 201)
})

t.test('conditional reads', async (t) => {
  const { etag } = (await put('read', 'v')).headers
  const same = await get('read', { 'if-none-match': `"AA", ${etag}` })
  t.match([same.status, same.headers.etag, same.body.length], [304, etag, 0])
  t.equal((await get('read', { 'if-none-match': '*' })).status, 304)
  t.equal((await get('read', { 'if-none-match': '"AA"' })).status, 200)
  t.equal((await get('read', { 'if-match': etag })).status, 200)
  t.equal((await get('read', { 'if-match': '"AA"' })).status, 412)
  t.equal((await get('read', { 'if-match': 'AA' })).status, 400)
  await put('read', 'w')
  t.equal((await get('read', { 'if-none-match': '*' })).status, 300)
})

t.test('contexts are of their key', async (t) => {
  const { etag } = (await put('mine', 'v')).headers
  await put('yours', 'v')
  for (const wrong of [etag, '"AA"', '""', `"${'A'.repeat(4_000)}"`])
    t.equal((await put('yours', 'w', { 'if-match': wrong })).status, 400, (wrong ?? '').slice(0, 40))
  t.equal((await put('yours', 'w', { 'if-match': etag, 'x-if-unmodified': 'true' })).status, 400)
  t.equal((await get('yours')).body.toString(), 'v')
})

t.test('values expire', async (t) => {
  t.equal((await put('brief', 'v', { 'x-ttl': '1000' })).status, 204)
  const { 'x-ttl': left } = (await get('brief')).headers
  t.ok(Number(left) > 900 && Number(left) <= 1_000)
  t.equal((await put('long', 'v', { 'x-ttl': '0' })).status, 204)
  t.equal((await get('long')).headers['x-ttl'], undefined)
})

t.test('the rows are those of CQL', async (t) => {
  await put('shared', 'http')
  await world.node.run("INSERT INTO kv.items (key, content_type, value) VALUES ('shared', 'text/cql', 0x63716c)")
  const both = await get('shared')
  t.equal(both.status, 300)
  t.same(valuesOf(both), ['cql', 'http'])
  const rows = (await world.node.run("SELECT value FROM kv.items WHERE key = 'shared'")) as RowsResult
  t.equal(rows.rowCount, 2)
  // What CQL wrote may be no header, or nothing.
  await world.node.run("INSERT INTO kv.items (key, content_type, value) VALUES ('odd', 'a\nb', 0x00)")
  t.equal((await get('odd')).headers['content-type'], 'application/octet-stream')
  await world.node.run("INSERT INTO kv.items (key) VALUES ('bare')")
  const bare = await get('bare')
  t.same([bare.status, bare.body.length, 'last-modified' in bare.headers], [200, 0, false])
})

t.test('too many siblings are refused until they are resolved', async (t) => {
  // As many as max_siblings is by default.
  for (let i = 0; i < 100; i++) t.equal((await put('many', `v${i}`, { prefer: 'return=minimal' })).status, 204)
  const refused = await put('many', 'v100')
  t.match([refused.status, refused.json.error, refused.json.stored], [409, 'CONFLICT', false])
  t.match(refused.json.message, /max_siblings \(100\)/)
  t.equal(valuesOf(refused).length, 100)
  t.equal((await put('many', 'one', { 'if-match': refused.headers.etag })).status, 204)
  t.equal((await put('many', 'v100')).status, 204)
})

t.test('large siblings are read in parts', async (t) => {
  const large = 'x'.repeat(1536 * 1024)
  for (let i = 0; i < 4; i++) t.equal((await put('large', `${large}${i}`)).status, 204)
  const answer = await get('large')
  t.equal(answer.status, 300)
  t.same(
    valuesOf(answer).map((value) => value.slice(-1)),
    ['0', '1', '2', '3'],
  )
  t.equal((await put('large', 'small', { 'if-match': answer.headers.etag })).status, 204)
  t.equal((await get('large')).body.toString(), 'small')
  t.equal(world.counters.bytes, 0)
})

t.test('a random history: nothing that was not seen is lost, nothing that was replaced returns', async (t) => {
  const seed = Number(process.env.TEST_SEED ?? 5)
  const random = createSeededRandom(seed)
  const below = (limit: number): number => Math.floor(random.float() * limit)
  for (let round = 0; round < 12; round++) {
    const key = `history${round}`
    let present = new Set<string>()
    // What each of three clients saw last: the tag, and which values it stands for.
    const seen: ({ readonly tag: string; readonly values: ReadonlySet<string> } | null)[] = [null, null, null]
    for (let step = 0; step < 15; step++) {
      const client = below(3)
      const known = seen[client]
      const label = `TEST_SEED=${seed} round ${round} step ${step}`
      const value = `${round}.${step}`
      switch (below(4)) {
        case 0: {
          const answer = await get(key)
          const there = answer.status === 404 ? [] : answer.status === 300 ? valuesOf(answer) : [answer.body.toString()]
          t.same(there, [...present].sort(), label)
          seen[client] = answer.headers.etag === undefined ? null : { tag: answer.headers.etag, values: new Set(there) }
          break
        }
        case 1: {
          const answer = known ? await put(key, value, { 'if-match': known.tag }) : await put(key, value)
          present = new Set([...present].filter((other) => !known?.values.has(other)))
          present.add(value)
          t.equal(answer.status, known && present.size > 1 ? 409 : 204, label)
          break
        }
        case 2: {
          if (!known) break
          const answer = await remove(key, { 'if-match': known.tag })
          present = new Set([...present].filter((other) => !known.values.has(other)))
          t.equal(answer.status, present.size > 0 ? 409 : 204, label)
          break
        }
        default: {
          if (!known) break
          const before = present
          const answer = await put(key, value, { 'if-match': known.tag, 'x-if-unmodified': 'true' })
          if (answer.status === 204) {
            t.ok(
              [...before].every((other) => known.values.has(other)),
              label,
            )
            present = new Set([value])
          } else t.equal(answer.status, 412, label)
        }
      }
    }
  }
})
