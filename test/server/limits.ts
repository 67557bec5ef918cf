/** What clients may not do: each limit just below, at, and just above it; and that the others do not suffer. */
import t from 'tap'
import { RequestError } from '../../lib/base/errors.ts'
import type { StatementResult } from '../../lib/cql/result.ts'
import type { AuthAnswer, Authenticator } from '../../lib/server/authenticator.ts'
import type { ClientLimits } from '../../lib/server/limits.ts'
import { createTestServer, FakeSocket, TestClient, type TestServer } from '../support/client.ts'

const VOID: StatementResult = { kind: 'void' }

function serverWith(limits: Partial<ClientLimits>): TestServer {
  return createTestServer({ limits })
}

function started(server: TestServer, options: Record<string, string> = {}, address?: string): TestClient {
  const client = new TestClient(server, 4, new FakeSocket(address))
  client.startup(options)
  return client
}

/** A header that declares a body of so many bytes. */
function header(opcode: number, length: number, version = 4): Buffer {
  const bytes = Buffer.from([version, 0, 0, 1, opcode, 0, 0, 0, 0])
  bytes.writeUInt32BE(length, 5)
  return bytes
}

/** The processor answers when it is told to. */
function holdAnswers(server: TestServer): ((result: StatementResult) => void)[] {
  const held: ((result: StatementResult) => void)[] = []
  server.processor.reply = () => new Promise((resolve) => held.push(resolve))
  return held
}

t.test('bodies before and after the handshake', (t) => {
  const server = serverWith({ bodyBytesMax: 200_000 })
  const { processor } = server
  for (const [length, isTaken] of [
    [65_535, true],
    [65_536, true],
    [65_537, false],
  ] as const) {
    const client = new TestClient(server, 4)
    const body = Buffer.alloc(length)
    body.write('\0\x01\0\x0bCQL_VERSION\0\x053.0.0', 'latin1')
    client.socket.receive(Buffer.concat([header(1, length), body]))
    t.match(client.only().response, isTaken ? { kind: 'ready' } : { kind: 'error', error: { code: 'INVALID' } })
    t.equal(client.socket.isEnded, !isTaken)
  }
  const client = started(server)
  for (const [length, isTaken] of [
    [199_999, true],
    [200_000, true],
    [200_001, false],
  ] as const) {
    const body = Buffer.alloc(length)
    body.write('\0\0\0\x01X\0\x01\0', 'latin1')
    const wire = Buffer.concat([header(7, length), body])
    for (let at = 0; at < wire.length; at += 60_000) client.socket.receive(wire.subarray(at, at + 60_000))
    t.match(client.only().response, isTaken ? { kind: 'void' } : { kind: 'error', error: { code: 'INVALID' } })
  }
  t.match(client.ask(1, client.query('X')).response, { kind: 'void' }, 'the body too large was skipped')
  t.equal(processor.calls.length, 3)
  t.end()
})

t.test('a body that will never come costs nothing, and may be announced as 4 GiB', (t) => {
  const server = serverWith({})
  const client = started(server)
  client.socket.receive(header(7, 0xffff_ffff))
  t.match(client.only().response, { kind: 'error', error: { code: 'INVALID' } })
  t.equal(client.socket.isEnded, false)
  t.end()
})

t.test('requests in flight: beyond them a connection is not read', async (t) => {
  const server = serverWith({ requestsMax: 3 })
  const held = holdAnswers(server)
  const client = started(server)
  for (let stream = 0; stream < 5; stream++) {
    client.send(stream, client.query('X'))
    t.equal(client.socket.isPaused, stream >= 2)
  }
  t.equal(held.length, 3)
  held[1]!(VOID)
  await server.clock.settle()
  t.equal(held.length, 4)
  t.equal(client.socket.isPaused, true)
  for (const resolve of held) resolve(VOID)
  await server.clock.settle()
  for (const resolve of held) resolve(VOID)
  await server.clock.settle()
  t.equal(client.answers().length, 5)
  t.equal(client.socket.isPaused, false)
})

t.test('requests in flight: who asked to be told is told', async (t) => {
  const server = serverWith({ requestsMax: 3 })
  const held = holdAnswers(server)
  const client = started(server, { THROW_ON_OVERLOAD: '1' })
  for (let stream = 0; stream < 5; stream++) client.send(stream, client.query('X'))
  t.equal(client.socket.isPaused, false)
  t.match(client.answers(), [
    { stream: 3, response: { error: { code: 'OVERLOADED' } } },
    { stream: 4, response: { error: { code: 'OVERLOADED' } } },
  ])
  t.equal(server.listener.counters.overloaded, 2)
  for (const resolve of held) resolve(VOID)
  await server.clock.settle()
  t.equal(client.answers().length, 3)
})

