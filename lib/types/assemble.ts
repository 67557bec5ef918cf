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
    const sorted = (parts as readonly Buffer[]).map(present).sort(compare)
    const unique = sorted.filter((element, i) => i === 0 || compare(sorted[i - 1]!, element) !== 0)
    return joined(unique.length, unique)
  }
}

/** Parts are keys and values in turn; of two equal keys the later one counts. */
export function assembleMap(compare: Compare): Assemble {
  const assemble = assembleMapWithNulls(compare)
  return (parts) => assemble(parts.map(present))
}

/** As Cassandra gives a map written in a selection: its values, not its keys, may be null. */
export function assembleMapWithNulls(compare: Compare): Assemble {
  return (parts) => {
    const entries: [Buffer, Buffer | null][] = []
    for (let i = 0; i < parts.length; i += 2) entries.push([present(parts[i]!), parts[i + 1]!])
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
