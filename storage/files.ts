/**
 * The durable side of a store: its commit log, manifest and SSTables, and what must happen in which order for a crash at any point to lose
 * nothing. Names on disk: tables/MANIFEST, tables/<keyspace>/<table>-<id>/<number>.sst, commitlog/. The caller holds the directory's lock.
 * Always: a file is whole and synced before the manifest names it, and out of the manifest before it is removed; the commit log lets go of a
 * record only when the manifest says that it is in a file.
 */
import { BytesError } from '../lib/base/bytes.ts'
import type { Runtime } from '../lib/runtime/runtime.ts'
import { Backups } from './backups.ts'
import { BlockCache, INDEX_CACHE_BYTES } from './cache.ts'
import { openCommitLog } from './commitlog/open.ts'
import { type LogPosition, segmentOf } from './commitlog/segment.ts'
import type { CommitLog, CommitLogOptions } from './commitlog/writer.ts'
import { DamagedFiles, type DamageSettings } from './damaged-files.ts'
import { CorruptionError } from './errors.ts'
import { flushMemtable } from './flush.ts'
import { readLogRecord } from './log-record.ts'
import { type Edit, type Manifest, openManifest, type TableFile } from './manifest.ts'
import type { Memtable } from './memtable.ts'
import { OpenFiles } from './open-files.ts'
import { type RestoreOptions, type RestoreResult, restoreTable } from './restore.ts'
import { openTableReader, type TableReader } from './sstable/reader.ts'
import { writerOptions } from './table-options.ts'
import type { LiveFile, PendingMemtable, StoredTable, TableStore } from './table-store.ts'
import { refuseLostManifest, settleUnnamedFiles } from './unnamed-files.ts'

export interface FilesOptions {
  readonly runtime: Runtime
  readonly directory: string
  readonly commitLogDirectory: string
  readonly blockCacheBytes: number | undefined
  readonly indexCacheBytes: number | undefined
  readonly openFilesMax: number | undefined
  readonly incrementalBackups: boolean
  readonly damage: DamageSettings
}

/** Files that take the place of others. */
export interface FileSwap extends Pick<TableFile, 'level' | 'repairedAtMs'> {
  readonly removed: ReadonlySet<number>
  readonly added: readonly LiveFile[]
  readonly stillHolds: () => boolean
}

const SOURCE = 'storage/files.ts'
/** Files whose headers and footers are read at the same time at the start. */
const OPENED_AT_ONCE = 16
/** So often it is looked whether a log that is waited for has begun to wait itself. */
const LOG_LOOK_MS = 50

/** Opens the manifest; the commit log comes after the tables are known, with openLog. */
export async function openFiles(options: FilesOptions): Promise<Files> {
  const { runtime, directory, commitLogDirectory } = options
  const tables = `${directory}/tables`
  await refuseLostManifest(runtime.disk, { tables, commitLog: commitLogDirectory })
  const manifest = await openManifest(runtime, tables)
  await runtime.disk.syncDirectory(directory)
  try {
    await settleUnnamedFiles(runtime, manifest, { tables, quarantine: `${directory}/quarantine` })
  } catch (error) {
    await manifest.close()
    throw error
  }
  return new Files(options, manifest)
}

export class Files {
  readonly manifest: Manifest
  readonly cache: BlockCache
  /** Of index blocks, which data blocks do not drive out. */
  readonly indexCache: BlockCache
  readonly openFiles: OpenFiles
  readonly backups: Backups
  readonly damaged: DamagedFiles
  readonly #options: FilesOptions
  #log: CommitLog | null = null
  /** Positions of the log while it is replayed. */
  #replayed: LogPosition = 0
  /** Removals that nobody waits for. */
  readonly #discarding = new Set<Promise<void>>()

  /** Use openFiles. */
  constructor(options: FilesOptions, manifest: Manifest) {
    this.#options = options
    this.manifest = manifest
    this.cache = new BlockCache(options.blockCacheBytes)
    this.indexCache = new BlockCache(options.indexCacheBytes ?? INDEX_CACHE_BYTES)
    const { runtime, directory } = options
    this.openFiles = new OpenFiles(runtime.disk, options.openFilesMax)
    this.backups = new Backups(runtime, directory, options.incrementalBackups)
    this.damaged = new DamagedFiles({
      runtime,
      manifest,
      directory,
      settings: options.damage,
      open: (path, expected) => this.#openPath(path, expected),
    })
  }

