/**
 * Durations: months, days and nanoseconds, each counted by itself, as three vints.
 * Source: CQL 3.4.7 "Working with durations"; native_protocol_v5.spec §6.10; messages as Cassandra 5.0.6.
 * Always: the three are all >= 0 or all <= 0; months and days fit 32 bits, nanoseconds 64.
 */
import { ByteWriter } from '../base/bytes.ts'
import { invalid } from '../base/errors.ts'
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
