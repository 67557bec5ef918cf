/** Names of function calls, as result columns have them. Source: Cassandra 5.0. */
import type { CqlFunction } from '../functions/function.ts'
import { operatorSymbol } from '../functions/operators.ts'
import { functionText } from '../functions/resolve.ts'

const CAST = 'cast_as_'

export function callName(called: CqlFunction, args: readonly string[]): string {
  const { name } = called
  if (name === 'countRows' || name === 'count_rows') return 'count'
  if (name === '_negate') return `-${args[0]}`
  if (name.startsWith(CAST)) return `cast(${args[0]} as ${name.slice(CAST.length)})`
  const symbol = operatorSymbol(name)
  if (symbol !== null) return `${args[0]} ${symbol} ${args[1]}`
  return `${functionText(called)}(${args.join(', ')})`
}
