/**
 * A range of the ring as pieces, each with the replicas that are asked for it. Source: Cassandra's ReplicaPlanIterator, ReplicaPlanMerger and
 * RangeCommandIterator's concurrency factor.
 * Always: pieces are in the order of the ring, disjoint, and together the range; pure.
 */
import type { ReadCommand } from '../../storage/model/command.ts'
import type { RingNode } from '../ring/topology.ts'
import type { RangePiece, ReadPlan } from './read-plan.ts'
import type { ReadPlans, ReadRoute } from './read-plans.ts'

/** Pieces that are asked for at the same time. */
const CONCURRENCY_MAX = 256
/** From one batch to the next. */
const GROWTH = 4

/** Of what is left of a command. */
export function rangePieces(
  { target, after }: ReadCommand,
  route: ReadRoute,
  level: number,
  plans: ReadPlans,
): RangePiece[] {
  if (target.kind !== 'range') return []
  const start = after === null ? target.start : after.position
  const { end } = target
  if (start !== null && end !== null && start.compare(end) >= 0) return []
  let ring = route.pieces[level]
  if (ring === undefined) {
    ring = ringPieces(route, level, plans)
    route.pieces[level] = ring
  }
  if (start === null && end === null) return [...ring]
  let at = start === null ? 0 : firstEndingAfter(ring, start)
  const pieces: RangePiece[] = []
  for (; at < ring.length; at++) {
    const piece = ring[at]!
    if (end !== null && piece.start !== null && piece.start.compare(end) >= 0) break
    const from = start !== null && (piece.start === null || piece.start.compare(start) < 0) ? start : piece.start
    const to = end !== null && (piece.end === null || piece.end.compare(end) > 0) ? end : piece.end
    pieces.push({ ...piece, start: from, end: to })
  }
  return pieces
}

function firstEndingAfter(pieces: readonly RangePiece[], position: Buffer): number {
  let low = 0
  let high = pieces.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const { end } = pieces[middle]!
    if (end !== null && end.compare(position) <= 0) low = middle + 1
    else high = middle
  }
  return low
}

interface Joined {
  readonly start: Buffer | null
  end: Buffer | null
  plan: ReadPlan
  parts?: RangePiece[]
  /** Who has all of it. */
  holders: readonly RingNode[]
}

/** Neighbours become one piece as long as there are nodes that hold all of it, as near as those that hold the parts. */
function ringPieces(route: ReadRoute, level: number, plans: ReadPlans): RangePiece[] {
  const pieces: Joined[] = []
  for (const range of plans.ringOf(route.placement)) {
    const { natural } = range.replicas
    const plan = plans.planOf(route, range.replicas, level)
    const last = pieces.at(-1)
    const shared = last?.holders.filter((node) => natural.includes(node)) ?? []
    const joined = shared.length > 0 ? plans.planFor(route, shared, level) : null
    if (last && joined && isAsGood(joined, last.plan, plan)) {
      last.parts ??= [{ start: last.start, end: last.end, plan: last.plan }]
      last.parts.push({ start: range.start, end: range.end, plan })
      last.end = range.end
      last.plan = joined
      last.holders = shared
    } else pieces.push({ start: range.start, end: range.end, plan, holders: natural })
  }
  return pieces
}

/** Not if it takes a node into the bargain that neither would ask (it is far, or slow), or the work from this node itself. */
function isAsGood(joined: ReadPlan, a: ReadPlan, b: ReadPlan): boolean {
  if (joined.unavailable !== null || a.unavailable !== null || b.unavailable !== null) return false
  const isSelf = ({ contacts }: ReadPlan): boolean => contacts[0]?.isSelf === true
  const far = ({ contacts }: ReadPlan): number => contacts.filter(({ isNear }) => !isNear).length
  const asks = ({ contacts }: ReadPlan, hostId: string): boolean =>
    contacts.some((contact) => contact.hostId === hostId)
  return (
    isSelf(joined) === isSelf(a) &&
    isSelf(joined) === isSelf(b) &&
    far(joined) <= Math.max(far(a), far(b)) &&
    joined.contacts.every(({ hostId }) => asks(a, hostId) || asks(b, hostId))
  )
}

/**
 * How many rows the ring's parts gave lately, to whoever read the table: what a read begins with. Whoever asks for something else of the table may
 * ask for too many pieces at first; limits and bytes are shared by them, however many they are.
 */
export class RowDensity {
  /** Rows in the whole ring, if all of it were like what was read last; null: nothing was. */
  #rows: number | null = null

  /** How many of the pieces to ask for first. */
  concurrencyFor(pieces: readonly RangePiece[], limit: number): number {
    if (this.#rows === null) return 1
    const most = Math.min(pieces.length, CONCURRENCY_MAX)
    let expected = 0
    for (let i = 0; i < most; i++) {
      expected += this.#rows * shareOf(pieces[i]!)
      if (expected >= limit) return i + 1
    }
    return Math.max(1, most)
  }

  /** `pieces` gave so many rows: all that there are in them, but in the last. */
  found(pieces: readonly RangePiece[], rows: number): void {
    let share = 0
    for (const piece of pieces) share += shareOf(piece)
    if (share > 0) this.#rows = rows / share
  }
}

const TOKENS = 2 ** 32

/** Which part of the ring it is: 0 to 1. */
function shareOf({ start, end }: RangePiece): number {
  const from = start === null ? 0 : start.readUInt32BE(0)
  const to = end === null ? TOKENS : end.readUInt32BE(0)
  return (to - from) / TOKENS
}

/** How many pieces to ask for next, after so many pieces gave so many rows. */
export function concurrencyAfter(before: number, pieces: number, rows: number, limit: number): number {
  const most = Math.min(before * GROWTH, CONCURRENCY_MAX)
  if (rows === 0) return most
  return Math.max(1, Math.min(most, Math.ceil((limit - rows) / (rows / pieces))))
}
