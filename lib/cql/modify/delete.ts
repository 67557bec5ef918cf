/** DELETE. Source: CQL 3.4.7 "DELETE"; order of checks and messages are those of Cassandra 5.0. */
import { invalid } from '../../base/errors.ts'
import type { TableSchema } from '../../schema/table.ts'
import type { DeleteStatement } from '../ast.ts'
import { toModification } from '../causal/to-modification.ts'
import type { TermScope } from '../terms/terms.ts'
import { compileRestrictions, type Restrictions } from '../where/restrictions.ts'
import type { Modification } from './modify.ts'
import { ColumnWrites, compileDeletion } from './modify-assignments.ts'
import { compileModificationClauses } from './modify-clauses.ts'
import { type Condition, isRegularCondition, onlyStatics } from './modify-conditions.ts'
import { rowKeyOf } from './modify-keys.ts'
import { type MutationSink, writeTarget } from './modify-sink.ts'

export function compileDelete(
  statement: DeleteStatement,
  table: TableSchema,
  scope: TermScope,
  sink: MutationSink,
): Modification {
  const { using, condition: ifClause } = statement
  const { attributes, causal, condition } = compileModificationClauses(using, ifClause, null, table, scope)
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
    onlyStatics: statement.targets.length > 0 && onlyStatics(regulars, statics, condition),
    scope,
  })
  if (condition !== null) checkConditional(restrictions, table, regulars.length > 0 || statics.length === 0, condition)
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
  } as const
  return toModification(parts, causal, scope.variables, sink)
}

/** A condition needs one row to look at, unless only static columns are in play. */
function checkConditional(
  restrictions: Restrictions,
  table: TableSchema,
  deletesRegulars: boolean,
  condition: Condition,
): void {
  const namesRow = table.clustering.length === 0 || (restrictions.restrictsClustering && !restrictions.isColumnRange)
  if (namesRow) return
  const rule = 'DELETE statements must restrict all PRIMARY KEY columns with equality relations in order to'
  if (deletesRegulars) throw invalid(`${rule} delete non static columns`)
  if (isRegularCondition(condition)) throw invalid(`${rule} use IF condition on non static columns`)
}
