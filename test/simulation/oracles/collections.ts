/** What is added to and never taken away: sets of unique elements, counters. */
import { checkKeys, describe, type History, type Operation, type Violation } from './history.ts'

export type SetInput = { readonly kind: 'add'; readonly element: string } | { readonly kind: 'read' }
/** Elements as they were given: with repetitions, if there are any. */
export type SetOutput = { readonly kind: 'added' } | { readonly kind: 'read'; readonly elements: readonly string[] }
export type SetOperation = Operation<SetInput, SetOutput>

export interface SetOptions {
  /** What one read showed is shown by each that begins later. Default true. */
  readonly monotonic?: boolean
}

/** Each element acknowledged before a read began is in it; none that nobody added by its end; none twice. */
export function checkSet(history: History<SetInput, SetOutput>, options: SetOptions = {}): Violation[] {
  return checkKeys(history, (operations) => checkSetKey(operations, options))
}

export function checkSetKey(operations: readonly SetOperation[], { monotonic = true }: SetOptions = {}): string[] {
  const violations: string[] = []
  const adds = new Map<string, SetOperation>()
  /** From when on each element must be seen. */
  const since = new Map<string, number>()
  for (const operation of operations) {
    const { input, outcome } = operation
    if (input.kind !== 'add' || outcome === 'failed') continue
    if (adds.has(input.element))
      throw new Error(`${input.element} was added twice: the elements of this test must be unique`)
    adds.set(input.element, operation)
    if (outcome === 'ok') since.set(input.element, operation.return)
  }
  const reads = operations.filter(({ output }) => output?.kind === 'read').sort((a, b) => a.return - b.return)
  for (const read of reads) {
    if (read.output?.kind !== 'read') continue
    const { elements } = read.output
    const found = new Set(elements)
    const where = `a read at [${read.call}, ${read.return}] by process ${read.process}`
    if (found.size < elements.length)
      violations.push(`${where} shows twice: ${elements.filter((one, i) => elements.indexOf(one) !== i).join(', ')}`)
    const foreign = [...found].filter((one) => (adds.get(one)?.call ?? Number.POSITIVE_INFINITY) > read.return)
    if (foreign.length > 0) violations.push(`${where} shows what nobody had added: ${foreign.join(', ')}`)
    const lost = [...since].filter(([one, from]) => from < read.call && !found.has(one)).map(([one]) => one)
    if (lost.length > 0)
      violations.push(`${where} does not show: ${lost.slice(0, 10).join(', ')} (${lost.length} in all)`)
    if (!monotonic) continue
    for (const one of found) if ((since.get(one) ?? Number.POSITIVE_INFINITY) > read.return) since.set(one, read.return)
  }
  return violations
}

export type CounterInput = { readonly kind: 'add'; readonly amount: number } | { readonly kind: 'read' }
export type CounterOutput = { readonly kind: 'added' } | { readonly kind: 'read'; readonly value: number }
export type CounterOperation = Operation<CounterInput, CounterOutput>

/** A read lies between what was acknowledged before it began and what was attempted before it ended, whichever of those in doubt count. */
export function checkCounter(history: History<CounterInput, CounterOutput>): Violation[] {
  return checkKeys(history, checkCounterKey)
}

export function checkCounterKey(operations: readonly CounterOperation[]): string[] {
  const violations: string[] = []
  for (const read of operations) {
    if (read.output?.kind !== 'read') continue
    let least = 0
    let most = 0
    for (const { input, outcome, call, return: end } of operations) {
      if (input.kind !== 'add' || outcome === 'failed' || call > read.return) continue
      const isSure = outcome === 'ok' && end < read.call
      least += isSure ? input.amount : Math.min(input.amount, 0)
      most += isSure ? input.amount : Math.max(input.amount, 0)
    }
    const { value } = read.output
    if (value < least || value > most) violations.push(`not within [${least}, ${most}]: ${describe(read)}`)
  }
  return violations
}
