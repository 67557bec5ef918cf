/**
 * Hostile bytes against a listener: random ones, recorded requests mutated, cut off, repeated, with absurd lengths, in every version, with and
 * without segments and compression. Nothing may be thrown, stall, or spoil it for the next connection; a whole envelope is answered or its
 * connection closed. TEST_SEED=<n> repeats a run, FUZZ_FRAMES=<n> makes it longer.
 */
import t from 'tap'
import { RequestError } from '../../lib/base/errors.ts'
import type { StatementResult } from '../../lib/cql/result.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { type Compression, loadCompression } from '../../protocol/compression.ts'
import { HEADER_BYTES } from '../../protocol/envelope.ts'
import { HeaderFlag } from '../../protocol/opcodes.ts'
import { putSegmentHeader, putSegmentTrailer } from '../../protocol/segment.ts'
import { createTestServer, TestClient } from '../support/client.ts'
import { framesOf, goldenCases } from '../support/frames.ts'

const SEED = Number(process.env.TEST_SEED ?? 20_261_121)
const FRAMES = Number(process.env.FUZZ_FRAMES ?? 10_000)

const random = createSeededRandom(SEED)
const below = (limit: number): number => Math.floor(random.float() * limit)
const oneOf = <T>(list: readonly T[]): T => list[below(list.length)]!

/** Recorded requests by version, in plain. */
const recorded = new Map<number, Buffer[]>([3, 4, 5].map((version) => [version, []]))
for (const golden of goldenCases())
  for (const message of framesOf(golden)) {
    const hex = message.envelope ?? message.wire
    const isPlain = golden.compression === null && (message.envelope !== undefined || message.frames === undefined)
    if (message.from === 'client' && isPlain && hex.length < 8192)
      recorded.get(message.header.version)?.push(Buffer.from(hex, 'hex'))
  }

const LENGTHS = [0, -1, -2, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, -0x8000_0000, 16 * 1024 * 1024, 16 * 1024 * 1024 + 1]

/** Changes a body, and sets the header's length to what it then is. */
function mutated(envelope: Buffer): Buffer {
  let bytes = Buffer.from(envelope)
  for (let changes = 1 + below(3); changes > 0; changes--) {
    const at = HEADER_BYTES + below(Math.max(1, bytes.length - HEADER_BYTES))
    switch (below(7)) {
      case 0:
        if (at < bytes.length) bytes[at] = below(256)
        break
      case 1:
        if (at + 4 <= bytes.length) bytes.writeInt32BE(oneOf(LENGTHS), at)
        break
      case 2:
        if (at + 2 <= bytes.length) bytes.writeUInt16BE(oneOf(LENGTHS) & 0xffff, at)
        break
      case 3:
        bytes = bytes.subarray(0, Math.max(HEADER_BYTES, at))
        break
      case 4:
        bytes = Buffer.concat([bytes, random.fill(Buffer.alloc(below(40)))])
        break
      case 5:
        bytes[4] = below(oneOf([16, 256]))
        break
      case 6:
        bytes[1] = below(oneOf([32, 256]))
        break
    }
  }
  bytes.writeInt32BE(bytes.length - HEADER_BYTES, 5)
  return bytes
}

/** Breaks the outer shape too: what follows cannot be told apart any more. */
function broken(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  switch (below(5)) {
    case 0:
      copy[0] = below(256)
      return copy
    case 1:
      if (copy.length >= HEADER_BYTES) copy.writeInt32BE(oneOf(LENGTHS), 5)
      return copy
    case 2:
      return copy.subarray(0, below(copy.length))
    case 3:
      if (copy.length > 0) copy[below(copy.length)]! ^= 1 << below(8)
      return copy
    default:
      return random.fill(Buffer.alloc(1 + below(300)))
  }
}

/** A body that says it is compressed: it may be, or have been broken since. */
function compressed(envelope: Buffer, compression: Compression): Buffer {
  const body = Buffer.from(compression.compressBody(envelope.subarray(HEADER_BYTES)))
  if (body.length > 0 && below(2) === 0) body[below(body.length)] = below(256)
  if (body.length >= 4 && below(8) === 0) body.writeInt32BE(oneOf(LENGTHS), 0)
  const whole = Buffer.concat([envelope.subarray(0, HEADER_BYTES), body])
  whole[1]! |= HeaderFlag.COMPRESSED
  whole.writeInt32BE(body.length, 5)
  return whole
}

/** One or several segments around an envelope. */
function segments(payload: Buffer, compression: Compression | null): Buffer {
  const parts: Buffer[] = []
  const pieces = below(4) === 0 ? 1 + below(3) : 1
  const size = Math.max(1, Math.ceil(payload.length / pieces))
  for (let start = 0; start < payload.length; start += size) {
    const plain = payload.subarray(start, start + size)
    const packed = compression !== null && below(2) === 0 ? compression.compressBlock(plain) : null
    const sent = packed ?? plain
    const headerBytes = compression === null ? 6 : 8
    const segment = Buffer.alloc(headerBytes + sent.length + 4)
    const length = compression === null ? null : packed === null ? 0 : plain.length
    putSegmentHeader(segment, 0, sent.length, length, payload.length <= size)
    segment.set(sent, headerBytes)
    putSegmentTrailer(segment, headerBytes + sent.length, sent)
    parts.push(segment)
  }
  return Buffer.concat(parts)
}

