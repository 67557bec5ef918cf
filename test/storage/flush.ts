/** Flushes by a job: the same file from a thread as in place, reads meanwhile, threads that die, and a memtable's records in parts. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openNodeClock } from '../../lib/runtime/node/clock.ts'
import { openNodeDisk } from '../../lib/runtime/node/disk.ts'
import { openNodeJobs } from '../../lib/runtime/node/jobs.ts'
import type { Log } from '../../lib/runtime/runtime.ts'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { diskError, openSimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSimulatedJobs } from '../../lib/runtime/simulated/jobs.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { FlushInput, WRITE_MEMTABLE, writeMemtable } from '../../storage/flush-job.ts'
import { PartReader } from '../../storage/memtable/parts.ts'
import { Memtable } from '../../storage/memtable.ts'
import { LastWriteWins } from '../../storage/model/merge.ts'
import { MutationReader, MutationWriter } from '../../storage/model/mutation.ts'
import { openTableWriter } from '../../storage/sstable/writer.ts'
import { openStore } from '../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import { ALL, settled, TABLE } from '../support/power-loss.ts'
import { createDice, type Dice, testSeed } from '../support/random.ts'
import { storageRuntime } from '../support/storage-runtime.ts'

const TABLE_BYTES = Buffer.from(TABLE.replaceAll('-', ''), 'hex')
const STORED = {
  keyspace: 'k',
  name: 't',
  durableWrites: true,
  gcGraceSeconds: 864_000,
  hasClustering: true,
  options: DEFAULT_TABLE_OPTIONS,
}

/** One row; its bytes are good until the next. */
function row(writer: MutationWriter, dice: Dice, partition: number, valueBytes: number): Buffer {
  writer.begin(TABLE_BYTES, Math.imul(partition, 0x9e3779b1), partition, Buffer.from(`p${partition}`))
  writer.beginRow(Buffer.from([dice.int(128)]))
  writer.row.liveness(0, 1, 0, 0)
  writer.row.cell(1, 0, 1, Buffer.alloc(valueBytes, dice.int(256)))
  writer.endRow()
  return writer.finish()
}

function fill(dice: Dice, rows: number, valueBytes: () => number): Memtable {
  const memtable = new Memtable(new LastWriteWins())
  const writer = new MutationWriter()
  const reader = new MutationReader()
  for (let i = 0; i < rows; i++) memtable.apply(reader.reset(row(writer, dice, dice.int(rows), valueBytes())))
  return memtable
}

t.test('parts hold the records in order, whatever their size, in memory that goes round', (t) => {
  const seed = testSeed()
  const dice = createDice(seed)
  const memtable = fill(dice, 3_000, () => dice.pick([0, 1, 50, 70, 300, dice.chance(0.01) ? 600_000 : 2_000]))
  const records: { key: string; value: string }[] = []
  const cursor = memtable.cursor()
  for (cursor.seek(Buffer.alloc(0)); cursor.valid; cursor.next())
    records.push({ key: cursor.key.toString('latin1'), value: cursor.value.toString('latin1') })
  let written = 0
  const input = new FlushInput(memtable, (bytes) => {
    written += bytes
  })
  const reader = new PartReader()
  let spent: Uint8Array | null = null
  let at = 0
  let parts = 0
  let same = true
  for (let part = input.next(null); part; part = input.next(spent)) {
    reader.reset(part)
    for (; reader.next(); at++)
      same &&=
        reader.key.toString('latin1') === records[at]?.key && reader.value.toString('latin1') === records[at]?.value
    spent = part.fill(0xdd)
    parts++
  }
  t.ok(same && at === records.length && parts > 5, `seed ${seed}: ${at} of ${records.length} records in ${parts} parts`)
  t.equal(written, memtable.bytes)
  input.end()
  t.equal(written, 0)
  t.end()
})

t.test('a file is synced as it grows; a sync that failed on the way is no success at the end', async (t) => {
  for (const failing of [0, 2, null]) {
    const disk = openSimulatedDisk()
    let syncs = 0
    disk.onOperation = (operation, path) => {
      if (operation === 'sync' && syncs++ === failing) throw diskError('EIO', path)
    }
    const options = { uid: Buffer.alloc(8, 7), partitionsEstimate: 1, compressed: false, syncBytes: 64 * 1024 }
    const writer = await openTableWriter(disk, '/f', options)
    const memtable = fill(createDice(1), 4_000, () => 1_000)
    const cursor = memtable.cursor()
    const write = async (): Promise<void> => {
      for (cursor.seek(Buffer.alloc(0)); cursor.valid; cursor.next()) await writer.add(cursor.key, cursor.value)
      await writer.finish()
    }
    if (failing === null) {
      await write()
      t.ok(syncs > 5, `${syncs} syncs`)
    } else await t.rejects(write(), { code: 'EIO' })
    await writer.abort()
  }
})

