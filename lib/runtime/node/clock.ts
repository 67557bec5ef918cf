/** The real clock: the process's monotonic one for durations, the system's for µs since 1970. */
import { performance } from 'node:perf_hooks'
import type { Clock } from '../runtime.ts'

/** How far the µs that we extrapolate may be from the system's clock before we follow it, in ms: its resolution, and a bit of jitter. */
const RESYNC_MS = 2

export function openNodeClock(): Clock {
  let offsetMs = Date.now() - performance.now()
  return {
    monotonicMs: () => performance.now(),
    wallMicros() {
      const now = performance.now()
      const system = Date.now()
      let wallMs = offsetMs + now
      if (Math.abs(wallMs - system) > RESYNC_MS) {
        offsetMs = system - now
        wallMs = system
      }
      return Math.round(wallMs * 1000)
    },
    after(delayMs, run) {
      const timer = setTimeout(run, delayMs)
      return { [Symbol.dispose]: () => clearTimeout(timer) }
    },
    soon(run) {
      setImmediate(run)
    },
  }
}
