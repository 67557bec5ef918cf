/**
 * Arithmetic: + - * / % between all numeric types, + of texts, + and - of a duration to timestamps and dates, and the minus sign.
 * Source: CQL 3.4.7 "Arithmetic Operators"; the result's type, scale and errors as Apache Cassandra 5.0.6.
 */
import { unreachable } from '../../base/assert.ts'
import { RequestError } from '../../base/errors.ts'
import { addMonths } from '../../types/calendar.ts'
import { DATE_EPOCH } from '../../types/date-time.ts'
import { type Duration, decodeDuration, durationText } from '../../types/duration.ts'
import { NATIVE } from '../../types/names.ts'
import type { Decimal } from '../../types/number.ts'
import { civilTimestamp } from '../../types/timestamp.ts'
import type { NativeType } from '../../types/type.ts'
import { addDecimals, divideDecimals, multiplyDecimals, negateDecimal, remainderOfDecimals } from './decimals.ts'
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
  toDouble,
  toLong,
} from './numbers.ts'

type Operator = '+' | '-' | '*' | '/' | '%'

const OPERATORS: readonly (readonly [string, Operator])[] = [
  ['_add', '+'],
  ['_substract', '-'],
  ['_multiply', '*'],
  ['_divide', '/'],
  ['_modulo', '%'],
]

const SYMBOLS = new Map<string, Operator>(OPERATORS)

/** The operator behind a function's name, null when it is none of two operands. */
export function operatorSymbol(name: string): Operator | null {
  return SYMBOLS.get(name) ?? null
}

/** What Java's arithmetic would have thrown. */
class ArithmeticError extends Error {}

export function operatorFunctions(): ScalarFunction[] {
  const functions: ScalarFunction[] = []
  for (const [name, operator] of OPERATORS)
    for (const left of NUMERIC_TYPES)
      for (const right of NUMERIC_TYPES) {
        const result = resultType(left, right)
        functions.push(
          operation(name, operator, NATIVE[left], NATIVE[right], NATIVE[result], (a, b) =>
            calculate(operator, result, operand(left, a, result), operand(right, b, result)),
          ),
        )
      }
  functions.push(...textFunctions(), ...temporalFunctions())
  for (const name of NUMERIC_TYPES)
    functions.push(scalar('_negate', [NATIVE[name]], NATIVE[name], (a) => negate(name, a)))
  return functions
}

/** The wider of the two; floating if either is. */
function resultType(left: NumericTypeName, right: NumericTypeName): NumericTypeName {
  const size = Math.max(sizeOf(left), sizeOf(right))
  if (isFloating(left) || isFloating(right)) return size === 4 || size < 4 ? 'float' : size === 8 ? 'double' : 'decimal'
  return size === 1 ? 'tinyint' : size === 2 ? 'smallint' : size === 4 ? 'int' : size === 8 ? 'bigint' : 'varint'
}

function isFloating(name: NumericTypeName): boolean {
  return name === 'float' || name === 'double' || name === 'decimal'
}

function sizeOf(name: NumericTypeName): number {
  if (name === 'float') return 4
  if (name === 'double') return 8
  return bitsOf(name) / 8 || Number.POSITIVE_INFINITY
}

function operation(
  name: string,
  operator: Operator,
  left: NativeType,
  right: NativeType,
  result: NativeType,
  run: (a: Buffer, b: Buffer) => Buffer,
): ScalarFunction {
  return scalar(name, [left, right], result, (a, b) => {
    try {
      return run(a, b!)
    } catch (error) {
      if (!(error instanceof ArithmeticError)) throw error
      throw new RequestError(
        'FUNCTION_FAILURE',
        `the operation '${left.name} ${operator} ${right.name}' failed: ${error.message}`,
        { keyspace: 'system', name, argumentTypes: [left.name, right.name] },
      )
    }
  })
}

/** Whole numbers, but for varint, come to decimals by way of doubles. */
function operand(type: NumericTypeName, bytes: Buffer, result: NumericTypeName): Numeric {
  const value = decodeNumber(type, bytes)
  return result === 'decimal' && typeof value === 'bigint' && type !== 'varint' ? Number(value) : value
}

function calculate(operator: Operator, result: NumericTypeName, a: Numeric, b: Numeric): Buffer {
  switch (result) {
    case 'float':
      return floating('float', operator, Math.fround(toDouble(a)), Math.fround(toDouble(b)))
    case 'double':
      return floating('double', operator, toDouble(a), toDouble(b))
    case 'decimal':
      refuseInfinite(a)
      refuseInfinite(b)
      return encodeNumber('decimal', decimals(operator, toDecimal(a), toDecimal(b)))
    default:
      return encodeNumber(result, whole(operator, result, a as bigint, b as bigint))
  }
}

