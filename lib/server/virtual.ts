/**
 * Tables answered from the node's state: system_schema, system.local and peers, the virtual keyspaces. They take the same read commands as
 * storage does. What depends on the schema alone is kept as long as the part of the schema that it tells of.
 */
import type { ReadCommand, ReadResult, RowData } from '../../storage/model/command.ts'
import { assert } from '../base/assert.ts'
import { compareNames } from '../schema/build.ts'
import type { KeyspaceSchema, Schema } from '../schema/keyspace.ts'
import type { TableSchema } from '../schema/table.ts'
import { encodePosition } from '../types/partition-key.ts'
import {
  KEY_ORDER,
  type MemoryPartition,
  type PartitionOrder,
  readMemory,
  TOKEN_ORDER,
} from './system-tables/memory-table.ts'
import type { NodeInfo } from './system-tables/node-info.ts'
import { nodeRows } from './system-tables/node-rows.ts'
import { encodeKey, type PlainRow, PlainRowEncoder } from './system-tables/plain-values.ts'
import {
  type SchemaRows,
  schemaRowsOf,
  typeRows,
  virtualColumnRows,
  virtualTableRows,
} from './system-tables/schema-rows.ts'

export class VirtualTables {
  readonly #node: NodeInfo
  readonly #schema: () => Schema
  readonly #scratch = new Int32Array(2)
  readonly #encoder = new PlainRowEncoder()
  /** By the table of system_schema, rows of each keyspace and of each table that it tells of. */
  readonly #ofKeyspace = new Map<string, WeakMap<KeyspaceSchema, readonly RowData[]>>()
  readonly #ofTable = new Map<string, WeakMap<TableSchema, readonly RowData[]>>()
  /** Partitions of system_schema tables, for the schema at `#epoch`. */
  readonly #partitions = new Map<string, readonly MemoryPartition[]>()
  #epoch = -1

  constructor(node: NodeInfo, schema: () => Schema) {
    this.#node = node
    this.#schema = schema
  }

  /** Whether this table is answered here; else storage has it. */
  handles(tableId: string): boolean {
    return this.#schema().tablesById.get(tableId)?.isVirtual ?? false
  }

  /** The views that it gives stay valid. */
  read(command: ReadCommand): ReadResult {
    const schema = this.#schema()
    const table = schema.tablesById.get(command.table)
    assert(table?.isVirtual === true, `${command.table} is answered from memory`)
    const order = schema.keyspaces.get(table.keyspace)!.isVirtual ? KEY_ORDER : TOKEN_ORDER
    return readMemory(this.#partitionsOf(table, schema, order), order, command)
  }

  #partitionsOf(table: TableSchema, schema: Schema, order: PartitionOrder): readonly MemoryPartition[] {
    const ofSchema = table.keyspace === 'system_schema' || table.keyspace === 'system_virtual_schema'
    if (!ofSchema) return this.#group(table, nodeRows(table.name, this.#node, schema.version), order)
    if (schema.epoch !== this.#epoch) {
      this.#partitions.clear()
      this.#epoch = schema.epoch
    }
    let partitions = this.#partitions.get(table.id)
    if (!partitions) {
      partitions =
        table.keyspace === 'system_schema'
          ? this.#schemaPartitions(table, schema)
          : this.#group(table, virtualSchemaRows(table.name, schema), order)
      this.#partitions.set(table.id, partitions)
    }
    return partitions
  }

  /** Rows as they come, put into partitions. */
  #group(table: TableSchema, rows: readonly PlainRow[], order: PartitionOrder): MemoryPartition[] {
    const groups = new Map<string, { position: Buffer; rows: RowData[] }>()
    for (const row of rows) {
      const key = encodeKey(table, row)
      const name = key.toString('latin1')
      let group = groups.get(name)
      if (!group) {
        group = { position: encodePosition(key, this.#scratch), rows: [] }
        groups.set(name, group)
      }
      group.rows.push(this.#encoder.encode(table, row))
    }
    const partitions = Array.from(groups.values(), (group) => ({
      position: group.position,
      rows: () => group.rows,
    }))
    for (const group of groups.values()) group.rows.sort((a, b) => a.clustering.compare(b.clustering))
    return partitions.sort((a, b) => order(a.position, b.position))
  }

  /** One partition a keyspace; its rows are made when somebody reads them. */
  #schemaPartitions(table: TableSchema, schema: Schema): MemoryPartition[] {
    const kind = schemaRowsOf(table.name)
    if (kind.of === 'nothing') return []
    const partitions: MemoryPartition[] = []
    for (const keyspace of schema.keyspaces.values()) {
      if (keyspace.isVirtual) continue
      partitions.push({
        position: encodePosition(Buffer.from(keyspace.name), this.#scratch),
        rows: () => this.#schemaRows(table, kind, keyspace),
      })
    }
    return partitions.sort((a, b) => a.position.compare(b.position))
  }

  #schemaRows(table: TableSchema, kind: SchemaRows, keyspace: KeyspaceSchema): readonly RowData[] {
    const kept = cacheOf(this.#ofKeyspace, table.name)
    let rows = kept.get(keyspace)
    if (!rows) {
      rows = this.#makeRows(table, kind, keyspace)
      kept.set(keyspace, rows)
    }
    return rows
  }

  #makeRows(table: TableSchema, kind: SchemaRows, keyspace: KeyspaceSchema): readonly RowData[] {
    switch (kind.of) {
      case 'keyspace':
        return [this.#encoder.encode(table, kind.rows(keyspace))]
      case 'types':
        return typeRows(keyspace).map((row) => this.#encoder.encode(table, row))
      case 'table': {
        const kept = cacheOf(this.#ofTable, table.name)
        const rows: RowData[] = []
        for (const name of [...keyspace.tables.keys()].sort(compareNames)) {
          const described = keyspace.tables.get(name)!
          let own = kept.get(described)
          if (!own) {
            own = kind
              .rows(described)
              .map((row) => this.#encoder.encode(table, row))
              .sort((a, b) => a.clustering.compare(b.clustering))
            kept.set(described, own)
          }
          for (const row of own) rows.push(row)
        }
        return rows
      }
      case 'nothing':
        return []
    }
  }
}

function cacheOf<K extends object, V>(caches: Map<string, WeakMap<K, V>>, name: string): WeakMap<K, V> {
  let cache = caches.get(name)
  if (!cache) {
    cache = new WeakMap()
    caches.set(name, cache)
  }
  return cache
}

function virtualSchemaRows(table: string, schema: Schema): PlainRow[] {
  const keyspaces = [...schema.keyspaces.values()].filter((keyspace) => keyspace.isVirtual)
  switch (table) {
    case 'keyspaces':
      return keyspaces.map((keyspace) => ({ keyspace_name: keyspace.name }))
    case 'tables':
      return keyspaces.flatMap(virtualTableRows)
    default:
      return keyspaces.flatMap(virtualColumnRows)
  }
}
