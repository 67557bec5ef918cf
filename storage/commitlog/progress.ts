/** A line in the log every few seconds of a replay, so that a long start is seen to move. */
import type { Clock, Log } from '../../lib/runtime/runtime.ts'

/** Told how far a replay is, after each segment and from time to time within. */
export type Progress = (done: { readonly bytes: number; readonly totalBytes: number; readonly records: number }) => void

const EVERY_MS = 5_000

export function progressLog(runtime: { readonly clock: Clock; readonly log: Log }, what = 'commit log'): Progress {
  const began = runtime.clock.monotonicMs()
  let last = began
  return ({ bytes, totalBytes, records }) => {
    const now = runtime.clock.monotonicMs()
    if (now - last < EVERY_MS) return
    last = now
    const percent = totalBytes > 0 ? Math.floor((100 * bytes) / totalBytes) : 100
    const seconds = Math.round((now - began) / 1000)
    runtime.log.info('commitlog', `replaying the ${what}: ${percent} %, ${records} records in ${seconds} s`)
  }
}
