/**
 * FIFOCompactionStrategy: for data of which the newest part is enough. Nothing is rewritten for order's sake: SSTables go whole, when all of them expired, or,
 * oldest first, when the table is larger than `max_table_size`. Cassandra has no such strategy; the idea is RocksDB's FIFO compaction.
 * What is dropped for size is whatever was written longest ago: values of rows that were updated since, and deletions too.
 */
import type { CompactionOptions, FifoOptions } from '../table-options.ts'
import { type Choice, compareAge, type Snapshot, type SSTableInfo, type Task, totalBytes } from './strategy.ts'
import { expiredTask } from './time-window.ts'

type Fifo = Extract<CompactionOptions['strategy'], { kind: 'fifo' }>

export function chooseFifo(snapshot: Snapshot, options: Fifo): Choice {
  const checked = expiredTask(snapshot, options.expiredCheckMs)
  if (checked.task.kind === 'drop') return checked
  const { memory } = checked
  const oldest = beyondSize(snapshot.tables, options.tableBytesMax)
  if (oldest.length > 0) return { task: { kind: 'drop', inputs: oldest, why: 'size' }, memory }
  const inputs = smallNeighbours(snapshot.tables, options)
  if (inputs.length === 0) return { task: checked.task, memory }
  const task: Task = { kind: 'merge', inputs, level: 0, outputBytesMax: Number.POSITIVE_INFINITY, why: 'compaction' }
  return { task, memory }
}

/** The oldest, as many as it takes. One that is in a compaction is waited for: a newer one never goes before it. */
function beyondSize(tables: readonly SSTableInfo[], bytesMax: number | null): SSTableInfo[] {
  if (bytesMax === null) return []
  let bytes = totalBytes(tables)
  const oldest: SSTableInfo[] = []
  for (const table of [...tables].sort(compareAge)) {
    if (bytes <= bytesMax || table.isCompacting) break
    bytes -= table.fileBytes
    oldest.push(table)
  }
  return oldest
}

/** The first run of SSTables next to each other in age that are small alone; enough of it for one of the wanted size. */
function smallNeighbours(tables: readonly SSTableInfo[], options: FifoOptions): SSTableInfo[] {
  const { sstableBytes, minThreshold, maxThreshold } = options
  let run: SSTableInfo[] = []
  let bytes = 0
  for (const table of [...tables].sort(compareAge)) {
    if (table.isCompacting || table.fileBytes >= sstableBytes) {
      if (run.length >= minThreshold) break
      run = []
      bytes = 0
      continue
    }
    run.push(table)
    bytes += table.fileBytes
    if (run.length >= maxThreshold || (run.length >= minThreshold && bytes >= sstableBytes)) break
  }
  return run.length >= minThreshold ? run : []
}

export function pendingFifo(tables: readonly SSTableInfo[], options: FifoOptions): number {
  const small = smallNeighbours(tables, options).length > 0 ? 1 : 0
  return small + (beyondSize(tables, options.tableBytesMax).length > 0 ? 1 : 0)
}
