/** Values of every type as Apache Cassandra 5.0.6 stores them, and wrong bytes with its messages. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import { RequestError } from '../../lib/base/errors.ts'
import { parseTypeClassName, typeToClassName } from '../../lib/types/class-name.ts'
import { freeze, NATIVE, typeEquals, typeToCql } from '../../lib/types/names.ts'
import type { CqlType } from '../../lib/types/type.ts'
import { compare, validate, whyInvalid } from '../../lib/types/value.ts'
import { arbitraryValue } from '../support/values.ts'

const { values } = JSON.parse(readFileSync(new URL('../../../test/golden/values.json', import.meta.url), 'utf8')) as {
  values: { type: string; cql: string; hex: string | null }[]
}

const ADDRESS: CqlType = {
  kind: 'udt',
  keyspace: 'ks',
  name: 'address',
  fieldNames: ['street', 'number'],
  fieldTypes: [NATIVE.text, NATIVE.int],
  frozen: false,
}
const list = (element: CqlType): CqlType => ({ kind: 'list', element, frozen: false })
const set = (element: CqlType): CqlType => ({ kind: 'set', element, frozen: false })
const map = (key: CqlType, value: CqlType): CqlType => ({ kind: 'map', key, value, frozen: false })
const tuple = (...elements: CqlType[]): CqlType => ({ kind: 'tuple', elements })
const vector = (element: CqlType, dimension: number): CqlType => ({ kind: 'vector', element, dimension })

const TYPES: CqlType[] = [
  ...Object.values(NATIVE),
  ADDRESS,
  freeze(ADDRESS),
  list(NATIVE.int),
  freeze(list(NATIVE.text)),
  map(NATIVE.text, NATIVE.int),
  map(NATIVE.text, freeze(list(tuple(NATIVE.int, NATIVE.text)))),
  set(NATIVE.text),
  tuple(NATIVE.int, NATIVE.text),
  vector(NATIVE.float, 3),
  vector(NATIVE.text, 2),
]

t.test('values that the real server gave are valid', (t) => {
  for (const { type: name, cql, hex } of values) {
    if (hex === null) continue
    const type = TYPES.find((candidate) => typeToCql(candidate) === name)
    t.ok(type, name)
    if (type) t.doesNotThrow(() => validate(type, Buffer.from(hex, 'hex')), `${name} ${cql}`)
  }
  t.end()
})

const I = NATIVE.int
/** type, bytes in hex, message (null: valid). */
const WRONG: readonly (readonly [CqlType, string, string | null])[] = [
  [NATIVE.bigint, '010203', 'Expected 8 or 0 byte long (3)'],
  [NATIVE.boolean, '010203', 'Expected 1 or 0 byte value (3)'],
  [NATIVE.counter, '010203', 'Expected 8 or 0 byte long (3)'],
  [NATIVE.decimal, '010203', 'Expected 0 or at least 4 bytes (3)'],
  [NATIVE.double, '010203', 'Expected 8 or 0 byte value for a double (3)'],
  [NATIVE.float, '010203', 'Expected 4 or 0 byte value for a float (3)'],
  [I, '010203', 'Expected 4 or 0 byte int (3)'],
  [NATIVE.timestamp, '010203', 'Expected 8 or 0 byte long for date (3)'],
  [NATIVE.uuid, '010203', 'UUID should be 16 or 0 bytes (3)'],
  [NATIVE.timeuuid, '010203', 'UUID should be 16 or 0 bytes (3)'],
  [NATIVE.timeuuid, 'a23e4567e89b42d3a456426614174000', 'Invalid version for TimeUUID type: 0xa'],
  [NATIVE.timeuuid, '', null],
  [NATIVE.inet, '010203', 'Expected 4 or 16 byte inetaddress; got 010203'],
  [NATIVE.date, '', 'Expected 4 byte long for date (0)'],
  [NATIVE.time, '', 'Expected 8 byte long for time (0)'],
  [NATIVE.smallint, '', 'Expected 2 bytes for a smallint (0)'],
  [NATIVE.tinyint, '', 'Expected 1 byte for a tinyint (0)'],
  [NATIVE.duration, '', 'Expected at least 3 bytes for a duration (0)'],
  [NATIVE.duration, '010203', 'The duration months, days and nanoseconds must be all of the same sign (-1, 1, -2)'],
  [NATIVE.text, 'ff', "String didn't validate."],
  [NATIVE.ascii, '4180', 'Invalid byte for ascii: -128'],
  [list(I), '00', 'Not enough bytes to read a list'],
  [set(I), '0000000100000004', 'Not enough bytes to read a set'],
  [map(I, I), '000000010000000400000001', 'Not enough bytes to read a map'],
  [list(I), '00000001000000040000000100', 'Unexpected extraneous bytes after list value'],
  [list(I), '00000001ffffffff', 'Null value read when not allowed'],
  [list(I), 'ffffffff', 'The data cannot be deserialized as a list'],
  [list(I), '0000000100000003000001', 'Expected 4 or 0 byte int (3)'],
  [tuple(I, NATIVE.text), '00', 'Not enough bytes to read size of 0th component'],
  [tuple(I, NATIVE.text), '00000004', 'Not enough bytes to read 0th component'],
  [tuple(I, NATIVE.text), '0000000400000001ffffffff00', 'Invalid remaining data after end of tuple value'],
  [tuple(I, NATIVE.text), '0000000400000001', null],
  [ADDRESS, '00', 'Not enough bytes to read size of 0th field street'],
  [ADDRESS, '00000004', 'Not enough bytes to read 0th field street'],
  [ADDRESS, 'ffffffffffffffff00', 'Invalid remaining data after end of UDT value'],
  [ADDRESS, 'ffffffff00000001ff', 'Failure validating the 1th field number; Expected 4 or 0 byte int (1)'],
  [vector(NATIVE.float, 3), '', 'Invalid empty vector value'],
  [vector(NATIVE.float, 3), '3f800000', 'Not enough bytes to read a vector<float, 3>'],
  [vector(NATIVE.float, 1), '3f80000000', 'Unexpected 1 extraneous bytes after vector<float, 1> value'],
  [vector(NATIVE.text, 2), '0161', 'Not enough bytes to read a vector<text, 2>'],
]

