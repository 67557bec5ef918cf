/** How native scalar functions are put together: name, types, and a step that sees no nulls. */
import { hasOwnEmpty } from '../../types/ordered-value.ts'
import type { CqlType } from '../../types/type.ts'
import type { FunctionContext, ScalarFunction } from './function.ts'

/**
 * A pure native function of one or more arguments. An argument that is null makes the result null, and so do zero bytes where the type has no
 * empty value of its own.
 */
export function scalar(
  name: string,
  argumentTypes: readonly CqlType[],
  returnType: CqlType,
  run: (first: Buffer, second: Buffer | undefined, third: Buffer | undefined) => Buffer | null,
): ScalarFunction {
  return {
    kind: 'scalar',
    keyspace: 'system',
    name,
    argumentTypes,
    returnType,
    isPure: true,
    execute: (args) => {
      for (let i = 0; i < args.length; i++) {
        const argument = args[i]
        if (argument === null || argument === undefined) return null
        if (argument.length === 0 && !hasOwnEmpty(argumentTypes[i]!)) return null
      }
      return run(args[0]!, args[1] ?? undefined, args[2] ?? undefined)
    },
  }
}

/** A native function of no arguments that gives another value each time. */
export function source(name: string, returnType: CqlType, run: (context: FunctionContext) => Buffer): ScalarFunction {
  return {
    kind: 'scalar',
    keyspace: 'system',
    name,
    argumentTypes: [],
    returnType,
    isPure: false,
    execute: (_args, context) => run(context),
  }
}
