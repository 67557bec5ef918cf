/**
 * The manifest: which SSTables live, and up to where each table's commit log was flushed. An append-only log of groups of edits; a group holds whole or
 * not at all. Source: LevelDB's MANIFEST. Bytes: manifest-format.ts.
 *
 * Always: a group is confirmed by a mark, written after its sync and synced too, before apply() resolves; and the file never changes its size. So a file that
 * is cut is known by its size, and a damaged record is a torn tail only if no valid mark or record follows; anything else is CorruptionError. A snapshot of
 * all that holds replaces the file by rename when it is opened, when it is full, and when a write to it failed: what that one left is unknown.
 */
import { assert } from '../lib/base/assert.ts'
import type { Disk, DiskFile, Runtime } from '../lib/runtime/runtime.ts'
import { padded } from './commitlog/segment.ts'
import { lacksRoom, StorageError } from './errors.ts'
import type { Edit, TableFile } from './manifest-edits.ts'
import {
  decodeManifest,
  encodeHeader,
  encodeMark,
  encodeRecord,
  HEADER_BYTES,
  MARK_BYTES,
  manifestSeed,
  SALT_BYTES,
} from './manifest-format.ts'

export type { Edit, TableFile }

export interface TableState {
  readonly table: string
  readonly directory: string
  readonly files: ReadonlyMap<number, TableFile>
  /** Damaged files, which nothing but reads may use, and these only as far as they can. */
  readonly quarantined: ReadonlyMap<number, TableFile>
  /** Records before it need not be replayed; 0: none was flushed. */
  readonly flushedPosition: number
  /** The last time that the table was truncated. */
  readonly truncated: { readonly position: number; readonly atMs: number } | null
}

export interface ManifestOptions {
  /** Room for edits behind the snapshot that a file begins with; as much again as the snapshot is added. Default 64 KiB. */
  readonly editBytes?: number
}

export const MANIFEST_NAME = 'MANIFEST'
const EDIT_BYTES = 64 * 1024

interface MutableTable {
  readonly table: string
  readonly directory: string
  readonly files: Map<number, TableFile>
  readonly quarantined: Map<number, TableFile>
  flushedPosition: number
  truncated: { readonly position: number; readonly atMs: number } | null
}

/** Reads the manifest of a directory, or begins one if there is none. What it says is durable when this resolves. Throws CorruptionError. */
export async function openManifest(
  runtime: Pick<Runtime, 'disk' | 'random'>,
  directory: string,
  options: ManifestOptions = {},
): Promise<Manifest> {
  const { disk } = runtime
  await disk.mkdir(directory)
  const path = `${directory}/${MANIFEST_NAME}`
  const manifest = new Manifest(runtime, directory, options)
  const existing = await readAll(disk, path)
  if (existing) for (const edits of decodeManifest(existing, path)) manifest.replay(edits)
  manifest.existed = existing !== null
  await manifest.start()
  return manifest
}

export class Manifest {
  /** False when there was none: a store that finds SSTables then must not take itself for empty. */
  existed = false
  readonly #disk: Disk
  readonly #directory: string
  readonly #editBytes: number
  readonly #salts: Runtime['random']
  readonly #tables = new Map<string, MutableTable>()
  #nextFileNumber = 1
  /** No edit that may come names a file below it for the first time, but those of reserved numbers. */
  #reservedNumber = 1
  #logPosition = 0
  /** Null: what the file holds is not known, or it could not be replaced yet. The next group begins a new one. */
  #file: DiskFile | null = null
  #seed = 0
  /** Where the next group goes, and where the file ends. */
  #offset = 0
  #sizeBytes = 0
  #queue: Promise<void> = Promise.resolve()
  #closed = false

  /** Use openManifest. */
  constructor(runtime: Pick<Runtime, 'disk' | 'random'>, directory: string, options: ManifestOptions) {
    this.#disk = runtime.disk
    this.#directory = directory
    this.#editBytes = options.editBytes ?? EDIT_BYTES
    this.#salts = runtime.random.stream('manifest')
  }

