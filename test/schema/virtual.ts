/** Tables answered from memory: their rows, and that they obey read commands as storage does. */
import t from 'tap'
import type { SchemaStatement } from '../../lib/cql/ast.ts'
import { compileSchemaStatement } from '../../lib/cql/ddl/schema-statements.ts'
import { parseStatement } from '../../lib/cql/parser/parser.ts'
import type { TableSchema } from '../../lib/schema/table.ts'
import type { NodeInfo } from '../../lib/server/system-tables/node-info.ts'
import { VirtualTables } from '../../lib/server/virtual.ts'
import { isMultiCell } from '../../lib/types/names.ts'
import { decodeClustering, decodePath, encodeClustering } from '../../lib/types/ordered.ts'
import { encodePosition, splitPartitionKey } from '../../lib/types/partition-key.ts'
import { ALL_ROWS, type ReadCommand, type ReadPoint, type ReadResult } from '../../storage/model/command.ts'
import { RowReader } from '../../storage/model/row.ts'
import { createSchemaWorld, type SchemaWorld } from '../support/schema-world.ts'

const NODE: NodeInfo = {
  clusterName: 'Test Cluster',
  hostId: 'd8173249-ebc8-47a1-9089-5c68fc7ee507',
  datacenter: 'dc1',
  rack: 'rack1',
  tokens: () => ['4', '-2', '10'],
  listenAddress: '127.0.0.1',
  listenPort: 7000,
  broadcastAddress: '127.0.0.1',
  broadcastPort: 7000,
  rpcAddress: '127.0.0.1',
  rpcPort: 9042,
  gossipGeneration: 1,
  version: '0.1.0',
  peers: () => [
    {
      address: '127.0.0.2',
      port: 7000,
      nativeAddress: '127.0.0.2',
      nativePort: 9042,
      datacenter: 'dc1',
      rack: 'rack1',
      hostId: 'd8173249-ebc8-47a1-9089-5c68fc7ee508',
      schemaVersion: 'd8173249-ebc8-47a1-9089-5c68fc7ee509',
      tokens: ['1'],
    },
  ],
  truncations: () => new Map([['d8173249-ebc8-47a1-9089-5c68fc7ee507', Buffer.from([1])]]),
  settings: () =>
    new Map([
      ['b', '2'],
      ['a', null],
      ['c', '3'],
    ]),
  clients: () => [],
  rows: (table) => (table === 'caches' ? [{ name: 'keys', entry_count: 5, hit_ratio: Number.NaN }] : null),
}

async function ddl(world: SchemaWorld, ...texts: string[]): Promise<void> {
  for (const text of texts) {
    const { statement } = parseStatement(text)
    const compiled = compileSchemaStatement(statement as SchemaStatement, null)
    await compiled.execute(world.environment, world.options, world.client)
  }
}

function tableOf(world: SchemaWorld, keyspace: string, name: string): TableSchema {
  return world.environment.schema.current.keyspaces.get(keyspace)!.tables.get(name)!
}

function command(table: TableSchema, changes: Partial<ReadCommand> = {}): ReadCommand {
  return {
    ...ALL_ROWS,
    table: table.id,
    target: { kind: 'range', start: null, end: null },
    nowSeconds: 0,
    ...changes,
  }
}

/** Rows as text: columns that have a value, by name. */
function decode(table: TableSchema, result: ReadResult): Record<string, string>[] {
  const rows: Record<string, string>[] = []
  const reader = new RowReader()
  for (const partition of result.partitions) {
    const key = splitPartitionKey(partition.key, table.partitionKey.length)
    for (const { clustering, row } of partition.rows) {
      const got: Record<string, string> = {}
      table.partitionKey.forEach((column, i) => {
        got[column.name] = key[i]!.toString()
      })
      decodeClustering(table.clustering, clustering).forEach((value, i) => {
        got[table.clustering[i]!.name] = value!.toString()
      })
      reader.reset(row)
      while (reader.next()) {
        const column = table.columnsById[reader.columnId]!
        const value = reader.buffer.subarray(reader.valueStart, reader.valueEnd)
        if (!isMultiCell(column.type)) {
          got[column.name] = value.toString()
          continue
        }
        const path = reader.buffer.subarray(reader.pathStart, reader.pathEnd)
        const type =
          column.type.kind === 'map' ? column.type.key : column.type.kind === 'set' ? column.type.element : null
        const text = decodePath(type!, path)
        got[column.name] = `${got[column.name] ?? ''}[${column.type.kind === 'map' ? text.toString('hex') : text}]`
      }
      rows.push(got)
    }
  }
  return rows
}

const KEYSPACE = "CREATE KEYSPACE a WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"

t.test('system_schema tells of every keyspace, in the order of tokens', async (t) => {
  const world = createSchemaWorld()
  await ddl(
    world,
    KEYSPACE,
    'CREATE TABLE a.t (k int, c int, v list<int>, PRIMARY KEY (k, c)) WITH CLUSTERING ORDER BY (c DESC)',
  )
  const tables = new VirtualTables(NODE, () => world.environment.schema.current)
  const keyspaces = tableOf(world, 'system_schema', 'keyspaces')
  t.ok(tables.handles(keyspaces.id))
  t.notOk(tables.handles(tableOf(world, 'a', 't').id))
  t.notOk(tables.handles(tableOf(world, 'system_auth', 'roles').id))
  const names = decode(keyspaces, tables.read(command(keyspaces))).map((row) => row.keyspace_name)
  const byToken = [...names].sort((a, b) =>
    encodePosition(Buffer.from(a!), new Int32Array(2)).compare(encodePosition(Buffer.from(b!), new Int32Array(2))),
  )
  t.same(names, byToken)
  t.same([...names].sort(), ['a', 'system', 'system_auth', 'system_distributed', 'system_schema', 'system_traces'])
  const columns = tableOf(world, 'system_schema', 'columns')
  const target = { kind: 'partition', position: encodePosition(Buffer.from('a'), new Int32Array(2)) } as const
  t.same(
    decode(columns, tables.read(command(columns, { target }))).map((row) => [
      row.column_name,
      row.kind,
      row.clustering_order,
      row.type,
    ]),
    [
      ['c', 'clustering', 'desc', 'int'],
      ['k', 'partition_key', 'none', 'int'],
      ['v', 'regular', 'none', 'list<int>'],
    ],
  )
})

