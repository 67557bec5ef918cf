/** What the store tells of itself to operators, metrics and tools: counts and sizes as they are at the moment of asking. It changes nothing. */
import type { Clock } from '../lib/runtime/runtime.ts'
import type { Caches } from './caches.ts'
import type { DiskSpace } from './disk-space.ts'
import type { Files } from './files.ts'
import type { Flusher } from './flusher.ts'
import type { TableFile } from './manifest.ts'
import type { FileDescription, StoreStatistics } from './store-words.ts'
import { reportTable, type TableReport } from './table-report.ts'
import type { TableStore } from './table-store.ts'

/** The store's own parts. */
export interface ReportSources {
  readonly clock: Clock
  readonly files: Files | null
  readonly tables: ReadonlyMap<string, TableStore>
  readonly caches: Caches
  readonly flusher: Flusher
  readonly space: DiskSpace | null
  /** Since the store was opened. */
  readonly counts: { readonly writes: number; readonly reads: number }
}

export class StoreReports {
  readonly #from: ReportSources

  constructor(from: ReportSources) {
    this.#from = from
  }

  /** The live SSTables of a table, newest first; those that may hold a partition, if its position is given. */
  liveFiles(id: string, position: Buffer | null = null): FileDescription[] {
    const table = this.#from.tables.get(id)
    if (!table || !this.#from.files) return []
    const described = this.#from.files.manifest.tables.get(id)?.files
    return table.files
      .filter(({ reader }) => position === null || reader.mayHold(position))
      .map(({ number, reader }) => ({
        path: reader.path,
        number,
        level: described?.get(number)?.level ?? 0,
        repairedAtMs: described?.get(number)?.repairedAtMs ?? 0,
        fileBytes: reader.fileBytes,
        statistics: reader.statistics,
      }))
  }

  /** What an operator must look at, in words; empty when all is well. */
  get problems(): string[] {
    const problems: string[] = []
    const { log } = this.#from.files ?? {}
    if (log?.failure) problems.push(`${log.failure.message}: ${String(log.failure.cause)}`)
    else if (log?.blocked) problems.push(`the commit log waits for room: ${String(log.blocked)}`)
    if (this.#from.space?.problem) problems.push(`writes are refused: ${this.#from.space.problem}`)
    for (const { damaged, table } of this.#from.tables.values())
      if (damaged.length > 0)
        problems.push(
          `${damaged.length} SSTables of ${table.keyspace}.${table.name} are damaged: some reads of it fail`,
        )
    if (this.#from.flusher.failure !== null)
      problems.push(`memtables cannot be flushed: ${String(this.#from.flusher.failure)}`)
    return problems
  }

  /** What a table's SSTables hold; partitions that lie in several count in each. Null: the table is not known. */
  tableEstimate(id: string): { readonly partitions: number; readonly bytes: number } | null {
    const table = this.#from.tables.get(id)
    if (!table) return null
    let partitions = 0
    let bytes = 0
    for (const { reader } of table.files) {
      partitions += reader.statistics.partitions
      bytes += reader.statistics.rawBytes
    }
    return { partitions, bytes }
  }

  /** The live SSTables of a table. */
  sstables(id: string): readonly TableFile[] {
    return [...(this.#from.files?.manifest.tables.get(id)?.files.values() ?? [])]
  }

  /** What is counted of a table. Null: the table is not known. */
  tableReport(id: string): TableReport | null {
    const table = this.#from.tables.get(id)
    return table ? reportTable(table, Math.floor(this.#from.clock.wallMicros() / 1e6)) : null
  }

  get statistics(): StoreStatistics {
    let files = 0
    let fileBytes = 0
    for (const table of this.#from.tables.values())
      for (const { reader } of table.files) {
        files++
        fileBytes += reader.fileBytes
      }
    return {
      tables: this.#from.tables.size,
      memtableBytes: this.#from.flusher.bytes,
      files,
      fileBytes,
      commitLogBytes: this.#from.files?.log?.sizeBytes ?? 0,
      commitLogPendingBytes: this.#from.files?.log?.pendingBytes ?? 0,
      caches: this.#from.caches.report(),
      writes: this.#from.counts.writes,
      reads: this.#from.counts.reads,
      flushes: this.#from.flusher.flushes,
      stalls: this.#from.flusher.stalls,
    }
  }
}
