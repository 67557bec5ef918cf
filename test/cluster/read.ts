/**
 * Reads of several replicas, each of which holds a part of what was written: the answer must be that of one store that holds what they hold together, whatever
 * the limits, pages and coordinators; and afterwards they must all hold it.
 */
import t from 'tap'
import { murmur3Token } from '../../lib/base/hash/murmur3.ts'
import { openNodeClock } from '../../lib/runtime/node/clock.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import type { PartitionData, ReadCommand, ReadPoint, ReadResult, Slice } from '../../storage/model/command.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import { createDice, type Dice, testSeed } from '../support/random.ts'
import { Replicas, TABLE, TABLE_BYTES } from '../support/replicas.ts'
import { simple } from '../support/rings.ts'
import {
  encodePosition,
  encodeWrite,
  everythingIn,
  NOW,
  randomWrite,
  type SeenPartition,
  storeView,
} from '../support/storage-model.ts'
import { memoryRuntime } from '../support/storage-runtime.ts'

const GC_GRACE = 100_000

async function openJudge(): Promise<Store> {
  const store = await openStore({ runtime: memoryRuntime(openNodeClock()), directory: null })
  const options = { ...DEFAULT_TABLE_OPTIONS, gcGraceSeconds: GC_GRACE }
  await store.registerTable(TABLE, { keyspace: 'k', name: 't', durableWrites: true, hasClustering: true, options })
  return store
}

/** Partitions all over the ring. */
const PARTITIONS = Array.from({ length: 12 }, (_, i) => `partition ${i}`)

/** Gives the token of its hash to a position. */
function place(bytes: Buffer, at: number): Buffer {
  const token = new Int32Array(2)
  murmur3Token(bytes, at + 10, at + 10 + bytes.readUInt16BE(at + 8), token)
  bytes.writeInt32BE(token[0]! ^ -0x80000000, at)
  bytes.writeInt32BE(token[1]!, at + 4)
  return bytes
}

const positionOf = (partition: string): Buffer => place(encodePosition(partition), 0)

function randomRange(dice: Dice): ReadCommand['target'] {
  const bound = (): Buffer | null => (dice.chance(0.6) ? null : positionOf(dice.pick(PARTITIONS)).subarray(0, 8))
  const [start, end] = [bound(), bound()]
  const isOrdered = start === null || end === null || start.compare(end) < 0
  return { kind: 'range', start: isOrdered ? start : end, end: isOrdered ? end : start }
}

function command(more: Partial<ReadCommand>): ReadCommand {
  return { ...everythingIn(TABLE), ...more }
}

function randomCommand(dice: Dice): ReadCommand {
  const letter = (): Buffer => Buffer.from(dice.pick(['', 'a', 'b', 'c`', 'd', 'f', 'h', '\xff']), 'latin1')
  const bounds = [letter(), letter(), letter(), letter()].sort(Buffer.compare)
  const slices: Slice[] = []
  for (const [start, end] of [[bounds[0]!, bounds[1]!] as const, [bounds[2]!, bounds[3]!] as const])
    if (start.compare(end) < 0) slices.push({ start, end })
  const row = Buffer.from(dice.pick(['a', 'd', 'g']))
  const single = [{ start: row, end: Buffer.concat([row, Buffer.from('`')]), single: true }]
  const roll = dice.int(5)
  const wantStatic = dice.chance(0.7)
  return command({
    target: dice.chance(0.6)
      ? randomRange(dice)
      : { kind: 'partition', position: positionOf(dice.pick(PARTITIONS.slice(0, 4))) },
    slices: roll < 3 ? null : roll === 3 ? single : slices,
    reversed: dice.chance(0.3),
    wantStatic,
    staticCounts: wantStatic && dice.chance(0.5),
    limit: dice.chance(0.5) ? 1 + dice.int(6) : Infinity,
    perPartitionLimit: dice.chance(0.3) ? 1 + dice.int(3) : Infinity,
  })
}

/** A whole partition as text. */
function shape({ position, staticRow, rows, deletion, rangeTombstones = [] }: PartitionData): string {
  const text = (bytes: Buffer | null | undefined): string => (bytes ? bytes.toString('latin1') : '-')
  const ranges = rangeTombstones.map(({ start, end, deletion: by }) => [text(start), text(end), text(by)])
  return JSON.stringify([
    text(position),
    text(staticRow),
    text(deletion),
    ranges,
    rows.map(({ clustering, row }) => [text(clustering), text(row)]),
  ])
}

/** Static rows count only where they were asked for, and are told once. */
function seen(result: ReadResult): SeenPartition[] {
  return storeView(result, NOW)
}

