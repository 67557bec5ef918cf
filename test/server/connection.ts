/** A client's requests and their answers, in each version: what is handed to the processor, and what comes back of what it says. */
import t from 'tap'
import { BytesError } from '../../lib/base/bytes.ts'
import { RequestError } from '../../lib/base/errors.ts'
import type { ResultMetadata, StatementResult } from '../../lib/cql/result.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import { loadCompression } from '../../protocol/compression.ts'
import { plainParameters, type Request } from '../../protocol/requests.ts'
import { createTestServer, fakePrepared, TestClient, type TestServer } from '../support/client.ts'

const VERSIONS = [3, 4, 5, 6]

const METADATA: ResultMetadata = {
  columns: [
    { keyspace: 'ks', table: 't', name: 'k', type: { kind: 'native', name: 'int' } },
    { keyspace: 'ks', table: 't', name: 'v', type: { kind: 'native', name: 'duration' } },
  ],
  id: Buffer.from('0123456789abcdef', 'latin1'),
}

function rows(size = 4): StatementResult {
  const rowBytes = Buffer.alloc(8 + size)
  rowBytes.writeInt32BE(size, 0)
  rowBytes.writeInt32BE(-1, 4 + size)
  return { kind: 'rows', metadata: METADATA, rowCount: 1, rowBytes, pagingState: null }
}

function started(server: TestServer, version: number): TestClient {
  const client = new TestClient(server, version)
  client.startup()
  return client
}

function executeRequest(version: number, skipMetadata: boolean, resultMetadataId = METADATA.id): Request {
  const parameters = { ...plainParameters(version, Consistency.ONE), skipMetadata, values: [Buffer.from([1])] }
  return {
    kind: 'execute',
    id: 'id-of-16-bytes-x',
    resultMetadataId: version >= 5 ? resultMetadataId : null,
    parameters,
  }
}

