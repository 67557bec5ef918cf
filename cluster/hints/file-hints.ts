/**
 * The hints for one node in files: appended to the newest, read from the oldest, each file removed when all in it was taken. docs/formats.md, "Hints".
 * Appends share a sync as those of the commit log do, with a pause between two syncs: hints have time, writes of clients have not.
 * Always: what append() resolved for is found after any crash, until it was done; a file that was removed does not come back; after a failed
 * write or sync nothing more goes to that file.
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import type { Clock, Disk, DiskFile } from '../../lib/runtime/runtime.ts'
import { BATCH_BYTES, BATCH_HINTS, type HintBatch, type HostHints } from './host-hints.ts'
import { findHint, HINT_HEADER_BYTES, type Hint, putHint, sealRecords } from './record.ts'

/** 'PLYH'. */
const MAGIC = 0x504c5948
const VERSION = 1
const FILE_HEADER_BYTES = 16

/** Between the end of a sync and the next. */
const SYNC_PAUSE_MS = 20
const READ_BYTES = 256 * 1024
const NAME = /^([0-9a-f-]{36})-(\d{10})\.hints$/
const BUFFER_BYTES = 16 * 1024

interface SealedFile {
  readonly number: number
  readonly bytes: number
  readonly oldestMs: number
  readonly newestMs: number
}

interface OpenFile {
  readonly file: DiskFile
  readonly number: number
  position: number
  readonly oldestMs: number
}

/** Appends that share a sync. */
interface Group {
  readonly writer: ByteWriter
  readonly oldestMs: number
  readonly done: Promise<void>
  readonly resolve: () => void
  readonly reject: (cause: unknown) => void
}

export interface HintFilesOptions {
  readonly clock: Clock
  readonly disk: Disk
  readonly directory: string
  /** A file that is so large is followed by another. */
  readonly fileBytesMax: number
}

export class FileHints implements HostHints {
  readonly hostId: string
  damagedBytes = 0
  readonly #options: HintFilesOptions
  #sealed: SealedFile[]
  #open: OpenFile | null = null
  #nextNumber: number
  #newestMs: number
  #group: Group | null = null
  #spare: ByteWriter | null = null
  #isFlushing = false
  #fileBytes = 0
  #groupBytes = 0
  /** Work on files, one at a time. */
  #tail: Promise<void> = Promise.resolve()
  /** The oldest file, being read. */
  #reading: { readonly number: number; readonly file: DiskFile; position: number } | null = null
  #shown: { readonly batch: HintBatch; readonly position: number } | null = null
  #isClosed = false

  constructor(hostId: string, files: readonly SealedFile[], options: HintFilesOptions) {
    this.hostId = hostId
    this.#options = options
    this.#sealed = [...files]
    this.#nextNumber = (files.at(-1)?.number ?? 0) + 1
    this.#newestMs = files.at(-1)?.newestMs ?? 0
    for (const { bytes } of files) this.#fileBytes += bytes
  }

  get bytes(): number {
    return this.#fileBytes + this.#groupBytes
  }

  get oldestMs(): number | null {
    return this.#sealed[0]?.oldestMs ?? this.#open?.oldestMs ?? this.#group?.oldestMs ?? null
  }

  get newestMs(): number | null {
    return this.oldestMs === null ? null : this.#newestMs
  }

  get files(): number {
    return this.#sealed.length + (this.#open === null ? 0 : 1)
  }

  append(hint: Hint): Promise<void> {
    this.#newestMs = hint.keptAtMs
    const group = this.#group ?? this.#beginGroup(hint.keptAtMs)
    this.#groupBytes += putHint(group.writer, hint)
    return group.done
  }

