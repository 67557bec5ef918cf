/**
 * Functions over collections: map_keys, map_values, collection_count, _min, _max, _sum and _avg; and similarities of vectors.
 * Source: CQL 3.4.7 "Collection functions", "Vector similarity functions"; messages as Apache Cassandra 5.0.6.
 */

import { ByteWriter } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import { NATIVE, typeToCql } from '../../types/names.ts'
import type { CqlType } from '../../types/type.ts'
import { aggregateFactories, aggregateFunctions, inferType } from './aggregates.ts'
import type { AggregateFunction, FunctionArgument, FunctionFactory, ScalarFunction } from './function.ts'
import { isNumeric } from './numbers.ts'
import { cosine, dot, floats, squareDistance } from './vectors.ts'

const collectionTypes = (type: CqlType): readonly CqlType[] | null => {
  if (type.kind === 'map') return [type.key, type.value]
  return type.kind === 'list' || type.kind === 'set' ? [type.element] : null
}

export function collectionFactories(): [string, FunctionFactory][] {
  return [
    ['map_keys', mapPart('map_keys', 0)],
    ['map_values', mapPart('map_values', 1)],
    ['collection_count', count],
    ['collection_min', elements('collection_min', 'min', false)],
    ['collection_max', elements('collection_max', 'max', false)],
    ['collection_sum', elements('collection_sum', 'sum', true)],
    ['collection_avg', elements('collection_avg', 'avg', true)],
    ['similarity_cosine', similarity('similarity_cosine', cosine)],
    ['similarity_euclidean', similarity('similarity_euclidean', (a, b) => 1 / (1 + squareDistance(a, b)))],
    ['similarity_dot_product', similarity('similarity_dot_product', (a, b) => (1 + dot(a, b)) / 2)],
  ]
}

function pure(
  name: string,
  argumentTypes: readonly CqlType[],
  returnType: CqlType,
  run: (args: Buffer[]) => Buffer | null,
): ScalarFunction {
  return {
    kind: 'scalar',
    keyspace: 'system',
    name,
    argumentTypes,
    returnType,
    isPure: true,
    execute: (args) => (args.some((argument) => argument === null) ? null : run(args as Buffer[])),
  }
}

/** The one argument's type. Throws INVALID when there is another number of them. */
function onlyArgument(args: readonly FunctionArgument[], called: string): CqlType {
  if (args.length !== 1) throw invalid(`Invalid number of arguments for function ${called}`)
  return inferType(args[0]!, called)
}

function refuse(name: string, wanted: string, argument: FunctionArgument, type: CqlType): Error {
  return invalid(
    `Function system.${name} requires a ${wanted} argument, but found argument ${argument.text} of type ${typeToCql(type)}`,
  )
}

function mapPart(name: string, which: 0 | 1): FunctionFactory {
  return (args) => {
    const type = onlyArgument(args, `system.${name}(map)`)
    if (type.kind !== 'map') throw refuse(name, 'map', args[0]!, type)
    const result: CqlType =
      which === 0
        ? { kind: 'set', element: type.key, frozen: false }
        : { kind: 'list', element: type.value, frozen: false }
    return pure(name, [type], result, ([value]) => {
      const parts = partsOf(value!, 2).filter((_, i) => i % 2 === which)
      const writer = new ByteWriter(value!.length)
      writer.int32(parts.length)
      for (const part of parts) {
        writer.int32(part.length)
        writer.bytes(part)
      }
      return writer.view()
    })
  }
}

const count: FunctionFactory = (args) => {
  const type = onlyArgument(args, 'system.collection_count(collection)')
  if (collectionTypes(type) === null) throw refuse('collection_count', 'collection', args[0]!, type)
  return pure('collection_count', [type], NATIVE.int, ([value]) => {
    const bytes = Buffer.allocUnsafe(4)
    bytes.writeInt32BE(value!.length === 0 ? 0 : value!.readInt32BE(0))
    return bytes
  })
}

/** An aggregate over the elements of a list or set. */
function elements(name: string, aggregate: 'min' | 'max' | 'sum' | 'avg', numericOnly: boolean): FunctionFactory {
  return (args, receiver, scope) => {
    const type = onlyArgument(args, `system.${name}(numeric_set_or_list)`)
    const element = type.kind === 'list' || type.kind === 'set' ? type.element : null
    const numeric = element?.kind === 'native' && isNumeric(element.name)
    if (element === null || (numericOnly && !numeric))
      throw refuse(name, numericOnly ? 'numeric set/list' : 'set or list', args[0]!, type)
    const over = aggregateOver(aggregate, element, args[0]!, receiver, scope)
    return pure(name, [type], element, ([value]) => {
      const state = over.create()
      for (const part of partsOf(value!, 1)) state.add([part])
      return state.result()
    })
  }
}

function aggregateOver(
  name: 'min' | 'max' | 'sum' | 'avg',
  element: CqlType,
  argument: FunctionArgument,
  receiver: CqlType | null,
  scope: Parameters<FunctionFactory>[2],
): AggregateFunction {
  if (name === 'sum' || name === 'avg')
    return aggregateFunctions().find((one) => one.name === name && one.argumentTypes[0] === element)!
  const factory = aggregateFactories().find(([one]) => one === name)![1]
  return factory([{ ...argument, type: element }], receiver, scope) as AggregateFunction
}

/** Elements, or keys and values in turn (`width` 2). */
function partsOf(value: Buffer, width: 1 | 2): Buffer[] {
  const parts: Buffer[] = []
  if (value.length === 0) return parts
  let at = 4
  for (let i = value.readInt32BE(0) * width; i > 0; i--) {
    const end = at + 4 + value.readInt32BE(at)
    parts.push(value.subarray(at + 4, end))
    at = end
  }
  return parts
}

function similarity(name: string, run: (a: Float32Array, b: Float32Array) => number): FunctionFactory {
  return (args) => {
    const called = `system.${name}(vector<float, n>, vector<float, n>)`
    if (args.length !== 2) throw invalid(`Invalid number of arguments for function ${called}`)
    const known = args.map(vectorType)
    const types = args.map((argument, i) => {
      const type = known[i] ?? known[1 - i] ?? inferType(argument, called)
      if (type.kind === 'vector' && type.element === NATIVE.float) return type
      throw refuse(name, 'float vector', argument, type)
    })
    if (types[0]!.dimension !== types[1]!.dimension) throw invalid('All arguments must have the same vector dimensions')
    args.forEach((argument, i) => {
      if (argument.assignableTo(types[i]!) !== 'not') return
      throw invalid(
        `Type error: ${argument.text} cannot be passed as argument ${i} of function system.${name} of type ${typeToCql(types[i]!)}`,
      )
    })
    return pure(name, types, NATIVE.float, ([a, b]) => {
      const bytes = Buffer.allocUnsafe(4)
      bytes.writeFloatBE(run(floats(a!), floats(b!)))
      return bytes
    })
  }
}

/** An argument's own type where it has one; a list that is written out is a vector of floats here. */
function vectorType({ type, listSize }: FunctionArgument): CqlType | null {
  if (listSize === undefined) return type
  if (listSize === 0) throw invalid('vectors may only have positive dimensions; given 0')
  return { kind: 'vector', element: NATIVE.float, dimension: listSize }
}
