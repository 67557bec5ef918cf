/** tojson(any). Source: CQL 3.4.7 "toJson()"; names and messages as Apache Cassandra 5.0.6. */
import { invalid } from '../../base/errors.ts'
import { toJson } from '../../types/json.ts'
import { NATIVE } from '../../types/names.ts'
import { inferType } from './aggregates.ts'
import type { FunctionFactory } from './function.ts'

const CALLED = 'system.tojson(any)'

const tojsonFactory: FunctionFactory = (args) => {
  if (args.length !== 1) throw invalid(`Invalid number of arguments for function ${CALLED}`)
  const type = inferType(args[0]!, CALLED)
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

export function jsonFactories(): [string, FunctionFactory][] {
  return [
    ['tojson', tojsonFactory],
    ['to_json', tojsonFactory],
  ]
}