for (const version of VERSIONS) {
  t.test(`v${version}: QUERY, PREPARE, EXECUTE and BATCH`, (t) => {
    const server = createTestServer()
    const client = started(server, version)
    t.match(client.ask(7, client.query('INSERT')), { version, stream: 7, response: { kind: 'void' } })

    server.processor.reply = () => rows()
    const selected = client.ask(-3, client.query('SELECT'))
    t.match(selected, { stream: -3, response: { kind: 'rows', rowCount: 1 } })
    t.equal(selected.response.kind === 'rows' && selected.response.metadata.columns?.length, 2)

    server.processor.statements.set('S', fakePrepared('id-of-16-bytes-x', { resultMetadata: METADATA }))
    const prepared = client.ask(1, { kind: 'prepare', query: 'S', keyspace: null })
    t.equal(prepared.response.kind === 'prepared' && prepared.response.id.toString(), 'id-of-16-bytes-x')
    const full = client.ask(2, executeRequest(version, false))
    t.not(full.response.kind === 'rows' && full.response.metadata.columns, null)
    const skipped = client.ask(2, executeRequest(version, true))
    t.equal(skipped.response.kind === 'rows' && skipped.response.metadata.columns, null)
    t.equal(skipped.response.kind === 'rows' && skipped.response.metadata.columnCount, 2)

    const other = client.ask(3, executeRequest(version, true, Buffer.alloc(16)))
    t.same(
      other.response.kind === 'rows' && other.response.metadata.newId,
      version >= 5 ? METADATA.id : null,
      'a client with wrong metadata is given the new one',
    )

    server.processor.reply = () => ({ kind: 'void' })
    const parameters = plainParameters(version, Consistency.ONE)
    const batch: Request = {
      kind: 'batch',
      type: 'unlogged',
      items: [
        { kind: 'query', query: 'A', values: [] },
        { kind: 'prepared', id: 'id-of-16-bytes-x', values: [Buffer.from('v')] },
      ],
      parameters,
    }
    t.match(client.ask(4, batch), { response: { kind: 'void' } })
    const call = server.processor.calls.at(-1)!
    t.equal(call[1], 'unlogged')
    t.match(call[2], [{ text: 'A' }, { prepared: { id: Buffer.from('id-of-16-bytes-x') } }])
    t.equal((call[3] as { protocolVersion: number }).protocolVersion, Math.min(version, 5))

    const unknown: Request = { ...batch, items: [{ kind: 'prepared', id: 'another-16-bytes', values: [] }] }
    for (const request of [unknown, { ...executeRequest(version, false), id: 'another-16-bytes' } as Request]) {
      const { response } = client.ask(5, request)
      t.match(response, { kind: 'error', error: { code: 'UNPREPARED' } })
      t.same(response.kind === 'error' && response.error.fields.id, Buffer.from('another-16-bytes'))
    }
    t.end()
  })

  t.test(`v${version}: what is kept of the client, and told beside an answer`, (t) => {
    const server = createTestServer({
      tracer: {
        begin: () => ({ id: Buffer.alloc(16, 9), run: (work) => work(), end: (micros) => ended.push(micros) }),
      },
    })
    const ended: number[] = []
    const client = started(server, version)
    server.processor.reply = () => ({ kind: 'set_keyspace', keyspace: 'ks' })
    t.match(client.ask(1, client.query('USE ks')), { response: { kind: 'set_keyspace', keyspace: 'ks' } })
    server.processor.reply = () => ({ kind: 'void', warnings: ['Beware'] })
    t.same(client.ask(2, client.query('X')).warnings, version >= 4 ? ['Beware'] : [])
    t.match(server.processor.calls.at(-1)![4], { keyspace: 'ks', user: null, remoteAddress: '127.0.0.1' })

    const [connection] = server.listener.connections
    t.match(connection, { keyspace: 'ks', version, phase: 'ready', inFlight: 0 })
    t.same([...connection!.startupOptions], [['CQL_VERSION', '3.0.0']])

    t.equal(client.ask(3, client.query('X')).tracingId, null)
    t.same(client.ask(3, client.query('X'), { tracing: true }).tracingId, Buffer.alloc(16, 9))
    server.processor.reply = () => {
      const error = new RequestError('INVALID', 'no')
      error.warnings = ['Beware']
      throw error
    }
    const failed = client.ask(3, client.query('X'), { tracing: true })
    t.match(failed.response, { kind: 'error', error: { code: 'INVALID', message: 'no' } })
    t.same(failed.tracingId, Buffer.alloc(16, 9))
    t.same(failed.warnings, version >= 4 ? ['Beware'] : [])
    t.equal(ended.length, 2)

    const change = { change: 'CREATED', target: 'TABLE', keyspace: 'ks', name: 't' } as const
    server.processor.reply = () => ({ kind: 'schema_change', change })
    t.match(client.ask(4, client.query('CREATE')).response, { kind: 'schema_change', change })
    t.end()
  })

  t.test(`v${version}: answers go out together, in any order, and an exception of ours ends nothing`, async (t) => {
    const server = createTestServer()
    const client = started(server, version)
    const waiting: { resolve: (result: StatementResult) => void; reject: (error: unknown) => void }[] = []
    server.processor.reply = () =>
      new Promise<StatementResult>((resolve, reject) => {
        waiting.push({ resolve, reject })
      })
    for (let stream = 0; stream < 5; stream++) client.send(stream, client.query('X'))
    t.equal(client.answers().length, 0)
    waiting[3]!.resolve({ kind: 'void' })
    waiting[0]!.reject(new RequestError('OVERLOADED', 'later'))
    waiting[2]!.reject(new TypeError('secret'))
    waiting[1]!.resolve(rows())
    await server.clock.settle()
    t.equal(client.socket.sent.length, 1)
    const answers = client.answers()
    t.same(answers.map(({ stream }) => stream).sort(), [0, 1, 2, 3])
    const incident = answers.find(({ stream }) => stream === 2)!.response
    t.match(incident, { kind: 'error', error: { code: 'SERVER_ERROR' } })
    t.notMatch(JSON.stringify(incident), /secret/)
    t.equal(server.log.lines.filter(({ level }) => level === 'ERROR').length, 1)
    waiting[4]!.resolve({ kind: 'void' })
    await server.clock.settle()
    t.match(client.only(), { stream: 4 })
    server.processor.reply = () => {
      throw new TypeError('secret')
    }
    t.match(client.ask(9, client.query('X')).response, { kind: 'error', error: { code: 'SERVER_ERROR' } })
    t.equal(server.listener.counters.incidents, 2)
    // Bytes of ours that end early are not the client's: a protocol error would make it close the connection.
    server.processor.reply = () => {
      throw new BytesError('4 bytes expected')
    }
    t.match(client.ask(9, client.query('X')).response, { kind: 'error', error: { code: 'SERVER_ERROR' } })
    t.equal(server.listener.counters.incidents, 3)
    server.processor.reply = () => ({ kind: 'void' })
    t.match(client.ask(9, client.query('X')).response, { kind: 'void' })
  })

  t.test(`v${version}: events for those who registered`, async (t) => {
    const server = createTestServer()
    const client = started(server, version)
    const deaf = started(server, version)
    t.match(client.ask(1, { kind: 'register', events: ['SCHEMA_CHANGE', 'STATUS_CHANGE'] }).response, { kind: 'ready' })
    const change = { change: 'DROPPED', target: 'TYPE', keyspace: 'ks', name: 'u' } as const
    const address = Buffer.from([127, 0, 0, 2])
    server.listener.events.broadcast({ kind: 'SCHEMA_CHANGE', change })
    server.listener.events.broadcast({ kind: 'STATUS_CHANGE', change: 'DOWN', address, port: 9042 })
    server.listener.events.broadcast({ kind: 'TOPOLOGY_CHANGE', change: 'NEW_NODE', address, port: 9042 })
    await server.clock.settle()
    t.equal(client.socket.sent.length, 1)
    t.match(client.answers(), [
      { stream: -1, response: { kind: 'event', event: { kind: 'SCHEMA_CHANGE', change } } },
      {
        stream: -1,
        response: { kind: 'event', event: { kind: 'STATUS_CHANGE', change: 'DOWN', address, port: 9042 } },
      },
    ])
    t.equal(deaf.answers().length, 0)
    client.socket.destroy()
    t.equal(server.listener.events.count('SCHEMA_CHANGE'), 0)
  })

  t.test(`v${version}: answers of a turn are one write, but much is written at once`, (t) => {
    const server = createTestServer()
    const client = started(server, version)
    const other = started(server, version)
    client.socket.endTurn = other.socket.endTurn = () => {}
    server.processor.reply = (text) => rows(Number(text))
    for (let stream = 0; stream < 3; stream++) client.send(stream, client.query('100'))
    other.send(1, other.query('100'))
    t.equal(client.socket.sent.length, 0)
    server.clock.endTurn()
    t.equal(client.socket.sent.length, 1)
    t.equal(client.answers().length, 3)
    t.equal(other.answers().length, 1)
    for (let stream = 0; stream < 3; stream++) client.send(stream, client.query('50000'))
    t.equal(client.socket.sent.length, 1)
    server.clock.endTurn()
    t.equal(client.answers().length, 3)
    t.end()
  })

  t.test(`v${version}: who was alone in the last turn need not wait for the end of this one`, (t) => {
    const server = createTestServer()
    const client = started(server, version)
    const other = started(server, version)
    client.socket.endTurn = other.socket.endTurn = () => {}
    for (let stream = 0; stream < 2; stream++) other.send(stream, other.query('X'))
    t.equal(other.socket.sent.length, 2)
    client.send(1, client.query('X'))
    other.send(1, other.query('X'))
    t.same([client.socket.sent.length, other.socket.sent.length], [0, 2])
    server.clock.endTurn()
    t.same([client.answers().length, other.answers().length], [1, 3])
    t.end()
  })

  t.test(`v${version}: what the socket has not taken stays as it was`, (t) => {
    const server = createTestServer()
    const client = started(server, version)
    client.socket.isStuck = true
    server.processor.reply = (text) => rows(Number(text))
    const sizes = [100, 101, 40_000, 102]
    for (const [stream, size] of sizes.entries()) client.send(stream, client.query(String(size)))
    t.equal(client.socket.sent.length, sizes.length)
    t.same(
      client.answers().map(({ response }) => response.kind === 'rows' && response.rowBytes.length),
      sizes.map((size) => size + 8),
    )
    t.end()
  })

  t.test(`v${version}: large answers, and many in one chunk`, (t) => {
    const server = createTestServer()
    const client = started(server, version)
    const sizes = [1, 100, 131_000, 131_071, 131_072, 400_000, 5]
    server.processor.reply = (text) => rows(Number(text))
    for (const [stream, size] of sizes.entries()) client.send(stream, client.query(String(size)))
    t.same(
      client.answers().map(({ response }) => response.kind === 'rows' && response.rowBytes.length),
      sizes.map((size) => size + 8),
    )
    t.end()
  })
}

