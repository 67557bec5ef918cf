/**
 * Metadata of a result: the columns and the id by which clients of protocol v5 know whether theirs is still right.
 */
import { createHash } from 'node:crypto'
import { typeToClassName } from '../types/class-name.ts'
import type { ColumnSpec, ResultMetadata } from './result.ts'

export function resultMetadata(columns: readonly ColumnSpec[]): ResultMetadata {
  return new HashedMetadata(columns)
}

/** Its id is made when somebody asks for it: clients of older versions never do. */
class HashedMetadata implements ResultMetadata {
  readonly columns: readonly ColumnSpec[]
  #id: Buffer | null = null

  constructor(columns: readonly ColumnSpec[]) {
    this.columns = columns
  }

  get id(): Buffer {
    if (this.#id === null) {
      const hash = createHash('md5')
      for (const { keyspace, table, name, type } of this.columns)
        hash.update([keyspace, table, name, typeToClassName(type), ''].join('\0'))
      this.#id = hash.digest()
    }
    return this.#id
  }
}
