/**
 * From the tree of a DDL statement to one that can be executed. What Cassandra's parser itself refuses is refused here, at once; all else when
 * it is executed, against the schema as it is then.
 */
import { unreachable } from '../../base/assert.ts'
import { invalid } from '../../base/errors.ts'
import { alterTable, type TableAlteration } from '../../schema/alter-table.ts'
import { createTable, dropTable, type NewTable } from '../../schema/create-table.ts'
import { createIndex, dropIndex } from '../../schema/index-changes.ts'
import { alterKeyspace, createKeyspace, dropKeyspace } from '../../schema/keyspace-changes.ts'
import { alterType, createType, dropType, type TypeAlteration } from '../../schema/type-changes.ts'
import type { AlterTableAction, ColumnDefinition, SchemaStatement, Term } from '../ast.ts'
import type { CompiledStatement } from '../statement.ts'
import { type Change, keyspaceName, SchemaPlan } from './schema-plan.ts'
import { propertyMap, refuseRepeatedOrder } from './schema-properties.ts'
import { compileRefused } from './schema-refused.ts'
import { typeReference } from './type-nodes.ts'
import { compileView } from './view-statements.ts'

type Statement<Kind extends SchemaStatement['kind']> = Extract<SchemaStatement, { kind: Kind }>

/** `keyspace` is the connection's. Throws a RequestError. */
export function compileSchemaStatement(statement: SchemaStatement, keyspace: string | null): CompiledStatement {
  switch (statement.kind) {
    case 'create_keyspace':
    case 'alter_keyspace':
    case 'drop_keyspace':
      return compileKeyspace(statement)
    case 'create_table': {
      const definition = newTable(statement, keyspaceName(statement.table.keyspace, keyspace))
      return new SchemaPlan(definition.keyspace, definition.name, (schema, context, environment) => {
        if (definition.compactStorage && environment.limits.compactTablesEnabled === false)
          throw invalid('Guardrail compact_tables violated: Creation of new COMPACT STORAGE tables is not allowed')
        return createTable(schema, definition, context.newTableId())
      })
    }
    case 'alter_table':
      return compileAlterTable(statement, keyspaceName(statement.table.keyspace, keyspace))
    case 'drop_table': {
      const name = keyspaceName(statement.table.keyspace, keyspace)
      const table = statement.table.name
      return new SchemaPlan(name, table, (schema) => dropTable(schema, name, table, statement.ifExists))
    }
    case 'create_index':
      return compileCreateIndex(statement, keyspaceName(statement.table.keyspace, keyspace))
    case 'drop_index': {
      const name = keyspaceName(statement.index.keyspace, keyspace)
      return new SchemaPlan(name, null, (schema) => dropIndex(schema, name, statement.index.name, statement.ifExists))
    }
    case 'create_view':
    case 'alter_view':
    case 'drop_view':
      return compileView(statement, keyspaceName(statement.view.keyspace, keyspace))
    case 'create_type':
    case 'alter_type':
    case 'drop_type':
      return compileType(statement, keyspaceName(statement.type.keyspace, keyspace))
    default:
      return compileRefused(statement, keyspace)
  }
}

function compileKeyspace(
  statement: Statement<'create_keyspace' | 'alter_keyspace' | 'drop_keyspace'>,
): CompiledStatement {
  const { name } = statement
  const plan = (change: Change) => new SchemaPlan(name, null, change)
  if (statement.kind === 'drop_keyspace') return plan((schema) => dropKeyspace(schema, name, statement.ifExists))
  const properties = propertyMap(statement.properties)
  if (statement.kind === 'create_keyspace') {
    const definition = { name, properties, ifNotExists: statement.ifNotExists }
    return plan((schema, context) => createKeyspace(schema, definition, context.datacenters, context.warnings))
  }
  const definition = { name, properties, ifExists: statement.ifExists }
  return plan((schema, context) => alterKeyspace(schema, definition, context.datacenters, context.warnings))
}

function newTable(statement: Statement<'create_table'>, keyspace: string): NewTable {
  const { name } = statement.table
  const columns = new Map<string, NewTable['columns'][number]>()
  for (const column of statement.columns) {
    if (columns.has(column.name)) throw invalid(`Duplicate column '${column.name}' declaration for table '${name}'`)
    checkMask(column)
    columns.set(column.name, { name: column.name, type: typeReference(column.type), isStatic: column.isStatic })
  }
  const inline = statement.columns.filter((column) => column.isPrimaryKey)
  const keys = [...inline.map((column) => ({ partitionKey: [column.name], clustering: [] })), ...statement.primaryKeys]
  if (keys.length > 1) throw invalid(`Multiple PRIMARY KEY specified for table '${name}' (exactly one required)`)
  const key = keys[0]
  if (!key) throw invalid(`No PRIMARY KEY specifed for table '${name}' (exactly one required)`)
  refuseRepeatedOrder(statement.clusteringOrder, 'table', statement.table)
  return {
    keyspace,
    name,
    ifNotExists: statement.ifNotExists,
    columns: [...columns.values()],
    partitionKey: key.partitionKey,
    clustering: key.clustering,
    clusteringOrder: statement.clusteringOrder,
    compactStorage: statement.compactStorage,
    properties: propertyMap(statement.properties),
  }
}

