/**
 * The SSTables that a compaction writes, one after another: a new one begins, between two partitions, when the one before has its size. Names were
 * reserved beforehand; when the last is reached it takes all that is left.
 * Always: until finish() has resolved there is nothing that may be used, and abort() leaves none of it.
 */
import type { Disk } from '../../lib/runtime/runtime.ts'
import { openTableWriter, type TableWriter, type TableWriterOptions } from '../sstable/writer.ts'

export interface OutputName {
  readonly path: string
  readonly uid: Uint8Array
}

export interface OutputOptions {
  readonly disk: Disk
  readonly names: readonly OutputName[]
  /** Bytes of each file, roughly; the last counts for all that follow. */
  readonly bytesMax: readonly number[]
  readonly writer: Omit<TableWriterOptions, 'uid' | 'partitionsEstimate'>
  /** Of all outputs together, at most. */
  readonly inputBytes: number
  /** Of all outputs together, roughly. */
  readonly partitions: number
}

export interface Output {
  /** Which of the names it has. */
  readonly name: number
  readonly fileBytes: number
}

/** A bloom filter has room for so many times the partitions that an output's share of the bytes lets expect. */
const FILTER_MARGIN = 1.2

export class Outputs {
  readonly #options: OutputOptions
  readonly #written: Output[] = []
  readonly #opened: string[] = []
  #writer: TableWriter | null = null
  #bytes = 0

  constructor(options: OutputOptions) {
    this.#options = options
  }

  /** Bytes of the files so far. */
  get bytes(): number {
    return this.#bytes + (this.#writer?.fileBytes ?? 0)
  }

  /** A partition begins. A promise when a file is ended before it. */
  partition(): Promise<void> | undefined {
    if (this.#writer === null) return undefined
    const { bytesMax, names } = this.#options
    const current = this.#written.length
    if (this.#writer.fileBytes < bytesMax[Math.min(current, bytesMax.length - 1)]! || current + 1 >= names.length)
      return undefined
    return this.#end(this.#writer)
  }

  /** As TableWriter.add. */
  write(key: Buffer, value: Buffer): Promise<void> | undefined {
    if (this.#writer === null) return this.#openFor(key, value)
    return this.#writer.add(key, value)
  }

  async #openFor(key: Buffer, value: Buffer): Promise<void> {
    const { disk, names, bytesMax, writer, inputBytes, partitions } = this.#options
    const which = this.#written.length
    const { path, uid } = names[which]!
    const share = (FILTER_MARGIN * bytesMax[Math.min(which, bytesMax.length - 1)]!) / inputBytes
    const partitionsEstimate = Math.ceil(partitions * Math.min(1, share))
    // Before it exists: a creation that fails may still have made the name.
    this.#opened.push(path)
    this.#writer = await openTableWriter(disk, path, { ...writer, partitionsEstimate, uid: Buffer.from(uid) })
    await this.#writer.add(key, value)
  }

  async #end(writer: TableWriter): Promise<void> {
    const { fileBytes } = await writer.finish()
    this.#writer = null
    this.#written.push({ name: this.#written.length, fileBytes })
    this.#bytes += fileBytes
  }

  async finish(): Promise<readonly Output[]> {
    if (this.#writer) await this.#end(this.#writer)
    return this.#written
  }

  /** Removes what was written, as far as the disk lets it; what stays is named nowhere and goes at the next start. */
  async abort(): Promise<void> {
    await this.#writer?.abort().catch(() => {})
    this.#writer = null
    for (const path of this.#opened) await this.#options.disk.remove(path).catch(() => {})
  }
}
