/** USING VCLOCK and IF VCLOCK, and what statements on a vector-clock table may not say besides. */
import { invalid } from '../../base/errors.ts'
import { resolutionOf } from '../../schema/resolution.ts'
import type { TableSchema } from '../../schema/table.ts'
import { NATIVE } from '../../types/names.ts'
import type { ConditionClause, Term, UsingClause } from '../ast.ts'
import { needsVclock } from '../modify/modify-attributes.ts'
import { compileTerm, type TermScope, type Value } from '../terms/terms.ts'

/** Of a statement on a vector-clock table. At most one of the two is there. */
export interface CausalClauses {
  /** USING VCLOCK: what the writer has seen. */
  readonly vclock: Value | null
  /** IF VCLOCK = …: the row must hold nothing that this has not seen. */
  readonly ifVclock: Value | null
}

/** Null for a table of timestamps, where `condition` is looked at by others. Throws INVALID. */
export function compileClauses(
  using: UsingClause,
  condition: ConditionClause,
  ifVclock: Term | null,
  table: TableSchema,
  scope: TermScope,
): CausalClauses | null {
  if (resolutionOf(table.options) !== 'vclock') {
    if (using.vclock !== null) throw needsVclock('USING VCLOCK')
    if (ifVclock !== null || (namesVclock(condition) && !table.columns.has('vclock'))) throw needsVclock('IF VCLOCK')
    return null
  }
  if (using.timestamp !== null)
    throw invalid(
      `USING TIMESTAMP is not supported in ${table.keyspace}.${table.name}: with resolution = 'vclock' versions are ordered by what their writers had seen`,
    )
  const given = ifVclock ?? conditionTerm(condition, table)
  if (given !== null && using.vclock !== null)
    throw invalid('IF VCLOCK says what was seen: USING VCLOCK is not supported with it')
  const { keyspace, name } = table
  const compile = (term: Term | null): Value | null =>
    term && compileTerm(term, { keyspace, table: name, name: '[vclock]', type: NATIVE.blob }, scope)
  return { vclock: compile(using.vclock), ifVclock: compile(given) }
}

/** As a condition on a column of that name is written, too. */
function namesVclock(condition: ConditionClause): boolean {
  return condition.kind === 'conditions' && condition.conditions.some(({ column }) => column === 'vclock')
}

function conditionTerm(condition: ConditionClause, { keyspace, name }: TableSchema): Term | null {
  if (condition.kind === 'none') return null
  const only = condition.kind === 'conditions' && condition.conditions.length === 1 ? condition.conditions[0]! : null
  const isVclock = only?.column === 'vclock' && only.element === null && only.field === null && only.operator === '='
  if (isVclock && 'value' in only) return only.value
  const instead = condition.kind === 'not_exists' ? '. IF VCLOCK = null asks that there is no such row' : ''
  throw invalid(
    `Only IF VCLOCK = ? is supported in ${keyspace}.${name}: with resolution = 'vclock' a row may hold several versions, for which other conditions have no one meaning${instead}`,
  )
}
