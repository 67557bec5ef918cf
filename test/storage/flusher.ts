/** The flusher with writers and a disk of so many bytes a second, in virtual time: whom it flushes, how writers slow down, what failures do. */
import t from 'tap'
import { createSimulatedClock, type SimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { Flusher } from '../../storage/flusher.ts'

const MIB = 1024 * 1024
const SILENT = { trace() {}, debug() {}, info() {}, warn() {}, error() {} }

/** Tables with memory that a flush gives back at the disk's pace. */
class World {
  readonly clock: SimulatedClock = createSimulatedClock()
  readonly active = new Map<string, number>()
  readonly flushed: string[] = []
  bytesPerMs: number
  failing = false
  readonly flusher: Flusher

  constructor(options: { bytesMax: number; bytesPerMs: number }) {
    this.bytesPerMs = options.bytesPerMs
    this.flusher = new Flusher({
      clock: this.clock,
      log: SILENT,
      bytesMax: options.bytesMax,
      tables: () => [...this.active].map(([id, activeBytes]) => ({ id, activeBytes })),
      flush: (id) => this.#flush(id),
    })
  }

  async #flush(id: string): Promise<void> {
    if (this.failing) throw new Error('no space')
    const bytes = this.active.get(id) ?? 0
    this.active.set(id, 0)
    this.flusher.froze(bytes)
    for (let step = 0; step < 20; step++) {
      await this.sleep(bytes / this.bytesPerMs / 20)
      this.flusher.wrote(bytes / 20)
    }
    this.flusher.wrote(-bytes)
    this.flushed.push(id)
    this.flusher.freed(bytes)
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.clock.after(ms, resolve))
  }

  write(id: string, bytes: number): Promise<void> | undefined {
    this.flusher.check()
    this.active.set(id, (this.active.get(id) ?? 0) + bytes)
    this.flusher.grew(bytes)
    return this.flusher.room(bytes)
  }
}

const WRITE_BYTES = 200_000

/** Writers that each have one write under way, and take 10 ms for it when nothing holds them up. */
function startWriters(world: World, count: number): { stop: boolean; bytes: number; delayMax: number } {
  const state = { stop: false, bytes: 0, delayMax: 0 }
  const run = async (): Promise<void> => {
    while (!state.stop) {
      const began = world.clock.monotonicMs()
      await world.write('t', WRITE_BYTES)
      state.bytes += WRITE_BYTES
      state.delayMax = Math.max(state.delayMax, world.clock.monotonicMs() - began)
      await world.sleep(10)
    }
  }
  for (let i = 0; i < count; i++) void run()
  return state
}

t.test('writers that are faster than the disk settle at its pace, within the budget, without long waits', async (t) => {
  for (const writers of [1, 20]) {
    const world = new World({ bytesMax: 64 * MIB, bytesPerMs: writers === 1 ? 8_000 : 20_000 })
    const state = startWriters(world, writers)
    let bytesPeak = 0
    const shares: number[] = []
    for (let second = 0; second < 10; second++) {
      const before = state.bytes
      for (let i = 0; i < 10; i++) {
        await world.clock.advance(100)
        bytesPeak = Math.max(bytesPeak, world.flusher.bytes)
      }
      if (second >= 4) shares.push((state.bytes - before) / (world.bytesPerMs * 1000))
    }
    state.stop = true
    const mean = shares.reduce((sum, share) => sum + share) / shares.length
    t.ok(bytesPeak <= 64 * MIB + writers * WRITE_BYTES, `${writers} writers: ${bytesPeak} bytes at most`)
    t.ok(mean > 0.85 && mean < 1.05, `${writers} writers write at ${mean} of the disk's pace`)
    t.ok(Math.min(...shares) > 0.2, `${writers} writers: in no second less than ${Math.min(...shares)} of it`)
    t.ok(state.delayMax <= 1_000, `${writers} writers: no delay above ${state.delayMax} ms`)
  }
})

