/** Key-value over HTTP as its connections see it: pipelined, half-closed and broken ones, bodies and answers beyond the limits, the end. */
import http from 'node:http'
import net from 'node:net'
import t from 'tap'
import { createSimulatedClock } from '../../../lib/runtime/simulated/clock.ts'
import { statusesOf } from '../../../tools/http-fuzz.ts'
import { ask, openHttpWorld, sendRaw } from '../../support/http-world.ts'

t.test('connections: kept, pipelined, half-closed, broken', async (t) => {
  await using world = await openHttpWorld()
  await ask(world.port, 'PUT', '/kv/pipe', { body: 'value' })
  const get = 'GET /kv/pipe HTTP/1.1\r\nHost: localhost\r\n\r\n'
  const last = 'GET /kv/none HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
  t.same(statusesOf(await sendRaw(world.port, get.repeat(5) + last)), [200, 200, 200, 200, 200, 404])
  // The client has said all, and waits.
  t.same(statusesOf(await sendRaw(world.port, get.repeat(3), { end: true })), [200, 200, 200])
  const put = 'PUT /kv/other-pipe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nnew'
  t.same(statusesOf(await sendRaw(world.port, put + get + last)), [204, 200, 404])
  // What follows cannot be read: it is said after the answers, in their order, and ends the connection.
  t.same(statusesOf(await sendRaw(world.port, `${put}${get}NONSENSE\r\n\r\n`)), [204, 200, 400])
  // Also when the client has closed its side while the answer is made.
  let release = (): void => {}
  world.fault = {
    read: new Promise<void>((resolve) => {
      release = resolve
    }),
  }
  const waiting = sendRaw(world.port, `${get}NONSENSE\r\n\r\n`, { end: true })
  while (world.service.inFlight === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  world.fault = null
  setTimeout(release, 50)
  t.same(statusesOf(await waiting), [200, 400])
  t.match(await sendRaw(world.port, 'GET /kv/pipe HTTP/1.0\r\n\r\n'), /^HTTP\/1.1 200 .*Connection: close.*value$/s)
  const broken: [string, number][] = [
    ['\x16\x03\x01\x02\x00\x01', 400],
    ['GET /kv/a HTTP/1.1\r\n\r\n', 400],
    ['GET /kv/a HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n', 400],
    ['GET /kv/a HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n', 400],
    ['PUT /kv/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n', 400],
    ['PUT /kv/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400],
    ['PUT /kv/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc', 400],
    ['PUT /kv/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 400],
    [`GET /kv/a HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(300 * 1024)}\r\n\r\n`, 431],
    [`GET /kv/${'x'.repeat(300 * 1024)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 431],
    ['CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n', 400],
    ['GET /kv/a\\b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 404],
    ['GET /kv/a HTTP/1.1\r\nHost: local host\r\nConnection: close\r\n\r\n', 421],
    ['GET * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 404],
    ['PUT /kv/a HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\nConnection: close\r\n\r\n', 417],
  ]
  for (const [bytes, status] of broken)
    t.same(statusesOf(await sendRaw(world.port, bytes)), [status], bytes.slice(0, 70))
  t.match(await sendRaw(world.port, broken[0]![0]), /\{"error":"MALFORMED"/)
  t.match([world.counters.incidents, world.counters.bytes, world.service.inFlight], [0, 0, 0])
})

t.test('who sends what is no request, and goes on sending, is cut off', async (t) => {
  await using own = await openHttpWorld({ lingerMs: 50 })
  const socket = net.connect({ port: own.port, host: '127.0.0.1', allowHalfOpen: true })
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
  })
  socket.on('error', () => {})
  socket.write('junk\r\n\r\n')
  const drip = setInterval(() => socket.write('junk'), 5)
  await new Promise((resolve) => socket.once('close', resolve))
  clearInterval(drip)
  t.same(statusesOf(text), [400])
})

t.test('bodies beyond the limits', async (t) => {
  await using own = await openHttpWorld({
    valueBytesMax: 1_000,
    bodyStallMs: 60,
    bodyMs: 100,
    bodyBytesPerSecondMin: 1e6,
    lingerMs: 50,
  })
  const head = 'PUT /kv/a HTTP/1.1\r\nHost: localhost\r\n'
  const close = 'Connection: close\r\n'
  const { port } = own
  t.equal((await ask(port, 'PUT', '/kv/a', { body: 'x'.repeat(1_000) })).status, 204)
  t.equal((await ask(port, 'PUT', '/kv/a', { body: 'x'.repeat(1_001) })).status, 413)
  const chunk = (bytes: number): string => `${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n`
  const chunked = `${head}Transfer-Encoding: chunked\r\n${close}\r\n`
  t.same(statusesOf(await sendRaw(port, `${chunked}${chunk(500)}${chunk(500)}0\r\n\r\n`)), [204])
  t.same(statusesOf(await sendRaw(port, `${chunked}${chunk(500)}${chunk(501)}0\r\n\r\n`)), [413])
  // A body of which only the length is told is not waited for.
  t.same(statusesOf(await sendRaw(port, `${head}Content-Length: 99999999999\r\n\r\n`)), [413])
  t.same(statusesOf(await sendRaw(port, `${head}Content-Length: 70000\r\n\r\n${'x'.repeat(70_000)}`)), [413])
  const asked = await sendRaw(port, `${head}Expect: 100-continue\r\nContent-Length: 2000\r\n${close}\r\n`)
  t.notMatch(asked, /100 Continue/)
  t.same(statusesOf(asked), [413])
  t.match(
    await sendRaw(port, `${head}Expect: 100-continue\r\nContent-Length: 3\r\n${close}\r\nabc`),
    /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 204 /,
  )
  // Its body is not wanted, so that what comes next may be the body or not: the connection ends.
  const unwanted = `PUT /kv/%ff HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 300\r\n\r\n`
  const afterwards = await sendRaw(port, `${unwanted}GET /kv/a HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  t.same(statusesOf(afterwards), [400])
  t.match(afterwards, /Connection: close/)
  // A body that nobody asked for does not keep the connection.
  const much = `GET /kv/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\nabc`
  t.match(await sendRaw(port, much), /^HTTP\/1.1 (200|300) .*Connection: close/s)
  // One that stands still, and one that comes too slowly.
  t.same(statusesOf(await sendRaw(port, `${head}Content-Length: 10\r\n\r\nabc`)), [408])
  t.same(statusesOf(await sendRaw(port, `${chunked}${chunk(5)}`)), [408])
  const slow = http.request({ port, method: 'PUT', path: '/kv/slow', headers: { 'transfer-encoding': 'chunked' } })
  const drip = setInterval(() => slow.write('x'), 10)
  const [answer] = (await new Promise<unknown[]>((resolve) => slow.once('response', (...parts) => resolve(parts)))) as [
    http.IncomingMessage,
  ]
  clearInterval(drip)
  slow.destroy()
  t.equal(answer.statusCode, 408)
  // A client that goes away in the middle leaves nothing behind.
  await new Promise<void>((resolve) => {
    const gone = http.request({ port, method: 'PUT', path: '/kv/gone', headers: { 'content-length': 500 } })
    gone.on('error', () => {})
    gone.on('close', resolve)
    gone.write('abc', () => gone.destroy())
  })
  while (own.service.inFlight > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.equal((await ask(port, 'GET', '/kv/gone')).status, 404)
  t.match([own.counters.bytes, own.service.inFlight, own.counters.incidents], [0, 0, 0])
})

t.test('too much at once', async (t) => {
  await using own = await openHttpWorld({
    requestsPerConnectionMax: 4,
    requestsMax: 6,
    inFlightBytesMax: 100_000,
    valueBytesMax: 90_000,
  })
  const { port } = own
  t.equal((await ask(port, 'PUT', '/kv/a', { body: 'v' })).status, 204)
  let release = (): void => {}
  own.fault = {
    read: new Promise<void>((resolve) => {
      release = resolve
    }),
  }
  const get = 'GET /kv/a HTTP/1.1\r\nHost: localhost\r\n\r\n'
  const first = sendRaw(port, get.repeat(6), { end: true })
  while (own.service.inFlight < 4) await new Promise((resolve) => setTimeout(resolve, 5))
  const second = sendRaw(port, get.repeat(3), { end: true })
  while (own.service.inFlight < 6) await new Promise((resolve) => setTimeout(resolve, 5))
  own.fault = null
  release()
  t.same(statusesOf(await first), [200, 200, 200, 200, 429, 429])
  t.same(statusesOf(await second), [200, 200, 503])
  // Bodies that are on their way take what there is of memory.
  const half = http.request({ port, method: 'PUT', path: '/kv/half', headers: { 'content-length': 60_000 } })
  half.on('error', () => {})
  half.write('x')
  while (own.counters.bytes === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  const refused = await ask(port, 'PUT', '/kv/other', { body: 'x'.repeat(60_000) })
  t.match([refused.status, refused.headers['retry-after'], refused.json.error], [503, '1', 'OVERLOADED'])
  t.equal((await ask(port, 'PUT', '/kv/other', { body: 'x'.repeat(30_000) })).status, 204)
  half.destroy()
  while (own.counters.bytes > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.equal((await ask(port, 'PUT', '/kv/other', { body: 'x'.repeat(60_000) })).status, 204)
})

t.test('answers that are not taken', async (t) => {
  const MIB = 1024 * 1024
  const clock = createSimulatedClock()
  await using own = await openHttpWorld({ inFlightBytesMax: 24 * MIB, answerMs: 1_000 }, clock)
  const { port, counters } = own
  // More than the kernel takes off a node's hands for a connection.
  const value = Buffer.alloc(10 * MIB, 'large')
  t.equal((await ask(port, 'PUT', '/kv/large', { body: value, headers: { prefer: 'return=minimal' } })).status, 204)
  t.equal(counters.bytes, 0)
  const idle = net.connect({ port, host: '127.0.0.1' })
  idle.on('error', () => {})
  idle.pause()
  const closed = new Promise((resolve) => idle.once('close', resolve))
  idle.write('GET /kv/large HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(2))
  while (counters.bytes < 20 * MIB) await new Promise((resolve) => setTimeout(resolve, 5))
  const refused = await ask(port, 'GET', '/kv/large')
  t.match([refused.status, refused.headers['retry-after']], [503, '1'])
  t.equal((await ask(port, 'PUT', '/kv/large', { body: value })).status, 503)
  t.equal((await ask(port, 'GET', '/kv/none')).status, 404)
  await clock.advance(999)
  t.ok(counters.bytes > 0)
  // It is let go, and what it held is free.
  await clock.advance(1)
  while (counters.bytes > 0) await new Promise((resolve) => setTimeout(resolve, 20))
  t.ok((await ask(port, 'GET', '/kv/large')).body.equals(value))
  idle.resume()
  await closed
})

t.test('closing: what has begun is answered, and kept connections end', async (t) => {
  const own = await openHttpWorld()
  const { port } = own
  await ask(port, 'PUT', '/kv/a', { body: 'v' })
  const agent = new http.Agent({ keepAlive: true })
  t.equal((await ask(port, 'GET', '/kv/a', { agent })).status, 200)
  let release = (): void => {}
  own.fault = {
    read: new Promise<void>((resolve) => {
      release = resolve
    }),
  }
  const waiting = ask(port, 'GET', '/kv/a')
  while (own.service.inFlight === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  const closed = own.service.close(30_000)
  await t.rejects(ask(port, 'GET', '/kv/a'), { code: 'ECONNREFUSED' })
  release()
  const answer = await waiting
  t.match([answer.status, answer.headers.connection], [200, 'close'])
  await closed
  agent.destroy()
  await own[Symbol.asyncDispose]()
})
