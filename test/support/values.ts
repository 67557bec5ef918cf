/** Arbitrary valid values of any type, as bytes: small ones often, so that equal ones and near ones meet. */
import fc from 'fast-check'
import { ByteWriter } from '../../lib/base/bytes.ts'
import { encodeDuration } from '../../lib/types/duration.ts'
import { encodeDecimal, encodeVarint } from '../../lib/types/number.ts'
import type { CqlType, NativeTypeName } from '../../lib/types/type.ts'
import { fixedLength } from '../../lib/types/vector.ts'
import { writeUnsignedVint } from '../../lib/types/vint.ts'

const EMPTY = Buffer.alloc(0)

function bytes(length: number): fc.Arbitrary<Buffer> {
  return fc.oneof(
    fc.uint8Array({ minLength: length, maxLength: length }).map((array) => Buffer.from(array)),
    fc
      .array(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), { minLength: length, maxLength: length })
      .map((array) => Buffer.from(array)),
  )
}

function orEmpty(value: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> {
  return fc.oneof({ weight: 9, arbitrary: value }, { weight: 1, arbitrary: fc.constant(EMPTY) })
}

function floating(size: 4 | 8): fc.Arbitrary<Buffer> {
  const number = fc.oneof(fc.double(), fc.constantFrom(0, -0, Number.NaN, 1, -1, Infinity, -Infinity))
  return fc.oneof(
    number.map((value) => {
      const buffer = Buffer.alloc(size)
      if (size === 4) buffer.writeFloatBE(value)
      else buffer.writeDoubleBE(value)
      return buffer
    }),
    bytes(size),
  )
}

function uuid(version: number | null): fc.Arbitrary<Buffer> {
  return fc.tuple(bytes(16), fc.constantFrom(0, 1, 4, 7)).map(([value, other]) => {
    const result = Buffer.from(value)
    result[6] = (result[6]! & 0x0f) | ((version ?? other) << 4)
    return result
  })
}

const BIG = fc.oneof(
  fc.bigInt({ min: -300n, max: 300n }),
  fc.bigInt({ min: -(2n ** 80n), max: 2n ** 80n }),
  fc.bigInt({ min: -(2n ** 1100n), max: 2n ** 1100n }),
)

function native(name: NativeTypeName): fc.Arbitrary<Buffer> {
  switch (name) {
    case 'text':
      return fc
        .oneof(
          fc.string({ unit: 'binary', maxLength: 6 }),
          fc.string({ unit: fc.constantFrom('\0', 'a', '\x01'), maxLength: 4 }),
        )
        .map((text) => Buffer.from(text))
    case 'ascii':
      return fc.string({ maxLength: 6 }).map((text) => Buffer.from(text))
    case 'blob':
      return fc.nat(7).chain(bytes)
    case 'boolean':
      return orEmpty(fc.constantFrom(Buffer.from([0]), Buffer.from([1]), Buffer.from([2])))
    case 'tinyint':
      return bytes(1)
    case 'smallint':
      return bytes(2)
    case 'date':
      return bytes(4)
    case 'time':
      return bytes(8)
    case 'int':
      return orEmpty(bytes(4))
    case 'bigint':
    case 'timestamp':
    case 'counter':
      return orEmpty(bytes(8))
    case 'float':
      return orEmpty(floating(4))
    case 'double':
      return orEmpty(floating(8))
    case 'uuid':
      return orEmpty(uuid(null))
    case 'timeuuid':
      return orEmpty(uuid(1))
    case 'inet':
      return orEmpty(fc.oneof(bytes(4), bytes(16)))
    case 'varint':
      return orEmpty(fc.oneof(BIG.map(encodeVarint), fc.integer({ min: 1, max: 5 }).chain(bytes)))
    case 'decimal':
      return orEmpty(
        fc
          .tuple(BIG, fc.oneof(fc.integer({ min: -5, max: 5 }), fc.integer()))
          .map(([unscaled, scale]) => encodeDecimal({ unscaled, scale })),
      )
    case 'duration':
      return fc
        .tuple(fc.nat(), fc.nat(1000), fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), fc.boolean())
        .map(([months, days, nanoseconds, negative]) =>
          encodeDuration(
            negative ? { months: -months, days: -days, nanoseconds: -nanoseconds } : { months, days, nanoseconds },
          ),
        )
  }
}

function joined(parts: readonly (Buffer | null)[], count: number | null): Buffer {
  const writer = new ByteWriter(64)
  if (count !== null) writer.int32(count)
  for (const part of parts) {
    writer.int32(part === null ? -1 : part.length)
    if (part !== null) writer.bytes(part)
  }
  return writer.copy()
}

/** Not sorted and not without duplicates: what orders collections must not rely on it. */
export function arbitraryValue(type: CqlType): fc.Arbitrary<Buffer> {
  switch (type.kind) {
    case 'native':
      return native(type.name)
    case 'list':
    case 'set':
      return fc.array(arbitraryValue(type.element), { maxLength: 3 }).map((parts) => joined(parts, parts.length))
    case 'map':
      return fc
        .array(fc.tuple(arbitraryValue(type.key), arbitraryValue(type.value)), { maxLength: 3 })
        .map((entries) => joined(entries.flat(), entries.length))
    case 'tuple':
    case 'udt': {
      const types = type.kind === 'tuple' ? type.elements : type.fieldTypes
      return fc
        .tuple(
          fc.integer({ min: 1, max: types.length }),
          ...types.map((part) => fc.option(arbitraryValue(part), { freq: 5 })),
        )
        .map(([length, ...parts]) => joined(parts.slice(0, length), null))
    }
    case 'vector':
      return fc
        .array(
          fixedLength(type.element) < 0
            ? arbitraryValue(type.element)
            : arbitraryValue(type.element).filter((part) => part.length > 0),
          { minLength: type.dimension, maxLength: type.dimension },
        )
        .map((parts) => {
          const writer = new ByteWriter(64)
          for (const part of parts) {
            if (fixedLength(type.element) < 0) writeUnsignedVint(writer, BigInt(part.length))
            writer.bytes(part)
          }
          return writer.copy()
        })
    case 'custom':
      return fc.nat(5).chain(bytes)
  }
}
