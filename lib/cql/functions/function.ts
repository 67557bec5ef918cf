/**
 * What a function is to those who call it: a name, types and a pure step over bytes.
 * Source: the native functions of Cassandra 5.0.6.
 */
import type { CqlType } from '../../types/type.ts'

/** The world as functions see it: the only source of time and chance. */
export interface FunctionContext {
  /** Microseconds since 1970. */
  wallMicros(): number
  /** Fills and returns the buffer. */
  randomBytes(target: Buffer): Buffer
  /** 3, 4 or 5. */
  readonly protocolVersion: number
}

interface FunctionBase {
  /** Lower-case name without keyspace: `intasblob`. */
  readonly name: string
  readonly keyspace: string
  readonly argumentTypes: readonly CqlType[]
  readonly returnType: CqlType
  /** The same arguments always give the same value, so a call on constants may be computed once. */
  readonly isPure: boolean
}

export interface ScalarFunction extends FunctionBase {
  readonly kind: 'scalar'
  /** Arguments are values of `argumentTypes`, null or bytes. Throws RequestError. */
  execute(args: readonly (Buffer | null)[], context: FunctionContext): Buffer | null
}

export interface AggregateFunction extends FunctionBase {
  readonly kind: 'aggregate'
  /** A new, empty state: one for each group. */
  create(): AggregateState
}

export interface AggregateState {
  /** One row's arguments. Bytes are copied when they are kept. */
  add(args: readonly (Buffer | null)[]): void
  result(): Buffer | null
}

export type CqlFunction = ScalarFunction | AggregateFunction

export type Assignability = 'exact' | 'weak' | 'not'

/** An argument before the function is known: a term, a column, or the result of another function. */
export interface FunctionArgument {
  /** Can it be given where `type` is expected? Bind markers and null are 'weak' for every type. */
  assignableTo(type: CqlType): Assignability
  /** Its type where one is known without a receiver (Cassandra's getCompatibleTypeIfKnown), else null. */
  readonly type: CqlType | null
  /** As messages write it: `'x'`, `tx`, `?`, `system.intasblob(i)`. */
  readonly text: string
  /** A bind marker (or holds one): operators then do not choose by their receiver. */
  readonly isMarker?: boolean
  /** Of a list that is written out: how many elements it has, as it may be meant for a vector. */
  readonly listSize?: number
}

/** Where a call stands: `token` takes the partition key's columns. */
export interface FunctionScope {
  /** Keyspace of the statement, null where there is none. */
  readonly keyspace: string | null
  /** Types of the table's partition key; null where there is no table. */
  readonly partitionKey: readonly CqlType[] | null
}

/** Makes functions for any types: throws INVALID when the arguments are wrong. */
export type FunctionFactory = (
  args: readonly FunctionArgument[],
  receiver: CqlType | null,
  scope: FunctionScope,
) => CqlFunction

export interface FunctionName {
  /** Null: as written without a keyspace. */
  readonly keyspace: string | null
  readonly name: string
}
