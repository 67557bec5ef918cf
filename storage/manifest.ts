/**
 * The manifest: which SSTables live, and up to where each table's commit log was flushed. An append-only log of groups of edits; a group holds whole or
 * not at all. Source: LevelDB's MANIFEST.
 *
 * file   := header | (record | mark)*
 * header := magic 'PXMANIF\n' | version u16 | 0 u16 | salt 8 | CRC-32 of the 20 bytes before
 * record := magic 0xF550584D u32 | length u32 | check of the two u32 | CRC-32 of edits u32 | edits | 0 to the next multiple of 8
 * mark   := magic 0xF550584B u32 | offset of the record that it confirms u32 | check u32 | 0 u32
 * Checks start from a seed of salt and offset, as in the commit log.
 *
 * Always: a group is confirmed by a mark, written after its sync and synced too, before apply() resolves. So a damaged record is a torn tail only if no
 * valid mark or record follows; anything else is CorruptionError. A snapshot of all that holds replaces the file by rename when it is opened or grows.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../lib/base/assert.ts'
import { BytesError, ByteWriter } from '../lib/base/bytes.ts'
import type { Disk, DiskFile, Runtime } from '../lib/runtime/runtime.ts'
import { checkWords, padded, seedAt } from './commitlog/segment.ts'
import { CorruptionError, StorageError } from './errors.ts'
import { type Edit, readEdits, type TableFile, writeEdits } from './manifest-edits.ts'

export type { Edit, TableFile }

export interface TableState {
  readonly table: string
  readonly directory: string
  readonly files: ReadonlyMap<number, TableFile>
  /** Records before it need not be replayed; 0: none was flushed. */
  readonly flushedPosition: number
  /** The last time that the table was truncated. */
  readonly truncated: { readonly position: number; readonly atMs: number } | null
}

export interface ManifestOptions {
  /** The file is replaced by a snapshot when it is larger than this and than twice the last snapshot. Default 1 MiB. */
  readonly bytesMax?: number
}

const NAME = 'MANIFEST'
const MAGIC = Buffer.from('PXMANIF\n', 'latin1')
const VERSION = 1
const HEADER_BYTES = 24
const HEAD_BYTES = 16
const RECORD_MAGIC = 0xf550584d
const MARK_MAGIC = 0xf550584b
const MAGIC_PREFIX = Buffer.from([0xf5, 0x50, 0x58])

interface MutableTable {
  readonly table: string
  readonly directory: string
  readonly files: Map<number, TableFile>
  flushedPosition: number
  truncated: { readonly position: number; readonly atMs: number } | null
}

/** Reads the manifest of a directory, or begins one if there is none. What it says is durable when this resolves. */
export async function openManifest(
  runtime: Pick<Runtime, 'disk' | 'random'>,
  directory: string,
  options: ManifestOptions = {},
): Promise<Manifest> {
  const { disk } = runtime
  await disk.mkdir(directory)
  const path = `${directory}/${NAME}`
  const manifest = new Manifest(runtime, directory, options)
  const existing = await readAll(disk, path)
  if (existing) for (const edits of decodeManifest(existing, path)) manifest.replay(edits)
  manifest.existed = existing !== null
  await manifest.rewrite()
  return manifest
}

export class Manifest {
  /** False when there was none: a store that finds SSTables then must not take itself for empty. */
  existed = false
  readonly #disk: Disk
  readonly #directory: string
  readonly #bytesMax: number
  readonly #salts: Runtime['random']
  readonly #tables = new Map<string, MutableTable>()
  #nextFileNumber = 1
  #logPosition = 0
  #file: DiskFile | null = null
  #seed = 0
  #size = 0
  #snapshotBytes = 0
  #queue: Promise<void> = Promise.resolve()
  #failure: StorageError | null = null

  /** Use openManifest. */
  constructor(runtime: Pick<Runtime, 'disk' | 'random'>, directory: string, options: ManifestOptions) {
    this.#disk = runtime.disk
    this.#directory = directory
    this.#bytesMax = options.bytesMax ?? 1024 * 1024
    this.#salts = runtime.random.stream('manifest')
  }

  get tables(): ReadonlyMap<string, TableState> {
    return this.#tables
  }

  /** The greatest flushed or truncated position of any table, also of dropped ones: the commit log must go on in a later segment. */
  get logPosition(): number {
    return this.#logPosition
  }

  /** A number for a new file. It is used again after a restart if no edit named it: the file was then removed as unnamed. */
  takeFileNumber(): number {
    return this.#nextFileNumber++
  }

