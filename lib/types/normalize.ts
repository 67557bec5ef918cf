/**
 * Sets and maps as clients bind them, put into the order of their type: drivers send elements in whatever order they hold them.
 * Source: Cassandra 5.0.6, which takes bound lists, sets and maps apart and puts them together again, at any depth; what lies in a tuple, a
 * user type or a vector stays as it was bound.
 * Always: of equal elements the first stays; of equal keys the first, with the value of the last.
 */
import { joined, uniqueOf } from './assemble.ts'
import { compare } from './compare.ts'
import type { CqlType } from './type.ts'

/** Bytes of a valid value → the same value in order. */
export type Normalizer = (bytes: Buffer) => Buffer

/** Null: values of the type are in order as they are. */
export function normalizerOf(type: CqlType): Normalizer | null {
  switch (type.kind) {
    case 'list': {
      const element = normalizerOf(type.element)
      return element === null ? null : (bytes) => normalizeList(element, bytes)
    }
    case 'set': {
      const element = normalizerOf(type.element)
      return (bytes) => normalizeSorted(type.element, element, null, 1, bytes)
    }
    case 'map': {
      const key = normalizerOf(type.key)
      const value = normalizerOf(type.value)
      return (bytes) => normalizeSorted(type.key, key, value, 2, bytes)
    }
    default:
      return null
  }
}

interface Parts {
  readonly parts: Buffer[]
  /** All of them were in order. */
  readonly isSame: boolean
}

/** The parts of a collection, put into order by `first` and `second` in turn. */
function split(bytes: Buffer, step: number, first: Normalizer | null, second: Normalizer | null): Parts {
  const count = bytes.readInt32BE(0) * step
  const parts = new Array<Buffer>(count)
  let isSame = true
  let at = 4
  for (let i = 0; i < count; i++) {
    const start = at + 4
    at = start + bytes.readInt32BE(at)
    const part = bytes.subarray(start, at)
    const normalize = i % step === 0 ? first : second
    parts[i] = normalize === null ? part : normalize(part)
    if (parts[i] !== part) isSame = false
  }
  return { parts, isSame }
}

function normalizeList(element: Normalizer, bytes: Buffer): Buffer {
  const { parts, isSame } = split(bytes, 1, element, null)
  return isSame ? bytes : joined(parts.length, parts)
}

function normalizeSorted(
  type: CqlType,
  first: Normalizer | null,
  second: Normalizer | null,
  step: 1 | 2,
  bytes: Buffer,
): Buffer {
  if (first === null && second === null && bytes.readInt32BE(0) < 2) return bytes
  const { parts, isSame } = split(bytes, step, first, second)
  let ascends = true
  for (let i = step; i < parts.length && ascends; i += step) ascends = compare(type, parts[i - step]!, parts[i]!) < 0
  if (ascends && isSame) return bytes
  const unique = ascends ? parts : uniqueOf(parts, step, (a, b) => compare(type, a, b))
  return joined(unique.length / step, unique)
}
