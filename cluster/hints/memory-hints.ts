/** Hints of a node without a disk: gone with its process, as all that it has. */
import { BATCH_BYTES, BATCH_HINTS, type HintBatch, type HostHints } from './host-hints.ts'
import type { Hint } from './record.ts'

/** What a hint takes beside its mutation. */
const OVERHEAD_BYTES = 100

export class MemoryHints implements HostHints {
  readonly hostId: string
  readonly damagedBytes = 0
  bytes = 0
  #hints: Hint[] = []
  #shown = 0

  constructor(hostId: string) {
    this.hostId = hostId
  }

  get oldestMs(): number | null {
    return this.#hints[0]?.keptAtMs ?? null
  }

  get newestMs(): number | null {
    return this.#hints.at(-1)?.keptAtMs ?? null
  }

  get files(): number {
    return 0
  }

  append(hint: Hint): undefined {
    this.#hints.push({ ...hint, mutation: Buffer.from(hint.mutation) })
    this.bytes += hint.mutation.length + OVERHEAD_BYTES
  }

  async peek(): Promise<HintBatch | null> {
    let bytes = 0
    let count = 0
    while (count < this.#hints.length && count < BATCH_HINTS && bytes < BATCH_BYTES)
      bytes += this.#hints[count++]!.mutation.length + OVERHEAD_BYTES
    this.#shown = count
    return count === 0 ? null : { hints: this.#hints.slice(0, count), bytes }
  }

  async done(): Promise<void> {
    for (const { mutation } of this.#hints.splice(0, this.#shown)) this.bytes -= mutation.length + OVERHEAD_BYTES
    this.#shown = 0
  }

  async clear(): Promise<void> {
    this.#hints = []
    this.#shown = 0
    this.bytes = 0
  }

  async close(): Promise<void> {}
}
