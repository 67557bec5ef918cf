/** Hinted handoff between nodes of a simulated world: what is kept, for how long, and how it reaches the node that was away. */
import t from 'tap'
import type { LivenessChange } from '../../cluster/gossip/liveness.ts'
import { HintedHandoff, type HintedHandoffOptions, type HintSettings } from '../../cluster/hints/handoff.ts'
import { encodeStandInHead } from '../../cluster/hints/messages.ts'
import { HintReceiver } from '../../cluster/hints/receiver.ts'
import { Verb } from '../../cluster/internode/verbs.ts'
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import { openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { Kernel, type WallFaults } from '../../lib/runtime/simulated/kernel.ts'
import { SimulatedNetwork } from '../../lib/runtime/simulated/network.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { answerText, ask, createMemoryLog, hostIdOf, openTestMessenger } from '../support/messengers.ts'

const B = hostIdOf(2)
const HOUR_MS = 3_600_000

const SETTINGS: HintSettings = {
  enabled: true,
  windowMs: 3 * HOUR_MS,
  throttleBytes: 0,
  fileBytesMax: 4_096,
  hostBytesMax: 1024 * 1024,
}

/** A mutation without rows: table, position, a key. */
function mutation(key: string, table = 1, positionByte = 0): Buffer {
  const bytes = Buffer.alloc(26 + key.length)
  bytes.fill(table, 0, 16)
  bytes[16] = positionByte
  bytes.writeUInt16BE(key.length, 24)
  bytes.write(key, 26)
  return bytes
}

function standIn(hostId: string, writtenAt: number, one: Buffer): Buffer[] {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(one.length)
  return [encodeStandInHead(hostId, writtenAt), length, one]
}

interface Settled<T> {
  value?: T
  error?: unknown
}

class World {
  readonly kernel: Kernel
  readonly log = createMemoryLog()
  readonly disk: SimulatedDisk = openSimulatedDisk()
  readonly applied: string[] = []
  readonly gcGrace = new Map<number, number>([[1, 864_000]])
  /** What the node that was away says to a key, instead of taking it. */
  readonly refusals = new Map<string, number>()
  endpoint: string | null | undefined
  wall!: WallFaults
  isAlive = false
  handoff!: HintedHandoff
  options!: HintedHandoffOptions
  network!: SimulatedNetwork
  #change: LivenessChange | null = null

  constructor() {
    this.kernel = new Kernel({ random: createSeededRandom(1), hop: setImmediate })
  }

  async open(settings: Partial<HintSettings> = {}, directory: string | null = '/hints'): Promise<void> {
    const { kernel } = this
    const random = createSeededRandom(1)
    const network = new SimulatedNetwork({ clock: kernel.clock, random })
    this.network = network
    const [pa, pb] = [kernel.process('a'), kernel.process('b')]
    this.wall = pa.wall
    const [doorA, doorB] = [network.attach('10.0.0.1', pa.clock), network.attach('10.0.0.2', pb.clock)]
    const a = await openTestMessenger({ network: doorA, clock: pa.clock, endpoint: '10.0.0.1:7000' })
    const b = await openTestMessenger({ network: doorB, clock: pb.clock, endpoint: '10.0.0.2:7000', seed: 2 })
    this.endpoint = b.self.endpoint
    const apply = (mutations: readonly Buffer[], writtenAt: number): undefined => {
      const key = mutations[0]!.toString('latin1', 26)
      const reason = this.refusals.get(key)
      if (reason !== undefined) throw new ReplicaFailure('', reason, '')
      this.applied.push(`${key} ${writtenAt}`)
    }
    this.options = {
      clock: pa.clock,
      random,
      log: this.log,
      disk: this.disk,
      directory,
      settings: { ...SETTINGS, ...settings },
      messenger: a,
      liveness: {
        isAlive: (hostId) => hostId !== B || this.isAlive,
        listen: (change) => {
          this.#change = change
          return { [Symbol.dispose]: () => {} }
        },
      },
      endpointOf: () => this.endpoint,
      gcGraceSeconds: (table) => this.gcGrace.get(table.charCodeAt(0)) ?? null,
    }
    this.handoff = await HintedHandoff.open(this.options)
    new HintReceiver(apply, this.handoff).register(b)
    this.messenger = b
  }

  messenger!: Awaited<ReturnType<typeof openTestMessenger>>

  async reopen(): Promise<void> {
    const closed = this.handoff.close()
    await this.settle(closed)
    this.handoff = await HintedHandoff.open(this.options)
  }

  setAlive(isAlive: boolean): void {
    this.isAlive = isAlive
    this.#change!(B, isAlive)
  }

  run(ms: number): Promise<void> {
    return this.kernel.run(this.kernel.nowMs + ms)
  }

  async settle<T>(promise: Promise<T> | T): Promise<Settled<T>> {
    let result: Settled<T> | null = null
    Promise.resolve(promise).then(
      (value) => (result = { value }),
      (error) => (result = { error }),
    )
    for (let turn = 0; result === null && turn < 1_000; turn++) await this.run(5)
    return result!
  }

  async store(...keys: string[]): Promise<void> {
    for (const key of keys) {
      if (!this.handoff.mayStore(B)) throw new Error(`${key} may not be stored`)
      const { error } = await this.settle(this.handoff.store(B, mutation(key), 1_000 + Number(key)))
      if (error) throw error
    }
  }
}

for (const directory of ['/hints', null])
  t.test(`kept ${directory ? 'on disk' : 'in memory'}, sent when the node is back, once`, async (t) => {
    const world = new World()
    await world.open({}, directory)
    const keys = Array.from({ length: 300 }, (_, i) => `${i}`)
    await world.store(...keys)
    await world.run(60_000)
    t.same(world.applied, [], 'nothing is sent to who is away')
    if (directory) await world.reopen()
    world.setAlive(true)
    await world.run(5_000)
    t.same(
      world.applied,
      keys.map((key) => `${key} ${1_000 + Number(key)}`),
      'all, in order',
    )
    t.equal(world.handoff.counts().hosts[0]!.bytes, 0)
    t.equal(world.handoff.counts().sent, 300)
    t.match(world.log.lines.at(-1), 'Finished hinted handoff of 300 hints to 10.0.0.2:7000')
    await world.run(60_000)
    t.equal(world.applied.length, 300)
    t.same(
      [...world.disk.files().keys()].filter((name) => name.endsWith('.hints')),
      [],
    )
  })

t.test('the node goes away again in the middle', async (t) => {
  const world = new World()
  await world.open({ throttleBytes: 20_000 })
  const keys = Array.from({ length: 2_000 }, (_, i) => `${i}`)
  for (const key of keys) void world.handoff.store(B, mutation(key), 1)
  await world.run(1_000)
  world.setAlive(true)
  await world.run(1_500)
  world.setAlive(false)
  await world.run(20_000)
  const first = world.applied.length
  t.ok(first > 0 && first < 1_500, `${first} were sent`)
  await world.reopen()
  world.setAlive(true)
  await world.run(30_000)
  t.equal(new Set(world.applied).size, 2_000, 'none is missing')
  t.ok(world.applied.length <= 2_000 + first, 'those of a file that was not done are sent again')
})

t.test('throttle', async (t) => {
  const world = new World()
  await world.open({ throttleBytes: 10_000 })
  for (let i = 0; i < 1_000; i++) void world.handoff.store(B, mutation(`${i}`.padStart(88)), 1)
  await world.run(1_000)
  world.setAlive(true)
  const beganMs = world.kernel.nowMs
  while (world.applied.length < 1_000) await world.run(100)
  const seconds = (world.kernel.nowMs - beganMs) / 1_000
  // 100 KB and headers; the last batch is sent without a wait after it.
  t.ok(seconds > 8 && seconds < 16, `${seconds} s`)
})

t.test('the window', async (t) => {
  const world = new World()
  await world.open()
  await world.store('1')
  await world.run(2.9 * HOUR_MS)
  t.equal(world.handoff.mayStore(B), true)
  await world.run(0.2 * HOUR_MS)
  t.equal(world.handoff.mayStore(B), false)
  t.equal(world.handoff.mayStore(hostIdOf(3)), true, 'who is there')
  t.equal(world.handoff.counts().dropped, 1)
  t.match(world.log.lines.at(-1), /No more hints are kept for .*2: it must be repaired/)
  t.equal(world.handoff.ledger.ranges(B, 'any'), 'ffffffffffffffff')
  await world.reopen()
  t.equal(world.handoff.mayStore(B), false, 'a restart does not begin it anew')
  t.equal(world.handoff.ledger.ranges(B, 'any'), 'ffffffffffffffff', 'the ledger is kept')
  world.setAlive(true)
  await world.run(2_000)
  t.same(world.applied, ['1 1001'], 'what was kept is sent')
  world.setAlive(false)
  t.equal(world.handoff.mayStore(B), true)
  world.handoff.isEnabled = false
  t.equal(world.handoff.mayStore(B), false)
})

t.test('the window by a wall clock that was moved on', async (t) => {
  const world = new World()
  await world.open()
  world.setAlive(false)
  world.wall.skewMicros += 2.9 * HOUR_MS * 1000
  t.equal(world.handoff.mayStore(B), true)
  world.wall.skewMicros += 0.2 * HOUR_MS * 1000
  t.equal(world.handoff.mayStore(B), false, 'nothing was kept for it yet')
  world.setAlive(true)
  world.setAlive(false)
  world.wall.skewMicros -= 20 * HOUR_MS * 1000
  await world.run(3.1 * HOUR_MS)
  t.equal(world.handoff.mayStore(B), false, 'one that is set back makes it no longer')
})

t.test('no room', async (t) => {
  const world = new World()
  await world.open({ hostBytesMax: 2_000 })
  let stored = 0
  while (world.handoff.mayStore(B)) await world.store(`${stored++}`)
  t.ok(stored > 20 && stored < 50, `${stored}`)
  world.disk.onOperation = (operation, path) => {
    if (operation === 'write' && path.endsWith('.hints')) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
  }
  const other = hostIdOf(3)
  const { error } = await world.settle(world.handoff.store(other, mutation('x', 1, 0x80), 1))
  t.match(error, /a hint could not be kept/)
  t.equal(world.handoff.ledger.ranges(other, '01010101-0101-0101-0101-010101010101'), '0000000080000000')
  t.equal(world.handoff.ledger.ranges(other, '02020202-0101-0101-0101-010101010101'), null)
})

t.test('hints that are not to be sent', async (t) => {
  const world = new World()
  await world.open()
  world.gcGrace.set(2, 3_600)
  world.gcGrace.set(3, 864_000)
  await world.store('1')
  for (const table of [2, 3]) await world.settle(world.handoff.store(B, mutation('x', table), 1))
  await world.settle(world.handoff.store(B, mutation('x', 9), 1))
  t.equal(world.handoff.counts().stored, 3, 'of an unknown table none is kept')
  await world.run(1.1 * HOUR_MS)
  world.gcGrace.delete(3)
  world.setAlive(true)
  await world.run(2_000)
  t.same(world.applied, ['1 1001'], 'gc_grace is over for one, the table gone for the other')
  t.equal(world.handoff.counts().expired, 2)
  world.setAlive(false)
  await world.store('2')
  world.endpoint = undefined
  await world.run(30_000)
  t.ok(world.handoff.counts().hosts[0]!.bytes > 0, 'nobody knows yet who is in the ring')
  world.endpoint = null
  await world.run(30_000)
  t.equal(world.handoff.counts().hosts[0]!.bytes, 0)
  t.match(world.log.lines.at(-1), /are dropped: it is no node of this cluster any more/)
})

t.test('what the node does not take', async (t) => {
  const world = new World()
  await world.open()
  await world.store('1', '2', '3', '4')
  world.refusals.set('2', FailureReason.UNKNOWN)
  world.refusals.set('3', FailureReason.TIMEOUT)
  world.setAlive(true)
  await world.run(15_000)
  t.same(world.applied, ['1 1001', '4 1004'], 'does not keep it from the rest')
  t.ok(world.handoff.counts().hosts[0]!.bytes > 0)
  world.refusals.clear()
  await world.run(15_000)
  t.same(world.applied, ['1 1001', '4 1004', '2 1002'], 'is sent again later; what was truncated since is not')
  t.equal(world.handoff.counts().hosts[0]!.bytes, 0)
})

t.test('a node that leaves hands its hints on: they are sent by another, and are as old as they were', async (t) => {
  const world = new World()
  await world.open()
  const keys = Array.from({ length: 600 }, (_, i) => `${i}`)
  await world.store(...keys)
  const { kernel, options } = world
  const other = kernel.process('c')
  const messenger = await openTestMessenger({
    network: world.network.attach('10.0.0.3', other.clock),
    clock: other.clock,
    endpoint: '10.0.0.3:7000',
    seed: 3,
  })
  t.equal((await world.settle(world.handoff.handOn(messenger.self.endpoint))).value, false, 'nobody takes them there')
  const keeper = await HintedHandoff.open({
    ...options,
    messenger,
    clock: other.clock,
    disk: openSimulatedDisk(),
    // What it takes over is not its own decision.
    settings: { ...SETTINGS, enabled: false },
  })
  new HintReceiver(() => undefined, keeper).register(messenger)
  const { oldestMs } = world.handoff.counts().hosts[0]!
  await world.run(60_000)
  t.equal((await world.settle(world.handoff.handOn(messenger.self.endpoint))).value, true)
  t.equal(world.handoff.counts().hosts[0]!.bytes, 0)
  t.equal(keeper.counts().hosts[0]!.oldestMs, oldestMs)
  await world.settle(world.handoff.close())
  world.isAlive = true
  await world.run(15_000)
  t.same(
    world.applied,
    keys.map((key) => `${key} ${1_000 + Number(key)}`),
  )
  t.equal(keeper.counts().hosts[0]!.bytes, 0)
  await world.settle(keeper.close())
})

t.test('standing in', async (t) => {
  const world = new World()
  await world.open()
  const from = await openTestMessenger({
    network: new SimulatedNetwork({ clock: world.kernel.clock, random: createSeededRandom(2) }).attach(
      '10.0.0.3',
      world.kernel.clock,
    ),
    clock: world.kernel.clock,
    endpoint: '10.0.0.3:7000',
  })
  new HintReceiver(() => undefined, world.handoff).register(from)
  const payload = standIn(B, 77, mutation('5'))
  const answer = await world.settle(ask(from, from.self.endpoint, Verb.STAND_IN, payload))
  t.equal(answerText(answer.value!), '')
  const garbage = await world.settle(ask(from, from.self.endpoint, Verb.STAND_IN, Buffer.alloc(20)))
  t.equal(answerText(garbage.value!), 'reason 0')
  world.handoff.isEnabled = false
  const refused = await world.settle(ask(from, from.self.endpoint, Verb.STAND_IN, payload))
  t.equal(answerText(refused.value!), 'reason 0')
  world.setAlive(true)
  await world.run(2_000)
  t.same(world.applied, ['5 77'])
})
