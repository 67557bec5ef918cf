/** The manifest: groups of edits hold whole or not at all, survive power losses, and damage to a confirmed one is found. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openNodeDisk } from '../../lib/runtime/node/disk.ts'
import type { Disk, Random } from '../../lib/runtime/runtime.ts'
import { diskError, openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { CorruptionError, StorageError } from '../../storage/errors.ts'
import { type Edit, type Manifest, openManifest, type TableFile } from '../../storage/manifest.ts'

const SEED = Number(process.env.TEST_SEED ?? 7)
const ROOT = '/tables'

async function simulated(): Promise<SimulatedDisk> {
  const disk = openSimulatedDisk()
  await disk.mkdir(ROOT)
  await disk.syncDirectory('/')
  return disk
}

function open(disk: Disk, directory = ROOT, editBytes = 1 << 16): Promise<Manifest> {
  return openManifest({ disk, random: createSeededRandom(SEED) }, directory, { editBytes })
}

function fileOf(random: Random, number: number): TableFile {
  const bytes = (length: number): Buffer => random.fill(Buffer.alloc(length))
  return {
    number,
    level: Math.floor(random.float() * 7),
    fileBytes: Math.floor(random.float() * 2 ** 40),
    repairedAtMs: Math.floor(random.float() * 2 ** 41),
    uid: bytes(8),
    minPosition: bytes(12),
    maxPosition: bytes(20),
  }
}

/** Everything that holds, as plain data. */
function stateOf(manifest: Manifest): unknown {
  return {
    log: manifest.logPosition,
    tables: [...manifest.tables.values()].map((table) => ({ ...table, files: [...table.files.values()] })),
  }
}

/** A legal group of edits for what the manifest now says. */
function randomGroup(random: Random, manifest: Manifest): Edit[] {
  const tables = [...manifest.tables.values()]
  const table = tables[Math.floor(random.float() * tables.length)]
  if (!table || random.float() < 0.1) {
    const name = `t${Math.floor(random.float() * 1e6)}`
    return [{ kind: 'table', table: name, directory: `ks/${name}` }]
  }
  if (random.float() < 0.05) return [{ kind: 'dropped', table: table.table }]
  const edits: Edit[] = []
  for (const number of table.files.keys())
    if (random.float() < 0.3) edits.push({ kind: 'remove', table: table.table, number })
  edits.push({ kind: 'add', table: table.table, file: fileOf(random, manifest.takeFileNumber()) })
  const position = Math.floor(random.float() * 2 ** 50)
  if (random.float() < 0.5) edits.push({ kind: 'flushed', table: table.table, position })
  if (random.float() < 0.1)
    edits.push({ kind: 'truncated', table: table.table, position, atMs: 1_700_000_000_000 + position })
  return edits
}

t.test('edits come back, through restarts and rewrites, on both disks', async (t) => {
  const random = createSeededRandom(SEED)
  const root = await mkdtemp(join(tmpdir(), 'polyxena-manifest-'))
  for (const [disk, directory] of [[openNodeDisk(), `${root}/tables`] as const, [await simulated(), ROOT] as const]) {
    let manifest = await open(disk, directory, 3000)
    t.equal(manifest.existed, false)
    for (let restart = 0; restart < 5; restart++) {
      for (let i = 0; i < 25; i++) await manifest.apply(randomGroup(random, manifest))
      const before = stateOf(manifest)
      const used = manifest.takeFileNumber()
      await manifest.close()
      manifest = await open(disk, directory, 3000)
      t.same(stateOf(manifest), before)
      t.ok(manifest.existed && manifest.takeFileNumber() <= used)
    }
    const size = (await disk.stat(`${directory}/MANIFEST`))!.size
    t.ok(size < 20_000, `${size} bytes`)
    await manifest.close()
    await t.rejects(manifest.apply([{ kind: 'table', table: 'x', directory: 'x' }]), StorageError)
  }
  await rm(root, { recursive: true })
})

t.test('groups are applied in order, each after its sync; after one that failed a new file begins', async (t) => {
  for (const failing of ['write', 'sync', 'rename', 'syncDirectory', 'link'] as const) {
    const disk = await simulated()
    const manifest = await open(disk)
    const create = (table: string): Promise<void> => manifest.apply([{ kind: 'table', table, directory: `k/${table}` }])
    await Promise.all([create('a'), create('b')])
    disk.onOperation = (operation, path) => {
      if (operation === failing || (operation === 'sync' && failing !== 'write')) throw diskError('EIO', path)
    }
    await t.rejects(create('c'), StorageError)
    await t.rejects(create('d'), StorageError)
    t.same([...manifest.tables.keys()], ['a', 'b'])
    disk.onOperation = null
    await create('e')
    t.same([...manifest.tables.keys()], ['a', 'b', 'e'])
    const found = await open(disk.crash(0, createSeededRandom(SEED)))
    t.same([...found.tables.keys()], ['a', 'b', 'e'], 'what failed is not there')
    await found.close()
    await manifest.close()
    await t.rejects(create('f'), StorageError)
  }
})

