/**
 * What becomes of an SSTable that turns out damaged: it is set aside at once, so that no compaction takes it and nothing is purged that it may hold, and moved to
 * the quarantine. Reads go on with what of it is whole; what is not fails, until an operator decides (docs/operations.md).
 *
 * Always: the manifest says that a file is damaged before it is moved, and that it is good again after it was moved back. A file is never deleted.
 */
import type { Runtime } from '../lib/runtime/runtime.ts'
import { BrokenSource } from './broken-source.ts'
import { CorruptionError, errorCode } from './errors.ts'
import type { Manifest, TableFile } from './manifest.ts'
import { moveBack, moveToQuarantine, quarantineName } from './quarantine.ts'
import type { TableReader } from './sstable/reader.ts'
import type { TableStore } from './table-store.ts'

export interface DamageSettings {
  /** What the node does with a damaged SSTable. `set aside` is the default; `leave`: reads of it fail, nothing else; `refuse`: it does not start with one. */
  readonly files?: 'set aside' | 'leave' | 'refuse'
  /** Told of each damaged SSTable once. */
  readonly onDamage?: (error: CorruptionError) => void
}

export interface DamagedFilesOptions {
  readonly runtime: Pick<Runtime, 'disk' | 'log'>
  readonly manifest: Manifest
  readonly open: (path: string, expected: { uid: Buffer; fileBytes: number }) => Promise<TableReader>
  /** The data directory. */
  readonly directory: string
  readonly settings: DamageSettings
}

const SOURCE = 'storage/damaged-files.ts'

export class DamagedFiles {
  readonly #options: DamagedFilesOptions
  readonly #moving = new Set<Promise<void>>()
  readonly #known = new Set<string>()

  constructor(options: DamagedFilesOptions) {
    this.#options = options
  }

  /** A read of one of the table's files failed. Errors that are none of a live file are passed over. */
  report(store: TableStore, error: unknown): void {
    const found = asCorruption(error)
    if (found === null) return
    const file = store.files.find(({ reader }) => reader.path === found.path)
    if (file === undefined || this.#known.has(found.path)) return
    this.#known.add(found.path)
    const { log } = this.#options.runtime
    log.error(SOURCE, `${found.path} is damaged: what is asked for of it fails until it is repaired`, error)
    if (this.#options.settings.files === 'set aside' || this.#options.settings.files === undefined) {
      store.setAside(file.number)
      this.#background(this.#quarantine(store, file.number))
    }
    this.#options.settings.onDamage?.(found)
  }

  /** A live file could not be opened at start. */
  async couldNotOpen(store: TableStore, file: TableFile, cause: unknown): Promise<void> {
    const { manifest, settings, runtime } = this.#options
    const path = manifest.filePath(store.id, file.number)
    const isMissing = errorCode(cause) === 'ENOENT'
    const error = isMissing ? new CorruptionError(path, 0, 'it is missing', { cause }) : asCorruption(cause)
    if (error === null || settings.files === 'refuse') throw error ?? cause
    runtime.log.error(SOURCE, `${path} cannot be opened: reads of what it may hold fail until it is repaired`, cause)
    this.#addBroken(store, file, path)
    settings.onDamage?.(error)
    // A missing file stays named: one that is gone from the quarantine is taken for given up.
    if (!isMissing && settings.files !== 'leave') await this.#quarantine(store, file.number)
  }

  #addBroken(store: TableStore, file: TableFile, path: string): void {
    const { number, minPosition, maxPosition } = file
    store.addDamaged({
      number,
      minPosition,
      maxPosition,
      reader: null,
      source: new BrokenSource({ path, minPosition, maxPosition }),
    })
  }

  async #quarantine(store: TableStore, number: number): Promise<void> {
    const { manifest, runtime } = this.#options
    await manifest.apply([{ kind: 'quarantined', table: store.id, number }])
    const file = manifest.tables.get(store.id)?.quarantined.get(number)
    if (file === undefined) return
    const wanted = this.#path(store.id, file)
    store.damaged.find((damaged) => damaged.number === number)?.reader?.movesTo(wanted)
    const to = await moveToQuarantine(runtime.disk, manifest.filePath(store.id, number), wanted)
    runtime.log.error(SOURCE, `the damaged SSTable is now ${to}`)
  }

  #path(table: string, file: TableFile): string {
    const { directory, manifest } = this.#options
    return `${directory}/quarantine/${manifest.tables.get(table)!.directory}/${quarantineName(file)}`
  }

  /** At start: those that are whole again are taken back, those that are gone are given up, the others are read as far as they can be. */
  async open(store: TableStore): Promise<void> {
    const { manifest } = this.#options
    for (const file of [...(manifest.tables.get(store.id)?.quarantined.values() ?? [])])
      await this.#openOne(store, file, this.#path(store.id, file))
  }

  async #openOne(store: TableStore, file: TableFile, path: string): Promise<void> {
    const { manifest, open, runtime } = this.#options
    const { disk, log } = runtime
    if ((await disk.stat(path)) === null) {
      log.warn(SOURCE, `${path} is gone from the quarantine: what only it held is given up`)
      await manifest.apply([{ kind: 'remove', table: store.id, number: file.number }])
      return
    }
    const { uid, fileBytes, number, minPosition, maxPosition } = file
    const expected = { uid, fileBytes }
    let reader: TableReader | null = null
    try {
      reader = await open(path, expected)
      await reader.verify()
    } catch (error) {
      if (asCorruption(error) === null) throw error
      log.error(SOURCE, `${path} is still damaged: what is asked for of it fails`, error)
      if (reader === null) this.#addBroken(store, file, path)
      else store.addDamaged({ number, minPosition, maxPosition, reader, source: reader })
      return
    }
    await reader.close()
    const live = manifest.filePath(store.id, number)
    await moveBack(disk, path, live)
    await manifest.apply([{ kind: 'add', table: store.id, file }])
    store.addFile({ number, reader: await open(live, expected) })
    log.info(SOURCE, `${live} is whole again, and back from the quarantine`)
  }

  #background(work: Promise<void>): void {
    const done = work
      .catch((error: unknown) => {
        // It is set aside all the same; the next start, or the next read then, finds it again.
        this.#options.runtime.log.error(SOURCE, 'a damaged SSTable could not be moved to the quarantine', error)
      })
      .finally(() => this.#moving.delete(done))
    this.#moving.add(done)
  }

  /** Waits for what is being moved. */
  async close(): Promise<void> {
    await Promise.all(this.#moving)
  }
}

/** Errors that come from another thread have lost their class. */
function asCorruption(error: unknown): CorruptionError | null {
  if (error instanceof CorruptionError) return error
  const { name, path, offset, message } = error as {
    name?: unknown
    path?: unknown
    offset?: unknown
    message?: unknown
  }
  if (name !== 'CorruptionError' || typeof path !== 'string') return null
  return new CorruptionError(path, typeof offset === 'number' ? offset : 0, String(message), { cause: error })
}
