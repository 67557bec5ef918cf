/**
 * Looks after the room on the disks of the data and of the commit log: when it is nearly used up, writes of clients are refused, so that what was taken can
 * still be flushed, and what frees room (drops, truncations, compactions) can still be done.
 * Source: reserved room and ballast files as in Pebble and CockroachDB; the threshold as Cassandra's data_disk_usage_percentage_fail_threshold.
 * Always: `problem` follows the disk within a check's time, both ways, with no restart.
 */
import type { Clock, Disk, Log, Random } from '../lib/runtime/runtime.ts'
import { errorCode } from './errors.ts'

export interface DiskSpaceOptions {
  readonly runtime: { readonly clock: Clock; readonly disk: Disk; readonly log: Log; readonly random: Random }
  /** The first is that of the data, and holds the ballast. */
  readonly directories: readonly string[]
  /** Room that must stay: a commit-log segment and a flush of all memtables. */
  readonly reserveBytes: number
  readonly settings: DiskSpaceSettings
}

export interface DiskSpaceSettings {
  /** Writes are refused when so much of a disk, in percent, is used; null: whatever is used. Default 98. */
  readonly usedPercentMax?: number | null
  /** Size of a file of no use, which an operator deletes to have room on a full disk; made again when there is ample room. Default 0: none. */
  readonly ballastBytes?: number
}

const EVERY_MS = 1_000
const USED_PERCENT_MAX = 98
/** The ballast is made only when so many times its size would stay free. */
const BALLAST_FACTOR = 20
/** Nodes that live shorter need none. */
const BALLAST_AFTER_MS = 30_000
const CHUNK_BYTES = 1024 * 1024
const SOURCE = 'storage/disk-space.ts'

export class DiskSpace {
  readonly #options: DiskSpaceOptions
  readonly #usedPercentMax: number | null
  readonly #ballastBytes: number
  readonly #beganMs: number
  #timer: Disposable | null = null
  #checking: Promise<void> | null = null
  #ballast: Promise<void> | null = null
  #freeBytes = Number.POSITIVE_INFINITY
  #unknown = false
  #closed = false
  /** Why writes are refused; null: they are not. */
  problem: string | null = null

  constructor(options: DiskSpaceOptions) {
    this.#options = options
    const { usedPercentMax = USED_PERCENT_MAX, ballastBytes = 0 } = options.settings
    this.#usedPercentMax = usedPercentMax
    this.#ballastBytes = ballastBytes
    this.#beganMs = options.runtime.clock.monotonicMs()
  }

  /** Free bytes on the fullest disk, when it was last looked at. */
  get freeBytes(): number {
    return this.#freeBytes
  }

  /** Whether work that may need so many bytes should begin. */
  hasRoomFor(bytes: number): boolean {
    return this.#freeBytes - bytes >= this.#options.reserveBytes
  }

  /** Looks once, then every second. */
  async start(): Promise<void> {
    await this.check()
    this.#again()
  }

  #again(): void {
    if (this.#closed) return
    this.#timer = this.#options.runtime.clock.after(EVERY_MS, () => {
      this.check().finally(() => this.#again())
    })
  }

  /** Looks now. */
  check(): Promise<void> {
    this.#checking ??= this.#check().finally(() => {
      this.#checking = null
    })
    return this.#checking
  }

  async #check(): Promise<void> {
    const { disk, log } = this.#options.runtime
    let problem: string | null = null
    let least = Number.POSITIVE_INFINITY
    try {
      for (const directory of this.#options.directories) {
        const { freeBytes, totalBytes } = await disk.space(directory)
        least = Math.min(least, freeBytes)
        problem ??= this.#judge(directory, freeBytes, totalBytes)
      }
      this.#unknown = false
    } catch (error) {
      // No reason to refuse anything: a write that finds no room is held back by itself.
      if (!this.#unknown) log.warn(SOURCE, `the free room of the disk is not known: ${String(error)}`)
      this.#unknown = true
    }
    this.#freeBytes = least
    if (problem !== null && this.problem === null) log.error(SOURCE, `Writes are refused: ${problem}`)
    if (problem === null && this.problem !== null) log.info(SOURCE, 'There is room on the disk again: writes are taken')
    this.problem = problem
    if (problem === null && least !== Number.POSITIVE_INFINITY) this.#keepBallast()
  }

  #judge(directory: string, freeBytes: number, totalBytes: number): string | null {
    const { reserveBytes } = this.#options
    if (freeBytes < reserveBytes)
      return `${freeBytes} bytes are free in ${directory}, ${reserveBytes} are needed for a commit-log segment and a flush`
    const used = totalBytes > 0 ? 100 * (1 - freeBytes / totalBytes) : 0
    if (this.#usedPercentMax === null || used < this.#usedPercentMax) return null
    return `${used.toFixed(1)} % of the disk of ${directory} are used, ${this.#usedPercentMax} % are allowed`
  }

  #keepBallast(): void {
    if (this.#ballastBytes === 0 || this.#ballast !== null || this.#closed) return
    if (this.#options.runtime.clock.monotonicMs() - this.#beganMs < BALLAST_AFTER_MS) return
    if (!this.hasRoomFor(this.#ballastBytes * BALLAST_FACTOR)) return
    this.#ballast = this.#makeBallast()
      .catch((error: unknown) => this.#options.runtime.log.warn(SOURCE, `no ballast file: ${String(error)}`))
      .finally(() => {
        this.#ballast = null
      })
  }

  async #makeBallast(): Promise<void> {
    const { disk, random, log } = this.#options.runtime
    const path = `${this.#options.directories[0]}/ballast`
    if ((await disk.stat(path)) !== null) return
    const draft = `${path}.new`
    // Not zeros, which some file systems keep in no room.
    const chunk = random.fill(Buffer.alloc(Math.min(CHUNK_BYTES, this.#ballastBytes)))
    const file = await disk.open(draft, 'write')
    try {
      await file.truncate(0)
      for (let at = 0; at < this.#ballastBytes && !this.#closed; at += chunk.length)
        await file.write(chunk.subarray(0, Math.min(chunk.length, this.#ballastBytes - at)), at)
      await file.sync()
    } catch (error) {
      await file.close()
      await disk.remove(draft).catch(() => {})
      if (errorCode(error) === 'ENOSPC') return
      throw error
    }
    await file.close()
    await disk.rename(draft, path)
    log.info(SOURCE, `${path} holds ${this.#ballastBytes} bytes: delete it to have room when the disk is full`)
  }

  /** May be called twice. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.[Symbol.dispose]()
    await this.#checking
    await this.#ballast
  }
}
