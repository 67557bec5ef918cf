/** Ordered encodings: their byte order is the order of values, they read back, and none is the beginning of another. */
import fc from 'fast-check'
import t from 'tap'
import { ByteReader, ByteWriter } from '../../lib/base/bytes.ts'
import { compare } from '../../lib/types/compare.ts'
import { freeze, NATIVE, typeToCql } from '../../lib/types/names.ts'
import {
  AFTER_PREFIX,
  decodeClustering,
  decodeComponent,
  decodeComponentTo,
  decodePath,
  encodeClustering,
  encodeComponent,
  encodeNoValues,
  encodePath,
  keepsBytes,
} from '../../lib/types/ordered.ts'
import type { CqlType } from '../../lib/types/type.ts'
import { arbitraryValue } from '../support/values.ts'

const list = (element: CqlType): CqlType => ({ kind: 'list', element, frozen: true })
const TYPES: CqlType[] = [
  ...Object.values(NATIVE).filter((type) => type.name !== 'counter'),
  list(NATIVE.int),
  list(list(NATIVE.text)),
  { kind: 'set', element: NATIVE.decimal, frozen: true },
  { kind: 'map', key: NATIVE.text, value: NATIVE.varint, frozen: true },
  { kind: 'tuple', elements: [NATIVE.int, NATIVE.text, NATIVE.uuid] },
  {
    kind: 'udt',
    keyspace: 'ks',
    name: 'u',
    fieldNames: ['a', 'b'],
    fieldTypes: [NATIVE.blob, freeze(list(NATIVE.double))],
    frozen: true,
  },
  { kind: 'vector', element: NATIVE.float, dimension: 2 },
  { kind: 'vector', element: NATIVE.text, dimension: 2 },
  { kind: 'vector', element: NATIVE.smallint, dimension: 2 },
]

function component(type: CqlType, reversed: boolean, bytes: Buffer): Buffer {
  const writer = new ByteWriter(4)
  encodeComponent(type, reversed, bytes, writer)
  return writer.copy()
}

for (const type of TYPES)
  t.test(typeToCql(type), (t) => {
    const value = arbitraryValue(type)
    fc.assert(
      fc.property(value, value, fc.boolean(), (a, b, reversed) => {
        const [x, y] = [component(type, reversed, a), component(type, reversed, b)]
        const expected = Math.sign(compare(type, a, b))
        if (Math.sign(Buffer.compare(x, y)) !== (reversed ? -expected || 0 : expected)) return false
        // No encoding begins with another, so what follows cannot change the order.
        return expected === 0 || !x.subarray(0, y.length).equals(y)
      }),
      { numRuns: 1500 },
    )
    fc.assert(
      fc.property(value, fc.boolean(), (bytes, reversed) => {
        const encoded = Buffer.concat([component(type, reversed, bytes), Buffer.from([0x40, 0, 0xff])])
        const reader = new ByteReader(encoded)
        const back = decodeComponent(type, reversed, reader)!
        if (reader.remaining() !== 3) return false
        const writer = new ByteWriter(1)
        decodeComponentTo(type, reversed, new ByteReader(encoded), writer)
        if (writer.length !== back.length + 4 || !writer.view().subarray(4).equals(back)) return false
        return keepsBytes(type, bytes) ? back.equals(bytes) : compare(type, back, bytes) === 0
      }),
      { numRuns: 500 },
    )
    fc.assert(
      fc.property(value, (bytes) => {
        const writer = new ByteWriter(1)
        encodePath(type, bytes, 0, bytes.length, writer)
        return compare(type, decodePath(type, writer.copy()), bytes) === 0
      }),
      { numRuns: 200 },
    )
    t.end()
  })

