/**
 * Time for one seed of the model check: nothing happens but what the driver lets happen, one turn after another, so that a run is its seed's
 * alone. A turn is a hop of the event loop (all ready promises run) and then what was put off with `soon`, or the next timer.
 */
import { assert } from '../../../lib/base/assert.ts'
import type { Clock } from '../../../lib/runtime/runtime.ts'

interface Timer {
  readonly atMs: number
  run: (() => void) | null
}

/** Hops without anything to do after which a promise that is still open is taken for lost; real time, for a library's own threads, comes after. */
const IDLE_HOPS = 50
const IDLE_MS = 5_000

export class World {
  readonly clock: Clock
  #nowMs = 0
  #wallOffsetMs: number
  #soon: (() => void)[] = []
  /** The wall's seconds when anything but the driver ran last. */
  #seenSeconds = Number.NEGATIVE_INFINITY
  /** By time, then by their making. */
  readonly #timers: Timer[] = []

  constructor(wallMs: number) {
    this.#wallOffsetMs = wallMs
    this.clock = {
      monotonicMs: () => this.#nowMs,
      wallMicros: () => Math.round((this.#wallOffsetMs + this.#nowMs) * 1000),
      after: (delayMs, run) => this.#after(delayMs, run),
      soon: (run) => {
        this.#soon.push(run)
      },
    }
  }

  get wallMs(): number {
    return this.#wallOffsetMs + this.#nowMs
  }

  get seenSeconds(): number {
    return this.#seenSeconds
  }

  get nowSeconds(): number {
    return Math.floor(this.wallMs / 1000)
  }

  #after(delayMs: number, run: () => void): Disposable {
    const timer: Timer = { atMs: this.#nowMs + Math.max(0, delayMs), run }
    let at = this.#timers.length
    while (at > 0 && this.#timers[at - 1]!.atMs > timer.atMs) at--
    this.#timers.splice(at, 0, timer)
    return {
      [Symbol.dispose]() {
        timer.run = null
      },
    }
  }

  /** Moves the wall clock alone: no timer fires. */
  jump(seconds: number): void {
    assert(seconds >= 0, 'what expired stays so')
    this.#wallOffsetMs += seconds * 1000
  }

  /** Lets time pass, with all that falls due. */
  async advance(ms: number): Promise<void> {
    const end = this.#nowMs + ms
    for (;;) {
      await this.turn()
      const timer = this.#due(end)
      if (timer === null) break
      timer()
    }
    this.#nowMs = end
  }

  /** The next timer at or before that time; the time is then its own. */
  #due(endMs: number): (() => void) | null {
    while (this.#timers.length > 0 && this.#timers[0]!.atMs <= endMs) {
      const { atMs, run } = this.#timers.shift()!
      if (run === null) continue
      this.#nowMs = Math.max(this.#nowMs, atMs)
      return run
    }
    return null
  }

  #hop(): Promise<void> {
    this.#seenSeconds = this.nowSeconds
    return new Promise((resolve) => {
      setImmediate(resolve)
    })
  }

  /** One turn, without time passing; false when there was nothing to do. */
  async turn(): Promise<boolean> {
    await this.#hop()
    if (this.#soon.length === 0) return false
    const ready = this.#soon
    this.#soon = []
    for (const run of ready) run()
    return true
  }

  /** Lets things happen, in time too where that must be, until the promise settles. */
  async until<T>(promise: Promise<T>): Promise<T> {
    let done = false
    const finish = (): void => {
      done = true
    }
    promise.then(finish, finish)
    let idle = 0
    for (;;) {
      await this.#hop()
      if (done) return promise
      if (this.#soon.length > 0) {
        idle = 0
        await this.turn()
        continue
      }
      const timer = this.#due(this.#nowMs + 60_000)
      if (timer !== null) {
        timer()
        idle = 0
      } else if (++idle === IDLE_HOPS) {
        const ended = await Promise.race([promise.then(finish, finish), realMs(IDLE_MS).then(() => 'never')])
        if (ended === 'never') throw new Error('nothing happens any more')
      }
    }
  }
}

function realMs(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref()
  })
}
