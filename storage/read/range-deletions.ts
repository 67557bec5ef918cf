/**
 * The range tombstones of one partition that cover a row. In each source they do not overlap, so the last one that begins at or before
 * the row is the only one that can: a search, however many there are. The interval found serves the rows that follow in it.
 */
import { DELETION_BYTES } from '../model/deletion.ts'
import { EntryKind } from '../model/mutation.ts'
import { isPrefix, partitionRecordKey } from './keys.ts'
import { greaterDeletion } from './row-resolver.ts'
import { alsoWait, type Source, type SourceCursor } from './source.ts'

const AFTER = Buffer.from([0])

interface Found {
  readonly start: Buffer
  readonly end: Buffer
  readonly deletion: Buffer
}

export class RangeDeletions {
  readonly #cursors: SourceCursor[]
  readonly #found: (Found | null)[]
  readonly #prefix: Buffer
  /** Of the row last asked for: the greatest deletion that covers it. */
  deletion: Buffer | null = null
  /** Ranges that were met, for the count of tombstones. */
  met = 0

  constructor(sources: readonly Source[], position: Buffer) {
    this.#cursors = sources.map((source) => source.cursor())
    this.#found = sources.map(() => null)
    this.#prefix = partitionRecordKey(position, EntryKind.RANGE_TOMBSTONE)
  }

  /** Finds `deletion` for a row. */
  find(clustering: Buffer): Promise<void> | undefined {
    let waits: Promise<void>[] | null = null
    let bound: Buffer | null = null
    for (let i = 0; i < this.#cursors.length; i++) {
      const found = this.#found[i]!
      if (found !== null && found.start.compare(clustering) <= 0 && found.end.compare(clustering) > 0) continue
      bound ??= Buffer.concat([this.#prefix, clustering, AFTER])
      const wait = this.#cursors[i]!.seekBefore(bound)
      if (wait)
        waits = alsoWait(
          waits,
          wait.then(() => this.#read(i, clustering)),
        )
      else this.#read(i, clustering)
    }
    if (waits) return this.#later(waits)
    this.#choose()
    return undefined
  }

  async #later(waits: Promise<void>[]): Promise<void> {
    await Promise.all(waits)
    this.#choose()
  }

  #choose(): void {
    let deletion: Buffer | null = null
    for (const found of this.#found) if (found) deletion = greaterDeletion(deletion, found.deletion)
    this.deletion = deletion
  }

  #read(i: number, clustering: Buffer): void {
    const cursor = this.#cursors[i]!
    this.#found[i] = null
    if (!cursor.valid) return
    const key = cursor.key
    if (!isPrefix(this.#prefix, key)) return
    const value = cursor.value
    const end = value.subarray(DELETION_BYTES)
    if (end.compare(clustering) <= 0) return
    this.met++
    this.#found[i] = { start: key.subarray(this.#prefix.length), end, deletion: value.subarray(0, DELETION_BYTES) }
  }
}
