/**
 * Who is alive: the verdicts over what gossip brings, the detector says and nodes answer when they are asked.
 * A heartbeat may come by way of others, so a node counts as alive only once it has answered an echo itself, in the generation that it is known
 * in. A silent one becomes suspect first and is asked directly: an answer is as good as a heartbeat, and where nobody takes connections any more
 * it is down before its silence alone would prove it.
 * Always: a node that said that it stops is down until it starts again; a restart is a going down and a coming up.
 */

import { FailureReason } from '../../lib/base/errors.ts'
import type { Clock } from '../../lib/runtime/runtime.ts'
import { FailureDetector } from './failure-detector.ts'
import type { Liveness, LivenessChange, Standing } from './liveness.ts'
import type { Digest, Known, NodeKey } from './state.ts'

export interface AttendanceOptions {
  readonly clock: Clock
  readonly intervalMs: number
  readonly phiConvict: number
  readonly phiSuspect: number
  /** Asks a node for its identity: who answers there, in which generation? `failed` with a reason as the messenger's. */
  echo(node: Known, timeoutMs: number, answered: (who: Digest) => void, failed: (reason: number) => void): void
  /** For the log: one line, not more often than things change. */
  report(message: string): void
}

/** A node that answers is not asked again before it was silent once more; one that does not is asked with its next heartbeat, at most so often. */
export const ECHO_TIMEOUT_INTERVALS = 1

/** Suspects that are asked in one round: of a network that broke apart, all would be. */
const PROBES_MAX = 16

/** So many refused connections in as many rounds: the process is gone, or its machine. */
const REFUSALS_CONVICT = 3

interface Peer {
  state: Known
  standing: Standing
  asking: boolean
  refusals: number
  /** Not heard of since this process was stopped for long: what is known of it is old. */
  stale: boolean
}

export class Attendance implements Liveness {
  readonly #options: AttendanceOptions
  readonly #detector: FailureDetector
  readonly #self: string
  readonly #peers = new Map<NodeKey, Peer>()
  readonly #byHostId = new Map<string, Peer>()
  readonly #listeners = new Set<LivenessChange>()

  constructor(selfHostId: string, options: AttendanceOptions) {
    this.#options = options
    this.#self = selfHostId
    const { phiConvict, phiSuspect, intervalMs } = options
    this.#detector = new FailureDetector({ phiConvict, phiSuspect, intervalMs }, options.clock.monotonicMs())
  }

