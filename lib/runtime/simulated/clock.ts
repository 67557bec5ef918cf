/**
 * Virtual time: nothing happens until somebody advances it. Timers fire in order of their time, then of their making; between two of them
 * all promises that are ready run.
 */
import { assert } from '../../base/assert.ts'
import type { Clock } from '../runtime.ts'

interface Timer {
  readonly atMs: number
  readonly sequence: number
  readonly run: () => void
}

export interface SimulatedClock extends Clock {
  /** Moves time on, running what falls due. */
  advance(ms: number): Promise<void>
  /** Lets ready promises and `soon` callbacks run, without moving time. */
  settle(): Promise<void>
  /** Moves the wall clock alone, either way, in µs. */
  skew(micros: number): void
  readonly pendingTimers: number
}

/** Turns of the microtask queue that one settle gives; a chain of awaits longer than this waits for the next. */
const SETTLE_TURNS = 200

export function createSimulatedClock(startWallMicros = 1_700_000_000_000_000): SimulatedClock {
  let nowMs = 0
  let skewMicros = 0
  let sequence = 0
  let timers: Timer[] = []
  let soon: (() => void)[] = []

  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < SETTLE_TURNS; turn++) {
      await Promise.resolve()
      const ready = soon
      soon = []
      for (const run of ready) run()
    }
  }

  return {
    monotonicMs: () => nowMs,
    wallMicros: () => startWallMicros + Math.round(nowMs * 1000) + skewMicros,
    after(delayMs, run) {
      const timer = { atMs: nowMs + Math.max(0, delayMs), sequence: sequence++, run }
      timers.push(timer)
      return {
        [Symbol.dispose]() {
          timers = timers.filter((other) => other !== timer)
        },
      }
    },
    soon(run) {
      soon.push(run)
    },
    async advance(ms) {
      assert(ms >= 0, 'time does not go back')
      const end = nowMs + ms
      await settle()
      for (;;) {
        const due = timers
          .filter((timer) => timer.atMs <= end)
          .sort((x, y) => x.atMs - y.atMs || x.sequence - y.sequence)[0]
        if (!due) break
        timers = timers.filter((other) => other !== due)
        nowMs = Math.max(nowMs, due.atMs)
        due.run()
        await settle()
      }
      nowMs = end
    },
    settle,
    skew(micros) {
      skewMicros += micros
    },
    get pendingTimers() {
      return timers.length
    },
  }
}
