/**
 * From terms as written to values ready to bind: literals become bytes, markers are registered, functions are looked up, and whatever cannot be
 * assigned is refused in Cassandra's words. Source: CQL 3.4.7 "Terms", "Constants", "Native functions".
 */
import type { Schema } from '../schema/keyspace.ts'
import type { TableSchema } from '../schema/table.ts'
import type { Term } from './ast.ts'
import type { Receiver, Value, Variables } from './terms-values.ts'

export type { Receiver, Validator, Value } from './terms-values.ts'
export { ConstantValue, MarkerValue, Variables } from './terms-values.ts'

/** Where a term stands: types and functions are looked up in the keyspace, markers registered with the variables. */
export interface TermScope {
  readonly schema: Schema
  /** Keyspace of the statement's table. */
  readonly keyspace: string
  readonly variables: Variables
}

/** How a term fits a receiver: to the letter, after conversion, or not at all. */
export type Assignability = 'exact' | 'weak' | 'none'

/** The receiver that a column of a table is. Throws INVALID `Undefined column name …` when there is none. */
export declare function columnReceiver(table: TableSchema, name: string): Receiver

export declare function testAssignment(term: Term, receiver: Receiver, scope: TermScope): Assignability

/** Throws INVALID when the term cannot be assigned to the receiver. */
export declare function compileTerm(term: Term, receiver: Receiver, scope: TermScope): Value

/** The term as errors show it. */
export declare function termText(term: Term): string
