/**
 * An SSTable that cannot be opened, as reads see it: whatever may be in it fails, everything else is as if it were not there.
 * Always: a read that could have found something in the file gives no answer.
 */
import { CorruptionError } from './errors.ts'
import type { Source, SourceCursor } from './read/source.ts'
import { compareBytes } from './sstable/block.ts'

export interface BrokenFile {
  readonly path: string
  readonly minPosition: Buffer
  readonly maxPosition: Buffer
}

export class BrokenSource implements Source {
  readonly isFile = true
  readonly hasPartitionDeletions = true
  readonly hasStaticRows = true
  readonly hasRangeTombstones = true
  readonly maxTimestamp = null
  readonly #file: BrokenFile
  /** Before all of its records, and after them. */
  readonly #first: Buffer
  readonly #last: Buffer

  constructor(file: BrokenFile) {
    this.#file = file
    this.#first = Buffer.concat([file.minPosition, Buffer.from([0])])
    this.#last = Buffer.concat([file.maxPosition, Buffer.from([0xff])])
  }

  mayHold(position: Buffer): boolean {
    const { minPosition, maxPosition } = this.#file
    return compare(minPosition, position) <= 0 && compare(position, maxPosition) <= 0
  }

  mayHoldRows(): boolean {
    return true
  }

  mayHoldRow(): boolean {
    return true
  }

  get(key: Buffer): null | Promise<never> {
    if (compare(key, this.#first) < 0 || compare(key, this.#last) > 0) return null
    return Promise.reject(this.#error())
  }

  /** It stands where the first record may be, and has nothing to show there. */
  cursor(): SourceCursor {
    const fail = (): never => {
      throw this.#error()
    }
    const first = this.#first
    const last = this.#last
    let valid = false
    return {
      get valid() {
        return valid
      },
      get key() {
        return first
      },
      get value() {
        return fail()
      },
      keyInto: (span) => {
        span.setTo(first)
      },
      valueInto: fail,
      seek(key) {
        if (compare(key, first) > 0 && compare(key, last) <= 0) fail()
        valid = compare(key, first) <= 0
        return undefined
      },
      seekBefore(key) {
        if (compare(key, first) > 0) fail()
        valid = false
        return undefined
      },
      next: fail,
      previous: fail,
    }
  }

  #error(): CorruptionError {
    return new CorruptionError(this.#file.path, 0, 'it cannot be read, and what is asked for may be in it')
  }
}

function compare(a: Buffer, b: Buffer): number {
  return compareBytes(a, 0, a.length, b)
}
