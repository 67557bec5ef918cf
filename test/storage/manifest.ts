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

function open(disk: Disk, directory = ROOT, bytesMax = 1 << 20): Promise<Manifest> {
  return openManifest({ disk, random: createSeededRandom(SEED) }, directory, { bytesMax })
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

t.test('groups are applied in order, each after its sync; one that fails is the last', async (t) => {
  const disk = await simulated()
  const manifest = await open(disk)
  const create = (table: string): Promise<void> => manifest.apply([{ kind: 'table', table, directory: `k/${table}` }])
  await Promise.all([create('a'), create('b')])
  disk.onOperation = (operation, path) => {
    if (operation === 'sync') throw diskError('EIO', path)
  }
  await t.rejects(create('c'), StorageError)
  disk.onOperation = null
  await t.rejects(create('d'), StorageError)
  t.same([...manifest.tables.keys()], ['a', 'b'])
  await manifest.close()
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

t.test('every byte flipped or zeroed is found, or changes nothing', async (t) => {
  const random = createSeededRandom(SEED)
  const disk = await simulated()
  const manifest = await open(disk)
  await manifest.apply([{ kind: 'table', table: 'a', directory: 'k/a' }])
  for (let i = 0; i < 12; i++) await manifest.apply(randomGroup(random, manifest))
  const expected = stateOf(manifest)
  await manifest.close()
  const path = `${ROOT}/MANIFEST`
  const content = disk.files().get(path)!
  let refused = 0
  const check = async (what: string, damaged: Buffer, prefixAllowed: boolean): Promise<void> => {
    const copy = openSimulatedDisk({ files: new Map([[path, damaged]]), directories: ['/', ROOT] })
    try {
      const found = await open(copy)
      if (!prefixAllowed) t.same(stateOf(found), expected, what)
      await found.close()
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error
      refused += 1
    }
  }
  for (let at = 0; at < content.length; at++) {
    const damaged = Buffer.from(content)
    damaged[at]! ^= 1 << Math.floor(random.float() * 8)
    await check(`flipped at ${at}`, damaged, false)
    damaged[at] = 0
    await check(`zeroed at ${at}`, damaged, false)
    await check(`cut at ${at}`, content.subarray(0, at), true)
  }
  t.ok(refused > content.length, `${refused} refused, ${content.length} bytes`)
})

t.test('what no edit names is deleted at start, unless the manifest itself is missing', async (t) => {
  const disk = await simulated()
  const random = createSeededRandom(SEED)
  const manifest = await open(disk)
  await manifest.apply([
    { kind: 'table', table: 'a', directory: 'k/a' },
    { kind: 'add', table: 'a', file: fileOf(random, 3) },
  ])
  await disk.mkdir(`${ROOT}/k/a`)
  await disk.mkdir(`${ROOT}/k/dropped`)
  const kept = manifest.filePath('a', 3)
  const unnamed = [manifest.filePath('a', 4), `${ROOT}/k/dropped/0000000001.sst`]
  for (const path of [kept, ...unnamed, `${ROOT}/k/a/notes`]) await (await disk.open(path, 'create')).close()
  await manifest.close()
  const again = await open(disk)
  t.same((await again.removeUnnamed()).sort(), unnamed.sort())
  t.ok((await disk.stat(kept)) && (await disk.stat(`${ROOT}/k/a/notes`)))
  t.equal(await disk.stat(`${ROOT}/k/dropped`), null)
  await again.close()
  await disk.remove(`${ROOT}/MANIFEST`)
  const lost = await open(disk)
  await t.rejects(lost.removeUnnamed(), CorruptionError)
  t.ok(await disk.stat(kept))
  await lost.close()
})
