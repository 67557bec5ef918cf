/** The commit log: what was acknowledged comes back, whole and in order; damage is found; a failed sync is the end. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openNodeClock } from '../../lib/runtime/node/clock.ts'
import { openNodeDisk } from '../../lib/runtime/node/disk.ts'
import type { Disk, Random } from '../../lib/runtime/runtime.ts'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { diskError, openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { openCommitLog } from '../../storage/commitlog/open.ts'
import { type LogPosition, logPosition, offsetOf, segmentOf } from '../../storage/commitlog/segment.ts'
import type { LogServices } from '../../storage/commitlog/segments.ts'
import type { CommitLog, CommitLogOptions } from '../../storage/commitlog/writer.ts'
import { StorageError } from '../../storage/errors.ts'

const SEED = Number(process.env.TEST_SEED ?? 7)
const DIRECTORY = '/node/commitlog'
const SMALL: CommitLogOptions = { mode: 'group', segmentBytes: 4096, idleMarkMs: 0 }
const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {} }

interface Kept {
  readonly position: LogPosition
  readonly payload: Buffer
}

function services(disk: Disk, random: Random = createSeededRandom(SEED)): LogServices {
  return { clock: openNodeClock(), disk, random, log: silent }
}

async function simulated(): Promise<SimulatedDisk> {
  const disk = openSimulatedDisk()
  await disk.mkdir('/node')
  await disk.syncDirectory('/')
  return disk
}

async function open(
  disk: Disk,
  options: CommitLogOptions = SMALL,
  directory = DIRECTORY,
): Promise<{ log: CommitLog; records: Kept[] }> {
  const records: Kept[] = []
  const log = await openCommitLog(services(disk), directory, options, (payload, position) => {
    records.push({ position, payload: Buffer.from(payload) })
    return ['t']
  })
  return { log, records }
}

function payloadOf(random: Random, bytesMax: number): Buffer {
  return random.fill(Buffer.alloc(1 + Math.floor(random.float() * bytesMax)))
}

async function write(log: CommitLog, random: Random, count: number, bytesMax = 300): Promise<Kept[]> {
  const kept: Kept[] = []
  for (let i = 0; i < count; i++) {
    const payload = payloadOf(random, bytesMax)
    const cut = Math.floor(random.float() * payload.length)
    const parts = random.float() < 0.5 ? [payload] : [payload.subarray(0, cut), payload.subarray(cut)]
    kept.push({ position: log.append(parts, ['t']), payload })
    if (random.float() < 0.3) await log.durable()
  }
  await log.durable()
  return kept
}

for (const mode of ['group', 'batch', 'periodic'] as const) {
  t.test(`records come back after a restart, mode ${mode}`, async (t) => {
    const root = await mkdtemp(join(tmpdir(), 'polyxena-log-'))
    const random = createSeededRandom(SEED)
    for (const disk of [openNodeDisk(), await simulated()]) {
      const directory = disk instanceof Object && 'crash' in disk ? DIRECTORY : `${root}/commitlog`
      const options = { ...SMALL, mode, syncPeriodMs: 5 }
      const first = await open(disk, options, directory)
      t.same(first.records, [])
      const kept = await write(first.log, random, 100)
      await first.log.close()
      const second = await open(disk, options, directory)
      t.same(second.records, kept)
      t.equal(second.log.replayed.clean, true)
      const more = await write(second.log, random, 50)
      t.ok(more[0]!.position > kept.at(-1)!.position)
      await second.log.close()
      const third = await open(disk, options, directory)
      t.same(third.records, [...kept, ...more])
      await third.log.close()
    }
    await rm(root, { recursive: true })
  })
}

t.test('all who ask between two syncs share one promise; nothing pending is durable now', async (t) => {
  const disk = await simulated()
  const { log } = await open(disk)
  t.equal(log.durable(), undefined)
  log.append([Buffer.from('a')], ['t'])
  const first = log.durable()
  log.append([Buffer.from('b')], ['t'])
  t.equal(log.durable(), first)
  await first
  t.equal(log.durable(), undefined)
  let syncs = 0
  disk.onOperation = (operation) => {
    if (operation === 'sync') syncs += 1
  }
  for (let i = 0; i < 20; i++) log.append([Buffer.from('c')], ['t'])
  await log.durable()
  t.equal(syncs, 1)
  await log.close()
})

t.test('what arrives while a sync runs is acknowledged by the next one only', async (t) => {
  const disk = await simulated()
  const { log } = await open(disk, { ...SMALL, mode: 'batch' })
  const acknowledged: string[] = []
  log.append([Buffer.from('first')], ['t'])
  const first = log.durable()!.then(() => acknowledged.push('first'))
  const survivors: number[] = []
  disk.onOperation = (operation) => {
    if (operation === 'sync') survivors.push(acknowledged.length)
  }
  log.append([Buffer.from('second')], ['t'])
  const second = log.durable()!.then(() => acknowledged.push('second'))
  await Promise.all([first, second])
  t.same(survivors, [0, 1], 'no write is acknowledged before its own sync')
  await log.close()
})

t.test('limits: an empty log, the largest record, one byte more', async (t) => {
  const disk = await simulated()
  const { log } = await open(disk)
  const largest = Buffer.alloc(log.recordBytesMax, 7)
  for (let i = 0; i < 5; i++) log.append([largest], ['t'])
  t.throws(() => log.append([largest, Buffer.alloc(1)], ['t']), { code: 'INVALID' })
  await log.close()
  const again = await open(disk)
  t.equal(again.records.length, 5)
  t.ok(again.records.every((record) => record.payload.equals(largest)))
  await again.log.close()
  t.throws(() => again.log.append([largest], ['t']), StorageError)
})

t.test('a failed write or sync is the end of the log, though the next sync would succeed', async (t) => {
  for (const operation of ['sync', 'write'] as const) {
    const disk = await simulated()
    const failures: StorageError[] = []
    const { log } = await open(disk, { ...SMALL, onFailure: (error) => failures.push(error) })
    const random = createSeededRandom(SEED)
    const kept = await write(log, random, 10)
    let failing = true
    disk.onOperation = (actual, path) => {
      if (actual === operation && failing) {
        failing = false
        throw diskError('EIO', path)
      }
    }
    log.append([Buffer.from('lost')], ['t'])
    await t.rejects(log.durable()!, StorageError)
    t.throws(() => log.append([Buffer.from('later')], ['t']), StorageError)
    await t.rejects(log.durable()!, StorageError)
    await t.rejects(log.sync(), StorageError)
    t.equal(failures.length, 1)
    await t.rejects(log.close(), StorageError)
    disk.onOperation = null
    const found = await open(disk.crash(0, random))
    t.same(found.records, kept)
    await found.log.close()
  }
})

t.test('segments go when all their tables are flushed, and never before', async (t) => {
  const disk = await simulated()
  const asked: (readonly string[])[] = []
  const { log } = await open(disk, { ...SMALL, totalBytes: 3 * 4096, requestFlush: (tables) => asked.push(tables) })
  const payload = Buffer.alloc(1000, 1)
  for (let i = 0; i < 30; i++) {
    log.append([payload], i === 0 ? ['rare'] : i % 2 ? ['even'] : ['odd', 'even'])
    await log.durable()
  }
  t.ok(asked.length > 0 && asked[0]!.includes('rare'))
  const before = log.segmentPaths
  const position = log.position
  log.markFlushed('even', position)
  t.same(log.segmentPaths, before)
  log.markFlushed('odd', position)
  t.same(log.segmentPaths, [before[0], before.at(-1)], 'the first holds the rare table, the last is being written')
  log.markFlushed('rare', logPosition(segmentOf(position), 0))
  t.same(log.segmentPaths, [before.at(-1)])
  log.append([payload], ['late'])
  log.markFlushed('late', log.position - 1_000)
  t.same([...log.dirtyTables()], ['late'])
  await log.close()
  const again = await open(disk)
  t.ok(again.records.length > 0 && offsetOf(again.records[0]!.position) > 0)
  await again.log.close()
})

t.test('a clean stop with all flushed leaves one small segment, and ids go on', async (t) => {
  const disk = await simulated()
  const { log } = await open(disk, { ...SMALL, segmentIdMin: 40 })
  const kept = await write(log, createSeededRandom(SEED), 60)
  t.ok(segmentOf(kept[0]!.position) === 40)
  log.markFlushed('t', log.position)
  const last = segmentOf(log.position)
  await log.close()
  const sizes = [...disk.files().values()].map((content) => content.length)
  t.same(sizes, [48])
  const again = await open(disk)
  t.same(again.records, [])
  t.ok(again.log.replayed.clean && segmentOf(again.log.position) > last)
  await again.log.close()
})

t.test('periodic: answered at once, unless the sync lags', async (t) => {
  const disk = await simulated()
  const clock = createSimulatedClock()
  const runtime = { ...services(disk), clock }
  const options = { ...SMALL, mode: 'periodic' as const, syncPeriodMs: 1_000 }
  const opening = openCommitLog(runtime, DIRECTORY, options, () => null)
  await clock.settle()
  const log = await opening
  let syncs = 0
  disk.onOperation = (operation) => {
    if (operation === 'sync') syncs += 1
  }
  log.append([Buffer.from('a')], ['t'])
  t.equal(log.durable(), undefined)
  await clock.advance(999)
  t.equal(syncs, 0)
  await clock.advance(2)
  t.equal(syncs, 1)
  await clock.advance(5_000)
  t.equal(syncs, 1, 'nothing written, nothing synced')

  // A disk that takes for ever: its sync does not end before we say so.
  let release = (): void => {}
  const stuck = new Promise<void>((resolve) => {
    release = resolve
  })
  const slow: Disk = {
    ...disk,
    async open(path, mode) {
      const file = await disk.open(path, mode)
      if (mode !== 'create') return file
      const { sync } = file
      let prepared = false
      return Object.assign(file, {
        async sync() {
          if (prepared) await stuck
          prepared = true
          await sync.call(file)
        },
      })
    },
  }
  const lateOpening = openCommitLog({ ...runtime, disk: slow }, '/node/slow', options, () => null)
  await clock.settle()
  const late = await lateOpening
  late.append([Buffer.from('a')], ['t'])
  await clock.advance(1_400)
  t.equal(late.durable(), undefined)
  await clock.advance(200)
  late.append([Buffer.from('b')], ['t'])
  const waiting = late.durable()
  t.ok(waiting)
  release()
  await clock.advance(10)
  await waiting
  t.equal(late.durable(), undefined)
  const closing = Promise.all([log.close(), late.close()])
  await clock.settle()
  await closing
})

/** Segments as a crash leaves them: three of 1 KiB, not closed, the last one half full, and a prepared one. */
async function crashedLog(random: Random): Promise<{ files: Map<string, Buffer>; kept: Kept[]; batches: number[] }> {
  const disk = await simulated()
  const { log } = await open(disk, { mode: 'group', segmentBytes: 1024, idleMarkMs: 0 })
  const kept: Kept[] = []
  const batches: number[] = []
  while (segmentOf(log.position) < 3 || offsetOf(log.position) < 500) {
    batches.push(kept.length)
    for (let i = 0; i < 2; i++) {
      const payload = payloadOf(random, 60)
      kept.push({ position: log.append([payload], ['t']), payload })
    }
    await log.durable()
  }
  return { files: disk.crash(0, random).files(), kept, batches }
}

