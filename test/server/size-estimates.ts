/** Estimates of tables' sizes: the ranges cover the ring once, and the counts add up. */
import t from 'tap'
import { Placements } from '../../cluster/ring/placement.ts'
import type { KeyspaceSchema } from '../../lib/schema/keyspace.ts'
import { createSystemSchema } from '../../lib/schema/system-tables.ts'
import { KeyspacePlacements } from '../../lib/server/cluster/keyspace-placements.ts'
import { estimateRows } from '../../lib/server/system-tables/size-estimates.ts'
import { network, ringNode, topologyOf } from '../support/rings.ts'

t.test('each stored table, each range', (t) => {
  const schema = createSystemSchema()
  const tokens = ['-4611686018427387904', '0', '4611686018427387904']
  const node = ringNode(1, { tokens })
  const placements = new KeyspacePlacements()
  const source = {
    schema,
    hostId: node.hostId,
    datacenter: node.datacenter,
    ranges: (keyspace: KeyspaceSchema) => placements.of(keyspace, topologyOf(node))?.placement.tokenRanges() ?? null,
  }
  const rows = estimateRows('size_estimates', { ...source, estimate: () => ({ partitions: 1000, bytes: 64_000 }) })!
  const tables = new Set(rows.map((row) => `${row.keyspace_name}.${row.table_name}`))
  t.ok(tables.has('system_traces.sessions'))
  t.notOk(tables.has('system.local'), 'nothing of what is the node’s own')
  const ranges = rows.filter((row) => row.table_name === 'sessions')
  t.same(
    ranges.map((row) => [row.range_start, row.range_end, row.partitions_count, row.mean_partition_size]),
    [
      ['-9223372036854775808', '-4611686018427387904', 250, 64],
      ['-4611686018427387904', '0', 250, 64],
      ['0', '4611686018427387904', 250, 64],
      ['4611686018427387904', '-9223372036854775808', 250, 64],
    ],
  )
  const both = estimateRows('table_estimates', { ...source, estimate: () => ({ partitions: 0, bytes: 0 }) })!
  t.equal(both.length, 2 * rows.length)
  t.same(new Set(both.map((row) => row.mean_partition_size)), new Set([0]))
  t.equal(estimateRows('caches', { ...source, estimate: () => null }), null)
  t.end()
})

t.test('in a cluster: the ranges whose first replica the node is, and its own part of the counts', (t) => {
  const schema = createSystemSchema()
  const nodes = [
    ringNode(1, { tokens: ['-4611686018427387904', '0'] }),
    ringNode(2, { tokens: ['4611686018427387904'] }),
    ringNode(3, { tokens: ['9223372036854775807'], datacenter: 'dc2' }),
  ]
  const topology = topologyOf(...nodes)
  const placements = new Placements()
  const source = {
    schema,
    hostId: nodes[1]!.hostId,
    datacenter: 'dc1',
    ranges: ({ name }: KeyspaceSchema) =>
      name === 'system_traces' ? placements.of(network({ dc1: 2, dc2: 1 }), topology).tokenRanges() : null,
    estimate: () => ({ partitions: 1000, bytes: 64_000 }),
  }
  const shown = (table: string) =>
    estimateRows(table, source)!
      .filter((row) => row.table_name === 'sessions')
      .map((row) => [row.range_type, row.range_start, row.range_end, row.partitions_count])
  t.same(shown('size_estimates'), [[undefined, '0', '4611686018427387904', 250]])
  t.same(shown('table_estimates'), [
    ['primary', '0', '4611686018427387904', 250],
    ['local_primary', '0', '4611686018427387904', 250],
  ])
  t.same(
    estimateRows('table_estimates', { ...source, hostId: nodes[0]!.hostId })!
      .filter((row) => row.table_name === 'sessions' && row.range_type === 'local_primary')
      .map((row) => [row.range_start, row.range_end]),
    [
      ['-9223372036854775808', '-4611686018427387904'],
      ['-4611686018427387904', '0'],
      ['4611686018427387904', '9223372036854775807'],
      ['9223372036854775807', '-9223372036854775808'],
    ],
    'of the range that another data centre’s node owns it is the first in its own',
  )
  t.end()
})