/** All pages of a command, each through another node. */
async function readPages(
  replicas: Replicas,
  dice: Dice,
  asked: ReadCommand,
  level: number,
  coordinators: readonly number[],
): Promise<SeenPartition[]> {
  const given: SeenPartition[] = []
  let after: ReadPoint | null = null
  let remaining = asked.limit
  for (let pages = 0; ; pages++) {
    if (pages > 300) throw new Error('the pages do not end')
    const limit = Math.min(remaining, dice.pick([1, 2, 3, 5, Infinity]))
    const byteLimit = dice.pick([1, 50, 300, Infinity])
    const result: ReadResult = await replicas.read(
      dice.pick(coordinators),
      { ...asked, limit, byteLimit, after },
      level,
    )
    const page = seen(result)
    let rows = 0
    for (const partition of page) {
      rows += partition.rows.length > 0 ? partition.rows.length : asked.staticCounts ? 1 : 0
      const last = given.at(-1)
      if (last?.partition === partition.partition)
        given[given.length - 1] = { ...last, rows: [...last.rows, ...partition.rows] }
      else given.push(partition)
    }
    if (rows > limit) throw new Error(`${rows} rows where ${limit} were asked for`)
    remaining -= rows
    const last = result.partitions.at(-1)
    if (!result.more || last === undefined || remaining <= 0) return given
    const row = last.rows.at(-1)
    const before: number = after?.position.equals(last.position) ? after.rowsGiven : 0
    const rowsGiven = before + last.rows.length
    after = {
      position: Buffer.from(last.position),
      clustering: row ? Buffer.from(row.clustering) : null,
      partitionDone: row === undefined || rowsGiven >= asked.perPartitionLimit,
      rowsGiven: Math.max(rowsGiven, 1),
    }
  }
}

interface Scene {
  readonly nodes: number
  readonly factor: number
  readonly dead: number
  readonly level: number
}

const SCENES: readonly Scene[] = [
  { nodes: 3, factor: 3, dead: 1, level: Consistency.QUORUM },
  { nodes: 3, factor: 3, dead: 0, level: Consistency.ALL },
  { nodes: 5, factor: 3, dead: 0, level: Consistency.ALL },
  { nodes: 5, factor: 5, dead: 2, level: Consistency.QUORUM },
  { nodes: 2, factor: 2, dead: 0, level: Consistency.TWO },
]

const seed = testSeed()

t.test(`reads at quorums are those of all that the replicas hold; seed ${seed}`, async (t) => {
  let mismatches = 0
  let rounds = 0
  for (let round = 0; round < 8; round++) {
    const dice = createDice(seed + round)
    const { nodes, factor, dead, level } = dice.pick(SCENES)
    const replication = simple(factor)
    // Without repair every read meets what is spread unevenly; with it the first heals the rest.
    const readRepair = dice.pick(['BLOCKING', 'NONE'])
    const options = { nodes, replication, gcGraceSeconds: GC_GRACE, table: { readRepair } }
    await using replicas = await new Replicas(options).open()
    const judge = await openJudge()
    for (let i = 0; i < dead; i++) replicas.setAlive(nodes - 1 - i, false)
    const alive = nodes - dead
    for (let n = 20 + dice.int(60); n > 0; n--) {
      // Some partitions are written to more often.
      const partition = PARTITIONS[Math.min(dice.int(PARTITIONS.length), dice.int(PARTITIONS.length))]!
      const write = { ...randomWrite(dice), partition }
      const mutation = place(encodeWrite(write, TABLE_BYTES), TABLE_BYTES.length)
      const holders = replicas.replicasOf(positionOf(partition))
      let isSeen = false
      for (const holder of holders) {
        if (!dice.chance(0.5) && !(holder === holders.at(-1) && !isSeen)) continue
        await holder.store.apply([mutation])
        if (holder.state === 'alive') isSeen = true
      }
      if (isSeen) await judge.apply([mutation])
    }
    const coordinators = Array.from({ length: alive }, (_, i) => i)
    for (let n = 0; n < 10; n++) {
      const asked = n === 9 ? command({}) : randomCommand(dice)
      const expected = seen(await judge.read(asked))
      const got = dice.chance(0.5)
        ? await readPages(replicas, dice, asked, level, coordinators)
        : seen(await replicas.read(dice.pick(coordinators), asked, level))
      if (JSON.stringify(got) !== JSON.stringify(expected))
        t.same(got, expected, `seed ${seed + round}, read ${n}: ${JSON.stringify(asked)}`)
    }
    for (const { reads } of replicas.nodes) {
      mismatches += reads.counts.digestMismatches
      rounds += reads.counts.extraRounds
    }
    // The last read was of everything: those who took part agree.
    if (readRepair === 'NONE') t.ok(replicas.nodes.every(({ reads }) => reads.counts.repairs === 0))
    else
      for (const partition of PARTITIONS) {
        const position = positionOf(partition)
        const whole = command({ target: { kind: 'partition', position }, whole: true })
        const holders = replicas.replicasOf(position).filter(({ state }) => state === 'alive')
        const shapes = await Promise.all(
          holders.map(async ({ store }) => (await store.read(whole)).partitions.map(shape)),
        )
        const judged = (await judge.read(whole)).partitions.map(shape)
        for (const held of shapes)
          if (JSON.stringify(held) !== JSON.stringify(judged))
            t.same(held, judged, `seed ${seed + round}: ${partition}`)
      }
    if (replicas.errors.length > 0) t.same(replicas.errors, [], `seed ${seed + round}`)
    await judge.close()
  }
  t.ok(mismatches > 10, `${mismatches} reads found replicas that differ`)
  t.ok(rounds > 0, `${rounds} rounds were short`)
})