  /** Where a file of that number lies. */
  filePath(table: string, number: number): string {
    return `${this.#directory}/${this.#tables.get(table)!.directory}/${fileName(number)}`
  }

  /**
   * Makes the edits durable, all or none, after those of earlier calls; `tables` shows them when it resolves. A failure is the manifest's end: what the
   * disk holds is unknown.
   */
  apply(edits: readonly Edit[]): Promise<void> {
    const applied = this.#queue.then(() => this.#apply(edits))
    this.#queue = applied.catch(() => {})
    return applied
  }

  async #apply(edits: readonly Edit[]): Promise<void> {
    if (this.#failure) throw this.#failure
    assert(this.#file !== null, 'the manifest is open')
    if (edits.length === 0) return
    try {
      await this.#append(this.#file, edits)
      this.replay(edits)
      if (this.#size > this.#bytesMax && this.#size > 2 * this.#snapshotBytes) await this.rewrite()
    } catch (cause) {
      this.#failure ??= new StorageError('the manifest is unusable until a restart', { cause })
      throw this.#failure
    }
  }

  async #append(file: DiskFile, edits: Iterable<Edit>): Promise<void> {
    const at = this.#size
    const record = encodeRecord(edits, this.#seed, at)
    await file.write(record, at)
    await file.sync()
    await file.write(encodeMark(at, this.#seed, at + record.length), at + record.length)
    await file.sync()
    this.#size = at + record.length + HEAD_BYTES
  }

  /** Changes what is in memory. For openManifest. */
  replay(edits: readonly Edit[]): void {
    for (const edit of edits) this.#replay(edit)
  }

  #replay(edit: Edit): void {
    if (edit.kind === 'reserved') {
      this.#nextFileNumber = Math.max(this.#nextFileNumber, edit.nextFileNumber)
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
        this.#nextFileNumber = Math.max(this.#nextFileNumber, edit.file.number + 1)
        return
      case 'remove':
        assert(state.files.delete(edit.number), `file ${edit.number} of ${table} is not there`)
        return
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

  /** Replaces the file by a snapshot of what holds. For openManifest; apply() calls it when the file has grown. */
  async rewrite(): Promise<void> {
    const path = `${this.#directory}/${NAME}`
    const draft = `${path}.new`
    if (await this.#disk.stat(draft)) await this.#disk.remove(draft)
    const file = await this.#disk.open(draft, 'create')
    const salt = this.#salts.fill(Buffer.alloc(8))
    this.#seed = crc32(salt)
    this.#size = HEADER_BYTES
    await file.write(encodeHeader(salt), 0)
    await this.#append(file, this.#snapshot())
    this.#snapshotBytes = this.#size
    await this.#disk.rename(draft, path)
    await this.#disk.syncDirectory(this.#directory)
    await this.#file?.close()
    this.#file = file
  }

  *#snapshot(): Iterable<Edit> {
    yield { kind: 'reserved', nextFileNumber: this.#nextFileNumber, position: this.#logPosition }
    for (const { table, directory, files, flushedPosition, truncated } of this.#tables.values()) {
      yield { kind: 'table', table, directory }
      if (truncated) yield { kind: 'truncated', table, ...truncated }
      for (const file of files.values()) yield { kind: 'add', table, file }
      if (flushedPosition > 0) yield { kind: 'flushed', table, position: flushedPosition }
    }
  }

  /**
   * Deletes what no edit names: files of writers that did not finish, of merges that did, and folders of tables that were dropped. Call it at start, before
   * anything is written. Refuses when the manifest itself is missing but SSTables are there. Returns the paths.
   */
  async removeUnnamed(): Promise<string[]> {
    const named = new Set<string>()
    const directories = new Set<string>()
    for (const state of this.#tables.values()) {
      directories.add(state.directory)
      for (const number of state.files.keys()) named.add(`${state.directory}/${fileName(number)}`)
    }
    const removed: string[] = []
    for (const keyspace of await this.#folders('')) {
      for (const folder of await this.#folders(`${keyspace}/`)) {
        for (const name of await this.#disk.list(`${this.#directory}/${folder}`)) {
          if (!name.endsWith(FILE_SUFFIX) || named.has(`${folder}/${name}`)) continue
          const path = `${this.#directory}/${folder}/${name}`
          if (!this.existed)
            throw new CorruptionError(`${this.#directory}/${NAME}`, 0, `it is missing, but there are SSTables: ${path}`)
          await this.#disk.remove(path)
          removed.push(path)
        }
        const left = await this.#disk.list(`${this.#directory}/${folder}`)
        if (!directories.has(folder) && left.length === 0) await this.#disk.removeTree(`${this.#directory}/${folder}`)
      }
    }
    return removed
  }

  async #folders(parent: string): Promise<string[]> {
    const folders: string[] = []
    for (const name of await this.#disk.list(`${this.#directory}/${parent}`.replace(/\/$/, ''))) {
      const stat = await this.#disk.stat(`${this.#directory}/${parent}${name}`)
      if (stat?.directory) folders.push(`${parent}${name}`)
    }
    return folders
  }

  async close(): Promise<void> {
    await this.#queue
    await this.#file?.close()
    this.#file = null
    this.#failure ??= new StorageError('the manifest is closed')
  }
}

const FILE_SUFFIX = '.sst'

export function fileName(number: number): string {
  return `${String(number).padStart(10, '0')}${FILE_SUFFIX}`
}

function encodeHeader(salt: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  MAGIC.copy(header)
  header.writeUInt16BE(VERSION, 8)
  salt.copy(header, 12)
  header.writeUInt32BE(crc32(header.subarray(0, 20)), 20)
  return header
}

function encodeRecord(edits: Iterable<Edit>, seed: number, offset: number): Buffer {
  const out = new ByteWriter(1024)
  out.reserve(HEAD_BYTES)
  writeEdits(out, edits)
  const length = out.length - HEAD_BYTES
  const record = Buffer.alloc(padded(out.length))
  out.view().copy(record)
  const place = seedAt(seed, offset)
  record.writeUInt32BE(RECORD_MAGIC, 0)
  record.writeUInt32BE(length, 4)
  record.writeInt32BE(checkWords(place, RECORD_MAGIC, length), 8)
  record.writeUInt32BE(crc32(record.subarray(HEAD_BYTES, HEAD_BYTES + length), place), 12)
  return record
}

function encodeMark(recordOffset: number, seed: number, offset: number): Buffer {
  const mark = Buffer.alloc(HEAD_BYTES)
  mark.writeUInt32BE(MARK_MAGIC, 0)
  mark.writeUInt32BE(recordOffset, 4)
  mark.writeInt32BE(checkWords(seedAt(seed, offset), MARK_MAGIC, recordOffset), 8)
  return mark
}

/** Whether a record's or a mark's head stands at `offset`, by its check. */
function headAt(bytes: Buffer, offset: number, seed: number): 'record' | 'mark' | null {
  if (offset + HEAD_BYTES > bytes.length) return null
  const magic = bytes.readUInt32BE(offset)
  if (magic !== RECORD_MAGIC && magic !== MARK_MAGIC) return null
  const check = checkWords(seedAt(seed, offset), magic, bytes.readUInt32BE(offset + 4))
  if (bytes.readInt32BE(offset + 8) !== check) return null
  return magic === MARK_MAGIC ? 'mark' : 'record'
}

/** The groups of edits of a manifest, without a group at its end that was never confirmed. */
function decodeManifest(bytes: Buffer, path: string): Edit[][] {
  const header = bytes.subarray(0, HEADER_BYTES)
  const salt = header.subarray(12, 20)
  if (header.length < HEADER_BYTES || !header.equals(encodeHeader(salt)))
    throw new CorruptionError(path, 0, 'the header does not match its checksum, or is of another version')
  const seed = crc32(salt)
  const groups: Edit[][] = []
  let confirmed = 0
  let offset = HEADER_BYTES
  for (;;) {
    const head = headAt(bytes, offset, seed)
    if (head === null) break
    if (head === 'mark') {
      confirmed = groups.length
      offset += HEAD_BYTES
      continue
    }
    const length = bytes.readUInt32BE(offset + 4)
    const start = offset + HEAD_BYTES
    if (start + length > bytes.length) break
    const edits = bytes.subarray(start, start + length)
    if (bytes.readUInt32BE(offset + 12) !== crc32(edits, seedAt(seed, offset))) break
    try {
      groups.push(readEdits(edits))
    } catch (cause) {
      if (!(cause instanceof BytesError)) throw cause
      throw new CorruptionError(path, offset, cause.message, { cause })
    }
    offset = padded(start + length)
  }
  for (let at = bytes.indexOf(MAGIC_PREFIX, offset + 1); at >= 0; at = bytes.indexOf(MAGIC_PREFIX, at + 1)) {
    if (at % 8 === 0 && headAt(bytes, at, seed) !== null)
      throw new CorruptionError(path, offset, `the entry at ${at} was written after it had been synced`)
  }
  // The snapshot that a manifest begins with was confirmed before the file got its name.
  if (confirmed === 0) throw new CorruptionError(path, HEADER_BYTES, 'its first record was never confirmed')
  return groups
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
