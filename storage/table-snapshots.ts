/**
 * Snapshots of a store's tables: flushes, holds the SSTables while they are linked, and forgets what has expired. Writes go on meanwhile.
 * Always: a snapshot holds everything that was acknowledged before it was asked for (unless the flush was to be skipped), and of all its tables the
 * same moment; a table with data that is truncated or dropped while `auto` is on has one first, or is not touched.
 */

import type { Runtime } from '../lib/runtime/runtime.ts'
import { SnapshotError } from './errors.ts'
import type { Manifest } from './manifest.ts'
import type { SnapshotTable } from './snapshot-manifest.ts'
import { type SnapshotFilter, type SnapshotListing, Snapshots, tagProblem } from './snapshots.ts'
import type { TableStore } from './table-store.ts'

export interface SnapshotSettings {
  /** Before a table is truncated or dropped. */
  readonly auto: boolean
  /** Those expire after so long; null: never. */
  readonly autoTtlMs: number | null
  /** CQL that makes a table and what it needs again; '' when it is not known. */
  readonly describe: (tableId: string) => string
  /** Each compaction takes a snapshot of its table first. Default false. */
  readonly beforeCompaction?: boolean
}

export interface TakeOptions {
  readonly tag: string
  /** Ids. */
  readonly tables: readonly string[]
  readonly ttlMs: number | null
  /** What is in memtables only stays out of it. */
  readonly skipFlush: boolean
}

/** A listing, and what it costs. */
export interface SizedSnapshot extends SnapshotListing {
  /** What its SSTables would free, in bytes: those that are live are not counted. */
  readonly freedBytes: number
}

export interface TableSnapshotsOptions {
  readonly runtime: Pick<Runtime, 'disk' | 'clock' | 'log'>
  readonly directory: string
  readonly manifest: Manifest
  readonly settings: SnapshotSettings
  readonly table: (id: string) => TableStore | undefined
  /** Writes out what was written to a table before the call. */
  readonly flush: (id: string) => Promise<void>
}

/** As Cassandra: some time after the start, then every minute at most. */
const FIRST_EXPIRY_MS = 5_000
const EXPIRY_EVERY_MS = 60_000
const EXPIRY_MS_MIN = 1_000
const SOURCE = 'storage/table-snapshots.ts'

export class TableSnapshots {
  readonly #options: TableSnapshotsOptions
  readonly #snapshots: Snapshots
  #timer: Disposable | null = null
  /** When the timer fires, by the monotonic clock. */
  #timerAtMs = Number.POSITIVE_INFINITY
  #closed = false

  constructor(options: TableSnapshotsOptions) {
    this.#options = options
    this.#snapshots = new Snapshots(options.runtime, options.directory)
  }