  #beginGroup(oldestMs: number): Group {
    const writer = this.#spare ?? new ByteWriter(BUFFER_BYTES)
    this.#spare = null
    let resolve!: () => void
    let reject!: (cause: unknown) => void
    const done = new Promise<void>((onDone, onFailed) => {
      resolve = onDone
      reject = onFailed
    })
    done.catch(() => {})
    const group = { writer, oldestMs, done, resolve, reject }
    this.#group = group
    if (!this.#isFlushing) {
      this.#isFlushing = true
      this.#options.clock.soon(() => void this.#flush())
    }
    return group
  }

  /** Writes and syncs group after group, as long as there is one. Never rejects. */
  async #flush(): Promise<void> {
    for (;;) {
      await this.#flushGroup()
      if (this.#group === null) break
      await this.#pause()
    }
    this.#isFlushing = false
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.after(SYNC_PAUSE_MS, resolve))
  }

  #flushGroup(): Promise<void> {
    return this.#inTurn(async () => {
      const group = this.#group
      if (group === null) return
      this.#group = null
      this.#groupBytes -= group.writer.length
      try {
        await this.#write(group)
        group.resolve()
      } catch (cause) {
        await this.#abandon()
        group.reject(cause)
      }
      group.writer.reset()
      if (group.writer.buffer.length <= BUFFER_BYTES * 16) this.#spare = group.writer
    })
  }

  async #write({ writer, oldestMs }: Group): Promise<void> {
    const open = this.#open ?? (await this.#create(oldestMs))
    const bytes = writer.view()
    sealRecords(bytes, open.number, open.position)
    await open.file.write(bytes, open.position)
    await open.file.sync()
    open.position += bytes.length
    this.#fileBytes += bytes.length
    if (open.position >= this.#options.fileBytesMax) await this.#seal()
  }

  /** A number may belong to a file of another version. */
  async #createFile(): Promise<{ readonly file: DiskFile; readonly number: number }> {
    const { disk, directory } = this.#options
    for (;;) {
      const number = this.#nextNumber++
      try {
        return { file: await disk.open(pathOf(directory, this.hostId, number), 'create'), number }
      } catch (cause) {
        if ((cause as { code?: string }).code !== 'EEXIST') throw cause
      }
    }
  }

  async #create(oldestMs: number): Promise<OpenFile> {
    const { disk, directory } = this.#options
    const { file, number } = await this.#createFile()
    const open = { file, number, position: FILE_HEADER_BYTES, oldestMs }
    this.#open = open
    this.#fileBytes += FILE_HEADER_BYTES
    await file.write(encodeFileHeader(oldestMs), 0)
    await disk.syncDirectory(directory)
    return open
  }

  /** Nothing more goes to the file that is open. */
  async #seal(): Promise<void> {
    const open = this.#open
    if (open === null) return
    this.#open = null
    this.#sealed.push({ number: open.number, bytes: open.position, oldestMs: open.oldestMs, newestMs: this.#newestMs })
    await open.file.close()
  }

  /** What a failed write left at its end is not known, and not believed unless it is whole. */
  async #abandon(): Promise<void> {
    await this.#seal().catch(() => {})
  }

  peek(): Promise<HintBatch | null> {
    return this.#inTurn(async () => {
      if (this.#shown !== null) return this.#shown.batch
      for (;;) {
        if (this.#sealed.length === 0) await this.#seal()
        const oldest = this.#sealed[0]
        if (oldest === undefined) return null
        const shown = await this.#read(oldest)
        if (shown !== null) {
          this.#shown = shown
          return shown.batch
        }
        await this.#removeOldest()
      }
    })
  }

  done(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#shown === null) return
      this.#reading!.position = this.#shown.position
      this.#shown = null
      if (this.#reading!.position >= this.#sealed[0]!.bytes) await this.#removeOldest()
    })
  }

  /** The next hints of a file; null: there are no more. */
  async #read({ number, bytes: fileBytes }: SealedFile): Promise<{ batch: HintBatch; position: number } | null> {
    const { disk, directory } = this.#options
    if (this.#reading?.number !== number) {
      const file = await disk.open(pathOf(directory, this.hostId, number), 'read')
      this.#reading = { number, file, position: FILE_HEADER_BYTES }
    }
    const { file } = this.#reading
    const hints: Hint[] = []
    let hintBytes = 0
    let { position } = this.#reading
    let wanted = READ_BYTES
    while (position < fileBytes && hints.length === 0) {
      const buffer = Buffer.allocUnsafe(Math.min(wanted, fileBytes - position))
      const got = await file.read(buffer, position)
      if (got < buffer.length) break
      let at = 0
      while (hints.length < BATCH_HINTS && hintBytes < BATCH_BYTES) {
        const found = findHint(buffer, at, { number, position, fileBytes })
        this.damagedBytes += found.skipped
        if (found.hint === null) {
          at = found.at
          wanted = Math.max(READ_BYTES, found.bytes)
          break
        }
        hints.push(found.hint)
        hintBytes += found.hint.mutation.length + HINT_HEADER_BYTES
        at = found.end
      }
      position += at
      if (hints.length === 0 && fileBytes - position < HINT_HEADER_BYTES) break
    }
    if (hints.length === 0) {
      this.damagedBytes += fileBytes - position
      return null
    }
    return { batch: { hints, bytes: hintBytes }, position }
  }

  async #removeOldest(): Promise<void> {
    const { disk, directory } = this.#options
    await this.#stopReading()
    const { number, bytes } = this.#sealed[0]!
    await disk.remove(pathOf(directory, this.hostId, number))
    this.#sealed.shift()
    this.#fileBytes -= bytes
    await disk.syncDirectory(directory)
  }

  async #stopReading(): Promise<void> {
    const reading = this.#reading
    this.#reading = null
    this.#shown = null
    await reading?.file.close()
  }

  clear(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#seal()
      while (this.#sealed.length > 0) await this.#removeOldest()
    })
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#flushGroup()
    await this.#inTurn(async () => {
      await this.#stopReading()
      await this.#seal()
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work)
    this.#tail = done.then(
      () => {},
      () => {},
    )
    return done
  }
}

