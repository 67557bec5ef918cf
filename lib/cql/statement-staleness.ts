/** Which changes of a table make the statements that were prepared for it void. Source: Cassandra 5.0's TableMetadata. */
import { sameResolution } from '../schema/resolution.ts'
import type { ColumnSchema, TableSchema } from '../schema/table.ts'
import { typeEquals } from '../types/names.ts'

/** `before` and `after` have the same name. What a statement does not look at (comment, compaction, …) may change under it. */
export function changesStatements(before: TableSchema, after: TableSchema): boolean {
  return (
    before.id !== after.id ||
    before.options.defaultTimeToLive !== after.options.defaultTimeToLive ||
    before.options.gcGraceSeconds !== after.options.gcGraceSeconds ||
    !sameResolution(before.options, after.options) ||
    before.indexes.size !== after.indexes.size ||
    [...before.indexes.keys()].some((name) => !after.indexes.has(name)) ||
    before.columns.size !== after.columns.size ||
    [...before.columns].some(([name, column]) => !sameColumn(column, after.columns.get(name)))
  )
}

function sameColumn(before: ColumnSchema, after: ColumnSchema | undefined): boolean {
  return (
    after !== undefined &&
    before.id === after.id &&
    before.kind === after.kind &&
    before.position === after.position &&
    before.reversed === after.reversed &&
    before.droppedAtMicros === after.droppedAtMicros &&
    typeEquals(before.type, after.type)
  )
}
