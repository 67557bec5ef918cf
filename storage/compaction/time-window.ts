/**
 * TimeWindowCompactionStrategy: for data that comes in order of time and goes by TTL. SSTables are grouped by the window (a day, say) of their newest
 * cell; within the newest window they are merged size-tiered, an older window ends as one SSTable, which goes whole when all of it expired.
 * Source: Cassandra. Beyond it: a window that is not over by the clock is never an older one, whatever timestamps lie in the future.
 */
import type { CompactionOptions, SizeTieredOptions, TimeWindowOptions } from '../table-options.ts'
import { buckets, mostInterestingBucket, pendingSizeTiered } from './size-tiered.ts'
import { type Choice, compareSize, type Snapshot, type SSTableInfo, type Task } from './strategy.ts'
import { fullyExpired, worthRewriting } from './tombstones.ts'

type TimeWindow = Extract<CompactionOptions['strategy'], { kind: 'time-window' }>

const MILLI_MICROS = 1000

export function chooseTimeWindow(snapshot: Snapshot, { window, sizeTiered }: TimeWindow): Choice {
  const checked = expiredTask(snapshot, window.expiredCheckMs)
  if (checked.task.kind === 'drop') return checked
  const inputs = pickFromWindows(snapshot, window, sizeTiered)
  if (inputs.length > 0) return { task: mergeOf(inputs, 'compaction'), memory: checked.memory }
  const worth = worthRewriting(snapshot, compareSize)
  return worth === null ? checked : { task: mergeOf([worth], 'tombstones'), memory: checked.memory }
}

function mergeOf(inputs: readonly SSTableInfo[], why: 'compaction' | 'tombstones'): Task {
  return { kind: 'merge', inputs, level: 0, outputBytesMax: Number.POSITIVE_INFINITY, why }
}

/** Drops what expired whole; looked for only every `everyMs`. Rests until the next time else. */
export function expiredTask(snapshot: Snapshot, everyMs: number): Choice {
  const { memory, nowMs, tables } = snapshot
  const sinceMs = nowMs - memory.expiredCheckMs
  // The clock may have been set back.
  if (sinceMs >= 0 && sinceMs < everyMs) return { task: { kind: 'rest', againInMs: everyMs - sinceMs }, memory }
  const inputs = fullyExpired(snapshot)
  // Looked for again until nothing is found: the task may not be carried out.
  if (inputs.length > 0) return { task: { kind: 'drop', inputs, why: 'expired' }, memory }
  const mayExpire = tables.some((table) => table.lastDropSeconds !== Number.POSITIVE_INFINITY)
  const againInMs = mayExpire ? Math.max(everyMs, CHECK_MS_MIN) : null
  return { task: { kind: 'rest', againInMs }, memory: { ...memory, expiredCheckMs: nowMs } }
}

/** `expired_sstable_check_frequency_seconds` may be 0. */
const CHECK_MS_MIN = 1000

/** The start of the window of an SSTable's newest cell, in ms since 1970. */
function windowOf(table: SSTableInfo, window: TimeWindowOptions): number {
  const newestMs = (Number(table.maxTimestamp ?? 0n) * window.timestampUnitMicros) / MILLI_MICROS
  return startOf(newestMs, window)
}

function startOf(ms: number, { windowMs }: TimeWindowOptions): number {
  return Math.floor(ms / windowMs) * windowMs
}

/** By the starts of their windows, newest first. */
function windows(tables: readonly SSTableInfo[], window: TimeWindowOptions): [number, SSTableInfo[]][] {
  const byStart = new Map<number, SSTableInfo[]>()
  for (const table of tables) {
    const start = windowOf(table, window)
    const known = byStart.get(start)
    if (known) known.push(table)
    else byStart.set(start, [table])
  }
  return [...byStart].sort(([a], [b]) => b - a)
}

/** Windows from this on still grow. */
function growingFrom(snapshot: Snapshot, window: TimeWindowOptions): number {
  const newest = Math.max(...snapshot.tables.map((table) => windowOf(table, window)))
  return Math.min(newest, startOf(snapshot.nowMs, window))
}

function pickFromWindows(snapshot: Snapshot, window: TimeWindowOptions, options: SizeTieredOptions): SSTableInfo[] {
  const growing = growingFrom(snapshot, window)
  const idle = snapshot.tables.filter((table) => !table.isCompacting)
  for (const [start, tables] of windows(idle, window)) {
    if (start >= growing) {
      const inputs = mostInterestingBucket(buckets(tables, options), options)
      if (inputs.length > 0) return inputs
    } else if (tables.length > 1) return tables.sort(compareSize).slice(0, Math.max(2, options.maxThreshold))
  }
  return []
}

export function pendingTimeWindow(snapshot: Snapshot, { window, sizeTiered }: TimeWindow): number {
  const growing = growingFrom(snapshot, window)
  let tasks = 0
  for (const [start, tables] of windows(snapshot.tables, window))
    if (start >= growing) tasks += pendingSizeTiered(tables, sizeTiered)
    else if (tables.length > 1) tasks += 1
  return tasks
}

/** Tasks within the windows that still grow. */
export function behindWindow(snapshot: Snapshot, { window, sizeTiered }: TimeWindow): number {
  const growing = growingFrom(snapshot, window)
  const tables = snapshot.tables.filter((table) => windowOf(table, window) >= growing)
  return pendingSizeTiered(tables, sizeTiered)
}

/** Each window's SSTables, where there are several: for a major compaction. */
export function windowsToMerge(snapshot: Snapshot, window: TimeWindowOptions): SSTableInfo[][] {
  const idle = snapshot.tables.filter((table) => !table.isCompacting)
  return windows(idle, window).map(([, tables]) => tables)
}