  get tables(): ReadonlyMap<string, TableState> {
    return this.#tables
  }

  /** The greatest flushed or truncated position of any table, also of dropped ones: the commit log must go on in a later segment. */
  get logPosition(): number {
    return this.#logPosition
  }

  /** A number for a new file. It is used again after a restart if no edit named it: the file has then left its place as unnamed. */
  takeFileNumber(): number {
    return this.#nextFileNumber++
  }

  /**
   * `count` numbers, from the one returned on, for files that one group of edits will name much later: unnamed files of these numbers are known to be
   * unfinished work, and are deleted at start.
   */
  async reserveFileNumbers(count: number): Promise<number> {
    const first = this.#nextFileNumber
    this.#nextFileNumber += count
    await this.apply([{ kind: 'reserved', nextFileNumber: first + count, position: 0 }])
    return first
  }

  /** Unnamed files below it were named once and removed, or were reserved: nobody needs them. */
  get reservedNumber(): number {
    return this.#reservedNumber
  }

  /** Where a file of that number lies. */
  filePath(table: string, number: number): string {
    return `${this.#directory}/${this.#tables.get(table)!.directory}/${fileName(number)}`
  }

  /**
   * Makes the edits durable, all or none, after those of earlier calls; `tables` shows them when it resolves. When it fails, whether they will be there
   * after a restart is not known until a later group was applied: then they are not.
   */
  apply(edits: readonly Edit[]): Promise<void> {
    const applied = this.#queue.then(() => this.#apply(edits))
    this.#queue = applied.catch(() => {})
    return applied
  }

  async #apply(edits: readonly Edit[]): Promise<void> {
    if (this.#closed) throw new StorageError('the manifest is closed')
    if (edits.length === 0) return
    try {
      const bytes = encodeRecord(edits, this.#seed, this.#offset).length + MARK_BYTES
      if (this.#file === null || this.#offset + bytes > this.#sizeBytes) await this.#replace(bytes)
      await this.#append(this.#file!, edits)
      this.replay(edits)
    } catch (cause) {
      await this.#abandonFile()
      throw new StorageError('the manifest cannot be written', { cause })
    }
  }

  async #append(file: DiskFile, edits: readonly Edit[]): Promise<void> {
    const at = this.#offset
    const record = encodeRecord(edits, this.#seed, at)
    await file.write(record, at)
    await file.sync()
    await file.write(encodeMark(at, this.#seed, at + record.length), at + record.length)
    await file.sync()
    this.#offset = at + record.length + MARK_BYTES
  }

  async #abandonFile(): Promise<void> {
    const file = this.#file
    this.#file = null
    await file?.close().catch(() => {})
  }

  /** Changes what is in memory. For openManifest. */
  replay(edits: readonly Edit[]): void {
    for (const edit of edits) this.#replay(edit)
  }

  #replay(edit: Edit): void {
    if (edit.kind === 'reserved') {
      this.#reserve(edit.nextFileNumber)
      this.#logPosition = Math.max(this.#logPosition, edit.position)
      return
    }
    const { table } = edit
    if (edit.kind === 'table') {
      if (this.#tables.has(table)) return
      this.#tables.set(table, {
        table,
        directory: edit.directory,
        files: new Map(),
        quarantined: new Map(),
        flushedPosition: 0,
        truncated: null,
      })
      return
    }
    const state = this.#tables.get(table)
    assert(state !== undefined, `the manifest does not know table ${table}`)
    switch (edit.kind) {
      case 'add':
        state.files.set(edit.file.number, edit.file)
        state.quarantined.delete(edit.file.number)
        this.#reserve(edit.file.number + 1)
        return
      case 'remove':
        if (!state.quarantined.delete(edit.number))
          assert(state.files.delete(edit.number), `file ${edit.number} of ${table} is not there`)
        return
      case 'quarantined': {
        const file = state.files.get(edit.number)
        if (file === undefined) return
        state.files.delete(edit.number)
        state.quarantined.set(edit.number, file)
        return
      }
      case 'truncated':
        state.truncated = { position: edit.position, atMs: edit.atMs }
        state.flushedPosition = Math.max(state.flushedPosition, edit.position)
        this.#logPosition = Math.max(this.#logPosition, edit.position)
        return
      case 'flushed':
        state.flushedPosition = Math.max(state.flushedPosition, edit.position)
        this.#logPosition = Math.max(this.#logPosition, edit.position)
        return
      case 'dropped':
        this.#tables.delete(table)
    }
  }

  #reserve(nextFileNumber: number): void {
    this.#reservedNumber = Math.max(this.#reservedNumber, nextFileNumber)
    this.#nextFileNumber = Math.max(this.#nextFileNumber, nextFileNumber)
  }

