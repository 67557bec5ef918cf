/** What all Jobs promise, asked of worker threads and of the simulation; and what only a real, or only a simulated, death of a thread shows. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openNodeDisk } from '../../lib/runtime/node/disk.ts'
import { openNodeJobs } from '../../lib/runtime/node/jobs.ts'
import { type Disk, JobError, type Jobs } from '../../lib/runtime/runtime.ts'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { openSimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSimulatedJobs } from '../../lib/runtime/simulated/jobs.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { DEAF, DIE, DOUBLE, FAIL, FILL_HEAP, NOT_PLAIN, SUM, UNTIL_ABORTED, WRITE_FILE } from '../support/jobs.ts'

interface Opened {
  readonly jobs: Jobs
  readonly disk: Disk
  readonly root: string
  /** Lets time pass until the promise settles. */
  readonly settled: <T>(promise: Promise<T>) => Promise<T>
  readonly close: () => Promise<void>
}

function simulated(options: { sliceMsMax?: number; deathChance?: number; seed?: number } = {}): Opened {
  const clock = createSimulatedClock()
  const disk = openSimulatedDisk()
  const random = createSeededRandom(options.seed ?? 1)
  return {
    jobs: createSimulatedJobs({ clock, disk, random, ...options }),
    disk,
    root: '/',
    async settled(promise) {
      let done = false
      const finish = (): void => {
        done = true
      }
      promise.then(finish, finish)
      while (!done) await clock.advance(1)
      return promise
    },
    close: async () => {},
  }
}

async function threaded(): Promise<Opened> {
  const root = await mkdtemp(join(tmpdir(), 'polyxena-jobs-'))
  const jobs = openNodeJobs()
  return {
    jobs,
    disk: openNodeDisk(),
    root: `${root}/`,
    settled: (promise) => promise,
    async close() {
      await jobs[Symbol.asyncDispose]()
      await rm(root, { recursive: true })
    },
  }
}

for (const { name, open } of [
  { name: 'worker threads', open: threaded },
  { name: 'the simulation', open: async () => simulated() },
  { name: 'the simulation with slow slices', open: async () => simulated({ sliceMsMax: 20 }) },
]) {
  t.test(`jobs in ${name}`, async (t) => {
    const { jobs, disk, root, settled, close } = await open()
    t.teardown(close)

    await t.test('arguments and results are cloned, shared memory is shared', async (t) => {
      const shared = new SharedArrayBuffer(8)
      const bytes = Buffer.from([1, 2, 3])
      const result = await settled(jobs.run(DOUBLE, { bytes, shared }))
      t.same([...result.bytes], [2, 4, 6])
      t.equal(result.isBuffer, false, 'a Buffer comes out as a Uint8Array')
      t.same([...bytes], [1, 2, 3])
      t.equal(new Uint8Array(shared)[0], 7)
    })

    await t.test('the disk is at hand, and progress is heard in order', async (t) => {
      const heard: unknown[] = []
      const path = `${root}written`
      const options = { lane: 'flush', progress: (report: unknown) => heard.push(report) } as const
      t.equal(await settled(jobs.run(WRITE_FILE, { path, pieces: 3 }, options)), 300)
      t.same(heard, [{ piece: 0 }, { piece: 1 }, { piece: 2 }])
      t.equal((await disk.stat(path))?.size, 300)
    })

    await t.test('input comes in parts, whose memory goes round', async (t) => {
      let made = 0
      let given = 0
      const input = (spent: Uint8Array | null): Uint8Array | null => {
        if (given === 100) return null
        if (!spent) made++
        return (spent ?? new Uint8Array(1000)).fill(++given)
      }
      t.same(await settled(jobs.run(SUM, null, { input })), { sum: 5_050_000, parts: 100 })
      t.ok(made <= 3, `${made} buffers for 100 parts`)
      t.same(await settled(jobs.run(SUM, null)), { sum: 0, parts: 0 }, 'there need not be any')
      const failing = (): never => {
        throw Object.assign(new Error('no input'), { code: 'EIO' })
      }
      await t.rejects(settled(jobs.run(SUM, null, { input: failing })), { message: 'no input', code: 'EIO' })
      t.same(await settled(jobs.run(SUM, null)), { sum: 0, parts: 0 })
    })

    await t.test('errors keep name, code, fields and cause', async (t) => {
      await t.rejects(settled(jobs.run(FAIL, undefined)), {
        name: 'CorruptionError',
        message: 'it failed',
        path: '/x',
        offset: 12,
        cause: { message: 'no room', code: 'ENOSPC' },
      })
      await t.rejects(settled(jobs.run(NOT_PLAIN, undefined)), { name: 'DataCloneError' })
      const odd = (() => {}) as unknown as undefined
      await t.rejects(settled(jobs.run(FAIL, odd)), { name: 'DataCloneError' })
    })

    await t.test('an abort ends a job, which ends before its promise; other lanes go on', async (t) => {
      const controller = new AbortController()
      const path = `${root}endless`
      let begun = (): void => {}
      const hasBegun = new Promise<void>((resolve) => {
        begun = resolve
      })
      const endless = jobs.run(UNTIL_ABORTED, { path }, { signal: controller.signal, progress: begun })
      endless.catch(() => {})
      await settled(hasBegun)
      const waiting = new AbortController()
      const queued = jobs.run(WRITE_FILE, { path: `${root}never`, pieces: 1 }, { signal: waiting.signal })
      queued.catch(() => {})
      const other = jobs.run(WRITE_FILE, { path: `${root}other`, pieces: 1 }, { lane: 'flush' })
      t.equal(await settled(other), 100)
      waiting.abort(new Error('not any more'))
      await t.rejects(settled(queued), { message: 'not any more' })
      const next = jobs.run(WRITE_FILE, { path: `${root}next`, pieces: 2 })
      const reason = new Error('enough')
      controller.abort(reason)
      t.equal(await settled(endless.catch((error: unknown) => error)), reason)
      t.equal(await disk.stat(path), null)
      t.equal(await settled(next), 200, 'the lane is free')
      t.equal(await disk.stat(`${root}never`), null)
      await t.rejects(settled(jobs.run(FAIL, undefined, { signal: controller.signal })), { message: 'enough' })
    })

    await t.test('two compactions run at once', async (t) => {
      const controller = new AbortController()
      const { signal } = controller
      let count = 0
      let both = (): void => {}
      const bothRun = new Promise<void>((resolve) => {
        both = resolve
      })
      const progress = (): void => {
        if (++count === 2) both()
      }
      const runs = ['a', 'b'].map((file) =>
        jobs.run(UNTIL_ABORTED, { path: root + file }, { lane: 'compaction', signal, progress }),
      )
      const ended = Promise.allSettled(runs)
      await settled(bothRun)
      controller.abort()
      t.same(
        (await settled(ended)).map(({ status }) => status),
        ['rejected', 'rejected'],
      )
    })
  })
}