  async recover(): Promise<void> {
    if (await this.#snapshots.recover()) this.#expireAfter(FIRST_EXPIRY_MS)
  }

  get #nowMs(): number {
    return Math.floor(this.#options.runtime.clock.wallMicros() / 1000)
  }

  /** A snapshot of the tables, those without data included. Throws SnapshotError when one has a snapshot of that name. */
  async take({ tag, tables, ttlMs, skipFlush }: TakeOptions): Promise<void> {
    const problem = tagProblem(tag)
    if (problem !== null) throw new SnapshotError(problem)
    if (!skipFlush) await Promise.all(tables.map((id) => this.#options.flush(id)))
    await this.#link(tag, this.#known(tables), ttlMs)
    if (ttlMs !== null) this.#expireAfter(ttlMs)
  }

  #known(ids: readonly string[]): TableStore[] {
    return ids.map((id) => this.#options.table(id)).filter((table) => table !== undefined)
  }

  async #link(tag: string, tables: readonly TableStore[], ttlMs: number | null): Promise<void> {
    const held = tables.map((table) => ({ table, ...table.hold() }))
    for (const { damaged, table } of tables)
      if (damaged.length > 0)
        this.#options.runtime.log.warn(
          SOURCE,
          `snapshot ${tag} is without ${damaged.length} SSTables of ${table.keyspace}.${table.name}, which are damaged`,
        )
    try {
      const createdAtMs = this.#nowMs
      const parts = held.map(({ table, files }): SnapshotTable => {
        const { keyspace, name, shape = '' } = table.table
        const schema = this.#options.settings.describe(table.id)
        const links = files.map(({ reader }) => ({ path: reader.path, fileBytes: reader.fileBytes }))
        return { id: table.id, keyspace, name, shape, schema, files: links }
      })
      const expiresAtMs = ttlMs === null ? null : createdAtMs + ttlMs
      await this.#snapshots.take({ tag, createdAtMs, expiresAtMs, ephemeral: false, tables: parts })
    } finally {
      for (const { release } of held) release()
    }
  }

  /** What is about to be truncated or dropped, and was flushed, gets a snapshot of its own if it has data and is to have one. */
  async takeBefore(what: 'truncated' | 'dropped', table: TableStore): Promise<void> {
    if (!this.isAutomatic(table) || table.files.length === 0) return
    try {
      const { autoTtlMs } = this.#options.settings
      await this.#takeNamed((atMs) => `${what}-${atMs}-${table.table.name}`, table, autoTtlMs)
      if (autoTtlMs !== null) this.#expireAfter(autoTtlMs)
    } catch (cause) {
      const { keyspace, name } = table.table
      this.#options.runtime.log.error(SOURCE, `${keyspace}.${name} is not ${what}: its snapshot failed`, cause)
      throw new SnapshotError('the snapshot that comes first failed', { cause })
    }
  }

  /** What is about to be compacted gets a snapshot of its files, as Cassandra names it; never removed by itself. */
  async takeBeforeCompaction(table: TableStore): Promise<void> {
    await this.#takeNamed((atMs) => `${atMs}-compact-${table.table.name}`, table, null)
  }

  async #takeNamed(tagAt: (atMs: number) => string, table: TableStore, ttlMs: number | null): Promise<void> {
    for (let atMs = this.#nowMs; ; atMs++) {
      const tag = tagAt(atMs)
      const { keyspace, name } = table.table
      if ((await this.#snapshots.find(tag, keyspace, name)).length > 0) continue
      await this.#link(tag, [table], ttlMs)
      return
    }
  }

  /** Whether the table gets a snapshot before it is truncated or dropped. */
  isAutomatic(table: TableStore): boolean {
    return this.#options.settings.auto && table.table.options.allowAutoSnapshot && table.table.name !== ''
  }

  async list(): Promise<SizedSnapshot[]> {
    const { tables } = this.#options.manifest
    return (await this.#snapshots.list()).map((snapshot) => {
      const live = tables.get(snapshot.tableId)?.files
      let freedBytes = 0
      for (const [name, bytes] of snapshot.files) if (!live?.has(Number.parseInt(name, 10))) freedBytes += bytes
      return { ...snapshot, freedBytes }
    })
  }

  clear(filter: SnapshotFilter): Promise<number> {
    return this.#snapshots.clear(filter)
  }

  /** Folders of a table's parts of a snapshot: several if it was dropped and made again. */
  find(tag: string, keyspace: string, table: string): Promise<string[]> {
    return this.#snapshots.find(tag, keyspace, table)
  }

  #expireAfter(delayMs: number): void {
    const { clock } = this.#options.runtime
    const delay = Math.min(EXPIRY_EVERY_MS, Math.max(EXPIRY_MS_MIN, delayMs))
    const atMs = clock.monotonicMs() + delay
    if (this.#closed || atMs >= this.#timerAtMs) return
    this.#timer?.[Symbol.dispose]()
    this.#timerAtMs = atMs
    this.#timer = clock.after(delay, () => {
      this.#timer = null
      this.#timerAtMs = Number.POSITIVE_INFINITY
      void this.#expire()
    })
  }

  async #expire(): Promise<void> {
    try {
      const next = await this.#snapshots.expire(this.#nowMs)
      if (next !== null) this.#expireAfter(next - this.#nowMs)
    } catch (cause) {
      this.#options.runtime.log.warn(SOURCE, `snapshots that have expired could not be removed: ${String(cause)}`)
      this.#expireAfter(EXPIRY_EVERY_MS)
    }
  }

  close(): void {
    this.#closed = true
    this.#timer?.[Symbol.dispose]()
    this.#timer = null
  }
}
