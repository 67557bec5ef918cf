/**
 * Who may run now: at most `width` at once, the others in the order in which they came.
 * Always: who entered leaves once; who was aborted while waiting never entered.
 */
import { assert } from '../base/assert.ts'

interface Waiting {
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
}

export class JobLaneQueue {
  readonly width: number
  #inside = 0
  readonly #waiting: Waiting[] = []

  constructor(width: number) {
    assert(width > 0)
    this.width = width
  }

  get inside(): number {
    return this.#inside
  }

  get waiting(): number {
    return this.#waiting.length
  }

  async enter(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    if (this.#inside < this.width) {
      this.#inside++
      return
    }
    let abort: (() => void) | null = null
    try {
      await new Promise<void>((resolve, reject) => {
        const waiting = { resolve, reject }
        this.#waiting.push(waiting)
        abort = () => {
          const at = this.#waiting.indexOf(waiting)
          if (at < 0) return
          this.#waiting.splice(at, 1)
          reject(signal?.reason)
        }
        signal?.addEventListener('abort', abort)
      })
    } finally {
      if (abort) signal?.removeEventListener('abort', abort)
    }
  }

  /** Its place goes to who waits longest. */
  leave(): void {
    assert(this.#inside > 0)
    const next = this.#waiting.shift()
    if (next) next.resolve()
    else this.#inside--
  }

  /** Sends away all who wait. */
  clear(reason: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(reason)
  }
}
