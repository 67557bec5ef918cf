/**
 * The order of values: clustering columns, elements of sets and keys of maps are sorted by it, comparisons in WHERE and min and max ask it.
 * Source: the comparators of Cassandra 5.0.6, quirks included (uuid by version, time by unsigned bytes).
 * Both sides have passed `validate`. Zero bytes of a type that has no empty value of its own come before all others.
 */
import { unreachable } from '../base/assert.ts'
import { decodeDecimal, decodeVarint } from './number.ts'
import type { CqlType, NativeTypeName, VectorType } from './type.ts'
import { fixedLength, readVectorLength } from './vector.ts'

/** Operators of WHERE and IF that ask for nothing but the order of two values. */
const ORDER_OPERATORS = ['=', '!=', '<', '<=', '>', '>='] as const
export type OrderOperator = (typeof ORDER_OPERATORS)[number]

export function isOrderOperator(operator: string): operator is OrderOperator {
  return (ORDER_OPERATORS as readonly string[]).includes(operator)
}

/** Whether `a operator b` holds, where `order` is what compare(a, b) gave. */
export function holds(operator: OrderOperator, order: number): boolean {
  switch (operator) {
    case '=':
      return order === 0
    case '!=':
      return order !== 0
    case '<':
      return order < 0
    case '<=':
      return order <= 0
    case '>':
      return order > 0
    case '>=':
      return order >= 0
    default:
      return unreachable(operator)
  }
}

/** Negative, zero or positive as `a` is less than, equal to or greater than `b`. */
export function compare(type: CqlType, a: Buffer, b: Buffer): number {
  switch (type.kind) {
    case 'native':
      return compareNative(type.name, a, b)
    case 'list':
    case 'set':
      return compareElements(type.element, null, a, b)
    case 'map':
      return compareElements(type.key, type.value, a, b)
    case 'tuple':
      return compareComponents(type.elements, a, b)
    case 'udt':
      return compareComponents(type.fieldTypes, a, b)
    case 'vector':
      return compareVectors(type, a, b)
    case 'custom':
      return Buffer.compare(a, b)
    default:
      return unreachable(type)
  }
}

function compareNative(name: NativeTypeName, a: Buffer, b: Buffer): number {
  switch (name) {
    case 'ascii':
    case 'text':
    case 'blob':
    case 'inet':
    case 'date':
    case 'time':
    case 'duration':
      return Buffer.compare(a, b)
    default:
      if (a.length === 0 || b.length === 0) return a.length - b.length
  }
  switch (name) {
    case 'tinyint':
    case 'smallint':
    case 'int':
    case 'bigint':
    case 'timestamp':
    case 'counter': {
      const sign = (a[0]! ^ 0x80) - (b[0]! ^ 0x80)
      return sign !== 0 ? sign : Buffer.compare(a, b)
    }
    case 'boolean':
      return (a[0] === 0 ? 0 : 1) - (b[0] === 0 ? 0 : 1)
    case 'float':
      return compareDoubles(a.readFloatBE(0), b.readFloatBE(0))
    case 'double':
      return compareDoubles(a.readDoubleBE(0), b.readDoubleBE(0))
    case 'uuid':
      return compareUuids(a, b)
    case 'timeuuid':
      return compareTimestamps(a, b) || compareSignedBytes(a, b)
    case 'varint': {
      const [x, y] = [decodeVarint(a), decodeVarint(b)]
      return x < y ? -1 : x > y ? 1 : 0
    }
    case 'decimal':
      return compareDecimals(a, b)
    default:
      return unreachable(name)
  }
}

/** Java's Double.compare: NaN equals itself and is the greatest, -0.0 is less than 0.0. */
function compareDoubles(a: number, b: number): number {
  if (a < b) return -1
  if (a > b) return 1
  if (a === b) {
    if (a !== 0) return 0
    return (Object.is(a, -0) ? 0 : 1) - (Object.is(b, -0) ? 0 : 1)
  }
  return (Number.isNaN(a) ? 1 : 0) - (Number.isNaN(b) ? 1 : 0)
}

function compareUuids(a: Buffer, b: Buffer): number {
  const version = a[6]! >>> 4
  const byVersion = version - (b[6]! >>> 4)
  if (byVersion !== 0) return byVersion
  if (version === 1) return compareTimestamps(a, b) || a.compare(b, 8, 16, 8, 16)
  return Buffer.compare(a, b)
}

