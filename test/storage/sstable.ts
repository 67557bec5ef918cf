/** SSTables: what was written is found again, from every side; damage is found before it becomes an answer. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ByteWriter } from '../../lib/base/bytes.ts'
import { openNodeDisk } from '../../lib/runtime/node/disk.ts'
import type { Disk, Random } from '../../lib/runtime/runtime.ts'
import { openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { BlockCache } from '../../storage/cache.ts'
import { CorruptionError } from '../../storage/errors.ts'
import { EntryKind } from '../../storage/model/mutation.ts'
import { RowWriter } from '../../storage/model/row-writer.ts'
import { createBloomFilter } from '../../storage/sstable/bloom.ts'
import { openTableReader, type TableReader } from '../../storage/sstable/reader.ts'
import { droppableBefore } from '../../storage/sstable/statistics.ts'
import { openTableWriter, type TableWriterOptions, type WrittenTable } from '../../storage/sstable/writer.ts'

const SEED = Number(process.env.TEST_SEED ?? 7)

interface Entry {
  readonly key: Buffer
  readonly value: Buffer
}

function rowOf(random: Random, bytesMax: number): Buffer {
  const out = new ByteWriter()
  const row = new RowWriter(out)
  row.begin()
  row.liveness(0x60000, Math.floor(random.float() * 0xffffffff), 0, 0)
  const value = Buffer.alloc(Math.floor(random.float() * bytesMax))
  if (random.float() < 0.5) random.fill(value)
  row.cell(1, 0x60000, 5, value)
  row.end()
  return out.copy()
}

function deletion(random: Random): Buffer {
  return Buffer.concat([random.fill(Buffer.alloc(8)), Buffer.from([0x65, 0, 0, 1])])
}

/** Sorted entries of all kinds, partitions of one and of many rows. */
function randomEntries(random: Random, partitions: number, bytesMax = 200): Entry[] {
  const entries: Entry[] = []
  for (let i = 0; i < partitions; i++) {
    const key = random.fill(Buffer.alloc(1 + Math.floor(random.float() * 20)))
    const head = random.fill(Buffer.alloc(10))
    head.writeUInt16BE(key.length, 8)
    const position = Buffer.concat([head, key])
    const at = (kind: number, rest: Buffer): Buffer => Buffer.concat([position, Buffer.from([kind]), rest])
    if (random.float() < 0.1)
      entries.push({ key: at(EntryKind.PARTITION_DELETION, Buffer.alloc(0)), value: deletion(random) })
    if (random.float() < 0.2)
      entries.push({ key: at(EntryKind.STATIC_ROW, Buffer.alloc(0)), value: rowOf(random, bytesMax) })
    if (random.float() < 0.1)
      entries.push({
        key: at(EntryKind.RANGE_TOMBSTONE, Buffer.from([7])),
        value: Buffer.concat([deletion(random), Buffer.from([9])]),
      })
    const rows = random.float() < 0.2 ? Math.floor(random.float() * 60) : 1
    for (let r = 0; r < rows; r++) {
      const clustering = Buffer.alloc(4 + Math.floor(random.float() * 3) * 20, 3)
      clustering.writeUInt32BE(r * 10, 0)
      entries.push({ key: at(EntryKind.ROW, clustering), value: rowOf(random, bytesMax) })
    }
  }
  return entries.sort((a, b) => a.key.compare(b.key))
}

async function writeTable(
  disk: Disk,
  path: string,
  entries: readonly Entry[],
  options: Partial<TableWriterOptions> = {},
): Promise<WrittenTable> {
  const uid = createSeededRandom(entries.length).fill(Buffer.alloc(8))
  const writer = await openTableWriter(disk, path, { uid, partitionsEstimate: 100, ...options })
  for (const { key, value } of entries) {
    const wait = writer.add(key, value)
    if (wait) await wait
  }
  return writer.finish()
}

async function simulated(): Promise<SimulatedDisk> {
  const disk = openSimulatedDisk()
  await disk.mkdir('/t')
  await disk.syncDirectory('/')
  return disk
}

function open(disk: Disk, path: string, cacheBytes = 1 << 20): Promise<TableReader> {
  return openTableReader(disk, path, { cache: new BlockCache(cacheBytes) })
}

const SHAPES: Partial<TableWriterOptions>[] = [
  {},
  { blockBytes: 300, restartInterval: 3, indexBlockBytes: 200 },
  { blockBytes: 1, restartInterval: 1, compressed: false, falsePositiveChance: 1 },
  { blockBytes: 1000, indexBlockBytes: 400, falsePositiveChance: 0.2 },
]

