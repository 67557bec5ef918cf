/**
 * Puts tables and keyspaces together: from a flat list of columns to the shapes that readers look things up in.
 * Always: what it gives is complete and consistent (sorted, indexed by name and id) and never changed afterwards.
 */
import { assert } from '../base/assert.ts'
import type { CompactStorage } from './compact.ts'
import type { KeyspaceSchema } from './keyspace.ts'
import type { ColumnSchema, DroppedColumn, IndexSchema, TableOptions, TableSchema, ViewSchema } from './table.ts'

export interface TableDefinition {
  readonly id: string
  readonly keyspace: string
  readonly name: string
  /** In any order: kind and position say where each belongs. */
  readonly columns: Iterable<ColumnSchema>
  readonly dropped?: ReadonlyMap<string, DroppedColumn>
  readonly nextColumnId: number
  readonly isCounter?: boolean
  readonly compact?: CompactStorage | null
  readonly isVirtual?: boolean
  readonly indexes?: ReadonlyMap<string, IndexSchema>
  readonly view?: ViewSchema | null
  readonly options: TableOptions
}

const EMPTY: ReadonlyMap<string, never> = new Map<string, never>()

/** UTF-8 byte order of two names. */
export function compareNames(a: string, b: string): number {
  if (a === b) return 0
  for (let i = 0; i < a.length && i < b.length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x === y) continue
    // UTF-16 order and UTF-8 order differ for surrogates only.
    return x < 0xd800 && y < 0xd800 ? x - y : Buffer.compare(Buffer.from(a), Buffer.from(b))
  }
  return a.length - b.length
}

function byName(a: ColumnSchema, b: ColumnSchema): number {
  return compareNames(a.name, b.name)
}

function byPosition(a: ColumnSchema, b: ColumnSchema): number {
  return a.position - b.position
}

export function buildTable(definition: TableDefinition): TableSchema {
  const partitionKey: ColumnSchema[] = []
  const clustering: ColumnSchema[] = []
  const statics: ColumnSchema[] = []
  const regulars: ColumnSchema[] = []
  const columns = new Map<string, ColumnSchema>()
  const columnsById: (ColumnSchema | undefined)[] = new Array(definition.nextColumnId).fill(undefined)
  const lists = { partition_key: partitionKey, clustering, static: statics, regular: regulars }
  for (const column of definition.columns) {
    assert(!columns.has(column.name), `column ${column.name} twice`)
    columns.set(column.name, column)
    lists[column.kind].push(column)
    if (column.id < 0) continue
    assert(column.id < definition.nextColumnId && columnsById[column.id] === undefined, 'column ids are unique')
    columnsById[column.id] = column
  }
  partitionKey.sort(byPosition)
  clustering.sort(byPosition)
  return {
    id: definition.id,
    keyspace: definition.keyspace,
    name: definition.name,
    partitionKey,
    clustering,
    statics: statics.sort(byName),
    regulars: regulars.sort(byName),
    columns,
    columnsById,
    dropped: definition.dropped ?? EMPTY,
    nextColumnId: definition.nextColumnId,
    isCounter: definition.isCounter ?? false,
    compact: definition.compact ?? null,
    isVirtual: definition.isVirtual ?? false,
    indexes: definition.indexes ?? EMPTY,
    view: definition.view ?? null,
    options: definition.options,
  }
}

/** The same table with some of its parts changed. */
export function rebuildTable(table: TableSchema, changes: Partial<TableDefinition>): TableSchema {
  return buildTable({
    id: table.id,
    keyspace: table.keyspace,
    name: table.name,
    columns: table.columns.values(),
    dropped: table.dropped,
    nextColumnId: table.nextColumnId,
    isCounter: table.isCounter,
    compact: table.compact,
    isVirtual: table.isVirtual,
    indexes: table.indexes,
    view: table.view,
    options: table.options,
    ...changes,
  })
}

/** A keyspace that holds nothing yet. */
export function emptyKeyspace(
  name: string,
  replication: ReadonlyMap<string, string>,
  durableWrites: boolean,
): KeyspaceSchema {
  return { name, replication, durableWrites, isVirtual: false, tables: EMPTY, types: EMPTY }
}
