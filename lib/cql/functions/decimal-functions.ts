/**
 * exp, log and log10 of decimals to 32 significant digits, in whole numbers scaled by a power of ten.
 * Source: the series of e^x after halving the argument, and Newton's iteration on it for the logarithm (Brent, Zimmermann, "Modern Computer
 * Arithmetic", §4).
 */
import type { Decimal } from '../../types/number.ts'
import { digitCount, divideRounded, overflow, powerOfTen } from './numbers.ts'

const DIGITS = 32
/** Digits beyond those given, so that the last one given is right. */
const GUARD = 24

/** e^x beyond these has more digits than are worth computing. */
const EXPONENT_MAX = 100_000

/** The number as unscaled / 10^digits. */
function fixed(value: Decimal, digits: number): bigint {
  const shift = digits - value.scale
  return shift >= 0 ? value.unscaled * powerOfTen(shift) : divideRounded(value.unscaled, powerOfTen(-shift), 'even')
}

function toPrecision(unscaled: bigint, scale: number): Decimal {
  if (unscaled === 0n) return { unscaled: 0n, scale: 0 }
  const excess = digitCount(unscaled) - DIGITS
  if (excess <= 0) return { unscaled, scale }
  return { unscaled: divideRounded(unscaled, powerOfTen(excess), 'up'), scale: scale - excess }
}

export function expDecimal(value: Decimal): Decimal {
  if (value.unscaled === 0n) return { unscaled: 1n, scale: 0 }
  if (digitCount(value.unscaled) - value.scale > 6) throw overflow()
  const whole = Number(fixed(value, 0))
  if (Math.abs(whole) > EXPONENT_MAX) throw overflow()
  // A negative exponent begins with this many zeros after the point.
  const zeros = whole < 0 ? Math.ceil(-whole / Math.LN10) : 0
  const digits = DIGITS + GUARD + 2 * zeros
  return toPrecision(expFixed(fixed(value, digits), digits), digits)
}

function expFixed(x: bigint, digits: number): bigint {
  const one = powerOfTen(digits)
  let halvings = 0
  let reduced = x
  while (reduced > one / 16n || reduced < -one / 16n) {
    reduced /= 2n
    halvings += 1
  }
  let sum = one
  let term = one
  for (let i = 1n; term !== 0n; i++) {
    term = (term * reduced) / (one * i)
    sum += term
  }
  for (let i = 0; i < halvings; i++) sum = (sum * sum) / one
  return sum
}

/** The argument is greater than zero. */
export function logDecimal(value: Decimal): Decimal {
  const digits = DIGITS + 2 * GUARD
  return toPrecision(logFixed(value, digits), digits)
}

export function log10Decimal(value: Decimal): Decimal {
  const digits = DIGITS + 2 * GUARD
  const quotient = (logFixed(value, digits) * powerOfTen(digits)) / logFixed({ unscaled: 10n, scale: 0 }, digits)
  return toPrecision(quotient, digits)
}

/** ln(m × 10^e) = ln(m) + e ln(10), with m from 1 to 10. */
function logFixed(value: Decimal, digits: number): bigint {
  const exponent = digitCount(value.unscaled) - 1 - value.scale
  const mantissa = fixed({ unscaled: value.unscaled, scale: digitCount(value.unscaled) - 1 }, digits)
  const log = newton(mantissa, digits)
  return exponent === 0 ? log : log + BigInt(exponent) * newton(10n * powerOfTen(digits), digits)
}

/** y with e^y = x: each step doubles the digits that are right. */
function newton(x: bigint, digits: number): bigint {
  const one = powerOfTen(digits)
  const near = Math.log(Number(x / powerOfTen(digits - 15)) / 1e15)
  let y = BigInt(Math.round(near * 1e15)) * powerOfTen(digits - 15)
  for (let i = 0; i < 4; i++) {
    const e = expFixed(y, digits)
    y += (2n * one * (x - e)) / (x + e)
  }
  return y
}
