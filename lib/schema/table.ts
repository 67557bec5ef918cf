/**
 * A table's shape. Source: CQL 3.4.7 CREATE TABLE; system_schema.tables and .columns of Cassandra 5.
 * Always: a TableSchema never changes; an ALTER makes a new one with the same id.
 */
import type { CqlType } from '../types/type.ts'
import type { CompactStorage } from './compact.ts'

export type ColumnKind = 'partition_key' | 'clustering' | 'static' | 'regular'

export interface ColumnSchema {
  readonly name: string
  /**
   * What rows on disk call a static or regular column: unique in its table for ever, 0 up, in the order in which they were added.
   * A column that is dropped and added again under its old name gets its old id back. Key columns have -1.
   */
  readonly id: number
  readonly kind: ColumnKind
  /** Position in the partition key or among the clustering columns; -1 for the others. */
  readonly position: number
  readonly type: CqlType
  /** CLUSTERING ORDER BY … DESC. */
  readonly reversed: boolean
  /** Cells of this column with a timestamp (µs) at or below this belong to an earlier column of the name, and are ignored; null: none was dropped. */
  readonly droppedAtMicros: bigint | null
}

export interface DroppedColumn {
  readonly name: string
  readonly id: number
  readonly kind: 'static' | 'regular'
  readonly type: CqlType
  /** Microseconds since 1970. */
  readonly droppedAtMicros: bigint
}

export interface IndexSchema {
  readonly name: string
  /** Of the table that holds its entries, which no CQL name reaches; another one each time an index is made. */
  readonly id: string
  readonly kind: 'KEYS' | 'CUSTOM' | 'COMPOSITES'
  readonly options: ReadonlyMap<string, string>
}

export interface ViewCondition {
  /** Of the base table, all of them parts of its key if values are given. More than one: compared as a tuple. */
  readonly columns: readonly string[]
  readonly operator: 'IS NOT' | '=' | '<' | '<=' | '>' | '>=' | 'IN'
  /** The right side as CQL shows it. */
  readonly text: string
  /** One tuple, several with IN, none with IS NOT. Nothing is equal to null, less or greater. */
  readonly values: readonly (readonly (Buffer | null)[])[]
}

/** What a materialized view is of. */
export interface ViewSchema {
  readonly baseId: string
  readonly baseName: string
  /** SELECT *: new columns of the base table are the view's too. */
  readonly includesAll: boolean
  /** All of them must hold of a row. */
  readonly conditions: readonly ViewCondition[]
}

/** Names, units and defaults as in CREATE TABLE … WITH. */
export interface TableOptions {
  readonly additionalWritePolicy: string
  readonly allowAutoSnapshot: boolean | null
  readonly bloomFilterFpChance: number
  readonly caching: ReadonlyMap<string, string>
  readonly cdc: boolean | null
  readonly comment: string
  readonly compaction: ReadonlyMap<string, string>
  readonly compression: ReadonlyMap<string, string>
  readonly crcCheckChance: number
  readonly defaultTimeToLive: number
  readonly extensions: ReadonlyMap<string, Buffer>
  readonly gcGraceSeconds: number
  readonly incrementalBackups: boolean | null
  readonly maxIndexInterval: number
  readonly memtable: string | null
  readonly memtableFlushPeriodInMs: number
  readonly minIndexInterval: number
  readonly readRepair: string
  readonly speculativeRetry: string
}

export interface TableSchema {
  /** Lower-case UUID with dashes. */
  readonly id: string
  readonly keyspace: string
  readonly name: string
  readonly partitionKey: readonly ColumnSchema[]
  readonly clustering: readonly ColumnSchema[]
  /** Sorted by name (UTF-8 bytes), as SELECT * gives them; likewise regulars. */
  readonly statics: readonly ColumnSchema[]
  readonly regulars: readonly ColumnSchema[]
  /** All columns by name. */
  readonly columns: ReadonlyMap<string, ColumnSchema>
  /** Every static or regular column that can occur in a row, by id; dropped ones are absent (undefined). */
  readonly columnsById: readonly (ColumnSchema | undefined)[]
  /** By name; kept after the column is added again. */
  readonly dropped: ReadonlyMap<string, DroppedColumn>
  /** The id that the next new column gets. */
  readonly nextColumnId: number
  readonly isCounter: boolean
  /** Null: the table was not made WITH COMPACT STORAGE. */
  readonly compact: CompactStorage | null
  /** Answered from the node's state, never stored: system_views, system_virtual_schema, system_schema, … */
  readonly isVirtual: boolean
  readonly indexes: ReadonlyMap<string, IndexSchema>
  /** Null: it is no materialized view. The columns of a view that are not part of its key have the ids that they have in the base table. */
  readonly view: ViewSchema | null
  readonly options: TableOptions
}
