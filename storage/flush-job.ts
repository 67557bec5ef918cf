/** The job that writes a memtable's records to an SSTable: in a thread of its own, or in place when they are few. */
import { defineJob, type JobContext } from '../lib/runtime/runtime.ts'
import { type MemtableParts, PartReader } from './memtable/parts.ts'
import type { Memtable } from './memtable.ts'
import type { TableOwner } from './sstable/statistics.ts'
import { openTableWriter } from './sstable/writer.ts'

export interface FlushArgument {
  /** It must not exist, its directory must. */
  readonly path: string
  readonly uid: Uint8Array
  readonly partitionsEstimate: number
  readonly owner: TableOwner
  readonly falsePositiveChance: number
  readonly compressed: boolean
  readonly blockBytes: number
}

export interface FlushedFile {
  readonly fileBytes: number
}

/** The job's input, and how much of the memtable has gone into it. */
export class FlushInput {
  readonly #memtable: Memtable
  readonly #wrote: (bytes: number) => void
  #parts: MemtableParts
  #told = 0

  /** `wrote` is told how many bytes more are on their way to the file; less than 0: that they do not count any more. */
  constructor(memtable: Memtable, wrote: (bytes: number) => void) {
    this.#memtable = memtable
    this.#wrote = wrote
    this.#parts = memtable.parts()
  }

  next(spent: Uint8Array | null): Uint8Array | null {
    const part = this.#parts.next(spent)
    // A mutation may have nothing in it: its memtable has neither.
    const { bytes, size } = this.#memtable
    this.#tell(size === 0 ? 0 : Math.floor((bytes * this.#parts.records) / size))
    return part
  }

  restart(): void {
    this.#parts = this.#memtable.parts()
    this.end()
  }

  end(): void {
    this.#tell(0)
  }

  #tell(bytes: number): void {
    this.#wrote(bytes - this.#told)
    this.#told = bytes
  }
}

const RECORDS_PER_TURN = 256

/** The input is the memtable's parts, at least one. When it fails it has removed the file, if the disk let it. */
export async function writeMemtable(argument: FlushArgument, context: JobContext): Promise<FlushedFile> {
  const { path, ...options } = argument
  const writer = await openTableWriter(context.disk, path, { ...options, uid: Buffer.from(argument.uid) })
  try {
    const records = new PartReader()
    let count = 0
    for (let part = await context.input(); part; part = await context.input()) {
      records.reset(part)
      while (records.next()) {
        const wait = writer.add(records.key, records.value)
        if (wait) await wait
        if (++count % RECORDS_PER_TURN === 0) await context.pause()
      }
    }
    const { fileBytes } = await writer.finish()
    return { fileBytes }
  } catch (error) {
    await writer.abort().catch(() => {})
    throw error
  }
}

export const WRITE_MEMTABLE = defineJob(import.meta.url, writeMemtable)
