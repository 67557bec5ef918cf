/**
 * Values too large for a secondary index are refused when they are written. Source: Cassandra 5.0.6's CassandraIndex, whose entries are partitions
 * of a table and so have keys of less than 64 KiB; storage-attached indexes have no such bound.
 */
import type { CellBytes } from '../../../storage/model/row.ts'
import { invalid } from '../../base/errors.ts'
import { type IndexTarget, isSai, targetOf } from '../../schema/index-target.ts'
import type { ColumnSchema, IndexSchema, TableSchema } from '../../schema/table.ts'
import { decodePath } from '../../types/ordered.ts'

/** What has fewer bytes may be indexed; who writes more asks below. */
export const INDEXED_BYTES = 65535

/** A key and a value as one: two lengths of two bytes, and a byte after each. */
const ENTRY_BYTES = 6

/** Path and value together: with fewer, no index can be on too much. */
export const INDEXED_BYTES_NEAR = INDEXED_BYTES - ENTRY_BYTES

/** Throws INVALID when an index is on that column as a whole. */
export function checkIndexedValue(table: TableSchema, columnId: number, size: number): void {
  for (const { index, target } of indexesOf(table, columnId))
    if (target.part === 'simple' || target.part === 'full') refuse(table, index, target.column, size)
}

/** Throws INVALID when an index is on the part of the collection's cell that is too large. */
export function checkIndexedCell(table: TableSchema, columnId: number, cell: CellBytes, isRemoved: boolean): void {
  for (const { index, target } of indexesOf(table, columnId)) {
    const { column, part } = target
    const keySize = keyLength(column, cell)
    const valueSize = isRemoved ? 0 : cell.valueEnd - cell.valueStart
    if (part === 'keys' || column.type.kind === 'set') refuse(table, index, column, keySize)
    else if (part === 'values' && !isRemoved) refuse(table, index, column, valueSize)
    else if (part === 'entries' && !isRemoved) refuse(table, index, column, keySize + valueSize + ENTRY_BYTES)
  }
}

function indexesOf(table: TableSchema, columnId: number): { index: IndexSchema; target: IndexTarget }[] {
  const found: { index: IndexSchema; target: IndexTarget }[] = []
  for (const index of table.indexes.values()) {
    const target = isSai(index) ? null : targetOf(table, index)
    if (target !== null && target.column.id === columnId) found.push({ index, target })
  }
  return found
}

function keyLength({ type }: ColumnSchema, cell: CellBytes): number {
  if (type.kind !== 'set' && type.kind !== 'map') return 0
  const path = cell.buffer.subarray(cell.pathStart, cell.pathEnd)
  return decodePath(type.kind === 'set' ? type.element : type.key, path).length
}

function refuse(table: TableSchema, index: IndexSchema, column: ColumnSchema, size: number): void {
  if (size < INDEXED_BYTES) return
  throw invalid(
    `Cannot index value of size ${size} for index ${index.name} on ${table.keyspace}.${table.name}(${column.name}) (maximum allowed size=65535)`,
  )
}
