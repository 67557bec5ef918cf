/**
 * A memtable's records in order, copied into parts: how they reach the thread that writes them to a file, while reads go on here.
 * part := (key length u32 | key | value length u32 | value)*, whole records only.
 */
import { readInt32 } from '../model/row.ts'

/** What parts are made of. */
export interface RecordCursor {
  readonly valid: boolean
  /** Of the record it stands on, lengths included. */
  readonly recordBytes: number
  copyRecord(target: Uint8Array, at: number): void
  next(): void
}

/** Copying so much takes about a third of a millisecond. */
const PART_BYTES = 256 * 1024

/** The parts from where the cursor stands to its end. What it walks must not change meanwhile. */
export class MemtableParts {
  readonly #cursor: RecordCursor
  /** Records in the parts so far. */
  records = 0

  constructor(cursor: RecordCursor) {
    this.#cursor = cursor
  }

  /** For JobOptions.input. */
  next(spent: Uint8Array | null): Uint8Array | null {
    const cursor = this.#cursor
    if (!cursor.valid) return null
    const wanted = Math.max(PART_BYTES, cursor.recordBytes)
    const part = spent && spent.buffer.byteLength >= wanted ? new Uint8Array(spent.buffer) : new Uint8Array(wanted)
    let at = 0
    while (cursor.valid) {
      const size = cursor.recordBytes
      if (at + size > part.length) break
      cursor.copyRecord(part, at)
      at += size
      this.records++
      cursor.next()
    }
    return part.subarray(0, at)
  }
}

/** Walks a part's records. `key` and `value` are views of it. */
export class PartReader {
  #part: Buffer = Buffer.alloc(0)
  #at = 0
  key: Buffer = this.#part
  value: Buffer = this.#part

  reset(part: Uint8Array): void {
    this.#part = Buffer.from(part.buffer, part.byteOffset, part.length)
    this.#at = 0
  }

  next(): boolean {
    if (this.#at === this.#part.length) return false
    this.key = this.#field()
    this.value = this.#field()
    return true
  }

  #field(): Buffer {
    const start = this.#at + 4
    const end = start + readInt32(this.#part, this.#at)
    this.#at = end
    return this.#part.subarray(start, end)
  }
}
