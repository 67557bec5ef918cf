/** One seed of the model check, from its number to a verdict that a person can read. */
import { OPTION_SETS } from './options.ts'
import { type ChangeSpec, createPlan, type MutationSpec, type Operation } from './plan.ts'
import { type Outcome, runPlan } from './runner.ts'
import { shrink } from './shrink.ts'

export interface Verdict extends Outcome {
  readonly seed: number
}

export async function checkSeed(seed: number, operations: number): Promise<Verdict> {
  return { seed, ...(await runPlan(createPlan(seed, operations))) }
}

/** The smallest list of operations found that still fails, as text. */
export async function explain(seed: number, operations: number): Promise<string> {
  let plan = createPlan(seed, operations)
  const first = await runPlan(plan)
  const fails = async (part: readonly Operation[]): Promise<boolean> =>
    (await runPlan({ ...plan, operations: part })).problem !== null
  plan = { ...plan, operations: await shrink(plan.operations.slice(0, first.at + 1), fails) }
  plan = { ...plan, operations: await shrinkWrites(plan.operations, fails) }
  const outcome = await runPlan(plan)
  const { name } = OPTION_SETS[plan.options]!
  return [
    `seed ${seed}, options "${name}", gc_grace ${plan.shape.gcGraceSeconds} s, ${plan.operations.length} operations are enough:`,
    ...plan.operations.map((operation, index) => `  ${index} ${text(operation)}`),
    `at ${outcome.at}: ${outcome.problem}`,
  ].join('\n')
}

/** Leaves out mutations, changes and cells that the failure does not need. */
async function shrinkWrites(
  operations: readonly Operation[],
  fails: (part: readonly Operation[]) => Promise<boolean>,
): Promise<readonly Operation[]> {
  let left = operations
  for (let i = 0; i < left.length; i++) {
    const replaced = (operation: Operation): readonly Operation[] => left.with(i, operation)
    const operation = left[i]!
    if (operation.kind !== 'write') continue
    const write = (mutations: readonly MutationSpec[]): Operation => ({ kind: 'write', mutations })
    let { mutations } = operation
    mutations = await shrink(mutations, (part) => fails(replaced(write(part))), 50)
    for (let j = 0; j < mutations.length; j++) {
      const changed = (changes: readonly ChangeSpec[]): MutationSpec[] =>
        mutations.with(j, { ...mutations[j]!, changes })
      mutations = changed(await shrink(mutations[j]!.changes, (part) => fails(replaced(write(changed(part)))), 50))
      for (let k = 0; k < mutations[j]!.changes.length; k++) {
        const change = mutations[j]!.changes[k]!
        if (change.kind !== 'row') continue
        const withCells = (cells: typeof change.cells): MutationSpec[] =>
          changed(mutations[j]!.changes.with(k, { ...change, cells }))
        mutations = withCells(await shrink(change.cells, (part) => fails(replaced(write(withCells(part)))), 50))
      }
    }
    left = replaced(write(mutations))
  }
  return left
}

function text(operation: Operation): string {
  return JSON.stringify(operation, (_, value: unknown) => {
    if (value === Number.POSITIVE_INFINITY) return 'none'
    return typeof value === 'string' && value.length > 60 ? `${value.slice(0, 20)}… (${value.length})` : value
  })
}
