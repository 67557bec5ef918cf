/**
 * What waits until a time that is the same for all, from when it began: a list in the order of their ends, and one timer for its first.
 * Always: what is in the list is in it once; taking out and putting in cost the same however long it is.
 */
import type { Clock } from '../../lib/runtime/runtime.ts'

/** What may wait: the list's links are its own. */
export interface Waiting {
  deadlineMs: number
  earlier: Waiting | null
  later: Waiting | null
  isWaiting: boolean
  /** It is not in the list any more. */
  expired(): void
}

export class Deadlines {
  readonly #clock: Pick<Clock, 'monotonicMs' | 'after'>
  readonly #periodMs: number
  #first: Waiting | null = null
  #last: Waiting | null = null
  #timer: Disposable | null = null
  #closed = false

  constructor(clock: Pick<Clock, 'monotonicMs' | 'after'>, periodMs: number) {
    this.#clock = clock
    this.#periodMs = periodMs
  }

  add(waiting: Waiting): void {
    waiting.deadlineMs = this.#clock.monotonicMs() + this.#periodMs
    waiting.isWaiting = true
    waiting.later = null
    waiting.earlier = this.#last
    if (this.#last === null) this.#first = waiting
    else this.#last.later = waiting
    this.#last = waiting
    if (this.#timer === null && !this.#closed) this.#arm(this.#periodMs)
  }

  remove(waiting: Waiting): void {
    if (!waiting.isWaiting) return
    waiting.isWaiting = false
    const { earlier, later } = waiting
    if (earlier === null) this.#first = later
    else earlier.later = later
    if (later === null) this.#last = earlier
    else later.earlier = earlier
    waiting.earlier = null
    waiting.later = null
  }

  /** The timer is left alone while there is one: most of those that it was set for are done when it fires. */
  #arm(delayMs: number): void {
    this.#timer = this.#clock.after(delayMs, () => {
      this.#timer = null
      const now = this.#clock.monotonicMs()
      for (;;) {
        const first = this.#first
        if (first === null) return
        if (first.deadlineMs > now) break
        this.remove(first)
        first.expired()
      }
      if (this.#timer === null && !this.#closed) this.#arm(this.#first!.deadlineMs - now)
    })
  }

  /** No timer is left; what waits is told nothing. */
  close(): void {
    this.#closed = true
    this.#timer?.[Symbol.dispose]()
    this.#timer = null
  }
}
