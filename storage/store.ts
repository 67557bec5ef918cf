/**
 * One node's data behind one door. Knows tables by their ids, mutations and rows as bytes; neither CQL nor the ring.
 * Always: what apply() took is visible to every read that begins later; a promise that it gave resolves only when the write survives
 * what the commit log's mode promises.
 */
import type { Runtime } from '../lib/runtime/runtime.ts'
import { type ArchiveRestoreOptions, type ArchiveRestoreResult, restoreArchive } from './archive-restore.ts'
import type { Backups } from './backups.ts'
import { Caches } from './caches.ts'
import { Compactions } from './compaction/manager.ts'
import { DiskSpace } from './disk-space.ts'
import { NoRoomError, SnapshotError, StorageError } from './errors.ts'
import { type Files, openFiles } from './files.ts'
import { Flusher } from './flusher.ts'
import { LogRecord } from './log-record.ts'
import { KnownRows } from './model/causal/known-rows.ts'
import type { ReadCommand, ReadResult } from './model/command.ts'
import { createLaws, type Resolution } from './model/merge.ts'
import { MutationReader } from './model/mutation.ts'
import { TableMap } from './model/table-map.ts'
import { PeriodicFlush } from './periodic-flush.ts'
import type { RestoreOptions, RestoreResult } from './restore.ts'
import { StoreReports } from './store-reports.ts'
import type { StoreSettings, Truncation } from './store-words.ts'
import { DEFAULT_TABLE_OPTIONS } from './table-options.ts'
import { type SnapshotSettings, TableSnapshots } from './table-snapshots.ts'
import { type StoredTable, TableStore } from './table-store.ts'
import { Truncations } from './truncations.ts'
import { UnsyncedWrites, whenSynced } from './unsynced.ts'

export interface StoreOptions {
  readonly runtime: Runtime
  /** Null: everything is in memory only. */
  readonly directory: string | null
  readonly settings?: StoreSettings
}

const MEMTABLE_BYTES_MAX = 256 * 1024 * 1024
const SEGMENT_BYTES = 32 * 1024 * 1024
const NO_SNAPSHOTS: SnapshotSettings = { auto: false, autoTtlMs: null, describe: () => '' }
const DEBT_PERIOD_MS = 1_000
/** What a table is taken for between the start and its registration. */
const UNREGISTERED: StoredTable = {
  keyspace: '',
  name: '',
  durableWrites: true,
  hasClustering: true,
  options: DEFAULT_TABLE_OPTIONS,
}

