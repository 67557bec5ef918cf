/**
 * The door to the strategies: what is to be done next with a table's SSTables, how much is due, and what a major compaction does.
 */
import { unreachable } from '../../lib/base/assert.ts'
import { chooseFifo, pendingFifo } from './fifo.ts'
import { behindLevel0, chooseLeveled, LEVEL_MAX, levelBytesMax, pendingLeveled } from './leveled.ts'
import { chooseSizeTiered, pendingSizeTiered } from './size-tiered.ts'
import { type Choice, REST, type Snapshot, type SSTableInfo, type Task, totalBytes } from './strategy.ts'
import { behindWindow, chooseTimeWindow, pendingTimeWindow, windowsToMerge } from './time-window.ts'

export function chooseCompaction(snapshot: Snapshot): Choice {
  const { enabled, strategy } = snapshot.options.compaction
  if (!enabled || snapshot.tables.length === 0) return { task: REST, memory: snapshot.memory }
  switch (strategy.kind) {
    case 'size-tiered':
      return chooseSizeTiered(snapshot, strategy)
    case 'leveled':
      return chooseLeveled(snapshot, strategy)
    case 'time-window':
      return chooseTimeWindow(snapshot, strategy)
    case 'fifo':
      return chooseFifo(snapshot, strategy)
    default:
      return unreachable(strategy)
  }
}

/** An estimate of the compactions that are due, those that run among them. */
export function pendingCompactions(snapshot: Snapshot): number {
  const { tables } = snapshot
  const { enabled, strategy } = snapshot.options.compaction
  if (!enabled || tables.length === 0) return 0
  switch (strategy.kind) {
    case 'size-tiered':
      return pendingSizeTiered(tables, strategy)
    case 'leveled':
      return pendingLeveled(tables, strategy)
    case 'time-window':
      return pendingTimeWindow(snapshot, strategy)
    case 'fifo':
      return pendingFifo(tables, strategy)
    default:
      return unreachable(strategy)
  }
}

/**
 * Of the compactions that are due, those that ever more writes make due: what a look-up must go through grows with them, and writers should slow down.
 * Levels that are too full, or old windows in many pieces (after a change of the strategy, say), are no reason: they wait, and reads bear them.
 */
export function compactionsBehind(snapshot: Snapshot): number {
  const { enabled, strategy } = snapshot.options.compaction
  if (!enabled || snapshot.tables.length === 0) return 0
  switch (strategy.kind) {
    case 'size-tiered':
      return pendingSizeTiered(snapshot.tables, strategy)
    case 'leveled':
      return behindLevel0(snapshot.tables)
    case 'time-window':
      return behindWindow(snapshot, strategy)
    case 'fifo':
      return 0
    default:
      return unreachable(strategy)
  }
}

/**
 * All that is not in a compaction, merged as far as the strategy's order allows: into one, into one level, each window into one. For those who ask for it,
 * also when compaction by itself is off. Single SSTables are rewritten too: their tombstones may go.
 */
export function majorCompactions(snapshot: Snapshot): Task[] {
  const { strategy } = snapshot.options.compaction
  const idle = snapshot.tables.filter((table) => !table.isCompacting)
  if (idle.length === 0) return []
  switch (strategy.kind) {
    case 'size-tiered':
    case 'fifo':
      return [major(idle, 0, Number.POSITIVE_INFINITY)]
    case 'time-window':
      return windowsToMerge(snapshot, strategy.window).map((tables) => major(tables, 0, Number.POSITIVE_INFINITY))
    case 'leveled': {
      // While others run, only level 0 takes what may overlap their outputs.
      if (idle.length < snapshot.tables.length) return [major(idle, 0, Number.POSITIVE_INFINITY)]
      let level = 1
      while (level < LEVEL_MAX && levelBytesMax(level, strategy.leveled) < totalBytes(idle)) level++
      return [major(idle, level, strategy.leveled.sstableBytes)]
    }
    default:
      return unreachable(strategy)
  }
}

function major(inputs: readonly SSTableInfo[], level: number, outputBytesMax: number): Task {
  return { kind: 'merge', inputs, level, outputBytesMax, why: 'major' }
}
