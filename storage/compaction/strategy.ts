/**
 * What a compaction strategy is told, and what it answers. A strategy is a function from a snapshot to a choice: it knows no clock, no disk and no state but
 * what the snapshot says; the engine obeys. Source of the form: lsm-tree's `Choice`; of what is chosen: Cassandra's strategies.
 * Always: a task's inputs are live and in no other compaction; when nothing changes, carrying out choices one after another reaches 'rest'.
 */
import type { TableOptions } from '../table-options.ts'

/** What is known of a live SSTable without reading its data. */
export interface SSTableInfo {
  readonly number: number
  readonly level: number
  readonly fileBytes: number
  /** Of its first and its last partition, as bytes that sort. */
  readonly minPosition: Buffer
  readonly maxPosition: Buffer
  /** Of everything in it, as clients or the node gave them, usually µs since 1970. Null: nothing has one. */
  readonly minTimestamp: bigint | null
  readonly maxTimestamp: bigint | null
  /** Seconds since 1970 when its last cell expires or its last tombstone was made; NEVER when something in it stays. */
  readonly lastDropSeconds: number
  /** Share of its cells, 0 to 1, that are tombstones or expired for longer than gc_grace, at least. */
  readonly droppable: number
  /** More of it will be, by time alone. */
  readonly isDroppableLater: boolean
  /** ms since 1970. */
  readonly madeAtMs: number
  /** ms since 1970; 0: not repaired. */
  readonly repairedAtMs: number
  /** It is the input of a task that is not done. */
  readonly isCompacting: boolean
}

/** `lastDropSeconds` of what never expires. */
export const NEVER_DROPPED = Number.POSITIVE_INFINITY

export interface Snapshot {
  /** The live SSTables of the table. */
  readonly tables: readonly SSTableInfo[]
  /** Live ones that no task may take, as they are damaged; what they hold still counts. */
  readonly outside: readonly SSTableInfo[]
  readonly options: TableOptions
  /** Since 1970. */
  readonly nowMs: number
  /** The least timestamp in the memtable and in those that wait to become files; null: they are empty. */
  readonly memtableMinTimestamp: bigint | null
  /** What the choice before this one gave; NO_MEMORY at first. */
  readonly memory: StrategyMemory
}

/** What a strategy remembers from one choice to the next. Nothing is lost but balance when it is forgotten. Plain data. */
export interface StrategyMemory {
  /** Leveled: by level, the greatest position that was compacted last: the next goes on behind it. */
  readonly lastPositions: readonly (Buffer | null)[]
  /** Leveled: by level, choices since the last that wrote to it. */
  readonly roundsWithout: readonly number[]
  /** Time-window and FIFO: when expired SSTables were looked for. */
  readonly expiredCheckMs: number
}

export const NO_MEMORY: StrategyMemory = {
  lastPositions: [],
  roundsWithout: [],
  expiredCheckMs: Number.NEGATIVE_INFINITY,
}

export type Task =
  /** Nothing to do until SSTables or options change, or until so many ms have passed; null: time changes little. */
  | { readonly kind: 'rest'; readonly againInMs: number | null }
  /** Rewrites the inputs as SSTables of `level`, cut between partitions, and only there, when they reach `outputBytesMax`. */
  | {
      readonly kind: 'merge'
      readonly inputs: readonly SSTableInfo[]
      readonly level: number
      readonly outputBytesMax: number
      readonly why: MergeReason
    }
  /** The inputs go to `level` as they are: only the manifest changes. */
  | { readonly kind: 'move'; readonly inputs: readonly SSTableInfo[]; readonly level: number }
  /** The inputs go, whatever is in them. */
  | { readonly kind: 'drop'; readonly inputs: readonly SSTableInfo[]; readonly why: 'expired' | 'size' }

/** For the log and for nodetool: merged for the strategy's order, for tombstones only, or because somebody asked. */
export type MergeReason = 'compaction' | 'tombstones' | 'major'

export interface Choice {
  readonly task: Task
  /** For the next snapshot; of a task that is given up before it begins it should be forgotten. */
  readonly memory: StrategyMemory
}

export const REST: Task = { kind: 'rest', againInMs: null }

/** One line: `merge 12, 15 into level 1 (compaction)`. */
export function describeTask(task: Exclude<Task, { kind: 'rest' }>): string {
  const numbers = task.inputs.map(({ number }) => number).join(', ')
  if (task.kind === 'drop') return `drop ${numbers} (${task.why})`
  if (task.kind === 'move') return `move ${numbers} to level ${task.level}`
  return `merge ${numbers} into level ${task.level} (${task.why})`
}

export function totalBytes(tables: readonly SSTableInfo[]): number {
  let bytes = 0
  for (const table of tables) bytes += table.fileBytes
  return bytes
}

export function overlaps(a: SSTableInfo, b: SSTableInfo): boolean {
  return a.minPosition.compare(b.maxPosition) <= 0 && b.minPosition.compare(a.maxPosition) <= 0
}

/** By the age of what is in them, oldest first. */
export function compareAge(a: SSTableInfo, b: SSTableInfo): number {
  const left = a.maxTimestamp ?? 0n
  const right = b.maxTimestamp ?? 0n
  if (left !== right) return left < right ? -1 : 1
  return a.number - b.number
}

/** Smallest first. */
export function compareSize(a: SSTableInfo, b: SSTableInfo): number {
  return a.fileBytes - b.fileBytes || a.number - b.number
}
