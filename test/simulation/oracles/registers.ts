/**
 * Registers: one value a key, that clients read, write and compare-and-set. Linearizable (lightweight transactions, SERIAL reads): checkRegister.
 * By timestamps, at levels with R + W > N: checkLastWriteWins.
 */

import { checkKeys, describe, type History, type Operation, type Violation } from './history.ts'
import { checkLinearizable, type Model } from './linearizability.ts'

/** Values are unique among all writes of a key; null: there is none. */
export type RegisterInput =
  | { readonly kind: 'read' }
  | { readonly kind: 'write'; readonly value: string | null }
  /** IF v = expected; expected null: IF NOT EXISTS. */
  | { readonly kind: 'cas'; readonly expected: string | null; readonly value: string | null }

/** Of a read, what was read; of a CAS whether it was applied, and what was there if not. */
export type RegisterOutput =
  | { readonly kind: 'read'; readonly value: string | null }
  | { readonly kind: 'written' }
  | { readonly kind: 'cas'; readonly applied: boolean; readonly found: string | null }

export type RegisterOperation = Operation<RegisterInput, RegisterOutput>

const REGISTER: Model<string | null, RegisterOperation> = {
  initial: null,
  key: (state) => (state === null ? 'null' : `=${state}`),
  step(state, { input, output }) {
    switch (input.kind) {
      case 'read':
        return output === null || (output.kind === 'read' && output.value === state) ? state : undefined
      case 'write':
        return input.value
      case 'cas': {
        const holds = state === input.expected
        if (output === null) return holds ? input.value : state
        if (output.kind !== 'cas' || output.applied !== holds) return undefined
        if (holds) return input.value
        return output.found === state ? state : undefined
      }
    }
  },
}

export function checkRegister(history: History<RegisterInput, RegisterOutput>, stepsMax?: number): Violation[] {
  return checkKeys(history, (operations) => checkRegisterKey(operations, stepsMax))
}

export function checkRegisterKey(operations: readonly RegisterOperation[], stepsMax?: number): string[] {
  const verdict = checkLinearizable(REGISTER, relevant(operations), stepsMax)
  if (verdict.kind === 'linearizable') return []
  if (verdict.kind === 'undecided') return ['it was not found out whether the history is linearizable']
  const last = verdict.order.slice(-5).map(describe)
  const next = verdict.stuck.slice(0, 8).map(describe)
  return [
    `not linearizable: after ${verdict.order.length} operations\n  ${last.join('\n  ')}\nnone of\n  ${next.join('\n  ')}`,
  ]
}

/**
 * What the search has to look at. Failed operations never happened. One of unknown outcome whose value nobody can have seen may as well have never
 * happened; one whose value was seen had happened by the time the first who saw it was told so. This keeps the search short.
 */
function relevant(operations: readonly RegisterOperation[]): RegisterOperation[] {
  const seenAt = new Map<string, number>()
  const saw = (value: string | null, end: number): void => {
    if (value !== null) seenAt.set(value, Math.min(end, seenAt.get(value) ?? Number.POSITIVE_INFINITY))
  }
  for (const { input, output, return: end } of operations) {
    if (output?.kind === 'read') saw(output.value, end)
    if (output?.kind !== 'cas' || input.kind !== 'cas') continue
    saw(output.applied ? input.expected : output.found, end)
  }
  // What an operation of unknown outcome compares with was seen by it, if it happened.
  for (let again = true; again; ) {
    again = false
    for (const { input, outcome } of operations) {
      if (outcome !== 'unknown' || input.kind !== 'cas' || input.value === null || input.expected === null) continue
      const end = seenAt.get(input.value)
      if (end === undefined || end >= (seenAt.get(input.expected) ?? Number.POSITIVE_INFINITY)) continue
      saw(input.expected, end)
      again = true
    }
  }
  // A deletion of unknown outcome is always looked at, for nothing tells whether it was seen: so is what it compares with, and so on.
  const perhapsSeen = new Set<string>()
  for (let size = -1; size !== perhapsSeen.size; ) {
    size = perhapsSeen.size
    for (const { input, outcome } of operations) {
      if (outcome !== 'unknown' || input.kind !== 'cas' || input.expected === null) continue
      if (input.value === null || perhapsSeen.has(input.value)) perhapsSeen.add(input.expected)
    }
  }
  const kept: RegisterOperation[] = []
  for (const operation of operations) {
    const { input, outcome } = operation
    if (outcome === 'failed') continue
    if (outcome === 'ok') kept.push(operation)
    else if (input.kind === 'read') continue
    else if (input.value === null) kept.push(operation)
    else {
      const end = seenAt.get(input.value)
      if (end !== undefined) kept.push({ ...operation, return: Math.max(end, operation.call) })
      else if (perhapsSeen.has(input.value)) kept.push(operation)
    }
  }
  return kept
}

