/**
 * A register whose versions may expire. Whether one is alive is for clocks to say, which may be wrong: who takes a write adds its TTL to the time of its own wall
 * clock, who takes a read goes by its own, and any node may, once the version has expired by its clock, forget the value for good. So of each operation
 * it is said what the clock of its coordinator may have shown, and of a read what any clock of the cluster has shown until then.
 * Always: nothing is judged that a clock leaves open; what has expired still covers all that is older.
 */
import { checkKeys, describe, type History, type Operation, type Violation } from './history.ts'

/** Whole seconds; both ends included. Null: the clock was changed meanwhile, and may have shown anything. */
export type Seconds = { readonly from: number; readonly to: number } | null

export type ExpiryInput =
  | { readonly kind: 'read' }
  /** Null: a deletion. `ttl` 0: for ever. */
  | { readonly kind: 'write'; readonly value: string | null; readonly timestamp: number; readonly ttl: number }

export type ExpiryOutput =
  | { readonly kind: 'written'; readonly at: Seconds }
  | {
      readonly kind: 'read'
      readonly found: { readonly value: string; readonly timestamp: number } | null
      readonly at: Seconds
      /** The latest that any clock has shown. */
      readonly latest: number
    }

export type ExpiryOperation = Operation<ExpiryInput, ExpiryOutput>

export function checkExpiry(history: History<ExpiryInput, ExpiryOutput>, monotonic: boolean): Violation[] {
  return checkKeys(history, (operations) => checkExpiryKey(operations, monotonic))
}

export function checkExpiryKey(operations: readonly ExpiryOperation[], monotonic: boolean): string[] {
  const writes = operations.filter(({ input, outcome }) => input.kind === 'write' && outcome !== 'failed')
  const reads = operations
    .filter(({ output }) => output?.kind === 'read')
    .sort((a, b) => a.call - b.call || a.return - b.return)
  const violations: string[] = []
  const known: { from: number; timestamp: number; because: ExpiryOperation }[] = []
  for (const write of writes)
    if (write.outcome === 'ok' && write.input.kind === 'write')
      known.push({ from: write.return, timestamp: write.input.timestamp, because: write })
  for (const read of reads) {
    const { output } = read
    if (output?.kind !== 'read') continue
    const { found, at, latest } = output
    const attempted = writes.filter((write) => write.call <= read.return)
    let bound: (typeof known)[number] | null = null
    for (const one of known)
      if (one.from < read.call && (bound === null || one.timestamp > bound.timestamp)) bound = one
    if (found !== null) {
      const write = attempted.find(
        ({ input }) => input.kind === 'write' && input.value === found.value && input.timestamp === found.timestamp,
      )
      const expiry = write === undefined ? null : expiryOf(write)
      if (write === undefined) violations.push(`nobody wrote what this shows: ${describe(read)}`)
      else if (at !== null && expiry !== null && at.from >= expiry.to)
        violations.push(`shows what had expired: ${describe(read)}\n  of ${describe(write)}`)
      else if (bound !== null && found.timestamp < bound.timestamp)
        violations.push(`comes back: ${describe(read)}\n  after ${describe(bound.because)}`)
      else if (monotonic) known.push({ from: read.return, timestamp: found.timestamp, because: read })
      continue
    }
    if (bound === null) continue
    let reason = Number.POSITIVE_INFINITY
    for (const write of attempted) {
      const { input } = write
      if (input.kind !== 'write' || input.timestamp < bound.timestamp) continue
      const mayBeGone = input.value === null || (input.ttl > 0 && latest >= (expiryOf(write)?.from ?? 0))
      if (mayBeGone) reason = Math.min(reason, input.timestamp)
    }
    if (reason === Number.POSITIVE_INFINITY)
      violations.push(`shows nothing: ${describe(read)}\n  after ${describe(bound.because)}`)
    else if (monotonic) known.push({ from: read.return, timestamp: reason, because: read })
  }
  return violations
}

/** The seconds from which on it may be dead, and certainly is; null: nobody can tell. */
function expiryOf({ input, output }: ExpiryOperation): Seconds {
  if (input.kind !== 'write' || input.ttl === 0 || output?.kind !== 'written' || output.at === null) return null
  return { from: output.at.from + input.ttl, to: output.at.to + input.ttl }
}
