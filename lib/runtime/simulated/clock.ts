/**
 * Virtual time: nothing happens until somebody advances it. Timers fire in order of their time, then of their making; between two of them
 * promises that are ready run. For one process and short scripts; Kernel is for many.
 */
import { assert } from '../../base/assert.ts'
import type { Clock } from '../runtime.ts'
import { EventQueue } from './event-queue.ts'

export interface SimulatedClock extends Clock {
  /** Moves time on, running what falls due. */
  advance(ms: number): Promise<void>
  /** Lets ready promises and `soon` callbacks run, without moving time. */
  settle(): Promise<void>
  /** Ends a turn: runs what was put off with `soon`, and no promises. */
  endTurn(): void
  /** Moves the wall clock alone, either way, in µs. */
  skew(micros: number): void
  readonly pendingTimers: number
}

/** Turns of the microtask queue that one settle gives; a chain of awaits longer than this waits for the next. */
const SETTLE_TURNS = 200

export function createSimulatedClock(startWallMicros = 1_700_000_000_000_000): SimulatedClock {
  let nowMs = 0
  let skewMicros = 0
  const timers = new EventQueue<() => void>()
  let soon: (() => void)[] = []

  const endTurn = (): void => {
    const ready = soon
    soon = []
    for (const run of ready) run()
  }
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < SETTLE_TURNS; turn++) {
      await Promise.resolve()
      endTurn()
    }
  }

  return {
    monotonicMs: () => nowMs,
    wallMicros: () => startWallMicros + Math.round(nowMs * 1000) + skewMicros,
    after(delayMs, run) {
      const timer = timers.push(nowMs + Math.max(0, delayMs), run)
      return { [Symbol.dispose]: () => timers.cancel(timer) }
    },
    soon(run) {
      soon.push(run)
    },
    async advance(ms) {
      assert(ms >= 0, 'time does not go back')
      const end = nowMs + ms
      await settle()
      for (;;) {
        const run = timers.take(end)
        if (run === null) break
        nowMs = Math.max(nowMs, timers.takenAtMs)
        run()
        await settle()
      }
      nowMs = end
    },
    settle,
    endTurn,
    skew(micros) {
      skewMicros += micros
    },
    get pendingTimers() {
      return timers.size
    },
  }
}