t.test('what was written is found: look-ups, absent keys, whole scans both ways, on both disks', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'polyxena-sst-'))
  const random = createSeededRandom(SEED)
  for (const [index, shape] of SHAPES.entries()) {
    for (const disk of [openNodeDisk(), await simulated()]) {
      const path = `${'crash' in disk ? '/t' : root}/${index}.sst`
      const entries = randomEntries(random, 120)
      const written = await writeTable(disk, path, entries, shape)
      const table = await openTableReader(disk, path, {
        cache: new BlockCache(64 * 1024),
        expected: { uid: written.uid, fileBytes: written.fileBytes },
      })
      t.equal(table.footer.indexLevels, 'indexBlockBytes' in shape ? 2 : 1)
      for (const { key, value } of entries) {
        const found = await table.get(key)
        if (!found?.equals(value)) t.fail(`shape ${index}: ${key.toString('hex')} not found`)
        if (!table.mayHold(key.subarray(0, 10 + key.readUInt16BE(8)))) t.fail('the filter denies a partition')
        const other = Buffer.concat([key, Buffer.from([0])])
        if ((await table.get(other)) !== null) t.fail('a key that was not written')
        if ((await table.get(key.subarray(0, key.length - 1))) !== null && key.length > 12) t.fail('a prefix of a key')
      }
      const cursor = table.cursor()
      let at = 0
      for (await cursor.first(); cursor.valid; await cursor.next(), at++)
        if (!cursor.key.equals(entries[at]!.key) || !cursor.value.equals(entries[at]!.value)) t.fail(`forward ${at}`)
      t.equal(at, entries.length)
      for (await cursor.last(); cursor.valid; await cursor.previous())
        if (!cursor.key.equals(entries[--at]!.key) || !cursor.value.equals(entries[at]!.value)) t.fail(`back ${at}`)
      t.equal(at, 0)
      await table.verify()
      await table.close()
    }
  }
  await rm(root, { recursive: true })
})

t.test('cursors from any bound, turning at will, agree with an array', async (t) => {
  const random = createSeededRandom(SEED)
  const disk = await simulated()
  for (const [index, shape] of SHAPES.entries()) {
    const entries = randomEntries(random, 40)
    await writeTable(disk, `/t/${index}`, entries, shape)
    const table = await open(disk, `/t/${index}`)
    const cursor = table.cursor()
    for (let round = 0; round < 400; round++) {
      const bound = boundNear(random, entries)
      const reversed = random.float() < 0.5
      const first = entries.findIndex(({ key }) => key.compare(bound) >= 0)
      let at = first < 0 ? entries.length : first
      if (reversed) at -= 1
      await (reversed ? cursor.seekBefore(bound) : cursor.seek(bound))
      for (let step = 0; step < 12; step++) {
        const expected = entries[at]
        if (cursor.valid !== (expected !== undefined) || (expected && !cursor.key.equals(expected.key)))
          t.fail(`shape ${index}, round ${round}, step ${step}`)
        if (!expected) break
        const back = random.float() < 0.4
        at += back ? -1 : 1
        await (back ? cursor.previous() : cursor.next())
      }
    }
    await table.close()
  }
})

function boundNear(random: Random, entries: readonly Entry[]): Buffer {
  const { key } = entries[Math.floor(random.float() * entries.length)]!
  const bound = Buffer.from(key)
  const chance = random.float()
  if (chance < 0.3) return bound
  if (chance < 0.5) return Buffer.concat([bound, Buffer.from([0])])
  if (chance < 0.7) return bound.subarray(0, Math.floor(random.float() * bound.length))
  bound[Math.floor(random.float() * bound.length)] = Math.floor(random.float() * 256)
  return bound
}

t.test('bounds spare reads beyond them and change no entry inside', async (t) => {
  const random = createSeededRandom(SEED)
  const disk = await simulated()
  const entries = randomEntries(random, 100)
  await writeTable(disk, '/t/1', entries, { blockBytes: 400 })
  let bounded = 0
  let free = 0
  for (let round = 0; round < 60; round++) {
    const [start, end] = [boundNear(random, entries), boundNear(random, entries)].sort(Buffer.compare)
    const inside = entries.filter(({ key }) => key.compare(start!) >= 0 && key.compare(end!) < 0)
    for (const options of [{}, { start: start!, end: end! }]) {
      const table = await open(disk, '/t/1', 1)
      let reads = 0
      disk.onOperation = (operation) => {
        if (operation === 'read') reads += 1
      }
      for (const reversed of [false, true]) {
        const cursor = table.cursor(options)
        const found: Buffer[] = []
        await (reversed ? cursor.seekBefore(end!) : cursor.seek(start!))
        while (cursor.valid && cursor.key.compare(start!) >= 0 && cursor.key.compare(end!) < 0) {
          found.push(cursor.key)
          await (reversed ? cursor.previous() : cursor.next())
        }
        if (reversed) found.reverse()
        if (!Buffer.concat(found).equals(Buffer.concat(inside.map(({ key }) => key)))) t.fail(`round ${round}`)
      }
      disk.onOperation = null
      if ('end' in options) bounded += reads
      else free += reads
      await table.close()
    }
  }
  t.ok(bounded < free, `${bounded} reads with bounds, ${free} without`)
})

