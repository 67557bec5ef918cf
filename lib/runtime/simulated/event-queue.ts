/**
 * What is to happen, in order of its time, then of its making: a binary heap. A cancelled entry stays where it is until it comes up, or until
 * half of the heap is such litter.
 */

export interface QueueEntry<T> {
  readonly atMs: number
  readonly sequence: number
  /** Null: cancelled, or taken. */
  value: T | null
}

/** Below this the heap is never swept. */
const SWEEP_MIN = 1024

export class EventQueue<T> {
  #heap: QueueEntry<T>[] = []
  #sequence = 0
  #cancelled = 0
  /** The time of what was taken last. */
  takenAtMs = 0

  /** Entries that will still come up. */
  get size(): number {
    return this.#heap.length - this.#cancelled
  }

  push(atMs: number, value: T): QueueEntry<T> {
    const entry: QueueEntry<T> = { atMs, sequence: this.#sequence++, value }
    this.#heap.push(entry)
    this.#up(this.#heap.length - 1)
    return entry
  }

  /** Nothing happens if it was taken already. */
  cancel(entry: QueueEntry<T>): void {
    if (entry.value === null) return
    entry.value = null
    this.#cancelled++
    if (this.#heap.length >= SWEEP_MIN && this.#cancelled * 2 > this.#heap.length) this.#sweep()
  }

  /** Takes the first if its time is `limitMs` or before. */
  take(limitMs: number): T | null {
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined) return null
      const { value, atMs } = first
      if (value !== null && atMs > limitMs) return null
      this.#removeFirst()
      if (value !== null) {
        first.value = null
        this.takenAtMs = atMs
        return value
      }
      this.#cancelled--
    }
  }

  #removeFirst(): void {
    const last = this.#heap.pop()!
    if (this.#heap.length === 0) return
    this.#heap[0] = last
    this.#down(0)
  }

  #sweep(): void {
    this.#heap = this.#heap.filter((entry) => entry.value !== null)
    this.#cancelled = 0
    for (let at = (this.#heap.length >> 1) - 1; at >= 0; at--) this.#down(at)
  }

  #up(at: number): void {
    const heap = this.#heap
    const entry = heap[at]!
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!isBefore(entry, heap[above]!)) break
      heap[at] = heap[above]!
      at = above
    }
    heap[at] = entry
  }

  #down(at: number): void {
    const heap = this.#heap
    const entry = heap[at]!
    for (;;) {
      let below = at * 2 + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below++
      if (!isBefore(heap[below]!, entry)) break
      heap[at] = heap[below]!
      at = below
    }
    heap[at] = entry
  }
}

function isBefore<T>(a: QueueEntry<T>, b: QueueEntry<T>): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence)
}
