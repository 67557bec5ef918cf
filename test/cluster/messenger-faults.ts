/** Messengers on a simulated network that fails in every way: each request ends once, in time, with the truth; nothing grows; all heals. */
import t from 'tap'
import type { NodeMessenger } from '../../cluster/internode/node-messenger.ts'
import type { InternodeSettings } from '../../cluster/internode/settings.ts'
import { Verb } from '../../cluster/internode/verbs.ts'
import { Kernel, type SimulatedProcess } from '../../lib/runtime/simulated/kernel.ts'
import { SimulatedNetwork, type SimulatedNetworkOptions } from '../../lib/runtime/simulated/network.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { answerText, ask, createMemoryLog, openTestMessenger } from '../support/messengers.ts'
import { createDice, testSeed } from '../support/random.ts'

const A = '10.0.0.1'
const B = '10.0.0.2'
const AT_B = `${B}:7000`

interface World {
  readonly kernel: Kernel
  readonly network: SimulatedNetwork
  readonly a: NodeMessenger
  b: NodeMessenger
  process: SimulatedProcess
  readonly log: string[]
  startB(): Promise<void>
  killB(how: 'killed' | 'power'): void
  run(ms: number): Promise<void>
  /** Asks, and says how it ended and after how many ms of virtual time. */
  ask(text: string, timeoutMs?: number): Promise<{ readonly text: string; readonly ms: number }>
}

async function createWorld(
  seed = 1,
  options: Partial<SimulatedNetworkOptions> = {},
  settings: Partial<InternodeSettings> = {},
): Promise<World> {
  const random = createSeededRandom(seed)
  const kernel = new Kernel({ random, hop: setImmediate })
  const network = new SimulatedNetwork({ clock: kernel.clock, random, ...options })
  const log = createMemoryLog()
  const processA = kernel.process('a')
  const doorA = network.attach(A, processA.clock)
  const a = await openTestMessenger({ network: doorA, clock: processA.clock, endpoint: `${A}:7000`, log, settings })
  let starts = 1
  const world: Partial<World> & Omit<World, 'b' | 'process'> = {
    kernel,
    network,
    a,
    log: log.lines,
    async startB() {
      const process = kernel.process('b')
      const network = world.network.attach(B, process.clock)
      world.process = process
      world.b = await openTestMessenger({
        network,
        clock: process.clock,
        endpoint: AT_B,
        seed: ++starts,
        log,
        settings,
      })
      world.b.handle(Verb.READ, ({ payload }) => Buffer.from(`${payload}!`))
      world.b.handle(Verb.TRUNCATE, () => new Promise(() => {}))
    },
    killB(how) {
      network.detach(B, how)
      world.process!.kill()
    },
    run: (ms) => kernel.run(kernel.nowMs + ms),
    async ask(text, timeoutMs = 2_000) {
      const startedMs = kernel.nowMs
      let ended = ''
      void ask(a, AT_B, text === 'silence' ? Verb.TRUNCATE : Verb.READ, Buffer.from(text), timeoutMs).then(
        (outcome) => {
          ended = answerText(outcome)
          kernel.stop()
        },
      )
      while (ended === '') await kernel.run(startedMs + 60_000)
      return { text: ended, ms: kernel.nowMs - startedMs }
    },
  }
  await world.startB()
  return world as World
}

t.test('a process that is killed, and comes back', async (t) => {
  const world = await createWorld()
  t.equal((await world.ask('x')).text, 'x!')
  const waiting = ask(world.a, AT_B, Verb.TRUNCATE, Buffer.alloc(1), 60_000)
  await world.run(5_000)
  world.killB('killed')
  await world.run(100)
  t.equal(answerText(await waiting), 'reason 2', 'soon told that nobody will answer')
  const refused = await world.ask('x')
  t.equal(refused.text, 'reason 5')
  t.ok(refused.ms < 100, `${refused.ms} ms`)
  await world.run(10_000)
  await world.startB()
  const back = await world.ask('x')
  t.equal(back.text, 'x!', 'and served when it is back')
})

