/**
 * Flushes tables that ask for it by time (memtable_flush_period_in_ms), one timer for each.
 * Always: a table has at most one timer; nothing is flushed after close().
 */
import type { Clock } from '../lib/runtime/runtime.ts'

interface Timer {
  readonly periodMs: number
  waiting: Disposable
}

export class PeriodicFlush {
  readonly #clock: Clock
  readonly #flush: (id: string) => void
  readonly #timers = new Map<string, Timer>()
  #closed = false

  /** `flush` is called each time a table's period has passed; it neither throws nor is waited for. */
  constructor(clock: Clock, flush: (id: string) => void) {
    this.#clock = clock
    this.#flush = flush
  }

  /** 0: no more. A period that did not change goes on. */
  set(id: string, periodMs: number): void {
    const known = this.#timers.get(id)
    if (this.#closed || (known?.periodMs ?? 0) === periodMs) return
    known?.waiting[Symbol.dispose]()
    if (periodMs === 0) this.#timers.delete(id)
    else this.#timers.set(id, { periodMs, waiting: this.#wait(id, periodMs) })
  }

  #wait(id: string, periodMs: number): Disposable {
    return this.#clock.after(periodMs, () => {
      const timer = this.#timers.get(id)!
      timer.waiting = this.#wait(id, periodMs)
      this.#flush(id)
    })
  }

  close(): void {
    this.#closed = true
    for (const { waiting } of this.#timers.values()) waiting[Symbol.dispose]()
    this.#timers.clear()
  }
}
