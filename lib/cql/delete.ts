/** DELETE. Source: CQL 3.4.7 "DELETE"; order of checks and messages are those of Cassandra 5.0. */
import type { TableSchema } from '../schema/table.ts'
import type { DeleteStatement } from './ast.ts'
import { Modification } from './modify.ts'
import { ColumnWrites, compileDeletion } from './modify-assignments.ts'
import { compileAttributes } from './modify-attributes.ts'
import { compileCondition } from './modify-conditions.ts'
import { rowKeyOf } from './modify-keys.ts'
import { type MutationSink, writeTarget } from './modify-sink.ts'
import { compileRestrictions } from './restrictions.ts'
import type { TermScope } from './terms.ts'

export function compileDelete(
  statement: DeleteStatement,
  table: TableSchema,
  scope: TermScope,
  sink: MutationSink,
): Modification {
  const attributes = compileAttributes(statement.using, table.keyspace, table.name, scope)
  const condition = compileCondition(statement.condition, table, scope)
  const writes = new ColumnWrites()
  for (const target of statement.targets) {
    const { column, operation } = compileDeletion(target, table, scope)
    writes.add(column, operation)
  }
  const regulars = writes.of('regular')
  const statics = writes.of('static')
  const restrictions = compileRestrictions({
    type: 'DELETE',
    table,
    where: statement.where,
    allowFiltering: false,
    onlyStatics: regulars.length === 0 && statics.length > 0,
    scope,
  })
  const parts = {
    kind: 'DELETE',
    target: writeTarget(table),
    attributes,
    condition,
    rowKey: rowKeyOf(table, restrictions),
    restrictions,
    restrictsClustering: restrictions.restrictsClustering,
    regulars,
    statics,
    refusal: null,
  } as const
  return new Modification(parts, scope.variables, sink)
}
