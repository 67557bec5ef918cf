/**
 * What partitions agree about with Paxos: which register it is, what a value of it is, and who was before it.
 *
 * value := origin 24 (the ballot under which it was first proposed) | count u8, origins of those decided before it, the last one first, 24 each |
 *          mutation (storage/model/mutation.ts; empty: nothing is written)
 * Where nothing is known to have been decided before, a ballot stands in its place up to which something may have been, and was forgotten.
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

/** Below all others. */
export const FIRST_BALLOT: Ballot = { micros: 0, node: '00000000-0000-0000-0000-000000000000' }

/** `before`: the value decided last; or, where none is known, the ballot up to which there may have been some that are forgotten. */
export function encodeValue(origin: Ballot, before: Buffer | Ballot, mutation: Uint8Array): Buffer {
  const known = 'micros' in before ? 0 : Math.min(ORIGINS_MAX - 1, before[BALLOT_BYTES]!)
  const head = BALLOT_BYTES + 1 + (known + 1) * BALLOT_BYTES
  const value = Buffer.allocUnsafe(head + mutation.length)
  writeBallot(origin, value, 0)
  value[BALLOT_BYTES] = known + 1
  if ('micros' in before) writeBallot(before, value, BALLOT_BYTES + 1)
  else {
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

/**
 * What became of `value`, if `decided` is a later value that was decided, or itself. Origins of what is decided ascend, so if the chain reaches back
 * beyond the value's own and does not name it, it was not decided before.
 */
export function fateOf(value: Buffer, decided: Buffer): Fate {
  const origin = originOf(value)
  let reachesBack = false
  for (let i = -1; i < decided[BALLOT_BYTES]!; i++) {
    const order = compareBallots(readBallot(decided, i < 0 ? 0 : BALLOT_BYTES + 1 + i * BALLOT_BYTES), origin)
    if (order === 0) return 'decided'
    if (order < 0) reachesBack = true
  }
  return reachesBack ? 'never' : 'unknown'
}

/** Whether `value` was first proposed under that ballot. */
export function isFrom(value: Buffer, origin: Ballot): boolean {
  return compareBallots(originOf(value), origin) === 0
}
