/**
 * Functions of time and of UUIDs. Source: CQL 3.4.7 "Timeuuid functions", "Datetime functions"; RFC 9562 for the UUIDs.
 */
import { invalid } from '../../base/errors.ts'
import { stampTail, stampUuid, timeuuidMillis, timeuuidOf } from '../../base/uuid.ts'
import { addMonths } from '../../types/calendar.ts'
import { DATE_EPOCH } from '../../types/date-time.ts'
import { type Duration, decodeDuration, durationText } from '../../types/duration.ts'
import { NATIVE } from '../../types/names.ts'
import { civilTimestamp } from '../../types/timestamp.ts'
import type { NativeType } from '../../types/type.ts'
import type { FunctionContext, ScalarFunction } from './function.ts'
import { scalar, source } from './make.ts'

const MS_PER_DAY = 86_400_000
const NANOS_PER_MS = 1_000_000n

export function timeFunctions(): ScalarFunction[] {
  const { timestamp, date, time, timeuuid, uuid, bigint } = NATIVE
  const functions: ScalarFunction[] = [source('now', timeuuid, newTimeuuid), source('uuid', uuid, newUuid)]
  const sources: readonly (readonly [string, NativeType, (context: FunctionContext) => Buffer])[] = [
    ['timestamp', timestamp, (context) => int64(BigInt(wallMillis(context)))],
    ['date', date, (context) => dateOfMillis(BigInt(wallMillis(context)))],
    ['time', time, (context) => int64(BigInt(wallMillis(context) % MS_PER_DAY) * NANOS_PER_MS)],
    ['timeuuid', timeuuid, newTimeuuid],
  ]
  for (const [name, type, run] of sources)
    for (const prefix of ['current', 'current_']) functions.push(source(prefix + name, type, run))

  for (const [name, intervals, tail] of [
    ['min', 0n, '8080808080808080'],
    ['max', 9999n, '7f7f7f7f7f7f7f7f'],
  ] as const)
    for (const separator of ['', '_'])
      functions.push(
        scalar(`${name}${separator}timeuuid`, [timestamp], timeuuid, (bytes) =>
          timeuuidOf(bytes.readBigInt64BE(0) * 10_000n + intervals, Buffer.from(tail, 'hex')),
        ),
      )

  for (const separator of ['', '_']) {
    const name = (words: string): string => words.replaceAll('_', separator)
    functions.push(
      scalar(name('to_date'), [timestamp], date, (bytes) => dateOfMillis(bytes.readBigInt64BE(0))),
      scalar(name('to_date'), [timeuuid], date, (bytes) => dateOfMillis(timeuuidMillis(bytes))),
      scalar(name('to_timestamp'), [date], timestamp, (bytes) => int64(millisOfDate(bytes))),
      scalar(name('to_timestamp'), [timeuuid], timestamp, (bytes) => int64(timeuuidMillis(bytes))),
      scalar(name('to_unix_timestamp'), [date], bigint, (bytes) => int64(millisOfDate(bytes))),
      scalar(name('to_unix_timestamp'), [timestamp], bigint, (bytes) => bytes),
      scalar(name('to_unix_timestamp'), [timeuuid], bigint, (bytes) => int64(timeuuidMillis(bytes))),
    )
  }
  return functions.concat(floorFunctions())
}

function wallMillis(context: FunctionContext): number {
  return Math.floor(context.wallMicros() / 1000)
}

/** Microseconds of the wall clock; clock sequence and node of chance, the node's multicast bit set (RFC 9562 §6.10). */
function newTimeuuid(context: FunctionContext): Buffer {
  const tail = stampTail(context.randomBytes(Buffer.allocUnsafe(8)))
  // The tenths of a microsecond are of chance too: two calls in one microsecond then keep apart more often.
  return timeuuidOf(BigInt(context.wallMicros()) * 10n + BigInt(tail[1]! % 10), tail)
}

function newUuid(context: FunctionContext): Buffer {
  return stampUuid(context.randomBytes(Buffer.allocUnsafe(16)), 4)
}

