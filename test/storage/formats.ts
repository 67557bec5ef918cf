/**
 * Data directories as each version of the formats on disk left them are opened and read as long as the version is read at all: test/golden/formats has
 * one for each set of versions, its files as they were (MANIFEST, SSTables, a commit log that was not closed) and in expected.json what they hold.
 * WRITE_FIXTURE=1 writes that of the present versions, if it is not there; those that are there are never written again.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { uuidBytes } from '../../lib/base/uuid.ts'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { BlockCache } from '../../storage/cache.ts'
import { SEGMENT_VERSION } from '../../storage/commitlog/segment.ts'
import { MANIFEST_VERSION } from '../../storage/manifest-format.ts'
import { ALL_ROWS, type ReadCommand } from '../../storage/model/command.ts'
import { partitionRecordKey } from '../../storage/read/keys.ts'
import { TABLE_VERSION } from '../../storage/sstable/format.ts'
import { openTableReader } from '../../storage/sstable/reader.ts'
import { verifyTable } from '../../storage/sstable/verify.ts'
import { openTableWriter } from '../../storage/sstable/writer.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import type { StoredTable } from '../../storage/table-store.ts'
import { settled } from '../support/power-loss.ts'
import { createDice } from '../support/random.ts'
import {
  encodePosition,
  encodeWrite,
  type Model,
  modelView,
  NOW,
  randomWrite,
  record,
  type SeenPartition,
  storeView,
} from '../support/storage-model.ts'
import { storageRuntime } from '../support/storage-runtime.ts'

const GOLDEN = join(dirname(fileURLToPath(import.meta.url)), '../../../test/golden/formats')
const VERSIONS = `sstable-${TABLE_VERSION}_commitlog-${SEGMENT_VERSION}_manifest-${MANIFEST_VERSION}`

interface Expected {
  /** Second at which the tables are read. */
  readonly now: number
  /** By table id. */
  readonly tables: Readonly<Record<string, readonly SeenPartition[]>>
  /** By path: how many entries, how many levels of the index, and for small ones each `key value` in hexadecimal. */
  readonly sstables: Readonly<
    Record<string, { readonly entries: number; readonly levels: number; readonly dump?: string[] }>
  >
}

const OPTIONS = { ...DEFAULT_TABLE_OPTIONS, compaction: { ...DEFAULT_TABLE_OPTIONS.compaction, enabled: false } }
/** All shapes of rows, in blocks of several rows; and rows each in a block of its own, not compressed, without a filter. */
const TABLES: Readonly<Record<string, StoredTable>> = {
  '5a1c395e-b41f-11e5-9f22-ba0be0483c18': table('shapes', OPTIONS),
  '5a1c395e-b41f-11e5-9f22-ba0be0483c19': table('single', {
    ...OPTIONS,
    compression: { enabled: false, blockBytes: 1 },
    bloomFilterFpChance: 1,
  }),
}
const [SHAPES, SINGLE] = Object.keys(TABLES) as [string, string]
const TWO_LEVELS = '/data/two-levels.sst'
const DUMPED_ENTRIES_MAX = 200

function table(name: string, options: StoredTable['options']): StoredTable {
  return { keyspace: 'k', name, durableWrites: true, hasClustering: true, shape: `{"name":"${name}"}`, options }
}

function all(id: string): ReadCommand {
  return {
    ...ALL_ROWS,
    table: id,
    target: { kind: 'range', start: null, end: null },
    wantStatic: true,
    staticCounts: true,
    nowSeconds: NOW,
  }
}

async function open(disk: SimulatedDisk): Promise<{ store: Store; wait: <T>(promise: Promise<T>) => Promise<T> }> {
  const clock = createSimulatedClock(NOW * 1_000_000)
  const wait = <T>(promise: Promise<T>): Promise<T> => settled(clock, promise)
  const settings = { commitLog: { mode: 'group', segmentBytes: 16 * 1024 } } as const
  const store = await wait(openStore({ runtime: storageRuntime(clock, disk), directory: '/data', settings }))
  for (const [id, stored] of Object.entries(TABLES)) await wait(store.registerTable(id, stored))
  return { store, wait }
}

async function dump(disk: SimulatedDisk, path: string): Promise<Expected['sstables'][string]> {
  const reader = await openTableReader(disk, path, { cache: new BlockCache(0) })
  await verifyTable(reader)
  const lines: string[] = []
  const cursor = reader.cursor()
  for (await cursor.seek(Buffer.alloc(0)); cursor.valid; await cursor.next())
    lines.push(`${cursor.key.toString('hex')} ${cursor.value.toString('hex')}`)
  const { indexLevels: levels } = reader.footer
  await reader.close()
  return { entries: lines.length, levels, ...(lines.length <= DUMPED_ENTRIES_MAX ? { dump: lines } : {}) }
}

