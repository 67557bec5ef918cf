/**
 * Gathers what the rooms count, for system_views and whoever else shows it. The rooms keep plain counters; this asks them when somebody looks,
 * and every few seconds lets rates and percentiles go with the time.
 */
import type { RequestLatencies } from '../cluster/coordinator/latencies.ts'
import type { HintCounts } from '../cluster/hints/handoff.ts'
import type { Store } from '../storage/store.ts'
import type { StoreStatistics } from '../storage/store-words.ts'
import type { TableReport } from '../storage/table-report.ts'
import type { StatementCounts } from './cql/processor.ts'
import type { Clock, Pauses } from './runtime/runtime.ts'
import type { KeyspaceSchema, Schema } from './schema/keyspace.ts'
import type { TableSchema } from './schema/table.ts'
import type { HttpCounters } from './server/http/limits.ts'
import type { ClientCounters } from './server/limits.ts'

export interface MetricsSources {
  readonly clock: Clock
  readonly store: Store
  readonly latencies: RequestLatencies
  readonly pauses: Pauses
  /** Of the process. */
  memory(): MemoryFigures
  schema(): Schema
  statements(): StatementCounts
  metadata(): MetadataFigures
  /** Connections now, and what was counted of all there were. */
  clients(): { readonly connections: number; readonly counters: ClientCounters }
  /** Of keys and values over HTTP; zeros when they are not served. */
  http(): HttpCounters
  /** Null: the node is alone. */
  hints(): HintCounts | null
}

/** Of the log of schema and ring. */
export interface MetadataFigures {
  readonly epoch: number
  /** Those who decide, and whether this node is one of them. */
  readonly members: number
  readonly isMember: boolean
  /** Entries that this node had decided, and attempts that others got in the way of. */
  readonly appended: number
  readonly contended: number
  /** Changes that failed because no majority answered. */
  readonly withoutMajority: number
  /** Snapshots taken over from others: it was far behind. */
  readonly snapshotsTaken: number
}

export interface MemoryFigures {
  readonly residentBytes: number
  /** Of V8's heap. */
  readonly heapBytes: number
  /** In buffers outside it. */
  readonly bufferBytes: number
}

export interface TableFigures {
  readonly table: TableSchema
  readonly coordinator: ReturnType<RequestLatencies['of']>
  /** Null: nothing was ever stored of it. */
  readonly report: TableReport | null
}

const TICK_MS = 5_000

/** Begins to keep rates; dispose it to end. */
export function openMetrics(sources: MetricsSources): Metrics {
  return new Metrics(sources)
}

export class Metrics {
  readonly #sources: MetricsSources
  #timer: Disposable
  #tickedMs: number

  /** Use openMetrics. */
  constructor(sources: MetricsSources) {
    this.#sources = sources
    this.#tickedMs = sources.clock.monotonicMs()
    this.#timer = sources.clock.after(TICK_MS, () => this.#tick())
  }

  #tick(): void {
    const { clock, store, latencies, schema } = this.#sources
    const now = clock.monotonicMs()
    const seconds = Math.max(now - this.#tickedMs, 1) / 1000
    this.#tickedMs = now
    store.tick(seconds)
    latencies.tick(seconds)
    const { tablesById } = schema()
    latencies.keep((table) => tablesById.has(table))
    this.#timer = clock.after(TICK_MS, () => this.#tick())
  }

  /** Of all stored tables. */
  tables(): TableFigures[] {
    const { store, latencies } = this.#sources
    return [...this.#sources.schema().keyspaces.values()]
      .filter((keyspace: KeyspaceSchema) => !keyspace.isVirtual)
      .flatMap((keyspace) => [...keyspace.tables.values()])
      .map((table) => ({ table, coordinator: latencies.of(table.id), report: store.reports.tableReport(table.id) }))
  }

  /** What this node did as a coordinator. */
  get coordinator(): Pick<RequestLatencies, 'counts' | 'readsByLevel'> {
    return this.#sources.latencies
  }

  get statements(): StatementCounts {
    return this.#sources.statements()
  }

  get metadata(): MetadataFigures {
    return this.#sources.metadata()
  }

  get clients(): ReturnType<MetricsSources['clients']> {
    return this.#sources.clients()
  }

  /** Null: the node is alone. */
  get hints(): HintCounts | null {
    return this.#sources.hints()
  }

  get http(): HttpCounters {
    return this.#sources.http()
  }

  get pauses(): Pauses {
    return this.#sources.pauses
  }

  get memory(): MemoryFigures {
    return this.#sources.memory()
  }

  /** Null when everything is in memory only. */
  get compactions(): Store['compactions'] {
    return this.#sources.store.compactions
  }

  get store(): StoreStatistics {
    return this.#sources.store.reports.statistics
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]()
  }
}
