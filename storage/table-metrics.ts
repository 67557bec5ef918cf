/** What is counted of one table: requests, their times and what they met. Plain fields, read by whoever shows them. */
import { Histogram } from '../lib/base/histogram.ts'
import { Latency } from '../lib/base/latency.ts'
import type { TableReader } from './sstable/reader.ts'

export class TableMetrics {
  /** Of one partition. */
  readonly reads = new Latency()
  /** Of a range of partitions. */
  readonly scans = new Latency()
  /** Into the memtable; the commit log's part is the coordinator's to tell. */
  readonly writes = new Latency()
  /** SSTables in which a read of one partition looked. */
  readonly tablesPerRead = new Histogram()
  readonly tombstonesPerRead = new Histogram()
  /** Live rows. */
  readonly rowsPerRead = new Histogram()
  /** Bytes of the mutations that were written. */
  mutationBytes = 0
  flushes = 0
  /** Bytes of files. */
  flushedBytes = 0
  compactions = 0
  compactedBytesRead = 0
  compactedBytesWritten = 0
  /** Actors that contexts of rows have forgotten (model/causal/prune.ts). */
  prunings = 0
  /** Of SSTables that are not live any more. */
  #bloomPositives = 0
  #bloomFalsePositives = 0
  #bloomNegatives = 0

  /** One read, however it was answered. Those that met tombstones are all recorded, the others as their times are. */
  read(tables: number, tombstones: number, rows: number): void {
    const { weight } = this.reads
    if (tombstones > 0) this.tombstonesPerRead.record(tombstones)
    if (weight === 0) return
    if (tombstones === 0) this.tombstonesPerRead.record(0, weight)
    this.tablesPerRead.record(tables, weight)
    this.rowsPerRead.record(rows, weight)
  }

  scan(tombstones: number, rows: number): void {
    this.tombstonesPerRead.record(tombstones)
    this.rowsPerRead.record(rows)
  }

  /** Keeps what an SSTable counted before it goes. */
  retire(table: TableReader): void {
    this.#bloomPositives += table.bloomPositives
    this.#bloomFalsePositives += table.bloomFalsePositives
    this.#bloomNegatives += table.bloomNegatives
  }

  bloom(live: Iterable<TableReader>): { positives: number; falsePositives: number; negatives: number } {
    const sum = {
      positives: this.#bloomPositives,
      falsePositives: this.#bloomFalsePositives,
      negatives: this.#bloomNegatives,
    }
    for (const table of live) {
      sum.positives += table.bloomPositives
      sum.falsePositives += table.bloomFalsePositives
      sum.negatives += table.bloomNegatives
    }
    return sum
  }

  /** Called every few seconds: percentiles and rates are of the last minutes. */
  tick(seconds: number): void {
    this.reads.tick(seconds)
    this.scans.tick(seconds)
    this.writes.tick(seconds)
    const kept = Math.exp(-seconds / AGE_SECONDS)
    for (const histogram of [this.tablesPerRead, this.tombstonesPerRead, this.rowsPerRead]) histogram.age(kept)
  }
}

const AGE_SECONDS = 60
