/** Types and functions by name, as terms need them. */
import { invalid } from '../base/errors.ts'
import { nativeType } from '../types/names.ts'
import type { CqlType } from '../types/type.ts'
import type { QualifiedName, TypeNode } from './ast.ts'
import type { CqlFunction, FunctionArgument } from './functions/function.ts'
import type { TermScope } from './terms-assign.ts'

export function resolveType(type: TypeNode, _scope: TermScope): CqlType {
  const native = type.kind === 'named' ? nativeType(type.name) : null
  if (native === null) throw invalid('Type hints of this type are not supported yet')
  return native
}

export function resolveFunction(
  _name: QualifiedName,
  _args: readonly FunctionArgument[],
  _receiver: CqlType | null,
  _scope: TermScope,
): CqlFunction | null {
  return null
}