t.test('the file is as large as its header says from the start, and is replaced when it is full', async (t) => {
  const disk = await simulated()
  const manifest = await open(disk, ROOT, 1000)
  const sizes = new Set<number>()
  const tables = Array.from({ length: 60 }, (_, i) => `table ${i}`)
  for (const table of tables) {
    await manifest.apply([{ kind: 'table', table, directory: `k/${table}`.repeat(table.length > 7 ? 1 : 60) }])
    sizes.add((await disk.stat(`${ROOT}/MANIFEST`))!.size)
  }
  await manifest.close()
  t.ok(sizes.size > 3 && sizes.size < 12, `${sizes.size} files`)
  const again = await open(disk)
  t.same([...again.tables.keys()], tables)
  await again.close()
})

t.test('opens on a full disk, and goes on when there is room', async (t) => {
  const disk = await simulated()
  const manifest = await open(disk)
  await manifest.apply([{ kind: 'table', table: 'a', directory: 'k/a' }])
  await manifest.close()
  disk.onOperation = (operation, path) => {
    if (operation === 'write' || operation === 'link') throw diskError('ENOSPC', path)
  }
  const full = await open(disk)
  t.same([...full.tables.keys()], ['a'])
  await t.rejects(full.apply([{ kind: 'table', table: 'b', directory: 'k/b' }]), StorageError)
  disk.onOperation = null
  await full.apply([{ kind: 'table', table: 'c', directory: 'k/c' }])
  await full.close()
  const again = await open(disk)
  t.same([...again.tables.keys()], ['a', 'c'])
  await again.close()
})

t.test('a power loss at every operation: confirmed groups are there, a last one whole or not at all', async (t) => {
  for (const survival of [0, 0.5, 1]) {
    const random = createSeededRandom(SEED + survival * 10)
    for (let stopAt = 5; stopAt < 120; stopAt++) {
      const disk = await simulated()
      let crashed: SimulatedDisk | null = null
      const states: string[] = []
      let confirmed = 0
      disk.onOperation = (_operation, _path, index) => {
        if (index === stopAt && !crashed) {
          crashed = disk.crash(survival, random)
          confirmed = states.length
        }
      }
      const manifest = await open(disk, ROOT, 600)
      states.push(JSON.stringify(stateOf(manifest)))
      while (!crashed) {
        await manifest.apply(randomGroup(random, manifest))
        states.push(JSON.stringify(stateOf(manifest)))
      }
      await manifest.close()
      const found = await open(crashed, ROOT, 600)
      const state = JSON.stringify(stateOf(found))
      const allowed = states.slice(Math.max(0, confirmed - 1), confirmed + 1)
      if (!allowed.includes(state)) t.fail(`operation ${stopAt}, survival ${survival}: another state came back`)
      await found.close()
    }
  }
})

t.test('every byte flipped or zeroed is found, or changes nothing; every cut is found', async (t) => {
  const random = createSeededRandom(SEED)
  const disk = await simulated()
  const manifest = await open(disk, ROOT, 1024)
  await manifest.apply([{ kind: 'table', table: 'a', directory: 'k/a' }])
  for (let i = 0; i < 8; i++) await manifest.apply(randomGroup(random, manifest))
  const expected = stateOf(manifest)
  await manifest.close()
  const path = `${ROOT}/MANIFEST`
  const content = disk.files().get(path)!
  const used = content.findLastIndex((byte) => byte !== 0)
  t.ok(content.length - used > 100, 'there is unused room')
  const refused = async (what: string, damaged: Buffer, mayBeWhole: boolean): Promise<boolean> => {
    const copy = openSimulatedDisk({ files: new Map([[path, damaged]]), directories: ['/', ROOT] })
    try {
      const found = await open(copy)
      if (!mayBeWhole) t.fail(what)
      else t.same(stateOf(found), expected, what)
      await found.close()
      return false
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error
      return true
    }
  }
  let found = 0
  for (let at = 0; at < content.length; at++) {
    const damaged = Buffer.from(content)
    damaged[at]! ^= 1 << Math.floor(random.float() * 8)
    if (await refused(`flipped at ${at}`, damaged, true)) found++
    damaged[at] = 0
    if (await refused(`zeroed at ${at}`, damaged, true)) found++
    await refused(`cut at ${at}`, content.subarray(0, at), false)
  }
  t.ok(found > used, `${found} of ${content.length} positions`)
})
