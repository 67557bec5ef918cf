/**
 * What partitions agree about with Paxos: which register it is, what a value of it is, and who was before it.
 *
 * value := origin 24 (the ballot under which it was first proposed) | count u8, origins of those decided before it, the last one first, 24 each |
 *          mutation (storage/model/mutation.ts; empty: nothing is written)
 * Always: a value keeps its bytes, its timestamps among them, however often it is proposed again under other ballots. That is right: whatever was
 * decided before it was decided below its origin, whatever is decided after it has an origin above the ballot that decided it.
 * What was decided before it is exactly what its first proposer saw committed: so origins name an unbroken chain, by which a proposer that
 * lost sight of its proposal finds out what became of it.
 */
import { BytesError } from '../../lib/base/bytes.ts'
import { BALLOT_BYTES, type Ballot, compareBallots, readBallot, writeBallot } from './ballot.ts'

/** How many of those before it a value names. */
export const ORIGINS_MAX = 8

export interface Register {
  /** Lower-case UUID. */
  readonly table: string
  /** Of the partition, as storage has it. */
  readonly position: Buffer
}

export function registerName({ table, position }: Register): string {
  return `${table}/${position.toString('latin1')}`
}

/** `before`: the value decided last. */
export function encodeValue(origin: Ballot, before: Buffer | null, mutation: Uint8Array): Buffer {
  const known = before === null ? 0 : Math.min(ORIGINS_MAX - 1, before[BALLOT_BYTES]!)
  const count = before === null ? 0 : known + 1
  const head = BALLOT_BYTES + 1 + count * BALLOT_BYTES
  const value = Buffer.allocUnsafe(head + mutation.length)
  writeBallot(origin, value, 0)
  value[BALLOT_BYTES] = count
  if (before !== null) {
    before.copy(value, BALLOT_BYTES + 1, 0, BALLOT_BYTES)
    before.copy(value, BALLOT_BYTES * 2 + 1, BALLOT_BYTES + 1, BALLOT_BYTES + 1 + known * BALLOT_BYTES)
  }
  value.set(mutation, head)
  return value
}

/** Throws BytesError on what no proposer makes; the mutation is not looked at. */
export function checkValue(value: Buffer): void {
  if (value.length < BALLOT_BYTES + 1 || value.length < headBytes(value))
    throw new BytesError('a value that ends early')
}

function headBytes(value: Buffer): number {
  return BALLOT_BYTES + 1 + value[BALLOT_BYTES]! * BALLOT_BYTES
}

export function originOf(value: Buffer): Ballot {
  return readBallot(value, 0)
}

/** A view. */
export function mutationOf(value: Buffer): Buffer {
  return value.subarray(headBytes(value))
}

/** What is known of a value when a later one was decided. `unknown`: too much happened since. */
export type Fate = 'decided' | 'never' | 'unknown'

/** What became of `value`, if `decided` is a later value that was decided, or itself. */
export function fateOf(value: Buffer, decided: Buffer): Fate {
  const count = decided[BALLOT_BYTES]!
  if (isBallotAt(decided, 0, value, 0)) return 'decided'
  const hasBefore = value[BALLOT_BYTES]! > 0
  let isWithin = hasBefore && isBallotAt(decided, 0, value, BALLOT_BYTES + 1)
  for (let i = 0; i < count; i++) {
    const at = BALLOT_BYTES + 1 + i * BALLOT_BYTES
    if (isBallotAt(decided, at, value, 0)) return 'decided'
    if (hasBefore && isBallotAt(decided, at, value, BALLOT_BYTES + 1)) isWithin = true
  }
  // The chain reaches back to what the value would have come after, or to the beginning.
  if (isWithin || (!hasBefore && count < ORIGINS_MAX)) return 'never'
  return 'unknown'
}

function isBallotAt(a: Buffer, aAt: number, b: Buffer, bAt: number): boolean {
  return a.compare(b, bAt, bAt + BALLOT_BYTES, aAt, aAt + BALLOT_BYTES) === 0
}

/** Whether `value` was first proposed under that ballot. */
export function isFrom(value: Buffer, origin: Ballot): boolean {
  return compareBallots(originOf(value), origin) === 0
}