t.test('a value of a user type is where it was when the type gets fields', (t) => {
  const grown = (fieldTypes: CqlType[]): CqlType => {
    const fieldNames = ['a', 'b', 'c', 'd'].slice(0, fieldTypes.length)
    return { kind: 'udt', keyspace: 'ks', name: 'u', fieldNames, fieldTypes, frozen: true }
  }
  const before = grown([NATIVE.int, NATIVE.text])
  const after = grown([NATIVE.int, NATIVE.text, NATIVE.boolean, before])
  fc.assert(
    fc.property(arbitraryValue(before), arbitraryValue(after), fc.boolean(), (old, other, reversed) => {
      const stored = component(before, reversed, old)
      if (!stored.equals(component(after, reversed, old))) return false
      const back = decodeComponent(after, reversed, new ByteReader(stored))!
      if (compare(after, back, old) !== 0) return false
      const expected = Math.sign(compare(after, old, other))
      const order = Math.sign(Buffer.compare(stored, component(after, reversed, other)))
      return order === (reversed ? -expected || 0 : expected)
    }),
    { numRuns: 1500 },
  )
  const [written, nulls] = [Buffer.from('0000000400000001', 'hex'), Buffer.from('ffffffffffffffff', 'hex')]
  t.same(component(after, false, Buffer.concat([written, nulls])), component(after, false, written))
  t.throws(
    () =>
      decodeComponent(
        before,
        false,
        new ByteReader(
          component(grown([NATIVE.int, NATIVE.int, NATIVE.int]), false, Buffer.concat([written, written, written])),
        ),
      ),
    {
      name: 'BytesError',
    },
  )
  t.end()
})

t.test('bounds enclose what begins with a prefix', (t) => {
  const columns = [
    { type: NATIVE.text, reversed: true },
    { type: NATIVE.int, reversed: false },
  ]
  const values = fc.tuple(arbitraryValue(NATIVE.text), arbitraryValue(NATIVE.int))
  fc.assert(
    fc.property(values, values, (a, b) => {
      const [x, y] = [encodeClustering(columns, a), encodeClustering(columns, b)]
      if (!decodeClustering(columns, x).every((value, i) => value!.equals(a[i]!))) return false
      const before = encodeClustering(columns, [a[0]])
      const after = Buffer.concat([before, Buffer.from([AFTER_PREFIX])])
      const inside = Buffer.compare(before, y) <= 0 && Buffer.compare(y, after) < 0
      return inside === a[0].equals(b[0]) && Buffer.compare(before, x) < 0
    }),
  )
  t.end()
})

t.test('a column without a value comes before all values, in either direction', (t) => {
  for (const reversed of [false, true]) {
    const columns = [
      { type: NATIVE.int, reversed: false },
      { type: NATIVE.text, reversed },
      { type: NATIVE.int, reversed },
    ]
    const first = int(7)
    const writer = new ByteWriter(16)
    encodeComponent(NATIVE.int, false, first, writer)
    encodeNoValues(2, writer)
    const short = writer.copy()
    t.same(decodeClustering(columns, short), [first, null, null])
    const encoded = new ByteWriter(16)
    const reader = new ByteReader(short)
    for (const { type, reversed } of columns) decodeComponentTo(type, reversed, reader, encoded)
    t.equal(reader.remaining(), 0)
    t.same(encoded.view(), Buffer.concat([int(4), first, int(-1), int(-1)]))
    for (const text of ['', '\0', 'a', '\uffff'])
      t.ok(Buffer.compare(short, encodeClustering(columns, [first, Buffer.from(text)])) < 0, `before '${text}'`)
    for (const [value, order] of [
      [6, 1],
      [8, -1],
    ] as const)
      t.equal(Buffer.compare(short, encodeClustering(columns, [int(value), Buffer.alloc(0)])), order)
    t.ok(Buffer.compare(encodeClustering(columns, [first]), short) < 0, 'behind the bound before its prefix')
    t.ok(Buffer.compare(short, Buffer.concat([encodeClustering(columns, [first]), Buffer.of(AFTER_PREFIX)])) < 0)
  }
  t.end()
})

function int(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

t.test('a decimal of the least scale that ends in zeros is read back', (t) => {
  // -150 × 10^(2^31): without its zero it would have a scale of 33 bits.
  const bytes = Buffer.from([0x80, 0, 0, 0, 0xff, 0x6a])
  const back = decodeComponent(NATIVE.decimal, false, new ByteReader(component(NATIVE.decimal, false, bytes)))
  t.same(back, bytes)
  t.end()
})
