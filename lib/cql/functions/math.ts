/**
 * abs, exp, log, log10, round: each of every numeric type, giving the same type. Source: CQL 3.4.7 "Math functions"; Java's Math and
 * Cassandra 5.0.6 for what happens at the ends.
 */
import { RequestError } from '../../base/errors.ts'
import { NATIVE } from '../../types/names.ts'
import { expDecimal, log10Decimal, logDecimal } from './decimal-functions.ts'
import { negateDecimal, roundDecimal } from './decimals.ts'
import type { ScalarFunction } from './function.ts'
import { scalar } from './make.ts'
import {
  bitsOf,
  decodeNumber,
  encodeNumber,
  NUMERIC_TYPES,
  type Numeric,
  type NumericTypeName,
  toDecimal,
  toInt,
  toLong,
} from './numbers.ts'
import { madeNaN } from './operators.ts'

export function mathFunctions(): ScalarFunction[] {
  return NUMERIC_TYPES.flatMap((name) => {
    const type = NATIVE[name]
    const of = (called: string, run: (value: Numeric) => Numeric): ScalarFunction =>
      scalar(called, [type], type, (bytes) => {
        const value = decodeNumber(name, bytes)
        const result = run(value)
        const isNew = typeof result === 'number' && Number.isNaN(result) && !Number.isNaN(value as number)
        return isNew && (name === 'float' || name === 'double') ? madeNaN(name) : encodeNumber(name, result)
      })
    return [
      of('abs', abs),
      of('exp', (value) => ofReal(name, value, Math.exp, expDecimal)),
      of('log', (value) => ofReal(name, value, Math.log, positive(logDecimal, 'Natural log of number zero or less'))),
      of('log10', (value) => ofReal(name, value, Math.log10, positive(log10Decimal, 'Log10 of number zero or less'))),
      of('round', (value) => round(name, value)),
    ]
  })
}

function abs(value: Numeric): Numeric {
  if (typeof value === 'number') return Math.abs(value)
  if (typeof value === 'bigint') return value < 0n ? -value : value
  return value.unscaled < 0n ? negateDecimal(value) : value
}

type Decimal = ReturnType<typeof toDecimal>

/** Types that have no bounds are calculated in decimals, the others in doubles; whole ones are then cut. */
function ofReal(
  name: NumericTypeName,
  value: Numeric,
  run: (value: number) => number,
  runDecimal: (value: Decimal) => Decimal,
): Numeric {
  if (typeof value === 'object') return runDecimal(value)
  if (name === 'varint') {
    const { unscaled, scale } = runDecimal(toDecimal(value))
    return scale > 0 ? unscaled / 10n ** BigInt(scale) : unscaled * 10n ** BigInt(-scale)
  }
  const result = run(Number(value))
  if (typeof value === 'number') return result
  return bitsOf(name) === 64 ? toLong(result) : toInt(result)
}

/** Nobody catches what the decimal library throws. */
function positive(run: (value: Decimal) => Decimal, message: string): (value: Decimal) => Decimal {
  return (value) => {
    if (value.unscaled <= 0n) throw new RequestError('SERVER_ERROR', `java.lang.ArithmeticException: ${message}`)
    return run(value)
  }
}

/** Math.round: halves up, NaN is 0, and no further than an int (float) or a long (double). */
function round(name: NumericTypeName, value: Numeric): Numeric {
  if (typeof value === 'bigint') return value
  if (typeof value === 'object') return roundDecimal(value)
  const up = Math.floor(value + 0.5)
  // Adding a half to the number just below a half rounds up to one.
  const nearest = up - value > 0.5 ? up - 1 : up
  return Number(name === 'float' ? toInt(nearest) : toLong(nearest))
}
