/** Scans of a ring in many pieces: how many are asked for at once, and how many rounds of messages that takes. */
import t from 'tap'
import { type RangePiece, RowDensity } from '../../cluster/coordinator/read-ranges.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import { ALL_ROWS, type ReadCommand } from '../../storage/model/command.ts'
import { Replicas, TABLE } from '../support/replicas.ts'
import { NOW } from '../support/storage-model.ts'

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
