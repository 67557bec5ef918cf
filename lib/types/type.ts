/**
 * CQL types as plain data. Source: CQL 3.4.7 "Data types"; codes of native_protocol_v5.spec §6.
 * Always: a type is immutable and compares by `typeToCql`.
 */

export const NATIVE_TYPE_CODES = {
  ascii: 0x0001,
  bigint: 0x0002,
  blob: 0x0003,
  boolean: 0x0004,
  counter: 0x0005,
  decimal: 0x0006,
  double: 0x0007,
  float: 0x0008,
  int: 0x0009,
  timestamp: 0x000b,
  uuid: 0x000c,
  text: 0x000d,
  varint: 0x000e,
  timeuuid: 0x000f,
  inet: 0x0010,
  date: 0x0011,
  time: 0x0012,
  smallint: 0x0013,
  tinyint: 0x0014,
  duration: 0x0015,
} as const

export type NativeTypeName = keyof typeof NATIVE_TYPE_CODES

export interface NativeType {
  readonly kind: 'native'
  readonly name: NativeTypeName
}

export interface ListType {
  readonly kind: 'list'
  readonly element: CqlType
  readonly frozen: boolean
}

export interface SetType {
  readonly kind: 'set'
  readonly element: CqlType
  readonly frozen: boolean
}

export interface MapType {
  readonly kind: 'map'
  readonly key: CqlType
  readonly value: CqlType
  readonly frozen: boolean
}

/** Always frozen. */
export interface TupleType {
  readonly kind: 'tuple'
  readonly elements: readonly CqlType[]
}

export interface UserType {
  readonly kind: 'udt'
  readonly keyspace: string
  readonly name: string
  readonly fieldNames: readonly string[]
  readonly fieldTypes: readonly CqlType[]
  readonly frozen: boolean
}

export interface VectorType {
  readonly kind: 'vector'
  readonly element: CqlType
  readonly dimension: number
}

/** A Java class that we only carry: org.apache.cassandra.db.marshal.… */
export interface CustomType {
  readonly kind: 'custom'
  readonly className: string
}

export type CqlType = NativeType | ListType | SetType | MapType | TupleType | UserType | VectorType | CustomType
