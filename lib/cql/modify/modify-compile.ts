/** INSERT, UPDATE or DELETE as parsed, to one that can be executed. */
import { invalid } from '../../base/errors.ts'
import type { Schema } from '../../schema/keyspace.ts'
import type { ModificationStatement } from '../ast.ts'
import { tableOf } from '../prepare.ts'
import type { Variables } from '../terms/terms.ts'
import { compileDelete } from './delete.ts'
import { compileInsert } from './insert.ts'
import { compileInsertJson } from './insert-json.ts'
import type { Modification } from './modify.ts'
import type { MutationSink } from './modify-sink.ts'
import { compileUpdate } from './update.ts'

/** `keyspace` is the request's or the connection's. */
export function compileModification(
  statement: ModificationStatement,
  variables: Variables,
  schema: Schema,
  keyspace: string | null,
  sink: MutationSink,
): Modification {
  const table = tableOf(statement.table, keyspace, schema)
  if (table.view !== null) throw invalid('Cannot directly modify a materialized view')
  const partitionKey = table.partitionKey.map(({ type }) => type)
  const scope = { schema, keyspace: table.keyspace, variables, partitionKey }
  switch (statement.kind) {
    case 'insert':
      return compileInsert(statement, table, scope, sink)
    case 'update':
      return compileUpdate(statement, table, scope, sink)
    case 'delete':
      return compileDelete(statement, table, scope, sink)
    case 'insert_json':
      return compileInsertJson(statement, table, scope, sink)
  }
}
