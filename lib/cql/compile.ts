/** Any statement as parsed, to one that can be executed. */
import type { Schema } from '../schema/keyspace.ts'
import type { ParsedStatement } from './ast.ts'
import { AuthPlan } from './auth.ts'
import { compileDescribeStatement } from './ddl/describe.ts'
import { compileSchemaStatement } from './ddl/schema-statements.ts'
import { compileBatch } from './modify/batch.ts'
import { compileModification } from './modify/modify-compile.ts'
import type { MutationSink } from './modify/modify-sink.ts'
import { compileSelect } from './select/select-compile.ts'
import type { CompiledStatement } from './statement.ts'
import { Variables } from './terms/terms.ts'
import { Truncate } from './truncate.ts'
import { Use } from './use.ts'

/** `keyspace` is the request's or the connection's; `sink` takes what modifications write. Throws a RequestError. */
export function compileStatement(
  { statement, markers }: ParsedStatement,
  schema: Schema,
  keyspace: string | null,
  sink: MutationSink,
): CompiledStatement {
  switch (statement.kind) {
    case 'select':
      return compileSelect(statement, new Variables(markers), schema, keyspace)
    case 'insert':
    case 'insert_json':
    case 'update':
    case 'delete':
      return compileModification(statement, new Variables(markers), schema, keyspace, sink)
    case 'batch':
      return compileBatch(statement, markers, schema, keyspace, sink)
    case 'use':
      return new Use(statement.keyspace)
    case 'truncate':
      return new Truncate(statement.table, keyspace)
    case 'describe':
      return compileDescribeStatement(statement)
    case 'create_role':
    case 'alter_role':
    case 'drop_role':
    case 'grant_role':
    case 'revoke_role':
    case 'grant':
    case 'revoke':
    case 'list_roles':
    case 'list_users':
    case 'list_superusers':
    case 'list_permissions':
    case 'add_identity':
    case 'drop_identity':
      return new AuthPlan(statement)
    default:
      return compileSchemaStatement(statement, keyspace)
  }
}

/** Every table of the statement is named with its keyspace, so that USE has no say in what it means. DDL never counts as such, as in Cassandra. */
export function isFullyQualified({ statement }: ParsedStatement): boolean {
  switch (statement.kind) {
    case 'select':
    case 'insert':
    case 'insert_json':
    case 'update':
    case 'delete':
    case 'truncate':
      return statement.table.keyspace !== null
    case 'batch':
      return statement.statements.every((part) => part.table.keyspace !== null)
    default:
      return false
  }
}
