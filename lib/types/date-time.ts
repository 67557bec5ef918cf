/**
 * date (days, unsigned, 2^31 is 1970-01-01) and time (nanoseconds of the day) as text.
 * Source: CQL 3.4.7 "Working with dates", "Working with times"; texts taken and messages as Apache Cassandra 5.0.6.
 */
import { invalid } from '../base/errors.ts'
import { dateText as civilText, daysInMonth, daysOf, twoDigits } from './calendar.ts'
import { isInteger, Scanner } from './scanner.ts'

/** What is stored for 1970-01-01. */
export const DATE_EPOCH = 2 ** 31

/** Milliseconds of days beyond this do not fit Java's long. */
const JAVA_DAYS_MAX = 106_751_991_167

const NANOS_PER_DAY = 86_400_000_000_000n

/** The stored number of `2024-02-29` or of digits. Throws INVALID. */
export function parseDate(text: string): number {
  if (isInteger(text, '-')) {
    const value = BigInt(text)
    if (value < 0n || value > 0xffffffffn) throw invalid(`Unable to make unsigned int (for date) from: '${text}'`)
    return Number(value)
  }
  const days = parseIsoDate(text)
  if (days === null || Math.abs(days) > JAVA_DAYS_MAX)
    throw invalid(`Unable to coerce '${text}' to a formatted date (long)`)
  if (days < -DATE_EPOCH)
    throw invalid(`Input date ${civilText(days)} is less than min supported date ${civilText(-DATE_EPOCH)}T00:00Z`)
  if (days >= DATE_EPOCH)
    throw invalid(
      `Input date ${civilText(days)} is greater than max supported date ${civilText(DATE_EPOCH - 1)}T00:00Z`,
    )
  return days + DATE_EPOCH
}

/** ISO 8601: four digits of year, or more with a sign; the day must exist. */
function parseIsoDate(text: string): number | null {
  const scanner = new Scanner(text)
  const negative = scanner.accept('-')
  const positive = !negative && scanner.accept('+')
  const year = scanner.digits()
  if (year.length < 4 || year.length > 9) return null
  if (positive ? year.length < 5 : !negative && year.length > 4) return null
  if (!scanner.accept('-')) return null
  const month = scanner.digits()
  if (month.length !== 2 || !scanner.accept('-')) return null
  const day = scanner.digits()
  if (day.length !== 2 || !scanner.done()) return null
  const [y, m, d] = [negative ? -Number(year) : Number(year), Number(month), Number(day)]
  if (m < 1 || m > 12 || d < 1 || d > daysInMonth(y, m)) return null
  return daysOf(y, m, d)
}

/** `2024-02-29` of a stored number. */
export function dateText(stored: number): string {
  return civilText(stored - DATE_EPOCH)
}

/** Nanoseconds of `13:14:15.123456789` or of digits. Throws INVALID. */
export function parseTime(text: string): bigint {
  if (isInteger(text, '-')) {
    const value = BigInt(text)
    if (value < 0n || value >= NANOS_PER_DAY) throw invalid(`Unable to make long (for time) from: '${text}'`)
    return value
  }
  const value = parseClock(text.trim())
  if (value === null) throw invalid(`(TimeType) Unable to coerce '${text}' to a formatted time (long)`)
  return value
}

function parseClock(text: string): bigint | null {
  const parts = text.split(':')
  if (parts.length !== 3) return null
  const [seconds, fraction] = splitOnce(parts[2]!)
  const clock = [parts[0]!, parts[1]!, seconds]
  if (!clock.every((part) => isInteger(part, '+') && part.length < 12)) return null
  const [h, m, s] = clock.map(Number) as [number, number, number]
  if (h > 23 || m > 59 || s > 59) return null
  if (fraction !== null && (!isInteger(fraction, '') || fraction.length > 9)) return null
  return BigInt((h * 60 + m) * 60 + s) * 1_000_000_000n + BigInt((fraction ?? '').padEnd(9, '0'))
}

function splitOnce(text: string): [string, string | null] {
  const dot = text.indexOf('.')
  return dot < 0 ? [text, null] : [text.slice(0, dot), text.slice(dot + 1)]
}

/** `13:14:15.123456789`, always with nine digits. */
export function timeText(nanoseconds: bigint): string {
  const seconds = Number(nanoseconds / 1_000_000_000n)
  const clock = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  return `${clock.map(twoDigits).join(':')}.${String(nanoseconds % 1_000_000_000n).padStart(9, '0')}`
}