for (const name of ['lz4', 'snappy'] as const) {
  for (const version of name === 'lz4' ? [3, 4, 5] : [3, 4]) {
    t.test(`v${version}: ${name} both ways`, async (t) => {
      const compression = await loadCompression(name)
      const server = createTestServer()
      const client = new TestClient(server, version)
      client.send(0, {
        kind: 'startup',
        options: new Map([
          ['CQL_VERSION', '3.0.0'],
          ['COMPRESSION', name],
        ]),
      })
      // The library is loaded now.
      while (client.socket.sent.length === 0) await new Promise((resolve) => setImmediate(resolve))
      t.match(client.started(compression).response, { kind: 'ready' })
      const text = 'SELECT '.repeat(1000)
      server.processor.reply = () => rows(300_000)
      client.send(1, client.query(text))
      const sent = client.socket.sent.reduce((sum, { length }) => sum + length, 0)
      t.ok(sent < 30_000, `${sent} bytes`)
      const answer = client.only()
      t.equal(answer.response.kind === 'rows' && answer.response.rowBytes.length, 300_008)
      t.equal(server.processor.calls.at(-1)![1], text)
      server.processor.reply = () => ({ kind: 'void' })
      t.match(client.ask(2, client.query('x')).response, { kind: 'void' })
    })
  }
}