  /** Makes durable what was read. For openManifest. */
  async start(): Promise<void> {
    try {
      await this.#replace(0)
    } catch (error) {
      if (!this.existed || !lacksRoom(error)) throw error
      // The file that was read stays, and what another process left of it in the page cache must survive a power loss before anybody acts on it.
      const file = await this.#disk.open(this.#path, 'readwrite')
      try {
        await file.sync()
      } finally {
        await file.close()
      }
    }
  }

  get #path(): string {
    return `${this.#directory}/${MANIFEST_NAME}`
  }

  /** Replaces the file by a snapshot of what holds, with room for a group of that size. */
  async #replace(groupBytes: number): Promise<void> {
    const draft = `${this.#path}.new`
    await this.#abandonFile()
    if (await this.#disk.stat(draft)) await this.#disk.remove(draft)
    const file = await this.#disk.open(draft, 'create')
    try {
      const salt = this.#salts.fill(Buffer.alloc(SALT_BYTES))
      const snapshot = [...this.#snapshot()]
      this.#seed = manifestSeed(salt)
      this.#offset = HEADER_BYTES
      const snapshotBytes = HEADER_BYTES + encodeRecord(snapshot, this.#seed, this.#offset).length + MARK_BYTES
      this.#sizeBytes = padded(2 * snapshotBytes + groupBytes + this.#editBytes)
      await file.truncate(this.#sizeBytes)
      await file.write(encodeHeader(salt, this.#sizeBytes), 0)
      await this.#append(file, snapshot)
      await this.#disk.rename(draft, this.#path)
      await this.#disk.syncDirectory(this.#directory)
    } catch (error) {
      await file.close().catch(() => {})
      throw error
    }
    this.#file = file
  }

  *#snapshot(): Iterable<Edit> {
    yield { kind: 'reserved', nextFileNumber: this.#reservedNumber, position: this.#logPosition }
    for (const { table, directory, files, quarantined, flushedPosition, truncated } of this.#tables.values()) {
      yield { kind: 'table', table, directory }
      if (truncated) yield { kind: 'truncated', table, ...truncated }
      for (const file of files.values()) yield { kind: 'add', table, file }
      for (const file of quarantined.values()) {
        yield { kind: 'add', table, file }
        yield { kind: 'quarantined', table, number: file.number }
      }
      if (flushedPosition > 0) yield { kind: 'flushed', table, position: flushedPosition }
    }
  }

  async close(): Promise<void> {
    await this.#queue
    this.#closed = true
    await this.#abandonFile()
  }
}

export const FILE_SUFFIX = '.sst'

export function fileName(number: number): string {
  return `${String(number).padStart(10, '0')}${FILE_SUFFIX}`
}

async function readAll(disk: Disk, path: string): Promise<Buffer | null> {
  if ((await disk.stat(path)) === null) return null
  const file = await disk.open(path, 'read')
  try {
    const bytes = Buffer.alloc(await file.size())
    return bytes.subarray(0, await file.read(bytes, 0))
  } finally {
    await file.close()
  }
}