function pathOf(directory: string, hostId: string, number: number): string {
  return `${directory}/${hostId}-${String(number).padStart(10, '0')}.hints`
}

function encodeFileHeader(oldestMs: number): Buffer {
  const header = Buffer.alloc(FILE_HEADER_BYTES)
  header.writeUInt32BE(MAGIC, 0)
  header.writeUInt16BE(VERSION, 4)
  header.writeUIntBE(oldestMs, 8, 6)
  return header
}

export interface FoundHints {
  readonly hosts: readonly FileHints[]
  /** Files with another version's header, which are left alone. */
  readonly foreign: readonly string[]
}

/** What an earlier run left. Makes the directory when it is not there. */
export async function findHintFiles(options: HintFilesOptions): Promise<FoundHints> {
  const { disk, directory, clock } = options
  if ((await disk.stat(directory)) === null) {
    await disk.mkdir(directory)
    await disk.syncDirectory(directory.slice(0, directory.lastIndexOf('/')) || '/')
  }
  const files = new Map<string, SealedFile[]>()
  const foreign: string[] = []
  for (const name of await disk.list(directory)) {
    const match = NAME.exec(name)
    if (match === null) continue
    const file = await disk.open(`${directory}/${name}`, 'read')
    const header = Buffer.alloc(FILE_HEADER_BYTES)
    const bytes = await file.size()
    await file.read(header, 0)
    await file.close()
    const isOurs = header.readUInt32BE(0) === MAGIC
    if (isOurs && header.readUInt16BE(4) !== VERSION) {
      foreign.push(name)
      continue
    }
    // Its records say themselves whether they are to be believed.
    const oldestMs = isOurs ? header.readUIntBE(8, 6) : Math.floor(clock.wallMicros() / 1000)
    const newestMs = Math.floor((await disk.stat(`${directory}/${name}`))?.modifiedMs ?? oldestMs)
    const hostId = match[1]!
    files.set(hostId, [...(files.get(hostId) ?? []), { number: Number(match[2]), bytes, oldestMs, newestMs }])
  }
  const hosts = [...files].map(([hostId, those]) => new FileHints(hostId, those, options))
  return { hosts, foreign }
}
