/**
 * How vectors lie in bytes: elements of fixed length one after another; others each after its length, an unsigned vint.
 * Source: Cassandra 5's vector type.
 */
import type { CqlType } from './type.ts'
import { readUnsignedVint } from './vint.ts'

/**
 * Bytes of every value of the type where Cassandra counts it as of fixed length, else -1. That list is shorter than one would think:
 * smallint, tinyint, date and time are not in it.
 */
export function fixedLength(type: CqlType): number {
  if (type.kind === 'vector') {
    const element = fixedLength(type.element)
    return element < 0 ? -1 : element * type.dimension
  }
  if (type.kind !== 'native') return -1
  switch (type.name) {
    case 'boolean':
      return 1
    case 'int':
    case 'float':
      return 4
    case 'bigint':
    case 'double':
    case 'timestamp':
      return 8
    case 'uuid':
    case 'timeuuid':
      return 16
    default:
      return -1
  }
}

/** The length before a vector's element; null when the bytes end early or it is more than 2^31 - 1. */
export function readVectorLength(
  bytes: Buffer,
  at: number,
  end = bytes.length,
): { length: number; size: number } | null {
  const read = readUnsignedVint(bytes, at, end)
  if (read === null || read.value > 0x7fffffffn) return null
  return { length: Number(read.value), size: read.size }
}
