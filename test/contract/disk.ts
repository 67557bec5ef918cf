/** What every Disk promises, asked of the real one and of the simulated one; and what only a simulated power loss can show. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openNodeDisk } from '../../lib/runtime/node/disk.ts'
import type { Disk } from '../../lib/runtime/runtime.ts'
import { diskError, openSimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'

const IMPLEMENTATIONS: {
  name: string
  open: () => Promise<{ disk: Disk; root: string; close: () => Promise<void> }>
}[] = [
  {
    name: 'node',
    async open() {
      const root = await mkdtemp(join(tmpdir(), 'polyxena-disk-'))
      return { disk: openNodeDisk(), root, close: () => rm(root, { recursive: true }) }
    },
  },
  {
    name: 'simulated',
    async open() {
      const disk = openSimulatedDisk()
      await disk.mkdir('/root')
      return { disk, root: '/root', close: async () => {} }
    },
  },
]

for (const { name, open } of IMPLEMENTATIONS) {
  t.test(`the ${name} disk`, async (t) => {
    const { disk, root, close } = await open()
    const code = (expected: string) => (error: { code?: string }) => t.equal(error.code, expected)

    await t.test('files are read and written at offsets', async (t) => {
      const file = await disk.open(`${root}/a`, 'create')
      await file.write(Buffer.from('hello world'), 0)
      await file.write(Buffer.from('W'), 6)
      await file.sync()
      t.equal(await file.size(), 11)
      const target = Buffer.alloc(20)
      t.equal(await file.read(target, 6), 5, 'a read ends with the file')
      t.equal(target.toString('utf8', 0, 5), 'World')
      t.equal(await file.read(target, 11), 0)
      await file.write(Buffer.from('!'), 15)
      t.equal(await file.size(), 16)
      await file.read(target.fill(1), 11)
      t.same(target.subarray(0, 5), Buffer.from([0, 0, 0, 0, 0x21]), 'a hole reads as zeros')
      await file.truncate(5)
      t.equal(await file.read(target, 0), 5)
      await file.close()
      await file.close()
    })

    await t.test('modes of opening', async () => {
      await disk.open(`${root}/a`, 'create').then(() => t.fail('exists'), code('EEXIST'))
      await disk.open(`${root}/none`, 'read').then(() => t.fail('missing'), code('ENOENT'))
      await disk.open(`${root}/none`, 'readwrite').then(() => t.fail('missing'), code('ENOENT'))
      await disk.open(`${root}/nowhere/x`, 'write').then(() => t.fail('no directory'), code('ENOENT'))
      await (await disk.open(`${root}/a`, 'write')).close()
    })

    await t.test('names', async (t) => {
      await disk.mkdir(`${root}/d/e`)
      await (await disk.open(`${root}/d/z`, 'create')).close()
      await (await disk.open(`${root}/d/b`, 'create')).close()
      t.same(await disk.list(`${root}/d`), ['b', 'e', 'z'])
      await disk.rename(`${root}/d/z`, `${root}/d/b`)
      t.same(await disk.list(`${root}/d`), ['b', 'e'])
      await disk.link(`${root}/d/b`, `${root}/d/linked`)
      await disk.link(`${root}/d/b`, `${root}/d/linked`).then(() => t.fail('exists'), code('EEXIST'))
      await disk.remove(`${root}/d/b`)
      t.same(await disk.list(`${root}/d`), ['e', 'linked'])
      t.equal(await disk.stat(`${root}/d/b`), null)
      t.match(await disk.stat(`${root}/d/linked`), { size: 0, directory: false })
      t.match(await disk.stat(`${root}/d`), { directory: true })
      await disk.syncDirectory(`${root}/d`)
      await disk.remove(`${root}/d/b`).then(() => t.fail('missing'), code('ENOENT'))
      await disk.list(`${root}/nowhere`).then(() => t.fail('missing'), code('ENOENT'))
      await disk.removeTree(`${root}/d`)
      await disk.removeTree(`${root}/d`)
      t.equal(await disk.stat(`${root}/d/e`), null)
      t.ok((await disk.freeBytes(root)) > 0)
    })

    await t.test('a lock has one owner', async (t) => {
      const lock = await disk.lock(`${root}/LOCK`)
      await disk.lock(`${root}/LOCK`).then(() => t.fail('locked twice'), code('ELOCKED'))
      await lock[Symbol.asyncDispose]()
      await (await disk.lock(`${root}/LOCK`))[Symbol.asyncDispose]()
    })
    await close()
  })
}

t.test('power loss: what was synced stays, what was not goes as the survival rate says', async (t) => {
  const disk = openSimulatedDisk()
  await disk.mkdir('/data')
  await disk.syncDirectory('/')
  const file = await disk.open('/data/f', 'create')
  await file.write(Buffer.alloc(1024, 1), 0)
  await file.sync()
  t.same([...disk.crash(0, createSeededRandom(1)).files().keys()], [], 'its name was not synced')
  await disk.syncDirectory('/data')
  await file.write(Buffer.alloc(4096, 2), 0)
  const lost = disk.crash(0, createSeededRandom(1)).files().get('/data/f')
  t.same(lost, Buffer.alloc(1024, 1))
  const kept = disk.crash(1, createSeededRandom(1)).files().get('/data/f')
  t.same(kept, Buffer.alloc(4096, 2))
  const torn = new Set<number>()
  for (let seed = 0; seed < 20; seed++) {
    const found = disk.crash(0.5, createSeededRandom(seed)).files().get('/data/f')!
    for (let sector = 0; sector * 512 < found.length; sector++) torn.add(found[sector * 512]!)
  }
  t.same([...torn].sort(), [0, 1, 2], 'sectors survive, vanish, or are zero')
})

t.test('a rename that was not synced leaves the old name or the new one', async (t) => {
  const outcomes = new Set<string>()
  for (let seed = 0; seed < 20; seed++) {
    const disk = openSimulatedDisk()
    for (const [name, byte] of [
      ['M', 1],
      ['M.tmp', 2],
    ] as const) {
      const file = await disk.open(`/${name}`, 'create')
      await file.write(Buffer.from([byte]), 0)
      await file.sync()
    }
    await disk.syncDirectory('/')
    await disk.rename('/M.tmp', '/M')
    outcomes.add(disk.crash(0.5, createSeededRandom(seed)).files().get('/M')!.toString('hex'))
  }
  t.same([...outcomes].sort(), ['01', '02'])
})

t.test('a failed sync cannot be made good by another', async (t) => {
  const disk = openSimulatedDisk()
  const file = await disk.open('/f', 'create')
  await disk.syncDirectory('/')
  await file.write(Buffer.from('lost'), 0)
  disk.onOperation = (operation, path) => {
    if (operation === 'sync') throw diskError('EIO', path)
  }
  await t.rejects(file.sync(), { code: 'EIO' })
  disk.onOperation = null
  await file.sync()
  const found = disk.crash(0, createSeededRandom(1)).files().get('/f')!
  t.notSame(found, Buffer.from('lost'))
})

t.test('simulated: a directory is lost with its parent', async (t) => {
  const disk = openSimulatedDisk()
  await disk.mkdir('/a')
  await disk.mkdir('/a/b')
  await disk.syncDirectory('/a')
  const found = disk.crash(0, createSeededRandom(1))
  t.equal(await found.stat('/a/b'), null)
  await found.mkdir('/a/b')
  t.ok(await found.stat('/a'))
})
