/**
 * What clients of a table that keeps concurrent versions may be told. Each value is written once, so a value names its write; a write has seen the values
 * that came with the context that it gave back, and all that their writes had seen.
 * Source: the rules of causal histories (Schwarz and Mattern, 1994); Riak's dotted version vectors for what a put replaces.
 */
import { describe, type History, type Operation, type Violation } from './history.ts'

export type VersionInput =
  | { readonly kind: 'read' }
  /** `value` null: a deletion. `seen`: of the read whose context was given back. `conditional`: only if nothing else was written since. */
  | {
      readonly kind: 'write'
      readonly value: string | null
      readonly seen: readonly string[]
      readonly conditional: boolean
    }
  /** A deletion that sees what it finds. */
  | { readonly kind: 'blind delete' }

export type VersionOutput = { readonly kind: 'read'; readonly values: readonly string[] } | { readonly kind: 'written' }

type VersionOperation = Operation<VersionInput, VersionOutput>

interface Write {
  readonly operation: VersionOperation
  readonly value: string | null
  readonly seen: readonly string[]
  readonly conditional: boolean
}

/** A request that nobody heard of again may still be carried out for so long, in ms: nodes and clients give up before. */
const LINGERS_MS = 60_000

export function checkVersions(history: History<VersionInput, VersionOutput>): Violation[] {
  const violations: Violation[] = []
  for (const [key, operations] of history.keys())
    for (const what of new Versions(operations).check()) violations.push({ key, what })
  return violations
}

class Versions {
  readonly #reads: { readonly operation: VersionOperation; readonly values: ReadonlySet<string> }[] = []
  readonly #writes: Write[] = []
  readonly #byValue = new Map<string, Write>()
  /** By value: the writes that had seen it, and were not refused. */
  readonly #seenBy = new Map<string, Write[]>()
  readonly #blind: VersionOperation[] = []
  readonly #covered = new Map<Write, Set<string>>()

  constructor(operations: readonly VersionOperation[]) {
    for (const operation of operations) {
      const { input, output } = operation
      if (input.kind === 'read') {
        if (output?.kind === 'read') this.#reads.push({ operation, values: new Set(output.values) })
      } else if (input.kind === 'blind delete') {
        if (operation.outcome !== 'failed') this.#blind.push(operation)
      } else {
        const write = { operation, value: input.value, seen: input.seen, conditional: input.conditional }
        if (input.value !== null) this.#byValue.set(input.value, write)
        if (operation.outcome === 'failed') continue
        this.#writes.push(write)
        for (const value of input.seen) this.#seenBy.set(value, [...(this.#seenBy.get(value) ?? []), write])
      }
    }
  }

  check(): string[] {
    return [...this.#wrongReads(), ...this.#wrongConditions()]
  }

  *#wrongReads(): Iterable<string> {
    for (const { operation, values } of this.#reads) {
      if (values.size < (operation.output as { values: readonly string[] }).values.length)
        yield `one value is there twice: ${describe(operation)}`
      for (const value of values) {
        const write = this.#byValue.get(value)
        if (write === undefined || write.operation.call > operation.return)
          yield `${value} came from nowhere: ${describe(operation)}`
        else if (write.operation.outcome === 'failed')
          yield `${value} was refused, and is there: ${describe(operation)}; ${describe(write.operation)}`
        else {
          const other = this.#coveredBy(write).find((covered) => values.has(covered))
          if (other !== undefined)
            yield `${value} stands beside ${other}, which its writer had seen: ${describe(operation)}; ${describe(write.operation)}`
          const over = (this.#seenBy.get(value) ?? []).find(
            ({ operation: by }) => by.outcome === 'ok' && by.return < operation.call,
          )
          if (over !== undefined)
            yield `${value} is there, though somebody who had seen it has written: ${describe(operation)}; ${describe(over.operation)}`
        }
      }
      for (const write of this.#writes) {
        const { value, operation: by } = write
        if (value === null || values.has(value) || by.outcome !== 'ok' || by.return >= operation.call) continue
        if (this.#maySupersede(write, operation.return)) continue
        yield `${value} is not there, and nobody who had seen it has written: ${describe(operation)}; ${describe(by)}`
      }
    }
  }

  /** Whether somebody who had seen the value may have written by then. */
  #maySupersede({ value, operation: by }: Write, untilMs: number): boolean {
    if ((this.#seenBy.get(value!) ?? []).some(({ operation }) => operation.call < untilMs)) return true
    return this.#blind.some(({ call, return: end }) => call < untilMs && Math.min(end, call + LINGERS_MS) > by.call)
  }

  /** Of two conditional writes that were applied one has seen the other, or somebody else has. */
  *#wrongConditions(): Iterable<string> {
    if (this.#blind.length > 0) return
    const applied = this.#writes.filter(({ conditional, operation }) => conditional && operation.outcome === 'ok')
    for (const [i, one] of applied.entries())
      for (const other of applied.slice(i + 1)) {
        if (one.value === null || other.value === null) continue
        if (this.#coveredBy(one).includes(other.value) || this.#coveredBy(other).includes(one.value)) continue
        const isSeen = (value: string): boolean => (this.#seenBy.get(value) ?? []).length > 0
        if (isSeen(one.value) || isSeen(other.value)) continue
        yield `both were applied, and neither has seen the other: ${describe(one.operation)}; ${describe(other.operation)}`
      }
  }

  /** All that the write had seen, and all that had been seen by those who wrote that. */
  #coveredBy(write: Write): string[] {
    return [...this.#coveredSet(write)]
  }

  #coveredSet(write: Write): Set<string> {
    const known = this.#covered.get(write)
    if (known !== undefined) return known
    const covered = new Set<string>()
    this.#covered.set(write, covered)
    for (const value of write.seen) {
      covered.add(value)
      const writer = this.#byValue.get(value)
      if (writer !== undefined) for (const other of this.#coveredSet(writer)) covered.add(other)
    }
    return covered
  }
}
