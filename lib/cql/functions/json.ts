/** to_json and from_json, for any type. Source: CQL 3.4.7 "JSON support"; messages as Apache Cassandra 5.0.6. */
import { invalid, RequestError } from '../../base/errors.ts'
import { toJson } from '../../types/json.ts'
import { JsonError, parseJson } from '../../types/json-parse.ts'
import { fromJson, JsonTypeError } from '../../types/json-read.ts'
import { NATIVE, typeToCql } from '../../types/names.ts'
import type { CqlType } from '../../types/type.ts'
import { inferType } from './aggregates.ts'
import type { FunctionFactory } from './function.ts'

export function jsonFactories(): [string, FunctionFactory][] {
  return [
    ['to_json', toJsonFactory],
    ['tojson', toJsonFactory],
    ['from_json', fromJsonFactory('from_json')],
    ['fromjson', fromJsonFactory('fromjson')],
  ]
}

const toJsonFactory: FunctionFactory = (args) => {
  if (args.length !== 1) throw invalid('Invalid number of arguments for function system.tojson(any)')
  const type = inferType(args[0]!, 'system.tojson(any)')
  return {
    kind: 'scalar',
    keyspace: 'system',
    name: 'tojson',
    argumentTypes: [type],
    returnType: NATIVE.text,
    isPure: true,
    execute: ([value]) => Buffer.from(toJson(type, value ?? null)),
  }
}

/** The type it reads is the one that is expected of it. */
function fromJsonFactory(name: string): FunctionFactory {
  return (args, receiver) => {
    if (receiver === null) throw invalid(`${name}() cannot be used in the selection clause of a SELECT statement`)
    if (args.length !== 1) throw invalid('Invalid number of arguments for function system.fromjson(text)')
    const [argument] = args
    if (argument!.type !== null && argument!.assignableTo(NATIVE.text) === 'not')
      throw invalid(
        `Function system.fromjson requires an argument of type text, but found argument ${argument!.text} of type ${typeToCql(argument!.type)}`,
      )
    return {
      kind: 'scalar',
      keyspace: 'system',
      name: 'fromjson',
      argumentTypes: [NATIVE.text],
      returnType: receiver,
      // What is wrong with a text is told when it is executed.
      isPure: false,
      execute: ([value], context) =>
        value === null || value === undefined
          ? null
          : read(receiver, value.toString(), () => Math.floor(context.wallMicros() / 1000)),
    }
  }
}

function read(type: CqlType, text: string, nowMs: () => number): Buffer | null {
  try {
    const value = parseJson(text)
    return value === null ? null : fromJson(type, value, nowMs)
  } catch (error) {
    if (error instanceof JsonError)
      throw failure(
        `execution of 'system.fromjson[text]' failed: Could not decode JSON string '${text}': ${error.javaName}: ${error.message}`,
      )
    if (error instanceof JsonTypeError)
      throw failure(`org.apache.cassandra.serializers.MarshalException: ${error.message}`)
    throw error
  }
}

function failure(message: string): RequestError {
  return new RequestError('FUNCTION_FAILURE', message, {
    keyspace: 'system',
    name: 'fromjson',
    argumentTypes: ['text'],
  })
}
