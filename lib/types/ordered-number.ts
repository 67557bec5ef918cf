/**
 * varint and decimal as bytes that sort as the numbers do, and can be read back without knowing where they end.
 * Equal numbers have equal bytes, so a decimal's scale is not in them: what is read back is the number with the fewest digits after the point.
 */
import type { ByteReader, ByteWriter } from '../base/bytes.ts'
import { type Decimal, decodeDecimal, decodeVarint, encodeDecimal, encodeVarint } from './number.ts'

/** The first byte tells sign and length up to here; longer numbers have 4 bytes of length after it. */
const SHORT_LENGTH = 0x7f

/** Header 0x80 + length for numbers >= 0, 0x7f - length for those below; then two's complement bytes. */
export function encodeOrderedVarint(bytes: Buffer, writer: ByteWriter): void {
  const minimal = isMinimal(bytes) ? bytes : encodeVarint(decodeVarint(bytes))
  const length = minimal.length
  const short = Math.min(length, SHORT_LENGTH)
  const negative = minimal[0]! >= 0x80
  writer.uint8(negative ? 0x7f - short : 0x80 + short)
  if (short === SHORT_LENGTH) writer.int32(negative ? ~length : length)
  writer.bytes(minimal)
}

function isMinimal(bytes: Buffer): boolean {
  if (bytes.length === 1) return true
  const first = bytes[0]!
  const sign = bytes[1]! & 0x80
  return !((first === 0 && sign === 0) || (first === 0xff && sign !== 0))
}

export function decodeOrderedVarint(reader: ByteReader, mask: number, writer: ByteWriter): void {
  const header = reader.uint8() ^ mask
  const negative = header < 0x80
  let length = negative ? 0x7f - header : header - 0x80
  if (length === SHORT_LENGTH) {
    const stored = reader.int32() ^ (mask === 0 ? 0 : -1)
    length = negative ? ~stored : stored
  }
  const at = writer.reserve(length)
  for (let i = 0; i < length; i++) writer.buffer[at + i] = reader.uint8() ^ mask
}

const NEGATIVE = 1
const ZERO = 2
const POSITIVE = 3

/** Exponents are stored in 5 bytes, above this bias: a scale of 32 bits and any number of digits fit. */
const EXPONENT_BIAS = 2 ** 39

/** Sign; exponent e of 0.d1d2… × 10^e (d1 ≠ 0); digits in pairs plus one; end 0x00. All but the sign is inverted in negative numbers. */
export function encodeOrderedDecimal(bytes: Buffer, writer: ByteWriter): void {
  const { unscaled, scale } = decodeDecimal(bytes)
  if (unscaled === 0n) {
    writer.uint8(ZERO)
    return
  }
  const negative = unscaled < 0n
  const invert = negative ? 0xff : 0
  const all = (negative ? -unscaled : unscaled).toString()
  const digits = withoutTrailingZeros(all)
  const exponent = all.length - scale + EXPONENT_BIAS
  writer.uint8(negative ? NEGATIVE : POSITIVE)
  writer.uint8(Math.floor(exponent / 0x100000000) ^ invert)
  writer.int32(((exponent % 0x100000000) | 0) ^ (negative ? -1 : 0))
  for (let i = 0; i < digits.length; i += 2) {
    const tens = digits.charCodeAt(i) - 48
    const ones = i + 1 < digits.length ? digits.charCodeAt(i + 1) - 48 : 0
    writer.uint8((tens * 10 + ones + 1) ^ invert)
  }
  writer.uint8(invert)
}

function withoutTrailingZeros(digits: string): string {
  let end = digits.length
  while (end > 1 && digits.charCodeAt(end - 1) === 48) end -= 1
  return digits.slice(0, end)
}

export function decodeOrderedDecimal(reader: ByteReader, mask: number, writer: ByteWriter): void {
  const sign = reader.uint8() ^ mask
  if (sign === ZERO) {
    writer.bytes(encodeDecimal({ unscaled: 0n, scale: 0 }))
    return
  }
  const invert = mask ^ (sign === NEGATIVE ? 0xff : 0)
  const high = reader.uint8() ^ invert
  const low = (reader.int32() ^ (invert === 0 ? 0 : -1)) >>> 0
  const exponent = high * 0x100000000 + low - EXPONENT_BIAS
  let digits = ''
  for (;;) {
    const pair = reader.uint8() ^ invert
    if (pair === 0) break
    digits += String(pair - 1).padStart(2, '0')
  }
  digits = withoutTrailingZeros(digits)
  const unscaled = BigInt(digits)
  writer.bytes(
    encodeDecimal(plain({ unscaled: sign === NEGATIVE ? -unscaled : unscaled, scale: digits.length - exponent })),
  )
}

/** Whole numbers are given without an exponent, up to as many zeros. */
const ZEROS_MAX = 40

/** A scale has 32 bits: a number that came with zeros at its end may need some of them back. */
const SCALE_MIN = -(2 ** 31)

function plain(value: Decimal): Decimal {
  if (value.scale < SCALE_MIN) return withScale(value, SCALE_MIN)
  return value.scale >= 0 || value.scale < -ZEROS_MAX ? value : withScale(value, 0)
}

/** The same number with a greater scale. */
function withScale({ unscaled, scale }: Decimal, wanted: number): Decimal {
  return { unscaled: unscaled * 10n ** BigInt(wanted - scale), scale: wanted }
}
