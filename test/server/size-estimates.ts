/** Estimates of tables' sizes: the ranges cover the ring once, and the counts add up. */
import t from 'tap'
import { createSystemSchema } from '../../lib/schema/system-tables.ts'
import { estimateRows } from '../../lib/server/system-tables/size-estimates.ts'

t.test('each stored table, each range', (t) => {
  const schema = createSystemSchema()
  const tokens = ['0', '-4611686018427387904', '4611686018427387904']
  const rows = estimateRows('size_estimates', {
    schema,
    tokens,
    estimate: () => ({ partitions: 1000, bytes: 64_000 }),
  })!
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
  const both = estimateRows('table_estimates', { schema, tokens, estimate: () => ({ partitions: 0, bytes: 0 }) })!
  t.equal(both.length, 2 * rows.length)
  t.same(new Set(both.map((row) => row.mean_partition_size)), new Set([0]))
  t.equal(estimateRows('caches', { schema, tokens, estimate: () => null }), null)
  t.end()
})
