/**
 * How unusual a node's silence is: phi accrual over the times between its heartbeats as they arrived here.
 * Source: Hayashibara et al., The φ Accrual Failure Detector (2004), with the exponential distribution and the figures of Cassandra: phi is
 * the silence over the mean interval, over ln 10, so that phi 8 says that chance keeps so silent once in 10^8 intervals.
 * Always: only the monotonic clock counts, and of it only time in which this process ran: who was stopped heard nobody, and convicts nobody for it.
 */
import type { NodeKey } from './state.ts'

export interface DetectorOptions {
  /** Down from there: Cassandra's phi_convict_threshold, 8: 18 s of silence after a heartbeat a second. */
  readonly phiConvict: number
  /** Suspect from there: 2, so 4.6 s. */
  readonly phiSuspect: number
  /** How often heartbeats are made, in ms. Until intervals are known their mean is taken to be twice that, as Cassandra does. */
  readonly intervalMs: number
}

/** Nothing was looked at for so long: this process was stopped, or its machine was. As Cassandra's MAX_LOCAL_PAUSE. */
export const LOCAL_PAUSE_MS = 5_000

/** Intervals that the mean is made of, as in Cassandra. */
const SAMPLES_MAX = 1_000

/** Longer silences than so many intervals are outages, not what is usual: they do not count in the mean, as in Cassandra. */
const USUAL_INTERVALS = 2

const LN_10 = Math.log(10)

/** The last intervals, and their sum. */
class Arrivals {
  lastMs: number
  #sum = 0
  #next = 0
  readonly #intervals: number[] = []

  constructor(nowMs: number) {
    this.lastMs = nowMs
  }

  add(nowMs: number, intervalMaxMs: number): void {
    const interval = nowMs - this.lastMs
    this.lastMs = nowMs
    if (interval > intervalMaxMs) return
    this.#sum += interval - (this.#intervals[this.#next] ?? 0)
    this.#intervals[this.#next] = interval
    this.#next = (this.#next + 1) % SAMPLES_MAX
  }

  mean(usual: number): number {
    const count = this.#intervals.length
    // One sample of the expected interval more: the first arrivals, which may come in a burst, do not make a node look hasty.
    return count === 0 ? usual : (this.#sum + usual) / (count + 1)
  }
}

export class FailureDetector {
  readonly options: DetectorOptions
  readonly #arrivals = new Map<NodeKey, Arrivals>()
  #lookedMs: number
  /** How much of the clock's time this process did not run. */
  #pausedMs = 0

  constructor(options: DetectorOptions, nowMs: number) {
    this.options = options
    this.#lookedMs = nowMs
  }

  /** To be called at least once an interval, and before messages are handled. Gives the ms for which this process was stopped, mostly 0. */
  look(nowMs: number): number {
    const gap = nowMs - this.#lookedMs
    this.#lookedMs = nowMs
    if (gap <= LOCAL_PAUSE_MS) return 0
    this.#pausedMs += gap
    return gap
  }

  /** A heartbeat that is newer than all before has arrived. */
  heard(node: NodeKey, nowMs: number): void {
    const now = nowMs - this.#pausedMs
    const arrivals = this.#arrivals.get(node)
    if (arrivals) arrivals.add(now, USUAL_INTERVALS * this.options.intervalMs)
    else this.#arrivals.set(node, new Arrivals(now))
  }

  /** 0 for a node that was never heard of: it was not seen alive, so its silence says nothing. */
  phi(node: NodeKey, nowMs: number): number {
    const arrivals = this.#arrivals.get(node)
    if (!arrivals) return 0
    const silence = nowMs - this.#pausedMs - arrivals.lastMs
    // A node whose heartbeats come quicker than they are made (in bursts, after a delay) is not quicker for it.
    const mean = Math.max(arrivals.mean(2 * this.options.intervalMs), this.options.intervalMs)
    return Math.max(0, silence) / mean / LN_10
  }

  forget(node: NodeKey): void {
    this.#arrivals.delete(node)
  }
}
