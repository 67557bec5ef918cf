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

export function parseLiteral(type: CqlType, text: string): Buffer {
  const name = type.kind === 'native' ? type.name : ''
  if (name === 'text' || name === 'ascii') return Buffer.from(text)
  if (name === 'blob') return Buffer.from(text.slice(2), 'hex')
  if (name === 'boolean') return Buffer.from([text.toLowerCase() === 'true' ? 1 : 0])
  if (name === 'uuid') return Buffer.from(text.replaceAll('-', ''), 'hex')
  const bytes = Buffer.alloc(name === 'int' ? 4 : 8)
  if (name === 'int') bytes.writeInt32BE(Number(text))
  else if (name === 'bigint' || name === 'timestamp') bytes.writeBigInt64BE(BigInt(text))
  else throw invalid(`Literals of type ${name} are not supported yet`)
  return bytes
}
