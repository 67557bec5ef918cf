/**
 * Masks: functions that give something of the type of their argument which tells nothing, or little, of it.
 * Source: CQL 3.4.7 "Data masking functions"; messages as Apache Cassandra 5.0.6.
 */
import { createHash } from 'node:crypto'
import { unreachable } from '../../base/assert.ts'
import { invalid } from '../../base/errors.ts'
import { assembleList, assembleTuple, assembleVector } from '../../types/assemble.ts'
import { DATE_EPOCH } from '../../types/date-time.ts'
import { javaUtf8 } from '../../types/java-string.ts'
import { NATIVE, typeToCql } from '../../types/names.ts'
import type { CqlType, NativeTypeName } from '../../types/type.ts'
import { inferType, LEGACY_TIMEUUID } from './aggregates.ts'
import type { FunctionArgument, FunctionFactory, ScalarFunction } from './function.ts'

export function maskFactories(): [string, FunctionFactory][] {
  return [
    ['mask_null', maskNull],
    ['mask_default', maskDefault],
    ['mask_replace', maskReplace],
    ['mask_inner', partialMask('mask_inner', true)],
    ['mask_outer', partialMask('mask_outer', false)],
    ['mask_hash', maskHash],
  ]
}

function masking(
  name: string,
  argumentTypes: readonly CqlType[],
  returnType: CqlType,
  execute: ScalarFunction['execute'],
): ScalarFunction {
  return {
    kind: 'scalar',
    keyspace: 'system',
    name,
    argumentTypes,
    returnType: returnType === NATIVE.timeuuid ? LEGACY_TIMEUUID : returnType,
    isPure: true,
    execute,
  }
}

function checkCount(args: readonly FunctionArgument[], least: number, most: number, called: string): void {
  if (args.length < least || args.length > most) throw invalid(`Invalid number of arguments for function ${called}`)
}

const maskNull: FunctionFactory = (args) => {
  checkCount(args, 1, 1, 'system.mask_null(any)')
  const type = inferType(args[0]!, 'system.mask_null(any)')
  return masking('mask_null', [type], type, () => null)
}

const maskDefault: FunctionFactory = (args) => {
  checkCount(args, 1, 1, 'system.mask_default(any)')
  const type = inferType(args[0]!, 'system.mask_default(any)')
  const value = defaultValue(type)
  return masking('mask_default', [type], type, () => value)
}

const maskReplace: FunctionFactory = (args) => {
  checkCount(args, 2, 2, 'system.mask_replace(any, any)')
  const type = inferType(args[0]!, 'system.mask_replace(any, any)')
  if (args[1]!.assignableTo(type) === 'not')
    throw invalid(
      `Type error: ${args[1]!.text} cannot be passed as argument 1 of function system.mask_replace of type ${typeToCql(type)}`,
    )
  return masking('mask_replace', [type, type], type, (values) => values[1]!)
}

const MASKED_TEXT = '****'

/** The least there is to say of a type: zero, no elements, four stars. */
function defaultValue(type: CqlType): Buffer {
  switch (type.kind) {
    case 'native':
      return defaultNative(type.name)
    case 'list':
    case 'set':
    case 'map':
      return assembleList([])
    case 'tuple':
      return assembleTuple(type.elements.map(defaultValue))
    case 'udt':
      return assembleTuple(type.fieldTypes.map(defaultValue))
    case 'vector':
      return assembleVector(type)(new Array<Buffer>(type.dimension).fill(defaultValue(type.element)))
    case 'custom':
      return Buffer.alloc(0)
    default:
      return unreachable(type)
  }
}

function defaultNative(name: NativeTypeName): Buffer {
  switch (name) {
    case 'text':
    case 'ascii':
      return Buffer.from(MASKED_TEXT)
    case 'blob':
      return Buffer.alloc(0)
    case 'boolean':
    case 'tinyint':
    case 'varint':
      return Buffer.alloc(1)
    case 'smallint':
      return Buffer.alloc(2)
    case 'duration':
      return Buffer.alloc(3)
    case 'int':
    case 'float':
    case 'inet':
      return Buffer.alloc(4)
    case 'date': {
      const bytes = Buffer.alloc(4)
      bytes.writeUInt32BE(DATE_EPOCH)
      return bytes
    }
    case 'decimal':
      return Buffer.alloc(5)
    case 'bigint':
    case 'counter':
    case 'double':
    case 'time':
    case 'timestamp':
      return Buffer.alloc(8)
    case 'uuid':
      return Buffer.alloc(16)
    case 'timeuuid':
      // The least of 1970.
      return Buffer.from('138140001dd211b28080808080808080', 'hex')
    default:
      return unreachable(name)
  }
}

