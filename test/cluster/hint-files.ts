/** Hints on disk: nothing that was acknowledged is lost, nothing that was done comes back, damage is told from hints. */
import t from 'tap'
import { FileHints, findHintFiles } from '../../cluster/hints/file-hints.ts'
import type { Hint } from '../../cluster/hints/record.ts'
import { createSimulatedClock, type SimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { diskError, openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { hostIdOf } from '../support/messengers.ts'
import { createDice, testSeed } from '../support/random.ts'

const HOST = hostIdOf(1)
const FILE_BYTES_MAX = 600

function hint(text: string): Hint {
  return {
    writtenAt: 1_700_000_000_123_456,
    keptAtMs: 1_700_000_000_000,
    gcGraceSeconds: 864_000,
    mutation: Buffer.from(text),
  }
}

interface World {
  readonly clock: SimulatedClock
  readonly disk: SimulatedDisk
}

async function open({ clock, disk }: World, fileBytesMax = FILE_BYTES_MAX): Promise<FileHints> {
  const options = { clock, disk, directory: '/hints', fileBytesMax }
  const { hosts } = await findHintFiles(options)
  return hosts.find(({ hostId }) => hostId === HOST) ?? new FileHints(HOST, [], options)
}

async function settled<T>(clock: SimulatedClock, promise: Promise<T>): Promise<T> {
  let done = false
  promise.then(
    () => (done = true),
    () => (done = true),
  )
  for (let turn = 0; !done && turn < 1_000; turn++) await clock.advance(turn === 0 ? 0 : 25)
  return promise
}

/** All that is there, taking it. */
async function drain(hints: FileHints): Promise<string[]> {
  const texts: string[] = []
  for (;;) {
    const batch = await hints.peek()
    if (batch === null) return texts
    for (const { mutation } of batch.hints) texts.push(Buffer.from(mutation).toString())
    await hints.done()
  }
}

function createWorld(): World {
  return { clock: createSimulatedClock(), disk: openSimulatedDisk() }
}

t.test('kept, found again, taken in order', async (t) => {
  const world = createWorld()
  let hints = await open(world)
  t.equal(await hints.peek(), null)
  t.equal(hints.oldestMs, null)
  const texts = Array.from({ length: 60 }, (_, i) => `hint ${i} ${'x'.repeat(i)}`)
  await settled(world.clock, Promise.all(texts.slice(0, 10).map((text) => hints.append(hint(text)))))
  await settled(world.clock, Promise.all(texts.slice(10).map((text) => hints.append(hint(text)))))
  t.ok(hints.bytes > 60 * 32)
  const { bytes } = hints
  await hints.close()
  hints = await open(world)
  t.equal(hints.bytes, bytes)
  t.equal(hints.oldestMs, 1_700_000_000_000)
  const batch = await hints.peek()
  t.same(await hints.peek(), batch, 'the same until it is done')
  t.match(batch!.hints[0], { writtenAt: 1_700_000_000_123_456, keptAtMs: 1_700_000_000_000, gcGraceSeconds: 864_000 })
  t.same(await drain(hints), texts)
  t.same((await world.disk.list('/hints')).length, 0)
  t.equal(hints.bytes, 0)
  await settled(world.clock, hints.append(hint('later')))
  t.same(await drain(hints), ['later'])
  await hints.close()
  t.equal(hints.damagedBytes, 0)
  t.equal(world.disk.openFiles, 0)
})

t.test('a large hint, a large file', async (t) => {
  const world = createWorld()
  const hints = await open(world, 100 * 1024 * 1024)
  const texts = [
    'a'.repeat(10),
    'b'.repeat(3_000_000),
    'c'.repeat(200_000),
    ...Array.from({ length: 3_000 }, (_, i) => `${i}`),
  ]
  await settled(world.clock, Promise.all(texts.map((text) => hints.append(hint(text)))))
  const drained = await drain(hints)
  t.equal(drained.length, texts.length)
  t.ok(drained.every((text, i) => text === texts[i]))
  await hints.close()
})

t.test('every byte of a file damaged, every length cut', async (t) => {
  const world = createWorld()
  const texts = ['first', 'the second one', 'third', 'and the last']
  const hints = await open(world, 10_000)
  await settled(world.clock, Promise.all(texts.map((text) => hints.append(hint(text)))))
  await hints.close()
  const [[path, content]] = [...world.disk.files()].filter(([path]) => path.endsWith('.hints')) as [[string, Buffer]]
  let lost = 0
  for (const how of ['flip', 'zero', 'cut'] as const)
    for (let at = 0; at < content.length; at++) {
      const damaged = Buffer.from(how === 'cut' ? content.subarray(0, at) : content)
      if (how === 'flip') damaged[at]! ^= 1 << (at % 8)
      if (how === 'zero') damaged.fill(0, at, Math.min(at + 3, damaged.length))
      const disk = openSimulatedDisk({ files: new Map([[path, damaged]]), directories: ['/', '/hints'] })
      const found = await open({ clock: world.clock, disk }, 10_000)
      const drained = await drain(found)
      if (drained.some((text) => !texts.includes(text))) t.fail(`${how} at ${at}: ${drained}`)
      if (how !== 'cut' && drained.length < (how === 'zero' ? 2 : 3) && !(at >= 4 && at < 6))
        t.fail(`${how} at ${at} took ${drained.length}`)
      if (drained.length < texts.length && how !== 'cut' && at >= 16) {
        lost++
        if (found.damagedBytes === 0) t.fail(`${how} at ${at} was not noticed`)
      }
      await settled(world.clock, found.append(hint('after')))
      if (!(await drain(found)).includes('after')) t.fail(`${how} at ${at}: no new hints`)
      await found.close()
    }
  t.ok(lost > 100)
})

/** Appends, takes, closes and opens by dice, until the disk fails; what must be there, and what must not. */
async function runScript(
  world: World,
  seed: number,
  failAt: number | null,
): Promise<{ acked: Set<string>; done: Set<string>; asked: Set<string>; operations: number }> {
  const { clock, disk } = world
  const dice = createDice(seed)
  const acked = new Set<string>()
  const done = new Set<string>()
  const taken = new Set<string>()
  const asked = new Set<string>()
  if (failAt !== null)
    disk.onOperation = (_operation, path, index) => {
      if (index >= failAt) throw diskError('EIO', path)
    }
  try {
    let hints = await open(world)
    let number = 0
    for (let step = 0; step < 16; step++) {
      const kind = dice.int(10)
      if (kind < 7) {
        const texts = Array.from({ length: 1 + dice.int(4) }, () => `hint ${number++} ${'y'.repeat(dice.int(80))}`)
        for (const text of texts) asked.add(text)
        const kept = texts.map((text) =>
          hints.append(hint(text)).then(
            () => acked.add(text),
            () => {},
          ),
        )
        await settled(clock, Promise.all(kept))
      } else if (kind < 9) {
        const batch = await hints.peek()
        if (batch !== null) {
          const texts = batch.hints.map(({ mutation }) => Buffer.from(mutation).toString())
          for (const text of texts) if (done.has(text)) throw new Error(`shown again: ${text}`)
          for (const text of texts) {
            acked.delete(text)
            taken.add(text)
          }
          await hints.done()
          // Its file is gone when all in it was taken: then nothing of it may come back.
          if (hints.bytes === 0) for (const text of taken) done.add(text)
        }
      } else {
        await hints.close()
        hints = await open(world)
      }
    }
    await hints.close()
  } catch (error) {
    if ((error as { code?: string }).code !== 'EIO') throw error
  }
  return { acked, done, asked, operations: disk.operations }
}

t.test('power is lost at every operation of the disk', async (t) => {
  const seed = testSeed()
  t.comment(`TEST_SEED=${seed}`)
  const whole = createWorld()
  const { operations } = await runScript(whole, seed, null)
  let inspected = 0
  for (let failAt = 0; failAt <= operations; failAt++)
    for (const survival of [0, failAt % 2 === 0 ? 0.5 : 1]) {
      const world = createWorld()
      const { acked, done, asked } = await runScript(world, seed, failAt)
      const disk = world.disk.crash(survival, createSeededRandom(seed + failAt))
      const clock = createSimulatedClock()
      const hints = await open({ clock, disk })
      const found = await drain(hints)
      const where = `operation ${failAt}, survival ${survival}, TEST_SEED=${seed}`
      for (const text of acked) if (!found.includes(text)) t.fail(`${where}: ${text} is lost`)
      for (const text of found) if (!asked.has(text)) t.fail(`${where}: ${text} was never kept`)
      for (const text of found) if (done.has(text)) t.fail(`${where}: ${text} came back`)
      await settled(clock, hints.append(hint('after')))
      if (!(await drain(hints)).includes('after')) t.fail(`${where}: no new hints`)
      await hints.close()
      inspected++
    }
  t.ok(inspected > 30, `${inspected} disks`)
})

t.test('a disk that fails once', async (t) => {
  const world = createWorld()
  const hints = await open(world)
  await settled(world.clock, hints.append(hint('before')))
  world.disk.onOperation = (operation, path) => {
    if (operation === 'sync') throw diskError('EIO', path)
  }
  await t.rejects(settled(world.clock, hints.append(hint('not kept'))))
  world.disk.onOperation = null
  await settled(world.clock, hints.append(hint('after')))
  const found = await drain(hints)
  t.ok(found.includes('before') && found.includes('after'))
  t.equal((await world.disk.list('/hints')).length, 0)
  await hints.close()
})
