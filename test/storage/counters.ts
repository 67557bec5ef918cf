/** Counters' cells by the law of merging: any order, grouping and repetition of what replicas wrote gives what a slow model says. */
import t from 'tap'
import { ByteWriter } from '../../lib/base/bytes.ts'
import { COUNTER_DELETION } from '../../storage/model/counter.ts'
import { LastWriteWins } from '../../storage/model/merge.ts'
import { RowReader } from '../../storage/model/row.ts'
import { RowWriter } from '../../storage/model/row-writer.ts'
import { validateRow } from '../../storage/model/validation.ts'
import { type Dice, forAll } from '../support/random.ts'

const COLUMN = 3

/** One version of a row: shards of a counter, perhaps a sum of old, deletions of the row and of the counter. */
interface Version {
  readonly shards: readonly { readonly node: number; readonly clock: number; readonly count: number }[]
  readonly old: { readonly clock: number; readonly count: number } | null
  readonly rowDeletion: number | null
  readonly isRemoved: boolean
}

function randomVersion(dice: Dice): Version {
  const nodes = [0, 1, 2].filter(() => dice.chance(0.5))
  // What a node wrote at a time is always the same.
  const shards = nodes.map((node) => {
    const clock = 1 + dice.int(6)
    return { node, clock, count: node * 100 + clock * 7 }
  })
  const clock = 1 + dice.int(3)
  const old = dice.chance(0.3) ? { clock, count: 1000 * clock } : null
  return { shards, old, rowDeletion: dice.chance(0.2) ? dice.int(6) : null, isRemoved: dice.chance(0.1) }
}

function encode({ shards, old, rowDeletion, isRemoved }: Version): Buffer {
  const writer = new RowWriter()
  writer.begin()
  if (rowDeletion !== null) writer.deletion(0, rowDeletion, 1)
  if (isRemoved) writer.complexDeletion(COLUMN, COUNTER_DELETION.high, COUNTER_DELETION.low, 1)
  else {
    if (old !== null) writer.cell(COLUMN, 0, old.clock, countBytes(old.count))
    for (const { node, clock, count } of shards)
      writer.pathCell(COLUMN, Buffer.alloc(16, node), 0, clock, countBytes(count))
  }
  writer.end()
  return writer.out.copy()
}

function countBytes(count: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(BigInt(count))
  return bytes
}

/** What a reader adds up; null: no cell is left. */
function sumOf(row: Buffer): bigint | null {
  const reader = new RowReader().reset(row)
  let sum: bigint | null = null
  while (reader.next()) if (reader.isLive(0)) sum = (sum ?? 0n) + row.readBigInt64BE(reader.valueStart)
  return sum
}

function modelSum(versions: readonly Version[]): bigint | null {
  if (versions.some(({ isRemoved }) => isRemoved)) return null
  const deletion = Math.max(-1, ...versions.map(({ rowDeletion }) => rowDeletion ?? -1))
  const newest = new Map<string, { clock: number; count: number }>()
  for (const { shards, old } of versions)
    for (const { name, clock, count } of [
      ...shards.map((shard) => ({ ...shard, name: String(shard.node) })),
      ...(old ? [{ ...old, name: 'old' }] : []),
    ])
      if (clock > deletion && clock > (newest.get(name)?.clock ?? 0)) newest.set(name, { clock, count })
  if (newest.size === 0) return null
  let sum = 0
  for (const { count } of newest.values()) sum += count
  return BigInt(sum)
}

const law = new LastWriteWins()

function merge(a: Buffer, b: Buffer): Buffer {
  const out = new ByteWriter()
  law.merge(out, a, 0, a.length, b, 0, b.length)
  return out.copy()
}

t.test('order, grouping and repetition do not matter, and the sum is that of the newest shards', (t) => {
  forAll(3_000, (dice) => {
    const versions = Array.from({ length: 2 + dice.int(4) }, () => randomVersion(dice))
    const rows = versions.map(encode)
    for (const row of rows) validateRow(row, 0, row.length)
    const inOrder = rows.reduce(merge)
    validateRow(inOrder, 0, inOrder.length)
    const pool = [...rows]
    while (pool.length > 1) {
      const [one] = pool.splice(dice.int(pool.length), 1)
      const at = dice.int(pool.length)
      pool[at] = merge(pool[at]!, one!)
      if (dice.chance(0.3)) pool[at] = merge(one!, pool[at]!)
    }
    // What a row's own deletion shadows goes at the first merge.
    const normal = merge(inOrder, inOrder)
    const other = merge(pool[0]!, pool[0]!)
    if (!other.equals(normal)) throw new Error(`${other.toString('hex')} is not ${normal.toString('hex')}`)
    if (sumOf(normal) !== modelSum(versions)) throw new Error(`${sumOf(normal)} is not ${modelSum(versions)}`)
  })
  t.end()
})