/** The power fails once more, at any operation of the start that follows a power loss. */
async function crashWhileOpening(disk: SimulatedDisk, random: Random, survival: number): Promise<SimulatedDisk> {
  const stopAt = Math.floor(random.float() * 14)
  let crashed: SimulatedDisk | null = null
  disk.onOperation = (_operation, _path, index) => {
    if (index === stopAt) crashed = disk.crash(survival, random)
  }
  const { log } = await open(disk, { mode: 'group', segmentBytes: 1024, idleMarkMs: 0 })
  await log.close()
  return crashed ?? disk.crash(survival, random)
}

t.test(
  'a power loss at every operation: what was acknowledged is there, in order, and a second start agrees',
  async (t) => {
    for (const survival of [0, 0.5, 1]) {
      const random = createSeededRandom(SEED + survival * 10)
      let crashes = 0
      for (let stopAt = 1; stopAt < 120; stopAt++) {
        const disk = await simulated()
        let crashed: SimulatedDisk | null = null
        let acknowledged = 0
        let acknowledgedAtCrash = 0
        disk.onOperation = (_operation, _path, index) => {
          if (index === stopAt && !crashed) {
            crashed = disk.crash(survival, random)
            acknowledgedAtCrash = acknowledged
          }
        }
        const { log } = await open(disk, { mode: 'group', segmentBytes: 1024, idleMarkMs: 0 })
        const kept: Kept[] = []
        while (!crashed && kept.length < 500) {
          const payload = payloadOf(random, 120)
          kept.push({ position: log.append([payload], ['t']), payload })
          if (random.float() < 0.6) {
            await log.durable()
            acknowledged = kept.length
          }
          if (random.float() < 0.02) log.markFlushed('nothing', log.position)
        }
        await log.close()
        if (!crashed) continue
        crashes += 1
        const again = await crashWhileOpening(crashed, random, survival)
        const first = await open(again, { mode: 'group', segmentBytes: 1024, idleMarkMs: 0 })
        const found = first.records.length
        if (found < acknowledgedAtCrash)
          t.fail(`operation ${stopAt}: ${acknowledgedAtCrash} acknowledged, ${found} found`)
        const same = first.records.every((record, index) => record.payload.equals(kept[index]!.payload))
        if (!same) t.fail(`operation ${stopAt}: other bytes came back`)
        const more = await write(first.log, random, 5, 100)
        const second = await open(again.crash(0, random), { mode: 'group', segmentBytes: 1024, idleMarkMs: 0 })
        if (second.records.length !== found + more.length) t.fail(`operation ${stopAt}: the second start differs`)
        await second.log.close()
        await first.log.close()
      }
      t.ok(crashes > 100, `${crashes} crashes with survival ${survival}`)
    }
  },
)

