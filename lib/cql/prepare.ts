/** Names of a statement to what the schema knows by them. Messages are those of Cassandra 5.0. */
import { invalid } from '../base/errors.ts'
import type { Schema } from '../schema/keyspace.ts'
import type { TableSchema } from '../schema/table.ts'
import type { QualifiedName } from './ast.ts'

/** The keyspace that a name means: its own, else the request's or the connection's. */
export function keyspaceOf(name: QualifiedName, current: string | null): string {
  const keyspace = name.keyspace ?? current
  if (keyspace === null)
    throw invalid('No keyspace has been specified. USE a keyspace, or explicitly specify keyspace.tablename')
  return keyspace
}

export function tableOf(name: QualifiedName, current: string | null, schema: Schema): TableSchema {
  const keyspaceName = keyspaceOf(name, current)
  const keyspace = schema.keyspaces.get(keyspaceName)
  if (!keyspace) throw invalid(`keyspace ${keyspaceName} does not exist`)
  const table = keyspace.tables.get(name.name)
  if (!table) throw invalid(`table ${name.name} does not exist`)
  return table
}
