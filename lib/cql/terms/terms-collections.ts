/**
 * Literals of many parts: lists, sets, maps, tuples, user types and vectors. Source: CQL 3.4.7 "Collections", "Tuples", "User-defined types";
 * native_protocol_v5.spec §6 for their bytes.
 * Always: sets and maps are sorted by their type and hold an element once.
 */
import type { Assemble } from '../../types/assemble.ts'
import type { CqlType } from '../../types/type.ts'
import type { BoundValue, Environment, QueryOptions } from '../statement.ts'
import { UNSET } from '../statement.ts'
import { ConstantValue, type Receiver, type Value } from './terms-values.ts'

/** The receivers of a collection's parts, by the names that errors and bind metadata give them. */
export function elementReceiver(receiver: Receiver, type: CqlType): Receiver {
  return part(receiver, `value(${receiver.name})`, type)
}

export function keyReceiver(receiver: Receiver, type: CqlType): Receiver {
  return part(receiver, `key(${receiver.name})`, type)
}

export function indexReceiver(receiver: Receiver, type: CqlType): Receiver {
  return part(receiver, `idx(${receiver.name})`, type)
}

export function componentReceiver(receiver: Receiver, index: number, type: CqlType): Receiver {
  return part(receiver, `${receiver.name}[${index}]`, type)
}

export function fieldReceiver(receiver: Receiver, field: string, type: CqlType): Receiver {
  return part(receiver, `${receiver.name}.${field}`, type)
}

function part(receiver: Receiver, name: string, type: CqlType): Receiver {
  return { keyspace: receiver.keyspace, table: receiver.table, name, type }
}

/** A literal with parts that are known only when it is bound, or about to be made constant. */
class CompositeValue implements Value {
  readonly type: CqlType
  readonly markerIndex = -1
  readonly isConstant = false
  readonly hasMarker: boolean
  readonly #parts: readonly Value[]
  readonly #assemble: Assemble
  readonly #whenUnset: (index: number) => BoundValue

  constructor(type: CqlType, parts: readonly Value[], assemble: Assemble, whenUnset: (index: number) => BoundValue) {
    this.type = type
    this.hasMarker = parts.some((value) => value.hasMarker)
    this.#parts = parts
    this.#assemble = assemble
    this.#whenUnset = whenUnset
  }

  bind(options: QueryOptions, environment: Environment): BoundValue {
    const bound = new Array<Buffer | null>(this.#parts.length)
    for (let i = 0; i < bound.length; i++) {
      const value = this.#parts[i]!.bind(options, environment)
      if (value === UNSET) return this.#whenUnset(i)
      bound[i] = value
    }
    return this.#assemble(bound)
  }
}

/** The literal as a constant if all its parts are, else to be assembled at each execution. */
export function compositeValue(
  type: CqlType,
  parts: readonly Value[],
  assemble: Assemble,
  whenUnset: (index: number) => BoundValue = () => UNSET,
): Value {
  if (!parts.every((value) => value.isConstant)) return new CompositeValue(type, parts, assemble, whenUnset)
  return new ConstantValue(type, assemble(parts.map((value) => (value as ConstantValue).bytes)))
}
