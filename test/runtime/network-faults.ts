/** What may go wrong between simulated hosts, and what each end hears of it. */
import t from 'tap'
import type { Network, Socket } from '../../lib/runtime/runtime.ts'
import { Kernel, type SimulatedProcess } from '../../lib/runtime/simulated/kernel.ts'
import { SimulatedNetwork, type SimulatedNetworkOptions } from '../../lib/runtime/simulated/network.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'

const A = '10.0.0.1'
const B = '10.0.0.2'

interface End {
  readonly socket: Socket
  text: string
  /** Undefined: it is open. */
  closed: Error | null | undefined
  drains: number
}

function watch(socket: Socket): End {
  const end: End = { socket, text: '', closed: undefined, drains: 0 }
  socket.on({
    data: (chunk) => {
      end.text += chunk.toString('latin1')
    },
    drain: () => {
      end.drains++
    },
    close: (error) => {
      if (end.closed !== undefined) throw new Error('closed twice')
      end.closed = error
    },
  })
  return end
}

interface Pair {
  readonly kernel: Kernel
  readonly network: SimulatedNetwork
  readonly processes: readonly [SimulatedProcess, SimulatedProcess]
  readonly doors: readonly [Network, Network]
  readonly a: End
  readonly b: End
  run(ms: number): Promise<void>
}

/** Two hosts with one connection, made by A. */
async function pair(options: Partial<SimulatedNetworkOptions> = {}, seed = 1): Promise<Pair> {
  const random = createSeededRandom(seed)
  const kernel = new Kernel({ random, hop: setImmediate })
  const network = new SimulatedNetwork({ clock: kernel.clock, random, ...options })
  const processes = [kernel.process('a'), kernel.process('b')] as const
  const doors = [network.attach(A, processes[0].clock), network.attach(B, processes[1].clock)] as const
  const ends: { a?: End; b?: End } = {}
  await doors[1].listen(B, 7000, (socket) => {
    ends.b ??= watch(socket)
  })
  doors[0].connect(B, 7000).then((socket) => {
    ends.a = watch(socket)
  })
  const run = (ms: number): Promise<void> => kernel.run(kernel.nowMs + ms)
  await run(5_000)
  return { kernel, network, processes, doors, a: ends.a!, b: ends.b!, run }
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')

t.test('a blocked way holds bytes back, the other way stays open', async (t) => {
  const { network, a, b, run } = await pair()
  network.link(A, B).block()
  a.socket.write(bytes('one'))
  b.socket.write(bytes('two'))
  await run(60_000)
  t.same([a.text, b.text], ['two', ''])
  network.link(A, B).unblock()
  await run(60_000)
  t.same([a.text, b.text], ['two', 'one'])
  t.same([a.closed, b.closed], [undefined, undefined])
})

t.test('a writer whose acknowledgements are lost has to wait though its bytes arrive', async (t) => {
  const { network, a, b, run } = await pair()
  network.link(B, A).block()
  let written = 0
  while (a.socket.write(Buffer.alloc(50_000))) {
    written += 50_000
    await run(100)
    if (written > 2 ** 24) break
  }
  t.ok(b.text.length > 0)
  t.equal(a.drains, 0)
  network.link(B, A).unblock()
  await run(60_000)
  t.equal(a.drains, 1)
  t.equal(b.text.length, written + 50_000)
})

t.test('loss and clogs delay, never reorder', async (t) => {
  const { network, a, b, run } = await pair({ conditions: { lossChance: 0.3, latencyMs: 20 }, fragmentChance: 0.5 })
  let expected = ''
  for (let i = 0; i < 300; i++) {
    expected += `${i},`
    a.socket.write(bytes(`${i},`))
    if (i === 100) network.link(A, B).clog(3_000)
    await run(3)
  }
  t.not(b.text, expected)
  await run(200_000)
  t.equal(b.text, expected)
})

t.test('breaks are heard at both ends, and what was under way may be gone', async (t) => {
  const { network, a, b, run } = await pair()
  a.socket.write(bytes('one'))
  network.reset(A, B)
  await run(100)
  t.match(a.closed, { code: 'ECONNRESET' })
  t.match(b.closed, { code: 'ECONNRESET' })
  t.equal(b.text, '')
  const broken = await pair({ conditions: { resetChance: 0.5 } })
  for (let i = 0; i < 20; i++) broken.a.socket.write(bytes('x'))
  await broken.run(100)
  t.match(broken.a.closed, { code: 'ECONNRESET' })
})

t.test('a killed process is heard of at once, a machine without power when it is back', async (t) => {
  const killed = await pair()
  killed.processes[1].kill()
  killed.network.detach(B, 'killed')
  await killed.run(100)
  t.equal(killed.a.closed, null)

  const { kernel, network, processes, doors, a, b, run } = await pair()
  processes[1].kill()
  network.detach(B, 'power')
  a.socket.write(bytes('one'))
  await run(60_000)
  t.equal(a.closed, undefined, 'nobody says anything')
  const refused = doors[0].connect(B, 7000).then(
    () => null,
    (error: Error) => error,
  )
  await run(200)
  network.attach(B, kernel.process('b again').clock)
  await run(60_000)
  t.match(a.closed, { code: 'ECONNRESET' })
  t.match(await refused, { code: 'ECONNREFUSED' })
  t.equal(b.text, '')
})

t.test('nobody answers an attempt to connect to a machine that is off', async (t) => {
  const { network, doors, run } = await pair()
  network.detach(B, 'power')
  const failed = doors[0].connect(B, 7000).then(
    () => null,
    (error: Error) => error,
  )
  await run(200_000)
  t.match(await failed, { code: 'ETIMEDOUT' })
})

t.test('a paused process reads later, and its peer has to wait', async (t) => {
  const { processes, a, b, run } = await pair()
  processes[1].pause()
  let written = 0
  while (a.socket.write(Buffer.alloc(50_000)) && written < 2 ** 24) written += 50_000
  await run(10_000)
  t.equal(b.text.length, 0)
  t.equal(a.drains, 0)
  processes[1].resume()
  await run(10_000)
  t.equal(b.text.length, written + 50_000)
  t.equal(a.drains, 1)
})

t.test('bytes that wait in the process are not copied yet', async (t) => {
  const { a, b, run } = await pair()
  b.socket.pause()
  while (a.socket.write(Buffer.alloc(100_000, 'a'))) await run(1)
  const late = Buffer.alloc(1_000, 'b')
  a.socket.write(late)
  late.fill('c')
  b.socket.resume()
  await run(1_000)
  t.match(b.text, /^a+c+$/)
})