t.test('wrong bytes', (t) => {
  for (const [type, hex, message] of WRONG)
    t.equal(whyInvalid(type, Buffer.from(hex, 'hex')), message, `${typeToCql(type)} 0x${hex}`)
  t.throws(() => validate(I, Buffer.alloc(3)), RequestError)
  t.end()
})

t.test('whatever is made as a value is valid, and order is an order', (t) => {
  for (const type of TYPES) {
    const value = arbitraryValue(type)
    fc.assert(
      fc.property(value, value, value, (a, b, c) => {
        for (const bytes of [a, b, c]) if (whyInvalid(type, bytes) !== null) return false
        if (Math.sign(compare(type, a, b)) !== -Math.sign(compare(type, b, a))) return false
        const [low, middle, high] = [a, b, c].sort((x, y) => compare(type, x, y)) as [Buffer, Buffer, Buffer]
        return compare(type, low, middle) <= 0 && compare(type, middle, high) <= 0 && compare(type, low, high) <= 0
      }),
      { numRuns: 100 },
    )
  }
  t.end()
})

const M = 'org.apache.cassandra.db.marshal.'
/** As Cassandra writes them; `frozen` within a frozen collection is left out and comes back with it. */
const CLASSES: readonly (readonly [CqlType, string])[] = [
  [I, `${M}Int32Type`],
  [list(I), `${M}ListType(${M}Int32Type)`],
  [freeze(list(I)), `${M}FrozenType(${M}ListType(${M}Int32Type))`],
  [freeze(map(NATIVE.text, list(I))), `${M}FrozenType(${M}MapType(${M}UTF8Type,${M}ListType(${M}Int32Type)))`],
  [map(NATIVE.text, freeze(list(I))), `${M}MapType(${M}UTF8Type,${M}FrozenType(${M}ListType(${M}Int32Type)))`],
  [tuple(freeze(list(I)), NATIVE.text), `${M}TupleType(${M}ListType(${M}Int32Type),${M}UTF8Type)`],
  [
    freeze(ADDRESS),
    `${M}FrozenType(${M}UserType(ks,61646472657373,737472656574:${M}UTF8Type,6e756d626572:${M}Int32Type))`,
  ],
  [vector(NATIVE.float, 3), `${M}VectorType(${M}FloatType , 3)`],
  [{ kind: 'custom', className: `${M}LegacyTimeUUIDType` }, `${M}LegacyTimeUUIDType`],
  [{ kind: 'custom', className: 'a.B(c.D(1),2)' }, 'a.B(c.D(1),2)'],
]

t.test('class names', (t) => {
  for (const [type, name] of CLASSES) {
    t.equal(typeToClassName(type), name)
    const parsed = parseTypeClassName(name)
    t.ok(typeEquals(parsed, type), `${name} is read as ${typeToCql(parsed)}`)
  }
  t.equal(typeToCql(parseTypeClassName('ReversedType(Int32Type)')), 'int')
  for (const wrong of ['', '(', `${M}ListType`, `${M}ListType(`, `${M}MapType(${M}Int32Type)`, `${M}Int32Type)`])
    t.throws(() => parseTypeClassName(wrong), RequestError, wrong)
  t.end()
})

t.test('types as text', (t) => {
  t.equal(typeToCql(freeze(map(NATIVE.text, list(I)))), 'frozen<map<text, frozen<list<int>>>>')
  t.equal(typeToCql({ ...(ADDRESS as CqlType & { kind: 'udt' }), name: 'My "type"' }), '"My ""type"""')
  t.equal(typeToCql(freeze(ADDRESS)), 'frozen<address>')
  t.ok(typeEquals(freeze(freeze(list(ADDRESS))), freeze(list(freeze(ADDRESS)))))
  t.notOk(typeEquals(list(I), freeze(list(I))))
  t.end()
})
