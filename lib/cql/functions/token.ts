/** token(partition key columns): where a partition stands on the ring. Source: CQL 3.4.7 "Token". */
import { invalid } from '../../base/errors.ts'
import { NATIVE, typeToCql } from '../../types/names.ts'
import { serializePartitionKey, tokenBytes } from '../../types/partition-key.ts'
import type { FunctionFactory } from './function.ts'

/** Its arguments' types are those of the statement's partition key. Any null makes it null. */
export const tokenFactory: FunctionFactory = (args, _receiver, scope) => {
  const types = scope.partitionKey
  if (types === null) throw invalid('No receiver table has been specified for function system.token')
  if (args.length !== types.length)
    throw invalid(
      `Invalid number of arguments in call to function system.token: ${types.length} required but ${args.length} provided`,
    )
  args.forEach((argument, i) => {
    if (argument.assignableTo(types[i]!) === 'not')
      throw invalid(
        `Type error: ${argument.text} cannot be passed as argument ${i} of function system.token of type ${typeToCql(types[i]!)}`,
      )
  })
  return {
    kind: 'scalar',
    keyspace: 'system',
    name: 'token',
    argumentTypes: types,
    returnType: NATIVE.bigint,
    isPure: true,
    execute: (values) => {
      const parts: Buffer[] = []
      for (const value of values) {
        if (value === null) return null
        parts.push(value)
      }
      return tokenBytes(serializePartitionKey(parts))
    },
  }
}