  isAlive(hostId: string): boolean {
    if (hostId === this.#self) return true
    const peer = this.#byHostId.get(hostId)
    return peer !== undefined && peer.standing !== 'down'
  }

  standing(hostId: string): Standing {
    if (hostId === this.#self) return 'alive'
    return this.#byHostId.get(hostId)?.standing ?? 'down'
  }

  phi(hostId: string): number {
    const peer = this.#byHostId.get(hostId)
    return peer ? this.#detector.phi(peer.state.key, this.#options.clock.monotonicMs()) : 0
  }

  listen(change: LivenessChange): Disposable {
    this.#listeners.add(change)
    return { [Symbol.dispose]: () => void this.#listeners.delete(change) }
  }

  /** This node, or one that was heard of. */
  knows(hostId: string): boolean {
    return hostId === this.#self || this.#byHostId.has(hostId)
  }

  isUp(key: NodeKey): boolean {
    const peer = this.#peers.get(key)
    return peer !== undefined && peer.standing !== 'down'
  }

  /** Before anything else in a round, and before messages are handled: how long was this process stopped? */
  look(): number {
    const pausedMs = this.#detector.look(this.#options.clock.monotonicMs())
    if (pausedMs > 0) {
      for (const peer of this.#peers.values()) {
        if (peer.standing === 'down') continue
        peer.standing = 'suspect'
        peer.stale = true
      }
    }
    return pausedMs
  }

  /** More is known of a node than before: it is not the one that this is. */
  heard(state: Known): void {
    let peer = this.#peers.get(state.key)
    const before = peer?.state
    if (!peer) {
      peer = { state, standing: 'down', asking: false, refusals: 0, stale: false }
      this.#peers.set(state.key, peer)
      this.#byHostId.set(state.hostId, peer)
    }
    peer.state = state
    if (before && state.generation > before.generation) {
      this.#detector.forget(state.key)
      if (peer.standing !== 'down') this.#change(peer, 'down', `restarted as generation ${state.generation}`)
    }
    if (hasStopped(state)) {
      if (peer.standing !== 'down') this.#change(peer, 'down', 'said that it stops')
      return
    }
    if (!before || state.generation > before.generation || state.heartbeat > before.heartbeat) this.#beat(peer)
  }

  #beat(peer: Peer): void {
    this.#detector.heard(peer.state.key, this.#options.clock.monotonicMs())
    peer.refusals = 0
    peer.stale = false
    if (peer.standing === 'suspect') peer.standing = 'alive'
    else if (peer.standing === 'down') this.#ask(peer)
  }

  /** Once a round. */
  assess(): void {
    const now = this.#options.clock.monotonicMs()
    let probes = 0
    for (const peer of this.#peers.values()) {
      if (peer.standing === 'down') continue
      const phi = this.#detector.phi(peer.state.key, now)
      if (phi >= this.#options.phiConvict) {
        this.#change(peer, 'down', `silent, phi ${phi.toFixed(1)}`)
        continue
      }
      peer.standing = phi >= this.#options.phiSuspect || peer.stale ? 'suspect' : 'alive'
      if (peer.standing === 'suspect' && probes < PROBES_MAX) {
        probes++
        this.#ask(peer)
      }
    }
  }

  forget(key: NodeKey): void {
    const peer = this.#peers.get(key)
    if (!peer) return
    this.#peers.delete(key)
    this.#byHostId.delete(peer.state.hostId)
    this.#detector.forget(key)
    if (peer.standing !== 'down') this.#change(peer, 'down', 'is no longer of this cluster')
  }

  #ask(peer: Peer): void {
    if (peer.asking) return
    peer.asking = true
    const { key } = peer.state
    this.#options.echo(
      peer.state,
      ECHO_TIMEOUT_INTERVALS * this.#options.intervalMs,
      (who) => {
        peer.asking = false
        // Another node may have its address by now, or it has started anew and gossip does not know yet.
        if (this.#peers.get(key) === peer && who.key === key && who.generation === peer.state.generation)
          this.#answered(peer)
      },
      (reason) => {
        peer.asking = false
        if (this.#peers.get(key) === peer && peer.standing !== 'down') this.#unanswered(peer, reason)
      },
    )
  }

  #answered(peer: Peer): void {
    if (hasStopped(peer.state)) return
    this.#detector.heard(peer.state.key, this.#options.clock.monotonicMs())
    peer.refusals = 0
    peer.stale = false
    if (peer.standing === 'down') this.#change(peer, 'alive', null)
    else peer.standing = 'alive'
  }

  #unanswered(peer: Peer, reason: number): void {
    peer.refusals = reason === FailureReason.NODE_DOWN ? peer.refusals + 1 : 0
    if (peer.refusals >= REFUSALS_CONVICT) this.#change(peer, 'down', 'silent, and takes no connections')
  }

  #change(peer: Peer, standing: Standing, why: string | null): void {
    const { hostId, values } = peer.state
    peer.standing = standing
    peer.refusals = 0
    const name = values.get('INTERNAL_ADDRESS_AND_PORT')?.value ?? hostId
    this.#options.report(`Node ${name} is ${standing === 'down' ? 'DOWN' : 'UP'}${why === null ? '' : `: ${why}`}`)
    for (const listener of [...this.#listeners]) listener(hostId, standing !== 'down')
  }
}

/** Cassandra's word for it is 'shutdown,true'. */
export const STATUS_STOPPED = 'shutdown'

function hasStopped(state: Known): boolean {
  const status = state.values.get('STATUS_WITH_PORT')?.value
  return status !== undefined && (status === STATUS_STOPPED || status.startsWith(`${STATUS_STOPPED},`))
}
