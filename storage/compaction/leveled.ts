/**
 * LeveledCompactionStrategy: SSTables of one size in levels, each ten times the one above; within a level (but level 0, where flushes arrive)
 * no two overlap. A read looks into one SSTable a level, old versions go soon; each cell is rewritten about ten times a level.
 * Source: LevelDB, and what Cassandra's LeveledManifest makes of it: highest levels first, size-tiered merges in level 0 when it falls behind, round-robin
 * within a level, starved levels drawn in.
 * Always: what a task writes to a level overlaps nothing there but the task's own inputs, whatever other tasks run. SSTables that break this (a level
 * means little after another strategy ruled) count as of level 0.
 */
import type { CompactionOptions, LeveledOptions, SizeTieredOptions } from '../table-options.ts'
import { buckets, mostInterestingBucket, pendingSizeTiered } from './size-tiered.ts'
import {
  type Choice,
  compareAge,
  overlaps,
  type Snapshot,
  type SSTableInfo,
  type StrategyMemory,
  type Task,
  totalBytes,
} from './strategy.ts'
import { tombstoneTask } from './tombstones.ts'

type Leveled = Extract<CompactionOptions['strategy'], { kind: 'leveled' }>
type Merge = Extract<Task, { kind: 'merge' }>

/** Levels above 0. */
export const LEVEL_MAX = 8
/** More SSTables than this in level 0: it is behind, and is merged within itself first, or each batch would rewrite all of level 1. */
const LEVEL_0_BEHIND = 32
/** A level is full when it holds this much more than it should. */
const FULL = 1.001
/** Choices without one that writes to a level before one of its SSTables is drawn into another's compaction. */
const STARVED_AFTER = 25
/** Level 0 should hold so many SSTables' bytes. */
const LEVEL_0_TABLES = 4

export function chooseLeveled(snapshot: Snapshot, { leveled, sizeTiered }: Leveled): Choice {
  const levels = levelsOf(snapshot.tables)
  const merge = candidates(levels, snapshot.memory, leveled, sizeTiered)
  if (merge === null) {
    const output = {
      level: (table: SSTableInfo) => levels.findIndex((level) => level.includes(table)),
      bytesMax: leveled.sstableBytes,
    }
    return { task: tombstoneTask(snapshot, mostDroppable, output), memory: snapshot.memory }
  }
  const memory = remember(snapshot.memory, merge, levels)
  return {
    task: leveled.singleUplevel && canMove(merge) ? { kind: 'move', inputs: merge.inputs, level: merge.level } : merge,
    memory,
  }
}

/** What is alone needs no rewriting; but from level 0 it comes larger than an SSTable should be, and is cut. */
function canMove({ inputs, level, outputBytesMax }: Merge): boolean {
  return inputs.length === 1 && (level > 1 || inputs[0]!.fileBytes <= outputBytesMax * FULL)
}

/** The SSTables by level, each level above 0 in order of positions and without overlaps; what would overlap is in level 0. */
export function levelsOf(tables: readonly SSTableInfo[]): SSTableInfo[][] {
  const levels: SSTableInfo[][] = Array.from({ length: LEVEL_MAX + 1 }, () => [])
  for (const table of tables) levels[Math.min(Math.max(table.level, 0), LEVEL_MAX)]!.push(table)
  for (let i = 1; i <= LEVEL_MAX; i++) {
    const kept: SSTableInfo[] = []
    for (const table of levels[i]!.sort((a, b) => a.minPosition.compare(b.minPosition) || a.number - b.number)) {
      const before = kept.at(-1)
      if (before !== undefined && table.minPosition.compare(before.maxPosition) <= 0) levels[0]!.push(table)
      else kept.push(table)
    }
    levels[i] = kept
  }
  return levels
}

/** Bytes that a level should hold. */
export function levelBytesMax(level: number, { fanout, sstableBytes }: LeveledOptions): number {
  return level === 0 ? LEVEL_0_TABLES * sstableBytes : fanout ** level * sstableBytes
}

function candidates(
  levels: readonly SSTableInfo[][],
  memory: StrategyMemory,
  options: LeveledOptions,
  sizeTiered: SizeTieredOptions,
): Merge | null {
  const behind = levels[0]!.length > LEVEL_0_BEHIND ? mergeWithinLevel0(levels[0]!, sizeTiered) : null
  for (let level = LEVEL_MAX - 1; level > 0; level--) {
    const idle = levels[level]!.filter((table) => !table.isCompacting)
    if (totalBytes(idle) <= levelBytesMax(level, options) * FULL) continue
    if (behind !== null) return behind
    const inputs = pickFromLevel(levels, level, memory.lastPositions[level] ?? null)
    if (inputs !== null)
      return mergeInto(level + 1, withStarved(inputs, level + 1, levels, memory), options.sstableBytes)
  }
  const inputs = pickFromLevel0(levels, options, sizeTiered.maxThreshold)
  if (inputs === null) return behind
  const isSmall = inputs.every((table) => levels[0]!.includes(table)) && totalBytes(inputs) <= options.sstableBytes
  return isSmall ? mergeInto(0, inputs, Number.POSITIVE_INFINITY) : mergeInto(1, inputs, options.sstableBytes)
}

function mergeInto(level: number, inputs: readonly SSTableInfo[], outputBytesMax: number): Merge {
  return { kind: 'merge', inputs, level, outputBytesMax, why: 'compaction' }
}

function mergeWithinLevel0(level0: readonly SSTableInfo[], options: SizeTieredOptions): Merge | null {
  const idle = level0.filter((table) => !table.isCompacting)
  const inputs = mostInterestingBucket(buckets(idle, options), options)
  return inputs.length === 0 ? null : mergeInto(0, inputs, Number.POSITIVE_INFINITY)
}