function sstables(disk: SimulatedDisk): string[] {
  return [...disk.files().keys()].filter((path) => path.endsWith('.sst')).sort()
}

/** Writes the present versions' fixture: three quarters of the writes are in SSTables, the rest in the commit log of a node that was killed. */
async function writeFixture(folder: string): Promise<void> {
  const disk = openSimulatedDisk()
  await disk.mkdir('/data')
  const { store, wait } = await open(disk)
  const dice = createDice(20_260)
  const models = new Map<string, Model>([SHAPES, SINGLE].map((id) => [id, new Map()]))
  const write = async (id: string): Promise<void> => {
    const made = randomWrite(dice)
    record(models.get(id)!, made)
    await wait(Promise.resolve(store.apply([encodeWrite(made, uuidBytes(id))])))
  }
  for (let i = 0; i < 80; i++) {
    await write(SHAPES)
    if (i % 20 === 19 && i < 60) await wait(store.flush(SHAPES))
  }
  for (let i = 0; i < 100; i++) {
    const partition = `partition ${i}`
    const made = {
      partition,
      changes: [
        {
          kind: 'row',
          isStatic: false,
          clustering: 'a',
          liveness: { ts: BigInt(i), ttl: 0, expiresAt: 0 },
          deletion: null,
          cells: [],
        },
      ],
    } as const
    record(models.get(SINGLE)!, made)
    await wait(Promise.resolve(store.apply([encodeWrite(made, uuidBytes(SINGLE))])))
  }
  await wait(store.flush(SINGLE))
  await writeTwoLevels(disk)
  const expected: Expected = {
    now: NOW,
    tables: Object.fromEntries([...models].map(([id, model]) => [id, modelView(model, NOW)])),
    sstables: Object.fromEntries(
      await Promise.all(sstables(disk).map(async (path) => [path, await dump(disk, path)] as const)),
    ),
  }
  for (const [path, content] of disk.files()) {
    const file = join(folder, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, content)
  }
  writeFileSync(join(folder, 'expected.json'), `${JSON.stringify(expected, null, 1)}\n`)
}

/** An SSTable whose index is large enough, for its small blocks, to have two levels. */
async function writeTwoLevels(disk: SimulatedDisk): Promise<void> {
  const writer = await openTableWriter(disk, TWO_LEVELS, {
    uid: Buffer.from('2 levels'),
    partitionsEstimate: 100,
    blockBytes: 64,
    indexBlockBytes: 256,
  })
  const value = Buffer.alloc(12)
  for (let i = 0; i < 100; i++) await writer.add(partitionRecordKey(encodePosition(`p${100 + i}`), 0), value)
  await writer.finish()
}

function load(folder: string): SimulatedDisk {
  const files = new Map<string, Buffer>()
  const directories = new Set(['/'])
  for (const entry of readdirSync(join(folder, 'data'), { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    const inside = path.slice(folder.length)
    if (entry.isDirectory()) directories.add(inside)
    else files.set(inside, readFileSync(path))
  }
  directories.add('/data')
  return openSimulatedDisk({ files, directories })
}

const present = join(GOLDEN, VERSIONS)
if (process.env.WRITE_FIXTURE && !existsSync(present)) await writeFixture(present)

t.test('the present versions have their fixture', async (t) => {
  t.ok(existsSync(present), `a change of a format keeps the old fixtures and adds its own: WRITE_FIXTURE=1, ${present}`)
})

for (const versions of readdirSync(GOLDEN).sort())
  t.test(`a data directory of ${versions} is read as it was written`, async (t) => {
    const folder = join(GOLDEN, versions)
    const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Expected
    const disk = load(folder)
    t.same(sstables(disk), Object.keys(expected.sstables))
    for (const [path, wanted] of Object.entries(expected.sstables)) t.same(await dump(disk, path), wanted, path)
    for (const opened of ['as it was left', 'after a start of this version']) {
      const { store, wait } = await open(disk)
      for (const [id, wanted] of Object.entries(expected.tables)) {
        const seen = storeView(await wait(Promise.resolve(store.read(all(id)))), expected.now)
        t.same(seen, wanted, `${id}, ${opened}`)
      }
      await wait(store.close())
    }
  })
