/** Compactions as the administration interface sees them: what runs, what was done, and what may be asked for. */

/** One that runs. */
export interface RunningCompaction {
  readonly id: string
  readonly kind: string
  readonly keyspace: string
  readonly name: string
  readonly sstables: number
  readonly completedBytes: number
  readonly totalBytes: number
  readonly directory: string
}

/** One that was done. */
export interface PastCompaction {
  readonly id: string
  readonly kind: string
  readonly keyspace: string
  readonly name: string
  readonly compactedAtMs: number
  readonly bytesIn: number
  readonly bytesOut: number
  readonly rowsMerged: ReadonlyMap<number, number>
}

/** What a store lets others do with its compactions. */
export interface CompactionControl {
  concurrent: number
  /** 0: no limit. */
  bytesPerSecond: number
  readonly running: readonly RunningCompaction[]
  /** Newest first. */
  readonly history: readonly PastCompaction[]
  readonly counts: {
    readonly completed: number
    readonly stopped: number
    readonly failed: number
    readonly bytesRead: number
    readonly bytesWritten: number
  }
  pending(table: string): number
  stop(isMeant?: (task: RunningCompaction) => boolean): number
  isAutomatic(table: string): boolean
  setAutomatic(table: string, automatic: boolean): void
  major(table: string, options?: { readonly splitOutput?: boolean }): Promise<void>
  merge(table: string, numbers: ReadonlySet<number>): Promise<void>
  collectGarbage(table: string): Promise<void>
}
