/**
 * Literals of one native value: which types take them, and which type they have when nobody asks for one.
 * Source: CQL 3.4.7 "Constants"; the choices are those of Cassandra 5.
 */
import { NATIVE } from '../types/names.ts'
import type { CqlType, NativeTypeName } from '../types/type.ts'
import type { ConstantKind } from './ast.ts'
import type { Assignability } from './functions/function.ts'

const TAKEN_BY: Readonly<Record<ConstantKind, ReadonlySet<NativeTypeName>>> = {
  string: new Set<NativeTypeName>(['ascii', 'text', 'inet', 'date', 'time', 'timestamp']),
  integer: new Set<NativeTypeName>([
    'bigint',
    'counter',
    'date',
    'decimal',
    'double',
    'duration',
    'float',
    'int',
    'smallint',
    'time',
    'timestamp',
    'tinyint',
    'varint',
  ]),
  uuid: new Set<NativeTypeName>(['uuid', 'timeuuid']),
  float: new Set<NativeTypeName>(['decimal', 'double', 'float']),
  boolean: new Set<NativeTypeName>(['boolean']),
  hex: new Set<NativeTypeName>(['blob']),
  duration: new Set<NativeTypeName>(['duration']),
}

/** Custom types take any literal; whether they can read it is seen later. */
export function constantAssignability(kind: ConstantKind, text: string, type: CqlType): Assignability {
  if (type.kind === 'custom' || type.kind === 'vector' || type.kind === 'tuple') return 'weak'
  if (type.kind !== 'native') return 'not'
  if (constantType(kind, text) === type) return 'exact'
  return TAKEN_BY[kind].has(type.name) ? 'weak' : 'not'
}

/** The type of a literal that stands alone, as an argument of a function: the smallest that holds it. */
export function constantType(kind: ConstantKind, text: string): CqlType {
  switch (kind) {
    case 'string':
      return isAscii(text) ? NATIVE.ascii : NATIVE.text
    case 'integer':
      return integerType(text)
    case 'float':
      return isDouble(text) ? NATIVE.double : NATIVE.decimal
    case 'uuid':
      return NATIVE.uuid
    case 'boolean':
      return NATIVE.boolean
    case 'hex':
      return NATIVE.blob
    case 'duration':
      return NATIVE.duration
  }
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return false
  return true
}

function integerType(text: string): CqlType {
  if (text.length <= 10) {
    const value = Number(text)
    if (value === (value | 0)) return NATIVE.int
  }
  const value = BigInt(text)
  if (value === BigInt.asIntN(32, value)) return NATIVE.int
  return value === BigInt.asIntN(64, value) ? NATIVE.bigint : NATIVE.varint
}

/** A float literal is a double where the double's shortest spelling means the same number, digits after the point included. */
function isDouble(text: string): boolean {
  if (/[NnIi]/.test(text)) return true
  const shortest = Number(text).toString()
  return decimalParts(text).join('e') === decimalParts(shortest.includes('.') ? shortest : `${shortest}.0`).join('e')
}

/** Unscaled digits and scale. */
function decimalParts(text: string): [string, number] {
  const [mantissa = '', exponent = '0'] = text.toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.split('.')
  return [BigInt(`${whole}${fraction}`).toString(), fraction.length - Number(exponent)]
}
