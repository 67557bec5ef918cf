/**
 * Bytes of an SSTable that a cursor reads at once because it goes from block to block: first what a block needs, then twice as much each time up to
 * READ_AHEAD_BYTES. So a short slice reads little more than its blocks, and a long scan makes few requests.
 */
import type { TableReader } from './reader.ts'

const READ_AHEAD_BYTES = 256 * 1024
const FIRST_BYTES = 16 * 1024

export class ReadAhead {
  readonly #table: TableReader
  #bytes: Buffer | null = null
  #start = 0
  #next = FIRST_BYTES
  /** Bytes read in one run. */
  runBytes = 0

  constructor(table: TableReader) {
    this.#table = table
  }

  /** The cursor jumps: what was read is of no use. */
  reset(): void {
    this.#bytes = null
    this.#next = FIRST_BYTES
    this.runBytes = 0
  }

  /** The stored bytes of a section, if they are there. */
  get(offset: number, length: number): Buffer | null {
    const bytes = this.#bytes
    if (bytes === null || offset < this.#start || offset + length > this.#start + bytes.length) return null
    return bytes.subarray(offset - this.#start, offset - this.#start + length)
  }

  /** Reads a section and what lies in the cursor's direction. */
  async load(offset: number, length: number, forward: boolean): Promise<void> {
    const size = Math.max(length, this.#next)
    this.#next = Math.min(this.#next * 2, READ_AHEAD_BYTES)
    const { dataStart, dataEnd } = this.#table
    const start = forward ? offset : Math.max(dataStart, offset + length - size)
    const end = forward ? Math.min(dataEnd, offset + size) : offset + length
    const bytes = await this.#table.read(start, end - start)
    this.#bytes = bytes
    this.#start = start
    this.runBytes += bytes.length
  }
}