t.test('a thread that dies fails its job alone; the next job has a new thread', async (t) => {
  const { jobs, root, close } = await threaded()
  t.teardown(close)
  await t.rejects(jobs.run(DIE, undefined), { name: 'JobError', message: /a bug/ })
  const both = [jobs.run(DIE, undefined), jobs.run(WRITE_FILE, { path: `${root}after`, pieces: 1 })]
  const [died, written] = await Promise.allSettled(both)
  t.match(died, { status: 'rejected', reason: { name: 'JobError' } })
  t.match(written, { status: 'fulfilled', value: 100 })
})

t.test('a thread that takes too much memory dies, not the process', async (t) => {
  await using jobs = openNodeJobs({ oldGenerationMb: 16 })
  await t.rejects(jobs.run(FILL_HEAP, undefined), JobError)
})

t.test('threads begin with the first job and end when idle', async (t) => {
  await using jobs = openNodeJobs({ idleMs: 20 })
  t.equal(jobs.threads, 0)
  await jobs.run(DOUBLE, { bytes: Buffer.alloc(1), shared: new SharedArrayBuffer(1) })
  t.equal(jobs.threads, 1)
  while (jobs.threads > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  const again = await jobs.run(DOUBLE, { bytes: Buffer.from([2]), shared: new SharedArrayBuffer(1) })
  t.same([...again.bytes], [4])
})

t.test('closing aborts what runs, sends away what waits, and waits no longer than it may', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'polyxena-jobs-'))
  t.teardown(() => rm(root, { recursive: true }))
  const jobs = openNodeJobs({ closeMs: 50 })
  let begun = (): void => {}
  const hasBegun = new Promise<void>((resolve) => {
    begun = resolve
  })
  const running = jobs.run(UNTIL_ABORTED, { path: join(root, 'x') }, { progress: begun })
  const waiting = jobs.run(FAIL, undefined)
  const deaf = jobs.run(DEAF, undefined, { lane: 'compaction' })
  const ends = Promise.allSettled([running, waiting, deaf])
  await hasBegun
  await jobs[Symbol.asyncDispose]()
  for (const end of await ends) t.match(end, { status: 'rejected', reason: { name: 'JobError' } })
  t.equal(await openNodeDisk().stat(join(root, 'x')), null, 'the job could clean up')
  t.equal(jobs.threads, 0)
  await t.rejects(jobs.run(FAIL, undefined), { message: /closing/ })
})

t.test('a simulated death leaves what was done until then, and nothing happens after it', async (t) => {
  const sizes = new Map<number | undefined, number>()
  let finished = 0
  for (let seed = 0; seed < 200; seed++) {
    const { jobs, disk, settled } = simulated({ seed, deathChance: 0.1 })
    const done = jobs.run(WRITE_FILE, { path: '/f', pieces: 4 })
    const [result] = await settled(Promise.allSettled([done]))
    if (result!.status === 'fulfilled') finished++
    else t.ok(result!.reason instanceof JobError, `seed ${seed}`)
    const size = (await disk.stat('/f'))?.size
    sizes.set(size, (sizes.get(size) ?? 0) + 1)
  }
  t.ok(finished > 5 && finished < 150, `${finished} finished`)
  t.same([...sizes.keys()].sort(), [0, 100, 200, 300, 400, undefined])
})