t.test('a machine without power: silence is noticed', async (t) => {
  const world = await createWorld()
  t.equal((await world.ask('x')).text, 'x!')
  world.killB('power')
  const late = await world.ask('x', 1_000)
  t.equal(late.text, 'reason 2', 'it was sent')
  t.ok(late.ms >= 1_000 && late.ms <= 1_050, `${late.ms} ms`)
  await world.run(12_000)
  t.match(world.log.join('\n'), /10\.0\.0\.2:7000 \(small\) is silent, the connection is given up/)
  t.equal(world.a.counts().peers[0]!.lanes.small.connected, false)
  const unsent = await world.ask('x', 1_000)
  t.equal(unsent.text, 'reason 5', 'it could not be sent')
  await world.startB()
  await world.run(5_000)
  t.equal((await world.ask('x')).text, 'x!')
})

t.test('one way is blocked', async (t) => {
  for (const [from, to] of [
    [A, B],
    [B, A],
  ] as const) {
    const world = await createWorld()
    t.equal((await world.ask('x')).text, 'x!')
    world.network.link(from, to).block()
    t.equal((await world.ask('x', 500)).text, 'reason 2')
    await world.run(30_000)
    world.network.link(from, to).unblock()
    await world.run(40_000)
    t.equal((await world.ask('x')).text, 'x!', `${from} to ${to}`)
  }
})

t.test('a process that stands still is not blamed on the others', async (t) => {
  const world = await createWorld()
  t.equal((await world.ask('x')).text, 'x!')
  world.process.pause()
  t.equal((await world.ask('x', 1_000)).text, 'reason 2')
  await world.run(5_000)
  world.process.resume()
  await world.run(100)
  t.equal((await world.ask('x')).text, 'x!')
  t.same(world.log, [], 'no connection was given up')
})

t.test('who does not read: what waits is bounded, expires, and goes on when he reads', async (t) => {
  const queueBytesMax = 1024 * 1024
  const world = await createWorld(1, {}, { queueBytesMax, silenceMs: 60_000 })
  t.equal((await world.ask('x')).text, 'x!')
  world.process.pause()
  const payload = Buffer.alloc(10_000, 'x')
  const outcomes = new Map<string, number>()
  for (let i = 0; i < 400; i++) {
    void ask(world.a, AT_B, Verb.READ, payload, 3_000).then((outcome) => {
      const text = 'answer' in outcome ? 'answer' : answerText(outcome)
      outcomes.set(text, (outcomes.get(text) ?? 0) + 1)
    })
    await world.run(1)
    const { pendingBytes } = world.a.counts().peers[0]!.lanes.small
    if (pendingBytes > queueBytesMax) t.fail(`${pendingBytes} bytes wait`)
  }
  await world.run(100)
  t.ok(outcomes.get('reason 5')! > 200, 'those beyond the bound fail at once')
  await world.run(6_000)
  t.equal(outcomes.get('reason 5')! + outcomes.get('reason 2')!, 400, 'the others when their time is up')
  t.ok(outcomes.get('reason 2')! >= 26, 'what the system had taken may have been done')
  t.ok(world.a.counts().peers[0]!.lanes.small.pendingBytes < 600_000, 'what expired does not wait any more')
  t.equal(world.a.counts().waiting, 0)
  world.process.resume()
  await world.run(1_000)
  t.equal((await world.ask('x')).text, 'x!')
  t.equal(world.a.counts().peers[0]!.lanes.small.pendingBytes, 0)
})

t.test('an answer for an earlier run is not given to a later one', async (t) => {
  const world = await createWorld()
  let release: (() => void) | null = null
  world.b.handle(Verb.MUTATION, () => new Promise((resolve) => (release = () => resolve(Buffer.from('late')))))
  void ask(world.a, AT_B, Verb.MUTATION, Buffer.alloc(1), 60_000)
  await world.run(100)
  // The same address, another run: the answer must not go there.
  void world.a.close()
  await world.run(1_000)
  world.network.detach(A, 'killed')
  const process = world.kernel.process('a again')
  const network = world.network.attach(A, process.clock)
  const again = await openTestMessenger({ network, clock: process.clock, endpoint: `${A}:7000`, seed: 9 })
  let greeted = false
  void ask(again, AT_B, Verb.READ, Buffer.alloc(1)).then(() => (greeted = true))
  await world.run(1_000)
  t.equal(greeted, true)
  const before = world.b.counts().peers[0]!.lanes.small.sent
  release!()
  await world.run(1_000)
  t.equal(world.b.counts().peers[0]!.lanes.small.sent, before)
})

