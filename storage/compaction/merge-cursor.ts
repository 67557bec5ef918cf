/**
 * Several scans as one sorted sequence: each key once, with the scans that hold a version of it. Source: k-way merge with a heap (Knuth, TAOCP 3, 5.4.1).
 */
import { abandon, alsoWait } from '../read/source.ts'
import { compareBytes } from '../sstable/block.ts'
import type { TableScan } from './table-scan.ts'

/** Order of the keys that two scans stand on. */
function compareScans(a: TableScan, b: TableScan): number {
  if (a.high !== b.high) return a.high < b.high ? -1 : 1
  if (a.low !== b.low) return a.low < b.low ? -1 : 1
  return compareBytes(a.key, 8, a.key.length, b.key.subarray(8))
}

export class MergeCursor {
  readonly #scans: readonly TableScan[]
  /** Of the scans that stand behind the current key, the least first. */
  readonly #heap: TableScan[] = []
  /** The scans that stand on the current key; none at the end. */
  readonly at: TableScan[] = []

  constructor(scans: readonly TableScan[]) {
    this.#scans = scans
  }

  /** Null: at the end. */
  get key(): Buffer | null {
    return this.at.length === 0 ? null : this.at[0]!.key
  }

  /** Takes the scans in, which must have been led to where they begin. */
  start(): void {
    for (const scan of this.#scans) if (scan.valid) this.#push(scan)
    this.#choose()
  }

  next(): Promise<void> | undefined {
    const { at } = this
    let waits: Promise<void>[] | null = null
    try {
      for (let i = 0; i < at.length; i++) {
        const wait = at[i]!.next()
        if (wait) waits = alsoWait(waits, wait)
      }
    } catch (error) {
      abandon(waits)
      throw error
    }
    if (waits !== null) return this.#later(waits)
    this.#take()
    return undefined
  }

  async #later(waits: Promise<void>[]): Promise<void> {
    if (waits.length === 1) await waits[0]
    else await Promise.all(waits)
    this.#take()
  }

  /** Puts the scans that moved back in order. */
  #take(): void {
    const { at } = this
    const only = at[0]!
    if (at.length === 1 && only.valid && (this.#heap.length === 0 || compareScans(only, this.#heap[0]!) < 0)) return
    for (let i = 0; i < at.length; i++) if (at[i]!.valid) this.#push(at[i]!)
    this.#choose()
  }

  #choose(): void {
    const { at } = this
    const heap = this.#heap
    at.length = 0
    if (heap.length === 0) return
    const least = this.#pop()
    at.push(least)
    while (heap.length > 0 && compareScans(heap[0]!, least) === 0) at.push(this.#pop())
  }

  #push(scan: TableScan): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(scan)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (compareScans(heap[parent]!, scan) <= 0) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = scan
  }

  #pop(): TableScan {
    const heap = this.#heap
    const top = heap[0]!
    const last = heap.pop()!
    const length = heap.length
    if (length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= length) break
      if (child + 1 < length && compareScans(heap[child + 1]!, heap[child]!) < 0) child++
      if (compareScans(last, heap[child]!) <= 0) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return top
  }
}
