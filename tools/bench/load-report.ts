/** What a program that loads a server tells of it, as a line of JSON. */
import type { Histogram } from 'node:perf_hooks'

export interface LoadReport {
  readonly requests: number
  readonly errors: number
  readonly seconds: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
  /** Of one core, while measuring. */
  readonly cpuShare: number
}

/** `histogram`: of the answers' times, in microseconds. `cpuMicros`: what the load itself took. */
export function loadReport(measured: {
  readonly requests: number
  readonly errors: number
  readonly seconds: number
  readonly cpuMicros: number
  readonly histogram: Histogram
}): LoadReport {
  const { requests, errors, seconds, cpuMicros, histogram } = measured
  const percentile = (share: number): number => histogram.percentile(share) / 1_000
  return {
    requests,
    errors,
    seconds,
    p50: percentile(50),
    p99: percentile(99),
    p999: percentile(99.9),
    max: histogram.max / 1_000,
    cpuShare: cpuMicros / 1e6 / seconds,
  }
}
