/**
 * Which replica is asked first: the node itself, then those of its data centre, then the others, in the order of the ring; unless one of them is much slower,
 * as measured, than one of its kind that comes after it.
 * Source: Cassandra's DynamicEndpointSnitch: scores from reply times, looked at ten times a second, and a threshold of badness, so that all
 * coordinators ask the same replica of a key (whose caches know it) until that is worse than it is worth.
 * Always: what is not asked any more is slowly forgotten to be slow, and so is tried again.
 */
import type { Endpoint } from '../internode/messenger.ts'
import type { RingNode } from '../ring/topology.ts'

/** Weight of a new reply's time. */
const NEW = 0.1
/** Each time nobody asked it, a score is worth less: half of it after seven seconds. */
const FORGET = 0.99
const REFRESH_MS = 100
/** The order of the ring is left when a score in it is greater, by this share, than the one that stands there in the order of scores. Source: dynamic_snitch_badness_threshold, 1.0. */
const BADNESS = 1
/** µs. Below it replies come as fast as can be told: no two differ. */
const NEGLIGIBLE = 500

interface Score {
  micros: number
  samples: number
}

export class Nearness {
  readonly #scores = new Map<Endpoint, Score>()
  #refreshedMs = Number.NEGATIVE_INFINITY
  /** Changes when orders may have. */
  version = 0

  replied(endpoint: Endpoint, ms: number): void {
    const micros = ms * 1000
    const score = this.#scores.get(endpoint)
    if (score === undefined) this.#scores.set(endpoint, { micros, samples: 1 })
    else {
      score.micros += (micros - score.micros) * NEW
      score.samples++
    }
  }

  /** µs; 0: it was not asked lately. */
  scoreOf(endpoint: Endpoint): number {
    return this.#scores.get(endpoint)?.micros ?? 0
  }

  /** Called with each request: ten times a second the scores are looked at. */
  refresh(nowMs: number): void {
    if (nowMs - this.#refreshedMs < REFRESH_MS) return
    this.#refreshedMs = nowMs
    if (this.#scores.size === 0) return
    this.version++
    for (const [endpoint, score] of this.#scores) {
      if (score.samples === 0) score.micros *= FORGET
      score.samples = 0
      if (score.micros < 1) this.#scores.delete(endpoint)
    }
  }

  /** Nearest first. */
  sort(nodes: readonly RingNode[], self: RingNode): RingNode[] {
    const own: RingNode[] = []
    const near: RingNode[] = []
    const far: RingNode[] = []
    for (const node of nodes) {
      if (node.hostId === self.hostId) own.push(node)
      else if (node.datacenter === self.datacenter) near.push(node)
      else far.push(node)
    }
    this.#judge(near)
    this.#judge(far)
    return [...own, ...near, ...far]
  }

  /** By their scores, if the order that they have is bad in any place: levels of several replicas ask as many. */
  #judge(nodes: RingNode[]): void {
    if (nodes.length < 2) return
    const scores = nodes.map(({ endpoint }) => this.scoreOf(endpoint))
    const ascending = [...scores].sort((a, b) => a - b)
    if (scores.every((score, i) => score <= Math.max(ascending[i]!, NEGLIGIBLE) * (1 + BADNESS))) return
    nodes.sort((a, b) => this.scoreOf(a.endpoint) - this.scoreOf(b.endpoint))
  }
}