t.test('damage in a segment that others follow refuses the start, by name and offset', async (t) => {
  const random = createSeededRandom(SEED)
  const { files } = await crashedLog(random)
  const disk = openSimulatedDisk({ files, directories: ['/', '/node', DIRECTORY] })
  const [path, content] = [...files].sort()[1]!
  const damaged = Buffer.from(content)
  damaged[60]! ^= 4 // the first byte of its first payload
  disk.overwrite(path, damaged)
  await t.rejects(open(disk, { mode: 'group', segmentBytes: 1024, idleMarkMs: 0 }), { name: 'CorruptionError', path })
  t.same(disk.files().size, files.size, 'nothing was deleted')
})

t.test('a group waits for company as long as it is told, but for nobody who asks for a sync', async (t) => {
  const clock = createSimulatedClock()
  const disk = await simulated()
  const options = { ...SMALL, groupWindowMs: 10 }
  const log = await openCommitLog({ ...services(disk), clock }, DIRECTORY, options, () => [])
  const pass = async (ms: number): Promise<void> => {
    await clock.advance(ms)
    for (let i = 0; i < 20; i++) await clock.advance(0)
  }
  const append = (): { done: boolean } => {
    log.append([Buffer.from('payload')], ['t'])
    const write = { done: false }
    log.durable()!.then(() => {
      write.done = true
    })
    return write
  }
  const first = append()
  await pass(9)
  const second = append()
  t.notOk(first.done)
  await pass(1)
  t.same([first.done, second.done], [true, true], 'both at once')
  const third = append()
  await pass(0)
  t.notOk(third.done)
  await pass(10)
  t.ok(third.done)
  const fourth = append()
  log.sync()
  await pass(0)
  t.ok(fourth.done)
  const closing = log.close()
  await pass(10)
  await closing
})
