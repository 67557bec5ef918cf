/**
 * Numbers as text and back. Source: Java's Double.toString, Float.toString, BigDecimal(String) and BigDecimal.toString, which is what
 * Cassandra 5.0.6 shows and takes.
 */
import type { Decimal } from './number.ts'
import { Scanner } from './scanner.ts'

/** Java 17 writes at least two digits of these, the least numbers above zero. */
const DOUBLE_MIN_TEXT = '4.9E-324'
const FLOAT_MIN = 1.401298464324817e-45
const FLOAT_MIN_TEXT = '1.4E-45'

/** As Java: `1.5`, `100.0`, `1.0E7`, `NaN`, `-Infinity`. */
export function doubleText(value: number): string {
  if (Math.abs(value) === Number.MIN_VALUE) return value < 0 ? `-${DOUBLE_MIN_TEXT}` : DOUBLE_MIN_TEXT
  return javaText(value, wholeDigits(value, 53) ?? value.toExponential())
}

/** As `doubleText`, with the fewest digits that tell the float from its neighbours. */
export function floatText(value: number): string {
  if (Math.abs(value) === FLOAT_MIN) return value < 0 ? `-${FLOAT_MIN_TEXT}` : FLOAT_MIN_TEXT
  if (!Number.isFinite(value)) return javaText(value, '')
  const whole = wholeDigits(value, 24)
  if (whole !== null) return javaText(value, whole)
  for (let digits = 0; ; digits++) {
    const text = value.toExponential(digits)
    if (digits === 8 || Math.fround(Number(text)) === value) return javaText(value, text)
  }
}

/**
 * Java 17 writes whole numbers up to 2^63 with all their digits, but for those that lie below the last of `precision` bits.
 * Null for numbers that this does not change.
 */
function wholeDigits(value: number, precision: number): string | null {
  const size = Math.abs(value)
  if (!(size >= 2 ** precision && size < 2 ** 63)) return null
  let exact = BigInt(size)
  const spareBits = exact.toString(2).length - 1 - precision - 1
  const dropped = spareBits > 1 ? Math.floor(spareBits * Math.LOG10E * Math.LN2) : 0
  const unit = 10n ** BigInt(dropped)
  if (dropped > 0) exact = exact / unit + (exact % unit >= unit / 2n ? 1n : 0n)
  const digits = exact.toString()
  let end = digits.length
  while (end > 1 && digits.charCodeAt(end - 1) === 48) end -= 1
  const fraction = end > 1 ? `.${digits.slice(1, end)}` : ''
  return `${value < 0 ? '-' : ''}${digits[0]}${fraction}e+${digits.length - 1 + dropped}`
}

/** `exponential` has the digits to write: `-1.25e+7`. */
function javaText(value: number, exponential: string): string {
  if (!Number.isFinite(value)) return String(value)
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0'
  const [mantissa, power] = exponential.split('e') as [string, string]
  const exponent = Number(power)
  const sign = value < 0 ? '-' : ''
  const digits = mantissa.replace('-', '').replace('.', '')
  if (exponent < -3 || exponent >= 7) return `${sign}${digits[0]}.${digits.slice(1) || '0'}E${exponent}`
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0')
  return `${sign}${whole}.${digits.slice(exponent + 1) || '0'}`
}

const SCALE_MAX = 2147483647

/** Sign, digits with or without a point, exponent; null when the text is something else or the scale does not fit 32 bits. */
export function parseDecimal(text: string): Decimal | null {
  const scanner = new Scanner(text)
  const negative = scanner.accept('-')
  if (!negative) scanner.accept('+')
  const whole = scanner.digits()
  const fraction = scanner.accept('.') ? scanner.digits() : ''
  if (whole === '' && fraction === '') return null
  let exponent = 0
  if (scanner.accept('e') || scanner.accept('E')) {
    const down = scanner.accept('-')
    if (!down) scanner.accept('+')
    const digits = scanner.digits()
    if (digits === '' || digits.length > 12) return null
    exponent = down ? -Number(digits) : Number(digits)
  }
  if (!scanner.done()) return null
  const scale = fraction.length - exponent
  if (scale > SCALE_MAX || scale < -SCALE_MAX) return null
  const unscaled = BigInt(whole + fraction)
  return { unscaled: negative ? -unscaled : unscaled, scale }
}

/** As Java's BigDecimal: plain where the scale is not negative and the number not tiny, else with an exponent. */
export function decimalText(value: Decimal): string {
  const negative = value.unscaled < 0n
  const digits = (negative ? -value.unscaled : value.unscaled).toString()
  return (negative ? '-' : '') + unsignedDecimalText(digits, value.scale)
}

function unsignedDecimalText(digits: string, scale: number): string {
  if (scale === 0) return digits
  const exponent = digits.length - scale - 1
  if (scale > 0 && exponent >= -6) {
    const padded = digits.padStart(scale + 1, '0')
    return `${padded.slice(0, -scale)}.${padded.slice(-scale)}`
  }
  const mantissa = digits.length > 1 ? `${digits[0]}.${digits.slice(1)}` : digits
  return exponent === 0 ? mantissa : `${mantissa}E${exponent > 0 ? '+' : ''}${exponent}`
}

/** Java's Double.parseDouble: blanks around, a sign, NaN, Infinity or a decimal number with or without a letter d or f; null for other texts. */
export function parseDouble(text: string): number | null {
  let body = text.trim()
  const last = body.at(-1)
  if (last !== undefined && 'dDfF'.includes(last)) body = body.slice(0, -1)
  const unsigned = body.startsWith('-') || body.startsWith('+') ? body.slice(1) : body
  if (unsigned === 'NaN') return Number.NaN
  if (unsigned === 'Infinity') return body.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  return isDecimalNumber(unsigned) ? Number(body) : null
}

function isDecimalNumber(text: string): boolean {
  const scanner = new Scanner(text)
  const whole = scanner.digits()
  const fraction = scanner.accept('.') ? scanner.digits() : ''
  if (whole === '' && fraction === '') return false
  if (scanner.accept('e') || scanner.accept('E')) {
    if (!scanner.accept('-')) scanner.accept('+')
    if (scanner.digits() === '') return false
  }
  return scanner.done()
}
