/**
 * The right sides of relations, ready to be bound: one value, a tuple of values, or a list of either.
 * Source: CQL 3.4.7 "The WHERE clause".
 */
import { ByteReader, BytesError } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import { type Normalizer, normalizerOf } from '../../types/normalize.ts'
import type { CqlType } from '../../types/type.ts'
import { validate } from '../../types/value.ts'
import { type BoundValue, type Environment, type QueryOptions, UNSET } from '../statement.ts'
import type { Value } from '../terms/terms.ts'

/** One value for each column of a relation. */
export interface Tuple {
  /** The only value when the relation has one column and is not written as a tuple; else null. */
  readonly single: Value | null
  bind(options: QueryOptions, environment: Environment): readonly BoundValue[]
}

export interface Tuples {
  bind(options: QueryOptions, environment: Environment): readonly (readonly BoundValue[])[]
}

export class SingleTuple implements Tuple {
  readonly single: Value

  constructor(value: Value) {
    this.single = value
  }

  bind(options: QueryOptions, environment: Environment): readonly BoundValue[] {
    return [this.single.bind(options, environment)]
  }
}

export class LiteralTuple implements Tuple {
  readonly single = null
  readonly #values: readonly Value[]

  constructor(values: readonly Value[]) {
    this.#values = values
  }

  bind(options: QueryOptions, environment: Environment): readonly BoundValue[] {
    return this.#values.map((value, i) => {
      const bound = value.bind(options, environment)
      if (bound === UNSET) throw invalid(`Invalid unset value for tuple field number ${i}`)
      return bound
    })
  }
}

/** A marker for a whole tuple. */
export class MarkerTuple implements Tuple {
  readonly single = null
  readonly #value: Value
  readonly #name: string
  readonly #size: number

  constructor(value: Value, name: string, size: number) {
    this.#value = value
    this.#name = name
    this.#size = size
  }

  bind(options: QueryOptions, environment: Environment): readonly BoundValue[] {
    const bytes = this.#value.bind(options, environment)
    if (bytes === UNSET) throw invalid(`Invalid unset value for tuple ${this.#name}`)
    if (bytes === null) throw invalid(`Invalid null value for tuple ${this.#name}`)
    return splitTuple(bytes, this.#size)
  }
}

/** The terms of `IN (…)`. */
export class BoundList implements Tuples {
  readonly #tuples: readonly Tuple[]

  constructor(tuples: readonly Tuple[]) {
    this.#tuples = tuples
  }

  bind(options: QueryOptions, environment: Environment): readonly (readonly BoundValue[])[] {
    return this.#tuples.map((tuple) => tuple.bind(options, environment))
  }
}

/** `IN ?`: the marker holds a list of values, or of tuples of them. */
export class MarkerTuples implements Tuples {
  readonly #value: Value
  readonly #name: string
  readonly #types: readonly CqlType[]
  readonly #ofTuples: boolean
  readonly #normalize: Normalizer | null

  /** The value is not checked yet. */
  constructor(value: Value, name: string, types: readonly CqlType[], ofTuples: boolean) {
    this.#value = value
    this.#name = name
    this.#types = types
    this.#ofTuples = ofTuples
    this.#normalize = ofTuples ? null : normalizerOf(types[0]!)
  }

  bind(options: QueryOptions, environment: Environment): readonly (readonly BoundValue[])[] {
    const bytes = this.#value.bind(options, environment)
    if (bytes === UNSET) throw invalid(`Invalid unset value for column ${this.#name}`)
    if (bytes === null) throw invalid(`Invalid null value for column ${this.#name}`)
    return this.#elements(bytes).map((element) => {
      const values = this.#ofTuples ? this.#fields(element) : [element]
      return values.map((value, i) => {
        if (value === null) return null
        validate(this.#types[i]!, value)
        return this.#normalize === null ? value : this.#normalize(value)
      })
    })
  }

  #elements(bytes: Buffer): (Buffer | null)[] {
    try {
      return splitList(bytes)
    } catch (error) {
      // Says in which way these are the bytes of no list.
      if (error instanceof BytesError) validate(this.#value.type, bytes)
      throw error
    }
  }

  #fields(tuple: Buffer | null): (Buffer | null)[] {
    if (tuple === null) throw invalid(`Invalid null value for tuple ${this.#name}`)
    try {
      return splitTuple(tuple, this.#types.length)
    } catch (error) {
      if (error instanceof BytesError) validate({ kind: 'tuple', elements: this.#types }, tuple)
      throw error
    }
  }
}

/** The elements of a serialised list or set. */
export function splitList(bytes: Buffer): (Buffer | null)[] {
  if (bytes.length === 0) return []
  const reader = new ByteReader(bytes)
  const count = reader.int32()
  const elements: (Buffer | null)[] = []
  for (let i = 0; i < count; i++) elements.push(readElement(reader))
  if (reader.remaining() > 0) throw invalid('Unexpected extraneous bytes after list value')
  return elements
}

/** The fields of a serialised tuple; those past the end are null. */
function splitTuple(bytes: Buffer, size: number): (Buffer | null)[] {
  const reader = new ByteReader(bytes)
  const fields: (Buffer | null)[] = []
  for (let i = 0; i < size; i++) fields.push(reader.remaining() === 0 ? null : readElement(reader))
  return fields
}

function readElement(reader: ByteReader): Buffer | null {
  const length = reader.int32()
  return length < 0 ? null : reader.view(length)
}