function refuseInfinite(value: Numeric): void {
  if (typeof value !== 'number' || Number.isFinite(value)) return
  throw new ArithmeticError(
    Number.isNaN(value)
      ? 'A NaN cannot be converted into a decimal'
      : 'An infinite number cannot be converted into a decimal',
  )
}

function whole(operator: Operator, type: NumericTypeName, a: bigint, b: bigint): bigint {
  switch (operator) {
    case '+':
      return a + b
    case '-':
      return a - b
    case '*':
      return a * b
    default:
      if (b === 0n) throw new ArithmeticError(type === 'varint' ? 'BigInteger divide by zero' : '/ by zero')
      return operator === '/' ? a / b : a % b
  }
}

function decimals(operator: Operator, a: Decimal, b: Decimal): Decimal {
  switch (operator) {
    case '+':
      return addDecimals(a, b)
    case '-':
      return addDecimals(a, negateDecimal(b))
    case '*':
      return multiplyDecimals(a, b)
    case '/':
      if (b.unscaled === 0n) throw new ArithmeticError('BigInteger divide by zero')
      return divideDecimals(a, b)
    case '%':
      if (b.unscaled === 0n) throw new ArithmeticError(a.unscaled === 0n ? 'Division undefined' : 'Division by zero')
      return remainderOfDecimals(a, b)
    default:
      return unreachable(operator)
  }
}

function floating(type: 'float' | 'double', operator: Operator, a: number, b: number): Buffer {
  const value = floatingResult(operator, a, b)
  if (Number.isNaN(value) && !Number.isNaN(a) && !Number.isNaN(b)) return madeNaN(type)
  return encodeNumber(type, value)
}

function floatingResult(operator: Operator, a: number, b: number): number {
  switch (operator) {
    case '+':
      return a + b
    case '-':
      return a - b
    case '*':
      return a * b
    case '/':
      return a / b
    case '%':
      return a % b
    default:
      return unreachable(operator)
  }
}

/** The NaN that x86 processors make of numbers has its sign bit set, and Cassandra shows it. */
export function madeNaN(type: 'float' | 'double'): Buffer {
  return type === 'float' ? Buffer.from('ffc00000', 'hex') : Buffer.from('fff8000000000000', 'hex')
}

function negate(type: NumericTypeName, bytes: Buffer): Buffer {
  if (type === 'float' || type === 'double') {
    const copy = Buffer.from(bytes)
    copy[0] = copy[0]! ^ 0x80
    return copy
  }
  const value = decodeNumber(type, bytes)
  return encodeNumber(type, typeof value === 'bigint' ? -value : negateDecimal(toDecimal(value)))
}

function textFunctions(): ScalarFunction[] {
  const types = [NATIVE.ascii, NATIVE.text]
  return types.flatMap((left) =>
    types.map((right) =>
      scalar('_add', [left, right], left === right ? left : NATIVE.text, (a, b) => Buffer.concat([a, b!])),
    ),
  )
}

function temporalFunctions(): ScalarFunction[] {
  const functions: ScalarFunction[] = []
  for (const [name, operator, sign] of [
    ['_add', '+', 1],
    ['_substract', '-', -1],
  ] as const) {
    functions.push(
      operation(name, operator, NATIVE.timestamp, NATIVE.duration, NATIVE.timestamp, (a, b) =>
        encodeNumber('bigint', addToTimestamp(a.readBigInt64BE(0), decodeDuration(b), sign)),
      ),
      operation(name, operator, NATIVE.date, NATIVE.duration, NATIVE.date, (a, b) =>
        addToDate(a, decodeDuration(b), sign),
      ),
    )
  }
  return functions
}

const NANOS_PER_MS = 1_000_000n
const MS_PER_DAY = 86_400_000n

/** Months in the calendar of UTC, then days, then the rest. */
function addToTimestamp(ms: bigint, duration: Duration, sign: number): bigint {
  if (duration.nanoseconds % NANOS_PER_MS !== 0n)
    throw new ArithmeticError(`The duration must have a millisecond precision. Was: ${durationText(duration)}`)
  const { days, msOfDay } = civilTimestamp(ms)
  const moved = (duration.months === 0 ? days : addMonths(days, sign * duration.months)) + sign * duration.days
  const value = BigInt(moved) * MS_PER_DAY + BigInt(msOfDay) + (BigInt(sign) * duration.nanoseconds) / NANOS_PER_MS
  return toLong(value)
}

function addToDate(stored: Buffer, duration: Duration, sign: number): Buffer {
  if (duration.nanoseconds !== 0n)
    throw new ArithmeticError(`The duration must have a day precision. Was: ${durationText(duration)}`)
  const days = addMonths(stored.readUInt32BE(0) - DATE_EPOCH, sign * duration.months) + sign * duration.days
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE((days + DATE_EPOCH) >>> 0)
  return bytes
}
