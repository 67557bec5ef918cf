/** What the process takes of the machine's memory, and how it gives back what it no longer needs. */
import { performance } from 'node:perf_hooks'

/** In bytes: in all, in V8's heap, and in buffers outside of it. */
export function processMemory(): {
  readonly residentBytes: number
  readonly heapBytes: number
  readonly bufferBytes: number
} {
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage()
  return { residentBytes: rss, heapBytes: heapUsed, bufferBytes: arrayBuffers }
}

const LOOK_MS = 1_000
const LOOKS_MAX = 30
/** Share of a second in which the event loop had something to do: so little is gossip, and nobody's request. */
const IDLE = 0.1

/**
 * Gives back what loading the program left (a quarter of the process, measured), in the first second that has nothing else to do. V8 does it by itself
 * only after half a minute, or never while anything happens, for its young generation stays as large as it once was. It takes 50 ms.
 */
export function giveBackWhenIdle(): Disposable {
  let before = performance.eventLoopUtilization()
  let looks = 0
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization()
    const isIdle = performance.eventLoopUtilization(now, before).utilization < IDLE
    before = now
    looks += 1
    if (isIdle) void giveBack()
    if (isIdle || looks === LOOKS_MAX) clearInterval(timer)
  }, LOOK_MS)
  timer.unref()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

/** Collects all garbage and shrinks the heap. Of V8's ways to ask for that this one is open to every program. */
export async function giveBack(): Promise<void> {
  // Loaded only now: no start waits for it.
  const { Session } = await import('node:inspector/promises')
  const session = new Session()
  session.connect()
  await session.post('HeapProfiler.collectGarbage')
  session.disconnect()
}
