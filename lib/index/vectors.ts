/** Vectors that an index of directions takes: not those of no length, which have none. Source: SAI of Cassandra 5.0.6 with cosine similarity. */
import { RowReader } from '../../storage/model/row.ts'
import { ReplicaFailure } from '../base/errors.ts'
import { isFloatVector, isVectorIndex, targetOf } from '../schema/index-target.ts'
import type { TableSchema } from '../schema/table.ts'

/** Ids of the columns whose vectors are compared by their directions. */
export function cosineColumns(table: TableSchema): ReadonlySet<number> {
  const ids = new Set<number>()
  for (const index of table.indexes.values()) {
    const target = targetOf(table, index)
    if (target === null || !isVectorIndex(index, target) || !isFloatVector(target.column.type)) continue
    if ((index.options.get('similarity_function') ?? 'cosine').toLowerCase() === 'cosine') ids.add(target.column.id)
  }
  return ids
}

/** Throws ReplicaFailure when a row has a vector of no length in one of the columns. */
export function checkVectors(row: Buffer, start: number, end: number, columns: ReadonlySet<number>): void {
  const reader = new RowReader().reset(row, start, end)
  while (reader.next()) {
    if (!columns.has(reader.columnId) || reader.valueStart === reader.valueEnd) continue
    let squares = 0
    for (let at = reader.valueStart; at + 4 <= reader.valueEnd; at += 4) squares += row.readFloatBE(at) ** 2
    if (!(squares > 0)) throw new ReplicaFailure('UNKNOWN', 0, 'a vector of no length has no direction to compare')
  }
}
