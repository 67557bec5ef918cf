/**
 * Compactions of files with versions: in any subset and order, with whatever is past gc_grace and whatever contexts may forget, a reader sees after
 * each what it saw before, and replicas that were compacted differently give the same whole answer.
 */
import t, { type Test } from 'tap'
import type { Disk } from '../../../lib/runtime/runtime.ts'
import { openSimulatedDisk } from '../../../lib/runtime/simulated/disk.ts'
import { AFTER_ALL, type Timestamp } from '../../../storage/compaction/purge.ts'
import { Memtable } from '../../../storage/memtable.ts'
import {
  contextEntries,
  contextSize,
  joinContexts,
  makeContext,
  NO_CONTEXT,
} from '../../../storage/model/causal/context.ts'
import { deltaOf } from '../../../storage/model/causal/delta.ts'
import { prunableEntries } from '../../../storage/model/causal/prune.ts'
import { CausalRow } from '../../../storage/model/causal/state.ts'
import { CausalVersions } from '../../../storage/model/merge.ts'
import { MutationReader, MutationWriter } from '../../../storage/model/mutation.ts'
import type { Source } from '../../../storage/read/source.ts'
import type { TableReader } from '../../../storage/sstable/reader.ts'
import { CausalWriter, joinRows, rowMutation, shownOf, versionRow } from '../../support/causal-writes.ts'
import { ALL, merge, readSources, TABLE_BYTES, writeTable } from '../../support/compaction.ts'
import { createDice, type Dice, testSeeds } from '../../support/random.ts'

const RUNS = 12
const DAY = 86_400
const BEGIN = 2_000_000
const CLUSTERING = Buffer.from([0x40])
const law = new CausalVersions()

function memtableOf(mutations: readonly Buffer[]): Memtable {
  const memtable = new Memtable(law)
  for (const mutation of mutations) memtable.apply(new MutationReader().reset(mutation))
  return memtable
}

function fileOf(disk: Disk, path: string, mutations: readonly Buffer[]): Promise<TableReader> {
  return writeTable(disk, path, memtableOf(mutations))
}

async function shown(sources: readonly Source[], nowSeconds: number): Promise<string[][]> {
  const { partitions } = await readSources(sources, law, 10 * DAY, { ...ALL, nowSeconds })
  return partitions.flatMap(({ key, rows }) =>
    rows.map(({ row }) => [key.toString('hex'), ...shownOf(row, nowSeconds)]).filter((texts) => texts.length > 1),
  )
}

async function whole(sources: readonly Source[], nowSeconds: number, gcGraceSeconds: number): Promise<string[]> {
  const { partitions } = await readSources(sources, law, gcGraceSeconds, { ...ALL, nowSeconds, whole: true })
  return partitions.flatMap(({ key, rows, deletion }) => [
    `${key.toString('hex')} ${deletion?.toString('hex')}`,
    ...rows.map(({ row }) => row.toString('hex')),
  ])
}

function leastOf(memtable: Memtable): Timestamp {
  const { high, low } = memtable.leastTimestamp
  return memtable.isEmpty ? AFTER_ALL : { high, low }
}

/** Rows from before the table kept versions, and deletions of them. */
function older(dice: Dice, key: number): Buffer {
  const writer = new MutationWriter()
  writer.begin(TABLE_BYTES, key, 0, Buffer.of(key))
  const timestamp = 1 + dice.int(9)
  if (dice.chance(0.2)) writer.partitionDeletion(0, timestamp, dice.int(2 * BEGIN))
  else if (dice.chance(0.25))
    writer.rangeTombstone(Buffer.from([0x20]), Buffer.from([0x50]), 0, timestamp, dice.int(2 * BEGIN))
  else {
    writer.beginRow(CLUSTERING)
    if (dice.chance(0.7)) writer.row.liveness(0, timestamp, 0, 0)
    if (dice.chance(0.3)) writer.row.tombstone(1, 0, timestamp, dice.int(2 * BEGIN))
    else writer.row.cell(1, 0, timestamp, Buffer.from(`old${timestamp}`))
    writer.endRow()
  }
  return Buffer.from(writer.finish())
}

