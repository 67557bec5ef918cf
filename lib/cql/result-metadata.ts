/**
 * Metadata of a result: the columns and the id by which clients of protocol v5 know whether theirs is still right.
 */
import { createHash } from 'node:crypto'
import { typeToClassName } from '../types/class-name.ts'
import type { ColumnSpec, ResultMetadata } from './result.ts'

export function resultMetadata(columns: readonly ColumnSpec[]): ResultMetadata {
  const hash = createHash('md5')
  for (const { keyspace, table, name, type } of columns)
    hash.update([keyspace, table, name, typeToClassName(type), ''].join('\0'))
  return { columns, id: hash.digest() }
}