t.test('writers that are slower than the disk never wait', async (t) => {
  const world = new World({ bytesMax: 64 * MIB, bytesPerMs: 30_000 })
  const state = startWriters(world, 1)
  await world.clock.advance(6_000)
  state.stop = true
  t.equal(world.flusher.stalls, 0)
  t.ok(world.flushed.length >= 3)
})

t.test('debt of others slows writers down, and no more when it is paid', async (t) => {
  const world = new World({ bytesMax: 64 * MIB, bytesPerMs: 200_000 })
  const state = startWriters(world, 4)
  const paceAt = async (debt: number): Promise<number> => {
    world.flusher.debt = debt
    await world.clock.advance(2_000)
    const before = state.bytes
    await world.clock.advance(2_000)
    return (state.bytes - before) / 2_000
  }
  await world.clock.advance(3_000)
  const paces = [await paceAt(0.9), await paceAt(0.95), await paceAt(1)]
  t.ok(paces[0]! > paces[1]! && paces[1]! > paces[2]! && paces[2]! > 0, `${paces}`)
  t.ok((await paceAt(0)) > 1.2 * paces[0]!)
  world.flusher.debt = 7
  t.equal(world.flusher.debt, 1)
  state.stop = true
})

t.test('the largest memtable is flushed', async (t) => {
  const world = new World({ bytesMax: 10 * MIB, bytesPerMs: 10_000 })
  world.write('small', MIB)
  world.write('large', 3 * MIB)
  world.write('middle', 2 * MIB)
  await world.clock.advance(1_000)
  t.same(world.flushed, ['large'])
  t.equal(world.flusher.bytes, 3 * MIB)
})

t.test('what is asked of a table happens in order; other tables do not wait', async (t) => {
  const world = new World({ bytesMax: 1000 * MIB, bytesPerMs: 1_000 })
  const { flusher } = world
  const seen: string[] = []
  const note = (what: string) => (): void => {
    seen.push(what)
  }
  world.write('a', 10 * MIB)
  world.write('b', 1_000)
  void flusher.flush('a').then(note('flush a'))
  void flusher.flush('a').then(note('flush a again'))
  void flusher.run('a', async () => void seen.push('truncate a')).then(note('truncated a'))
  void flusher.flush('b').then(note('flush b'))
  await world.clock.advance(2_000)
  t.same(seen, ['flush b'])
  await world.clock.advance(20_000)
  t.same(seen, ['flush b', 'flush a', 'flush a again', 'truncate a', 'truncated a'])
  t.same(world.flushed, ['b', 'a'], 'two that asked before it began have one flush')
})

t.test('while flushes fail, writes are slowed, then refused, and go on when the disk does', async (t) => {
  const world = new World({ bytesMax: 16 * MIB, bytesPerMs: 20_000 })
  world.failing = true
  let refused = 0
  const waits: Promise<void>[] = []
  for (let i = 0; i < 300; i++) {
    try {
      const wait = world.write('t', 100_000)
      if (wait) waits.push(wait)
    } catch (error) {
      t.match(error, { name: 'StorageError', cause: { message: 'no space' } })
      refused++
    }
    await world.clock.advance(10)
  }
  t.ok(refused > 50, `${refused} refused`)
  t.ok(world.flusher.bytes < 16 * MIB * 1.25 + 200_000)
  await world.clock.advance(2_000)
  await Promise.all(waits)
  world.failing = false
  await world.clock.advance(40_000)
  t.equal(world.flusher.failure, null)
  t.equal(world.flusher.bytes, 0)
  t.equal(world.write('t', 1), undefined)
})

t.test('closing waits for what was asked, and lets writers go', async (t) => {
  const world = new World({ bytesMax: 4 * MIB, bytesPerMs: 1_000 })
  const full = world.write('t', 8 * MIB)
  const closed = world.flusher.close()
  await world.clock.advance(0)
  await full
  await world.clock.advance(20_000)
  await closed
  t.same(world.flushed, ['t'])
})
