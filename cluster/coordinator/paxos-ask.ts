/** One question to several nodes, this one perhaps among them, and what is made of their answers as they come. */
import { FailureReason } from '../../lib/base/errors.ts'
import type { Endpoint } from '../internode/messenger.ts'
import type { RingNode } from '../ring/topology.ts'
import type { CoordinatorEnvironment } from './environment.ts'
import { isReplicaFailure, type ReplicaError, reasonOf } from './request-errors.ts'

export interface Question<R, V> {
  readonly nodes: readonly RingNode[]
  readonly verb: number
  payload(node: RingNode): Buffer
  /** This node's own answer. */
  local(): Promise<R>
  /** Copies what it keeps. */
  decode(payload: Buffer): R
  readonly timeoutMs: number
  /** Told of each node once: its answer, or null. What is not undefined ends the matter. */
  count(node: RingNode, answer: R | null): V | undefined
  /** Told of nodes that failed, were silent or not there; also after the matter ended. */
  failed?(node: RingNode, reason: number): void
}

export type AskEnvironment = Pick<CoordinatorEnvironment, 'messenger' | 'clock' | 'self' | 'liveness' | 'report'>

/** Resolves with the first verdict; `count` must give one by the time the last node was counted. */
export function ask<R, V>(environment: AskEnvironment, question: Question<R, V>): Promise<V> {
  const { messenger, clock, liveness } = environment
  const { nodes, timeoutMs } = question
  return new Promise<V>((resolve, reject) => {
    const waiting = new Map<Endpoint, RingNode>()
    let isOver = false
    const hear = (node: RingNode, answer: R | null): void => {
      if (isOver) return
      const verdict = question.count(node, answer)
      if (verdict === undefined) return
      isOver = true
      resolve(verdict)
    }
    const lose = (node: RingNode, reason: number): void => {
      question.failed?.(node, reason)
      hear(node, null)
    }
    const reply = {
      replied(from: Endpoint, payload: Buffer): void {
        const node = waiting.get(from)
        if (node === undefined) return
        waiting.delete(from)
        try {
          hear(node, question.decode(payload))
        } catch (cause) {
          environment.report(cause as Error)
          lose(node, FailureReason.UNKNOWN)
        }
      },
      failed(from: Endpoint, reason: number): void {
        const node = waiting.get(from)
        if (node === undefined) return
        waiting.delete(from)
        lose(node, reason)
      },
    }
    const self = environment.self().hostId
    const dead: RingNode[] = []
    let own: RingNode | null = null
    for (const node of nodes) {
      if (node.hostId === self) own = node
      else if (liveness.isAlive(node.hostId)) {
        waiting.set(node.endpoint, node)
        messenger.request(node.endpoint, question.verb, question.payload(node), timeoutMs, reply)
      } else dead.push(node)
    }
    if (own !== null) askSelf(own)
    for (const node of dead) lose(node, FailureReason.NODE_DOWN)

    function askSelf(node: RingNode): void {
      let isHeard = false
      const timer = clock.after(timeoutMs, () => {
        isHeard = true
        lose(node, FailureReason.TIMEOUT)
      })
      const once = (tell: () => void): void => {
        timer[Symbol.dispose]()
        if (!isHeard) tell()
        isHeard = true
      }
      question.local().then(
        (answer) => once(() => hear(node, answer)),
        (cause: unknown) => {
          if (isReplicaFailure(cause)) once(() => lose(node, reasonOf(cause)))
          else once(() => reject(cause))
        },
      )
    }
  })
}

/** Who failed, and whether it was only silence. */
export class Failures {
  readonly errors: ReplicaError[] = []
  /** Somebody failed rather than kept silent. */
  isFailure = false
  /** Host ids of those who know of a later ring: they did nothing. */
  readonly behind = new Set<string>()

  add({ hostId, endpoint }: RingNode, reason: number): void {
    if (reason === FailureReason.COORDINATOR_BEHIND) this.behind.add(hostId)
    if (reason !== FailureReason.TIMEOUT && reason !== FailureReason.NODE_DOWN) this.isFailure = true
    this.errors.push({ endpoint, reason })
  }
}
