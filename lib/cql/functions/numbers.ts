/**
 * The nine numeric types as numbers to calculate with, and Java's conversions between them.
 * Source: java.lang.Number (narrowing cuts bits of whole numbers, and stops floating ones at the ends), BigDecimal; as Apache Cassandra 5.0.6 uses them.
 */
import { RequestError } from '../../base/errors.ts'
import { type Decimal, decodeDecimal, decodeVarint, encodeDecimal, encodeVarint } from '../../types/number.ts'
import { decimalText, doubleText, parseDecimal } from '../../types/number-text.ts'
import type { NativeTypeName } from '../../types/type.ts'

/** Java writes every NaN as this one; the processor's own differ in their sign. */
const FLOAT_NAN = 0x7fc00000
const DOUBLE_NAN = 0x7ff8000000000000n

export type NumericTypeName =
  | 'tinyint'
  | 'smallint'
  | 'int'
  | 'bigint'
  | 'counter'
  | 'varint'
  | 'float'
  | 'double'
  | 'decimal'

export const NUMERIC_TYPES: readonly NumericTypeName[] = [
  'tinyint',
  'smallint',
  'int',
  'bigint',
  'counter',
  'varint',
  'float',
  'double',
  'decimal',
]

export function isNumeric(name: NativeTypeName): name is NumericTypeName {
  return (NUMERIC_TYPES as readonly string[]).includes(name)
}

/** Whole numbers are bigint, floating ones number. */
export type Numeric = bigint | number | Decimal

/** Bits of a whole type; 0 for varint. */
export function bitsOf(name: NumericTypeName): number {
  switch (name) {
    case 'tinyint':
      return 8
    case 'smallint':
      return 16
    case 'int':
      return 32
    case 'bigint':
    case 'counter':
      return 64
    default:
      return 0
  }
}

export function decodeNumber(name: NumericTypeName, bytes: Buffer): Numeric {
  switch (name) {
    case 'float':
      return bytes.readFloatBE(0)
    case 'double':
      return bytes.readDoubleBE(0)
    case 'decimal':
      return decodeDecimal(bytes)
    default:
      return decodeVarint(bytes)
  }
}

/** The number as a value of the type, converted as Java's Number does. */
export function encodeNumber(name: NumericTypeName, value: Numeric): Buffer {
  switch (name) {
    case 'tinyint':
    case 'smallint':
    case 'int': {
      const bits = bitsOf(name)
      const bytes = Buffer.allocUnsafe(bits / 8)
      bytes.writeIntBE(Number(BigInt.asIntN(bits, toInt(value))), 0, bits / 8)
      return bytes
    }
    case 'bigint':
    case 'counter': {
      const bytes = Buffer.allocUnsafe(8)
      bytes.writeBigInt64BE(toLong(value))
      return bytes
    }
    case 'varint':
      return encodeVarint(typeof value === 'bigint' ? value : toLong(value))
    case 'float': {
      const bytes = Buffer.allocUnsafe(4)
      const float = toDouble(value)
      if (Number.isNaN(float)) bytes.writeInt32BE(FLOAT_NAN)
      else bytes.writeFloatBE(float)
      return bytes
    }
    case 'double': {
      const bytes = Buffer.allocUnsafe(8)
      const double = toDouble(value)
      if (Number.isNaN(double)) bytes.writeBigInt64BE(DOUBLE_NAN)
      else bytes.writeDoubleBE(double)
      return bytes
    }
    case 'decimal':
      return encodeDecimal(toDecimal(value))
  }
}

/** Number.intValue */
export function toInt(value: Numeric): bigint {
  if (typeof value === 'number') return saturate(value, -2147483648n, 2147483647n)
  return BigInt.asIntN(32, typeof value === 'bigint' ? value : wholeLow64(value))
}

/** Number.longValue */
export function toLong(value: Numeric): bigint {
  if (typeof value === 'number') return saturate(value, -(2n ** 63n), 2n ** 63n - 1n)
  return BigInt.asIntN(64, typeof value === 'bigint' ? value : wholeLow64(value))
}

function saturate(value: number, low: bigint, high: bigint): bigint {
  if (Number.isNaN(value)) return 0n
  if (value >= Number(high)) return high
  return value <= Number(low) ? low : BigInt(Math.trunc(value))
}

/** The whole part of a decimal as far as 64 bits can tell: a multiple of 10^64 is one of 2^64. */
function wholeLow64({ unscaled, scale }: Decimal): bigint {
  if (scale <= -64) return 0n
  if (scale <= 0) return unscaled * 10n ** BigInt(-scale)
  return scale > digitCount(unscaled) ? 0n : unscaled / 10n ** BigInt(scale)
}

/** Number.doubleValue */
export function toDouble(value: Numeric): number {
  return typeof value === 'object' ? Number(decimalText(value)) : Number(value)
}

/** BigDecimal.valueOf: of a floating number its shortest digits. Callers keep NaN and the infinities out. */
export function toDecimal(value: Numeric): Decimal {
  if (typeof value === 'bigint') return { unscaled: value, scale: 0 }
  return typeof value === 'number' ? parseDecimal(doubleText(value))! : value
}

export function digitCount(value: bigint): number {
  return (value < 0n ? -value : value).toString().length
}

/** Larger powers of ten would be made only of numbers meant to make the server work. */
const POWER_MAX = 100_000

/** What nobody catches when Java's decimals overflow. */
export function overflow(): RequestError {
  return new RequestError('SERVER_ERROR', 'java.lang.ArithmeticException: Overflow')
}

/** 10^exponent. Throws SERVER_ERROR beyond what is worth computing. */
export function powerOfTen(exponent: number): bigint {
  if (exponent > POWER_MAX) throw overflow()
  return 10n ** BigInt(exponent)
}

/** The quotient rounded to the nearest, halves away from zero (`up`) or to the even neighbour. */
export function divideRounded(dividend: bigint, divisor: bigint, halves: 'up' | 'even'): bigint {
  const quotient = dividend / divisor
  const remainder = dividend % divisor
  if (remainder === 0n) return quotient
  const twice = (remainder < 0n ? -remainder : remainder) * 2n - (divisor < 0n ? -divisor : divisor)
  const away = twice > 0n || (twice === 0n && (halves === 'up' || quotient % 2n !== 0n))
  if (!away) return quotient
  return dividend < 0n === divisor < 0n ? quotient + 1n : quotient - 1n
}