function int64(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigInt64BE(BigInt.asIntN(64, value))
  return bytes
}

/** The day of a timestamp, cut to what a date can hold. */
export function dateOfMillis(ms: bigint): Buffer {
  return dateBytes(civilTimestamp(ms).days)
}

function dateBytes(days: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE((days + DATE_EPOCH) >>> 0)
  return bytes
}

export function millisOfDate(stored: Buffer): bigint {
  return BigInt(stored.readUInt32BE(0) - DATE_EPOCH) * BigInt(MS_PER_DAY)
}

function floorFunctions(): ScalarFunction[] {
  const { timestamp, date, time, timeuuid, duration } = NATIVE
  const start = (bytes: Buffer | undefined): bigint => (bytes === undefined ? 0n : bytes.readBigInt64BE(0))
  return [
    ...[
      [timestamp, duration],
      [timestamp, duration, timestamp],
    ].map((types) =>
      scalar('floor', types, timestamp, (value, size, from) =>
        int64(floorMillis(value.readBigInt64BE(0), decodeDuration(size!), start(from))),
      ),
    ),
    ...[
      [timeuuid, duration],
      [timeuuid, duration, timestamp],
    ].map((types) =>
      scalar('floor', types, timestamp, (value, size, from) =>
        int64(floorMillis(timeuuidMillis(value), decodeDuration(size!), start(from))),
      ),
    ),
    ...[
      [date, duration],
      [date, duration, date],
    ].map((types) =>
      scalar('floor', types, date, (value, size, from) => {
        const by = decodeDuration(size!)
        if (by.nanoseconds !== 0n)
          throw invalid(
            `The floor on date values cannot be computed for the ${durationText(by)} duration as precision is below 1 day`,
          )
        return dateOfMillis(floorMillis(millisOfDate(value), by, from === undefined ? 0n : millisOfDate(from)))
      }),
    ),
    scalar('floor', [time, duration], time, (value, size) => int64(floorTime(value.readBigInt64BE(0), size!))),
  ]
}

/** The start of the last whole duration between `start` and the time. */
function floorMillis(ms: bigint, duration: Duration, start: bigint): bigint {
  if (duration.nanoseconds % NANOS_PER_MS !== 0n)
    throw invalid(
      `The floor cannot be computed for the ${durationText(duration)} duration as precision is below 1 millisecond`,
    )
  if (ms < start) throw invalid('The floor function starting time is greater than the provided time')
  if (duration.months < 0 || duration.days < 0 || duration.nanoseconds < 0n)
    throw invalid('Negative durations are not supported by the floor function')
  const stepMs = BigInt(duration.days * MS_PER_DAY) + duration.nanoseconds / NANOS_PER_MS
  if (duration.months === 0) return stepMs === 0n ? ms : ms - ((ms - start) % stepMs)
  return floorMonths(ms, start, duration.months, stepMs)
}

/** Finds the greatest count of steps that is not past the time: steps of months have no common length. */
function floorMonths(ms: bigint, start: bigint, months: number, stepMs: bigint): bigint {
  const { days, msOfDay } = civilTimestamp(start)
  const at = (count: number): bigint =>
    BigInt(addMonths(days, months * count)) * BigInt(MS_PER_DAY) + BigInt(msOfDay) + stepMs * BigInt(count)
  // No month is shorter than 28 days, so this many steps are too many.
  const shortest = BigInt(months * 28 * MS_PER_DAY) + stepMs
  let low = 0
  let high = Number((ms - start) / shortest) + 1
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (at(middle) <= ms) low = middle
    else high = middle
  }
  return at(low)
}

function floorTime(nanoseconds: bigint, size: Buffer): bigint {
  const duration = decodeDuration(size)
  if (duration.months !== 0 || duration.days !== 0)
    throw invalid('For time values, the floor can only be computed for durations smaller that a day')
  if (duration.nanoseconds < 0n) throw invalid('Negative durations are not supported by the floor function')
  return duration.nanoseconds === 0n ? nanoseconds : nanoseconds - (nanoseconds % duration.nanoseconds)
}
