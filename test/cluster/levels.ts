/** Levels and what they ask for, with the numbers that real Cassandra gives on one node. */
import t from 'tap'
import { quorumOf, type Replication, requirement } from '../../cluster/coordinator/levels.ts'
import { LocalCoordinator } from '../../cluster/coordinator/local.ts'
import { RequestError } from '../../lib/base/errors.ts'
import { Consistency, type ConsistencyName } from '../../lib/types/consistency.ts'
import { LastWriteWins } from '../../storage/model/merge.ts'
import { countedDots } from '../support/dots.ts'

const simple = (factor: number): Replication => ({ strategy: 'SimpleStrategy', factor, datacenters: null })
const network = (...counts: [string, number][]): Replication => ({
  strategy: 'NetworkTopologyStrategy',
  factor: counts.reduce((sum, [, count]) => sum + count, 0),
  datacenters: new Map(counts),
})

t.test('quorums', (t) => {
  t.same([1, 2, 3, 4, 5].map(quorumOf), [1, 2, 2, 3, 3])
  const required = (level: ConsistencyName, replication: Replication) =>
    requirement(Consistency[level], replication, 'a').required
  t.equal(required('ALL', simple(5)), 5)
  t.equal(required('LOCAL_QUORUM', simple(3)), 2)
  t.equal(required('LOCAL_QUORUM', network(['a', 3], ['b', 5])), 2)
  t.equal(required('QUORUM', network(['a', 3], ['b', 5])), 5)
  t.equal(required('EACH_QUORUM', network(['a', 3], ['b', 5])), 5)
  t.same(
    [...requirement(Consistency.EACH_QUORUM, network(['a', 3], ['b', 5]), 'a').each!],
    [
      ['a', 2],
      ['b', 3],
    ],
  )
  t.end()
})

t.test('a cluster of one refuses what it cannot meet before it writes', async (t) => {
  const keyspaces = new Map([
    ['one', simple(1)],
    ['three', simple(3)],
    ['both', network(['here', 1], ['there', 1])],
  ])
  const applied: string[] = []
  const reported: string[] = []
  let epoch = 1
  const coordinator = new LocalCoordinator({
    clock: { monotonicMs: () => 0 },
    replica: {
      apply(mutations) {
        const what = mutations[0]!.toString()
        if (what === 'dead') return Promise.reject(Object.assign(new Error('disk'), { name: 'StorageError' }))
        if (what === 'closed') throw Object.assign(new Error('closed'), { name: 'StorageError' })
        if (what === 'bug') throw new TypeError('bug')
        applied.push(mutations[0]!.toString())
        return undefined
      },
      read: () => ({ partitions: [], more: false, tombstones: 0 }),
      resolution: () => new LastWriteWins(),
      truncate: async () => {},
    },
    datacenter: 'here',
    counters: { shard: Buffer.alloc(16, 1), timestampMicros: () => 1, nowSeconds: () => 0 },
    causal: { dots: countedDots(), table: () => ({ name: 'a table', maxSiblings: 100 }), nowSeconds: () => 0 },
    address: new Uint8Array([127, 0, 0, 1]),
    replication: (keyspace) => keyspaces.get(keyspace) ?? null,
    epoch: () => epoch,
    report: (cause) => reported.push(cause.message),
  })
  const write = (level: ConsistencyName, keyspace: string) => () =>
    coordinator.write([Buffer.from(level)], 'SIMPLE', Consistency[level], keyspace)
  const refused = (level: ConsistencyName, keyspace: string): unknown => {
    try {
      write(level, keyspace)()
      return null
    } catch (error) {
      return error instanceof RequestError ? { code: error.code, message: error.message, ...error.fields } : error
    }
  }
  t.equal(refused('ALL', 'one'), null)
  t.match(refused('TWO', 'one'), {
    code: 'UNAVAILABLE',
    message: 'Cannot achieve consistency level TWO',
    required: 2,
    alive: 1,
  })
  t.match(refused('QUORUM', 'three'), { required: 2, alive: 1 })
  t.equal(refused('LOCAL_QUORUM', 'both'), null)
  t.match(refused('EACH_QUORUM', 'both'), {
    message: 'Cannot achieve consistency level EACH_QUORUM in DC there',
    required: 1,
    alive: 0,
  })
  t.equal(refused('ANY', 'three'), null)
  t.same(applied, ['ALL', 'LOCAL_QUORUM', 'ANY'])

  keyspaces.set('three', simple(1))
  t.match(refused('QUORUM', 'three'), { required: 2 }, 'verdicts are kept')
  epoch = 2
  t.equal(refused('QUORUM', 'three'), null, 'until the schema changes')
  await t.rejects(Promise.resolve(coordinator.write([Buffer.from('dead')], 'SIMPLE', Consistency.ONE, 'one')), {
    code: 'WRITE_FAILURE',
  })
  const one = (what: string) => () => coordinator.write([Buffer.from(what)], 'SIMPLE', Consistency.ONE, 'one')
  t.throws(one('closed'), { code: 'WRITE_FAILURE', fields: { received: 0, blockFor: 1, writeType: 'SIMPLE' } })
  t.throws(one('bug'), { name: 'TypeError' })
  t.same(reported, ['disk', 'closed'])
})
