/** Which plan a modification is executed by: decided when it is compiled, so that tables of timestamps pay nothing. */
import { Modification, type ModificationParts } from '../modify/modify.ts'
import type { MutationSink } from '../modify/modify-sink.ts'
import type { Variables } from '../terms/terms.ts'
import { CausalModification } from './causal-modification.ts'
import type { CausalClauses } from './clauses.ts'

/** `clauses`: of a statement on a vector-clock table, else null. */
export function toModification(
  parts: ModificationParts,
  clauses: CausalClauses | null,
  variables: Variables,
  sink: MutationSink,
): Modification {
  return clauses === null
    ? new Modification(parts, variables, sink)
    : new CausalModification(parts, clauses, variables, sink)
}
