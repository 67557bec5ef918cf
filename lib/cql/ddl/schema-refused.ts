/**
 * DDL that is understood but not done: functions, aggregates, triggers. Each is refused with the error that Cassandra 5.0.6
 * gives where such things are disabled or missing; what names nothing that is there gets the same error as in Cassandra.
 */
import { unreachable } from '../../base/assert.ts'
import { invalid } from '../../base/errors.ts'
import { checkModifiable, keyspaceOf, unchanged } from '../../schema/changes.ts'
import type { KeyspaceSchema, Schema } from '../../schema/keyspace.ts'
import { isLocalSystemKeyspace } from '../../schema/system-tables.ts'
import type { TableSchema } from '../../schema/table.ts'
import type { QualifiedName, SchemaStatement, TypeNode } from '../ast.ts'
import type { CompiledStatement } from '../statement.ts'
import { type Change, keyspaceName, SchemaPlan } from './schema-plan.ts'
import { typeText } from './type-nodes.ts'

type Done =
  | 'create_keyspace'
  | 'alter_keyspace'
  | 'drop_keyspace'
  | 'create_table'
  | 'alter_table'
  | 'drop_table'
  | 'create_index'
  | 'drop_index'
  | 'create_view'
  | 'alter_view'
  | 'drop_view'
  | 'create_type'
  | 'alter_type'
  | 'drop_type'

export type RefusedStatement = Exclude<SchemaStatement, { kind: Done }>

const FUNCTIONS_DISABLED =
  'User-defined functions are disabled in cassandra.yaml - set user_defined_functions_enabled=true to enable'

export function compileRefused(statement: RefusedStatement, current: string | null): CompiledStatement {
  const keyspace = keyspaceName(subject(statement).keyspace, current)
  return new SchemaPlan(keyspace, null, refusal(statement, keyspace))
}

function subject(statement: RefusedStatement): QualifiedName {
  switch (statement.kind) {
    case 'create_trigger':
    case 'drop_trigger':
    case 'create_table_like':
      return statement.table
    default:
      return statement.name
  }
}

function refusal(statement: RefusedStatement, keyspace: string): Change {
  switch (statement.kind) {
    case 'create_table_like':
      return () => {
        throw invalid('CREATE TABLE LIKE is not supported')
      }
    case 'create_function':
      return () => {
        throw invalid(FUNCTIONS_DISABLED)
      }
    case 'create_aggregate':
      return (schema) => {
        keyspaceOf(schema, keyspace)
        const types = [statement.stateType, ...statement.argumentTypes].map(plainText)
        throw invalid(`State function ${keyspace}.${statement.stateFunction}(${types.join(', ')}) doesn't exist`)
      }
    case 'drop_function':
    case 'drop_aggregate': {
      const what = statement.kind === 'drop_function' ? 'Function' : 'Aggregate'
      const types = statement.argumentTypes?.map(plainText).join(', ')
      const name = `${keyspace}.${statement.name.name}${types === undefined ? '' : `(${types})`}`
      return absent(keyspace, statement.ifExists, `${what} '${name}' doesn't exist`, true)
    }
    case 'create_trigger':
      return (schema) => {
        checkModifiable(keyspace, `table ${keyspace}.${statement.table.name}`, 'ALTER')
        tableOf(keyspaceOf(schema, keyspace), statement.table.name)
        throw invalid(`Trigger class '${statement.className}' couldn't be loaded`)
      }
    case 'drop_trigger':
      return absent(
        keyspace,
        statement.ifExists,
        `Trigger '${statement.name}' on '${keyspace}.${statement.table.name}' doesn't exist`,
        false,
      )
    default:
      return unreachable(statement)
  }
}

function plainText(type: TypeNode): string {
  return typeText(type, false, null)
}

/** DROP or ALTER of something that is never there. `late`: the keyspace is checked when the schema is, not with the permission. */
function absent(keyspace: string, ifExists: boolean, message: string, late: boolean): Change {
  return (schema: Schema) => {
    if (late && isLocalSystemKeyspace(keyspace)) throw invalid(`System keyspace '${keyspace}' is not user-modifiable`)
    checkModifiable(keyspace, `all tables in ${keyspace}`, 'DROP')
    if (ifExists) return unchanged(schema)
    throw invalid(message)
  }
}

function tableOf(keyspace: KeyspaceSchema, name: string): TableSchema {
  const table = keyspace.tables.get(name)
  if (!table) throw invalid(`Table '${name}' doesn't exist`)
  return table
}
