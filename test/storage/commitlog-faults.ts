/** The commit log on a disk that is full, slow, or has no descriptor left; marks in idle time; the archive. */
import t from 'tap'
import { createSimulatedClock, type SimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { diskError, openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { openCommitLog } from '../../storage/commitlog/open.ts'
import type { CommitLog, CommitLogOptions } from '../../storage/commitlog/writer.ts'
import { CorruptionError, NoRoomError, StorageError } from '../../storage/errors.ts'
import { settled } from '../support/power-loss.ts'

const DIRECTORY = '/node/commitlog'
const ARCHIVE = '/archive'
const SEGMENT = 4096

interface World {
  readonly clock: SimulatedClock
  readonly disk: SimulatedDisk
  readonly said: string[]
}

async function createWorld(disk = openSimulatedDisk()): Promise<World> {
  await disk.mkdir('/node')
  await disk.syncDirectory('/')
  return { clock: createSimulatedClock(), disk, said: [] }
}

async function open(
  world: World,
  options: Partial<CommitLogOptions> = {},
): Promise<{ log: CommitLog; found: string[]; failures: StorageError[] }> {
  const { clock, disk, said } = world
  const found: string[] = []
  const failures: StorageError[] = []
  const say = (_: string, message: string): void => {
    said.push(message)
  }
  const runtime = {
    clock,
    disk,
    random: createSeededRandom(3),
    log: { trace() {}, debug() {}, info: say, warn: say, error: say },
  }
  const log = await settled(
    clock,
    openCommitLog(
      runtime,
      DIRECTORY,
      { mode: 'group', segmentBytes: SEGMENT, onFailure: (error) => failures.push(error), ...options },
      (payload) => {
        found.push(payload.toString())
        return ['t']
      },
    ),
  )
  return { log, found, failures }
}

/** A record of about a quarter of a segment, by default. */
function record(name: string, bytes = 900): Buffer {
  return Buffer.from(name.padEnd(bytes, '.'))
}

async function write(world: World, log: CommitLog, name: string, bytes?: number): Promise<void> {
  log.append([record(name, bytes)], ['t'])
  await settled(world.clock, log.durable() ?? Promise.resolve())
}

/** What a start finds after a power loss that keeps nothing unsynced. */
async function afterPowerLoss(world: World): Promise<string[]> {
  const next = await createWorld(world.disk.crash(0, createSeededRandom(5)))
  const { log, found } = await open(next)
  await settled(next.clock, log.close())
  return found.map((text) => text.replace(/\.*$/, ''))
}

t.test('no room for the next segment: writes are refused until there is, none that was taken is lost', async (t) => {
  const world = await createWorld()
  const { log, failures } = await open(world)
  const kept: string[] = []
  const take = async (name: string): Promise<void> => {
    await write(world, log, name)
    kept.push(name)
  }
  for (let i = 0; i < 3; i++) await take(`before ${i}`)
  world.disk.onOperation = (operation, path) => {
    if (operation === 'link' && path.endsWith('.log')) throw diskError('ENOSPC', path)
  }
  for (let i = 0; i < 4; i++) {
    if (log.blocked === null) await take(`then ${i}`)
  }
  t.ok(kept.length < 7)
  t.match(log.blocked, { code: 'ENOSPC' })
  t.throws(() => log.append([record('refused')], ['t']), NoRoomError)
  await world.clock.advance(60_000)
  t.throws(() => log.append([record('refused')], ['t']), NoRoomError)
  world.disk.onOperation = null
  await world.clock.advance(10_000)
  t.equal(log.blocked, null)
  for (let i = 0; i < 9; i++) await take(`after ${i}`)
  t.same(failures, [])
  t.same(await afterPowerLoss(world), kept)
  await settled(world.clock, log.close())
})

t.test('no room for a write: it waits, and is acknowledged when it is on disk', async (t) => {
  const world = await createWorld()
  const { log, failures } = await open(world, { idleMarkMs: 0 })
  await write(world, log, 'before')
  const { disk, clock } = world
  disk.capacityBytes = disk.usedBytes // not a sector more
  log.append([record('waits')], ['t'])
  let acknowledged = false
  const waiting = log.durable()!.then(() => {
    acknowledged = true
  })
  await clock.advance(20_000)
  t.notOk(acknowledged)
  t.throws(() => log.append([record('refused')], ['t']), NoRoomError)
  t.same(await afterPowerLoss({ ...world, disk: roomy(disk) }), ['before'])
  disk.capacityBytes = Number.POSITIVE_INFINITY
  await settled(clock, waiting)
  await write(world, log, 'after')
  t.same(failures, [])
  t.same(await afterPowerLoss(world), ['before', 'waits', 'after'])
  await settled(clock, log.close())
})

/** The same disk as its power loss leaves it, with room. */
function roomy(disk: SimulatedDisk): SimulatedDisk {
  return disk.crash(1, createSeededRandom(1)).crash(0, createSeededRandom(1))
}

t.test('closed while it waits for room, it fails what waits and keeps what it acknowledged', async (t) => {
  const world = await createWorld()
  const { log } = await open(world)
  await write(world, log, 'before')
  world.disk.onOperation = (operation, path) => {
    if (operation === 'write') throw diskError('ENOSPC', path)
  }
  log.append([record('never')], ['t'])
  const waiting = log.durable()!
  await world.clock.advance(1_000)
  const closing = log.close()
  await t.rejects(settled(world.clock, waiting), StorageError)
  await t.rejects(settled(world.clock, closing), StorageError)
  world.disk.onOperation = null
  t.same(await afterPowerLoss(world), ['before'])
})

t.test('no descriptor left: the segment is used up, then writes are refused, then it goes on', async (t) => {
  const world = await createWorld()
  const { log, failures } = await open(world)
  const { disk, clock } = world
  const kept = ['first']
  await write(world, log, 'first')
  disk.openFilesMax = disk.openFiles
  let refused = 0
  for (let i = 0; i < 12; i++) {
    try {
      await write(world, log, `with few ${i}`)
      kept.push(`with few ${i}`)
    } catch (error) {
      t.ok(error instanceof NoRoomError)
      refused++
    }
  }
  t.ok(kept.length > 5 && refused > 0, `${kept.length} taken, ${refused} refused`)
  disk.openFilesMax = Number.POSITIVE_INFINITY
  await clock.advance(10_000)
  await write(world, log, 'last')
  t.same(failures, [])
  t.same(await afterPowerLoss(world), [...kept, 'last'])
  await settled(clock, log.close())
})

t.test('a start on a full disk: what is there is read, writes are refused, and taken when there is room', async (t) => {
  const first = await createWorld()
  const { log } = await open(first)
  for (let i = 0; i < 7; i++) await write(first, log, `kept ${i}`)
  const kept = Array.from({ length: 7 }, (_, i) => `kept ${i}`)
  const world = await createWorld(first.disk.crash(0, createSeededRandom(2)))
  await settled(first.clock, log.close())
  world.disk.onOperation = (operation, path) => {
    if (operation === 'link' || operation === 'write') throw diskError('ENOSPC', path)
  }
  const again = await open(world)
  t.equal(again.found.length, 7)
  t.throws(() => again.log.append([record('refused')], ['t']), NoRoomError)
  again.log.markFlushed('t', again.log.position)
  t.same(await afterPowerLoss({ ...world, disk: roomy(world.disk) }), kept, 'nothing is deleted before the log goes on')
  world.disk.onOperation = null
  await world.clock.advance(10_000)
  t.equal(again.log.segmentPaths.length, 1, 'what was flushed is deleted')
  await write(world, again.log, 'new')
  t.equal((await afterPowerLoss(world)).at(-1), 'new')
  await settled(world.clock, again.log.close())
})

t.test('a failed sync is no want of room: the log is dead, whatever its code', async (t) => {
  const world = await createWorld()
  const { log, failures } = await open(world)
  await write(world, log, 'before')
  world.disk.onOperation = (operation, path) => {
    if (operation === 'sync') throw diskError('ENOSPC', path)
  }
  log.append([record('unknown')], ['t'])
  await t.rejects(settled(world.clock, log.durable()!), StorageError)
  world.disk.onOperation = null
  await world.clock.advance(60_000)
  t.throws(() => log.append([record('later')], ['t']), StorageError)
  t.equal(failures.length, 1)
  await t.rejects(settled(world.clock, log.close()), StorageError)
})

/**
 * Lives of one log on one disk, each killed as soon as it fails or has done its writes; `failing`: the one sync of them all that fails. Returns what was
 * acknowledged, what is there after the power loss that follows, and whether there were so many syncs.
 */
async function livesWithFailedSync(failing: number): Promise<{ kept: string[]; found: string[]; failed: boolean }> {
  const world = await createWorld()
  const { disk, clock } = world
  const kept: string[] = []
  let syncs = 0
  disk.onOperation = (operation, path) => {
    if (operation === 'sync' && syncs++ === failing) throw diskError('EIO', path)
  }
  for (const [life, writes] of [6, 1, 0, 6, 1].entries()) {
    try {
      const { log } = await open(world, { idleMarkMs: 0 })
      for (let i = 0; i < writes; i++) {
        const name = `life ${life}, write ${i}`
        await write(world, log, name)
        kept.push(name)
      }
      if (life === 1) await settled(clock, log.close())
    } catch {
      // The next life goes on with what this one left.
    }
    disk.forgetProcess()
  }
  const failed = syncs > failing
  return { kept, found: await afterPowerLoss(world), failed }
}

t.test('whichever sync fails, the starts after it save what they read: a power loss then takes nothing', async (t) => {
  let failing = 0
  for (; ; failing++) {
    const { kept, found, failed } = await livesWithFailedSync(failing)
    const lost = kept.filter((name) => !found.includes(name))
    t.same(lost, [], `sync ${failing}`)
    if (!failed) break
  }
  t.ok(failing > 20, `${failing} syncs`)
})

t.test('a disk that takes seconds: writes wait, and none fails', async (t) => {
  const world = await createWorld()
  const { clock, disk } = world
  const { log, failures } = await open(world)
  disk.onOperation = (operation) => {
    if (operation === 'sync') return new Promise<void>((resolve) => clock.after(3_000, resolve))
  }
  const began = clock.monotonicMs()
  const acknowledged: number[] = []
  const writes: Promise<void>[] = []
  for (let i = 0; i < 20; i++) {
    log.append([record(`w${i}`)], ['t'])
    writes.push(log.durable()!.then(() => void acknowledged.push(i)))
    await clock.advance(500)
  }
  await settled(clock, Promise.all(writes))
  t.ok(clock.monotonicMs() - began > 6_000)
  t.same(
    acknowledged,
    [...acknowledged].sort((a, b) => a - b),
  )
  t.same(failures, [])
  disk.onOperation = null
  t.same(
    await afterPowerLoss(world),
    Array.from({ length: 20 }, (_, i) => `w${i}`),
  )
  await settled(clock, log.close())
})

t.test('in idle time a mark says what was synced: damage to the last group is then no torn tail', async (t) => {
  const world = await createWorld()
  const { log } = await open(world, { idleMarkMs: 10 })
  let syncs = 0
  world.disk.onOperation = (operation) => {
    if (operation === 'sync') syncs++
  }
  await write(world, log, 'only')
  t.equal(syncs, 1)
  const before = log.position
  await world.clock.advance(30)
  t.equal(syncs, 2)
  t.equal(log.position - before, 2, 'sixteen bytes')
  await world.clock.advance(10_000)
  t.equal(syncs, 2, 'one mark is enough')
  world.disk.onOperation = null
  const crashed = world.disk.crash(0, createSeededRandom(1))
  const path = `${DIRECTORY}/commitlog-1-0000000001.log`
  const content = crashed.files().get(path)!
  content[100]! ^= 1
  crashed.overwrite(path, content)
  await t.rejects(open(await createWorld(crashed)), CorruptionError)
  await write(world, log, 'more')
  await world.clock.advance(30)
  t.same(await afterPowerLoss(world), ['only', 'more'])
  await settled(world.clock, log.close())
})

t.test(
  'the archive has each finished segment before it is deleted, by link or by copy, and again after a crash',
  async (t) => {
    for (const code of [null, 'EXDEV']) {
      const world = await createWorld()
      const { clock, disk } = world
      if (code !== null)
        disk.onOperation = (operation, path) => {
          // The creation of a file is a link of its name, too.
          if (operation === 'link' && path.startsWith(DIRECTORY) && disk.files().has(path)) throw diskError(code, path)
        }
      const { log } = await open(world, { archiveDirectory: ARCHIVE })
      for (let i = 0; i < 9; i++) await write(world, log, `r${i}`)
      log.markFlushed('t', log.position)
      await clock.settle()
      const archived = (): string[] => [...disk.files().keys()].filter((path) => path.startsWith(`${ARCHIVE}/`))
      t.equal(archived().length, 2)
      t.equal(log.segmentPaths.length, 1)
      await settled(clock, log.close())
      t.equal(archived().length, 3, 'the last one when it is closed')
      t.notOk(archived().some((path) => path.endsWith('.part')))
      const again = await open(world, { archiveDirectory: ARCHIVE })
      t.same(again.found, [])
      await settled(clock, again.log.close())
    }
  },
)

t.test('an archive that cannot be written keeps the segments, and catches up', async (t) => {
  const world = await createWorld()
  const { clock, disk } = world
  disk.onOperation = (operation, path) => {
    if (operation === 'syncDirectory' && path === ARCHIVE) throw diskError('EIO', path)
  }
  const { log } = await open(world, { archiveDirectory: ARCHIVE })
  for (let i = 0; i < 9; i++) await write(world, log, `r${i}`)
  log.markFlushed('t', log.position)
  await clock.advance(30_000)
  t.equal(log.segmentPaths.length, 3)
  t.match(world.said.join('\n'), /cannot archive/)
  const crashed = await createWorld(disk.crash(0, createSeededRandom(1)))
  disk.onOperation = null
  await clock.advance(10_000)
  t.equal(log.segmentPaths.length, 1)
  await settled(clock, log.close())
  const again = await open(crashed, { archiveDirectory: ARCHIVE })
  again.log.markFlushed('t', again.log.position)
  await crashed.clock.advance(100)
  t.equal([...crashed.disk.files().keys()].filter((path) => path.startsWith(ARCHIVE)).length, 3)
  t.equal(again.log.segmentPaths.length, 1)
  await settled(crashed.clock, again.log.close())
})

t.test('a name in the archive that other bytes have is not given to a segment', async (t) => {
  const world = await createWorld()
  await world.disk.mkdir(ARCHIVE)
  const other = await world.disk.open(`${ARCHIVE}/commitlog-1-0000000001.log`, 'create')
  await other.write(Buffer.from('of another node'), 0)
  await other.close()
  const { log } = await open(world, { archiveDirectory: ARCHIVE })
  for (let i = 0; i < 5; i++) await write(world, log, `r${i}`)
  await world.clock.settle()
  const names = (await world.disk.list(ARCHIVE)).filter((name) => name.includes('0000000001'))
  t.match(names, [/^commitlog-1-0000000001-[0-9a-f]{16}\.log$/, 'commitlog-1-0000000001.log'])
  await settled(world.clock, log.close())
})
