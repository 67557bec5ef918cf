/**
 * Keyspaces and the whole schema as immutable data. Source: CQL 3.4.7; system_schema.keyspaces of Cassandra 5.
 */
import type { UserType } from '../types/type.ts'
import type { TableSchema } from './table.ts'

export interface KeyspaceSchema {
  readonly name: string
  /** `class` (full Java name) first, then its options in the order given. */
  readonly replication: ReadonlyMap<string, string>
  readonly durableWrites: boolean
  readonly tables: ReadonlyMap<string, TableSchema>
  readonly types: ReadonlyMap<string, UserType>
  /** Virtual keyspaces are shown by system_virtual_schema, the others by system_schema. */
  readonly isVirtual: boolean
}

export interface Schema {
  readonly keyspaces: ReadonlyMap<string, KeyspaceSchema>
  readonly tablesById: ReadonlyMap<string, TableSchema>
  /** A UUID that is a function of the user-visible content: the same on every node with the same schema. */
  readonly version: string
  /** Number of changes applied: prepared statements compare it to see whether they are stale. */
  readonly epoch: number
}

/** What a DDL statement did, in the words of RESULT Schema_change and EVENT SCHEMA_CHANGE (native_protocol_v5.spec §4.2.5.5). */
export interface SchemaChange {
  readonly change: 'CREATED' | 'UPDATED' | 'DROPPED'
  readonly target: 'KEYSPACE' | 'TABLE' | 'TYPE' | 'FUNCTION' | 'AGGREGATE'
  readonly keyspace: string
  /** Empty for a keyspace. */
  readonly name: string
  readonly argumentTypes?: readonly string[]
}
