/**
 * Arithmetic of decimals. Source: java.math.BigDecimal, with the precision and scale rules of Cassandra 5.0.6: 10,000 digits at most, quotients of
 * at least 32 digits, trailing zeros of quotients removed.
 */
import type { Decimal } from '../../types/number.ts'
import { digitCount, divideRounded, powerOfTen } from './numbers.ts'

const PRECISION_MAX = 10_000
const QUOTIENT_DIGITS_MIN = 32
const SCALE_MAX = 1000

export function addDecimals(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale)
  // So far apart that the smaller cannot be seen in the digits that are kept.
  const gap = magnitude(a) - magnitude(b)
  if (a.unscaled !== 0n && b.unscaled !== 0n && Math.abs(gap) > PRECISION_MAX + 2) return padded(gap > 0 ? a : b)
  if (a.unscaled === 0n && scale - b.scale > PRECISION_MAX) return b
  if (b.unscaled === 0n && scale - a.scale > PRECISION_MAX) return a
  return rounded({
    unscaled: a.unscaled * powerOfTen(scale - a.scale) + b.unscaled * powerOfTen(scale - b.scale),
    scale,
  })
}

/** Position of the first digit: 1 for 1 to 9.9…, 0 for 0.1 to 0.99…. */
function magnitude(value: Decimal): number {
  return digitCount(value.unscaled) - value.scale
}

function padded(value: Decimal): Decimal {
  const zeros = PRECISION_MAX - digitCount(value.unscaled)
  return { unscaled: value.unscaled * powerOfTen(Math.max(zeros, 0)), scale: value.scale + Math.max(zeros, 0) }
}

/** At most 10,000 digits. */
function rounded(value: Decimal): Decimal {
  const excess = digitCount(value.unscaled) - PRECISION_MAX
  if (excess <= 0) return value
  return { unscaled: divideRounded(value.unscaled, powerOfTen(excess), 'up'), scale: value.scale - excess }
}

export function negateDecimal(value: Decimal): Decimal {
  return { unscaled: -value.unscaled, scale: value.scale }
}

export function multiplyDecimals(a: Decimal, b: Decimal): Decimal {
  return rounded({ unscaled: a.unscaled * b.unscaled, scale: a.scale + b.scale })
}

/** The divisor is not zero. */
export function divideDecimals(a: Decimal, b: Decimal): Decimal {
  const firstDigit = magnitude(a) - magnitude(b)
  const wanted = Math.max(QUOTIENT_DIGITS_MIN - firstDigit, a.scale, b.scale, QUOTIENT_DIGITS_MIN)
  return withoutTrailingZeros(divideToScale(a, b, Math.min(wanted, SCALE_MAX), 'up'))
}

/** The quotient with so many digits after the point. */
export function divideToScale(a: Decimal, b: Decimal, scale: number, halves: 'up' | 'even'): Decimal {
  const shift = scale + b.scale - a.scale
  const dividend = shift > 0 ? a.unscaled * powerOfTen(shift) : a.unscaled
  const divisor = shift < 0 ? b.unscaled * powerOfTen(-shift) : b.unscaled
  return { unscaled: divideRounded(dividend, divisor, halves), scale }
}

/** BigDecimal.stripTrailingZeros: zero has the scale 0. */
function withoutTrailingZeros(value: Decimal): Decimal {
  if (value.unscaled === 0n) return { unscaled: 0n, scale: 0 }
  const zeros = trailingZeros(value.unscaled)
  return { unscaled: value.unscaled / powerOfTen(zeros), scale: value.scale - zeros }
}

/** Of a number that is not zero. */
function trailingZeros(value: bigint): number {
  const digits = value.toString()
  let zeros = 0
  while (digits.charCodeAt(digits.length - 1 - zeros) === 48) zeros += 1
  return zeros
}

/** Of the sign of the dividend; its scale is that of dividend − quotient · divisor, the quotient written with as few digits as Java gives it. */
export function remainderOfDecimals(a: Decimal, b: Decimal): Decimal {
  const common = Math.max(a.scale, b.scale)
  const dividend = a.unscaled * powerOfTen(common - a.scale)
  const divisor = b.unscaled * powerOfTen(common - b.scale)
  const quotient = dividend / divisor
  if (quotient === 0n) return a
  const preferred = a.scale - b.scale
  const quotientScale = preferred >= 0 ? preferred : Math.max(preferred, -trailingZeros(quotient))
  const scale = Math.max(a.scale, quotientScale + b.scale)
  return { unscaled: (dividend % divisor) / powerOfTen(common - scale), scale }
}

/** A whole number, halves away from zero. */
export function roundDecimal(value: Decimal): Decimal {
  if (value.scale <= 0) return { unscaled: value.unscaled * powerOfTen(-value.scale), scale: 0 }
  if (value.scale > digitCount(value.unscaled)) return { unscaled: 0n, scale: 0 }
  return { unscaled: divideRounded(value.unscaled, powerOfTen(value.scale), 'up'), scale: 0 }
}