async function compactAtRandom(t: Test, dice: Dice): Promise<void> {
  const disk = openSimulatedDisk()
  const writers = Array.from({ length: 3 }, () => new CausalWriter(dice, BEGIN))
  const span = dice.pick([10, 3_600, DAY])
  const mutations: Buffer[] = []
  for (let i = 0; i < 3; i++) if (dice.chance(0.3)) mutations.push(older(dice, i))
  for (let i = 20 + dice.int(40); i > 0; i--) {
    const key = dice.int(writers.length)
    mutations.push(rowMutation(TABLE_BYTES, key, CLUSTERING, writers[key]!.next(span)))
  }
  // Hints and repairs bring deltas in another order.
  for (let i = dice.int(10); i > 0; i--) mutations.push(mutations.splice(dice.int(mutations.length), 1)[0]!)
  const files = 2 + dice.int(4)
  let tables: TableReader[] = []
  for (let i = 0; i < files; i++) {
    const share = mutations.splice(0, Math.ceil(mutations.length / (files + 1 - i)))
    if (share.length > 0) tables.push(await fileOf(disk, `/source${i}.sst`, share))
  }
  const memtable = memtableOf(dice.chance(0.5) ? mutations : [])
  const nowSeconds = Math.max(...writers.map((writer) => writer.nowSeconds)) + dice.pick([0, DAY, 30 * DAY])
  const gcGraceSeconds = dice.pick([0, DAY, 10 * DAY, 100 * DAY])
  const expected = await shown([memtable, ...tables], nowSeconds)
  const expectedWhole = await whole([memtable, ...tables], nowSeconds, gcGraceSeconds)
  let isAlike = true
  for (let round = 0; round < 4 && tables.length > 0; round++) {
    const isWhole = dice.chance(0.3)
    const inputs = tables.filter(() => isWhole || dice.chance(0.6))
    if (inputs.length === 0) continue
    const others = tables.filter((table) => !inputs.includes(table))
    const { outputs, result } = await merge({
      disk,
      inputs,
      outsiders: others,
      floor: leastOf(memtable),
      nowSeconds,
      gcGraceSeconds,
      resolution: 'vclock',
      name: `/merged${round}`,
    })
    // A part of the files may lose contexts that a row needs no more, where others hold newer versions of it.
    if (result.purged !== null && (others.length > 0 || !memtable.isEmpty)) isAlike = false
    tables = [...others, ...outputs]
    t.same(await shown([memtable, ...tables], nowSeconds), expected, `after round ${round}`)
    if (!isAlike) continue
    t.same(await whole([memtable, ...tables], nowSeconds, gcGraceSeconds), expectedWhole, `whole after round ${round}`)
  }
}

t.test('reading before is reading after', async (t) => {
  for (const seed of testSeeds(RUNS)) {
    await t.test(`TEST_SEED=${seed}`, (t) => compactAtRandom(t, createDice(seed)))
    if (!t.passing()) return
  }
})

function dotsAt(actor: number, seconds: number): { actor: Buffer; next: () => number } {
  return { actor: Buffer.alloc(8, actor * 2), next: () => seconds * 1_000_000 }
}

t.test('a row without versions goes when nothing outside may hold what it has seen', async (t) => {
  const disk = openSimulatedDisk()
  const put = deltaOf(null, { context: null, version: versionRow('a'), sets: null }, dotsAt(1, BEGIN))
  const context = Buffer.from(new CausalRow().reset(put, BEGIN).context)
  const erased = deltaOf(null, { context, version: null, sets: null }, dotsAt(2, BEGIN + 5))
  const later = deltaOf(null, { context: null, version: versionRow('b'), sets: null }, dotsAt(1, BEGIN + 20))
  const file = (name: string, row: Buffer): Promise<TableReader> =>
    fileOf(disk, name, [rowMutation(TABLE_BYTES, 1, CLUSTERING, row)])
  const [older, deletion, newer] = [
    await file('/old.sst', put),
    await file('/del.sst', erased),
    await file('/new.sst', later),
  ]
  t.equal(deletion.statistics.tombstones, 1)
  t.equal(deletion.statistics.maxLocalDeletionTime, BEGIN + 5)
  t.equal(newer.statistics.tombstones, 0)
  const rows = async (given: Partial<Parameters<typeof merge>[0]>): Promise<number> => {
    const name = `/out${Math.random()}`
    const common = {
      disk,
      inputs: [deletion],
      nowSeconds: BEGIN + 16,
      gcGraceSeconds: 10,
      resolution: 'vclock' as const,
    }
    const { outputs } = await merge({ ...common, name, ...given })
    return outputs.reduce((sum, { statistics }) => sum + statistics.rows, 0)
  }
  t.equal(await rows({}), 0)
  t.equal(await rows({ nowSeconds: BEGIN + 14 }), 1, 'gc_grace')
  t.equal(await rows({ outsiders: [older] }), 1, 'what it replaced is in another file')
  t.equal(await rows({ outsiders: [newer] }), 0, 'what is newer it has not seen')
  t.equal(await rows({ floor: leastOf(memtableOf([rowMutation(TABLE_BYTES, 1, CLUSTERING, put)])) }), 1)
  t.equal(await rows({ inputs: [older, deletion] }), 0)
})

