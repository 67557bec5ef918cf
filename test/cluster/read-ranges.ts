/** Scans of a ring in many pieces: how many are asked for at once, how many rounds of messages that takes, and what comes of a node that has just died. */
import t from 'tap'
import { askPiece } from '../../cluster/coordinator/range-parts.ts'
import type { RangePiece } from '../../cluster/coordinator/read-plan.ts'
import { RowDensity } from '../../cluster/coordinator/read-ranges.ts'
import { Verb } from '../../cluster/internode/verbs.ts'
import { FailureReason, ReplicaFailure, RequestError } from '../../lib/base/errors.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import { ALL_ROWS, type ReadCommand } from '../../storage/model/command.ts'
import { Replicas, TABLE, TABLE_BYTES } from '../support/replicas.ts'
import { simple } from '../support/rings.ts'
import { encodePosition, encodeWrite, NOW, storeView } from '../support/storage-model.ts'

/** Pieces with bounds at these parts of the ring. */
function pieces(...bounds: readonly number[]): RangePiece[] {
  const cuts = bounds.map((part) => {
    const position = Buffer.alloc(8)
    position.writeUInt32BE(Math.round(part * 2 ** 32))
    return position
  })
  return [null, ...cuts].map((start, i) => ({ start, end: cuts[i] ?? null, plan: {} as RangePiece['plan'] }))
}

t.test('as many pieces as hold what is wanted, if the ring is as what was read last', (t) => {
  const ring = pieces(0.1, 0.2, 0.4, 0.5, 0.9)
  const density = new RowDensity()
  t.equal(density.concurrencyFor(ring, 100), 1, 'nothing is known')
  density.found(ring.slice(0, 2), 200)
  t.equal(density.concurrencyFor(ring, 100), 1)
  t.equal(density.concurrencyFor(ring, 101), 2)
  t.equal(density.concurrencyFor(ring, 300), 3, 'pieces count by their width')
  t.equal(density.concurrencyFor(ring.slice(3), 300), 2)
  t.equal(density.concurrencyFor(ring, 5_000), 6)
  density.found(ring, 0)
  t.equal(density.concurrencyFor(ring, 1), 6, 'there was nothing')
  t.equal(density.concurrencyFor([], 1), 1)
  const many = pieces(...Array.from({ length: 999 }, (_, i) => (i + 1) / 1_000))
  t.equal(density.concurrencyFor(many, 1), 256)
  t.end()
})

const SCAN: ReadCommand = {
  ...ALL_ROWS,
  table: TABLE,
  target: { kind: 'range', start: null, end: null },
  nowSeconds: NOW,
  limit: 5_000,
  byteLimit: 4 * 1024 * 1024,
}

t.test('rounds of a scan, with one replica on each of three nodes with 128 tokens', async (t) => {
  const replication = { strategy: 'org.apache.cassandra.locator.SimpleStrategy', factor: 1, datacenters: null }
  await using world = await new Replicas({ nodes: 3, tokens: 128, replication }).open()
  const one = world.nodes[0]!
  /** A round takes a millisecond. */
  const rounds = async (command: ReadCommand): Promise<number> => {
    let isDone = false
    const reading = Promise.resolve(one.reads.read(command, Consistency.ONE, 'k')).finally(() => {
      isDone = true
    })
    let ms = 0
    for (; !isDone; ms++) await world.clock.advance(1)
    await reading
    return ms
  }
  const first = await rounds(SCAN)
  const second = await rounds(SCAN)
  t.equal(first, 5, 'of an empty table, of which nothing is known')
  t.equal(second, 2, 'again')
})

const ROWS = 60

async function filled(): Promise<Replicas> {
  const world = await new Replicas({ nodes: 5, tokens: 16, replication: simple(3) }).open()
  for (let id = 0; id < ROWS; id++) {
    const partition = `p${id}`
    const cells = [{ column: 0, path: null, kind: 'live' as const, ts: 1n, localTime: 0, ttl: 0, value: 'x' }]
    const changes = [{ kind: 'row' as const, isStatic: false, clustering: 'c', liveness: null, deletion: null, cells }]
    const write = encodeWrite({ partition, changes }, TABLE_BYTES)
    for (const { store } of world.replicasOf(encodePosition(partition))) await store.apply([write])
  }
  return world
}

