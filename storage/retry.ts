/**
 * Work that the disk had no room for is done again when there may be: after pauses that grow. Only for work of which a failed try leaves nothing that
 * could be taken for done.
 * Always: `blocked` is why something waits just now, null when nothing does; after close() nothing is tried again, and what waits fails.
 */
import type { Clock, Log } from '../lib/runtime/runtime.ts'
import { lacksRoom } from './errors.ts'

const PAUSE_MS_MIN = 100
const PAUSE_MS_MAX = 5_000

export class Retry {
  readonly #clock: Clock
  readonly #log: Log
  readonly #source: string
  readonly #waiting = new Map<string, unknown>()
  #wake: Set<() => void> = new Set()
  #closed = false
  blocked: unknown = null

  constructor(runtime: { readonly clock: Clock; readonly log: Log }, source: string) {
    this.#clock = runtime.clock
    this.#log = runtime.log
    this.#source = source
  }

  /** `what` names the work, for the log, and differs from all other work at the time. */
  async keepTrying<T>(
    what: string,
    work: () => Promise<T>,
    mayPass: (error: unknown) => boolean = lacksRoom,
  ): Promise<T> {
    let pauseMs = PAUSE_MS_MIN
    try {
      for (;;) {
        try {
          return await work()
        } catch (error) {
          if (this.#closed || !mayPass(error)) throw error
          if (!this.#waiting.has(what))
            this.#log.error(this.#source, `${what}: it is tried again until it works`, error)
          this.#waiting.set(what, error)
          this.blocked = error
          await this.#pause(pauseMs)
          if (this.#closed) throw error
          pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX)
        }
      }
    } finally {
      if (this.#waiting.delete(what)) {
        this.blocked = this.#waiting.values().next().value ?? null
        this.#log.info(this.#source, `${what}: no longer waits`)
      }
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(ms, () => finish())
      const finish = (): void => {
        timer[Symbol.dispose]()
        this.#wake.delete(finish)
        resolve()
      }
      this.#wake.add(finish)
    })
  }

  close(): void {
    this.#closed = true
    for (const finish of [...this.#wake]) finish()
  }
}
