/**
 * Literals of many parts: lists, sets, maps, tuples, user types and vectors. Source: CQL 3.4.7 "Collections", "Tuples", "User-defined types";
 * native_protocol_v5.spec §6 for their bytes.
 * Always: sets and maps are sorted by their type and hold an element once.
 */
import { ByteWriter } from '../base/bytes.ts'
import { invalid } from '../base/errors.ts'
import type { CqlType, VectorType } from '../types/type.ts'
import { fixedLength } from '../types/vector.ts'
import { writeUnsignedVint } from '../types/vint.ts'
import type { BoundValue, Environment, QueryOptions } from './statement.ts'
import { UNSET } from './statement.ts'
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

/** Puts the parts' bytes together. */
export type Assemble = (parts: readonly (Buffer | null)[]) => Buffer

/** A literal with parts that are known only when it is bound, or about to be made constant. */
export class CompositeValue implements Value {
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

export type Compare = (a: Buffer, b: Buffer) => number

export function assembleList(parts: readonly (Buffer | null)[]): Buffer {
  return joined(parts.length, parts)
}

export function assembleSet(compare: Compare): Assemble {
  return (parts) => {
    const sorted = (parts as readonly Buffer[]).map(present).sort(compare)
    const unique = sorted.filter((element, i) => i === 0 || compare(sorted[i - 1]!, element) !== 0)
    return joined(unique.length, unique)
  }
}

/** Parts are keys and values in turn; of two equal keys the later one counts. */
export function assembleMap(compare: Compare): Assemble {
  return (parts) => {
    const entries: [Buffer, Buffer][] = []
    for (let i = 0; i < parts.length; i += 2) entries.push([present(parts[i]!), present(parts[i + 1]!)])
    entries.sort((a, b) => compare(a[0], b[0]))
    const unique = entries.filter((entry, i) => i === entries.length - 1 || compare(entry[0], entries[i + 1]![0]) !== 0)
    return joined(unique.length, unique.flat())
  }
}

function present(bytes: Buffer | null): Buffer {
  if (bytes === null) throw invalid('null is not supported inside collections')
  return bytes
}

function joined(count: number, parts: readonly (Buffer | null)[]): Buffer {
  const out = new ByteWriter(4 + parts.length * 16)
  out.int32(count)
  for (const bytes of parts) {
    const element = present(bytes)
    out.int32(element.length)
    out.bytes(element)
  }
  return out.copy()
}

/** Tuples and user types: fields as [value]s, null as length -1. */
export function assembleTuple(parts: readonly (Buffer | null)[]): Buffer {
  const out = new ByteWriter(parts.length * 16)
  for (const bytes of parts) {
    out.int32(bytes === null ? -1 : bytes.length)
    if (bytes !== null) out.bytes(bytes)
  }
  return out.copy()
}

/** Elements of fixed length one after another, others each after its length. */
export function assembleVector(type: VectorType): Assemble {
  const fixed = fixedLength(type.element) >= 0
  return (parts) => {
    const out = new ByteWriter(parts.length * 8)
    for (const bytes of parts) {
      if (bytes === null) throw invalid('null is not supported inside vectors')
      if (!fixed) writeUnsignedVint(out, BigInt(bytes.length))
      out.bytes(bytes)
    }
    return out.copy()
  }
}
