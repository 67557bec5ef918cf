/**
 * Durations: months, days and nanoseconds, each counted by itself, as three vints.
 * Source: CQL 3.4.7 "Working with durations"; native_protocol_v5.spec §6.10; messages as Cassandra 5.0.6.
 * Always: the three are all >= 0 or all <= 0; months and days fit 32 bits, nanoseconds 64.
 */
import { ByteWriter } from '../base/bytes.ts'
import { invalid, RequestError } from '../base/errors.ts'
import { Scanner } from './scanner.ts'
import { readVint, writeVint } from './vint.ts'

export interface Duration {
  readonly months: number
  readonly days: number
  readonly nanoseconds: bigint
}

/** Throws INVALID when the bytes are no duration. */
export function validateDuration(bytes: Buffer): void {
  decodeDuration(bytes)
}

/** Throws INVALID when the bytes are no duration. */
export function decodeDuration(bytes: Buffer): Duration {
  if (bytes.length < 3) throw invalid(`Expected at least 3 bytes for a duration (${bytes.length})`)
  const parts: bigint[] = []
  let at = 0
  for (let i = 0; i < 3; i++) {
    const read = readVint(bytes, at)
    if (read === null) throw invalid('Not enough bytes to read a duration')
    at += read.size
    parts.push(read.value)
  }
  const [months, days, nanoseconds] = parts as [bigint, bigint, bigint]
  if (months !== BigInt.asIntN(32, months))
    throw invalid(`The duration months must be a 32 bits integer but was: ${months}`)
  if (days !== BigInt.asIntN(32, days)) throw invalid(`The duration days must be a 32 bits integer but was: ${days}`)
  const negative = months < 0n || days < 0n || nanoseconds < 0n
  if (negative && (months > 0n || days > 0n || nanoseconds > 0n))
    throw invalid(
      `The duration months, days and nanoseconds must be all of the same sign (${months}, ${days}, ${nanoseconds})`,
    )
  return { months: Number(months), days: Number(days), nanoseconds }
}

export function encodeDuration(duration: Duration): Buffer {
  const writer = new ByteWriter(27)
  writeVint(writer, BigInt(duration.months))
  writeVint(writer, BigInt(duration.days))
  writeVint(writer, duration.nanoseconds)
  return writer.copy()
}

const INT_MAX = 2147483647n
const LONG_MAX = 2n ** 63n - 1n

type Unit =
  | 'years'
  | 'months'
  | 'weeks'
  | 'days'
  | 'hours'
  | 'minutes'
  | 'seconds'
  | 'milliseconds'
  | 'microseconds'
  | 'nanoseconds'

const UNITS: readonly Unit[] = [
  'years',
  'months',
  'weeks',
  'days',
  'hours',
  'minutes',
  'seconds',
  'milliseconds',
  'microseconds',
  'nanoseconds',
]

/** What one unit adds: months, days or nanoseconds. */
const FACTORS: Readonly<Record<Unit, readonly ['months' | 'days' | 'nanoseconds', bigint]>> = {
  years: ['months', 12n],
  months: ['months', 1n],
  weeks: ['days', 7n],
  days: ['days', 1n],
  hours: ['nanoseconds', 3_600_000_000_000n],
  minutes: ['nanoseconds', 60_000_000_000n],
  seconds: ['nanoseconds', 1_000_000_000n],
  milliseconds: ['nanoseconds', 1_000_000n],
  microseconds: ['nanoseconds', 1000n],
  nanoseconds: ['nanoseconds', 1n],
}

const LIMITS = { months: INT_MAX, days: INT_MAX, nanoseconds: LONG_MAX }

const SYMBOLS = new Map<string, Unit>([
  ['y', 'years'],
  ['mo', 'months'],
  ['w', 'weeks'],
  ['d', 'days'],
  ['h', 'hours'],
  ['m', 'minutes'],
  ['s', 'seconds'],
  ['ms', 'milliseconds'],
  ['us', 'microseconds'],
  ['\u00b5s', 'microseconds'],
  ['ns', 'nanoseconds'],
])

/** Sums units that must come from the greatest to the least, each once. */
class DurationBuilder {
  readonly #sums = { months: 0n, days: 0n, nanoseconds: 0n }
  #last = -1