t.test('a thread writes the very bytes that are written in place', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'polyxena-flush-'))
  t.teardown(() => rm(directory, { recursive: true }))
  await using jobs = openNodeJobs()
  const seed = testSeed()
  const memtable = fill(createDice(seed), 5_000, () => 100)
  const argument = (name: string) => ({
    path: join(directory, name),
    uid: Buffer.alloc(8, 7),
    partitionsEstimate: memtable.size,
    owner: { table: TABLE, shape: 'a shape' },
    falsePositiveChance: 0.01,
    compressed: true,
    blockBytes: 16_384,
  })
  const inThread = new FlushInput(memtable, () => {})
  const written = await jobs.run(WRITE_MEMTABLE, argument('thread'), {
    lane: 'flush',
    input: (spent) => inThread.next(spent),
  })
  const clock = openNodeClock()
  const inPlace = new FlushInput(memtable, () => {})
  await writeMemtable(argument('place'), {
    disk: openNodeDisk(),
    clock,
    random: createSeededRandom(1),
    signal: new AbortController().signal,
    input: async () => inPlace.next(null),
    progress() {},
    pause: () => new Promise((resolve) => clock.soon(resolve)),
  })
  const bytes = await readFile(join(directory, 'thread'))
  t.equal(bytes.length, written.fileBytes)
  t.ok(bytes.equals(await readFile(join(directory, 'place'))), `seed ${seed}`)
})

t.test('a store flushes in a thread while it is read and written', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'polyxena-flush-'))
  t.teardown(() => rm(directory, { recursive: true }))
  await using jobs = openNodeJobs()
  const runtime = { ...storageRuntime(openNodeClock(), openNodeDisk()), jobs }
  const settings = { memtableBytesMax: 3_000_000, compaction: { automatic: false } }
  let store = await openStore({ runtime, directory, settings })
  await store.registerTable(TABLE, STORED)
  const dice = createDice(1)
  const writer = new MutationWriter()
  let threads = 0
  const count = async (): Promise<number> => (await store.read(ALL)).partitions.length
  for (let i = 0; i < 12_000; i++) {
    const wait = store.apply([row(writer, dice, i, 200)])
    if (i % 100 === 0) await wait
    threads = Math.max(threads, jobs.threads)
    if (i % 3_000 === 2_999) t.equal(await count(), i + 1, `all ${i + 1} are read`)
  }
  t.ok(threads >= 1)
  t.ok(store.reports.statistics.flushes >= 2, `${store.reports.statistics.flushes} flushes`)
  await store.close()
  store = await openStore({ runtime, directory, settings })
  t.equal(await count(), 12_000)
  await store.close()
})

t.test('a thread that dies under a flush costs nothing', async (t) => {
  const first = testSeed()
  let deaths = 0
  for (let seed = first; seed < first + 6; seed++) {
    const clock = createSimulatedClock()
    const disk = openSimulatedDisk()
    const log: Log = { trace() {}, debug() {}, info() {}, warn: () => void deaths++, error: (_, text) => t.fail(text) }
    const random = createSeededRandom(seed)
    const jobs = createSimulatedJobs({ clock, disk, random, deathChance: 0.25 })
    const runtime = { ...storageRuntime(clock, disk, log), jobs }
    await disk.mkdir('/data')
    let store = await settled(clock, openStore({ runtime, directory: '/data' }))
    await settled(clock, store.registerTable(TABLE, STORED))
    const dice = createDice(seed)
    const writer = new MutationWriter()
    const writes: (Promise<void> | undefined)[] = []
    for (let i = 0; i < 1_000; i++) writes.push(store.apply([row(writer, dice, i, 300)]))
    await settled(clock, Promise.all(writes))
    await settled(clock, store.flush(TABLE))
    t.equal(store.reports.statistics.files, 1)
    t.equal((await settled(clock, Promise.resolve(store.read(ALL)))).partitions.length, 1_000, `seed ${seed}`)
    await settled(clock, store.close())
    const files = [...disk.files().keys()].filter((path) => path.endsWith('.sst'))
    t.equal(files.length, 1, 'no litter')
    store = await settled(clock, openStore({ runtime, directory: '/data' }))
    t.equal((await settled(clock, Promise.resolve(store.read(ALL)))).partitions.length, 1_000, `seed ${seed}`)
    await settled(clock, store.close())
  }
  t.ok(deaths > 0, `${deaths} deaths from seed ${first} on`)
})

t.test('a memtable of mutations with nothing in them', async (t) => {
  const told: number[] = []
  const input = new FlushInput(new Memtable(new LastWriteWins()), (bytes) => told.push(bytes))
  t.equal(input.next(null), null)
  input.end()
  t.same(told, [0, 0], 'what is not a number would make every later write wait')

  const clock = createSimulatedClock()
  const disk = openSimulatedDisk()
  const runtime = storageRuntime(clock, disk)
  const store = await settled(clock, openStore({ runtime, directory: '/data', settings: {} }))
  await settled(clock, store.registerTable(TABLE, STORED))
  const writer = new MutationWriter()
  writer.begin(TABLE_BYTES, 1, 1, Buffer.from('p'))
  await settled(clock, Promise.resolve(store.apply([Buffer.from(writer.finish())])))
  await settled(clock, store.flush(TABLE))
  await settled(clock, Promise.resolve(store.apply([row(writer, createDice(1), 1, 10)])))
  await settled(clock, store.flush(TABLE))
  t.equal((await settled(clock, Promise.resolve(store.read(ALL)))).partitions.length, 1)
  await settled(clock, store.close())
})
