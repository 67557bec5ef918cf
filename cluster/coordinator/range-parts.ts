/**
 * Asks for a piece of a range; and where a replica fails that all of the piece needs, for its ranges one by one. Neighbouring ranges are one piece as long as
 * enough nodes hold all of it, so often just enough: each range by itself has another replica that stands by.
 * Always: the answers are in the order of the ring, and together those of the piece.
 */
import { FailureReason, RequestError } from '../../lib/base/errors.ts'
import type { RangePiece } from './read-plan.ts'

export interface PieceAnswer<T> {
  readonly piece: RangePiece
  readonly answer: T
}

/** `isFirst`: a command that goes on does so there, `after` a position or null. `among`: so many are asked for at the same time. */
export async function askPiece<T>(
  piece: RangePiece,
  after: Buffer | null,
  ask: (piece: RangePiece, isFirst: boolean, among: number) => Promise<T>,
): Promise<PieceAnswer<T>[]> {
  try {
    return [{ piece, answer: await ask(piece, true, 1) }]
  } catch (cause) {
    const parts = othersMayDo(cause) ? partsOf(piece, after) : []
    if (parts.length === 0) throw cause
    const answers = await Promise.all(parts.map((part, i) => ask(part, i === 0, parts.length)))
    return parts.map((part, i) => ({ piece: part, answer: answers[i]! }))
  }
}

/** What every replica would say again. */
const SAME_ELSEWHERE: ReadonlySet<number> = new Set([
  FailureReason.READ_TOO_MANY_TOMBSTONES,
  FailureReason.INCOMPATIBLE_SCHEMA,
  FailureReason.COORDINATOR_BEHIND,
])

/** Silence is not among it: by then the time is up. */
function othersMayDo(cause: unknown): boolean {
  if (!(cause instanceof RequestError) || cause.code !== 'READ_FAILURE') return false
  return cause.fields.failures?.every(({ reason }) => !SAME_ELSEWHERE.has(reason)) === true
}

/** The joined ranges, as far as they are in the piece and not before `after`. */
function partsOf({ start, end, parts = [] }: RangePiece, after: Buffer | null): RangePiece[] {
  const from = after !== null && (start === null || start.compare(after) < 0) ? after : start
  const within: RangePiece[] = []
  for (const part of parts) {
    if (from !== null && part.end !== null && part.end.compare(from) <= 0) continue
    if (end !== null && part.start !== null && part.start.compare(end) >= 0) break
    within.push({
      start: from !== null && (part.start === null || part.start.compare(from) < 0) ? from : part.start,
      end: end !== null && (part.end === null || part.end.compare(end) > 0) ? end : part.end,
      plan: part.plan,
    })
  }
  return within
}
