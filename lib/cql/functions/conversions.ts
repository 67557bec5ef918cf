/**
 * Between types: CAST (x AS type), and the bytes of a value as a blob and back.
 * Source: CQL 3.4.7 "Cast", "Blob conversion functions"; which casts there are, and what they cut, as Apache Cassandra 5.0.6.
 */
import { invalid, RequestError } from '../../base/errors.ts'
import { timeuuidMillis } from '../../base/uuid.ts'
import { toCqlText } from '../../types/format.ts'
import { EMPTY_TYPE_CLASS, NATIVE, typeToCql } from '../../types/names.ts'
import { floatText, parseDecimal } from '../../types/number-text.ts'
import type { CqlType, CustomType, NativeType, NativeTypeName } from '../../types/type.ts'
import { whyInvalid } from '../../types/value.ts'
import type { ScalarFunction } from './function.ts'
import { scalar } from './make.ts'
import { decodeNumber, encodeNumber, NUMERIC_TYPES, type NumericTypeName } from './numbers.ts'
import { dateOfMillis, millisOfDate } from './time.ts'

/** Types that have a text, beside the numeric ones. */
const TEXT_SOURCES: readonly NativeTypeName[] = ['boolean', 'date', 'inet', 'time', 'timestamp', 'timeuuid', 'uuid']

export function castFunctions(): ScalarFunction[] {
  const functions: ScalarFunction[] = []
  for (const to of NUMERIC_TYPES)
    for (const from of NUMERIC_TYPES)
      if (to !== from && to !== 'counter')
        functions.push(cast(NATIVE[from], NATIVE[to], (value) => castNumber(from, to, value)))
  for (const to of [NATIVE.ascii, NATIVE.text]) {
    for (const name of [...NUMERIC_TYPES, ...TEXT_SOURCES])
      functions.push(cast(NATIVE[name], to, (value) => Buffer.from(toCqlText(NATIVE[name], value))))
  }
  functions.push(
    cast(NATIVE.ascii, NATIVE.text, (value) => value),
    cast(NATIVE.timestamp, NATIVE.date, (value) => dateOfMillis(value.readBigInt64BE(0))),
    cast(NATIVE.timeuuid, NATIVE.date, (value) => dateOfMillis(timeuuidMillis(value))),
    cast(NATIVE.date, NATIVE.timestamp, (value) => encodeNumber('bigint', millisOfDate(value))),
    cast(NATIVE.timeuuid, NATIVE.timestamp, (value) => encodeNumber('bigint', timeuuidMillis(value))),
  )
  return functions
}

function cast(from: NativeType, to: NativeType, run: (value: Buffer) => Buffer): ScalarFunction {
  return scalar(`cast_as_${to.name}`, [from], to, run)
}

function castNumber(from: NumericTypeName, to: NumericTypeName, bytes: Buffer): Buffer {
  const value = decodeNumber(from, bytes)
  if (to !== 'decimal' || typeof value !== 'number') return encodeNumber(to, value)
  if (!Number.isFinite(value))
    throw new RequestError(
      'SERVER_ERROR',
      `java.lang.NumberFormatException: Character ${String(value).replace('-', '')[0]} is neither a decimal digit number, decimal point, nor "e" notation exponential mark.`,
    )
  // A float's own digits, not those of the double it widens to.
  return encodeNumber(to, from === 'float' ? parseDecimal(floatText(value))! : value)
}

/** Names of the types in the functions' names; blob itself has none. */
const BLOB_TYPES: readonly (readonly [string, NativeType | CustomType])[] = [
  ...Object.values(NATIVE)
    .filter((type) => type !== NATIVE.blob)
    .map((type): [string, NativeType] => [type.name, type]),
  ['varchar', NATIVE.text],
  ['empty', { kind: 'custom', className: EMPTY_TYPE_CLASS }],
]

export function blobFunctions(): ScalarFunction[] {
  const functions: ScalarFunction[] = []
  for (const [word, type] of BLOB_TYPES)
    for (const separator of ['', '_']) {
      functions.push(passing(`${word}${separator}as${separator}blob`, type, NATIVE.blob, (value) => value))
      const name = `blob${separator}as${separator}${word}`
      functions.push(
        passing(name, NATIVE.blob, type, (value) => {
          if (type.kind === 'custom' ? value.length > 0 : whyInvalid(type, value) !== null)
            throw invalid(
              `In call to function system.${name}, value 0x${value.toString('hex')} is not a valid binary representation for type ${typeToCql(type)}`,
            )
          return value
        }),
      )
    }
  return functions
}

/** Like `scalar`, but zero bytes are a value. */
function passing(name: string, from: CqlType, to: CqlType, run: (value: Buffer) => Buffer): ScalarFunction {
  return {
    kind: 'scalar',
    keyspace: 'system',
    name,
    argumentTypes: [from],
    returnType: to,
    isPure: true,
    execute: ([value]) => (value === null || value === undefined ? null : run(value)),
  }
}