t.test('who is busy with too much says so', async (t) => {
  const world = await createWorld(1, {}, { servingMax: 3, servingBytesMax: 1_000 })
  const release: (() => void)[] = []
  world.b.handle(Verb.MUTATION, () => new Promise((resolve) => release.push(() => resolve(undefined))))
  const outcomes: string[] = []
  const ask1 = async (bytes: number): Promise<void> => {
    void ask(world.a, AT_B, Verb.MUTATION, Buffer.alloc(bytes)).then((outcome) => outcomes.push(answerText(outcome)))
    await world.run(50)
  }
  await ask1(5_000)
  t.same(outcomes, [], 'one is always served')
  await ask1(10)
  t.same(outcomes, ['reason 0'], 'too many bytes')
  release.pop()!()
  await world.run(50)
  for (let i = 0; i < 4; i++) await ask1(10)
  t.same(outcomes, ['reason 0', '', 'reason 0'], 'too many requests')
  for (const one of release) one()
  await world.run(50)
  t.equal(outcomes.length, 6)
  t.equal(world.b.counts().serving, 0)
})

t.test('closing ends every request, and leaves nothing behind', async (t) => {
  const world = await createWorld()
  t.equal((await world.ask('x')).text, 'x!')
  const sent = ask(world.a, AT_B, Verb.TRUNCATE, Buffer.alloc(1), 60_000)
  const elsewhere = ask(world.a, '10.0.0.9:7000', Verb.READ, Buffer.alloc(1), 60_000)
  await world.run(50)
  const closed = world.a.close()
  t.equal(answerText(await sent), 'reason 2')
  await world.run(1_000)
  t.equal(answerText(await elsewhere), 'reason 5')
  await closed
  await world.a.close()
  const late = ask(world.a, AT_B, Verb.READ, Buffer.alloc(1), 60_000)
  await world.run(10)
  t.equal(answerText(await late), 'reason 5')
  t.equal(world.a.send(AT_B, Verb.READ, Buffer.alloc(1)), false)
  await world.run(1_000)
  t.equal(world.network.connections(A), 0)
})

t.test('a storm of resets, fragments and losses', async (t) => {
  const seed = testSeed()
  t.comment(`TEST_SEED=${seed}`)
  const dice = createDice(seed)
  const conditions = { resetChance: 0.02, lossChance: 0.05 }
  const world = await createWorld(seed, { fragmentChance: 0.3, conditions })
  const outcomes: string[] = []
  let asked = 0
  for (let round = 0; round < 150; round++) {
    for (let i = dice.int(4); i >= 0; i--) {
      const text = `${asked++} `.repeat(dice.chance(0.05) ? 20_000 : 1 + dice.int(20))
      void ask(world.a, AT_B, Verb.READ, Buffer.from(text), 1_000).then((outcome) => {
        const got = answerText(outcome)
        if ('answer' in outcome && got !== `${text}!`) t.fail(`${text.slice(0, 20)} was answered ${got.slice(0, 20)}`)
        outcomes.push('answer' in outcome ? 'answered' : got)
      })
    }
    await world.run(dice.int(60))
  }
  await world.run(5_000)
  t.equal(outcomes.length, asked, 'each ended, and once')
  t.ok(outcomes.filter((outcome) => outcome === 'answered').length > asked / 10)
  t.same(new Set(outcomes.filter((text) => !['answered', 'reason 2', 'reason 5'].includes(text))), new Set())
  t.equal(world.a.counts().waiting, 0)
  t.equal(world.b.counts().serving, 0)
  world.network.link(A, B).conditions.resetChance = 0
  world.network.link(B, A).conditions.resetChance = 0
  await world.run(5_000)
  t.equal((await world.ask('x', 10_000)).text, 'x!')
})
