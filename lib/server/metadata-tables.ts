/**
 * What storage must know of the tables of a schema: which there are, with which options, and which are gone.
 * Always: a table is known to storage before a schema that has it is shown to anybody, and dropped only after one without it is durable.
 */
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import type { StoredTable } from '../../storage/table-store.ts'
import type { KeyspaceSchema, Schema } from '../schema/keyspace.ts'
import type { SchemaRecord } from '../schema/records.ts'
import { encodeShape, shapeOf } from '../schema/shape.ts'
import type { IndexSchema, TableSchema } from '../schema/table.ts'
import { storedOptions } from './table-options.ts'

/** What it needs of storage. */
export interface TableStore {
  /** Ids of the tables that it has data of, or may have. */
  readonly tableIds: readonly string[]
  /** Many at once cost what one costs. */
  registerTable(id: string, table: StoredTable): Promise<void>
  dropTable(id: string): Promise<void>
}

/** Makes known what is new or changed since `before` (null: everything). */
export async function registerTables(store: TableStore, before: Schema | null, after: Schema): Promise<void> {
  const done: Promise<void>[] = []
  for (const keyspace of after.keyspaces.values()) {
    const earlier = before?.keyspaces.get(keyspace.name)
    if (earlier === keyspace) continue
    for (const table of keyspace.tables.values())
      if (!table.isVirtual && (!earlier || mustRegister(earlier, keyspace, table)))
        done.push(
          store.registerTable(table.id, storedTable(keyspace, table)),
          ...Array.from(table.indexes.values(), (index) => store.registerTable(index.id, storedIndex(table, index))),
        )
  }
  await Promise.all(done)
}

/** Data of tables that the log says were dropped: the node went down before storage had done it. */
export async function dropLeftovers(
  store: TableStore,
  records: readonly SchemaRecord[],
  dropped: readonly string[],
  schema: Schema,
): Promise<void> {
  const stored = new Set(store.tableIds)
  const indexes = indexIds(schema)
  for (const record of records) {
    if (record.kind !== 'table') continue
    const { id } = record.table
    const gone = schema.tablesById.has(id) ? [] : [id]
    for (const index of record.table.indexes) if (!indexes.has(index.id)) gone.push(index.id)
    for (const each of gone) if (stored.delete(each)) await store.dropTable(each)
  }
  for (const id of dropped)
    if (!schema.tablesById.has(id) && !indexes.has(id) && stored.delete(id)) await store.dropTable(id)
}

function mustRegister(before: KeyspaceSchema, after: KeyspaceSchema, table: TableSchema): boolean {
  return before.durableWrites !== after.durableWrites || before.tables.get(table.name) !== table
}

function storedTable(keyspace: KeyspaceSchema, table: TableSchema): StoredTable {
  return {
    keyspace: keyspace.name,
    name: table.name,
    durableWrites: keyspace.durableWrites,
    hasClustering: table.clustering.length > 0,
    shape: encodeShape(shapeOf(table)),
    options: storedOptions(table.options),
  }
}

/** An index's entries are the node's own, and are kept whatever becomes of the keyspace's writes: what is missing in them would not be found. */
function storedIndex(table: TableSchema, index: IndexSchema): StoredTable {
  return {
    keyspace: table.keyspace,
    name: `${table.name}.${index.name}`,
    durableWrites: true,
    hasClustering: true,
    options: { ...DEFAULT_TABLE_OPTIONS, gcGraceSeconds: 0, allowAutoSnapshot: false, incrementalBackups: false },
  }
}

function indexIds(schema: Schema): Set<string> {
  const ids = new Set<string>()
  for (const table of schema.tablesById.values()) for (const { id } of table.indexes.values()) ids.add(id)
  return ids
}

export function droppedIndexes(before: Schema, after: Schema): string[] {
  const kept = indexIds(after)
  return [...indexIds(before)].filter((id) => !kept.has(id))
}

export function droppedTables(before: Schema, after: Schema): string[] {
  return [...before.tablesById].filter(([id, table]) => !table.isVirtual && !after.tablesById.has(id)).map(([id]) => id)
}
