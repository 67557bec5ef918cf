/**
 * Open handles of SSTables within a budget of descriptors: a file that was not read lately is closed, and opened again when it is. Source: CLOCK, as in
 * the block cache.
 * Always: a handle that is being read is not closed; whoever opens one again gets the same file or an error, as its blocks' checksums bind its id.
 */
import type { Disk, DiskFile } from '../lib/runtime/runtime.ts'

/** Enough for most nodes, and far from what an operating system grants a process. */
const OPEN_FILES_MAX = 1_000

export class OpenFiles {
  readonly #disk: Disk
  readonly #max: number
  readonly #open: PooledFile[] = []
  #hand = 0

  constructor(disk: Disk, max: number = OPEN_FILES_MAX) {
    this.#disk = disk
    this.#max = max
  }

  /** Handles that are open. */
  get count(): number {
    return this.#open.length
  }

  /** A file to be read. It is open when the promise resolves. */
  async open(path: string): Promise<PooledFile> {
    const file = new PooledFile(this, path)
    await file.acquire()
    file.release()
    return file
  }

  /** For PooledFile: a handle, and room for it. */
  async add(file: PooledFile): Promise<DiskFile> {
    this.#evict(this.#max - 1)
    let handle: DiskFile
    try {
      handle = await this.#openMoved(file)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EMFILE') throw error
      // Others have taken what there was: half of ours makes room.
      this.#evict(Math.floor(this.#open.length / 2))
      handle = await this.#openMoved(file)
    }
    this.#open.push(file)
    return handle
  }

  async #openMoved(file: PooledFile): Promise<DiskFile> {
    try {
      return await this.#disk.open(file.path, 'read')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || file.movesTo === null) throw error
      return this.#disk.open(file.movesTo, 'read')
    }
  }

  /** For PooledFile: one is read no more. Files that were read at the same time may have taken more than the budget. */
  trim(): void {
    if (this.#open.length > this.#max) this.#evict(this.#max)
  }

  /** For PooledFile: its handle is closed. */
  remove(file: PooledFile): void {
    const at = this.#open.indexOf(file)
    if (at >= 0) this.#removeAt(at)
  }

  #removeAt(at: number): void {
    const last = this.#open.pop()!
    if (at < this.#open.length) this.#open[at] = last
  }

  /** Closes handles until only so many are left, or all that are left are being read. */
  #evict(most: number): void {
    for (let looks = 2 * this.#open.length; this.#open.length > most && looks > 0; looks--) {
      if (this.#hand >= this.#open.length) this.#hand = 0
      const file = this.#open[this.#hand]!
      if (file.wasUsed || file.isBusy) {
        file.wasUsed = false
        this.#hand++
        continue
      }
      this.#removeAt(this.#hand)
      file.evicted()
    }
  }
}

export class PooledFile {
  readonly path: string
  /** Another name, under which it may be by now. */
  movesTo: string | null = null
  readonly #files: OpenFiles
  #handle: DiskFile | null = null
  #opening: Promise<DiskFile> | null = null
  #uses = 0
  #closed = false
  /** Since the hand passed. For OpenFiles. */
  wasUsed = false

  /** Use OpenFiles.open. */
  constructor(files: OpenFiles, path: string) {
    this.#files = files
    this.path = path
  }

  get isBusy(): boolean {
    return this.#uses > 0
  }

  /** The handle, which stays open until release(): at once unless it has to be opened. When it gives a promise that rejects there is nothing to release. */
  acquire(): DiskFile | Promise<DiskFile> {
    this.#uses++
    this.wasUsed = true
    return this.#handle ?? this.#reopen()
  }

  release(): void {
    this.#uses--
    this.#files.trim()
    if (this.#closed && this.#uses === 0) void this.#closeHandle().catch(() => {})
  }

  #reopen(): Promise<DiskFile> {
    this.#opening ??= this.#files.add(this).then(
      (handle) => {
        this.#opening = null
        this.#handle = handle
        return handle
      },
      (error: unknown) => {
        this.#opening = null
        throw error
      },
    )
    return this.#opening.catch((error: unknown) => {
      this.#uses--
      throw error
    })
  }

  /** For OpenFiles: it made room for another. */
  evicted(): void {
    void this.#closeHandle().catch(() => {})
  }

  async #closeHandle(): Promise<void> {
    const handle = this.#handle
    this.#handle = null
    await handle?.close()
  }

  /** Nobody will acquire it any more. May be called twice. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#opening?.catch(() => {})
    this.#files.remove(this)
    if (this.#uses === 0) await this.#closeHandle()
  }
}