/** By the timestamp of version 1: time_hi, time_mid, time_low. */
function compareTimestamps(a: Buffer, b: Buffer): number {
  return a.compare(b, 6, 8, 6, 8) || a.compare(b, 4, 6, 4, 6) || a.compare(b, 0, 4, 0, 4)
}

function compareSignedBytes(a: Buffer, b: Buffer): number {
  for (let i = 8; i < 16; i++) {
    const difference = (a[i]! ^ 0x80) - (b[i]! ^ 0x80)
    if (difference !== 0) return difference
  }
  return 0
}

function compareDecimals(a: Buffer, b: Buffer): number {
  const x = decodeDecimal(a)
  const y = decodeDecimal(b)
  const sign = (x.unscaled > 0n ? 1 : x.unscaled < 0n ? -1 : 0) - (y.unscaled > 0n ? 1 : y.unscaled < 0n ? -1 : 0)
  if (sign !== 0 || x.unscaled === 0n) return sign
  const factor = x.unscaled < 0n ? -1 : 1
  const xDigits = x.unscaled.toString().replace('-', '')
  const yDigits = y.unscaled.toString().replace('-', '')
  const byExponent = xDigits.length - x.scale - (yDigits.length - y.scale)
  if (byExponent !== 0) return byExponent * factor
  const length = Math.max(xDigits.length, yDigits.length)
  const [l, r] = [xDigits.padEnd(length, '0'), yDigits.padEnd(length, '0')]
  return l < r ? -factor : l > r ? factor : 0
}

/** Element by element; if one ends first, it is the lesser. */
function compareElements(first: CqlType, second: CqlType | null, a: Buffer, b: Buffer): number {
  if (a.length === 0 || b.length === 0) return a.length - b.length
  const aCount = a.readInt32BE(0)
  const bCount = b.readInt32BE(0)
  const types = second === null ? [first] : [first, second]
  let aAt = 4
  let bAt = 4
  for (let i = Math.min(aCount, bCount) * types.length, which = 0; i > 0; i--, which = (which + 1) % types.length) {
    const aEnd = aAt + 4 + a.readInt32BE(aAt)
    const bEnd = bAt + 4 + b.readInt32BE(bAt)
    const result = compare(types[which]!, a.subarray(aAt + 4, aEnd), b.subarray(bAt + 4, bEnd))
    if (result !== 0) return result
    aAt = aEnd
    bAt = bEnd
  }
  return aCount - bCount
}

/** Component by component; null is the least, and components past the end are null. */
function compareComponents(types: readonly CqlType[], a: Buffer, b: Buffer): number {
  if (a.length === 0 || b.length === 0) return a.length - b.length
  let aAt = 0
  let bAt = 0
  for (const type of types) {
    const aLength = aAt < a.length ? a.readInt32BE(aAt) : -1
    const bLength = bAt < b.length ? b.readInt32BE(bAt) : -1
    aAt += 4
    bAt += 4
    if (aLength < 0 || bLength < 0) {
      if (aLength >= 0) return 1
      if (bLength >= 0) return -1
      continue
    }
    const result = compare(type, a.subarray(aAt, aAt + aLength), b.subarray(bAt, bAt + bLength))
    if (result !== 0) return result
    aAt += aLength
    bAt += bLength
  }
  return 0
}

function compareVectors(type: VectorType, a: Buffer, b: Buffer): number {
  if (a.length === 0 || b.length === 0) return a.length - b.length
  const fixed = fixedLength(type.element)
  let aAt = 0
  let bAt = 0
  for (let i = 0; i < type.dimension; i++) {
    let aLength = fixed
    let bLength = fixed
    if (fixed < 0) {
      const aRead = readVectorLength(a, aAt)!
      const bRead = readVectorLength(b, bAt)!
      aAt += aRead.size
      bAt += bRead.size
      aLength = aRead.length
      bLength = bRead.length
    }
    const result = compare(type.element, a.subarray(aAt, aAt + aLength), b.subarray(bAt, bAt + bLength))
    if (result !== 0) return result
    aAt += aLength
    bAt += bLength
  }
  return 0
}