/** The next of a level behind the place where the last ended, with what it overlaps in the next level; null: all are busy. */
function pickFromLevel(
  levels: readonly SSTableInfo[][],
  level: number,
  lastPosition: Buffer | null,
): SSTableInfo[] | null {
  const tables = levels[level]!
  const behind = lastPosition === null ? 0 : tables.findIndex((table) => table.minPosition.compare(lastPosition) > 0)
  const first = Math.max(behind, 0)
  for (let i = 0; i < tables.length; i++) {
    const table = tables[(first + i) % tables.length]!
    if (table.isCompacting) continue
    const next = overlapping([table], levels[level + 1]!)
    if (next.some((other) => other.isCompacting)) continue
    return [table, ...next]
  }
  return null
}

/**
 * The oldest of level 0 with all of it that they overlap, at most maxThreshold; and, when they are more than one SSTable's worth, what they overlap
 * in level 1. Null: nothing, or what they overlap is busy.
 */
function pickFromLevel0(
  levels: readonly SSTableInfo[][],
  options: LeveledOptions,
  maxThreshold: number,
): SSTableInfo[] | null {
  // What is being merged may come out as SSTables that reach over the gaps between the inputs.
  const compacting = levels[0]!.filter((table) => table.isCompacting)
  const busy = hull(compacting)
  let remaining = levels[0]!.filter((table) => !table.isCompacting).sort(compareAge)
  let picked: SSTableInfo[] = []
  while (remaining.length > 0 && picked.length <= maxThreshold) {
    const oldest = remaining[0]!
    const group = remaining.filter((table) => overlaps(table, oldest))
    remaining = remaining.filter((table) => !group.includes(table))
    if (compacting.some((table) => overlaps(table, oldest))) continue
    picked.push(...group.filter((table) => busy === null || !overlaps(table, busy)))
  }
  picked = picked.sort(compareAge).slice(0, maxThreshold)
  if (totalBytes(picked) <= options.sstableBytes) return picked.length > 1 ? picked : null
  const next = overlapping(picked, levels[1]!)
  if (next.some((table) => table.isCompacting)) return null
  const reach = hull([...picked, ...next])!
  if (busy !== null && overlaps(busy, reach)) return null
  return [...picked, ...next]
}

/** A place in the order that reaches from the first to the last of the tables. */
function hull(tables: readonly SSTableInfo[]): SSTableInfo | null {
  const [first, ...others] = tables
  if (first === undefined) return null
  let { minPosition, maxPosition } = first
  for (const table of others) {
    if (table.minPosition.compare(minPosition) < 0) minPosition = table.minPosition
    if (table.maxPosition.compare(maxPosition) > 0) maxPosition = table.maxPosition
  }
  return { ...first, minPosition, maxPosition }
}

/** Those that overlap the whole reach of `tables`: their merge may write anywhere in it. */
function overlapping(tables: readonly SSTableInfo[], others: readonly SSTableInfo[]): SSTableInfo[] {
  const reach = hull(tables)
  return reach === null ? [] : others.filter((other) => overlaps(other, reach))
}

/**
 * A level that nothing was written to for long (it was filled when SSTables were smaller, say) keeps data that newer levels cover. One of its SSTables
 * that lies within the reach of the compaction goes along: the target level gets nothing outside that reach.
 */
function withStarved(
  inputs: SSTableInfo[],
  target: number,
  levels: readonly SSTableInfo[][],
  memory: StrategyMemory,
): SSTableInfo[] {
  const highest = levels.findLastIndex((level) => level.length > 0)
  if (highest <= target || (memory.roundsWithout[highest] ?? 0) <= STARVED_AFTER) return inputs
  const reach = hull(inputs)!
  const starved = levels[highest]!.find(
    (table) =>
      !table.isCompacting &&
      table.minPosition.compare(reach.minPosition) >= 0 &&
      table.maxPosition.compare(reach.maxPosition) <= 0,
  )
  return starved ? [...inputs, starved] : inputs
}

function remember(memory: StrategyMemory, merge: Merge, levels: readonly SSTableInfo[][]): StrategyMemory {
  const lastPositions = levels.map((_, level) => memory.lastPositions[level] ?? null)
  const source = merge.level - 1
  if (source > 0) lastPositions[source] = merge.inputs[0]!.maxPosition
  const roundsWithout = levels.map((_, level) => (level === merge.level ? 0 : (memory.roundsWithout[level] ?? 0) + 1))
  return { ...memory, lastPositions, roundsWithout }
}

function mostDroppable(a: SSTableInfo, b: SSTableInfo): number {
  return b.level - a.level || b.droppable - a.droppable || a.number - b.number
}

/** SSTables that are to go up, level by level, as if each were a task of its own; and merges within level 0 when it is behind. */
export function pendingLeveled(tables: readonly SSTableInfo[], { leveled, sizeTiered }: Leveled): number {
  const levels = levelsOf(tables)
  let tasks = 0
  for (let level = 0; level < LEVEL_MAX; level++) {
    const excess = totalBytes(levels[level]!) - levelBytesMax(level, leveled) * FULL
    if (excess > 0) tasks += Math.ceil(excess / leveled.sstableBytes)
  }
  if (levels[0]!.length > LEVEL_0_BEHIND) tasks += pendingSizeTiered(levels[0]!, sizeTiered)
  return tasks
}

/** SSTables of level 0, in tasks of a quarter of what it may have before it is behind. */
export function behindLevel0(tables: readonly SSTableInfo[]): number {
  return Math.floor((levelsOf(tables)[0]!.length / LEVEL_0_BEHIND) * 4)
}