  add(unit: Unit, digits: string): void {
    const index = UNITS.indexOf(unit)
    if (index === this.#last) throw invalid(`Invalid duration. The ${unit} are specified multiple times`)
    if (index < this.#last) throw invalid(`Invalid duration. The ${UNITS[this.#last]} should be after ${unit}`)
    this.#last = index
    const value = BigInt(digits)
    // Java's parser of numbers throws here, and nobody catches it.
    if (value > LONG_MAX)
      throw new RequestError('SERVER_ERROR', `java.lang.NumberFormatException: For input string: "${digits}"`)
    const [part, factor] = FACTORS[unit]
    this.#sums[part] += value * factor
    // The number in the message is that of Cassandra for all three.
    if (this.#sums[part] > LIMITS[part])
      throw invalid(`Invalid duration. The total number of ${part} must be less or equal to ${INT_MAX}`)
  }

  build(negative: boolean): Duration {
    const { months, days, nanoseconds } = this.#sums
    const sign = negative ? -1 : 1
    // Adding zero keeps -0 out.
    return {
      months: Number(months) * sign + 0,
      days: Number(days) * sign + 0,
      nanoseconds: negative ? -nanoseconds : nanoseconds,
    }
  }
}

/** `1y2mo3d4h`, `P1Y2M3DT4H`, `P3W` or `P0001-02-03T04:05:06`, with a minus before all of it or not. Throws INVALID. */
export function parseDuration(text: string): Duration {
  const negative = text.startsWith('-')
  const source = negative ? text.slice(1) : text
  const builder = new DurationBuilder()
  if (!parseForm(source, builder)) throw invalid(`Unable to convert '${source}' to a duration`)
  return builder.build(negative)
}

function parseForm(source: string, builder: DurationBuilder): boolean {
  const scanner = new Scanner(source)
  if (!scanner.accept('P')) return parseUnits(scanner, builder)
  if (source.endsWith('W')) {
    const weeks = scanner.digits()
    if (weeks === '' || scanner.rest() !== 'W') return false
    builder.add('weeks', weeks)
    return true
  }
  return source.includes('-') ? parseAlternative(scanner, builder) : parseIso(scanner, builder)
}

function parseUnits(scanner: Scanner, builder: DurationBuilder): boolean {
  const parts: [Unit, string][] = []
  do {
    const digits = scanner.digits()
    if (digits === '') return false
    const two = scanner.rest().slice(0, 2).toLowerCase()
    const unit = SYMBOLS.get(two) ?? SYMBOLS.get(two.slice(0, 1))
    if (unit === undefined) return false
    scanner.at += SYMBOLS.has(two) ? two.length : 1
    parts.push([unit, digits])
  } while (!scanner.done())
  for (const [unit, digits] of parts) builder.add(unit, digits)
  return true
}

const ISO_DATE: readonly (readonly [string, Unit])[] = [
  ['Y', 'years'],
  ['M', 'months'],
  ['D', 'days'],
]
const ISO_TIME: readonly (readonly [string, Unit])[] = [
  ['H', 'hours'],
  ['M', 'minutes'],
  ['S', 'seconds'],
]

function parseIso(scanner: Scanner, builder: DurationBuilder): boolean {
  const parts: [Unit, string][] = []
  parseDesignators(scanner, ISO_DATE, parts)
  if (scanner.accept('T')) parseDesignators(scanner, ISO_TIME, parts)
  if (!scanner.done()) return false
  for (const [unit, digits] of parts) builder.add(unit, digits)
  return true
}

function parseDesignators(
  scanner: Scanner,
  designators: readonly (readonly [string, Unit])[],
  parts: [Unit, string][],
): void {
  for (const [designator, unit] of designators) {
    const start = scanner.at
    const digits = scanner.digits()
    if (digits !== '' && scanner.accept(designator)) parts.push([unit, digits])
    else scanner.at = start
  }
}

const ALTERNATIVE: readonly (readonly [Unit, number, string])[] = [
  ['years', 4, '-'],
  ['months', 2, '-'],
  ['days', 2, 'T'],
  ['hours', 2, ':'],
  ['minutes', 2, ':'],
  ['seconds', 2, ''],
]

function parseAlternative(scanner: Scanner, builder: DurationBuilder): boolean {
  const parts: [Unit, string][] = []
  for (const [unit, length, after] of ALTERNATIVE) {
    const digits = scanner.digits(length)
    if (digits.length !== length || (after !== '' && !scanner.accept(after))) return false
    parts.push([unit, digits])
  }
  if (!scanner.done()) return false
  for (const [unit, digits] of parts) builder.add(unit, digits)
  return true
}

const TIME_UNITS: readonly (readonly [string, bigint])[] = [
  ['h', 3_600_000_000_000n],
  ['m', 60_000_000_000n],
  ['s', 1_000_000_000n],
  ['ms', 1_000_000n],
  ['us', 1000n],
  ['ns', 1n],
]

/** `-1y2mo3d4h5m6s7ms8us9ns`; the duration of nothing is the empty text. */
export function durationText(duration: Duration): string {
  const months = Math.abs(duration.months)
  let text = duration.months < 0 || duration.days < 0 || duration.nanoseconds < 0n ? '-' : ''
  if (months >= 12) text += `${Math.floor(months / 12)}y`
  if (months % 12 > 0) text += `${months % 12}mo`
  if (duration.days !== 0) text += `${Math.abs(duration.days)}d`
  let rest = duration.nanoseconds < 0n ? -duration.nanoseconds : duration.nanoseconds
  for (const [symbol, size] of TIME_UNITS) {
    if (rest >= size) text += `${rest / size}${symbol}`
    rest %= size
  }
  return text
}
