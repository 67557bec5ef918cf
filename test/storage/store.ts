/** The store against the slow model, in memory and on a disk with flushes and restarts: every kind of write and delete, every kind of read. */

import t from 'tap'
import { uuidBytes } from '../../lib/base/uuid.ts'
import { openNodeClock } from '../../lib/runtime/node/clock.ts'
import { diskError, openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import {
  END_OF_PARTITION,
  type ReadCommand,
  type ReadPoint,
  type ReadResult,
  type Slice,
} from '../../storage/model/command.ts'
import { openStore, type Store } from '../../storage/store.ts'
import type { StoreSettings } from '../../storage/store-words.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import { createDice, type Dice, testSeeds } from '../support/random.ts'
import {
  type Change,
  encodePosition,
  encodeWrite,
  everythingIn,
  type Model,
  modelView,
  NOW,
  randomWrite,
  record,
  type SeenPartition,
  storeView,
} from '../support/storage-model.ts'
import { memoryRuntime, storageRuntime } from '../support/storage-runtime.ts'

const TABLE = '5a1c395e-b41f-11e5-9f22-ba0be0483c18'
const TABLE_BYTES = uuidBytes(TABLE)

const ALL: ReadCommand = everythingIn(TABLE)

/** What caches there are must not show. */
interface Caches extends StoreSettings {
  /** Rows at the head of a partition that are kept. */
  readonly rows: number
}

const NO_CACHES: Caches = { rows: 0 }

function randomCaches(dice: Dice): Caches {
  return {
    rows: dice.pick([0, 1, 2, 5, Number.POSITIVE_INFINITY]),
    rowCacheBytes: dice.pick([0, 3_000, 100_000, 1_000_000]),
    blockCacheBytes: dice.pick([0, 2_000, 1_000_000]),
    indexCacheBytes: dice.pick([0, 1_000_000]),
    openFilesMax: dice.pick([1, 3, 1_000]),
  }
}

async function open(disk: SimulatedDisk | null, caches = NO_CACHES): Promise<Store> {
  // What has expired for the reader, and only that, has for the store.
  const clock = { ...openNodeClock(), wallMicros: () => NOW * 1_000_000 }
  const runtime = disk ? storageRuntime(clock, disk) : memoryRuntime(clock)
  const { rows, ...settings } = caches
  const store = await openStore({ runtime, directory: disk ? '/data' : null, settings })
  await store.registerTable(TABLE, {
    keyspace: 'k',
    name: 't',
    durableWrites: true,
    hasClustering: true,
    options: { ...DEFAULT_TABLE_OPTIONS, caching: { keys: true, rowsPerPartition: rows } },
  })
  return store
}

/** What the command should give, worked out from all that is visible. */
function expected(all: readonly SeenPartition[], command: ReadCommand): SeenPartition[] {
  const { target, slices, reversed } = command
  const given: SeenPartition[] = []
  for (const { partition, statics, rows } of all) {
    const position = encodePosition(partition)
    if (target.kind === 'partition' && !position.equals(target.position)) continue
    if (target.kind === 'range') {
      if (target.start && position.compare(target.start) < 0) continue
      if (target.end && position.compare(target.end) >= 0) continue
    }
    let kept = rows.filter(({ clustering }) => {
      const bytes = Buffer.from(clustering, 'latin1')
      return slices === null || slices.some(({ start, end }) => start.compare(bytes) <= 0 && bytes.compare(end) < 0)
    })
    if (reversed) kept = kept.reverse()
    kept = kept.slice(0, command.perPartitionLimit)
    if (statics || kept.length > 0) given.push({ partition, statics, rows: kept })
  }
  return given
}

const BOUNDS = ['', 'a', 'b', 'b`', 'c', 'd`', 'e', 'f', 'h', '\xff']

function randomCommand(dice: Dice, all: readonly SeenPartition[]): ReadCommand {
  const partition = dice.pick(['p', 'q', 'longer partition key', 'nobody'])
  let target: ReadCommand['target'] = { kind: 'partition', position: encodePosition(partition) }
  if (dice.chance(0.4)) {
    const bounds = [null, ...all.map((seen) => encodePosition(seen.partition))]
    target = { kind: 'range', start: dice.pick(bounds), end: dice.pick(bounds) }
  }
  let slices: Slice[] | null = null
  if (dice.chance(0.7)) {
    const cuts = BOUNDS.filter(() => dice.chance(0.4)).map((bound) => Buffer.from(bound, 'latin1'))
    slices = []
    for (let i = 0; i + 1 < cuts.length; i += 2) slices.push({ start: cuts[i]!, end: cuts[i + 1]! })
    if (dice.chance(0.2)) {
      const start = Buffer.from(dice.pick(['a', 'b', 'h']))
      slices = [{ start, end: Buffer.concat([start, Buffer.from('`')]), single: true }]
    }
  }
  const perPartitionLimit = dice.chance(0.2) ? 1 + dice.int(3) : Infinity
  return { ...ALL, target, slices, reversed: dice.chance(0.4), perPartitionLimit }
}

/** Reads page by page, as a client would, and puts the pages together. */
async function readInPages(store: Store, command: ReadCommand, limit: number): Promise<SeenPartition[]> {
  const pages: SeenPartition[] = []
  let after: ReadPoint | null = null
  for (;;) {
    const result: ReadResult = await store.read({ ...command, limit, after })
    for (const seen of storeView(result, NOW)) {
      const last = pages.at(-1)
      if (last?.partition === seen.partition) pages[pages.length - 1] = { ...last, rows: [...last.rows, ...seen.rows] }
      else pages.push(seen)
    }
    const last = result.partitions.at(-1)
    if (!result.more || !last) return pages
    const given: number = (after?.position.equals(last.position) ? after.rowsGiven : 0) + last.rows.length
    after = {
      position: Buffer.from(last.position),
      clustering: last.rows.length > 0 ? Buffer.from(last.rows.at(-1)!.clustering) : null,
      partitionDone: last.rows.length === 0 || given >= command.perPartitionLimit,
      rowsGiven: given,
    }
  }
}

for (const durable of [false, true])
  t.test(`reads agree with the model, ${durable ? 'on disk' : 'in memory'}`, async (t) => {
    for (const seed of testSeeds(durable ? 18 : 40)) {
      const dice = createDice(seed)
      const disk = durable ? openSimulatedDisk() : null
      const caches = randomCaches(dice)
      let store = await open(disk, caches)
      const model: Model = new Map()
      for (let n = 1 + dice.int(60); n > 0; n--) {
        const write = randomWrite(dice)
        record(model, write)
        void store.apply([encodeWrite(write, TABLE_BYTES)])
        if (!durable) continue
        if (dice.chance(0.1)) await store.flush()
        if (dice.chance(0.03)) {
          await store.close()
          store = await open(disk, caches)
        }
        // What is read in between must not be what is read later.
        if (dice.chance(0.3)) await store.read(randomCommand(dice, []))
      }
      const all = modelView(model, NOW)
      const message = `TEST_SEED=${seed}`
      const whole = storeView(await store.read(ALL), NOW)
      if (!t.same(whole, all, message)) return
      for (let n = 0; n < 20; n++) {
        const command = randomCommand(dice, all)
        const want = expected(all, command)
        if (!t.same(storeView(await store.read(command), NOW), want, message)) return
        if (!t.same(await readInPages(store, command, 1 + dice.int(4)), want, `${message} paged`)) return
      }
      await store.close()
    }
  })

t.test('the byte limit ends a page after the row that reaches it', async (t) => {
  const store = await open(null)
  for (const clustering of ['a', 'b', 'c'])
    void store.apply([
      encodeWrite(
        {
          partition: 'p',
          changes: [
            {
              kind: 'row',
              isStatic: false,
              clustering,
              liveness: { ts: 1n, ttl: 0, expiresAt: 0 },
              deletion: null,
              cells: [],
            },
          ],
        },
        TABLE_BYTES,
      ),
    ])
  const result = await store.read({ ...ALL, byteLimit: 12 })
  t.equal(result.partitions[0]!.rows.length, 2)
  t.equal(result.more, true)
})

t.test(
  'a truncation that the manifest did not take can be tried again, whether the table was empty or not',
  async (t) => {
    for (const isEmpty of [true, false]) {
      const disk = openSimulatedDisk()
      const snapshots = { auto: true, autoTtlMs: null, describe: () => '' }
      const store = await open(disk, { ...NO_CACHES, snapshots })
      if (!isEmpty) await store.apply([encodeWrite(randomWrite(createDice(1)), TABLE_BYTES)])
      disk.onOperation = (operation, path) => {
        if (operation === 'sync' && path.includes('MANIFEST')) throw diskError('EIO', path)
      }
      await t.rejects(store.truncate(TABLE))
      disk.onOperation = null
      await store.truncate(TABLE)
      t.same((await store.read(ALL)).partitions, [])
      await store.close()
    }
  },
)

t.test('a truncated table is empty', async (t) => {
  const store = await open(null)
  void store.apply([encodeWrite(randomWrite(createDice(1)), TABLE_BYTES)])
  await store.truncate(TABLE)
  t.same((await store.read(ALL)).partitions, [])
  t.same(END_OF_PARTITION, Buffer.from([0xff]))
})

t.test(
  'a deletion of the partition covers its static row, though the row asked for is newer than all its file holds',
  async (t) => {
    const store = await open(openSimulatedDisk())
    const row = (isStatic: boolean, ts: bigint): Change => ({
      kind: 'row',
      isStatic,
      clustering: isStatic ? '' : 'a',
      liveness: isStatic ? null : { ts, ttl: 0, expiresAt: 0 },
      deletion: null,
      cells: [{ column: 0, path: null, kind: 'live', ts, localTime: 0, ttl: 0, value: 'v' }],
    })
    const write = async (change: Change): Promise<void> => {
      await store.apply([encodeWrite({ partition: 'p', changes: [change] }, TABLE_BYTES)])
      await store.flush()
    }
    await write(row(true, 1n))
    await write({ kind: 'partition', ts: 2n, localTime: NOW })
    await write(row(false, 3n))
    const start = Buffer.from('a')
    const { partitions } = await store.read({
      ...ALL,
      target: { kind: 'partition', position: encodePosition('p') },
      slices: [{ start, end: Buffer.from('a\0'), single: true }],
      columns: [0],
    })
    t.equal(partitions[0]?.rows.length, 1)
    t.equal(partitions[0]?.staticRow, null)
    await store.close()
  },
)