const VOID: StatementResult = { kind: 'void' }
const ROWS: StatementResult = {
  kind: 'rows',
  metadata: { columns: [], id: Buffer.alloc(16) },
  rowCount: 0,
  rowBytes: Buffer.alloc(2000),
  pagingState: Buffer.alloc(10),
}

function reply(): StatementResult | Promise<StatementResult> {
  switch (below(6)) {
    case 0:
      return ROWS
    case 1:
      throw new RequestError('INVALID', 'no')
    case 2:
      throw new TypeError('a bug')
    case 3:
      return Promise.resolve(VOID)
    case 4:
      return Promise.reject(new RequestError('WRITE_FAILURE', 'no', { writeType: 'SIMPLE' }))
    default:
      return VOID
  }
}

function pushInPieces(client: TestClient, bytes: Buffer): void {
  if (below(3) > 0) {
    client.socket.receive(Buffer.from(bytes))
    return
  }
  const size = 1 + below(Math.max(1, bytes.length))
  for (let at = 0; at < bytes.length; at += size) client.socket.receive(Buffer.from(bytes.subarray(at, at + size)))
}

t.test('hostile bytes', async (t) => {
  t.comment(`TEST_SEED=${SEED}`)
  const compressions = [await loadCompression('lz4'), await loadCompression('snappy')]
  const server = createTestServer()
  server.processor.reply = reply
  // The libraries are loaded for the first who asks.
  for (const { name } of compressions) {
    const client = new TestClient(server, 4)
    client.send(0, {
      kind: 'startup',
      options: new Map([
        ['CQL_VERSION', '3.0.0'],
        ['COMPRESSION', name],
      ]),
    })
    while (client.socket.sent.length === 0) await new Promise((resolve) => setImmediate(resolve))
    client.socket.destroy()
  }

  let slowestMs = 0
  const unanswered: string[] = []
  for (let frame = 0; frame < FRAMES; ) {
    const version = oneOf([3, 4, 5])
    const compression = below(3) > 0 ? null : version === 5 ? compressions[0]! : oneOf(compressions)
    const client = new TestClient(server, version)
    const isStarted = below(5) > 0
    if (isStarted) client.startup(compression === null ? {} : { COMPRESSION: compression.name }, compression)
    const isFramed = isStarted && version === 5
    // What is whole is answered; a broken frame ends the connection's part in the test.
    for (let left = 1 + below(20); left > 0 && !client.socket.isEnded; left--) {
      frame++
      const envelope = mutated(oneOf(recorded.get(version)!))
      const before = performance.now()
      const isBroken = below(10) === 0
      let wire = envelope
      if (isFramed) wire = segments(envelope, compression)
      else if (isStarted && compression !== null && below(4) > 0) wire = compressed(envelope, compression)
      pushInPieces(client, isBroken ? broken(wire) : wire)
      slowestMs = Math.max(slowestMs, performance.now() - before)
      if (isBroken) break
      await server.clock.settle()
      if (client.socket.sent.length === 0 && !client.socket.isEnded)
        unanswered.push(`v${version} ${isStarted} ${envelope.toString('hex')}`)
      client.socket.taken()
      // Events may have been registered for, compression may have begun: a STARTUP among the mutated changes the connection.
      if (!isStarted) break
    }
    client.socket.destroy()
    if (frame % 50 === 0) {
      const next = new TestClient(server, oneOf([3, 4, 5]))
      t.match(next.startup().response, { kind: 'ready' })
      t.match(next.ask(1, { kind: 'options' }).response, { kind: 'supported' })
      next.socket.destroy()
    }
    server.processor.calls.length = 0
    server.log.lines.length = 0
  }
  t.same(unanswered.slice(0, 5), [])
  t.comment(`slowest ${slowestMs.toFixed(1)} ms`)
  t.equal(server.listener.connections.size, 0)
  t.equal(server.listener.requestBytes, 0)
  await server.listener.close(1)
  t.equal(server.clock.pendingTimers, 0)
})

t.test('a request in the smallest pieces takes linear time', (t) => {
  const server = createTestServer()
  const times = [100_000, 200_000, 400_000].map((size) => {
    const client = new TestClient(server, 4)
    client.startup()
    const wire = Buffer.alloc(HEADER_BYTES + size)
    wire.set([4, 0, 0, 1, 7])
    wire.writeInt32BE(size, 5)
    wire.write('\0\0\0\x01X\0\x01\0', HEADER_BYTES, 'latin1')
    // Of this process alone: others may have the processor in between.
    const before = process.cpuUsage()
    for (let at = 0; at < wire.length; at++) client.socket.receive(wire.subarray(at, at + 1))
    const { user, system } = process.cpuUsage(before)
    t.match(client.only().response, { kind: 'void' })
    client.socket.destroy()
    return (user + system) / 1_000
  })
  t.comment(times.map((ms) => ms.toFixed(0)).join(' '))
  t.ok(times[2]! < 12 * times[0]! + 50, 'four times the bytes, about four times the time')
  t.end()
})