t.test('a node that has just died costs no scan at a quorum, page by page or as a whole', async (t) => {
  await using world = await filled()
  const [one, two] = world.nodes
  for (const dead of [null, ...world.nodes.slice(2, 4)]) {
    for (const node of world.nodes) node.failure = null
    if (dead !== null) dead.failure = new ReplicaFailure('NODE_DOWN', FailureReason.NODE_DOWN, '')
    for (const limit of [5_000, 7]) {
      const seen: string[] = []
      let command: ReadCommand = { ...SCAN, limit }
      for (let page = 0; page <= ROWS; page++) {
        // The next page by another node, as a client may ask for it.
        const result = await world.read(page % 2, command, Consistency.QUORUM)
        seen.push(...storeView(result, NOW).map(({ partition }) => partition))
        const last = result.partitions.at(-1)
        if (!result.more || last === undefined) break
        const after = { position: last.position, clustering: null, partitionDone: true, rowsGiven: 0 }
        command = { ...command, after }
      }
      t.equal(seen.length, ROWS, `${dead?.ring.endpoint}, ${limit} rows a page`)
      t.equal(new Set(seen).size, ROWS)
    }
  }
  t.ok(one!.reads.counts.failovers + two!.reads.counts.failovers > 0)

  // Two of three replicas are not there.
  for (const node of world.nodes.slice(2, 4))
    node.failure = new ReplicaFailure('NODE_DOWN', FailureReason.NODE_DOWN, '')
  await t.rejects(world.read(0, SCAN, Consistency.QUORUM), { code: 'READ_FAILURE' })
})

t.test('pieces are not joined at the price of a slow node', async (t) => {
  await using world = await filled()
  const slow = world.nodes[3]!
  await world.read(0, SCAN, Consistency.QUORUM)
  slow.delayMs = 2_000
  for (let n = 0; n < 2; n++) {
    await world.read(0, SCAN, Consistency.QUORUM)
    await world.clock.advance(200)
  }
  const before = slow.taken.get(Verb.RANGE_READ) ?? 0
  t.equal((await world.read(0, SCAN, Consistency.QUORUM)).partitions.length, ROWS)
  t.equal(slow.taken.get(Verb.RANGE_READ), before)
})

t.test('which pieces are asked for in parts, and which parts', async (t) => {
  const parts = pieces(0.1, 0.3, 0.5, 0.7).slice(0, 4)
  const piece = { start: parts[1]!.start, end: pieces(0.6)[0]!.end, plan: {} as RangePiece['plan'], parts }
  const failed = (code: 'READ_FAILURE' | 'READ_TIMEOUT', reason: number) =>
    new RequestError(code, '', { failures: [{ address: Buffer.alloc(4), reason }] })
  const asked: string[] = []
  const ask = (error: RequestError) => async (one: RangePiece, isFirst: boolean, among: number) => {
    const at = (bound: Buffer | null) => ((bound?.readUInt32BE(0) ?? 0) / 2 ** 32).toFixed(1)
    asked.push(`${at(one.start)}-${at(one.end)}${isFirst ? ' first' : ''} of ${among}`)
    if (one === piece) throw error
    return one
  }
  const down = failed('READ_FAILURE', FailureReason.NODE_DOWN)
  const answers = await askPiece(piece, null, ask(down))
  t.same(asked.splice(0), ['0.1-0.6 first of 1', '0.1-0.3 first of 3', '0.3-0.5 of 3', '0.5-0.6 of 3'])
  t.same(
    answers.map(({ answer }) => answer),
    answers.map(({ piece: own }) => own),
  )
  await askPiece(piece, pieces(0.4)[0]!.end, ask(down))
  t.same(
    asked.splice(0),
    ['0.1-0.6 first of 1', '0.4-0.5 first of 2', '0.5-0.6 of 2'],
    'what is read already is not read again',
  )
  for (const error of [
    failed('READ_FAILURE', FailureReason.READ_TOO_MANY_TOMBSTONES),
    failed('READ_FAILURE', FailureReason.COORDINATOR_BEHIND),
    failed('READ_TIMEOUT', FailureReason.NODE_DOWN),
  ])
    await t.rejects(askPiece(piece, null, ask(error)), error)
  t.equal(asked.length, 3)
})
