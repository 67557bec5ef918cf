/**
 * Clustering values as they were written. Rows sort by the value of their keys, so 1.0 and 1.00 are one row; the spelling that was inserted first
 * is the one that is shown. Source: Apache Cassandra 5.0.6, which keeps the clustering of a row's first write.
 * Always: only tables with a decimal among their clustering columns have such cells. INSERT writes the cell with the row's liveness, of the same
 * time and TTL, so that it never keeps a row alive; before that it reads which spelling the row has.
 */
import type { RowReader } from '../../../storage/model/row.ts'
import type { TableSchema } from '../../schema/table.ts'
import { NATIVE, someType } from '../../types/names.ts'
import type { CqlType } from '../../types/type.ts'

/** No column has this id, and all have smaller ones: the cell comes last in its row. Its value: a [value] for each clustering column. */
export const SPELLING_COLUMN_ID = 0x0fffffff

/** Are there values of the type that are equal and yet written with different bytes, as 1.0 and 1.00? */
export function hasSpellings(type: CqlType): boolean {
  return someType(type, (part) => part === NATIVE.decimal)
}

/** Rows of the table say how their clusterings were written. */
export function spellsKeys(table: TableSchema): boolean {
  return table.clustering.some(({ type }) => hasSpellings(type))
}

/** Goes to the row's spelling; false: it has none. */
export function seekSpelling(reader: RowReader, nowSeconds: number): boolean {
  while (reader.next()) if (reader.columnId === SPELLING_COLUMN_ID) return reader.isLive(nowSeconds)
  return false
}
