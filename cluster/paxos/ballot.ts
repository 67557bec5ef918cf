/**
 * Ballots: the numbers by which Paxos tells attempts apart. µs of a hybrid clock, then the node that makes the attempt (Lamport, Paxos Made
 * Simple; Cassandra's ballots are timeuuids for the same reason: the µs of the ballot that wins are the timestamp of what it writes).
 * Always: ballots are totally ordered; a source never gives one twice while it lives. After a restart with a clock that went back it may: acceptors
 * therefore promise a ballot once and never again (core.ts), so that a ballot of old can win nothing.
 */
import { assert } from '../../lib/base/assert.ts'
import { uuidBytes, uuidText } from '../../lib/base/uuid.ts'

export interface Ballot {
  /** µs since 1970, below 2^53. */
  readonly micros: number
  /** Host id of the proposer, lower-case UUID. */
  readonly node: string
}

export const BALLOT_BYTES = 24

/** Negative: `a` is the lower one. Null is below every ballot. */
export function compareBallots(a: Ballot | null, b: Ballot | null): number {
  if (a === null || b === null) return (a === null ? 0 : 1) - (b === null ? 0 : 1)
  if (a.micros !== b.micros) return a.micros < b.micros ? -1 : 1
  return a.node < b.node ? -1 : a.node > b.node ? 1 : 0
}

export function highestBallot(a: Ballot | null, b: Ballot | null): Ballot | null {
  return compareBallots(a, b) >= 0 ? a : b
}

/** µs as u64, then the node's 16 bytes: bytes sort as ballots do. */
export function writeBallot(ballot: Ballot, target: Buffer, at: number): void {
  target.writeUInt32BE(Math.floor(ballot.micros / 2 ** 32), at)
  target.writeUInt32BE(ballot.micros >>> 0, at + 4)
  uuidBytes(ballot.node).copy(target, at + 8)
}

export function encodeBallot(ballot: Ballot): Buffer {
  const bytes = Buffer.allocUnsafe(BALLOT_BYTES)
  writeBallot(ballot, bytes, 0)
  return bytes
}

export function readBallot(source: Buffer, at: number): Ballot {
  assert(source.length >= at + BALLOT_BYTES, 'a ballot has 24 bytes')
  const micros = source.readUInt32BE(at) * 2 ** 32 + source.readUInt32BE(at + 4)
  return { micros, node: uuidText(source.subarray(at + 8, at + BALLOT_BYTES)) }
}

/** Where a node's ballots come from: one for all registers, or one for each. */
export class BallotSource {
  readonly #node: string
  readonly #nowMicros: () => number
  #last = 0

  /** `nowMicros`: of the hybrid clock. Only progress hangs on it, never safety. */
  constructor(node: string, nowMicros: () => number) {
    this.#node = node
    this.#nowMicros = nowMicros
  }

  /** Higher than all it gave before, and than `above` also in its µs. */
  next(above: Ballot | null = null): Ballot {
    this.#last = Math.max(this.#nowMicros(), this.#last + 1, above === null ? 0 : above.micros + 1)
    return { micros: this.#last, node: this.#node }
  }
}
