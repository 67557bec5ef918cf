/** system_views of a real node: what was done is what is told. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, type types } from 'cassandra-driver'
import t from 'tap'
import { startNode } from '../../lib/server/node.ts'

type Row = Record<string, number>

t.test('counts of tables, caches, statements and batches', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'polyxena-metrics-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const node = await startNode({ directory })
  t.teardown(() => node.close())
  const client = new Client({
    contactPoints: [`${node.address}:${node.port}`],
    localDataCenter: 'datacenter1',
    encoding: { useBigIntAsLong: true },
    pooling: { heartBeatInterval: 0 },
  })
  t.teardown(() => client.shutdown())
  await client.connect()
  const run = (text: string): Promise<types.ResultSet> => client.execute(text)
  const row = async (table: string, name = 't'): Promise<Row> => {
    const { rows } = await run(
      `SELECT * FROM system_views.${table} WHERE keyspace_name = 'm' AND table_name = '${name}'`,
    )
    const numbers = rows[0]!.keys().filter((key) => !key.endsWith('_name'))
    return Object.fromEntries(numbers.map((key) => [key, Number(rows[0]!.get(key))]))
  }
  await run("CREATE KEYSPACE m WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await run('CREATE TABLE m.t (k int, c int, v text, PRIMARY KEY (k, c))')
  await run('CREATE TABLE m.idle (k int PRIMARY KEY)')
  for (let c = 0; c < 10; c++) await run(`INSERT INTO m.t (k, c, v) VALUES (1, ${c}, '${'x'.repeat(1000)}')`)
  await node.store.flush()
  await run('DELETE v FROM m.t WHERE k = 1 AND c = 3')
  await run('DELETE FROM m.t WHERE k = 1 AND c = 4')
  await node.store.flush()
  await run('SELECT * FROM m.t WHERE k = 1 AND c = 0')
  await run('SELECT * FROM m.t WHERE k = 1')
  await run('SELECT * FROM m.t WHERE k = 2')
  await run('SELECT * FROM m.t')

  const reads = await row('local_read_latency')
  t.equal(reads.count, 3)
  t.ok(reads.max_ms! > 0 && reads.p50th_ms! <= reads.max_ms!, JSON.stringify(reads))
  t.equal((await row('coordinator_read_latency')).count, 3)
  t.equal((await row('local_scan_latency')).count, 1)
  t.equal((await row('coordinator_scan_latency')).count, 1)
  t.equal((await row('local_write_latency')).count, 12)
  t.equal((await row('coordinator_write_latency')).count, 12)
  t.same(await row('local_read_latency', 'idle'), {
    count: 0,
    max_ms: 0,
    p50th_ms: 0,
    p99th_ms: 0,
    per_second: 0,
  })
  const rows = await row('rows_per_read')
  t.same([rows.count, rows.max], [4, 9])
  const tombstones = await row('tombstones_per_read')
  t.same([tombstones.count, tombstones.max], [4, 2])
  t.equal((await row('disk_usage')).mebibytes, 1)
  t.equal((await row('disk_usage', 'idle')).mebibytes, 0)
  t.equal((await row('max_partition_size')).mebibytes, 1)
  t.equal((await row('max_sstable_size')).mebibytes, 1)
  t.ok((await row('max_sstable_duration')).max_sstable_duration! >= 0)
  const own = await row('polyxena_tables')
  t.same([own.sstables, own.flushes, own.partitions, own.sstables_per_read_max], [2, 2, 2, 2], JSON.stringify(own))
  t.ok(own.max_partition_bytes! > 10_000 && own.mean_partition_bytes! <= own.max_partition_bytes!)
  t.ok(own.compression_ratio! < 0.5 && own.disk_bytes! === own.disk_bytes_total)
  t.ok(own.write_amplification === 1 && own.written_bytes! > 10_000)

  await node.store.compactions!.major(
    (await run("SELECT id FROM system_schema.tables WHERE keyspace_name = 'm' AND table_name = 't'")).rows[0]!.get(
      'id',
    ).toString(),
  )
  const merged = await row('polyxena_tables')
  t.same([merged.sstables, merged.compactions, merged.pending_compactions, merged.partitions], [1, 1, 0, 1])
  t.equal(merged.compacted_bytes_read, own.disk_bytes)
  t.equal(merged.compacted_bytes_written, merged.disk_bytes)
  t.ok(merged.write_amplification! > 1)
  t.ok(merged.bloom_positives! >= own.bloom_positives!, 'what the SSTables that are gone counted stays')
  t.same((await run('SELECT * FROM system_views.sstable_tasks')).rows, [])
  const { rows: executors } = await run("SELECT * FROM system_views.thread_pools WHERE name = 'CompactionExecutor'")
  t.equal(Number(executors[0]!.get('completed_tasks')), 1)

  await client.batch(
    [1, 2, 3].map((k) => ({ query: 'INSERT INTO m.t (k, c) VALUES (?, 1)', params: [k] })),
    { prepare: true, logged: false },
  )
  const { rows: batches } = await run('SELECT * FROM system_views.batch_metrics')
  t.same(
    batches.map((batch) => [batch.get('name'), Number(batch.get('max'))]),
    [
      ['partitions_per_counter_batch', 0],
      ['partitions_per_logged_batch', 0],
      ['partitions_per_unlogged_batch', 3],
    ],
  )
  await client.execute('SELECT v FROM m.t WHERE k = ? AND c = ?', [1, 1], { prepare: true })
  const { rows: statements } = await run('SELECT * FROM system_views.cql_metrics')
  const counts = new Map(statements.map((statement) => [statement.get('name'), statement.get('value')]))
  t.equal(counts.get('prepared_statements_executed'), 1)
  t.ok(counts.get('prepared_statements_count') >= 2 && counts.get('regular_statements_executed') > 20)
  const { rows: pools } = await run("SELECT * FROM system_views.thread_pools WHERE name = 'MutationStage'")
  t.ok(Number(pools[0]!.get('completed_tasks')) >= 12)
  const { rows: figures } = await run('SELECT * FROM system_views.polyxena_metrics')
  t.ok(figures.some((figure) => figure.get('name') === 'client_requests' && figure.get('value') > 20))
  const figure = (name: string): number => figures.find((row) => row.get('name') === name)!.get('value')
  t.ok(figure('memory_heap_bytes') > 1e6 && figure('memory_resident_bytes') > figure('memory_heap_bytes'))
  t.ok(figure('stall_ms') >= 10 * figure('stalls') && figure('stall_longest_ms') <= figure('stall_ms'))
  for (const table of ['caches', 'sstable_tasks', 'internode_inbound', 'internode_outbound', 'system_logs'])
    t.ok((await run(`SELECT * FROM system_views.${table}`)).rows, table)

  await run("CREATE TABLE m.versions (k int PRIMARY KEY, v text) WITH resolution = 'vclock' AND max_siblings = 3")
  for (const v of ['a', 'b', 'c']) await run(`INSERT INTO m.versions (k, v) VALUES (1, '${v}')`)
  await t.rejects(run("INSERT INTO m.versions (k, v) VALUES (1, 'd')"), /max_siblings/)
  await run("INSERT INTO m.versions (k, v) VALUES (2, 'a')")
  t.equal((await run('SELECT v FROM m.versions')).rows.length, 4)
  t.same(await row('polyxena_siblings', 'versions'), {
    contexts_pruned: 0,
    max: 3,
    p50th: 1,
    p99th: 3,
    rows_read: 2,
    writes_led_beside_others: 2,
    writes_refused: 1,
  })
})

t.test('prepared statements are shown as long as they need not be prepared again', async (t) => {
  const node = await startNode({ memory: true })
  t.teardown(() => node.close())
  const client = new Client({
    contactPoints: [`${node.address}:${node.port}`],
    localDataCenter: 'datacenter1',
    pooling: { heartBeatInterval: 0 },
  })
  t.teardown(() => client.shutdown())
  await client.connect()
  const run = (text: string): Promise<types.ResultSet> => client.execute(text)
  const shown = async (): Promise<unknown[]> => {
    const { rows } = await run('SELECT * FROM system.prepared_statements')
    return rows
      .filter((row) => row.get('query_string').includes('FROM t'))
      .map((row) => [row.get('prepared_id').length, row.get('logged_keyspace')])
      .sort((a, b) => Number(a[1] !== null) - Number(b[1] !== null))
  }
  await run("CREATE KEYSPACE p WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await run('CREATE TABLE p.t (k int PRIMARY KEY)')
  await run('USE p')
  t.same(await shown(), [])
  await client.execute('SELECT * FROM t WHERE k = ?', [1], { prepare: true })
  const both = [
    [16, null],
    [16, 'p'],
  ]
  t.same(await shown(), both)
  await run('DROP TABLE p.t')
  t.same(await shown(), [])
  await run('CREATE TABLE p.t (k int PRIMARY KEY)')
  await client.execute('SELECT * FROM t WHERE k = ?', [1], { prepare: true })
  t.same(await shown(), both)
})
