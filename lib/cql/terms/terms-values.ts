/**
 * Compiled terms: what is left of a term when names are looked up and types are checked. Source: CQL 3.4.7 "Terms".
 * Always: a constant is bytes made once; a marker costs one array access and the check of its type.
 */
import { NATIVE } from '../../types/names.ts'
import type { Normalizer } from '../../types/normalize.ts'
import type { CqlType } from '../../types/type.ts'
import { validate } from '../../types/value.ts'
import type { ColumnSpec } from '../result.ts'
import type { BoundValue, Environment, QueryOptions } from '../statement.ts'
import { UNSET } from '../statement.ts'

/**
 * What a term is to be assigned to: the name and type that errors and bind metadata speak of. A receiver that is itself a column of the
 * partition key says its position there, so that PREPARE can tell the driver which variables make the key.
 */
export interface Receiver extends ColumnSpec {
  readonly partitionKeyPosition?: number
}

/** A term ready to be evaluated. */
export interface Value {
  readonly type: CqlType
  /** Index of the bind variable when the term is nothing but a marker; -1 otherwise. */
  readonly markerIndex: number
  /** Known without a request: `bind` gives the same bytes (or null) each time and uses none of its arguments. */
  readonly isConstant: boolean
  /** There is a marker somewhere in it. */
  readonly hasMarker: boolean
  /** Checked bytes; null; or UNSET when its marker was left unset. Throws a RequestError when what was bound does not fit the type. */
  bind(options: QueryOptions, environment: Environment): BoundValue
}

/** Throws a RequestError (INVALID) unless the bytes are a value of one certain type. */
export type Validator = (bytes: Buffer) => void

/** The check of one type's values, quick for the right length of fixed types. */
export function validatorOf(type: CqlType): Validator {
  if (type.kind !== 'native') return (bytes) => validate(type, bytes)
  switch (type.name) {
    case 'int':
    case 'float':
    case 'date':
      return (bytes) => {
        if (bytes.length !== 4) validate(type, bytes)
      }
    case 'bigint':
    case 'counter':
    case 'timestamp':
    case 'double':
    case 'time':
      return (bytes) => {
        if (bytes.length !== 8) validate(type, bytes)
      }
    case 'uuid':
      return (bytes) => {
        if (bytes.length !== 16) validate(type, bytes)
      }
    case 'blob':
    case 'varint':
      return () => {}
    default:
      return (bytes) => validate(type, bytes)
  }
}

export class ConstantValue implements Value {
  readonly type: CqlType
  readonly markerIndex = -1
  readonly isConstant = true
  readonly hasMarker = false
  readonly bytes: Buffer | null

  constructor(type: CqlType, bytes: Buffer | null) {
    this.type = type
    this.bytes = bytes
  }

  bind(): Buffer | null {
    return this.bytes
  }
}

/** The timestamp 'now'. */
export class NowValue implements Value {
  readonly type = NATIVE.timestamp
  readonly markerIndex = -1
  readonly isConstant = false
  readonly hasMarker = false

  bind(_options: QueryOptions, environment: Environment): Buffer {
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeBigInt64BE(BigInt(Math.floor(environment.wallMicros() / 1000)))
    return bytes
  }
}

export class MarkerValue implements Value {
  readonly type: CqlType
  readonly markerIndex: number
  readonly isConstant = false
  readonly hasMarker = true
  readonly #validate: Validator
  readonly #normalize: Normalizer | null

  constructor(type: CqlType, markerIndex: number, validate: Validator, normalize: Normalizer | null) {
    this.type = type
    this.markerIndex = markerIndex
    this.#validate = validate
    this.#normalize = normalize
  }

  bind(options: QueryOptions): BoundValue {
    const value = options.values[this.markerIndex] as BoundValue
    if (value === null || value === UNSET) return value
    this.#validate(value)
    return this.#normalize === null ? value : this.#normalize(value)
  }
}

/** The bind variables of a statement while it is compiled: each marker registers what it is bound to. */
export class Variables {
  readonly #names: readonly (string | null)[]
  readonly #receivers: (Receiver | undefined)[]

  /** `names`: the markers of the parsed text, null for `?`. */
  constructor(names: readonly (string | null)[]) {
    this.#names = names
    this.#receivers = new Array<Receiver | undefined>(names.length)
  }

  register(index: number, receiver: Receiver): void {
    this.#receivers[index] = receiver
  }

  /** In order of position; a named marker goes by its own name. */
  specs(): ColumnSpec[] {
    const specs: ColumnSpec[] = []
    for (let i = 0; i < this.#names.length; i++) {
      const receiver = this.#receivers[i]
      if (!receiver) continue
      const { keyspace, table, type } = receiver
      specs.push({ keyspace, table, name: this.#names[i] ?? receiver.name, type })
    }
    return specs
  }

  /** Which variables are the partition key's columns, in their order (the last one wins); [] unless each column has one. */
  partitionKeyIndexes(keyColumnCount: number): number[] {
    const indexes = new Array<number>(keyColumnCount).fill(-1)
    const first = this.#receivers.find((receiver) => receiver !== undefined)
    // Variables of several tables: there is no one key.
    for (const receiver of this.#receivers)
      if (receiver && (receiver.table !== first!.table || receiver.keyspace !== first!.keyspace)) return []
    this.#receivers.forEach((receiver, index) => {
      const position = receiver?.partitionKeyPosition
      if (position !== undefined) indexes[position] = index
    })
    return indexes.includes(-1) ? [] : indexes
  }
}
