/**
 * One way between two hosts of the simulated network, and what may be wrong with it. The streams above it are TCP's: what a link loses comes later,
 * never out of order, never twice.
 */
import type { Random } from '../runtime.ts'

export interface LinkConditions {
  /** That every packet needs, in ms. */
  latencyMinMs: number
  /** Mean of what comes on top, exponentially distributed. */
  latencyMs: number
  /** Chance that a packet is lost and sent again, each time after a longer wait. */
  lossChance: number
  /** Chance, for each packet, that its connection breaks. */
  resetChance: number
  bytesPerMs: number
}

export const LAN: LinkConditions = {
  latencyMinMs: 0.1,
  latencyMs: 0.4,
  lossChance: 0,
  resetChance: 0,
  bytesPerMs: 100_000,
}

/** TCP's first wait before it sends again, and its longest (Linux: 200 ms, 120 s). */
const RETRANSMIT_MS = 200
const RETRANSMIT_MAX_MS = 120_000

export interface Waiting {
  /** The link lets through again. */
  retry(): void
}

export class Link {
  readonly conditions: LinkConditions
  readonly #random: Random
  readonly #nowMs: () => number
  #blockedSinceMs: number | null = null
  #clogUntilMs = 0
  #busyUntilMs = 0
  #waiting = new Set<Waiting>()
  readonly #after: (delayMs: number, run: () => void) => void

  constructor(
    conditions: LinkConditions,
    random: Random,
    nowMs: () => number,
    after: (delayMs: number, run: () => void) => void,
  ) {
    this.conditions = conditions
    this.#random = random
    this.#nowMs = nowMs
    this.#after = after
  }

  get isBlocked(): boolean {
    return this.#blockedSinceMs !== null
  }

  /** Nothing comes through any more. */
  block(): void {
    this.#blockedSinceMs ??= this.#nowMs()
  }

  /** What waits comes when TCP tries again: the later, the longer it has tried. */
  unblock(): void {
    if (this.#blockedSinceMs === null) return
    const blockedMs = this.#nowMs() - this.#blockedSinceMs
    this.#blockedSinceMs = null
    const waitMs = Math.min(RETRANSMIT_MAX_MS, Math.max(RETRANSMIT_MS, blockedMs))
    const waiting = this.#waiting
    this.#waiting = new Set()
    for (const stream of waiting) this.#after(this.#random.float() * waitMs, () => stream.retry())
  }

  /** Whatever is sent comes after so many ms at the earliest. */
  clog(ms: number): void {
    this.#clogUntilMs = Math.max(this.#clogUntilMs, this.#nowMs() + ms)
  }

  unclog(): void {
    this.#clogUntilMs = 0
  }

  /** Retried when the link lets through again. */
  wait(stream: Waiting): void {
    this.#waiting.add(stream)
  }

  /** When a packet arrives that is sent now. */
  arrivalMs(bytes: number): number {
    const { latencyMinMs, latencyMs, lossChance, bytesPerMs } = this.conditions
    const nowMs = this.#nowMs()
    this.#busyUntilMs = Math.max(nowMs, this.#busyUntilMs) + bytes / bytesPerMs
    let arrivalMs = this.#busyUntilMs + latencyMinMs - Math.log(1 - this.#random.float()) * latencyMs
    for (let waitMs = RETRANSMIT_MS; lossChance > 0 && this.#random.float() < lossChance; waitMs *= 2)
      arrivalMs += Math.min(waitMs, RETRANSMIT_MAX_MS)
    return Math.max(arrivalMs, this.#clogUntilMs)
  }

  breaks(): boolean {
    return this.conditions.resetChance > 0 && this.#random.float() < this.conditions.resetChance
  }
}
