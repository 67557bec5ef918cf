/** What lies in the data directory and is in no manifest: deleted where it is known to be of no use, kept in quarantine otherwise, refused without a manifest. */
import t from 'tap'
import { openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { CorruptionError } from '../../storage/errors.ts'
import { fileName, type Manifest, openManifest } from '../../storage/manifest.ts'
import { moveToQuarantine } from '../../storage/quarantine.ts'
import { openTableWriter } from '../../storage/sstable/writer.ts'
import { refuseLostManifest, settleUnnamedFiles, type UnnamedFiles } from '../../storage/unnamed-files.ts'

const DIRECTORIES = { tables: '/tables', quarantine: '/quarantine' }
const FOLDER = 'k/a'
const warnings: string[] = []
const keep = (_: string, message: string): void => {
  warnings.push(message)
}
const log = { trace() {}, debug() {}, info() {}, warn: keep, error: keep }

function path(number: number, folder = FOLDER): string {
  return `/tables/${folder}/${fileName(number)}`
}

async function open(disk: SimulatedDisk): Promise<Manifest> {
  return openManifest({ disk, random: createSeededRandom(1) }, '/tables')
}

async function writeTable(disk: SimulatedDisk, number: number, folder = FOLDER): Promise<void> {
  await disk.mkdir(`/tables/${folder}`)
  const writer = await openTableWriter(disk, path(number, folder), {
    uid: Buffer.alloc(8, number),
    partitionsEstimate: 1,
  })
  const key = Buffer.concat([Buffer.alloc(8, number), Buffer.from([0, 1, 65, 3])])
  await writer.add(key, Buffer.from([0]))
  await writer.finish()
}

async function name(manifest: Manifest, number: number): Promise<void> {
  const file = {
    number,
    level: 0,
    fileBytes: 1,
    repairedAtMs: 0,
    uid: Buffer.alloc(8, number),
    minPosition: Buffer.alloc(10),
    maxPosition: Buffer.alloc(10),
  }
  await manifest.apply([{ kind: 'add', table: 'a', file }])
}

/** A manifest with table a, and whatever `prepare` does; then a restart. */
async function settle(
  prepare: (disk: SimulatedDisk, manifest: Manifest) => Promise<void>,
): Promise<UnnamedFiles & { readonly disk: SimulatedDisk }> {
  const disk = openSimulatedDisk()
  const manifest = await open(disk)
  await manifest.apply([{ kind: 'table', table: 'a', directory: FOLDER }])
  await prepare(disk, manifest)
  await manifest.close()
  const again = await open(disk)
  const settled = await settleUnnamedFiles({ disk, log }, again, DIRECTORIES)
  await again.close()
  return { ...settled, disk }
}

t.test(
  'what was removed by an edit, reserved, or never finished is deleted; folders of dropped tables too',
  async (t) => {
    const { disk, removed, quarantined } = await settle(async (disk, manifest) => {
      for (const number of [1, 2, 3]) await writeTable(disk, number)
      await name(manifest, 1)
      await name(manifest, 2)
      await manifest.apply([{ kind: 'remove', table: 'a', number: 1 }])
      await manifest.apply([{ kind: 'table', table: 'b', directory: 'k/b' }])
      await writeTable(disk, 2, 'k/b')
      await manifest.apply([{ kind: 'dropped', table: 'b' }])
      t.equal(await manifest.reserveFileNumbers(3), 3)
      t.equal(manifest.takeFileNumber(), 6)
      await writeTable(disk, 6)
      const whole = disk.files().get(path(6))!
      disk.overwrite(path(6), whole.subarray(0, whole.length - 1))
      await (await disk.open('/tables/k/a/notes', 'create')).close()
    })
    t.same(removed, [path(1), path(3), path(6), path(2, 'k/b')])
    t.same(quarantined, [])
    t.same([...disk.files().keys()].sort(), ['/tables/MANIFEST', path(2), '/tables/k/a/notes'].sort())
    t.equal(await disk.stat('/tables/k/b'), null)
  },
)

t.test('a whole file that no edit ever named is kept, and said', async (t) => {
  warnings.length = 0
  const { disk, removed, quarantined } = await settle(async (disk) => writeTable(disk, 7))
  t.same(removed, [])
  t.same(quarantined, [path(7)])
  t.ok(disk.files().has(`/quarantine/${FOLDER}/${fileName(7)}`))
  t.match(warnings.join(), /0000000007\.sst is in no manifest/)
  await writeTable(disk, 7)
  const manifest = await open(disk)
  await settleUnnamedFiles({ disk, log }, manifest, DIRECTORIES)
  await manifest.close()
  t.ok(disk.files().has(`/quarantine/${FOLDER}/${fileName(7)}.2`), 'the first is not overwritten')
})

t.test('a manifest that names files which are not there deletes nothing', async (t) => {
  warnings.length = 0
  const { disk, removed, quarantined } = await settle(async (disk, manifest) => {
    for (const number of [1, 2]) await writeTable(disk, number)
    for (const number of [1, 2, 3]) await name(manifest, number)
    await manifest.apply([{ kind: 'remove', table: 'a', number: 1 }])
  })
  t.same(removed, [])
  t.same(quarantined, [path(1)])
  t.ok(disk.files().has(path(2)))
  t.match(warnings.join(), /0000000003\.sst is missing/)
})

t.test('without a manifest, but with files that it must have named, nothing starts and nothing changes', async (t) => {
  const disk = openSimulatedDisk()
  const directories = { tables: '/tables', commitLog: '/commitlog' }
  await refuseLostManifest(disk, directories)
  await disk.mkdir('/commitlog')
  await (await disk.open('/commitlog/notes', 'create')).close()
  await refuseLostManifest(disk, directories)
  await writeTable(disk, 1)
  await t.rejects(refuseLostManifest(disk, directories), CorruptionError)
  await disk.remove(path(1))
  await (await disk.open('/commitlog/commitlog-1-0000000003.log', 'create')).close()
  await t.rejects(refuseLostManifest(disk, directories), CorruptionError)
  await (await open(disk)).close()
  await refuseLostManifest(disk, directories)
})

t.test('a move to the quarantine survives a power loss, or did not happen', async (t) => {
  for (let stopAt = 0; stopAt < 12; stopAt++) {
    const disk = openSimulatedDisk()
    await writeTable(disk, 1)
    for (const directory of ['/', '/tables', '/tables/k', `/tables/${FOLDER}`]) await disk.syncDirectory(directory)
    const content = disk.files().get(path(1))!
    const begun = disk.operations
    let crashed: SimulatedDisk | null = null
    disk.onOperation = (_operation, _path, index) => {
      if (index === begun + stopAt) crashed = disk.crash(0.5, createSeededRandom(stopAt))
    }
    const to = await moveToQuarantine(disk, path(1), `/quarantine/${FOLDER}/x`)
    const found = (crashed ?? disk.crash(0, createSeededRandom(1))).files()
    const there = found.get(to) ?? found.get(path(1))
    t.ok(there?.equals(content), `operation ${stopAt}`)
    if (!crashed) t.ok(found.has(to))
  }
})
