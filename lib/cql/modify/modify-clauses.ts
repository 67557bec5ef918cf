/** USING and IF of INSERT, UPDATE and DELETE: what of them is of timestamps, and what of vector clocks. */
import type { TableSchema } from '../../schema/table.ts'
import type { ConditionClause, Term, UsingClause } from '../ast.ts'
import { type CausalClauses, compileClauses } from '../causal/clauses.ts'
import type { TermScope } from '../terms/terms.ts'
import { type Attributes, compileAttributes } from './modify-attributes.ts'
import { type Condition, compileCondition } from './modify-conditions.ts'

export interface ModificationClauses {
  readonly attributes: Attributes
  /** Of a statement on a vector-clock table, which has no other condition; else null. */
  readonly causal: CausalClauses | null
  /** Null: the statement has no IF, or one of vector clocks. */
  readonly condition: Condition | null
}

/** `ifVclock`: INSERT's IF VCLOCK; of the others it is a condition like one on a column. Throws INVALID. */
export function compileModificationClauses(
  using: UsingClause,
  condition: ConditionClause,
  ifVclock: Term | null,
  table: TableSchema,
  scope: TermScope,
): ModificationClauses {
  const attributes = compileAttributes(using, table.keyspace, table.name, scope)
  const causal = compileClauses(using, condition, ifVclock, table, scope)
  if (causal !== null) return { attributes, causal, condition: null }
  return { attributes, causal, condition: compileCondition(condition, attributes.timestamp !== null, table, scope) }
}
