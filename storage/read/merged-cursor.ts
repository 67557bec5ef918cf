/**
 * Several sources as one sorted sequence: each key once, with all its versions at hand, newest source first. A heap finds the next key: most often
 * one source has moved, and goes down to its new place.
 */
import { alsoWait, type Source, type SourceCursor } from './source.ts'

export class MergedCursor {
  readonly #cursors: SourceCursor[]
  readonly #keys: (Buffer | null)[]
  readonly #reversed: boolean
  /** Indexes of the cursors that stand on a key, the next one in the cursor's direction at the root. */
  #heap: number[] = []
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
    this.#advanced()
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
    else this.#advanced()
  }

  #readAll(): void {
    for (let i = 0; i < this.#cursors.length; i++) {
      const cursor = this.#cursors[i]!
      this.#keys[i] = cursor.valid ? cursor.key : null
    }
    this.#build()
    this.#choose()
  }

  /** The cursors that stood on the key have moved. */
  #advanced(): void {
    const heap = this.#heap
    if (this.#at.length > 1) this.#build()
    else if (heap.length > 0) {
      if (this.#keys[heap[0]!] === null) {
        const last = heap.pop()!
        if (heap.length > 0) heap[0] = last
      }
      this.#siftDown(0)
    }
    this.#choose()
  }

  #build(): void {
    const heap: number[] = []
    for (let i = 0; i < this.#keys.length; i++) if (this.#keys[i] !== null) heap.push(i)
    this.#heap = heap
    for (let at = (heap.length >> 1) - 1; at >= 0; at--) this.#siftDown(at)
  }

  #order(a: number, b: number): number {
    const order = Buffer.compare(this.#keys[a]!, this.#keys[b]!)
    return this.#reversed ? -order : order
  }

  #siftDown(from: number): void {
    const heap = this.#heap
    const { length } = heap
    const moved = heap[from]!
    let at = from
    for (;;) {
      let child = 2 * at + 1
      if (child >= length) break
      if (child + 1 < length && this.#order(heap[child + 1]!, heap[child]!) < 0) child++
      if (this.#order(moved, heap[child]!) <= 0) break
      heap[at] = heap[child]!
      at = child
    }
    if (at !== from) heap[at] = moved
  }

  /** The root's key, and all who stand on it: they are at the top of the heap. */
  #choose(): void {
    const at = this.#at
    at.length = 0
    if (this.#heap.length === 0) {
      this.key = null
      return
    }
    this.key = this.#keys[this.#heap[0]!]!
    at.push(this.#heap[0]!)
    this.#collect(1)
    this.#collect(2)
    if (at.length > 1) at.sort((a, b) => a - b)
  }

  #collect(place: number): void {
    if (place >= this.#heap.length) return
    const source = this.#heap[place]!
    if (Buffer.compare(this.#keys[source]!, this.key!) !== 0) return
    this.#at.push(source)
    this.#collect(2 * place + 1)
    this.#collect(2 * place + 2)
  }
}
