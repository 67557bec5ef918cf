/**
 * Which of many SSTables overlap a given one, without looking at all of them: intervals in order of their starts, as a balanced tree in an array,
 * each node knowing the greatest end below it (CLRS, Interval trees).
 */
import type { SSTableInfo } from './strategy.ts'

export class OverlapIndex {
  readonly #tables: readonly SSTableInfo[]
  /** By the index of a subtree's root: the greatest end in it. */
  readonly #ends: Buffer[] = []

  constructor(tables: readonly SSTableInfo[]) {
    this.#tables = [...tables].sort((a, b) => a.minPosition.compare(b.minPosition))
    if (tables.length > 0) this.#build(0, tables.length)
  }

  #build(low: number, high: number): Buffer {
    const middle = (low + high) >>> 1
    let end = this.#tables[middle]!.maxPosition
    if (low < middle) end = later(end, this.#build(low, middle))
    if (middle + 1 < high) end = later(end, this.#build(middle + 1, high))
    this.#ends[middle] = end
    return end
  }

  /** Calls `visit` with each that overlaps the table, itself too if it is there, until it returns true; whether it did. */
  some(table: SSTableInfo, visit: (other: SSTableInfo) => boolean): boolean {
    return this.#some(0, this.#tables.length, table, visit)
  }

  #some(low: number, high: number, table: SSTableInfo, visit: (other: SSTableInfo) => boolean): boolean {
    if (low >= high) return false
    const middle = (low + high) >>> 1
    if (this.#ends[middle]!.compare(table.minPosition) < 0) return false
    if (this.#some(low, middle, table, visit)) return true
    const root = this.#tables[middle]!
    if (root.minPosition.compare(table.maxPosition) > 0) return false
    if (root.maxPosition.compare(table.minPosition) >= 0 && visit(root)) return true
    return this.#some(middle + 1, high, table, visit)
  }
}

function later(a: Buffer, b: Buffer): Buffer {
  return a.compare(b) >= 0 ? a : b
}
