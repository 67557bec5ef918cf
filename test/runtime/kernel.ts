/** Virtual time over many processes: order, death, pauses, and clocks that are wrong. */
import t from 'tap'
import { EventQueue, type QueueEntry } from '../../lib/runtime/simulated/event-queue.ts'
import { Kernel } from '../../lib/runtime/simulated/kernel.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'

const createKernel = (seed = 1): Kernel => new Kernel({ random: createSeededRandom(seed), hop: setImmediate })

t.test('a queue gives what a sorted list would, with cancelled entries left out', (t) => {
  const random = createSeededRandom(7)
  const queue = new EventQueue<number>()
  let model: { atMs: number; id: number }[] = []
  const entries = new Map<number, QueueEntry<number>>()
  let id = 0
  for (let step = 0; step < 20_000; step++) {
    const dice = random.float()
    if (dice < 0.6) {
      const atMs = Math.floor(random.float() * 50)
      entries.set(++id, queue.push(atMs, id))
      model.push({ atMs, id })
    } else if (dice < 0.85 && model.length > 0) {
      const victim = model[Math.floor(random.float() * model.length)]!
      queue.cancel(entries.get(victim.id)!)
      queue.cancel(entries.get(victim.id)!)
      model = model.filter((other) => other !== victim)
    } else {
      const limitMs = random.float() * 50
      const first = model.reduce<(typeof model)[0] | null>(
        (best, one) => (best === null || one.atMs < best.atMs ? one : best),
        null,
      )
      const expected = first !== null && first.atMs <= limitMs ? first : null
      const taken = queue.take(limitMs)
      if (taken !== (expected?.id ?? null)) t.fail(`step ${step}: ${taken} instead of ${expected?.id}`)
      if (expected) {
        queue.cancel(entries.get(expected.id)!)
        model = model.filter((other) => other !== expected)
      }
    }
    if (queue.size !== model.length) t.fail(`step ${step}: ${queue.size} of ${model.length}`)
  }
  t.end()
})

t.test('promises run between two events, however long their chain', async (t) => {
  const kernel = createKernel()
  const { clock } = kernel.process('one')
  const seen: string[] = []
  clock.after(5, () => seen.push('later'))
  clock.after(5, () => seen.push('and later'))
  clock.after(1, async () => {
    for (let i = 0; i < 1_000; i++) await Promise.resolve()
    seen.push(`chain at ${clock.monotonicMs()}`)
    clock.soon(() => seen.push('soon'))
    clock.after(0, () => seen.push('at once'))
  })
  clock.after(2, () => seen.push('never'))[Symbol.dispose]()
  await kernel.run(4)
  t.same(seen, ['chain at 1', 'soon', 'at once'])
  t.equal(kernel.nowMs, 4)
  await kernel.run(10)
  t.same(seen.slice(3), ['later', 'and later'])
  t.equal(kernel.nowMs, 10)
  t.equal(kernel.pendingEvents, 0)
})

t.test('a paused process hears of everything afterwards, a dead one of nothing', async (t) => {
  const kernel = createKernel()
  const one = kernel.process('one')
  const seen: string[] = []
  one.clock.after(10, () => seen.push(`first ${one.clock.monotonicMs()}`))
  one.clock.after(20, () => seen.push(`second ${one.clock.monotonicMs()}`))
  const cancelled = one.clock.after(20, () => seen.push('never'))
  one.pause()
  kernel.clock.after(30, () => {
    cancelled[Symbol.dispose]()
    one.resume()
  })
  one.clock.after(40, () => seen.push('third'))
  await kernel.run(30)
  t.same(seen, ['first 30', 'second 30'])
  one.kill()
  one.clock.after(1, () => seen.push('never'))
  await kernel.run(100)
  t.same(seen, ['first 30', 'second 30'])
})

t.test('wall clocks go wrong, monotonic ones do not', async (t) => {
  const kernel = createKernel()
  const { clock, wall } = kernel.process('one')
  const start = clock.wallMicros()
  wall.driftMicros = 100
  await kernel.run(10_000)
  t.equal(clock.wallMicros() - start, 10_001_000)
  wall.skewMicros = -20_000_000
  t.equal(clock.wallMicros() - start, -9_999_000)
  wall.frozenAtMicros = clock.wallMicros()
  await kernel.run(20_000)
  t.equal(clock.wallMicros() - start, -9_999_000)
  wall.frozenAtMicros = null
  wall.skewMicros = wall.driftMicros = 0
  wall.strobe = { periodMs: 10, micros: 500 }
  const odd = new Set<number>()
  for (let ms = 20_000; ms < 20_100; ms += 10) {
    odd.add(clock.wallMicros() - start - clock.monotonicMs() * 1000)
    await kernel.run(ms + 10)
  }
  t.same(
    [...odd].sort((a, b) => a - b),
    [0, 500],
  )
  t.equal(clock.monotonicMs(), 20_100)
})

t.test('what an event throws ends the run, as it would end a process', async (t) => {
  const kernel = createKernel()
  const { clock } = kernel.process('one')
  clock.after(1, () => {
    throw new Error('a bug')
  })
  await t.rejects(kernel.run(10), { message: 'a bug' })
  t.throws(() => clock.after(2 ** 31, () => {}), /would fire at once/)
})

t.test('the same seed gives the same trace, another one another', async (t) => {
  const trace = async (seed: number): Promise<string> => {
    const kernel = createKernel(seed)
    for (const name of ['one', 'two', 'three']) {
      const { clock, ...process } = kernel.process(name)
      Object.assign(process, { latenessMsMax: 2 })
      const random = createSeededRandom(seed).stream(name)
      const tick = (): void => {
        clock.after(random.float() * 10, tick)
      }
      tick()
    }
    await kernel.run(1_000)
    return kernel.trace
  }
  t.equal(await trace(1), await trace(1))
  t.not(await trace(1), await trace(2))
})