t.test('what is stored forgets actors when nobody may have missed what they were replaced by', async (t) => {
  const disk = openSimulatedDisk()
  let state: Buffer | null = null
  const deltas: Buffer[] = []
  for (let day = 0; day < 12; day++) {
    const context = state && Buffer.from(new CausalRow().reset(state, BEGIN).context)
    const write = { context, version: versionRow(`v${day}`), sets: null }
    const delta = deltaOf(state, write, dotsAt(day + 1, BEGIN + day * DAY))
    deltas.push(delta)
    state = state === null ? delta : joinRows(state, delta)
  }
  const file = (name: string, row: Buffer): Promise<TableReader> =>
    fileOf(disk, name, [rowMutation(TABLE_BYTES, 1, CLUSTERING, row)])
  const [whole, oldest] = [await file('/whole.sst', state!), await file('/oldest.sst', deltas[1]!)]
  const last = BEGIN + 11 * DAY
  const prunings = async (nowSeconds: number, outsiders: TableReader[]): Promise<number> => {
    const given = { disk, inputs: [whole], outsiders, nowSeconds, gcGraceSeconds: DAY, resolution: 'vclock' as const }
    return (await merge({ ...given, name: `/pruned${nowSeconds}${outsiders.length}` })).result.prunings
  }
  t.equal(await prunings(last + DAY, []), 0, 'gc_grace')
  t.equal(await prunings(last + DAY + 1, []), 4, 'those of more than seven days before the newest')
  t.equal(await prunings(last + DAY + 1, [oldest]), 1, 'what is outside might come back')
  t.equal(contextSize(new CausalRow().reset(state!, last).context), 8, 'readers are given as much')
  t.equal(contextSize(new CausalRow().reset(joinRows(state!, deltas[0]!), last).context), 8)
})

t.test('what a context forgets', (t) => {
  const HOUR = 3_600_000_000
  const contextOf = (...ages: number[]): Buffer =>
    ages.reduce<Buffer>((context, hours, i) => {
      const last = (1_000 - hours) * HOUR
      return joinContexts(context, makeContext(Buffer.alloc(8, (i + 1) * 2), last - 5, last))
    }, NO_CONTEXT)
  const forgotten = (context: Buffer, held: readonly number[]): number[] => {
    const row = Buffer.concat([context, ...held.map((actor) => Buffer.alloc(16, actor * 2))])
    const dots = held.map((_, i) => context.length + 16 * i)
    return prunableEntries(row, 0, context.length, dots).map(({ actorAt }) => row[actorAt]! / 2)
  }
  t.same(forgotten(contextOf(0, 1, 100, 167), [1]), [])
  t.same(forgotten(contextOf(0, 1, 169, 200), [1]), [4, 3], 'after seven days')
  t.same(forgotten(contextOf(0, 1, 169, 200), [1, 4]), [3], 'not what a version hangs on')
  t.same(forgotten(contextOf(169, 0), [1]), [], 'nor the newest')
  const many = contextOf(0, 5, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14)
  t.same(forgotten(many, [1]), [12, 11], 'beyond ten, the oldest')
  t.same(forgotten(many, [1, 12]), [11, 10])
  t.same(forgotten(contextOf(...Array.from({ length: 14 }, (_, i) => i / 10)), [1]), [], 'hints may be on their way')
  const left = contextEntries(many, 0, many.length).filter(({ actorAt }) => ![11, 12].includes(many[actorAt]! / 2))
  const pruned = Buffer.concat(left.map(({ actorAt, end }) => many.subarray(actorAt, end)))
  t.same(forgotten(pruned, [1]), [], 'nothing is forgotten twice')
  t.end()
})
