/**
 * Batches with statements on vector-clock tables. Causal writes of one partition of one table go to its leader as one mutation, which is done as a
 * whole; several partitions have several leaders, and nobody who could promise that all of them do their part: so a logged batch has one.
 * Always: two statements of a batch that write one row have not seen each other.
 */
import { invalid } from '../../base/errors.ts'
import type { BatchPart, BatchType } from '../modify/batch.ts'
import { checkWriteConsistency, VOID_RESULT } from '../modify/modify.ts'
import type { Attributes } from '../modify/modify-attributes.ts'
import type { WriteTarget } from '../modify/modify-sink.ts'
import type { StatementResult } from '../result.ts'
import type { Environment, MaybePromise, QueryOptions } from '../statement.ts'
import { type CausalPart, executeCausalConditional } from './causal-cas.ts'
import { CausalModification, copied } from './causal-modification.ts'
import { type CausalChange, ChangeWriter } from './changes.ts'

function isCausal(part: BatchPart): part is CausalPart {
  return part.modification instanceof CausalModification
}

/** `writeOthers`: executes the statements on other tables. */
export async function executeCausalBatch(
  type: BatchType,
  attributes: Attributes,
  parts: readonly BatchPart[],
  environment: Environment,
  options: QueryOptions,
  writeOthers: (parts: readonly BatchPart[]) => MaybePromise<StatementResult>,
): Promise<StatementResult> {
  if (attributes.timestamp !== null)
    throw invalid("USING TIMESTAMP is not supported in a batch with tables that have resolution = 'vclock'")
  if (parts.some(({ modification }) => modification.isConditional))
    return executeCausalConditional(parts.filter(isCausal), true, environment, options)
  checkWriteConsistency(options.consistency)
  const byTable = new Map<string, { target: WriteTarget; changes: CausalChange[] }>()
  for (const { modification, options: own } of parts) {
    if (!(modification instanceof CausalModification)) continue
    const { target } = modification
    const known = byTable.get(target.table.id) ?? { target, changes: [] }
    byTable.set(target.table.id, known)
    known.changes.push(...(await modification.changes(environment, own)).map(copied))
  }
  const others = parts.filter((part) => !isCausal(part))
  const writer = new ChangeWriter()
  const written = [...byTable.values()].map(({ target, changes }) => ({
    keyspace: target.table.keyspace,
    mutations: changes.length === 0 ? [] : writer.mutations(target, changes).map((mutation) => Buffer.from(mutation)),
  }))
  const partitions = written.reduce((count, { mutations }) => count + mutations.length, 0)
  if (type === 'logged' && (partitions > 1 || others.length > 0))
    throw invalid(
      "A logged batch with tables that have resolution = 'vclock' may write to one partition of one table: use UNLOGGED, or a batch for each",
    )
  const warnings: string[] = []
  const running = written.map(({ keyspace, mutations }) =>
    mutations.length === 0
      ? undefined
      : environment.coordinator.write(mutations, 'CAUSAL', options.consistency, keyspace, warnings),
  )
  if (others.length > 0) {
    const result = await writeOthers(others)
    if (result.warnings !== undefined) warnings.push(...result.warnings)
  }
  await Promise.all(running)
  return warnings.length === 0 ? VOID_RESULT : { kind: 'void', warnings: [...new Set(warnings)] }
}
