/**
 * How often and how long the main thread stood still: stalls of the event loop, whatever their cause, and collections of garbage among them.
 * A timer that is late tells of a stall: one is seen up to a tick shorter than it was.
 */
import { PerformanceObserver, performance } from 'node:perf_hooks'
import type { PauseCounts, Pauses } from '../runtime.ts'

const TICK_MS = 10
/** Shorter ones are none. */
const STALL_MS = 10

class Counts implements PauseCounts {
  count = 0
  totalMs = 0
  longestMs = 0

  add(ms: number): void {
    this.count++
    this.totalMs += ms
    this.longestMs = Math.max(this.longestMs, ms)
  }
}

/** Counts from now on; dispose it to end. Takes less than a hundredth of a core, and keeps no process alive. */
export function openNodePauses(): Pauses & Disposable {
  const stalls = new Counts()
  const collections = new Counts()
  let lastMs = performance.now()
  const timer = setInterval(() => {
    const nowMs = performance.now()
    const lateMs = nowMs - lastMs - TICK_MS
    lastMs = nowMs
    if (lateMs >= STALL_MS) stalls.add(lateMs)
  }, TICK_MS)
  timer.unref()
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) collections.add(duration)
  })
  observer.observe({ entryTypes: ['gc'] })
  return {
    stalls,
    collections,
    [Symbol.dispose]() {
      clearInterval(timer)
      observer.disconnect()
    },
  }
}