t.test('bytes in flight: an address that has too many waits, the others do not', async (t) => {
  const server = serverWith({ requestBytesPerAddressMax: 10_000, requestBytesMax: 25_000 })
  const held = holdAnswers(server)
  const greedy = started(server, {}, '10.0.0.1')
  const sibling = started(server, {}, '10.0.0.1')
  const other = started(server, {}, '10.0.0.2')
  const text = 'X'.repeat(6_000)
  greedy.send(1, greedy.query(text))
  t.equal(greedy.socket.isPaused, false)
  greedy.send(2, greedy.query(text))
  t.equal(greedy.socket.isPaused, true)
  sibling.send(1, sibling.query('X'))
  t.equal(sibling.socket.isPaused, true)
  other.send(1, other.query('X'))
  t.equal(other.socket.isPaused, false)
  t.equal(held.length, 4)
  greedy.send(3, greedy.query('X'))
  t.equal(held.length, 4)
  held[0]!(VOID)
  await server.clock.settle()
  t.equal(greedy.socket.isPaused, false)
  t.equal(sibling.socket.isPaused, false)
  t.equal(held.length, 5)
  for (const resolve of held) resolve(VOID)
  await server.clock.settle()
  t.equal(server.listener.requestBytes, 0)
})

t.test('requests that come in part only are bounded together', (t) => {
  const server = serverWith({ requestBytesMax: 300_000 })
  const clients = [1, 2, 3, 4].map(() => started(server))
  for (const client of clients) {
    client.socket.receive(header(7, 1_000_000))
    client.socket.receive(Buffer.alloc(99_000))
  }
  t.same(
    clients.map(({ socket }) => socket.isEnded),
    [false, false, false, true],
  )
  t.match(clients[3]!.only().response, { kind: 'error', error: { code: 'OVERLOADED' } })
  clients[0]!.socket.destroy()
  const next = started(server)
  next.socket.receive(header(7, 1_000_000))
  next.socket.receive(Buffer.alloc(99_000))
  t.equal(next.socket.isEnded, false)
  t.end()
})

t.test('a client that does not take its answers is not read, then closed', async (t) => {
  const server = serverWith({ unsentBytesPause: 1000, unsentBytesMax: 3000, stalledMs: 30_000 })
  const answer: StatementResult = {
    kind: 'rows',
    metadata: { columns: [], id: Buffer.alloc(16) },
    rowCount: 1,
    rowBytes: Buffer.alloc(400),
    pagingState: null,
  }
  server.processor.reply = () => answer
  const client = started(server)
  client.socket.isStuck = true
  client.send(1, client.query('X'))
  client.send(2, client.query('X'))
  t.equal(client.socket.isPaused, false)
  client.send(3, client.query('X'))
  t.equal(client.socket.isPaused, true)
  const asked = server.processor.calls.length
  client.send(4, client.query('X'))
  t.equal(server.processor.calls.length, asked)
  client.socket.drain()
  t.equal(server.processor.calls.length, asked + 1)
  t.equal(client.socket.isPaused, false)

  await server.clock.advance(29_000)
  client.socket.pendingBytes -= 1
  await server.clock.advance(2_000)
  t.equal(client.socket.isClosed, false, 'it took something')
  await server.clock.advance(60_000)
  t.equal(client.socket.isClosed, true)

  const flooded = started(server)
  const held = holdAnswers(server)
  flooded.socket.isStuck = true
  for (let stream = 0; stream < 12; stream++) flooded.send(stream, flooded.query('X'))
  for (const resolve of held) {
    resolve(answer)
    await server.clock.settle()
  }
  t.equal(flooded.socket.isClosed, true)
  t.equal(server.listener.counters.stalled, 2)

  const large = started(server)
  large.socket.isStuck = true
  server.processor.reply = () => ({ ...answer, rowBytes: Buffer.alloc(50_000) })
  large.send(1, large.query('X'))
  t.equal(large.socket.isClosed, false, 'one answer may be larger than the limit')
})

t.test('handshakes: ten seconds, so many at once, the others wait their turn', async (t) => {
  const server = serverWith({ handshakesMax: 2, handshakeMs: 10_000 })
  const clients = [1, 2, 3].map(() => new TestClient(server, 4))
  for (const client of clients) client.send(1, { kind: 'options' })
  t.same(
    clients.map((client) => client.answers().length),
    [1, 1, 0],
  )
  clients[0]!.startup()
  t.equal(clients[2]!.answers().length, 1, 'its turn came')
  await server.clock.advance(9_999)
  t.same(
    clients.map(({ socket }) => socket.isClosed),
    [false, false, false],
  )
  await server.clock.advance(1)
  t.same(
    clients.map(({ socket }) => socket.isClosed),
    [false, true, true],
  )
  t.equal(server.listener.counters.handshakesTimedOut, 2)
  t.equal(server.listener.connections.size, 1)
})