const MASKING_DISABLED =
  'Cannot mask columns because dynamic data masking is not enabled. You can enable it with the ' +
  'dynamic_data_masking_enabled property on cassandra.yaml'

function checkMask(column: ColumnDefinition): void {
  if (column.mask !== null) throw invalid(MASKING_DISABLED)
}

function compileAlterTable(statement: Statement<'alter_table'>, keyspace: string): CompiledStatement {
  const { name } = statement.table
  const given = givenTimestamp(statement.action)
  const action = tableAlteration(statement.action)
  return new SchemaPlan(keyspace, name, (schema, context) => {
    const nextTimestampMicros = given === null ? () => context.nextTimestampMicros() : () => given
    const alteration: TableAlteration = action.kind === 'drop' ? { ...action, nextTimestampMicros } : action
    return alterTable(schema, keyspace, name, statement.ifExists, alteration, context.warnings)
  })
}

/** USING TIMESTAMP of DROP. */
function givenTimestamp(action: AlterTableAction): bigint | null {
  if (action.kind !== 'drop' || action.timestamp === null) return null
  const term: Term = action.timestamp
  const value = term.kind === 'constant' && term.type === 'integer' ? BigInt(term.text) : null
  if (value === null || BigInt.asIntN(64, value) !== value) throw invalid('Invalid timestamp value')
  return value
}

type Alteration =
  | Exclude<TableAlteration, { kind: 'drop' }>
  | Omit<Extract<TableAlteration, { kind: 'drop' }>, 'nextTimestampMicros'>

function tableAlteration(action: AlterTableAction): Alteration {
  switch (action.kind) {
    case 'add': {
      const columns = action.columns.map((column) => ({
        name: column.name,
        type: typeReference(column.type),
        isStatic: column.isStatic,
      }))
      return { kind: 'add', ifNotExists: action.ifNotExists, columns }
    }
    case 'drop':
      return { kind: 'drop', ifExists: action.ifExists, columns: action.columns }
    case 'rename':
      return { kind: 'rename', ifExists: action.ifExists, renames: action.renames }
    case 'with':
      return { kind: 'options', properties: propertyMap(action.properties) }
    case 'alter_type':
      return { kind: 'refused', message: 'Altering column types is no longer supported' }
    case 'alter_mask':
      if (action.mask !== null) return { kind: 'refused', message: MASKING_DISABLED }
      return { kind: 'options', properties: new Map() }
    case 'drop_compact_storage':
      return { kind: 'refused', message: 'DROP COMPACT STORAGE is disabled. Enable in cassandra.yaml to use.' }
    default:
      return unreachable(action)
  }
}

function compileCreateIndex(statement: Statement<'create_index'>, keyspace: string): CompiledStatement {
  const { table, name, ifNotExists, custom, targets, using } = statement
  const properties = propertyMap(statement.properties)
  const definition = {
    keyspace,
    table: table.name,
    name: name?.name ?? null,
    ifNotExists,
    custom,
    targets,
    using,
    properties,
  }
  return new SchemaPlan(keyspace, table.name, (schema, context) =>
    createIndex(schema, definition, context.newTableId(), context.warnings),
  )
}

function compileType(
  statement: Statement<'create_type' | 'alter_type' | 'drop_type'>,
  keyspace: string,
): CompiledStatement {
  const { name } = statement.type
  const plan = (change: Change) => new SchemaPlan(keyspace, null, change)
  switch (statement.kind) {
    case 'create_type': {
      const fields = statement.fields.map((field) => ({ name: field.name, type: typeReference(field.type) }))
      const definition = { keyspace, name, fields, ifNotExists: statement.ifNotExists }
      return plan((schema) => createType(schema, definition))
    }
    case 'alter_type': {
      const { action } = statement
      const alteration: TypeAlteration =
        action.kind === 'add' ? { ...action, type: typeReference(action.type) } : action
      return plan((schema) => alterType(schema, keyspace, name, statement.ifExists, alteration))
    }
    case 'drop_type':
      return plan((schema) => dropType(schema, keyspace, name, statement.ifExists))
  }
}
