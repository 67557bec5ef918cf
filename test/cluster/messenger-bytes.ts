/**
 * What comes over the wire between nodes: cut in any way it means the same; damaged in any way it ends its own connection and nothing else.
 */
import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import t from 'tap'
import { decodeHello, encodeHello, encodeWelcome, GREETING_HEAD_BYTES } from '../../cluster/internode/handshake.ts'
import type { NodeMessenger } from '../../cluster/internode/node-messenger.ts'
import { Verb } from '../../cluster/internode/verbs.ts'
import { WireError } from '../../cluster/internode/wire.ts'
import type { Network, Socket } from '../../lib/runtime/runtime.ts'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { FakeSocket } from '../support/fake-socket.ts'
import { createMemoryLog, hostIdOf, openTestMessenger } from '../support/messengers.ts'
import { forAll } from '../support/random.ts'

const TARGET = '192.0.2.2:7000'
const clock = createSimulatedClock()

/** Connects to what the test answers; nobody connects to it. */
function networkTo(connected: (socket: FakeSocket) => void): Network {
  return {
    listen: async (address, port) => ({ address, port, close: async () => {} }),
    connect: async () => {
      const socket = new FakeSocket()
      connected(socket)
      return socket as Socket
    },
  }
}

const WELCOME = encodeWelcome({
  status: 0,
  version: 1,
  clusterName: 'Test Cluster',
  hostId: hostIdOf(2),
  incarnation: '0102030405060708',
})

/** All bytes that a messenger sends over its small lane: several segments with requests and messages of many sizes. */
async function record(compress: boolean): Promise<Buffer> {
  const sockets: FakeSocket[] = []
  const sender = await openTestMessenger({
    clock,
    network: networkTo((socket) => sockets.push(socket)),
    endpoint: '192.0.2.1:7000',
    more: { compresses: () => compress },
  })
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 3; i++) {
      const payload = Buffer.from(`${round}/${i} `.repeat(round * round * 40 + i))
      if (i === 2) sender.send(TARGET, Verb.MUTATION, payload)
      else sender.request(TARGET, Verb.READ, payload, 1_000, { replied() {}, failed() {} })
    }
    await clock.settle()
    if (round === 0) sockets[0]!.feed(WELCOME)
    await clock.settle()
  }
  const bytes = sockets[0]!.bytes
  await sender.close()
  return bytes
}

interface Receiver {
  readonly messenger: NodeMessenger
  readonly seen: string[]
  readonly log: string[]
}

async function openReceiver(): Promise<Receiver> {
  const log = createMemoryLog()
  const seen: string[] = []
  const messenger = await openTestMessenger({ clock, network: networkTo(() => {}), endpoint: TARGET, seed: 2, log })
  for (const verb of [Verb.READ, Verb.MUTATION])
    messenger.handle(verb, ({ payload }) => {
      seen.push(`${verb} ${payload}`)
      return undefined
    })
  return { messenger, seen, log: log.lines }
}

for (const compress of [false, true])
  t.test(`cut at every byte, ${compress ? 'packed' : 'plain'}`, async (t) => {
    const bytes = await record(compress)
    const { messenger, seen, log } = await openReceiver()
    const receive = (chunks: readonly Buffer[]): string[] => {
      const socket = new FakeSocket()
      messenger.accept(socket)
      for (const chunk of chunks) socket.feed(chunk)
      socket.destroy()
      return seen.splice(0)
    }
    const whole = receive([bytes])
    t.equal(whole.length, 12)
    let wrong = 0
    for (let cut = 1; cut < bytes.length; cut++) {
      const got = receive([bytes.subarray(0, cut), bytes.subarray(cut)])
      if (got.length !== 12 || got.some((line, i) => line !== whole[i])) wrong++
    }
    t.equal(wrong, 0)
    t.same(receive(Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))), whole, 'a byte at a time')
    t.same(log, [])
    t.equal(messenger.counts().connectionsIn, 0)
    await messenger.close()
  })

