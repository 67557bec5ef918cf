/** What CQL says of compaction counts on a running node, from the next choice on. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import cassandra from 'cassandra-driver'
import t from 'tap'
import { startNode } from '../../lib/index.ts'
import { createMemoryLog } from '../support/client.ts'
import { createDice } from '../support/random.ts'

const KIB = 1024
const directory = mkdtempSync(join(tmpdir(), 'polyxena-compaction-'))
const log = createMemoryLog()
const node = await startNode({
  directory,
  log,
  settings: { concurrent_compactors: 2, snapshot_before_compaction: true },
})
const client = new cassandra.Client({
  contactPoints: [`${node.address}:${node.port}`],
  localDataCenter: 'datacenter1',
  pooling: { warmup: false },
})
await client.execute(`CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`)
t.teardown(async () => {
  await client.shutdown()
  await node.close()
  rmSync(directory, { recursive: true })
})

const PACKAGE = 'org.apache.cassandra.db.compaction'
const dice = createDice(7)

async function createTable(name: string, options: string): Promise<string> {
  await client.execute(`CREATE TABLE k.${name} (k int PRIMARY KEY, v blob) WITH ${options}`)
  const { rows } = await client.execute(
    `SELECT id FROM system_schema.tables WHERE keyspace_name = 'k' AND table_name = '${name}'`,
  )
  return String(rows[0]!.id)
}

/** Rows of a KiB that nothing compresses, flushed into one SSTable. */
async function writeSSTable(
  table: string,
  id: string,
  keys: { from: number; count: number },
  using = '',
): Promise<void> {
  const insert = `INSERT INTO k.${table} (k, v) VALUES (?, ?) ${using}`
  const writes: Promise<unknown>[] = []
  for (let key = keys.from; key < keys.from + keys.count; key++) {
    const value = Buffer.from(Array.from({ length: KIB }, () => dice.int(256)))
    writes.push(client.execute(insert, [key, value], { prepare: true }))
  }
  await Promise.all(writes)
  await node.store.flush(id)
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10))
}

const isIdle = (id: string) => (): boolean =>
  node.store.compactions!.running.length === 0 && node.store.compactions!.pending(id) === 0
const levels = (id: string): number[] => node.store.reports.sstables(id).map(({ level }) => level)
const bytes = (id: string): number => node.store.reports.sstables(id).reduce((sum, { fileBytes }) => sum + fileBytes, 0)

async function count(table: string): Promise<number> {
  const { rows } = await client.execute(`SELECT count(*) FROM k.${table}`)
  return Number(rows[0]!.count)
}

t.test('off, size-tiered, leveled', async (t) => {
  const id = await createTable('levels', `compaction = {'class': 'SizeTieredCompactionStrategy', 'enabled': 'false'}`)
  for (let i = 0; i < 5; i++) await writeSSTable('levels', id, { from: i * 300, count: 600 })
  t.equal(node.store.reports.sstables(id).length, 5, 'off: nothing is merged')
  await client.execute(`ALTER TABLE k.levels WITH compaction = {'class': 'SizeTieredCompactionStrategy'}`)
  await until(() => node.store.reports.sstables(id).length === 1)
  t.same(levels(id), [0])
  const snapshots = (await node.store.snapshots!.list()).filter(({ table }) => table === 'levels')
  t.same(
    snapshots.map(({ files }) => files.size),
    [5],
    'what was merged is in a snapshot',
  )
  t.match(snapshots[0]!.tag, /^[0-9]{13}-compact-levels$/)
  await client.execute(
    `ALTER TABLE k.levels WITH compaction = {'class': '${PACKAGE}.LeveledCompactionStrategy', 'sstable_size_in_mb': '1', 'fanout_size': '2', 'log_all': 'true'}`,
  )
  await until(() => levels(id).length > 1 && levels(id).every((level) => level > 0))
  await writeSSTable('levels', id, { from: 0, count: 1500 })
  await until(() => levels(id).every((level) => level > 0))
  await until(isIdle(id))
  const inLevel1 = node.store.reports.sstables(id).filter(({ level }) => level === 1)
  t.ok(inLevel1.length <= 2, `level 1 holds ${inLevel1.length} of 2 at most`)
  const upper = [...node.store.reports.sstables(id)].sort(
    (a, b) => a.level - b.level || a.minPosition.compare(b.minPosition),
  )
  for (const [i, { level, minPosition }] of upper.slice(1).entries())
    t.ok(
      level !== upper[i]!.level || upper[i]!.maxPosition.compare(minPosition) < 0,
      'levels do not overlap themselves',
    )
  for (const { fileBytes } of node.store.reports.sstables(id))
    t.ok(fileBytes < 1100 * KIB, `${fileBytes} bytes: as large as asked`)
  t.equal(await count('levels'), 1800)
  t.ok(
    log.lines.some(({ message }) => /^k\.levels: merge [0-9]+ into level 1 \(compaction\)$/.test(message)),
    'log_all: each choice is logged',
  )
})

t.test('time windows that expired are dropped, without a write or a compaction', async (t) => {
  const id = await createTable('windows', 'gc_grace_seconds = 0')
  await writeSSTable('windows', id, { from: 0, count: 10 }, 'USING TTL 1')
  await writeSSTable('windows', id, { from: 10, count: 10 })
  const before = node.store.compactions!.counts.completed
  await client.execute(
    `ALTER TABLE k.windows WITH compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'MINUTES', ` +
      `'expired_sstable_check_frequency_seconds': '1'}`,
  )
  await until(() => node.store.reports.sstables(id).length === 1)
  t.equal(await count('windows'), 10)
  t.equal(node.store.compactions!.counts.completed, before)
})

t.test('FIFO bounds the size of a table', async (t) => {
  const id = await createTable('fifo', `compaction = {'class': 'FIFOCompactionStrategy', 'max_table_size': '1MiB'}`)
  for (let i = 0; i < 5; i++) await writeSSTable('fifo', id, { from: i * 300, count: 300 })
  await until(() => bytes(id) <= KIB * KIB)
  await until(isIdle(id))
  const { rows } = await client.execute('SELECT k FROM k.fifo')
  const keys = rows.map((row) => Number(row.k)).sort((a, b) => a - b)
  t.equal(keys.at(-1), 1499, 'the newest is there')
  t.ok(keys[0]! >= 300, 'the oldest is not')
  await client.execute(
    `ALTER TABLE k.fifo WITH compaction = {'class': 'FIFOCompactionStrategy', 'max_table_size': '400KiB'}`,
  )
  await until(() => bytes(id) <= 400 * KIB)
  t.ok((await count('fifo')) <= 400)
})

t.test('flushes by time, and what is done in place of what was asked for', async (t) => {
  const id = await createTable(
    'periodic',
    `compaction = {'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'L4'}`,
  )
  t.same(
    log.lines.map(({ message }) => message).filter((message) => message.startsWith('k.periodic')),
    ['k.periodic: UnifiedCompactionStrategy is carried out as leveled with fanout_size 4'],
  )
  await client.execute(`INSERT INTO k.periodic (k, v) VALUES (1, 0x00)`)
  t.equal(node.store.reports.sstables(id).length, 0)
  await client.execute('ALTER TABLE k.periodic WITH memtable_flush_period_in_ms = 200')
  await until(() => node.store.reports.sstables(id).length === 1)
})
