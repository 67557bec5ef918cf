/**
 * The rows of system_schema and system_virtual_schema: what the schema says of itself. Source: the same tables of Cassandra 5.0.6.
 */
import { compareNames } from '../../schema/build.ts'
import { columnsInStorage, kindInStorage, storageFlags } from '../../schema/compact.ts'
import type { KeyspaceSchema } from '../../schema/keyspace.ts'
import type { ColumnSchema, TableSchema, ViewSchema } from '../../schema/table.ts'
import { conditionsText, isView } from '../../schema/views.ts'
import { typeToCql } from '../../types/names.ts'
import type { PlainRow } from './plain-values.ts'

/** What a table of system_schema has rows of: one for each keyspace, or so many for each of its tables or types. */
export type SchemaRows =
  | { readonly of: 'keyspace'; readonly rows: (keyspace: KeyspaceSchema) => PlainRow }
  | { readonly of: 'table'; readonly rows: (table: TableSchema) => PlainRow[] }
  | { readonly of: 'types' }
  | { readonly of: 'nothing' }

export function schemaRowsOf(table: string): SchemaRows {
  switch (table) {
    case 'keyspaces':
      return { of: 'keyspace', rows: keyspaceRow }
    case 'tables':
      return { of: 'table', rows: (described) => (isView(described) ? [] : [tableRow(described)]) }
    case 'views':
      return { of: 'table', rows: (described) => (isView(described) ? [viewRow(described)] : []) }
    case 'columns':
      return { of: 'table', rows: (described) => columnsInStorage(described).map((c) => columnRow(described, c)) }
    case 'dropped_columns':
      return { of: 'table', rows: droppedRows }
    case 'indexes':
      return { of: 'table', rows: indexRows }
    case 'types':
      return { of: 'types' }
    default:
      return { of: 'nothing' }
  }
}

function keyspaceRow(keyspace: KeyspaceSchema): PlainRow {
  return {
    keyspace_name: keyspace.name,
    durable_writes: keyspace.durableWrites,
    replication: keyspace.replication,
  }
}

function tableRow(table: TableSchema): PlainRow {
  const { options } = table
  return {
    keyspace_name: table.keyspace,
    table_name: table.name,
    additional_write_policy: options.additionalWritePolicy,
    allow_auto_snapshot: options.allowAutoSnapshot,
    bloom_filter_fp_chance: options.bloomFilterFpChance,
    caching: options.caching,
    // Kept, but not shown: Cassandra leaves it out unless the node's configuration allows change data capture.
    cdc: null,
    comment: options.comment,
    compaction: options.compaction,
    compression: options.compression,
    crc_check_chance: options.crcCheckChance,
    dclocal_read_repair_chance: 0,
    default_time_to_live: options.defaultTimeToLive,
    extensions: options.extensions,
    flags: table.isCounter ? [...storageFlags(table), 'counter'] : storageFlags(table),
    gc_grace_seconds: options.gcGraceSeconds,
    id: table.id,
    incremental_backups: options.incrementalBackups,
    max_index_interval: options.maxIndexInterval,
    memtable: options.memtable,
    memtable_flush_period_in_ms: options.memtableFlushPeriodInMs,
    min_index_interval: options.minIndexInterval,
    read_repair: options.readRepair,
    read_repair_chance: 0,
    speculative_retry: options.speculativeRetry,
  }
}

function viewRow(table: TableSchema & { readonly view: ViewSchema }): PlainRow {
  const { view } = table
  return {
    ...tableRow(table),
    view_name: table.name,
    base_table_id: view.baseId,
    base_table_name: view.baseName,
    include_all_columns: view.includesAll,
    where_clause: conditionsText(view.conditions),
  }
}

function columnRow(table: TableSchema, column: ColumnSchema): PlainRow {
  return {
    keyspace_name: table.keyspace,
    table_name: table.name,
    column_name: column.name,
    clustering_order: column.kind !== 'clustering' ? 'none' : column.reversed ? 'desc' : 'asc',
    column_name_bytes: Buffer.from(column.name),
    kind: column.kind,
    position: column.position,
    type: typeToCql(column.type),
  }
}

function droppedRows(table: TableSchema): PlainRow[] {
  return [...table.dropped.values()].map((column) => ({
    keyspace_name: table.keyspace,
    table_name: table.name,
    column_name: column.name,
    dropped_time: column.droppedAtMicros / 1000n,
    kind: kindInStorage(table, column.kind),
    type: typeToCql(column.type),
  }))
}

function indexRows(table: TableSchema): PlainRow[] {
  return [...table.indexes.values()].map((index) => ({
    keyspace_name: table.keyspace,
    table_name: table.name,
    index_name: index.name,
    kind: index.kind,
    options: index.options,
  }))
}

export function typeRows(keyspace: KeyspaceSchema): PlainRow[] {
  return [...keyspace.types.values()]
    .sort((a, b) => compareNames(a.name, b.name))
    .map((type) => ({
      keyspace_name: keyspace.name,
      type_name: type.name,
      field_names: type.fieldNames,
      field_types: type.fieldTypes.map(typeToCql),
    }))
}

export function virtualTableRows(keyspace: KeyspaceSchema): PlainRow[] {
  return [...keyspace.tables.values()].map((table) => ({
    keyspace_name: keyspace.name,
    table_name: table.name,
    comment: table.options.comment,
  }))
}

export function virtualColumnRows(keyspace: KeyspaceSchema): PlainRow[] {
  return [...keyspace.tables.values()].flatMap((table) =>
    [...table.columns.values()].map((column) => columnRow(table, column)),
  )
}