t.test('damaged, invented, repeated bytes', async (t) => {
  const recorded = [await record(false), await record(true)]
  const { messenger, seen, log } = await openReceiver()
  const expected = new Set<string>()
  for (const bytes of recorded) {
    const socket = new FakeSocket()
    messenger.accept(socket)
    socket.feed(bytes)
    socket.destroy()
    for (const line of seen.splice(0)) expected.add(line)
  }
  let refused = 0
  forAll(3_000, (dice) => {
    const source = dice.pick(recorded)
    let bytes = Buffer.from(source)
    const kind = dice.int(6)
    if (kind === 0) bytes = randomBytes(1 + dice.int(300))
    if (kind === 1) for (let n = 1 + dice.int(4); n > 0; n--) bytes[dice.int(bytes.length)] = dice.int(256)
    if (kind === 2) bytes.writeUInt32BE(dice.pick([0, 0xffffffff, 0x7fffffff, 65_536, 1]), dice.int(bytes.length - 4))
    if (kind === 3) {
      const at = dice.int(bytes.length)
      bytes = Buffer.concat([bytes.subarray(0, at), randomBytes(1 + dice.int(40)), bytes.subarray(at)])
    }
    if (kind === 4) {
      const at = dice.int(bytes.length)
      bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + dice.int(60))])
    }
    if (kind === 5) bytes = Buffer.concat([bytes, bytes.subarray(dice.int(bytes.length))])
    const socket = new FakeSocket()
    messenger.accept(socket)
    for (let at = 0; at < bytes.length; ) {
      const size = 1 + dice.int(dice.chance(0.5) ? 40 : bytes.length)
      socket.feed(bytes.subarray(at, at + size))
      at += size
    }
    if (socket.isClosed) refused++
    socket.destroy()
    for (const line of seen.splice(0)) if (!expected.has(line)) throw new Error(`nobody said ${line.slice(0, 80)}`)
    if (messenger.counts().connectionsIn !== 0) throw new Error('a connection is left')
  })
  t.ok(refused > 1_500, `${refused} connections were closed because of what they said`)
  t.notOk(log.some((line) => line.startsWith('ERROR')))
  const socket = new FakeSocket()
  messenger.accept(socket)
  socket.feed(recorded[0]!)
  t.equal(seen.length, 12, 'the next connection is served')
  await messenger.close()
})

t.test('memory is taken for what came, not for what was announced', async (t) => {
  const { messenger, log } = await openReceiver()
  const socket = new FakeSocket()
  messenger.accept(socket)
  const bytes = await record(false)
  const hello = GREETING_HEAD_BYTES + bytes.readUInt16BE(4)
  socket.feed(bytes.subarray(0, hello))
  const segment = Buffer.from(bytes.subarray(hello, hello + 32))
  segment.writeUInt32BE(1 << 30, 4)
  segment.writeUInt32BE(1 << 30, 8)
  segment.writeUInt32BE(crc32(segment.subarray(0, 28)), 28)
  socket.feed(segment)
  t.ok(socket.isClosed)
  t.match(log.at(-1), /segment of 1073741824 bytes/)
  await messenger.close()
})

t.test('greetings', async (t) => {
  const hello = {
    versionMin: 1,
    versionMax: 1,
    lane: 'small',
    clusterName: 'Test Cluster',
    hostId: hostIdOf(1),
    incarnation: '00ff00ff00ff00ff',
    endpoint: '192.0.2.1:7000',
    to: TARGET,
  } as const
  const encoded = encodeHello(hello)
  t.same(decodeHello(encoded.subarray(GREETING_HEAD_BYTES)), hello)
  const body = encoded.subarray(GREETING_HEAD_BYTES)
  for (let at = 0; at < body.length; at++) {
    const damaged = Buffer.from(body)
    damaged[at]! ^= 1 << (at % 8)
    t.throws(() => decodeHello(damaged), WireError)
  }
  const { messenger, log } = await openReceiver()
  const say = (greeting: Buffer): FakeSocket => {
    const socket = new FakeSocket()
    messenger.accept(socket)
    socket.feed(greeting)
    return socket
  }
  const cases: [Partial<Parameters<typeof encodeHello>[0]>, RegExp][] = [
    [{ clusterName: 'Other' }, /192\.0\.2\.1:7000 at .* refused: its cluster is 'Other', ours is 'Test Cluster'/],
    [{ clusterName: 'a\nb\u0007' }, /its cluster is 'a\?b\?'/],
    [{ versionMin: 2, versionMax: 9 }, /it speaks versions 2 to 9/],
    [{ to: '192.0.2.9:7000' }, /it looks for 192\.0\.2\.9:7000, we are 192\.0\.2\.2:7000/],
    [{ endpoint: 'nothing' }, /a greeting without an endpoint/],
  ]
  for (const [change, why] of cases) {
    const socket = say(encodeHello({ ...hello, ...change }))
    t.ok(socket.isClosed)
    t.match(log.pop(), why)
  }
  t.ok(say(Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n')).isClosed)
  t.match(log.pop(), /these are no words of ours/)
  const silent = say(encoded.subarray(0, 20))
  t.notOk(silent.isClosed)
  await clock.advance(3_100)
  t.ok(silent.isClosed)
  t.match(log.pop(), /does not say who it is/)
  t.equal(messenger.counts().refused, 7)
  await messenger.close()
})