t.test('entries larger than a block, up to 16 MiB', async (t) => {
  const random = createSeededRandom(SEED)
  const disk = openNodeDisk()
  const root = await mkdtemp(join(tmpdir(), 'polyxena-sst-'))
  const entries = randomEntries(random, 30)
  const big = rowOf(random, 0)
  const grow = (bytes: number, fill: boolean): Buffer => {
    const out = new ByteWriter()
    const row = new RowWriter(out)
    row.begin()
    const value = Buffer.alloc(bytes, 3)
    row.cell(1, 1, 1, fill ? random.fill(value) : value)
    row.end()
    return out.copy()
  }
  const sizes = [20_000, 300_000, 16 * 1024 * 1024]
  const changed = entries.map((entry, index) => {
    const { length } = entry.key
    const isRow = entry.key[10 + entry.key.readUInt16BE(8)] === EntryKind.ROW && length > 0
    return isRow && index % 9 === 0 ? { key: entry.key, value: grow(sizes[(index / 9) % 3]!, index % 2 === 0) } : entry
  })
  t.ok(big.length < 100)
  await writeTable(disk, `${root}/1`, changed)
  const table = await open(disk, `${root}/1`)
  for (const { key, value } of changed) if (!(await table.get(key))?.equals(value)) t.fail('a large value')
  await table.verify()
  await table.close()
  await rm(root, { recursive: true })
})

t.test('look-ups and steps are synchronous once a block is in memory', async (t) => {
  const disk = await simulated()
  const entries = randomEntries(createSeededRandom(SEED), 20, 50)
  await writeTable(disk, '/t/1', entries)
  const table = await open(disk, '/t/1')
  const { key, value } = entries[5]!
  const first = table.get(key)
  t.ok(first instanceof Promise)
  t.same(await first, value)
  t.same(table.get(key), value)
  const cursor = table.cursor()
  t.equal(cursor.seek(key), undefined)
  t.equal(cursor.next(), undefined)
  t.same(cursor.key, entries[6]!.key)
  const kept = cursor.key
  const copy = Buffer.from(kept)
  cursor.next()
  t.same(kept, copy, 'a key that was given does not change')
  await table.close()
})

t.test('statistics tell what is inside', async (t) => {
  const random = createSeededRandom(SEED)
  const disk = await simulated()
  const entries = randomEntries(random, 200)
  const { statistics } = await writeTable(disk, '/t/1', entries)
  const table = await open(disk, '/t/1')
  t.same(table.statistics, statistics)
  const kinds = [0, 0, 0, 0]
  for (const { key } of entries) kinds[key[10 + key.readUInt16BE(8)]!]! += 1
  t.same([statistics.partitionDeletions, statistics.staticRows, statistics.rangeTombstones, statistics.rows], kinds)
  t.equal(statistics.entries, entries.length)
  t.equal(statistics.tombstones, kinds[0]! + kinds[2]!)
  t.same(statistics.minPosition, entries[0]!.key.subarray(0, 10 + entries[0]!.key.readUInt16BE(8)))
  t.equal(statistics.minLocalDeletionTime, 0x65000001)
  t.equal(droppableBefore(statistics, 0x65000001 - 1), 0)
  t.equal(droppableBefore(statistics, 0x65000001 + 120), statistics.tombstones)
  t.ok(statistics.minClustering!.compare(statistics.maxClustering!) <= 0)
  await table.close()
})

t.test('the bloom filter is wrong about as often as asked, and never about what is there', (t) => {
  const random = createSeededRandom(SEED)
  for (const chance of [0.1, 0.01, 0.001]) {
    for (const narrow of [false, true]) {
      const position = (): Buffer => {
        const bytes = random.fill(Buffer.alloc(18))
        if (narrow) bytes.fill(0x41, 0, 3)
        return bytes
      }
      const filter = createBloomFilter(5000, chance)!
      const present = Array.from({ length: 5000 }, position)
      for (const each of present) filter.add(each)
      t.ok(present.every((each) => filter.mightContain(each)))
      let wrong = 0
      for (let i = 0; i < 40_000; i++) if (filter.mightContain(position())) wrong += 1
      t.ok(wrong / 40_000 < chance * 1.5 && wrong / 40_000 > chance * 0.4, `${wrong / 40_000} for ${chance}`)
    }
  }
  t.equal(createBloomFilter(10, 1), null)
  t.end()
})

