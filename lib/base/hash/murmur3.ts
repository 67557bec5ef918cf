/**
 * The hash that places partitions on the ring: MurmurHash3 x64 128, seed 0, of which the first half is the token.
 * Source: Austin Appleby's MurmurHash3, with the two habits of Cassandra's Murmur3Partitioner: the last bytes (up to 15) are taken as signed,
 * and the token -2^63 becomes 2^63 - 1, because -2^63 stands for "before everything".
 * Always: no bigint and no allocation; 64-bit numbers are pairs of signed 32-bit halves.
 */

const C1_HIGH = 0x87c37b91 | 0
const C1_LOW = 0x114253d5
const C2_HIGH = 0x4cf5ad43
const C2_LOW = 0x2745937f

/** Token of bytes[start, end) into token[0] (high half) and token[1] (low half). Zero bytes have the token -2^63. */
export function murmur3Token(bytes: Uint8Array, start: number, end: number, token: Int32Array): void {
  const length = end - start
  if (length === 0) {
    token[0] = -0x80000000
    token[1] = 0
    return
  }
  let h1High = 0
  let h1Low = 0
  let h2High = 0
  let h2Low = 0
  let at = start
  // `token` also carries the product out of multiply(): the compiler inlines it and keeps the halves in registers.
  for (const last = end - 16; at <= last; at += 16) {
    let high = littleEndian(bytes, at + 4)
    let low = littleEndian(bytes, at)
    multiply(high, low, C1_HIGH, C1_LOW, token)
    high = (token[0]! << 31) | (token[1]! >>> 1)
    low = (token[1]! << 31) | (token[0]! >>> 1)
    multiply(high, low, C2_HIGH, C2_LOW, token)
    h1High ^= token[0]!
    h1Low ^= token[1]!
    high = (h1High << 27) | (h1Low >>> 5)
    low = ((h1Low << 27) | (h1High >>> 5)) >>> 0
    let sum = low + (h2Low >>> 0)
    high = (high + h2High + (sum > 0xffffffff ? 1 : 0)) | 0
    sum = (sum >>> 0) * 5 + 0x52dce729
    h1Low = sum | 0
    h1High = (Math.imul(high, 5) + Math.floor(sum / 0x100000000)) | 0

    multiply(littleEndian(bytes, at + 12), littleEndian(bytes, at + 8), C2_HIGH, C2_LOW, token)
    high = (token[1]! << 1) | (token[0]! >>> 31)
    low = (token[0]! << 1) | (token[1]! >>> 31)
    multiply(high, low, C1_HIGH, C1_LOW, token)
    h2High ^= token[0]!
    h2Low ^= token[1]!
    high = (h2High << 31) | (h2Low >>> 1)
    low = ((h2Low << 31) | (h2High >>> 1)) >>> 0
    sum = low + (h1Low >>> 0)
    high = (high + h1High + (sum > 0xffffffff ? 1 : 0)) | 0
    sum = (sum >>> 0) * 5 + 0x38495ab5
    h2Low = sum | 0
    h2High = (Math.imul(high, 5) + Math.floor(sum / 0x100000000)) | 0
  }

  if (end - at > 8) {
    signedTail(bytes, at + 8, end, token)
    multiply(token[0]!, token[1]!, C2_HIGH, C2_LOW, token)
    const high = (token[1]! << 1) | (token[0]! >>> 31)
    const low = (token[0]! << 1) | (token[1]! >>> 31)
    multiply(high, low, C1_HIGH, C1_LOW, token)
    h2High ^= token[0]!
    h2Low ^= token[1]!
  }
  if (end > at) {
    signedTail(bytes, at, Math.min(end, at + 8), token)
    multiply(token[0]!, token[1]!, C1_HIGH, C1_LOW, token)
    const high = (token[0]! << 31) | (token[1]! >>> 1)
    const low = (token[1]! << 31) | (token[0]! >>> 1)
    multiply(high, low, C2_HIGH, C2_LOW, token)
    h1High ^= token[0]!
    h1Low ^= token[1]!
  }

  h1Low ^= length
  h2Low ^= length
  let sum = (h1Low >>> 0) + (h2Low >>> 0)
  h1High = (h1High + h2High + (sum > 0xffffffff ? 1 : 0)) | 0
  h1Low = sum | 0
  sum = (h2Low >>> 0) + (h1Low >>> 0)
  h2High = (h2High + h1High + (sum > 0xffffffff ? 1 : 0)) | 0
  h2Low = sum | 0
  mix(h1High, h1Low, token)
  h1High = token[0]!
  h1Low = token[1]!
  mix(h2High, h2Low, token)
  sum = (h1Low >>> 0) + (token[1]! >>> 0)
  h1High = (h1High + token[0]! + (sum > 0xffffffff ? 1 : 0)) | 0
  h1Low = sum | 0
  if (h1High === -0x80000000 && h1Low === 0) {
    h1High = 0x7fffffff
    h1Low = -1
  }
  token[0] = h1High
  token[1] = h1Low
}

function littleEndian(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}

/** Up to 8 signed bytes, each shifted to its place with its sign, all xored together. */
function signedTail(bytes: Uint8Array, start: number, end: number, out: Int32Array): void {
  let high = 0
  let low = 0
  for (let i = end - 1; i >= start; i--) {
    const byte = (bytes[i]! << 24) >> 24
    const shift = (i - start) * 8
    if (shift >= 32) high ^= byte << (shift - 32)
    else {
      low ^= byte << shift
      high ^= shift === 0 ? byte >> 31 : byte >> (32 - shift)
    }
  }
  out[0] = high
  out[1] = low
}

/** The low 64 bits of a product. */
function multiply(aHigh: number, aLow: number, bHigh: number, bLow: number, out: Int32Array): void {
  const a0 = aLow & 0xffff
  const a1 = aLow >>> 16
  const b0 = bLow & 0xffff
  const b1 = bLow >>> 16
  const t = Math.imul(a0, b0)
  const u = (Math.imul(a1, b0) >>> 0) + (t >>> 16)
  const v = (Math.imul(a0, b1) >>> 0) + (u & 0xffff)
  out[0] = Math.imul(a1, b1) + (u >>> 16) + (v >>> 16) + Math.imul(aHigh, bLow) + Math.imul(aLow, bHigh)
  out[1] = (v << 16) | (t & 0xffff)
}

/** fmix64 of MurmurHash3. */
function mix(high: number, low: number, out: Int32Array): void {
  // x ^= x >>> 33 moves the high half's upper 31 bits onto the low half.
  multiply(high, low ^ (high >>> 1), 0xff51afd7 | 0, 0xed558ccd | 0, out)
  multiply(out[0]!, out[1]! ^ (out[0]! >>> 1), 0xc4ceb9fe | 0, 0x1a85ec53, out)
  out[1] = out[1]! ^ (out[0]! >>> 1)
}
