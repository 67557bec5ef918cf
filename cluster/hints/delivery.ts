/**
 * Hands the hints for one node over, oldest first, one message after the other, no faster than is wanted.
 * Always: what was not acknowledged stays.
 */
import type { Clock } from '../../lib/runtime/runtime.ts'
import type { Endpoint, Messenger } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import type { HostHints } from './host-hints.ts'
import { encodeHints } from './messages.ts'
import type { Hint } from './record.ts'

const TIMEOUT_MS = 10_000

export interface Delivery {
  readonly clock: Clock
  readonly messenger: Messenger
  /** Bytes a second; 0: no limit. */
  readonly throttleBytes: number
  goesOn(): boolean
  /** False: it is dropped. */
  isWanted(hint: Hint): boolean
}

export interface Delivered {
  readonly sent: number
  readonly expired: number
  /** None is left. */
  readonly isComplete: boolean
}

export async function deliver(hints: HostHints, to: Endpoint, delivery: Delivery): Promise<Delivered> {
  const { clock, messenger, throttleBytes } = delivery
  let sent = 0
  let expired = 0
  while (delivery.goesOn()) {
    const batch = await hints.peek()
    if (batch === null) return { sent, expired, isComplete: true }
    const beganMs = clock.monotonicMs()
    const wanted = batch.hints.filter((hint) => delivery.isWanted(hint))
    if (wanted.length > 0) {
      const outcomes = await ask(messenger, to, encodeHints(wanted))
      if (outcomes === null || outcomes.length !== wanted.length || outcomes.every((outcome) => outcome !== 0)) break
      // What a node does not take must not keep it from the rest.
      const again = wanted.filter((_, i) => outcomes[i] !== 0)
      await Promise.all(again.map((hint) => hints.append(hint)))
      sent += wanted.length - again.length
    }
    expired += batch.hints.length - wanted.length
    await hints.done()
    const restMs = throttleBytes === 0 ? 0 : (batch.bytes / throttleBytes) * 1000 - (clock.monotonicMs() - beganMs)
    if (restMs > 0) await new Promise<void>((resolve) => void clock.after(restMs, resolve))
  }
  return { sent, expired, isComplete: false }
}

/** A byte for each hint; null: nobody knows. */
function ask(messenger: Messenger, to: Endpoint, payload: Uint8Array): Promise<Buffer | null> {
  return new Promise((resolve) => {
    messenger.request(to, Verb.HINT, payload, TIMEOUT_MS, {
      replied: (_from, answer) => resolve(Buffer.from(answer)),
      failed: () => resolve(null),
    })
  })
}
