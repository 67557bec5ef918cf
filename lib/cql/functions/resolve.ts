/**
 * From a name and arguments to the function that is meant: overloads by how well the arguments fit, then by the receiver.
 * Source: CQL 3.4.7 "Functions"; choices and messages as Apache Cassandra 5.0.6.
 */
import { invalid } from '../../base/errors.ts'
import { testTypeAssignment } from '../../types/assignment.ts'
import { quoteIdentifier } from '../../types/identifier.ts'
import { typeEquals, typeToCql } from '../../types/names.ts'
import type { CqlType } from '../../types/type.ts'
import type { CqlFunction, FunctionArgument, FunctionName, FunctionScope } from './function.ts'
import { nativeFactory, nativeFunctions } from './native.ts'
import { operatorSymbol } from './operators.ts'

const SYSTEM = 'system'

/**
 * The function that a call means where `receiver` is expected (null: anything). Null: no function has the name, and the caller says so in its words.
 * Throws INVALID when none fits or several do. Casts are functions named `cast_as_int`, operators `_add`, `_substract`, …, `_negate`.
 */
export function resolveFunction(
  name: FunctionName,
  args: readonly FunctionArgument[],
  receiver: CqlType | null,
  scope: FunctionScope,
): CqlFunction | null {
  if (name.keyspace !== null && name.keyspace !== SYSTEM) return null
  const candidates = nativeFunctions(name.name)
  if (candidates.length === 0) return nativeFactory(name.name)?.(args, receiver, scope) ?? null
  if (candidates.length === 1) {
    checkArguments(candidates[0]!, args)
    return candidates[0]!
  }
  return pickBest(name, args, receiver, candidates)
}

function checkArguments(only: CqlFunction, args: readonly FunctionArgument[]): void {
  const { argumentTypes } = only
  if (args.length !== argumentTypes.length)
    throw invalid(
      `Invalid number of arguments in call to function ${functionText(only)}: ${argumentTypes.length} required but ${args.length} provided`,
    )
  args.forEach((argument, i) => {
    const expected = argumentTypes[i]!
    if (argument.assignableTo(expected) === 'not')
      throw invalid(
        `Type error: ${argument.text} cannot be passed as argument ${i} of function ${functionText(only)} of type ${typeToCql(expected)}`,
      )
  })
}

function pickBest(
  name: FunctionName,
  args: readonly FunctionArgument[],
  receiver: CqlType | null,
  candidates: readonly CqlFunction[],
): CqlFunction {
  const fitting: CqlFunction[] = []
  for (const candidate of candidates) {
    if (receiver !== null && testTypeAssignment(receiver, candidate.returnType) === 'not') continue
    const fit = matchArguments(candidate, args)
    if (fit === 'exact') return candidate
    if (fit === 'weak') fitting.push(candidate)
  }
  if (fitting.length === 1) return fitting[0]!
  const symbol = operatorSymbol(name.name)
  if (fitting.length === 0) {
    if (symbol !== null)
      throw invalid(`the '${symbol}' operation is not supported between ${args[0]!.text} and ${args[1]!.text}`)
    throw invalid(
      `Invalid call to function ${nameText(name)}, none of its type signatures match (known type signatures: ${signatures(candidates)})`,
    )
  }
  if (symbol !== null) {
    const chosen = byReceiver(fitting, args, receiver)
    if (chosen !== null) return chosen
    throw invalid(
      `Ambiguous '${symbol}' operation with args ${args[0]!.text} and ${args[1]!.text}: use type hint to disambiguate, example '(int) ?'`,
    )
  }
  if (name.name === '_negate') throw invalid('Ambiguous negation: use type casts to disambiguate')
  throw invalid(
    `Ambiguous call to function ${nameText(name)} (can be matched by following signatures: ${signatures(fitting)}): use type casts to disambiguate`,
  )
}

/** Operators on constants take the type of what they are assigned to. */
function byReceiver(
  fitting: readonly CqlFunction[],
  args: readonly FunctionArgument[],
  receiver: CqlType | null,
): CqlFunction | null {
  if (receiver === null || args.some((argument) => argument.isMarker === true)) return null
  return (
    fitting.find((candidate) => candidate.argumentTypes.every((argument) => typeEquals(argument, receiver))) ?? null
  )
}

function matchArguments(candidate: CqlFunction, args: readonly FunctionArgument[]): 'exact' | 'weak' | 'not' {
  const { argumentTypes } = candidate
  if (args.length !== argumentTypes.length) return 'not'
  let result: 'exact' | 'weak' = 'exact'
  for (let i = 0; i < args.length; i++) {
    const fit = args[i]!.assignableTo(argumentTypes[i]!)
    if (fit === 'not') return 'not'
    if (fit === 'weak') result = 'weak'
  }
  return result
}

/** `system.intasblob`, as messages and column names write it. */
export function functionText(called: CqlFunction): string {
  return `${called.keyspace}.${called.name}`
}

/** As written by the client; operators and casts, which nobody wrote as functions, with their keyspace. */
function nameText(name: FunctionName): string {
  const hidden = name.name.startsWith('_') || name.name.startsWith('cast_as_')
  const keyspace = name.keyspace ?? (hidden ? SYSTEM : null)
  return keyspace === null ? name.name : `${keyspace}.${name.name}`
}

function signatures(functions: readonly CqlFunction[]): string {
  return functions.map(signature).join(', ')
}

function signature(called: CqlFunction): string {
  const args = called.argumentTypes.map(typeToCql).join(', ')
  return `${called.keyspace}.${quoteIdentifier(called.name)} : (${args}) -> ${typeToCql(called.returnType)}`
}
