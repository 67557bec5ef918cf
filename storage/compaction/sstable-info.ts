/** What strategies are told of an SSTable, from the manifest's line and the file's statistics. */
import type { TableFile } from '../manifest-edits.ts'
import { droppableBefore, type TableStatistics } from '../sstable/statistics.ts'
import { NEVER_DROPPED, type SSTableInfo } from './strategy.ts'

export interface SSTableState {
  readonly isCompacting: boolean
  /** ms since 1970. */
  readonly madeAtMs: number
  /** Seconds since 1970: tombstones and expired cells from before are droppable. */
  readonly gcBefore: number
}

export function sstableInfo(file: TableFile, statistics: TableStatistics, state: SSTableState): SSTableInfo {
  const { minTimestamp, maxTimestamp, unexpiring, maxLocalDeletionTime } = statistics
  return {
    number: file.number,
    level: file.level,
    fileBytes: file.fileBytes,
    minPosition: file.minPosition,
    maxPosition: file.maxPosition,
    minTimestamp: minTimestamp?.readBigInt64BE() ?? null,
    maxTimestamp: maxTimestamp?.readBigInt64BE() ?? null,
    lastDropSeconds: unexpiring > 0 ? NEVER_DROPPED : maxLocalDeletionTime,
    droppable: droppableShare(statistics, state.gcBefore),
    isDroppableLater: (statistics.dropTimes.at(-1)?.seconds ?? 0) > state.gcBefore,
    madeAtMs: state.madeAtMs,
    repairedAtMs: file.repairedAtMs,
    isCompacting: state.isCompacting,
  }
}

function droppableShare(statistics: TableStatistics, gcBefore: number): number {
  let all = statistics.unexpiring
  for (const { count } of statistics.dropTimes) all += count
  return all === 0 ? 0 : droppableBefore(statistics, gcBefore) / all
}
