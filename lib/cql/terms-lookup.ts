/** Functions by name, as terms need them. */
import type { CqlType } from '../types/type.ts'
import type { QualifiedName } from './ast.ts'
import type { CqlFunction, FunctionArgument } from './functions/function.ts'
import type { TermScope } from './terms-assign.ts'

export function resolveFunction(
  _name: QualifiedName,
  _args: readonly FunctionArgument[],
  _receiver: CqlType | null,
  _scope: TermScope,
): CqlFunction | null {
  return null
}
