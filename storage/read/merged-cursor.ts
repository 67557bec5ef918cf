/**
 * Several sources as one sorted sequence: each key once, with all its versions at hand, newest source first.
 * There are few sources, so the least key is found by going through them.
 */
import { alsoWait, type Source, type SourceCursor } from './source.ts'

export class MergedCursor {
  readonly #cursors: SourceCursor[]
  readonly #keys: (Buffer | null)[]
  readonly #reversed: boolean
  /** Indexes of the cursors that stand on `key`. */
  readonly #at: number[] = []
  /** Null: at the end. */
  key: Buffer | null = null

  constructor(sources: readonly Source[], reversed: boolean, isScan = false) {
    this.#cursors = sources.map((source) => source.cursor({ isScan }))
    this.#keys = sources.map(() => null)
    this.#reversed = reversed
  }

  /** How many sources have the key. */
  get versions(): number {
    return this.#at.length
  }

  version(index: number): Buffer {
    return this.#cursors[this.#at[index]!]!.value
  }

  /** Forward: to the first key at or after the bound. Reversed: to the last before it. */
  seek(bound: Buffer): Promise<void> | undefined {
    let waits: Promise<void>[] | null = null
    for (let i = 0; i < this.#cursors.length; i++) {
      const cursor = this.#cursors[i]!
      const wait = this.#reversed ? cursor.seekBefore(bound) : cursor.seek(bound)
      if (wait) waits = alsoWait(waits, wait)
    }
    if (waits) return this.#later(waits, true)
    this.#readAll()
    return undefined
  }

  /** To the next key in the cursor's direction. */
  next(): Promise<void> | undefined {
    let waits: Promise<void>[] | null = null
    for (let i = 0; i < this.#at.length; i++) {
      const which = this.#at[i]!
      const cursor = this.#cursors[which]!
      const wait = this.#reversed ? cursor.previous() : cursor.next()
      if (wait) waits = alsoWait(waits, wait)
      else this.#keys[which] = cursor.valid ? cursor.key : null
    }
    if (waits) return this.#later(waits, false)
    this.#choose()
    return undefined
  }

  async #later(waits: Promise<void>[], all: boolean): Promise<void> {
    await Promise.all(waits)
    if (!all)
      for (const which of this.#at) {
        const cursor = this.#cursors[which]!
        this.#keys[which] = cursor.valid ? cursor.key : null
      }
    if (all) this.#readAll()
    else this.#choose()
  }

  #readAll(): void {
    for (let i = 0; i < this.#cursors.length; i++) {
      const cursor = this.#cursors[i]!
      this.#keys[i] = cursor.valid ? cursor.key : null
    }
    this.#choose()
  }

  #choose(): void {
    const at = this.#at
    at.length = 0
    let best: Buffer | null = null
    for (let i = 0; i < this.#keys.length; i++) {
      const key = this.#keys[i]!
      if (key === null) continue
      if (best !== null) {
        const order: number = Buffer.compare(key, best)
        if (order === 0) {
          at.push(i)
          continue
        }
        if (this.#reversed ? order < 0 : order > 0) continue
        at.length = 0
      }
      best = key
      at.push(i)
    }
    this.key = best
  }
}
