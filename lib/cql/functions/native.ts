/** All native functions by name. The tables are made once, when the module is loaded, and never change. */
import { aggregateFactories, aggregateFunctions } from './aggregates.ts'
import { collectionFactories } from './collections.ts'
import { blobFunctions, castFunctions } from './conversions.ts'
import type { CqlFunction, FunctionFactory } from './function.ts'
import { jsonFactories } from './json.ts'
import { maskFactories } from './masking.ts'
import { mathFunctions } from './math.ts'
import { operatorFunctions } from './operators.ts'
import { timeFunctions } from './time.ts'
import { tokenFactory } from './token.ts'

const FUNCTIONS: ReadonlyMap<string, readonly CqlFunction[]> = byName([
  ...timeFunctions(),
  ...blobFunctions(),
  ...castFunctions(),
  ...operatorFunctions(),
  ...mathFunctions(),
  ...aggregateFunctions(),
])

const FACTORIES: ReadonlyMap<string, FunctionFactory> = new Map<string, FunctionFactory>([
  ['token', tokenFactory],
  ...aggregateFactories(),
  ...collectionFactories(),
  ...jsonFactories(),
  ...maskFactories(),
])

function byName(functions: readonly CqlFunction[]): Map<string, CqlFunction[]> {
  const table = new Map<string, CqlFunction[]>()
  for (const one of functions) {
    const same = table.get(one.name)
    if (same) same.push(one)
    else table.set(one.name, [one])
  }
  return table
}

/** The overloads of a name in lower case; [] for none. */
export function nativeFunctions(name: string): readonly CqlFunction[] {
  return FUNCTIONS.get(name) ?? []
}

/** Makes functions of a name for any types; null when there is no such name. */
export function nativeFactory(name: string): FunctionFactory | null {
  return FACTORIES.get(name) ?? null
}