t.test('what was read before a change is read anew after it', async (t) => {
  const world = createSchemaWorld()
  const tables = new VirtualTables(NODE, () => world.environment.schema.current)
  const table = tableOf(world, 'system_schema', 'tables')
  const target = { kind: 'partition', position: encodePosition(Buffer.from('a'), new Int32Array(2)) } as const
  const names = () => decode(table, tables.read(command(table, { target }))).map((row) => row.table_name)
  t.same(names(), [])
  await ddl(world, KEYSPACE, 'CREATE TABLE a.y (k int PRIMARY KEY)', 'CREATE TABLE a.x (k int PRIMARY KEY)')
  t.same(names(), ['x', 'y'])
  await ddl(world, 'DROP TABLE a.y', 'CREATE TABLE a.z (k int PRIMARY KEY)')
  t.same(names(), ['x', 'z'])
  await ddl(world, 'DROP KEYSPACE a')
  t.same(names(), [])
})

t.test('system.local and peers', async (t) => {
  const world = createSchemaWorld()
  const tables = new VirtualTables(NODE, () => world.environment.schema.current)
  const local = tableOf(world, 'system', 'local')
  const [row] = decode(local, tables.read(command(local)))
  t.match(row, { key: 'local', cluster_name: 'Test Cluster', release_version: '5.0.6', tokens: '[-2][10][4]' })
  t.equal(Buffer.from(row!.host_id!, 'latin1').length > 0, true)
  const peers = tableOf(world, 'system', 'peers')
  t.equal(decode(peers, tables.read(command(peers))).length, 1)
  const peersV2 = tableOf(world, 'system', 'peers_v2')
  t.equal(decode(peersV2, tables.read(command(peersV2))).length, 1)
})

t.test('virtual keyspaces are in the order of keys', async (t) => {
  const world = createSchemaWorld()
  const tables = new VirtualTables(NODE, () => world.environment.schema.current)
  const settings = tableOf(world, 'system_views', 'settings')
  t.same(
    decode(settings, tables.read(command(settings))).map((row) => [row.name, row.value]),
    [
      ['a', undefined],
      ['b', '2'],
      ['c', '3'],
      ['polyxena_version', '0.1.0'],
    ],
  )
  const caches = tableOf(world, 'system_views', 'caches')
  t.equal(decode(caches, tables.read(command(caches))).length, 1)
  for (const table of world.environment.schema.current.tablesById.values())
    if (table.isVirtual) t.ok(Array.isArray(tables.read(command(table)).partitions), `${table.keyspace}.${table.name}`)
})

t.test('paging gives each row once, whatever the page, forwards and backwards', async (t) => {
  const world = createSchemaWorld()
  const tables = new VirtualTables(NODE, () => world.environment.schema.current)
  for (const [keyspace, name] of [
    ['system_schema', 'columns'],
    ['system_virtual_schema', 'columns'],
    ['system_views', 'settings'],
  ] as const) {
    const table = tableOf(world, keyspace, name)
    for (const reversed of [false, true]) {
      const all = decode(table, tables.read(command(table, { reversed })))
      for (const limit of [1, 7, 100]) {
        const paged: Record<string, string>[] = []
        let after: ReadPoint | null = null
        for (;;) {
          const result: ReadResult = tables.read(command(table, { reversed, limit, after }))
          paged.push(...decode(table, result))
          const last = result.partitions.at(-1)
          if (!result.more || !last) break
          after = {
            position: last.position,
            clustering: last.rows.at(-1)!.clustering,
            partitionDone: false,
            rowsGiven: 0,
          }
        }
        t.same(paged, all, `${keyspace}.${name}, pages of ${limit}, reversed ${reversed}`)
      }
    }
  }
})

t.test('slices and limits', async (t) => {
  const world = createSchemaWorld()
  const tables = new VirtualTables(NODE, () => world.environment.schema.current)
  const table = tableOf(world, 'system_schema', 'tables')
  const target = {
    kind: 'partition',
    position: encodePosition(Buffer.from('system_schema'), new Int32Array(2)),
  } as const
  const bound = (name: string) => encodeClustering(table.clustering, [Buffer.from(name)])
  const slices = [
    { start: bound('columns'), end: bound('functions') },
    { start: bound('tables'), end: bound('types') },
  ]
  const read = (changes: Partial<ReadCommand>) =>
    decode(table, tables.read(command(table, { target, ...changes }))).map((row) => row.table_name)
  t.same(read({ slices }), ['columns', 'dropped_columns', 'tables', 'triggers'])
  t.same(read({ slices, reversed: true }), ['triggers', 'tables', 'dropped_columns', 'columns'])
  t.same(read({ slices, limit: 3 }), ['columns', 'dropped_columns', 'tables'])
  t.same(read({ slices: [] }), [])
  const perPartition = decode(table, tables.read(command(table, { perPartitionLimit: 1 })))
  t.equal(perPartition.length, 5)
})
