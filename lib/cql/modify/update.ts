/** UPDATE. Source: CQL 3.4.7 "UPDATE"; order of checks and messages are those of Cassandra 5.0. */
import type { TableSchema } from '../../schema/table.ts'
import type { UpdateStatement } from '../ast.ts'
import { toModification } from '../causal/to-modification.ts'
import type { TermScope } from '../terms/terms.ts'
import { compileRestrictions } from '../where/restrictions.ts'
import type { Modification } from './modify.ts'
import { ColumnWrites, compileAssignment } from './modify-assignments.ts'
import { compileModificationClauses } from './modify-clauses.ts'
import { onlyStatics } from './modify-conditions.ts'
import { rowKeyOf } from './modify-keys.ts'
import { type MutationSink, writeTarget } from './modify-sink.ts'

export function compileUpdate(
  statement: UpdateStatement,
  table: TableSchema,
  scope: TermScope,
  sink: MutationSink,
): Modification {
  const { using, condition: ifClause } = statement
  const { attributes, causal, condition } = compileModificationClauses(using, ifClause, null, table, scope)
  const writes = new ColumnWrites()
  for (const assignment of statement.assignments) {
    const { column, operation } = compileAssignment(assignment, table, condition !== null, scope)
    writes.add(column, operation)
  }
  const regulars = writes.of('regular')
  const statics = writes.of('static')
  const restrictions = compileRestrictions({
    type: 'UPDATE',
    table,
    where: statement.where,
    allowFiltering: false,
    onlyStatics: onlyStatics(regulars, statics, condition),
    scope,
  })
  const parts = {
    kind: 'UPDATE',
    target: writeTarget(table),
    attributes,
    condition,
    rowKey: rowKeyOf(table, restrictions),
    restrictions,
    restrictsClustering: restrictions.restrictsClustering,
    regulars,
    statics,
  } as const
  return toModification(parts, causal, scope.variables, sink)
}
