/**
 * Clustering values and keys of maps as they were written. Rows sort by the value of their keys, so 1.0 and 1.00 are one row; the spelling that was inserted first
 * is the one that is shown. Source: Apache Cassandra 5.0.6, which keeps the clustering of a row's first write.
 * Always: only tables with a decimal among their clustering columns have such cells, and a row is read for its spelling before it is written;
 * a spelling never keeps a row alive. The cells of maps with a decimal in their keys hold the key's own bytes before the value.
 */
import { ANNOTATION_COLUMN_ID, type RowReader, readInt32 } from '../../../storage/model/row.ts'
import type { TableSchema } from '../../schema/table.ts'
import { isMultiCell, NATIVE, someType } from '../../types/names.ts'
import { keepsBytes } from '../../types/ordered.ts'
import type { CqlType } from '../../types/type.ts'

/** The cell's value: a [value] for each clustering column. */
export const SPELLING_COLUMN_ID = ANNOTATION_COLUMN_ID

const KEY_LENGTH_BYTES = 4
/** The length of a key whose path gives its bytes back. */
const PLAIN_KEY = -1

/** Are there values of the type that are equal and yet written with different bytes, as 1.0 and 1.00? */
export function hasSpellings(type: CqlType): boolean {
  return someType(type, (part) => part === NATIVE.decimal)
}

/** Rows of the table say how their clusterings were written. */
export function spellsKeys(table: TableSchema): boolean {
  return table.clustering.some(({ type }) => hasSpellings(type))
}

/** The cells of the column hold their keys' own bytes. */
export function spellsMapKeys(type: CqlType): boolean {
  return type.kind === 'map' && isMultiCell(type) && hasSpellings(type.key)
}

/** A map's value with the key's own bytes before it: length (-1: the cell's path gives them back), key, value. */
export function withKeySpelling(keyType: CqlType, key: Buffer, value: Buffer): Buffer {
  const isPlain = keepsBytes(keyType, key)
  const head = Buffer.allocUnsafe(KEY_LENGTH_BYTES)
  head.writeInt32BE(isPlain ? PLAIN_KEY : key.length)
  return Buffer.concat(isPlain ? [head, value] : [head, key, value])
}

/** Bytes of the key in a cell's value that begins at `start`; -1: its path gives them back. */
export function spelledKeyLength(bytes: Buffer, start: number): number {
  return readInt32(bytes, start)
}

/** Where the value of a map's cell begins after its key. */
export function afterSpelledKey(bytes: Buffer, start: number): number {
  return start + KEY_LENGTH_BYTES + Math.max(0, readInt32(bytes, start))
}

/** Where the key's own bytes begin. */
export function spelledKeyStart(start: number): number {
  return start + KEY_LENGTH_BYTES
}

/** Goes to the row's spelling; false: it has none. */
export function seekSpelling(reader: RowReader, nowSeconds: number): boolean {
  while (reader.next()) if (reader.columnId === SPELLING_COLUMN_ID) return reader.isLive(nowSeconds)
  return false
}