  /** The data directory. */
  get directory(): string {
    return this.#options.directory
  }

  get commitLogDirectory(): string {
    return this.#options.commitLogDirectory
  }

  /** The commit log; it is open once openLog resolved. */
  get log(): CommitLog | null {
    return this.#log
  }

  /**
   * Replays the commit log: `take` is handed each mutation that may not be in a file yet, and tells the id of the table that took it, or null
   * when there is none; `pause` is called after each record and may flush.
   */
  async openLog(
    settings: CommitLogOptions,
    take: (mutation: Buffer, position: LogPosition) => string | null,
    pause: () => Promise<void> | undefined,
  ): Promise<void> {
    const directory = this.#options.commitLogDirectory
    const segmentIdMin = segmentOf(this.manifest.logPosition) + 1
    this.#log = await openCommitLog(
      this.#options.runtime,
      directory,
      { ...settings, segmentIdMin },
      (payload, position) => {
        const tables: string[] = []
        for (const mutation of readRecord(payload, directory, position)) {
          const table = take(mutation, position)
          if (table !== null && !tables.includes(table)) tables.push(table)
        }
        this.#replayed = position + 1
        const wait = pause()
        return wait ? wait.then(() => tables) : tables
      },
    )
    for (const { table, flushedPosition } of this.manifest.tables.values())
      this.#log.markFlushed(table, flushedPosition)
    const { segments, records, tornBytes, clean } = this.#log.replayed
    if (records > 0 || !clean)
      this.#options.runtime.log.info(
        SOURCE,
        `replayed ${records} records of ${segments} commit-log segments, ${tornBytes} bytes of its end were never acknowledged`,
      )
  }

  /** All records before it are in the memtables of now. */
  get #position(): LogPosition {
    return this.#log ? this.#log.position : this.#replayed
  }

  /** Names tables that the manifest does not know; they may be written to when it resolves. */
  async register(tables: readonly { readonly id: string; readonly table: StoredTable }[]): Promise<void> {
    const edits: Edit[] = []
    for (const { id, table } of tables)
      if (!this.manifest.tables.has(id)) {
        edits.push({ kind: 'table', table: id, directory: tableDirectory(id, table) })
        // A table may be made again under the id of one that was dropped: what the log still holds of that one is not its own.
        if (this.#position > 0) edits.push({ kind: 'flushed', table: id, position: this.#position })
      }
    if (edits.length > 0) await this.manifest.apply(edits)
  }

  /** Opens the files of a table that the manifest knows. */
  async openTable(store: TableStore): Promise<void> {
    const files = [...(this.manifest.tables.get(store.id)?.files.values() ?? [])]
    await this.damaged.open(store)
    const opened: LiveFile[] = []
    const failed: { readonly file: TableFile; readonly error: unknown }[] = []
    let next = 0
    const openSome = async (): Promise<void> => {
      while (next < files.length) {
        const file = files[next++]!
        const { number, uid, fileBytes } = file
        try {
          opened.push({ number, reader: await this.open(store.id, number, { uid, fileBytes }) })
        } catch (error) {
          failed.push({ file, error })
        }
      }
    }
    await Promise.all(Array.from({ length: OPENED_AT_ONCE }, openSome))
    store.addFiles(opened)
    for (const { file, error } of failed) await this.damaged.couldNotOpen(store, file, error)
  }

  /** Opens an SSTable, whether the manifest names it already or not yet. */
  async open(table: string, number: number, expected: { uid: Buffer; fileBytes: number }): Promise<TableReader> {
    return this.#openPath(this.manifest.filePath(table, number), expected)
  }

  #openPath(path: string, expected: { uid: Buffer; fileBytes: number }): Promise<TableReader> {
    const { cache, indexCache } = this
    return openTableReader(this.#options.runtime.disk, path, { cache, indexCache, files: this.openFiles, expected })
  }

  /**
   * Writes everything that was written to the table before this call to files. What fails stays in memory, readable, and is the first to be
   * written by the next call.
   */
  async flush(store: TableStore): Promise<void> {
    while (store.pending) await this.#flushPending(store, store.pending)
    const position = this.#position
    if (store.memtable.isEmpty) {
      this.#log?.markFlushed(store.id, position)
      return
    }
    store.swapMemtable(position)
    await this.#flushPending(store, store.pending!)
  }

  async #flushPending(store: TableStore, { memtable, position }: PendingMemtable): Promise<void> {
    const number = this.manifest.takeFileNumber()
    const { uid, fileBytes } = await this.#write(store, memtable, number)
    const reader = await this.open(store.id, number, { uid, fileBytes })
    const { minPosition, maxPosition } = reader.statistics
    const file = { number, level: 0, fileBytes, uid, minPosition, maxPosition, repairedAtMs: 0 }
    await this.#logged()
    try {
      await this.backups.add(store, reader.path)
      await this.manifest.apply([
        { kind: 'add', table: store.id, file },
        { kind: 'flushed', table: store.id, position },
      ])
    } catch (error) {
      // Whether the manifest names the file is unknown now: it stays.
      await reader.close()
      throw error
    }
    store.settlePending({ number, reader })
    store.metrics.flushes++
    store.metrics.flushedBytes += fileBytes
    this.#log?.markFlushed(store.id, position)
  }

  /**
   * What is in a file is in the log before the file counts: of a record of several tables a crash then leaves all or nothing. A log that waits for room is
   * not waited for: a flush may be what gives it room.
   */
  async #logged(): Promise<void> {
    const log = this.#log
    if (!log || log.failure || log.pendingBytes === 0) return
    let isDone = false
    const done = (): void => {
      isDone = true
    }
    const synced = log.sync().then(done, done)
    while (!isDone && log.blocked === null) {
      let timer: Disposable | null = null
      const later = new Promise<void>((resolve) => {
        timer = this.#options.runtime.clock.after(LOG_LOOK_MS, resolve)
      })
      await Promise.race([synced, later])
      ;(timer as Disposable | null)?.[Symbol.dispose]()
    }
  }

  async #write(
    store: TableStore,
    memtable: Memtable,
    number: number,
  ): Promise<{ readonly uid: Buffer; readonly fileBytes: number }> {
    const { runtime } = this.#options
    const path = this.manifest.filePath(store.id, number)
    if (store.files.length === 0) await this.#makeDirectory(path)
    const uid = runtime.random.fill(Buffer.alloc(8))
    const argument = {
      path,
      uid,
      partitionsEstimate: memtable.size,
      owner: { table: store.id, shape: store.table.shape ?? '' },
      ...writerOptions(store.table.options),
    }
    const { fileBytes } = await flushMemtable(runtime, memtable, argument, (bytes) => store.wrote(bytes))
    return { uid, fileBytes }
  }

  /** Takes SSTables from elsewhere in; `inTurn` does something while the table is not flushed, truncated or dropped. */
  restore(
    store: TableStore,
    options: RestoreOptions,
    inTurn: (work: () => Promise<void>) => Promise<void>,
  ): Promise<RestoreResult> {
    const services = {
      runtime: this.#options.runtime,
      manifest: this.manifest,
      cache: this.cache,
      indexCache: this.indexCache,
      openFiles: this.openFiles,
      backups: this.backups,
      makeDirectory: (path: string) => this.#makeDirectory(path),
      inTurn,
      isKnown: (table: TableStore) => this.manifest.tables.has(table.id),
    }
    return restoreTable(services, store, options)
  }

  async #makeDirectory(filePath: string): Promise<void> {
    const { disk } = this.#options.runtime
    const directory = filePath.slice(0, filePath.lastIndexOf('/'))
    const keyspace = directory.slice(0, directory.lastIndexOf('/'))
    await disk.mkdir(directory)
    await disk.syncDirectory(keyspace)
    await disk.syncDirectory(keyspace.slice(0, keyspace.lastIndexOf('/')))
  }

  /** Forgets everything that was written to tables before this call, all or none after a crash; `atMs` (since 1970) is kept as the time of it. */
  async truncate(stores: readonly TableStore[], atMs: number): Promise<void> {
    const position = this.#position
    const edits: Edit[] = []
    const emptied: { readonly store: TableStore; readonly numbers: ReadonlySet<number> }[] = []
    for (const store of stores) {
      // Should the manifest fail, what waits is written to a file like any other: one without entries cannot be.
      if (!store.memtable.isEmpty) store.swapMemtable(position)
      const numbers = new Set([...store.files, ...store.damaged].map((file) => file.number))
      for (const number of numbers) edits.push({ kind: 'remove', table: store.id, number })
      edits.push({ kind: 'truncated', table: store.id, position, atMs })
      emptied.push({ store, numbers })
    }
    await this.manifest.apply(edits)
    for (const { store, numbers } of emptied) {
      while (store.pending) store.settlePending(null)
      this.#removeFiles(store, numbers)
      this.#log?.markFlushed(store.id, position)
    }
  }

  /** Forgets a table. Nobody may write to it any more. */
  async drop(store: TableStore): Promise<void> {
    if (!this.manifest.tables.has(store.id)) return
    await this.manifest.apply([{ kind: 'dropped', table: store.id }])
    this.#removeFiles(store, new Set([...store.files, ...store.damaged].map((file) => file.number)))
    this.#log?.markFlushed(store.id, Number.POSITIVE_INFINITY)
  }

  /**
   * Puts files, which are open, in the place of others, whose removal from disk waits for the reads that use them. In the table's turn only.
   * `stillHolds` is asked when the edit is durable, in the step in which reads change over: if it is false, the edit is taken back, and so is this
   * function's answer. When it fails, whether the manifest names the new files is unknown: they stay.
   */
  async replace(store: TableStore, { removed, added, level, repairedAtMs, stillHolds }: FileSwap): Promise<boolean> {
    const before = this.manifest.tables.get(store.id)!.files
    const edits: Edit[] = []
    const back: Edit[] = []
    for (const number of removed) {
      edits.push({ kind: 'remove', table: store.id, number })
      back.push({ kind: 'add', table: store.id, file: before.get(number)! })
    }
    for (const { number, reader } of added) {
      const { uid, fileBytes } = reader.footer
      const { minPosition, maxPosition } = reader.statistics
      const file = { number, level, fileBytes, uid, minPosition, maxPosition, repairedAtMs }
      edits.push({ kind: 'add', table: store.id, file })
      back.push({ kind: 'remove', table: store.id, number })
    }
    await this.manifest.apply(edits)
    if (!stillHolds()) {
      await this.manifest.apply(back)
      return false
    }
    this.#removeFiles(store, removed, added)
    return true
  }

  /** Puts files into another level, as they are. In the table's turn only. */
  async move(store: TableStore, numbers: readonly number[], level: number): Promise<void> {
    const { files } = this.manifest.tables.get(store.id)!
    await this.manifest.apply(
      numbers.map((number) => ({ kind: 'add', table: store.id, file: { ...files.get(number)!, level } })),
    )
  }

  #removeFiles(store: TableStore, numbers: ReadonlySet<number>, added: readonly LiveFile[] = []): void {
    const { disk, log } = this.#options.runtime
    store.forgetDamaged(numbers)
    store.replaceFiles(numbers, added, ({ reader }) => {
      const removal = (async () => {
        await reader.close()
        await disk.remove(reader.path)
      })()
      const done = removal
        .catch((cause: unknown) => log.warn(SOURCE, `${reader.path} is not needed, but stays: ${String(cause)}`))
        .finally(() => this.#discarding.delete(done))
      this.#discarding.add(done)
    })
  }

  async close(stores: Iterable<TableStore>): Promise<void> {
    try {
      await this.#log?.close()
    } finally {
      await this.damaged.close()
      await this.manifest.close()
      await Promise.all(this.#discarding)
      for (const store of stores) for (const { reader } of [...store.files, ...store.damaged]) await reader?.close()
    }
  }
}

function tableDirectory(id: string, table: StoredTable): string {
  return `${table.keyspace}/${table.name}-${id.replaceAll('-', '')}`
}

function readRecord(payload: Buffer, directory: string, position: LogPosition): Buffer[] {
  try {
    return readLogRecord(payload)
  } catch (cause) {
    if (!(cause instanceof BytesError)) throw cause
    throw new CorruptionError(directory, position, 'a record that passed its checksum is no mutation', { cause })
  }
}