/** Opens a store and replays its commit log. Refuses (CorruptionError) what is damaged. The caller holds a lock of the directory. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { runtime, directory, settings = {} } = options
  if (directory === null) return new Store(runtime, settings, null)
  const files = await openFiles({
    runtime,
    directory,
    commitLogDirectory: settings.commitLogDirectory ?? `${directory}/commitlog`,
    blockCacheBytes: settings.blockCacheBytes,
    indexCacheBytes: settings.indexCacheBytes,
    openFilesMax: settings.openFilesMax,
    incrementalBackups: settings.incrementalBackups ?? false,
    damage: settings.damage ?? {},
  })
  const store = new Store(runtime, settings, files)
  try {
    await store.recover()
  } catch (error) {
    await store.abandon()
    throw error
  }
  return store
}

interface Registration {
  readonly id: string
  readonly table: StoredTable
}

export class Store {
  readonly #runtime: Runtime
  readonly #settings: StoreSettings
  readonly #files: Files | null
  /** Null: there are no files. */
  readonly snapshots: TableSnapshots | null
  /** Null: there are no files. */
  readonly compactions: Compactions | null
  readonly caches: Caches
  readonly reports: StoreReports
  readonly #truncations: Truncations
  readonly #flusher: Flusher
  readonly #space: DiskSpace | null
  readonly #periodicFlush: PeriodicFlush
  readonly #laws = createLaws()
  /** Of rows of vector-clock tables, for those who lead writes of them. */
  readonly knownRows: KnownRows
  #forgettings = 0
  readonly #tables = new Map<string, TableStore>()
  /** The same, as mutations name them. */
  readonly #byId = new TableMap<TableStore>()
  readonly #mutation = new MutationReader()
  readonly #record = new LogRecord()
  /** Null: nothing is told to wait for a sync. */
  readonly #unsynced: UnsyncedWrites | null
  #registering: { readonly tables: Registration[]; readonly done: Promise<void> } | null = null
  #closing: Promise<void> | null = null
  #debtTimer: Disposable | null = null
  readonly #counts = { writes: 0, reads: 0 }

  /** Use openStore. */
  constructor(runtime: Runtime, settings: StoreSettings, files: Files | null) {
    this.#runtime = runtime
    this.#settings = settings
    this.#files = files
    this.knownRows = new KnownRows({ random: runtime.random.stream('known rows') })
    this.snapshots = files
      ? new TableSnapshots({
          runtime,
          directory: files.directory,
          manifest: files.manifest,
          settings: settings.snapshots ?? NO_SNAPSHOTS,
          table: (id) => this.#tables.get(id),
          flush: (id) => this.#flusher.flush(id),
        })
      : null
    this.#unsynced = files && settings.commitLog?.mode !== 'periodic' ? new UnsyncedWrites() : null
    this.caches = new Caches(files, settings.rowCacheBytes ?? 0)
    this.#flusher = new Flusher({
      clock: runtime.clock,
      log: runtime.log,
      bytesMax: files ? (settings.memtableBytesMax ?? MEMTABLE_BYTES_MAX) : Number.POSITIVE_INFINITY,
      tables: () => this.#tables.values(),
      flush: (id) => this.#flushNow(id),
    })
    this.compactions = files
      ? new Compactions({
          runtime,
          files,
          settings: settings.compaction ?? {},
          inTurn: (table, work) => this.#flusher.run(table, work),
          beforeMerge: settings.snapshots?.beforeCompaction
            ? (table) => this.snapshots!.takeBeforeCompaction(table)
            : null,
        })
      : null
    this.#truncations = new Truncations({
      files,
      snapshots: this.snapshots,
      compactions: this.compactions,
      inTurn: (table, work) => this.#flusher.run(table, work),
    })
    this.#space = files ? createDiskSpace(runtime, settings, files) : null
    this.#periodicFlush = new PeriodicFlush(runtime.clock, (id) => this.#flushWritten(id))
    this.reports = new StoreReports({
      clock: runtime.clock,
      files,
      tables: this.#tables,
      caches: this.caches,
      flusher: this.#flusher,
      space: this.#space,
      counts: this.#counts,
    })
  }

  /** Opens what the manifest names and replays the commit log. For openStore. */
  async recover(): Promise<void> {
    const files = this.#files!
    await this.snapshots?.recover()
    for (const id of files.manifest.tables.keys()) await files.openTable(this.#add(id, UNREGISTERED))
    const { mode = 'group', ...others } = this.#settings.commitLog ?? {}
    await files.openLog(
      {
        ...others,
        mode,
        requestFlush: (tables) => this.#requestFlush(tables),
        onFailure: (error) => this.#settings.onFailure?.(error),
      },
      (mutation, position) => this.#replay(mutation, position),
      () => this.#flusher.full(),
    )
    await this.#space?.start()
  }

  #replay(mutation: Buffer, position: number): string | null {
    const reader = this.#mutation.reset(mutation)
    const table = this.#byId.find(mutation, reader.tableStart)
    if (table === null || position < this.#files!.manifest.tables.get(table.id)!.flushedPosition) return null
    this.#insert(table, reader)
    return table.id
  }

  /** Gives back what a failed start had taken. For openStore. */
  async abandon(): Promise<void> {
    await this.#space?.close()
    this.#periodicFlush.close()
    this.snapshots?.close()
    await this.compactions?.close()
    await this.#flusher.close()
    await this.#files?.close(this.#tables.values()).catch(() => {})
  }

  /** Makes a table known, or changes what is known of it. It is durable when the promise resolves: write to the table only then. */
  registerTable(id: string, table: StoredTable): Promise<void> {
    if (this.#registering === null) {
      const tables: Registration[] = []
      this.#registering = { tables, done: this.#register(tables) }
    }
    this.#registering.tables.push({ id, table })
    return this.#registering.done
  }

  async #register(tables: readonly Registration[]): Promise<void> {
    // What else is asked for in this tick goes into the same edit of the manifest.
    await Promise.resolve()
    this.#registering = null
    await this.#files?.register(tables)
    for (const { id, table } of tables) {
      const known = this.#tables.get(id)
      if (known?.changeTable(table)) this.knownRows.forgetRoom()
      const store = known ?? this.#add(id, table)
      void this.compactions?.changed(store)
      if (this.#files) this.#periodicFlush.set(id, table.options.memtableFlushPeriodMs)
    }
  }

  /** Ids of all tables that have data or may have: those of a schema change that was cut short can be dropped. */
  get tableIds(): string[] {
    return [...this.#tables.keys()]
  }

  #add(id: string, table: StoredTable): TableStore {
    const made = new TableStore(id, table, {
      clock: this.#runtime.clock,
      laws: this.#laws,
      rowCache: this.caches.rows.bytesMax > 0 ? this.caches.rows : null,
      froze: (bytes) => this.#flusher.froze(bytes),
      wrote: (bytes) => this.#flusher.wrote(bytes),
      freed: (bytes) => this.#flusher.freed(bytes),
      forgot: () => {
        this.#forgettings++
      },
      gained: () => this.knownRows.forgetRoom(),
      failed: (store, error) => this.#files?.damaged.report(store, error),
    })
    this.#tables.set(id, made)
    this.#byId.set(id, made)
    return made
  }

  /** The law by which versions of the table's rows merge; of a table that is not known: by timestamps. */
  resolutionOf(id: string): Resolution {
    return this.#tables.get(id)?.resolution ?? this.#laws.lww
  }

  /** Forgets a table and its data. Writes to it are passed over from now on, reads find nothing. */
  async dropTable(id: string): Promise<void> {
    const table = this.#tables.get(id)
    if (!table) return
    this.#tables.delete(id)
    this.#periodicFlush.set(id, 0)
    this.#byId.delete(id)
    await this.compactions?.drop(id)
    await this.#flusher.run(id, async () => {
      table.swapMemtable(0)
      while (table.pending) table.settlePending(null)
      await this.#files?.drop(table)
    })
  }

  /**
   * Takes SSTables into a table, while it is read and written: all of them or none. Throws SnapshotError when they are not of this table,
   * CorruptionError when one is damaged.
   */
  async restore(id: string, options: RestoreOptions): Promise<RestoreResult> {
    const table = this.#tables.get(id)
    if (!table || !this.#files) throw new SnapshotError('the table keeps nothing on disk')
    const result = await this.#files.restore(table, options, (work) => this.#flusher.run(table.id, work))
    void this.compactions?.changed(table)
    return result
  }

  /** Whether new SSTables are hard-linked into backups/; null: nothing is kept on disk. */
  get backups(): Backups | null {
    return this.#files?.backups ?? null
  }

  /** Reads all SSTables of a table and checks them. Throws CorruptionError at the first thing that is wrong. */
  async verify(id: string): Promise<void> {
    const held = this.#tables.get(id)?.hold()
    try {
      for (const { reader } of held?.files ?? []) await reader.verify()
    } finally {
      held?.release()
    }
  }

  /** Tables that are about to be dropped get their snapshots, if they are to have any. Rejects when one cannot: drop none of them then. */
  async prepareDrop(ids: readonly string[]): Promise<void> {
    const { snapshots } = this
    if (!snapshots) return
    for (const id of ids) {
      const table = this.#tables.get(id)
      if (!table || !snapshots.isAutomatic(table)) continue
      await this.#flusher.flush(id)
      await snapshots.takeBefore('dropped', table)
    }
  }

  /**
   * Forgets what was written to a table before this call; when it resolves, for good. A snapshot is taken first if the table is to have one.
   * `also`: tables that go with it; after a crash all of them are truncated or none. `atMs`, since 1970: when that was, as `truncations` tells it;
   * default: now by the wall clock.
   */
  async truncate(id: string, also: readonly string[] = [], atMs = this.#wallMs()): Promise<void> {
    const table = this.#tables.get(id)
    if (!table) return
    const others = also.flatMap((other) => this.#tables.get(other) ?? [])
    await this.#truncations.truncate([table, ...others], atMs)
  }

  #wallMs(): number {
    return Math.floor(this.#runtime.clock.wallMicros() / 1000)
  }

  /** When, and where in the commit log, tables were truncated last; by table id. */
  truncations(): ReadonlyMap<string, Truncation> {
    return this.#truncations.last()
  }

  /**
   * Takes mutations that were made by a MutationWriter or passed validateMutation: all in one commit-log record, visible at once. Copies them.
   * Undefined: as durable as the mode asks already. Those of unknown tables (dropped since) are passed over. Throws, and has done nothing, when
   * they are too large (INVALID) or the store cannot take writes (StorageError).
   */
  apply(mutations: readonly Buffer[]): Promise<void> | undefined {
    if (this.#closing) throw new StorageError('the store is closed')
    const log = this.#files?.log
    let durable: Promise<void> | undefined
    if (log) {
      this.#flusher.check()
      if (this.#space!.problem !== null) this.#refuseFull(mutations)
      const record = this.#record
      record.clear()
      for (let i = 0; i < mutations.length; i++) {
        const table = this.#byId.find(mutations[i]!, 0)
        if (table?.table.durableWrites) record.add(mutations[i]!, table.id)
      }
      if (!record.isEmpty) {
        log.append(record.parts, record.tables)
        durable = log.durable()
        if (durable) this.#unsynced?.begin(durable)
      }
    }
    let bytes = 0
    for (let i = 0; i < mutations.length; i++) {
      bytes += mutations[i]!.length
      const reader = this.#mutation.reset(mutations[i]!)
      const table = this.#byId.find(reader.buffer, reader.tableStart)
      if (table === null) continue
      this.#insert(table, reader)
      if (durable) this.#unsynced?.note(table, reader.buffer)
    }
    const room = this.#flusher.room(bytes)
    if (room === undefined) return durable
    return durable === undefined ? room : both(durable, room)
  }

  /** What the node itself keeps is written as long as it can be: a table could not be dropped otherwise. */
  #refuseFull(mutations: readonly Buffer[]): void {
    for (let i = 0; i < mutations.length; i++) {
      const table = this.#byId.find(mutations[i]!, 0)
      if (table !== null && !table.table.isEssential) throw new NoRoomError(`the disk is full: ${this.#space!.problem}`)
    }
  }

  /** Applies what archived segments of a commit log hold; of tables that are known, and not the node's own. Durable when it resolves. */
  async restoreArchive(options: ArchiveRestoreOptions): Promise<ArchiveRestoreResult> {
    const target = {
      takes: (buffer: Buffer, start: number) => {
        const table = this.#byId.find(buffer, start)
        return table !== null && !table.table.isEssential
      },
      apply: (mutations: readonly Buffer[]) => this.apply(mutations),
    }
    const result = await restoreArchive(this.#runtime, target, options)
    await this.flush()
    return result
  }

  #insert(table: TableStore, mutation: MutationReader): void {
    const { memtable, metrics } = table
    const { clock } = this.#runtime
    const isTimed = metrics.writes.begins()
    const began = isTimed ? clock.monotonicMs() : 0
    const before = memtable.bytes
    memtable.apply(mutation)
    if (table.keepsVersions) this.knownRows.joined(mutation)
    table.invalidate(mutation.buffer, mutation.positionStart, mutation.positionEnd)
    if (isTimed) metrics.writes.sampled(clock.monotonicMs() - began)
    metrics.mutationBytes += mutation.buffer.length
    this.#counts.writes++
    const grown = memtable.bytes - before
    if (grown > 0) this.#flusher.grew(grown)
  }

  /**
   * At once when everything that is needed is in memory, and synced where writes wait for it: what is given cannot be taken away by a crash.
   * Rejects with CorruptionError when a file is damaged.
   */
  read(command: ReadCommand): ReadResult | Promise<ReadResult> {
    this.#counts.reads++
    const table = this.#tables.get(command.table)
    if (table === undefined) return { partitions: [], more: false, tombstones: 0 }
    const result = table.read(command)
    if (this.#unsynced === null || command.unsynced) return result
    // What is read later in the turn of a promise may hold later writes: it is looked at when it is there.
    if (result instanceof Promise) return result.then((given) => this.#synced(table, command, given))
    return this.#synced(table, command, result)
  }

  /** How often something was given up that the store had held since it was opened: damaged files that could not be repaired. */
  get forgettings(): number {
    return this.#forgettings
  }

  /** A row of the table of a mutation, if nothing has to be waited for: see TableStore. What is not synced yet is given, too. */
  rowAtHand(mutation: Buffer, position: Buffer, clustering: Buffer): Buffer | null | undefined {
    const table = this.#byId.find(mutation, 0)
    if (table === null) return undefined
    this.#counts.reads++
    return table.rowAtHand(position, clustering)
  }

  #synced(table: TableStore, command: ReadCommand, result: ReadResult): ReadResult | Promise<ReadResult> {
    const wait = this.#unsynced!.syncOf(table, command)
    return wait === null || this.#files?.log?.blocked ? result : whenSynced(result, wait)
  }

  /** Writes everything of a table, or of all, that was written before this call to files. */
  async flush(id?: string): Promise<void> {
    if (!this.#files) return
    const ids = id === undefined ? [...this.#tables.keys()] : [id]
    await Promise.all(ids.map((each) => this.#flusher.flush(each)))
  }

  async #flushNow(id: string): Promise<void> {
    const table = this.#tables.get(id)
    if (!table || !this.#files) return
    await this.#files.flush(table)
    void this.compactions?.changed(table)
    this.#payDebt()
  }

  /** Writers slow down while compactions are behind. Flushes make debt; how far it is paid is looked at each second until it is. */
  #payDebt(): void {
    if (!this.compactions || this.#debtTimer !== null || this.#closing) return
    this.#flusher.debt = this.compactions.debt
    if (this.#flusher.debt === 0) return
    this.#debtTimer = this.#runtime.clock.after(DEBT_PERIOD_MS, () => {
      this.#debtTimer = null
      this.#payDebt()
    })
  }

  /** Nobody waits: the commit log is too long, and its oldest segments go when these tables are flushed; or it is time. */
  #requestFlush(tables: readonly string[]): void {
    for (const id of tables)
      this.#flusher
        .flush(id)
        .catch((cause: unknown) => this.#runtime.log.error('storage/store.ts', `a flush of ${id} failed`, cause))
  }

  #flushWritten(id: string): void {
    const table = this.#tables.get(id)
    if (table && (table.pending || !table.memtable.isEmpty)) this.#requestFlush([id])
  }

  /** Flushes, syncs, and leaves a commit log that says so. May be called twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (!this.#files) return
    await this.#space?.close()
    this.#periodicFlush.close()
    this.snapshots?.close()
    await this.compactions?.close()
    this.#debtTimer?.[Symbol.dispose]()
    this.#flusher.debt = 0
    // What cannot be flushed is in the commit log: the next start replays it.
    await this.flush().catch((cause: unknown) =>
      this.#runtime.log.error('storage/store.ts', 'a flush before closing failed', cause),
    )
    await this.#flusher.close()
    await this.#files.close(this.#tables.values())
  }

  /** To be called every few seconds: rates and percentiles are of the last minutes. */
  tick(seconds: number): void {
    this.caches.tick(seconds)
    for (const { metrics } of this.#tables.values()) metrics.tick(seconds)
  }
}

function createDiskSpace(runtime: Runtime, settings: StoreSettings, files: Files): DiskSpace {
  const { directory, commitLogDirectory } = files
  const flushBytes = settings.memtableBytesMax ?? MEMTABLE_BYTES_MAX
  const segmentBytes = settings.commitLog?.segmentBytes ?? SEGMENT_BYTES
  return new DiskSpace({
    runtime,
    directories: [...new Set([directory, commitLogDirectory])],
    reserveBytes: segmentBytes + flushBytes,
    settings: settings.diskSpace ?? {},
  })
}

async function both(durable: Promise<void>, room: Promise<void>): Promise<void> {
  await durable
  await room
}
