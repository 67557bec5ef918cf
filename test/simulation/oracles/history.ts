/**
 * What clients asked for and what they were told, with the times of both: the only thing that oracles look at. Times may be of any clock that all
 * clients share and that never goes back (virtual ms in a simulation).
 * Always: an operation took effect, if it did, between `call` and `return`; who was told nothing certain has no `return` (Infinity).
 */

/**
 * `ok`: told that it was done, or refused by its own condition. `unknown`: a timeout or a lost connection, so it may happen at any later time or
 * never. `failed`: told that it never happened and never will (UNAVAILABLE, INVALID, OVERLOADED).
 */
export type Outcome = 'ok' | 'unknown' | 'failed'

export interface Operation<I, O> {
  /** Who asked: one operation after another. For messages only. */
  readonly process: number
  readonly input: I
  readonly call: number
  return: number
  outcome: Outcome
  /** Of `ok` only. */
  output: O | null
}

/** Operations by the key that they are about: what holds of each key alone holds of all (Herlihy & Wing: linearizability is local). */
export class History<I, O> {
  readonly #keys = new Map<string, Operation<I, O>[]>()

  invoke(process: number, key: string, input: I, now: number): Operation<I, O> {
    const operation: Operation<I, O> = {
      process,
      input,
      call: now,
      return: Number.POSITIVE_INFINITY,
      outcome: 'unknown',
      output: null,
    }
    const operations = this.#keys.get(key)
    if (operations) operations.push(operation)
    else this.#keys.set(key, [operation])
    return operation
  }

  complete(operation: Operation<I, O>, output: O, now: number): void {
    operation.return = now
    operation.outcome = 'ok'
    operation.output = output
  }

  /** It never happened. */
  fail(operation: Operation<I, O>, now: number): void {
    operation.return = now
    operation.outcome = 'failed'
  }

  /** Keys in the order in which they were first used. */
  keys(): IterableIterator<[string, Operation<I, O>[]]> {
    return this.#keys.entries()
  }

  get size(): number {
    let size = 0
    for (const operations of this.#keys.values()) size += operations.length
    return size
  }
}

/** Something that must not be, in words for people. */
export interface Violation {
  readonly key: string
  readonly what: string
}

/** Makes one list of what each key's operations show. */
export function checkKeys<I, O>(
  history: History<I, O>,
  check: (operations: readonly Operation<I, O>[]) => readonly string[],
): Violation[] {
  const violations: Violation[] = []
  for (const [key, operations] of history.keys()) for (const what of check(operations)) violations.push({ key, what })
  return violations
}

export function describe(operation: Operation<unknown, unknown>): string {
  const { process, input, call, outcome, output } = operation
  const end = operation.return === Number.POSITIVE_INFINITY ? '…' : operation.return
  const told = outcome === 'ok' ? JSON.stringify(output) : outcome
  return `[${call}, ${end}] process ${process}: ${JSON.stringify(input)} → ${told}`
}
