/**
 * Several sources as one sorted sequence: each key once, with all its versions at hand, newest source first. A heap finds the next key: most often
 * one source has moved, and goes down to its new place.
 */
import { abandon, alsoWait, type Source, type SourceCursor } from './source.ts'
import { Span } from './span.ts'

export class MergedCursor {
  readonly #cursors: SourceCursor[]
  /** Of each cursor that stands on a key. */
  readonly #keys: Span[]
  readonly #reversed: boolean
  /** Indexes of the cursors that stand on a key, the next one in the cursor's direction at the root. */
  #heap: number[] = []
  /** Indexes of the cursors that stand on `key`: the first `versions` of these. */
  readonly #at: number[] = []
  /** How many sources have the key. */
  versions = 0
  /** Null: at the end. It is filled anew when the cursor moves; its bytes stay. */
  key: Span | null = null

  constructor(sources: readonly Source[], reversed: boolean, isScan = false) {
    this.#cursors = sources.map((source) => source.cursor({ isScan }))
    this.#keys = sources.map(() => new Span())
    this.#reversed = reversed
  }

  version(index: number): Buffer {
    return this.#cursors[this.#at[index]!]!.value
  }

  /** As `version`, without a view. */
  versionInto(index: number, span: Span): void {
    this.#cursors[this.#at[index]!]!.valueInto(span)
  }

  /** Forward: to the first key at or after the bound. Reversed: to the last before it. */
  seek(bound: Buffer): Promise<void> | undefined {
    let waits: Promise<void>[] | null = null
    try {
      for (let i = 0; i < this.#cursors.length; i++) {
        const cursor = this.#cursors[i]!
        const wait = this.#reversed ? cursor.seekBefore(bound) : cursor.seek(bound)
        if (wait) waits = alsoWait(waits, wait)
      }
    } catch (error) {
      abandon(waits)
      throw error
    }
    if (waits) return this.#later(waits, true)
    this.#readAll()
    return undefined
  }

  /** To the next key in the cursor's direction. */
  next(): Promise<void> | undefined {
    let waits: Promise<void>[] | null = null
    try {
      for (let i = 0; i < this.versions; i++) {
        const which = this.#at[i]!
        const cursor = this.#cursors[which]!
        const wait = this.#reversed ? cursor.previous() : cursor.next()
        if (wait) waits = alsoWait(waits, wait)
        else this.#readKey(which)
      }
    } catch (error) {
      abandon(waits)
      throw error
    }
    if (waits) return this.#later(waits, false)
    this.#advanced()
    return undefined
  }

  async #later(waits: Promise<void>[], all: boolean): Promise<void> {
    await Promise.all(waits)
    if (all) {
      this.#readAll()
      return
    }
    for (let i = 0; i < this.versions; i++) this.#readKey(this.#at[i]!)
    this.#advanced()
  }

  #readKey(which: number): void {
    const cursor = this.#cursors[which]!
    if (cursor.valid) cursor.keyInto(this.#keys[which]!)
  }

  #readAll(): void {
    for (let i = 0; i < this.#cursors.length; i++) this.#readKey(i)
    this.#build()
    this.#choose()
  }

  /** The cursors that stood on the key have moved. */
  #advanced(): void {
    const heap = this.#heap
    // Of one source there is nothing to choose.
    if (this.#cursors.length === 1 && this.#cursors[0]!.valid) return
    if (this.versions > 1) this.#build()
    else if (heap.length > 0) {
      if (!this.#cursors[heap[0]!]!.valid) {
        const last = heap.pop()!
        if (heap.length > 0) heap[0] = last
      }
      this.#siftDown(0)
    }
    this.#choose()
  }

  #build(): void {
    const heap: number[] = []
    for (let i = 0; i < this.#cursors.length; i++) if (this.#cursors[i]!.valid) heap.push(i)
    this.#heap = heap
    for (let at = (heap.length >> 1) - 1; at >= 0; at--) this.#siftDown(at)
  }

  #order(a: number, b: number): number {
    const order = this.#keys[a]!.compare(this.#keys[b]!)
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
    this.versions = 0
    if (this.#heap.length === 0) {
      this.key = null
      return
    }
    this.key = this.#keys[this.#heap[0]!]!
    this.#add(this.#heap[0]!)
    this.#collect(1)
    this.#collect(2)
  }

  #collect(place: number): void {
    if (place >= this.#heap.length) return
    const source = this.#heap[place]!
    if (this.#keys[source]!.compare(this.key!) !== 0) return
    this.#add(source)
    this.#collect(2 * place + 1)
    this.#collect(2 * place + 2)
  }

  /** Adds to #at, which ascends. */
  #add(source: number): void {
    const at = this.#at
    let place = this.versions++
    for (; place > 0 && at[place - 1]! > source; place--) at[place] = at[place - 1]!
    at[place] = source
  }
}