t.test('every byte flipped, zeroed or cut off is found before it becomes an answer', async (t) => {
  const random = createSeededRandom(SEED)
  const disk = await simulated()
  const entries = randomEntries(random, 14, 40)
  const written = await writeTable(disk, '/t/1', entries, { blockBytes: 300, indexBlockBytes: 100 })
  const content = disk.files().get('/t/1')!
  const answers = async (): Promise<'refused' | 'same'> => {
    let table: TableReader | null = null
    try {
      table = await openTableReader(disk, '/t/1', { cache: new BlockCache(), expected: written })
      for (const { key, value } of entries) {
        const found = await table.get(key)
        if (!found?.equals(value)) t.fail('a wrong answer')
      }
      const cursor = table.cursor()
      let at = 0
      for (await cursor.first(); cursor.valid; await cursor.next(), at++)
        if (!cursor.value.equals(entries[at]!.value)) t.fail('a wrong answer')
      if (at !== entries.length) t.fail('entries are missing')
      await table.verify()
      return 'same'
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error
      return 'refused'
    } finally {
      await table?.close()
    }
  }
  t.equal(await answers(), 'same')
  let unnoticed = 0
  for (let at = 0; at < content.length; at++) {
    const damaged = Buffer.from(content)
    damaged[at]! ^= 1 << Math.floor(random.float() * 8)
    disk.overwrite('/t/1', damaged)
    if ((await answers()) === 'same') unnoticed += 1
    if (content[at] !== 0) {
      damaged[at] = 0
      disk.overwrite('/t/1', damaged)
      if ((await answers()) === 'same') unnoticed += 1
    }
    disk.overwrite('/t/1', content.subarray(0, at))
    if ((await answers()) === 'same') unnoticed += 1
  }
  t.equal(unnoticed, 0, `${content.length} bytes`)
})

t.test('blocks of another file or place, and files under a wrong name, are refused', async (t) => {
  const disk = await simulated()
  const entries = randomEntries(createSeededRandom(SEED), 30, 40)
  const one = await writeTable(disk, '/t/1', entries, { blockBytes: 500, compressed: false })
  const two = await writeTable(disk, '/t/2', entries, { blockBytes: 500, compressed: false, uid: Buffer.alloc(8, 9) })
  const other = disk.files().get('/t/2')!
  const mixed = Buffer.from(disk.files().get('/t/1')!)
  other.copy(mixed, 24, 24, 200)
  disk.overwrite('/t/1', mixed)
  const table = await open(disk, '/t/1')
  await t.rejects(table.verify(), CorruptionError)
  await table.close()
  t.not(one.uid, two.uid)
  await t.rejects(openTableReader(disk, '/t/2', { cache: new BlockCache(), expected: one }), CorruptionError)
})

t.test('a finished table survives a power loss; an aborted one leaves nothing', async (t) => {
  const random = createSeededRandom(SEED)
  const disk = await simulated()
  const entries = randomEntries(random, 50)
  await writeTable(disk, '/t/1', entries)
  const table = await open(disk.crash(0, random), '/t/1')
  await table.verify()
  await table.close()
  const writer = await openTableWriter(disk, '/t/2', { uid: Buffer.alloc(8), partitionsEstimate: 1 })
  writer.add(entries[0]!.key, entries[0]!.value)
  t.throws(() => writer.add(entries[0]!.key, entries[0]!.value), { name: 'AssertionError' })
  await writer.abort()
  t.equal(await disk.stat('/t/2'), null)
})

t.test('the cache keeps to its bytes, and forgets a closed file', async (t) => {
  const disk = await simulated()
  const entries = randomEntries(createSeededRandom(SEED), 200)
  await writeTable(disk, '/t/1', entries, { blockBytes: 1000 })
  const cache = new BlockCache(20_000)
  const table = await openTableReader(disk, '/t/1', { cache })
  for (const { key } of entries) {
    await table.get(key)
    if (cache.bytes > 20_000) t.fail('over the budget')
  }
  t.ok(cache.bytes > 10_000 && cache.hits > 0 && cache.misses > 0)
  await table.close()
  t.equal(cache.bytes, 0)
})
