/**
 * UUIDs: text, and the timestamps of version 1. Source: RFC 9562; bounds of a timestamp's timeuuids as Cassandra's min_timeuuid and max_timeuuid.
 */

/** 16 bytes of `123e4567-e89b-12d3-a456-426614174000` (any case); null when the text is none. */
export function parseUuid(text: string): Buffer | null {
  if (text.length !== 36 || text[8] !== '-' || text[13] !== '-' || text[18] !== '-' || text[23] !== '-') return null
  const digits = text.replaceAll('-', '')
  if (digits.length !== 32) return null
  const bytes = Buffer.from(digits, 'hex')
  return bytes.length === 16 ? bytes : null
}

/** The 16 bytes of a text that is known to be a UUID. */
export function uuidBytes(text: string): Buffer {
  return Buffer.from(text.replaceAll('-', ''), 'hex')
}

export function uuidText(bytes: Buffer): string {
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

export function uuidVersion(bytes: Buffer): number {
  return bytes[6]! >>> 4
}

/** Makes 16 bytes of chance or of a hash a UUID of that version. */
export function stampUuid(bytes: Buffer, version: number): Buffer {
  bytes[6] = (bytes[6]! & 0x0f) | (version << 4)
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return bytes
}

/** 100 ns intervals from the start of the Gregorian calendar, 1582-10-15, to 1970. */
const GREGORIAN_INTERVALS = 0x01b21dd213814000n

/** 100 ns intervals since 1970 of a version 1 UUID. */
function timeuuidIntervals(bytes: Buffer): bigint {
  const high = BigInt(bytes.readUInt16BE(6) & 0xfff)
  return ((high << 48n) | (BigInt(bytes.readUInt16BE(4)) << 32n) | BigInt(bytes.readUInt32BE(0))) - GREGORIAN_INTERVALS
}

/** Milliseconds since 1970 of a version 1 UUID, rounded down. */
export function timeuuidMillis(bytes: Buffer): bigint {
  const intervals = timeuuidIntervals(bytes)
  const millis = intervals / 10_000n
  return intervals < 0n && intervals % 10_000n !== 0n ? millis - 1n : millis
}

/** A version 1 UUID of 100 ns intervals since 1970 and the last eight bytes (variant, clock sequence, node) as they are. */
export function timeuuidOf(intervals: bigint, tail: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(16)
  const value = BigInt.asUintN(64, intervals + GREGORIAN_INTERVALS)
  bytes.writeUInt32BE(Number(value & 0xffffffffn), 0)
  bytes.writeUInt16BE(Number((value >> 32n) & 0xffffn), 4)
  bytes.writeUInt16BE(Number((value >> 48n) & 0x0fffn) | 0x1000, 6)
  tail.copy(bytes, 8, 0, 8)
  return bytes
}

/** Makes 8 bytes of chance the last ones of a version 1 UUID; the node's multicast bit says that it is nobody's address (RFC 9562 §6.10). */
export function stampTail(tail: Buffer): Buffer {
  tail[0] = (tail[0]! & 0x3f) | 0x80
  tail[2] = tail[2]! | 0x01
  return tail
}