t.test('connections: more than there may be are refused', (t) => {
  const server = serverWith({ connectionsMax: 2 })
  const { listener } = server
  const clients = [1, 2, 3].map(() => new TestClient(server, 4))
  t.same(
    clients.map(({ socket }) => socket.isClosed),
    [false, false, true],
  )
  clients[0]!.socket.destroy()
  t.equal(new TestClient(server, 4).socket.isClosed, false)
  t.equal(listener.counters.connectionsRefused, 1)
  t.end()
})

t.test('idle connections are closed where that is asked for', async (t) => {
  const server = serverWith({ idleMs: 8_000 })
  const held = holdAnswers(server)
  const idle = started(server)
  const active = started(server)
  const waiting = started(server)
  waiting.send(1, waiting.query('X'))
  for (let second = 0; second < 14; second++) {
    active.send(1, { kind: 'options' })
    await server.clock.advance(1_000)
  }
  t.same(
    [idle, active, waiting].map(({ socket }) => socket.isClosed),
    [true, false, false],
  )
  held[0]!(VOID)
  const closing = server.listener.close(0)
  await server.clock.advance(1)
  await closing
})

t.test('draining: what is in flight is finished, what is new is refused', async (t) => {
  const server = serverWith({})
  const held = holdAnswers(server)
  const busy = started(server)
  const idle = started(server)
  const silent = new TestClient(server, 4)
  busy.send(1, busy.query('X'))
  const closing = server.listener.close(5_000)
  t.same(
    [busy, idle, silent].map(({ socket }) => [socket.isEnded, socket.isClosed]),
    [
      [false, false],
      [true, false],
      [false, true],
    ],
  )
  t.match(busy.ask(2, busy.query('X')).response, {
    kind: 'error',
    error: { code: 'OVERLOADED', message: 'Server is shutting down' },
  })
  t.equal(new TestClient(server, 4).socket.isClosed, true)
  held[0]!(VOID)
  await server.clock.settle()
  t.match(busy.only(), { stream: 1, response: { kind: 'void' } })
  t.equal(busy.socket.isEnded, true)
  for (const { socket } of [busy, idle]) socket.destroy()
  await closing
  t.equal(server.listener.connections.size, 0)
  t.equal(server.clock.pendingTimers, 0)
})

t.test('draining: who does not go is made to', async (t) => {
  const server = serverWith({})
  holdAnswers(server)
  const client = started(server)
  client.send(1, client.query('X'))
  const closing = server.listener.close(5_000)
  t.equal(server.listener.close(1), closing)
  await server.clock.advance(5_000)
  t.equal(client.socket.isClosed, true)
  await closing
  t.equal(server.clock.pendingTimers, 0)
})

t.test('authentication: one step at a time, challenges, and a second try', async (t) => {
  const steps: { token: string; resolve: (answer: AuthAnswer) => void; reject: (error: Error) => void }[] = []
  const authenticator: Authenticator = {
    className: 'a.b.C',
    begin: () => ({
      answer: (token) =>
        new Promise((resolve, reject) => steps.push({ token: (token ?? '').toString(), resolve, reject })),
    }),
  }
  for (const version of [3, 4, 5]) {
    steps.length = 0
    const server = createTestServer({ authenticator })
    const client = new TestClient(server, version)
    t.match(client.startup().response, { kind: 'authenticate', className: 'a.b.C' })
    client.send(1, { kind: 'auth_response', token: Buffer.from('one') })
    client.send(2, { kind: 'auth_response', token: Buffer.from('two') })
    t.equal(steps.length, 1)
    t.equal(client.socket.isPaused, true)
    steps[0]!.reject(new RequestError('BAD_CREDENTIALS', 'no'))
    await server.clock.settle()
    t.match(client.only(), { stream: 1, response: { error: { code: 'BAD_CREDENTIALS' } } })
    t.equal(steps[1]?.token, 'two')
    steps[1]!.resolve({ done: false, challenge: Buffer.from('who?') })
    await server.clock.settle()
    t.match(client.only(), { stream: 2, response: { kind: 'auth_challenge', token: Buffer.from('who?') } })
    t.match(client.ask(3, client.query('X')).response, { error: { code: 'PROTOCOL_ERROR' } })
    client.send(4, { kind: 'auth_response', token: null })
    steps[2]!.resolve({ done: true, user: 'ann', token: Buffer.from('yes') })
    await server.clock.settle()
    t.match(client.only(), { stream: 4, response: { kind: 'auth_success', token: Buffer.from('yes') } })
    t.match(client.ask(5, client.query('X')).response, { kind: 'void' })
    t.match(server.processor.calls.at(-1)![4], { user: 'ann' })
    t.match(client.ask(6, { kind: 'auth_response', token: null }).response, { error: { code: 'PROTOCOL_ERROR' } })
  }
})
