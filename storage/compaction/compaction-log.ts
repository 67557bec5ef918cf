/** What compactions did since the start: the last ones, and counts of all. */
import type { CompactionRecord, CompactionTask } from './task.ts'

/** Of all tables since the start. */
export interface CompactionCounts {
  readonly completed: number
  readonly stopped: number
  readonly failed: number
  readonly bytesRead: number
  readonly bytesWritten: number
}

export interface CompactionOutcome {
  readonly bytesOut: number
  /** By how many inputs a partition was held: how many partitions. */
  readonly merged: readonly number[]
  /** Since 1970. */
  readonly atMicros: number
}

const RECORDS_MAX = 1_000

export class CompactionLog implements CompactionCounts {
  readonly #records: CompactionRecord[] = []
  completed = 0
  stopped = 0
  failed = 0
  bytesRead = 0
  bytesWritten = 0

  get newestFirst(): CompactionRecord[] {
    return [...this.#records].reverse()
  }

  add(task: CompactionTask, { bytesOut, merged, atMicros }: CompactionOutcome): CompactionRecord {
    const { id, kind, keyspace, name, totalBytes } = task
    const rowsMerged = new Map<number, number>()
    merged.forEach((count, inputs) => {
      if (count > 0) rowsMerged.set(inputs, count)
    })
    const compactedAtMs = Math.floor(atMicros / 1000)
    const record = { id, kind, keyspace, name, compactedAtMs, bytesIn: totalBytes, bytesOut, rowsMerged }
    this.#records.push(record)
    if (this.#records.length > RECORDS_MAX) this.#records.shift()
    this.completed += 1
    this.bytesRead += totalBytes
    this.bytesWritten += bytesOut
    return record
  }
}
