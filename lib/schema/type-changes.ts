/**
 * CREATE, ALTER and DROP TYPE as pure changes. Source: CQL 3.4.7; checks and messages are those of Cassandra 5.0.6.
 */
import { invalid } from '../base/errors.ts'
import { quoteIdentifier } from '../types/identifier.ts'
import { someType } from '../types/names.ts'
import type { CqlType, UserType } from '../types/type.ts'
import { compareNames } from './build.ts'
import { changed, checkModifiable, keyspaceOf, type Outcome, tableText, unchanged } from './changes.ts'
import type { KeyspaceSchema, Schema } from './keyspace.ts'
import { typeRecord } from './records.ts'
import type { TableSchema } from './table.ts'

/** A type as written, of a field or a column: what the checks before looking it up want to know. */
export interface TypeReference {
  readonly isCounter: boolean
  /** A bare name that is no native type. */
  readonly isBareUserType: boolean
  /** A Java class that reverses the order of another one. */
  readonly isReversed: boolean
  /** As messages show it, user types with their keyspace. */
  referenceText(keyspace: string): string
  /** Looks it up; throws when it is wrong or not there. */
  resolve(keyspace: KeyspaceSchema): CqlType
}

export interface TypeDefinition {
  readonly keyspace: string
  readonly name: string
  readonly fields: readonly { readonly name: string; readonly type: TypeReference }[]
  readonly ifNotExists: boolean
}

export type TypeAlteration =
  | { readonly kind: 'add'; readonly ifNotExists: boolean; readonly field: string; readonly type: TypeReference }
  | { readonly kind: 'alter' }
  | {
      readonly kind: 'rename'
      readonly ifExists: boolean
      readonly renames: readonly { readonly from: string; readonly to: string }[]
    }

function checkField(type: TypeReference): void {
  if (type.isCounter) throw invalid('A user type cannot contain counters')
  if (type.isBareUserType) throw invalid('A user type cannot contain non-frozen UDTs')
}

export function createType(schema: Schema, definition: TypeDefinition): Outcome {
  const { name } = definition
  checkModifiable(definition.keyspace, `all tables in ${definition.keyspace}`, 'CREATE')
  const keyspace = keyspaceOf(schema, definition.keyspace)
  if (keyspace.types.has(name)) {
    if (definition.ifNotExists) return unchanged(schema)
    throw invalid(`A user type with name '${name}' already exists`)
  }
  const names = new Set<string>()
  for (const field of definition.fields) {
    if (names.has(field.name)) throw invalid(`Duplicate field name '${field.name}' in type '${name}'`)
    names.add(field.name)
  }
  for (const { type } of definition.fields) checkField(type)
  const type: UserType = {
    kind: 'udt',
    keyspace: keyspace.name,
    name,
    fieldNames: [...names],
    fieldTypes: definition.fields.map((field) => field.type.resolve(keyspace)),
    frozen: false,
  }
  return changed(schema, [typeRecord(type)], { change: 'CREATED', target: 'TYPE', keyspace: keyspace.name, name })
}

export function alterType(
  schema: Schema,
  keyspaceName: string,
  name: string,
  ifExists: boolean,
  action: TypeAlteration,
): Outcome {
  checkModifiable(keyspaceName, `all tables in ${keyspaceName}`, 'ALTER')
  if (action.kind === 'add') checkField(action.type)
  const keyspace = schema.keyspaces.get(keyspaceName)
  const type = keyspace?.types.get(name)
  if (!keyspace || !type) {
    if (ifExists) return unchanged(schema)
    throw invalid(`Type ${keyspaceName}.${name} doesn't exist`)
  }
  const altered = alteration(keyspace, type, action)
  if (altered === null) return unchanged(schema)
  const record = typeRecord(altered)
  if (JSON.stringify(record) === JSON.stringify(typeRecord(type))) return unchanged(schema)
  return changed(schema, [record], { change: 'UPDATED', target: 'TYPE', keyspace: keyspaceName, name })
}

/** The type as altered; null when there is nothing to do. */
function alteration(keyspace: KeyspaceSchema, type: UserType, action: TypeAlteration): UserType | null {
  const full = `${quoteIdentifier(type.keyspace)}.${quoteIdentifier(type.name)}`
  switch (action.kind) {
    case 'alter':
      throw invalid('Altering field types is no longer supported')
    case 'add': {
      if (type.fieldNames.includes(action.field)) {
        if (action.ifNotExists) return null
        throw invalid(
          `Cannot add field ${action.field} to type ${full}: a field with name ${action.field} already exists`,
        )
      }
      const field = action.type.resolve(keyspace)
      const what = `Cannot add new field ${action.field} of type ${action.type.referenceText(keyspace.name)} to user type ${full}`
      if (uses(field, type)) throw invalid(`${what} as it would create a circular reference`)
      const tables = tablesUsing(keyspace, type, (table) => table.partitionKey)
      if (tables.length > 0)
        throw invalid(
          `${what} as the type is being used in partition key by the following tables: ${tables.map(tableText).join(', ')}`,
        )
      return { ...type, fieldNames: [...type.fieldNames, action.field], fieldTypes: [...type.fieldTypes, field] }
    }
    case 'rename': {
      const fieldNames = [...type.fieldNames]
      for (const { from, to } of action.renames) {
        const index = type.fieldNames.indexOf(from)
        if (index < 0 && !action.ifExists) throw invalid(`Unkown field ${from} in user type ${full}`)
        if (index >= 0) fieldNames[index] = to
      }
      const twice = fieldNames.find((name, index) => fieldNames.lastIndexOf(name) !== index)
      if (twice !== undefined) throw invalid(`Duplicate field name ${twice} in type ${type.keyspace}`)
      return { ...type, fieldNames }
    }
  }
}

export function dropType(schema: Schema, keyspaceName: string, name: string, ifExists: boolean): Outcome {
  checkModifiable(keyspaceName, `all tables in ${keyspaceName}`, 'DROP')
  const keyspace = schema.keyspaces.get(keyspaceName)
  const type = keyspace?.types.get(name)
  if (!keyspace || !type) {
    if (ifExists) return unchanged(schema)
    throw invalid(`Type '${keyspaceName}.${name}' doesn't exist`)
  }
  const what = `Cannot drop user type '${keyspaceName}.${name}' as it is still used by`
  const types = [...keyspace.types.values()]
    .filter((other) => other !== type && other.fieldTypes.some((field) => uses(field, type)))
    .map((other) => other.name)
  if (types.length > 0) throw invalid(`${what} user types ${types.sort(compareNames).join(', ')}`)
  const tables = tablesUsing(keyspace, type, (table) => [...table.columns.values()])
  if (tables.length > 0) throw invalid(`${what} tables ${tables.map((table) => table.name).join(', ')}`)
  const change = { change: 'DROPPED', target: 'TYPE', keyspace: keyspaceName, name } as const
  return changed(schema, [{ kind: 'drop_type', keyspace: keyspaceName, name }], change)
}

function uses(type: CqlType, userType: UserType): boolean {
  return someType(type, (inner) => inner.kind === 'udt' && inner.name === userType.name)
}

function tablesUsing(
  keyspace: KeyspaceSchema,
  type: UserType,
  columns: (table: TableSchema) => readonly { readonly type: CqlType }[],
): TableSchema[] {
  return [...keyspace.tables.values()]
    .filter((table) => columns(table).some((column) => uses(column.type, type)))
    .sort((a, b) => compareNames(a.name, b.name))
}