/** Stars for the characters inside, or outside, of a range that begins and ends so many characters from the text's ends. */
function partialMask(name: string, masksInside: boolean): FunctionFactory {
  const called = `system.${name}([text|varchar|ascii], int, int, [text])`
  return (args) => {
    checkCount(args, 3, 4, called)
    const [value, begin, end, padding] = args
    const type = argumentType(name, value!, [NATIVE.text, NATIVE.ascii], '[text|varchar|ascii]')
    const types = [type]
    for (const argument of [begin!, end!]) types.push(argumentType(name, argument, [NATIVE.int], 'int'))
    if (padding !== undefined) types.push(argumentType(name, padding, [NATIVE.text], 'text'))
    return masking(name, types, type, ([bytes, beginBytes, endBytes, paddingBytes]) => {
      const mask = maskCharacter(name, paddingBytes ?? null)
      if (bytes === null || bytes === undefined) return null
      const text = bytes.toString()
      const from = count(beginBytes!)
      const to = text.length - count(endBytes!)
      let masked = ''
      for (let i = 0; i < text.length; i++) masked += (i >= from && i < to) === masksInside ? mask : text[i]
      return javaUtf8(masked)
    })
  }
}

/** Null and what is below zero count as none. */
function count(bytes: Buffer | null): number {
  return bytes === null || bytes.length === 0 ? 0 : Math.max(0, bytes.readInt32BE(0))
}

function maskCharacter(name: string, bytes: Buffer | null): string {
  if (bytes === null) return '*'
  const text = bytes.toString()
  if (text.length !== 1)
    throw invalid(
      `The padding argument for function system.${name} should be single-character, but '${text}' has ${text.length} characters.`,
    )
  return text
}

/** The argument's own type if it is one of those that are taken; where it has none, the first of them. */
function argumentType(name: string, argument: FunctionArgument, taken: readonly CqlType[], text: string): CqlType {
  if (argument.type === null) return taken[0]!
  if (taken.every((type) => argument.assignableTo(type) === 'not'))
    throw invalid(
      `Function system.${name} requires an argument of type ${text}, but found argument ${argument.text} of type ${typeToCql(argument.type)}`,
    )
  return taken.includes(argument.type) ? argument.type : taken[0]!
}

/** Java's names of digests, in upper case, and those of OpenSSL. */
const DIGESTS: ReadonlyMap<string, string> = new Map([
  ['MD5', 'md5'],
  ['SHA', 'sha1'],
  ['SHA1', 'sha1'],
  ['SHA-1', 'sha1'],
  ['SHA-224', 'sha224'],
  ['SHA-256', 'sha256'],
  ['SHA-384', 'sha384'],
  ['SHA-512', 'sha512'],
  ['SHA-512/224', 'sha512-224'],
  ['SHA-512/256', 'sha512-256'],
  ['SHA3-224', 'sha3-224'],
  ['SHA3-256', 'sha3-256'],
  ['SHA3-384', 'sha3-384'],
  ['SHA3-512', 'sha3-512'],
])

const maskHash: FunctionFactory = (args) => {
  const called = 'system.mask_hash(any, [text])'
  checkCount(args, 1, 2, called)
  const types = [inferType(args[0]!, called)]
  if (args.length === 2) types.push(argumentType('mask_hash', args[1]!, [NATIVE.text], 'text'))
  return masking('mask_hash', types, NATIVE.blob, ([value, algorithm]) => {
    const name = algorithm?.toString() ?? 'SHA-256'
    const digest = DIGESTS.get(name.toUpperCase())
    if (digest === undefined) throw invalid(`Hash algorithm not found: ${name}`)
    return value === null || value === undefined ? null : createHash(digest).update(value).digest()
  })
}
