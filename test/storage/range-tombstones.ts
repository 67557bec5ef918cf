/** How many tombstones a read tells of: range tombstones against an oracle that walks every place, and cases as Apache Cassandra 5.0.6 counts them. */

import t from 'tap'
import { uuidBytes } from '../../lib/base/uuid.ts'
import { openNodeClock } from '../../lib/runtime/node/clock.ts'
import { openSimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import {
  ALL_ROWS,
  END_OF_PARTITION,
  type ReadCommand,
  type ReadResult,
  type Slice,
} from '../../storage/model/command.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import { createDice, testSeeds } from '../support/random.ts'
import { type Change, encodePosition, encodeWrite } from '../support/storage-model.ts'
import { storageRuntime } from '../support/storage-runtime.ts'

const TABLE = '5a1c395e-b41f-11e5-9f22-ba0be0483c18'
const NOW = 1_000
const GC_GRACE = 100
const bound = (place: number): string => (place < 0 ? '' : place > 60 ? '\xff' : String.fromCharCode(0x20 + place))
const bytes = (place: number): Buffer => Buffer.from(bound(place), 'latin1')

async function open(): Promise<Store> {
  const runtime = storageRuntime(openNodeClock(), openSimulatedDisk())
  const store = await openStore({ runtime, directory: '/data' })
  // NOW is long ago by the store's clock: a compaction would purge what is counted here.
  const compaction = { ...DEFAULT_TABLE_OPTIONS.compaction, enabled: false }
  const options = { ...DEFAULT_TABLE_OPTIONS, gcGraceSeconds: GC_GRACE, compaction }
  await store.registerTable(TABLE, { keyspace: 'k', name: 't', durableWrites: true, hasClustering: true, options })
  return store
}

function write(store: Store, ...changes: Change[]): void {
  writeTo('p', store, ...changes)
}

function writeTo(partition: string, store: Store, ...changes: Change[]): void {
  void store.apply([encodeWrite({ partition, changes }, uuidBytes(TABLE))])
}

function range(from: number, to: number, ts: number, localTime = NOW): Change {
  return { kind: 'range', start: bound(from), end: bound(to), ts: BigInt(ts), localTime }
}

function row(place: number, ts: number): Change {
  const liveness = { ts: BigInt(ts), ttl: 0, expiresAt: 0xffffffff }
  return { kind: 'row', isStatic: false, clustering: bound(place), liveness, deletion: null, cells: [] }
}

function read(
  store: Store,
  slices: readonly Slice[] | null,
  more: Partial<ReadCommand> = {},
): ReadResult | Promise<ReadResult> {
  return store.read({
    ...ALL_ROWS,
    table: TABLE,
    target: { kind: 'partition', position: encodePosition('p') },
    slices,
    wantStatic: true,
    nowSeconds: NOW,
    ...more,
  })
}

const rowsOf = ({ partitions }: ReadResult): number => partitions.reduce((sum, { rows }) => sum + rows.length, 0)

t.test('as Cassandra counts', async (t) => {
  const store = await open()
  t.teardown(() => store.close())
  const one = (place: number): Slice[] => [
    { start: bytes(place), end: Buffer.concat([bytes(place), Buffer.from([0])]), single: true },
  ]
  for (const flush of [false, true]) {
    if (!flush) {
      write(store, row(1, 1), row(5, 1), row(9, 1))
      write(store, range(2, 4, 2))
      write(store, range(4, 7, 3))
      write(store, range(20, 30, 4))
      write(store, range(25, 40, 5))
    } else await store.flush()
    const counted = async (slices: readonly Slice[] | null, more: Partial<ReadCommand> = {}): Promise<number[]> => {
      const result = await read(store, slices, more)
      return [rowsOf(result), result.tombstones]
    }
    t.same(await counted(null), [2, 6], 'each change of what holds, between no rows too')
    t.same(await counted(null, { reversed: true }), [2, 6])
    t.same(await counted(one(3)), [0, 2], 'opened and closed around a row that is not there')
    t.same(await counted(one(5)), [0, 2])
    t.same(await counted(one(9)), [1, 0])
    t.same(await counted([{ start: bytes(3), end: bytes(5) }]), [0, 3])
    t.same(await counted(null, { limit: 1 }), [1, 0], 'none before the first row')
    t.same(await counted(null, { limit: 2 }), [2, 3], 'and none after the last')
    t.same(await counted([2, 3, 26].flatMap(one)), [0, 6], 'each slice for itself')
    const everything = { kind: 'range', start: null, end: null } as const
    t.same(await counted(null, { target: everything }), [2, 6])
    t.same(await counted(null, { target: everything, reversed: true }), [2, 6])
    t.same(await counted(null, { nowSeconds: NOW + GC_GRACE + 1 }), [2, 0], 'none that may be dropped')
  }
  write(store, { kind: 'partition', ts: 9n, localTime: NOW })
  t.same((await read(store, null)).tombstones, 0, 'what the partition’s deletion covers is none')
})

t.test('a read that will fail ends early', async (t) => {
  const store = await open()
  t.teardown(() => store.close())
  for (let n = 0; n < 5_000; n++) {
    const at = Buffer.from(`@${String(n * 2).padStart(8, '0')}`).toString('latin1')
    write(store, { kind: 'range', start: at, end: `${at}\x01`, ts: 1n, localTime: NOW })
  }
  for (const reversed of [false, true]) {
    const result = await read(store, null, { tombstonesMax: 100, reversed })
    t.ok(result.tombstones > 100 && result.tombstones < 110, `${result.tombstones}`)
    t.equal((await read(store, null, { reversed })).tombstones, 10_000)
  }
})

interface Written {
  readonly from: number
  readonly to: number
  readonly ts: number
  readonly localTime: number
}

/** The greatest deletion at a place that counts, as text; null: none. */
function holding(written: readonly Written[], partitionTs: number, place: number): string | null {
  let best: Written | null = null
  for (const one of written) {
    if (place < one.from || place >= one.to) continue
    if (!best || one.ts > best.ts || (one.ts === best.ts && one.localTime > best.localTime)) best = one
  }
  if (!best || best.ts <= partitionTs || best.localTime < NOW - GC_GRACE) return null
  return `${best.ts} ${best.localTime}`
}

t.test('random ranges in several files and slices, forwards and backwards', async (t) => {
  const store = await open()
  t.teardown(() => store.close())
  for (const seed of testSeeds(200)) {
    const dice = createDice(seed)
    const partition = `p${seed}`
    const target = { kind: 'partition', position: encodePosition(partition) } as const
    const written: Written[] = []
    let partitionTs = -1
    for (let n = 1 + dice.int(14); n > 0; n--) {
      const from = dice.int(30)
      const one = {
        from,
        to: from + 1 + dice.int(12),
        ts: dice.int(6),
        localTime: dice.pick([NOW, NOW - 1, NOW - GC_GRACE - 1]),
      }
      written.push(one)
      writeTo(partition, store, range(one.from, one.to, one.ts, one.localTime))
      if (dice.chance(0.05)) {
        partitionTs = Math.max(partitionTs, dice.int(4))
        writeTo(partition, store, { kind: 'partition', ts: BigInt(partitionTs), localTime: NOW })
      }
      if (dice.chance(0.03)) await store.flush()
    }
    for (let n = 0; n < 6; n++) {
      const start = dice.int(40)
      const end = start + 1 + dice.int(20)
      let expected = 0
      let open: string | null = null
      for (let place = start; place < end; place++) {
        const now = holding(written, partitionTs, place)
        if (now !== open) expected++
        open = now
      }
      if (open !== null) expected++
      const slices = [{ start: bytes(start), end: end > 45 ? END_OF_PARTITION : bytes(end) }]
      for (const reversed of [false, true]) {
        const { tombstones } = await read(store, slices, { reversed, target })
        if (tombstones !== expected)
          t.fail(
            `TEST_SEED=${seed}: ${tombstones} tombstones in [${start}, ${end}) reversed ${reversed}, not ${expected}`,
          )
      }
    }
  }
  t.pass()
})
