/**
 * Which actors a context may forget, so that it does not grow with every run of every node. Pure.
 * Source: Riak's pruning of vector clocks (small, big, young, old), with the promise that no live version hangs on what is forgotten.
 *
 * An actor goes that has no version or element in the row, and whose last dot is older than the newest of all by seven days, or by three hours (hints
 * are kept so long) and not among the ten newest. Times are relative to the row's newest dot, so the clock is not asked.
 *
 * Contexts that readers are given forget so much at once: what they write with them still replaces all that they saw. What is stored forgets it only
 * when the newest dot, too, is past gc_grace (compaction/purge.ts): an old dot says nothing of how long ago its version was replaced, and a replica
 * that missed that write would bring the version back.
 */
import { compareRanges } from '../row.ts'
import { ACTOR_BYTES, type ContextEntry, contextEntries, spanOf } from './context.ts'

const ENTRIES_MAX = 10
const HOUR_MICROS = 3_600_000_000
const YOUNG_MICROS = 3 * HOUR_MICROS
const OLD_MICROS = 7 * 24 * HOUR_MICROS
const NOTHING: readonly ContextEntry[] = []

/** Whether any may go, whatever dots the row has. */
export function mayForget(bytes: Buffer, start: number, end: number): boolean {
  const { span, size } = spanOf(bytes, start, end)
  return span > (size > ENTRIES_MAX ? YOUNG_MICROS : OLD_MICROS)
}

/** The entries that may go; `dots`: where the dots of the row's versions and elements begin. */
export function prunableEntries(
  bytes: Buffer,
  start: number,
  end: number,
  dots: readonly number[],
): readonly ContextEntry[] {
  if (!mayForget(bytes, start, end)) return NOTHING
  const entries = contextEntries(bytes, start, end)
  const newest = entries.reduce((greatest, { last }) => Math.max(greatest, last), 0)
  const isHeld = ({ actorAt }: ContextEntry): boolean =>
    dots.some((dot) => compareRanges(bytes, actorAt, actorAt + ACTOR_BYTES, bytes, dot, dot + ACTOR_BYTES) === 0)
  const byAge = entries
    .filter((entry) => entry.last < newest - YOUNG_MICROS && !isHeld(entry))
    .sort((a, b) => a.last - b.last || a.actorAt - b.actorAt)
  const old = byAge.findIndex(({ last }) => last >= newest - OLD_MICROS)
  const gone = old < 0 ? byAge.length : old
  return byAge.slice(0, Math.max(gone, Math.min(byAge.length, entries.length - ENTRIES_MAX)))
}
