/** SSTables that turn out damaged: what of them is whole is still read, the rest fails, none is deleted, nothing is purged that they may hold. */
import t from 'tap'
import { diskError, openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { CorruptionError } from '../../storage/errors.ts'
import { TABLE } from '../support/compaction.ts'
import { openWorld, type World, type WorldOptions } from '../support/compaction-world.ts'
import { ALL } from '../support/power-loss.ts'
import { createDice } from '../support/random.ts'
import { NOW, storeView } from '../support/storage-model.ts'

const KEYS = ['b', 'c', 'd', 'e', 'f']
const dice = createDice(5)
/** Larger than a block, and not to be compressed: each lies in a block of its own. */
const VALUES = new Map(
  KEYS.map((key) => [key, Array.from({ length: 6_000 }, () => dice.int(36).toString(36)).join('')]),
)

/** With the block of `d` damaged: a read to the end of `c` looks at what comes behind it. */
const DAMAGED = 'b c? d? e f'

/** A world with one SSTable that holds all values. */
async function openLoaded(options: WorldOptions = {}): Promise<World> {
  const world = await openWorld(options)
  for (const [key, value] of VALUES) world.put(key, 10, value)
  await world.flush()
  return world
}

/** The value under a key, null when there is none. */
async function read(world: World, key: string): Promise<string | null> {
  const bytes = Buffer.from(key)
  const position = Buffer.alloc(10 + bytes.length)
  position.writeInt32BE(bytes.readUInt8() ^ 0x80000000, 0)
  position.writeUInt32BE(bytes.length, 4)
  position.writeUInt16BE(bytes.length, 8)
  bytes.copy(position, 10)
  const result = await world.wait(
    Promise.resolve().then(() => world.store.read({ ...ALL, target: { kind: 'partition', position } })),
  )
  const cell = storeView(result, NOW)[0]?.rows[0]?.cells[0]
  return cell === undefined ? null : cell.slice(4).split('@')[0]!
}

/** What can be read: keys whose reads fail are named with a question mark. */
async function readable(world: World): Promise<string> {
  const found: string[] = []
  for (const key of ['a', ...KEYS, 'g']) {
    try {
      const value = await read(world, key)
      if (value === VALUES.get(key)) found.push(key)
      else if (value !== null) found.push(`${key}=${value}`)
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error
      found.push(`${key}?`)
    }
  }
  return found.join(' ')
}

function tableFile(disk: SimulatedDisk): string {
  return [...disk.files().keys()].find((path) => path.startsWith('/data/tables/') && path.endsWith('.sst'))!
}

function quarantined(disk: SimulatedDisk): string[] {
  return [...disk.files().keys()].filter((path) => path.startsWith('/data/quarantine/'))
}

/** Flips a bit in the block of `d`. Returns the file as it was. */
function damageBlock(disk: SimulatedDisk): Buffer {
  const path = tableFile(disk)
  const content = disk.files().get(path)!
  const damaged = Buffer.from(content)
  const at = content.indexOf(VALUES.get('d')!.slice(1000, 1020))
  damaged[at]! ^= 1
  disk.overwrite(path, damaged)
  return content
}

t.test('a damaged block: what touches it fails, everything else is answered, the file is in quarantine', async (t) => {
  const told: CorruptionError[] = []
  const world = await openLoaded({ damage: { onDamage: (error) => told.push(error) } })
  const { disk } = world
  damageBlock(disk)
  t.equal(await readable(world), DAMAGED)
  await world.clock.advance(100)
  t.equal(told.length, 1)
  t.equal(quarantined(disk).length, 1)
  t.equal(tableFile(disk), undefined)
  t.match(world.store.reports.problems, [/1 SSTables of k\.t are damaged/])
  await t.rejects(world.seen(), CorruptionError, 'a scan that meets it')
  await world.wait(world.store.snapshots!.take({ tag: 'now', tables: [TABLE], ttlMs: null, skipFlush: false }))
  t.match(world.logged.join('\n'), /snapshot now is without 1 SSTables of k\.t/)
  world.put('g', 11, 'new')
  world.put('d', 11, 'newer')
  await world.flush()
  t.equal(await readable(world), `${DAMAGED} g=new`)
  await world.reopen()
  t.equal(await readable(world), `${DAMAGED} g=new`)
  t.match(world.store.reports.problems, [/1 SSTables of k\.t are damaged/])
  t.equal(quarantined(disk).length, 1)
  await world.wait(world.store.close())
})

t.test('a good copy in its place is taken back at the next start', async (t) => {
  const world = await openLoaded()
  const { disk } = world
  const whole = damageBlock(disk)
  t.equal(await readable(world), DAMAGED)
  await world.reopen()
  disk.overwrite(quarantined(disk)[0]!, whole)
  await world.reopen()
  t.equal(await readable(world), 'b c d e f')
  t.same(world.store.reports.problems, [])
  t.same(quarantined(disk), [])
  await world.reopen()
  t.equal(await readable(world), 'b c d e f')
  await world.wait(world.store.close())
})

t.test('one that is taken out of the quarantine is given up, and everything else goes on', async (t) => {
  const world = await openLoaded()
  const { disk } = world
  damageBlock(disk)
  world.put('g', 11, 'new')
  await world.flush()
  t.equal(await readable(world), `${DAMAGED} g=new`)
  await world.reopen()
  await disk.remove(quarantined(disk)[0]!)
  await world.reopen()
  t.equal(await readable(world), 'g=new')
  t.same(world.store.reports.problems, [])
  t.match(world.logged.join('\n'), /gone from the quarantine/)
  await world.wait(world.store.close())
})

t.test('one that was closed for want of descriptors is found again in the quarantine', async (t) => {
  const world = await openLoaded({ openFilesMax: 1 })
  damageBlock(world.disk)
  for (const key of ['g', 'a']) {
    world.put(key, 11, 'new')
    await world.flush()
    t.match(await readable(world), DAMAGED)
  }
  t.equal(quarantined(world.disk).length, 1)
  await world.wait(world.store.close())
})

t.test('a place that the disk cannot read is damage, too', async (t) => {
  const world = await openLoaded()
  const { disk } = world
  const path = tableFile(disk)
  disk.onOperation = (operation, where) => {
    if (operation === 'read' && where === path) throw diskError('EIO', where)
  }
  t.equal(await readable(world), 'b? c? d? e? f?')
  disk.onOperation = null
  t.equal(await readable(world), 'b c d e f')
  t.equal(quarantined(disk).length, 1)
  await world.reopen()
  t.same(quarantined(disk), [], 'it was whole: the cable was loose')
  t.equal(await readable(world), 'b c d e f')
  await world.wait(world.store.close())
})

t.test('a file that cannot be opened at start: the node starts, what may be in it fails', async (t) => {
  for (const how of ['footer', 'statistics', 'cut', 'missing'] as const) {
    const world = await openLoaded()
    const { disk } = world
    world.put('a', 11, 'apart')
    world.put('g', 11, 'apart')
    const path = tableFile(disk)
    const content = disk.files().get(path)!
    await world.flush()
    await world.wait(world.store.close())
    const damaged = Buffer.from(content)
    if (how === 'footer') damaged[content.length - 40]! ^= 1
    else if (how === 'statistics') damaged[content.length - 120]! ^= 1
    if (how === 'missing') await disk.remove(path)
    else disk.overwrite(path, how === 'cut' ? content.subarray(0, content.length - 1) : damaged)
    const again = await openWorld({ disk })
    t.equal(await readable(again), 'a=apart b? c? d? e? f? g=apart', how)
    await t.rejects(again.seen(), CorruptionError)
    const first = await again.wait(Promise.resolve(again.store.read({ ...ALL, limit: 1 })))
    t.same(
      storeView(first, NOW).map(({ partition }) => partition),
      ['a'],
      'a scan that ends before it',
    )
    t.match(again.store.reports.problems, [/^1 SSTables of k\.t are damaged/])
    t.equal(quarantined(disk).length, how === 'missing' ? 0 : 1)
    if (how === 'missing') {
      const restored = await disk.open(path, 'create')
      await restored.write(content, 0)
      await restored.close()
    } else disk.overwrite(quarantined(disk)[0]!, content)
    await again.reopen()
    t.equal(await readable(again), 'a=apart b c d e f g=apart')
    await again.wait(again.store.close())
  }
})

t.test('what the operator asked for: to leave damaged files where they are, or not to start with them', async (t) => {
  const world = await openLoaded({ damage: { files: 'leave' } })
  const { disk } = world
  damageBlock(disk)
  t.equal(await readable(world), DAMAGED)
  await world.clock.advance(100)
  t.same(quarantined(disk), [])
  await world.wait(world.store.close())
  const content = disk.files().get(tableFile(disk))!
  disk.overwrite(tableFile(disk), content.subarray(0, 5_000))
  await t.rejects(openWorld({ disk, damage: { files: 'refuse' } }), CorruptionError)
  t.same(quarantined(disk), [])
  const left = await openWorld({ disk, damage: { files: 'leave' } })
  t.equal(await readable(left), 'b? c? d? e? f?')
  t.same(quarantined(disk), [])
  await left.wait(left.store.close())
})

t.test(
  'nothing that a damaged file may hold is purged: what was deleted stays deleted when it comes back',
  async (t) => {
    const world = await openLoaded({ options: { gcGraceSeconds: 0 } })
    const { disk } = world
    const whole = damageBlock(disk)
    t.equal(await readable(world), DAMAGED)
    for (const key of KEYS) world.erase(key, 20)
    world.put('g', 20, 'kept')
    await world.flush()
    world.put('g', 21, 'kept')
    await world.flush()
    await world.wait(world.store.compactions!.major(TABLE))
    await world.reopen()
    disk.overwrite(quarantined(disk)[0]!, whole)
    await world.reopen()
    t.equal(await readable(world), 'g=kept')
    await world.wait(world.store.compactions!.major(TABLE))
    t.equal(await readable(world), 'g=kept')
    t.equal(world.sstables().length, 1)
    await world.wait(world.store.close())
  },
)

t.test('a compaction that meets the damage sets the file aside, and the others are compacted', async (t) => {
  const world = await openLoaded()
  const { disk } = world
  damageBlock(disk)
  for (const ts of [11, 12, 13]) {
    world.put('g', ts, `at ${ts}`)
    await world.flush()
  }
  await world.wait(world.store.compactions!.major(TABLE).catch(() => {}))
  await world.quiet()
  t.equal(quarantined(disk).length, 1)
  await world.wait(world.store.compactions!.major(TABLE))
  t.equal(
    [...disk.files().keys()].filter((path) => path.startsWith('/data/tables/') && path.endsWith('.sst')).length,
    1,
  )
  t.equal(await readable(world), `${DAMAGED} g=at 13`)
  await world.wait(world.store.close())
})

t.test('truncating or dropping a table forgets its damaged files, and deletes none', async (t) => {
  for (const act of ['truncate', 'dropTable'] as const) {
    const world = await openLoaded()
    const { disk, store } = world
    damageBlock(disk)
    await readable(world)
    t.equal(store.forgettings, 0)
    await world.wait(store[act](TABLE))
    t.same(store.reports.problems, [])
    t.ok(store.forgettings > 0 || act === 'dropTable', 'it may have held more than is there now')
    t.equal(quarantined(disk).length, 1)
    await world.reopen()
    t.equal(await readable(world), '')
    t.equal(quarantined(disk).length, 1)
    await world.wait(world.store.close())
  }
})

t.test('a power loss while it is set aside: nothing is lost, and the next start knows it is damaged', async (t) => {
  const random = createSeededRandom(9)
  for (const survival of [0, 0.5, 1]) {
    for (let stopAt = Math.ceil(survival * 2); stopAt < 12; stopAt += 3) {
      const world = await openLoaded({ disk: openSimulatedDisk() })
      const { disk } = world
      damageBlock(disk)
      const begun = disk.operations
      let crashed: SimulatedDisk | null = null
      disk.onOperation = (_operation, _path, index) => {
        if (index === begun + stopAt) crashed ??= disk.crash(survival, random)
      }
      await readable(world)
      await world.clock.advance(10)
      const again = await openWorld({ disk: crashed ?? disk.crash(survival, random) })
      const found = await readable(again)
      if (found !== DAMAGED) t.fail(`operation ${stopAt}, survival ${survival}: ${found}`)
      await again.reopen()
      t.equal(await readable(again), DAMAGED)
      t.equal(quarantined(again.disk).length, 1)
      await again.wait(again.store.close())
      disk.onOperation = null
      await world.wait(world.store.close())
    }
  }
})