/** A register whose versions have timestamps, given by the client or read back. */
export type TimestampedInput =
  | { readonly kind: 'read' }
  /** Null: a deletion. `expiresAt`: when it is gone by itself, on the clock of the history. */
  | { readonly kind: 'write'; readonly value: string | null; readonly timestamp: number; readonly expiresAt?: number }

export type TimestampedOutput =
  | { readonly kind: 'written' }
  /** Value and its timestamp (WRITETIME); null: no row. */
  | { readonly kind: 'read'; readonly found: { readonly value: string; readonly timestamp: number } | null }

export type TimestampedOperation = Operation<TimestampedInput, TimestampedOutput>

export interface LastWriteWinsOptions {
  /** How long before and after its `expiresAt` a value may be gone or seen: expiry counts whole seconds. */
  readonly expirySlack?: number
  /** What one read showed is shown by each that begins later (blocking read repair). Default true. */
  readonly monotonic?: boolean
}

/**
 * Reads and writes at levels with R + W > N: a read that begins after a write was acknowledged shows that version or a newer one, none shows
 * what nobody wrote, and none goes back behind another. So nothing that was deleted comes back.
 */
export function checkLastWriteWins(
  history: History<TimestampedInput, TimestampedOutput>,
  options: LastWriteWinsOptions = {},
): Violation[] {
  return checkKeys(history, (operations) => checkLastWriteWinsKey(operations, options))
}

export function checkLastWriteWinsKey(
  operations: readonly TimestampedOperation[],
  { expirySlack = 0, monotonic = true }: LastWriteWinsOptions = {},
): string[] {
  const writes = operations.filter(({ input, outcome }) => input.kind === 'write' && outcome !== 'failed')
  const reads = operations
    .filter(({ output }) => output?.kind === 'read')
    .sort((a, b) => a.call - b.call || a.return - b.return)
  const violations: string[] = []
  /** Versions known to be there from some time on: acknowledged writes, and what reads showed. */
  const known: { from: number; timestamp: number; because: TimestampedOperation }[] = []
  for (const write of writes)
    if (write.outcome === 'ok' && write.input.kind === 'write')
      known.push({ from: write.return, timestamp: write.input.timestamp, because: write })
  const boundOf = (read: TimestampedOperation) => {
    let bound: (typeof known)[number] | null = null
    for (const one of known)
      if (one.from < read.call && (bound === null || one.timestamp > bound.timestamp)) bound = one
    return bound
  }
  const note = (from: number, timestamp: number, because: TimestampedOperation): void => {
    if (monotonic) known.push({ from, timestamp, because })
  }
  for (const read of reads) {
    const { output } = read
    if (output?.kind !== 'read') continue
    const bound = boundOf(read)
    const least = bound?.timestamp ?? Number.NEGATIVE_INFINITY
    const attempted = writes.filter((write) => write.call <= read.return)
    const { found } = output
    if (found !== null) {
      const write = attempted.find(
        ({ input }) => input.kind === 'write' && input.value === found.value && input.timestamp === found.timestamp,
      )
      if (write === undefined) {
        violations.push(`nobody wrote what this shows: ${describe(read)}`)
        continue
      }
      const expiresAt = write.input.kind === 'write' ? write.input.expiresAt : undefined
      if (expiresAt !== undefined && read.call > expiresAt + expirySlack)
        violations.push(`shows what had expired at ${expiresAt}: ${describe(read)}`)
      if (found.timestamp < least) violations.push(`goes back: ${describe(read)}\n  after ${describe(bound!.because)}`)
      else note(read.return, found.timestamp, read)
      continue
    }
    if (bound === null) continue
    // The oldest version that would explain why nothing is there.
    let reason = Number.POSITIVE_INFINITY
    for (const { input } of attempted) {
      if (input.kind !== 'write' || input.timestamp < least) continue
      const isGone =
        input.value === null || (input.expiresAt !== undefined && input.expiresAt - expirySlack <= read.return)
      if (isGone) reason = Math.min(reason, input.timestamp)
    }
    if (reason === Number.POSITIVE_INFINITY)
      violations.push(`shows nothing: ${describe(read)}\n  after ${describe(bound.because)}`)
    else note(read.return, reason, read)
  }
  return violations
}
