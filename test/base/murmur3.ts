/** Murmur3 against vectors that Apache Cassandra 5.0.6 gave, and against a slow version that follows the algorithm with bigint. */
import fc from 'fast-check'
import t from 'tap'
import { murmur3Token } from '../../lib/base/hash/murmur3.ts'

/** Key in hex and `token(key)`. */
const VECTORS: readonly (readonly [string, string])[] = [
  ['82', '7188333716680067347'],
  ['b70e', '-2897600088890940981'],
  ['ee7f1a', '2995792290281166222'],
  ['5039bef0', '2536436966116962960'],
  ['7ec2347f06', '-5321377157885710781'],
  ['6ed08f5dc751', '-125380943269022102'],
  ['2447e340430002', '2235075917652867317'],
  ['6b6e545594a06568', '-1260365401694515943'],
  ['5d64c4980bb8d4544a', '7628396245054825549'],
  ['8721a99a01ad219eb59c', '-618729354039416215'],
  ['f6a15ef6f15a1d830bb7ce', '8452414501582548595'],
  ['09d6bbc004e7175c643c7dec', '2650310639822331671'],
  ['b0b580ec37bc9712dd2e6aaeb9', '1266953152421241572'],
  ['4bae8d2f9fa29c5a284c9ef75218', '5603207880186104846'],
  ['29cf1079b080e9d74a1c10fcab6a42', '635698129112123767'],
  ['43d33656debe4c1ed79648e856e8f9a2', '-6863687070539598037'],
  ['f58c95f0ce4b39c15bffad5c2dfb8bb820', '8764646055163513509'],
  ['b6119cba8ff88796ae5b05f280a68ced93b6', '-5739694822258478747'],
  ['b28cb0d1b358e6baab485565b9f49028d557d7', '-8344524776943093396'],
  ['9a8a0e6451e15c705c15f173541b4438a25cf763', '-6999078305572203370'],
  ['12d4eeb3c2246879bf00b3cf8ed13abf129a3097ad', '-4466523353627039680'],
  ['96b442d6d1bdef4850c3f465442eb300c337a648a6c0', '-2351774210992120892'],
  ['dbdd73fc95f5c2c451859afe80d40aa39dfb9249f40c3e', '-64337443218994834'],
  ['e37d961445c806f58c7cf2127dfa894f9296fcf33c084099', '-7847583724409726834'],
  ['90ac970dedb3b843120181e9376107dbdaf6c5f3c86497ee21', '3247088766656439388'],
  ['9b01dd92f19f4954f4fea94ed9182375882b200daadb23cff919', '-2119232464096038198'],
  ['3f3e70384495e04c5d5ed352226d1637c2248f1d3ccc4405dd2ea1', '-6213854176302761467'],
  ['fafab4bf1c46964d947086207882914478bee8c75b4309ae2b122e3f', '-5226330437701063432'],
  ['e87ac7ecf5a5370fc41b4ddb723b2afb6c47c0b57894aab2c5c145b797', '-5209986402053419186'],
  ['ddb9126e5cca203112105f676414faf6b200daf099dba5eeec33624f5124', '5707056292780579720'],
  ['bfc5f04d82388e52927810f610b0bca11e0be9f14f3ca695e87a5311660c76', '803782592995351762'],
  ['28cdba9f5eefb99022ef537b596a16dc8a03ec1fe7d2561711b3302479fb2ff1', '-4317529445571282218'],
  ['1b7c19fecb1e1882d0e49c1a13635bce60772ba0372c52266d08e1b7f9d8c04306', '-1783261287572054772'],
  ['9de5723b479ff72c86cea0434229f17d2bdb7d8d1ffc7f186692bf3224d7a0c20092', '-1701500369705006756'],
  [
    '430ee2490918da8936c342a4219c564686fea59211200e0e3e1942b6df840876db40b967a9b706535330895749e4dedb',
    '-8799240443735023629',
  ],
  [
    '3caaa2e474ecde57e21852f2fb003540d61a6a001078f6b5c9ed6e678d669bb67bbbb47f1ffdcdb249497afac3133056cb329066a5f4f02e65c005355ec70b',
    '-5305977787771013247',
  ],
  [
    'a20d9fc4f3cce61f4bd5b90a699192270d2cb6d39d078c7824132d99b36af72f3d7aafd8c901c7c15b6aa4c5a537bf7f336c969c89275527d35e7320d0d576d9',
    '8627581792101178707',
  ],
  [
    'f77d9ad68f2ba95fd70f4c3b975ede61a634a9271ff84625a360efc475f433006350392fab4dbc35e1a55d34bb34216469a5bf58ea2a7dceeec0023cbf4301fdc3af24fb97083bf5b564afc34894ff2d3897d0ac20dd1970d7798a254a8a31f4dd5cc57d',
    '5317326553493946030',
  ],
]

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
