/**
 * Values of many parts put together from the bytes of the parts. Source: native_protocol_v5.spec §6; vectors as Cassandra 5 lays them out.
 * Always: sets and maps are sorted by their type and hold an element once.
 */
import { ByteWriter } from '../base/bytes.ts'
import { invalid } from '../base/errors.ts'
import type { VectorType } from './type.ts'
import { fixedLength } from './vector.ts'
import { writeUnsignedVint } from './vint.ts'

/** Puts the parts' bytes together. */
export type Assemble = (parts: readonly (Buffer | null)[]) => Buffer

export type Compare = (a: Buffer, b: Buffer) => number

export function assembleList(parts: readonly (Buffer | null)[]): Buffer {
  return joined(parts.length, parts.map(present))
}

/** As Cassandra gives a list written in a selection: its elements may be null. */
export function assembleListWithNulls(parts: readonly (Buffer | null)[]): Buffer {
  return joined(parts.length, parts)
}

export function assembleSet(compare: Compare): Assemble {
  return (parts) => {
    const unique = uniqueOf((parts as readonly Buffer[]).map(present), 1, compare)
    return joined(unique.length, unique)
  }
}

/** Parts are keys and values in turn; of equal keys the first stays, with the value of the last. */
export function assembleMap(compare: Compare): Assemble {
  const assemble = assembleMapWithNulls(compare)
  return (parts) => assemble(parts.map(present))
}

/** As Cassandra gives a map written in a selection: its values, not its keys, may be null. */
export function assembleMapWithNulls(compare: Compare): Assemble {
  return (parts) => {
    const entries = parts.map((part, i) => (i % 2 === 0 ? present(part) : part))
    const unique = uniqueOf(entries, 2, compare)
    return joined(unique.length / 2, unique)
  }
}

/** Parts in `step`s, sorted by the first of each step, which is never null; of equal ones the first stays, with the rest of the last. */
export function uniqueOf<Part extends Buffer | null>(parts: readonly Part[], step: 1 | 2, compare: Compare): Part[] {
  const keyAt = (at: number): Buffer => parts[at] as Buffer
  const places = Array.from({ length: parts.length / step }, (_, i) => i * step)
  places.sort((a, b) => compare(keyAt(a), keyAt(b)))
  const unique: Part[] = []
  let last = -1
  for (const place of places) {
    const isRepeated = last >= 0 && compare(keyAt(last), keyAt(place)) === 0
    if (isRepeated) unique.length -= step - 1
    else unique.push(parts[place]!)
    if (step === 2) unique.push(parts[place + 1] as Part)
    if (!isRepeated) last = place
  }
  return unique
}

function present(bytes: Buffer | null): Buffer {
  if (bytes === null) throw invalid('null is not supported inside collections')
  return bytes
}

/** The serialised collection of so many elements or entries. */
export function joined(count: number, parts: readonly (Buffer | null)[]): Buffer {
  const out = new ByteWriter(4 + parts.length * 16)
  out.int32(count)
  for (const bytes of parts) writeValue(out, bytes)
  return out.copy()
}

function writeValue(out: ByteWriter, bytes: Buffer | null): void {
  out.int32(bytes === null ? -1 : bytes.length)
  if (bytes !== null) out.bytes(bytes)
}

/** Tuples and user types: fields as [value]s, null as length -1. */
export function assembleTuple(parts: readonly (Buffer | null)[]): Buffer {
  const out = new ByteWriter(parts.length * 16)
  for (const bytes of parts) writeValue(out, bytes)
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
