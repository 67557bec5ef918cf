/** Restores and incremental backups: what comes back, what is refused, and that a crash at any operation leaves all of it or nothing. */

import t from 'tap'
import { uuidBytes } from '../../lib/base/uuid.ts'
import { openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import type { Fit, RestoreOptions, RestoreResult } from '../../storage/restore.ts'
import { ALL, SURVIVALS } from '../support/power-loss.ts'
import { testSeed } from '../support/random.ts'
import { ONE, openWorld, registerTable, type SnapshotWorld, TWO } from '../support/snapshot-world.ts'
import { encodeWrite, NOW, storeView } from '../support/storage-model.ts'

const SHAPE = '{"one":1}'
const fit = (shape: string): Fit => (shape === SHAPE ? { kind: 'same' } : { kind: 'refused', why: 'it is foreign' })

async function openShaped(disk: SimulatedDisk, incrementalBackups = false): Promise<SnapshotWorld> {
  const world = await openWorld(disk, { incrementalBackups })
  await world.wait(registerTable(world.store, ONE, 'one', SHAPE))
  await world.wait(registerTable(world.store, TWO, 'two', '{"two":2}'))
  return world
}

function restore(world: SnapshotWorld, folder: string, options: Partial<RestoreOptions> = {}): Promise<RestoreResult> {
  return world.wait(world.store.restore(ONE, { folders: [folder], fit, move: false, ...options }))
}

/** The folder of a snapshot of both tables' part of ONE. */
async function snapshot(world: SnapshotWorld, tag: string): Promise<string> {
  await world.wait(world.store.snapshots!.take({ tag, tables: [ONE, TWO], ttlMs: null, skipFlush: false }))
  const [folder] = await world.wait(world.store.snapshots!.find(tag, 'k', 'one'))
  return folder!
}

t.test('what was snapshotted comes back, merged by timestamps with what is there', async (t) => {
  const world = await openShaped(openSimulatedDisk())
  await world.put(ONE, 'p', 'old', 5n)
  await world.put(ONE, 'q', 'old', 5n)
  await world.wait(world.store.flush(ONE))
  await world.put(ONE, 'r', 'old', 5n)
  await world.put(ONE, 's', 'old', 5n)
  const folder = await snapshot(world, 'x')
  t.same(await restore(world, folder), { files: 0, rewritten: 0, known: 2, bytes: 0 }, 'all is live already')
  await world.wait(world.store.truncate(ONE))
  await world.put(ONE, 'p', 'newer', 6n)
  await world.put(ONE, 'q', 'older', 4n)
  const deletion = { kind: 'partition', ts: 5n, localTime: 900 } as const
  await world.wait(world.store.apply([encodeWrite({ partition: 's', changes: [deletion] }, uuidBytes(ONE))]))
  const result = await restore(world, folder)
  t.match(result, { files: 2, rewritten: 0, known: 0 })
  const expected = ['p=newer', 'q=old', 'r=old']
  t.same((await world.values(ONE)).sort(), expected)
  await world.close()
  const again = await openShaped(world.disk)
  t.same((await again.values(ONE)).sort(), expected, 'after a restart')
  t.equal((await again.wait(again.store.snapshots!.list()))[0]!.files.size, 2, 'the snapshot stays')
  await again.close()
})

t.test('into a table that was made again, with other column ids', async (t) => {
  const world = await openShaped(openSimulatedDisk())
  const cell = (column: number, ts: bigint, value: string) =>
    ({ column, path: null, kind: 'live', ts, localTime: 0, ttl: 0, value }) as const
  const row = (clustering: string, cells: ReturnType<typeof cell>[]) =>
    ({ kind: 'row', isStatic: false, clustering, liveness: null, deletion: null, cells }) as const
  const changes = [
    row('a', [cell(0, 5n, 'zero'), cell(1, 5n, 'one'), cell(2, 5n, 'two')]),
    row('b', [cell(2, 5n, 'gone')]),
    row('c', [cell(1, 3n, 'void'), cell(3, 5n, 'three')]),
  ]
  await world.wait(world.store.apply([encodeWrite({ partition: 'p', changes }, uuidBytes(ONE))]))
  const folder = await snapshot(world, 'x')
  await world.wait(world.store.dropTable(ONE))
  await world.wait(registerTable(world.store, ONE, 'one', 'another shape'))
  const columns = new Map([
    [0, { id: 7, voidUpToMicros: null }],
    [1, { id: 2, voidUpToMicros: 3n }],
    [2, null],
    [3, { id: 0, voidUpToMicros: null }],
  ])
  const result = await restore(world, folder, { fit: () => ({ kind: 'mapped', columns }) })
  t.match(result, { files: 1, rewritten: 1 })
  const found = await world.wait(world.store.read({ ...ALL, table: ONE }))
  t.same(
    storeView(found, NOW).flatMap(({ rows }) =>
      rows.map(({ clustering, cells }) => `${clustering}: ${cells.join(' ')}`),
    ),
    ['a: 2/-=one@5 7/-=zero@5', 'c: 0/-=three@5'],
  )
  const unknown = restore(world, folder, { fit: () => ({ kind: 'mapped', columns: new Map() }) })
  await t.rejects(unknown, { name: 'CorruptionError', message: /column 0, of which nothing is known/ })
  await world.close()
})

t.test('refused: foreign files, damaged ones, folders that are not there; and then nothing is taken in', async (t) => {
  const disk = openSimulatedDisk()
  const world = await openShaped(disk)
  await world.put(ONE, 'p', 'v')
  await world.wait(world.store.flush(ONE))
  await world.put(ONE, 'q', 'v')
  await world.put(TWO, 'p', 'v')
  const folder = await snapshot(world, 'x')
  const [other] = await world.wait(world.store.snapshots!.find('x', 'k', 'two'))
  await world.wait(world.store.truncate(ONE))
  const files = [...disk.files().keys()].filter((path) => path.startsWith(folder) && path.endsWith('.sst'))
  const whole = disk.files().get(files[1]!)!
  await t.rejects(restore(world, other!), { name: 'SnapshotError', message: /cannot be taken in: it is foreign/ })
  await t.rejects(restore(world, '/data/nowhere'), {
    name: 'SnapshotError',
    message: 'Directory /data/nowhere does not exist',
  })
  const places = Array.from({ length: whole.length }, (_, i) => i).filter((i) => i % 7 === 0 || i > whole.length - 16)
  for (const at of places) {
    const damaged = Buffer.from(whole)
    damaged[at]! ^= 0x40
    disk.overwrite(files[1]!, damaged)
    await t.rejects(restore(world, folder), { name: 'CorruptionError' }, `byte ${at}`)
  }
  disk.overwrite(files[1]!, whole.subarray(0, whole.length - 1))
  await t.rejects(restore(world, folder), { name: 'CorruptionError' })
  t.same(await world.values(ONE), [])
  const live = [...disk.files().keys()].filter((path) => path.startsWith('/data/tables/k/one') && path.endsWith('.sst'))
  t.same(live, [], 'nothing is left behind')
  disk.overwrite(files[1]!, whole)
  t.match(await restore(world, folder), { files: 2 })
  t.same((await world.values(ONE)).sort(), ['p=v', 'q=v'])
  await world.close()
})

t.test('a restore that moves leaves only what it did not take', async (t) => {
  const disk = openSimulatedDisk()
  const world = await openShaped(disk)
  await world.put(ONE, 'p', 'v')
  const folder = await snapshot(world, 'x')
  await world.wait(world.store.truncate(ONE))
  const upload = '/data/import/k/one'
  await disk.mkdir(upload)
  for (const name of await disk.list(folder)) await disk.link(`${folder}/${name}`, `${upload}/${name}`)
  t.match(await restore(world, upload, { move: true }), { files: 1 })
  t.same(await disk.list(upload), [])
  t.same(await world.values(ONE), ['p=v'])
  await world.close()
})

t.test('writes, truncations and drops go on meanwhile', async (t) => {
  const world = await openShaped(openSimulatedDisk())
  await world.put(ONE, 'p', 'v')
  const folder = await snapshot(world, 'x')
  await world.wait(world.store.truncate(ONE))
  const restoring = world.store.restore(ONE, { folders: [folder], fit, move: false })
  await world.put(ONE, 'q', 'v')
  await world.wait(restoring)
  t.same((await world.values(ONE)).sort(), ['p=v', 'q=v'])
  await world.wait(world.store.truncate(ONE))
  const late = world.store.restore(ONE, { folders: [folder], fit, move: false })
  const refused = t.rejects(late, { name: 'SnapshotError', message: 'the table was dropped meanwhile' })
  await world.wait(world.store.dropTable(ONE))
  await world.wait(refused)
  await world.close()
})

t.test('a crash at any operation of a restore leaves all files taken in, or none', async (t) => {
  const seed = testSeed()
  const random = createSeededRandom(seed)
  const disk = openSimulatedDisk()
  const world = await openShaped(disk)
  await world.put(ONE, 'p', 'v')
  await world.wait(world.store.flush(ONE))
  await world.put(ONE, 'q', 'v')
  const folder = await snapshot(world, 'x')
  await world.wait(world.store.truncate(ONE))
  const left: { disk: SimulatedDisk; at: string; isDone: boolean }[] = []
  let isDone = false
  const look = (at: string): void => {
    for (const survival of SURVIVALS) left.push({ disk: disk.crash(survival, random), at: `${at} ${survival}`, isDone })
  }
  disk.onOperation = (operation, path, index) => look(`${operation} ${path} ${index}`)
  await restore(world, folder)
  isDone = true
  look('end')
  disk.onOperation = null
  await world.close()
  const problems: string[] = []
  for (const one of left) {
    const found = await openShaped(one.disk)
    const values = (await found.values(ONE)).sort().join(' ')
    if (values !== 'p=v q=v' && (one.isDone || values !== '')) problems.push(`${one.at}: ${values}`)
    await found.close()
  }
  t.same(problems, [], `TEST_SEED=${seed}, ${left.length} disks`)
})

t.test('incremental backups: each SSTable that new data comes in by is linked, whatever happens', async (t) => {
  const seed = testSeed()
  const random = createSeededRandom(seed)
  const disk = openSimulatedDisk()
  const world = await openShaped(disk, true)
  const left: SimulatedDisk[] = []
  disk.onOperation = () => left.push(disk.crash(random.float(), random))
  await world.put(ONE, 'p', 'v')
  await world.wait(world.store.flush(ONE))
  await world.put(ONE, 'q', 'v')
  await world.wait(world.store.flush(ONE))
  disk.onOperation = null
  const folder = `/data/backups/k/one-${ONE.replaceAll('-', '')}`
  t.equal((await disk.list(folder)).length, 2)
  world.store.backups!.enabled = false
  await world.put(ONE, 'r', 'v')
  await world.wait(world.store.truncate(ONE))
  t.same(await world.values(ONE), [])
  t.match(await restore(world, folder), { files: 2 })
  t.same((await world.values(ONE)).sort(), ['p=v', 'q=v'])
  await world.close()
  const problems: string[] = []
  for (const found of left) {
    const again = await openShaped(found, true)
    await again.put(ONE, 'z', 'v')
    await again.wait(again.store.flush())
    const live = await found.list(`/data/tables/k/one-${ONE.replaceAll('-', '')}`)
    const backed = await found.list(folder)
    for (const name of live) {
      const same = found.files().get(`/data/tables/k/one-${ONE.replaceAll('-', '')}/${name}`)!
      if (!backed.includes(name) || !found.files().get(`${folder}/${name}`)!.equals(same)) problems.push(name)
    }
    await again.close()
  }
  t.same(problems, [], `TEST_SEED=${seed}, ${left.length} disks`)
})

t.test('a backup that fails is told, and refuses no write', async (t) => {
  const disk = openSimulatedDisk()
  const world = await openShaped(disk, true)
  disk.onOperation = (operation, path) => {
    if (operation === 'mkdir' && path.includes('/backups/')) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
  }
  await world.put(ONE, 'p', 'v')
  await world.wait(world.store.flush(ONE))
  t.equal(world.store.backups!.failures, 1)
  t.same(await world.values(ONE), ['p=v'])
  await world.close()
})
