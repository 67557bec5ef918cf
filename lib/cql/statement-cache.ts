/**
 * Compiled statements by name. When their texts take more than a limit of bytes, those go that were not used for the longest time.
 * Always: what the entries are counted at is never more than `bytesMax`, unless a single entry is.
 */

/** What an entry takes besides its text, roughly: the plan, its values and its place in the map. */
const ENTRY_BYTES = 1024

interface Entry<V> {
  readonly value: V
  readonly bytes: number
  /** Number of the lookup that found it last. */
  usedAt: number
}

export class StatementCache<V> {
  readonly #bytesMax: number
  readonly #entries = new Map<string, Entry<V>>()
  #bytes = 0
  #lookups = 0
  /** Entries that made room for others. */
  evicted = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get size(): number {
    return this.#entries.size
  }

  get(name: string): V | undefined {
    const entry = this.#entries.get(name)
    if (entry === undefined) return undefined
    entry.usedAt = ++this.#lookups
    return entry.value
  }

  set(name: string, value: V, textLength: number): void {
    this.delete(name)
    const bytes = ENTRY_BYTES + 2 * textLength
    this.#entries.set(name, { value, bytes, usedAt: ++this.#lookups })
    this.#bytes += bytes
    if (this.#bytes > this.#bytesMax) this.#evict(name)
  }

  delete(name: string): void {
    const entry = this.#entries.get(name)
    if (entry === undefined) return
    this.#entries.delete(name)
    this.#bytes -= entry.bytes
  }

  entries(): [string, V][] {
    return [...this.#entries].map(([name, entry]) => [name, entry.value])
  }

  /** Makes room for a good while at once, so that a full cache is not searched at each insertion. */
  #evict(newest: string): void {
    const target = this.#bytesMax * 0.9
    const oldestFirst = [...this.#entries].sort((a, b) => a[1].usedAt - b[1].usedAt)
    for (const [name] of oldestFirst) {
      if (this.#bytes <= target) return
      if (name === newest) continue
      this.delete(name)
      this.evicted++
    }
  }
}
