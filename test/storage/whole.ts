/**
 * Reads that keep deletions: stores that were given the same writes in different orders answer the same bytes, and what they answer, written to an empty
 * store, page by page, makes one that cannot be told from them.
 */

import t from 'tap'
import { uuidBytes } from '../../lib/base/uuid.ts'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { openSimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import type { PartitionData, ReadCommand, ReadPoint, ReadResult, Slice } from '../../storage/model/command.ts'
import { partitionMutations } from '../../storage/model/partition-mutation.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import { settled } from '../support/power-loss.ts'
import { createDice, type Dice, testSeed } from '../support/random.ts'
import { encodePosition, encodeWrite, everythingIn, NOW, randomWrite } from '../support/storage-model.ts'
import { memoryRuntime, storageRuntime } from '../support/storage-runtime.ts'

const TABLE = '5a1c395e-b41f-11e5-9f22-ba0be0483c18'
const ID = uuidBytes(TABLE)
/** Now is NOW, for compactions too. */
const clock = createSimulatedClock(NOW * 1_000_000)

/** What needs no time is not given any. */
async function wait<T>(what: Promise<T> | T): Promise<T> {
  if (!(what instanceof Promise)) return what
  let done = false
  const finish = (): void => {
    done = true
  }
  what.then(finish, finish)
  for (let turn = 0; turn < 40 && !done; turn++) await Promise.resolve()
  return done ? what : settled(clock, what)
}

async function open(onDisk: boolean, gcGraceSeconds: number): Promise<Store> {
  const runtime = onDisk ? storageRuntime(clock, openSimulatedDisk()) : memoryRuntime(clock)
  const opening = openStore({
    runtime,
    directory: onDisk ? '/data' : null,
    settings: { compaction: { automatic: false }, commitLog: { mode: 'group', segmentBytes: 65_536 } },
  })
  const store = await wait(opening)
  const options = { ...DEFAULT_TABLE_OPTIONS, gcGraceSeconds }
  const registered = store.registerTable(TABLE, {
    keyspace: 'k',
    name: 't',
    durableWrites: true,
    hasClustering: true,
    options,
  })
  await wait(registered)
  return store
}

function command(more: Partial<ReadCommand>): ReadCommand {
  return { ...everythingIn(TABLE), ...more }
}

const hex = (bytes: Buffer | null | undefined): string => (bytes ? bytes.toString('latin1') : '-')

/** A partition as text that tells everything. */
function shape({ position, staticRow, rows, deletion, rangeTombstones = [], cut }: PartitionData): string {
  const parts = [`partition ${hex(position)} deletion ${hex(deletion)} static ${hex(staticRow)} cut ${hex(cut)}`]
  for (const { start, end, deletion: by } of rangeTombstones) parts.push(`range ${hex(start)}..${hex(end)} ${hex(by)}`)
  for (const { clustering, row, isDead } of rows)
    parts.push(`${isDead ? 'dead' : 'row'} ${hex(clustering)} ${hex(row)}`)
  return JSON.stringify(parts)
}

const shapes = (result: ReadResult): string[] => result.partitions.map(shape)
const live = (result: ReadResult): string[] =>
  result.partitions.flatMap(({ position, rows, staticRow }) => [
    ...rows.filter(({ isDead }) => !isDead).map(({ clustering }) => `${hex(position)} ${hex(clustering)}`),
    ...(staticRow === null ? [] : ['static']),
  ])

function shuffled<T>(dice: Dice, items: readonly T[]): T[] {
  const left = [...items]
  return items.map(() => left.splice(dice.int(left.length), 1)[0]!)
}

const read = (store: Store, asked: ReadCommand): Promise<ReadResult> => wait(store.read(asked))

async function fill(store: Store, dice: Dice, mutations: readonly Buffer[]): Promise<void> {
  for (const mutation of mutations) {
    await wait(store.apply([mutation]))
    if (dice.chance(0.1)) await wait(store.flush())
  }
}

/** Everything in one file, without what is past gc_grace. */
async function compact(store: Store): Promise<void> {
  await wait(store.flush())
  await wait(store.compactions!.major(TABLE))
}

function randomCommand(dice: Dice): ReadCommand {
  const letter = (): Buffer => Buffer.from(dice.pick(['', 'a', 'b', 'c`', 'd', 'f', 'h', '\xff']), 'latin1')
  const bounds = [letter(), letter(), letter(), letter()].sort(Buffer.compare)
  const slices: Slice[] = []
  for (const [start, end] of [[bounds[0]!, bounds[1]!] as const, [bounds[2]!, bounds[3]!] as const])
    if (start.compare(end) < 0) slices.push({ start, end })
  const row = Buffer.from(dice.pick(['a', 'd', 'g']))
  const single = [{ start: row, end: Buffer.concat([row, Buffer.from('`')]), single: true }]
  const roll = dice.int(4)
  return command({
    target: dice.chance(0.5)
      ? { kind: 'range', start: null, end: null }
      : { kind: 'partition', position: encodePosition(dice.pick(['p', 'q', 's'])) },
    slices: roll < 2 ? null : roll === 2 ? single : slices,
    reversed: dice.chance(0.3),
    wantStatic: dice.chance(0.7),
    staticCounts: dice.chance(0.5),
    limit: dice.chance(0.5) ? 1 + dice.int(6) : Infinity,
    perPartitionLimit: dice.chance(0.3) ? 1 + dice.int(3) : Infinity,
    byteLimit: dice.chance(0.3) ? 1 + dice.int(600) : Infinity,
    whole: true,
  })
}

/** Where a whole read that ended early goes on. */
function nextPoint({ partitions, more }: ReadResult, before: ReadPoint | null): ReadPoint | null {
  const last = partitions.at(-1)
  if (!more || last === undefined) return null
  const position = Buffer.from(last.position)
  if (last.cut === null || last.cut === undefined)
    return { position, clustering: null, partitionDone: true, rowsGiven: 0 }
  const continued = before?.position.equals(position) ? before.rowsGiven : 0
  const rowsGiven = continued + last.rows.filter(({ isDead }) => !isDead).length
  return { position, clustering: Buffer.from(last.cut), partitionDone: false, rowsGiven }
}

const seed = testSeed()

t.test(`equal data, equal answers; seed ${seed}`, async (t) => {
  for (let round = 0; round < 8; round++) {
    const dice = createDice(seed + round)
    const gcGraceSeconds = dice.pick([0, 5, 5, 100_000])
    const mutations: Buffer[] = []
    for (let n = 5 + dice.int(40); n > 0; n--) mutations.push(encodeWrite(randomWrite(dice), ID))
    const stores = [
      await open(true, gcGraceSeconds),
      await open(true, gcGraceSeconds),
      await open(false, gcGraceSeconds),
    ]
    await fill(stores[0]!, dice, mutations)
    await fill(stores[1]!, dice, shuffled(dice, [...mutations, ...mutations.slice(0, 10)]))
    await fill(stores[2]!, dice, shuffled(dice, mutations))
    await compact(stores[1]!)
    for (let n = 0; n < 20; n++) {
      const asked = randomCommand(dice)
      const first = await read(stores[0]!, asked)
      const expected = shapes(first)
      for (const store of stores.slice(1)) {
        const answer = await read(store, asked)
        const problem = answer.more !== first.more || JSON.stringify(shapes(answer)) !== JSON.stringify(expected)
        if (problem) t.same(shapes(answer), expected, `round ${round}, ${JSON.stringify(asked)}`)
      }
      // A plain read sees the same live rows, but that bytes of what is dead count for the whole one.
      if (asked.byteLimit !== Infinity) continue
      const { whole: _, ...plain } = asked
      const seen = live(await read(stores[0]!, { ...plain, wantStatic: false, staticCounts: false }))
      const kept = live(await read(stores[0]!, { ...asked, wantStatic: false, staticCounts: false }))
      if (JSON.stringify(seen) !== JSON.stringify(kept)) t.same(kept, seen, `round ${round}, ${JSON.stringify(asked)}`)
    }
    for (const store of stores) await wait(store.close())
  }
  t.end()
})

t.test(`what was read in pages makes an equal store; seed ${seed}`, async (t) => {
  for (let round = 0; round < 15; round++) {
    const dice = createDice(seed + 10_000 + round)
    const gcGraceSeconds = dice.pick([5, 100_000])
    const source = await open(true, gcGraceSeconds)
    const copy = await open(false, gcGraceSeconds)
    const mutations: Buffer[] = []
    for (let n = 5 + dice.int(40); n > 0; n--) mutations.push(encodeWrite(randomWrite(dice), ID))
    await fill(source, dice, mutations)
    const keepsPurgeable = dice.chance(0.5) ? { keepsPurgeable: true as const } : {}
    const limits = dice.pick([{}, { limit: 1 + dice.int(3) }, { byteLimit: 1 + dice.int(300) }, { byteLimit: 1 }])
    const paged = command({ whole: true, reversed: dice.chance(0.3), ...keepsPurgeable, ...limits })
    let after: ReadPoint | null = null
    let pages = 0
    do {
      const page: ReadResult = await read(source, { ...paged, after })
      const bytes = page.partitions.reduce((sum, part) => sum + shape(part).length, 0)
      if (paged.byteLimit === 1 && bytes > 6_000) t.fail(`round ${round}: a page of ${bytes} bytes`)
      for (const partition of page.partitions) {
        const written = partitionMutations(ID, partition, 1 + dice.int(500))
        for (const mutation of written) void copy.apply([mutation])
      }
      after = nextPoint(page, after)
      if (++pages > 1_000) throw new Error(`round ${round} does not end`)
    } while (after !== null)
    const all = command({ whole: true, ...keepsPurgeable })
    const [expected, got] = [shapes(await read(source, all)), shapes(await read(copy, all))]
    if (JSON.stringify(got) !== JSON.stringify(expected))
      t.same(got, expected, `round ${round} ${JSON.stringify(paged)}`)
    await wait(source.close())
    await wait(copy.close())
  }
  t.end()
})

t.test('dead rows end a page at its bytes', async (t) => {
  const store = await open(false, 100)
  const dead = (n: number): Buffer =>
    encodeWrite(
      {
        partition: 'p',
        changes: [
          {
            kind: 'row',
            isStatic: false,
            clustering: String(n).padStart(5, '0'),
            liveness: null,
            deletion: { ts: 5n, localTime: NOW },
            cells: [],
          },
        ],
      },
      ID,
    )
  for (let n = 0; n < 2_000; n++) void store.apply([dead(n)])
  const page = await read(store, command({ whole: true, limit: 10, byteLimit: 4_096 }))
  t.ok(page.more)
  const { rows, cut } = page.partitions[0]!
  t.ok(rows.length > 20 && rows.length < 100, `${rows.length} rows`)
  t.same(cut, rows.at(-1)!.clustering)
  t.ok(rows.every(({ isDead }) => isDead))
  t.same((await read(store, command({ whole: true, nowSeconds: NOW + 200 }))).partitions, [], 'past gc_grace')
  const kept = await read(store, command({ whole: true, nowSeconds: NOW + 200, keepsPurgeable: true }))
  t.equal(kept.partitions[0]!.rows.length, 2_000)
  await wait(store.close())
})
