/**
 * From terms as written to values ready to bind: literals become bytes, markers are registered, functions are looked up, and whatever cannot be
 * assigned is refused in Cassandra's words. Source: CQL 3.4.7 "Terms", "Constants", "Native functions".
 */
import { unreachable } from '../base/assert.ts'
import { invalid } from '../base/errors.ts'
import type { Schema } from '../schema/keyspace.ts'
import type { TableSchema } from '../schema/table.ts'
import { isCollection, NATIVE, typeEquals, typeToCql } from '../types/names.ts'
import type { CqlType } from '../types/type.ts'
import { compare } from '../types/value.ts'
import type { Term } from './ast.ts'
import type { Assignability } from './functions/function.ts'
import {
  type Assemble,
  assembleList,
  assembleMap,
  assembleSet,
  assembleTuple,
  componentReceiver,
  compositeValue,
  elementReceiver,
  fieldReceiver,
  keyReceiver,
} from './terms-collections.ts'
import { constantAssignability, constantType } from './terms-constants.ts'
import { assignFunction, compileFunction, functionType } from './terms-functions.ts'
import { termText } from './terms-text.ts'
import { ConstantValue, MarkerValue, type Receiver, type Value, type Variables, validatorOf } from './terms-values.ts'

export type { Assignability } from './functions/function.ts'
export { termText } from './terms-text.ts'
export type { Receiver, Validator, Value } from './terms-values.ts'
export { ConstantValue, MarkerValue, Variables } from './terms-values.ts'

/** Where a term stands: types and functions are looked up in the keyspace, markers registered with the variables. */
export interface TermScope {
  readonly schema: Schema
  /** Keyspace of the statement's table. */
  readonly keyspace: string
  readonly variables: Variables
}

/** The receiver that a column of a table is. Throws INVALID `Undefined column name …` when there is none. */
export function columnReceiver(table: TableSchema, name: string): Receiver {
  const column = table.columns.get(name)
  if (!column) throw undefinedColumn(table, name)
  const { keyspace, name: tableName } = table
  const receiver = { keyspace, table: tableName, name, type: column.type }
  return column.kind === 'partition_key' ? { ...receiver, partitionKeyPosition: column.position } : receiver
}
