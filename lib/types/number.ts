/**
 * Whole numbers of any size and decimals as bytes. Source: native_protocol_v5.spec §6.17 (varint: two's complement, as few bytes as hold
 * it), §6.5 (decimal: int32 scale, then the unscaled value as a varint).
 */

/** A decimal: unscaled × 10^-scale. The scale fits 32 bits, signed. */
export interface Decimal {
  readonly unscaled: bigint
  readonly scale: number
}

/** Any two's complement bytes, leading sign bytes allowed; at least one byte. */
export function decodeVarint(bytes: Buffer): bigint {
  const length = bytes.length
  if (length <= 6) return BigInt(bytes.readIntBE(0, length))
  const magnitude = BigInt(`0x${bytes.toString('hex')}`)
  return bytes[0]! < 0x80 ? magnitude : magnitude - (1n << BigInt(8 * length))
}

/** As few bytes as hold the number and its sign. */
export function encodeVarint(value: bigint): Buffer {
  if (value >= -128n && value <= 127n) return Buffer.from([Number(value) & 0xff])
  const magnitude = value < 0n ? ~value : value
  const digits = magnitude.toString(16)
  const hex = digits.length % 2 === 0 ? digits : `0${digits}`
  const bytes = Buffer.from(hex.charCodeAt(0) >= 0x38 ? `00${hex}` : hex, 'hex')
  if (value < 0n) for (let i = 0; i < bytes.length; i++) bytes[i] = ~bytes[i]! & 0xff
  return bytes
}

/** Bytes of a decimal of at least 4 bytes; none after the scale mean zero. */
export function decodeDecimal(bytes: Buffer): Decimal {
  return { unscaled: bytes.length === 4 ? 0n : decodeVarint(bytes.subarray(4)), scale: bytes.readInt32BE(0) }
}

export function encodeDecimal(value: Decimal): Buffer {
  const unscaled = encodeVarint(value.unscaled)
  const bytes = Buffer.allocUnsafe(4 + unscaled.length)
  bytes.writeInt32BE(value.scale, 0)
  unscaled.copy(bytes, 4)
  return bytes
}
