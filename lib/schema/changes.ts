/**
 * What the changes of a schema have in common: each is a pure function from a schema to the next one, with the records that the metadata log
 * keeps. Keyspaces, tables and types have a file each. Errors are Cassandra's, in its order of checks.
 */
import { invalid, RequestError } from '../base/errors.ts'
import { quoteIdentifier } from '../types/identifier.ts'
import type { KeyspaceSchema, Schema, SchemaChange } from './keyspace.ts'
import { encodeRecords, type SchemaRecord } from './records.ts'
import { applyRecords } from './state.ts'
import { isLocalSystemKeyspace, isReplicatedSystemKeyspace } from './system-tables.ts'
import type { TableSchema } from './table.ts'

/** A change done: null where nothing had to be done, with an empty payload. */
export interface Outcome {
  readonly schema: Schema
  readonly change: SchemaChange | null
  readonly payload: string
}

export function unchanged(schema: Schema): Outcome {
  return { schema, change: null, payload: '' }
}

export function changed(schema: Schema, records: readonly SchemaRecord[], change: SchemaChange): Outcome {
  return { schema: applyRecords(schema, records), change, payload: encodeRecords(records) }
}

/** A table as error messages name it. */
export function tableText(table: TableSchema): string {
  return `${quoteIdentifier(table.keyspace)}.${quoteIdentifier(table.name)}`
}

export function keyspaceOf(schema: Schema, name: string): KeyspaceSchema {
  const keyspace = schema.keyspaces.get(name)
  if (!keyspace) throw invalid(`Keyspace '${name}' doesn't exist`)
  return keyspace
}

export type Permission = 'CREATE' | 'ALTER' | 'DROP'

/** Refuses to touch what belongs to the system; `resource` as permissions name it: `table ks.t`, `all tables in ks`, `keyspace ks`. */
export function checkModifiable(keyspace: string, resource: string, permission: Permission): void {
  if (isLocalSystemKeyspace(keyspace))
    throw new RequestError('UNAUTHORIZED', `${keyspace} keyspace is not user-modifiable.`)
  if (!isReplicatedSystemKeyspace(keyspace)) return
  if (permission === 'ALTER' && resource.startsWith('keyspace ')) return
  throw new RequestError('UNAUTHORIZED', `Cannot ${permission} <${resource}>`)
}
