/**
 * Timestamps: milliseconds since 1970 as text. Source: CQL 3.4.7 "Working with timestamps"; which texts are taken, and which dates are bent
 * to the end of the month, as Apache Cassandra 5.0.6. Without a zone a text is UTC.
 */
import { invalid, RequestError } from '../base/errors.ts'
import { civilOf, daysInMonth, daysOf, twoDigits, yearText } from './calendar.ts'
import { isInteger, Scanner } from './scanner.ts'
import { offsetOfZone, type ZoneOffset } from './zone.ts'

const MS_PER_DAY = 86_400_000
const LONG_MAX = 2n ** 63n - 1n
const LONG_MIN = -(2n ** 63n)

/** Milliseconds of a text: digits, `now`, a date, or a date and time, with or without a zone. Throws INVALID. */
export function parseTimestamp(text: string, nowMs: () => number): bigint {
  if (text.length === 3 && text.toLowerCase() === 'now') return BigInt(nowMs())
  if (isInteger(text, '-')) {
    const value = BigInt(text)
    if (value > LONG_MAX || value < LONG_MIN) throw invalid(`Unable to make long (for date) from: '${text}'`)
    return value
  }
  const value = parseDateTime(text) ?? parseDateOnly(text)
  if (value === null) throw invalid(`Unable to parse a date/time from '${text}'`)
  return value
}

/** year-month-day, then T or a blank, hour:minute[:second[.fraction]], then a zone. Numbers need no padding. */
function parseDateTime(text: string): bigint | null {
  const scanner = new Scanner(text)
  const year = scanner.digits()
  if (year === '' || !scanner.accept('-')) return null
  const month = scanner.digits()
  if (month === '' || !scanner.accept('-')) return null
  const day = scanner.digits()
  if (day === '' || !(scanner.accept('T') || scanner.accept(' '))) return null
  const hour = scanner.digits()
  if (hour === '' || !scanner.accept(':')) return null
  const minute = scanner.digits()
  if (minute === '') return null
  let second = '0'
  let fraction = ''
  if (scanner.accept(':')) {
    second = scanner.digits()
    if (second === '') return null
    if (scanner.accept('.')) {
      fraction = scanner.digits()
      if (fraction.length > 9) return null
    }
  }
  if (Number(year) < 1) return null
  const days = daysOrNull(Number(year), Number(month), Number(day))
  const ms = msOfDay(Number(hour), Number(minute), Number(second), fraction)
  const offset = parseZone(scanner)
  if (days === null || ms === null || offset === null) return null
  return atOffset(days, ms, offset)
}

/** Four digits of year (or a sign and more), two of month and day, then a zone. */
function parseDateOnly(text: string): bigint | null {
  const scanner = new Scanner(text)
  const negative = scanner.accept('-')
  const signed = negative || scanner.accept('+')
  const year = scanner.digits()
  if (year.length < 4 || year.length > 10 || (!signed && year.length > 4)) return null
  if (signed && !negative && year.length === 4) return null
  if (!scanner.accept('-')) return null
  const month = scanner.digits(2)
  if (month.length < 2 || !scanner.accept('-')) return null
  const day = scanner.digits(2)
  if (day.length < 2) return null
  const days = daysOrNull(negative ? -Number(year) : Number(year), Number(month), Number(day))
  const offset = parseZone(scanner)
  if (days === null || offset === null) return null
  return atOffset(days, 0, offset)
}

/** Days past a month's end, up to 31, are its last day. */
function daysOrNull(year: number, month: number, day: number): number | null {
  if (month < 1 || month > 12 || day < 1 || day > 31) return null
  return daysOf(year, month, Math.min(day, daysInMonth(year, month)))
}

/** 24:00 is the end of the day. */
function msOfDay(hour: number, minute: number, second: number, fraction: string): number | null {
  const ms = Number(fraction.padEnd(3, '0').slice(0, 3))
  if (hour === 24) return minute === 0 && second === 0 && Number(fraction) === 0 ? MS_PER_DAY : null
  if (hour > 23 || minute > 59 || second > 59) return null
  return ((hour * 60 + minute) * 60 + second) * 1000 + ms
}

function parseZone(scanner: Scanner): ZoneOffset | null {
  if (scanner.done()) return 0
  const blank = scanner.accept(' ')
  return offsetOfZone(scanner.rest(), blank)
}

function atOffset(days: number, ms: number, offset: ZoneOffset): bigint {
  const local = BigInt(days) * BigInt(MS_PER_DAY) + BigInt(ms)
  const value = local - BigInt(typeof offset === 'number' ? offset : offset(Number(local)))
  // Java's addition overflows there, and nobody catches it.
  if (value > LONG_MAX || value < LONG_MIN)
    throw new RequestError('SERVER_ERROR', 'java.lang.ArithmeticException: long overflow')
  return value
}

/** Date and time of milliseconds that need not fit a JavaScript Date. */
export function civilTimestamp(ms: bigint): { days: number; msOfDay: number } {
  const remainder = Number(ms % BigInt(MS_PER_DAY))
  const msOfDay = remainder < 0 ? remainder + MS_PER_DAY : remainder
  return { days: Number((ms - BigInt(msOfDay)) / BigInt(MS_PER_DAY)), msOfDay }
}

/** `2024-02-29T12:34:56.789Z`; `separator` is the character between date and time. */
export function timestampText(ms: bigint, separator: 'T' | ' '): string {
  const { days, msOfDay } = civilTimestamp(ms)
  const { year, month, day } = civilOf(days)
  const clock = [Math.floor(msOfDay / 3_600_000), Math.floor(msOfDay / 60_000) % 60, Math.floor(msOfDay / 1000) % 60]
  const time = `${clock.map(twoDigits).join(':')}.${String(msOfDay % 1000).padStart(3, '0')}`
  // Java's pattern yyyy counts the years of an era: 1 BC and 1 AD are both 0001.
  const yearOfEra = year > 0 ? year : 1 - year
  return `${yearText(yearOfEra)}-${twoDigits(month)}-${twoDigits(day)}${separator}${time}Z`
}
