/** What a statement answers, before the protocol writes it: rows are already bytes ([value]s one after another), all else is plain data. */
import type { SchemaChange } from '../schema/keyspace.ts'
import type { CqlType } from '../types/type.ts'

export interface ColumnSpec {
  readonly keyspace: string
  readonly table: string
  readonly name: string
  readonly type: CqlType
}

export interface ResultMetadata {
  readonly columns: readonly ColumnSpec[]
  /** MD5 over the columns, 16 bytes: result_metadata_id of v5. */
  readonly id: Buffer
}

export interface RowsResult {
  readonly kind: 'rows'
  readonly metadata: ResultMetadata
  readonly rowCount: number
  /** rowCount × columns [value]s: int32 length (-1: null) and that many bytes each. */
  readonly rowBytes: Buffer
  readonly pagingState: Buffer | null
  readonly warnings?: readonly string[]
  /** Of `rowBytes`: whoever copied them, and looks at them no more, may give it back. Absent: it is nobody else's. */
  readonly memory?: LentMemory
}

export interface LentMemory {
  giveBack(): void
}

export type StatementResult =
  | { readonly kind: 'void'; readonly warnings?: readonly string[] }
  | { readonly kind: 'set_keyspace'; readonly keyspace: string; readonly warnings?: readonly string[] }
  | { readonly kind: 'schema_change'; readonly change: SchemaChange; readonly warnings?: readonly string[] }
  | RowsResult
