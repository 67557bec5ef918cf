/**
 * Questions to other nodes, and to this one as if it were another: asked as objects, answered as objects.
 * Always: every question has one answer, or null when there was none in time; nothing is asked once this is closed.
 */
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import type { Clock, Random } from '../../lib/runtime/runtime.ts'
import type { Endpoint, Messenger, Sender } from '../internode/messenger.ts'
import { decodeMessage, encodeMessage, FORMS } from './messages.ts'

export type Answering = (request: never, from: Sender) => object | Promise<object>

export class Exchange {
  readonly self: Sender
  readonly clock: Clock
  readonly random: Random
  readonly #messenger: Messenger
  readonly #local = new Map<number, Answering>()
  /** What ends each question that waits for its answer. */
  readonly #asking = new Set<() => void>()
  readonly #sleeping = new Map<Disposable, () => void>()
  #closed = false

  constructor(messenger: Messenger, clock: Clock, random: Random) {
    this.#messenger = messenger
    this.self = messenger.self
    this.clock = clock
    this.random = random
  }

  get isClosed(): boolean {
    return this.#closed
  }

  answer<Q>(verb: number, answering: (request: Q, from: Sender) => object | Promise<object>): void {
    this.#local.set(verb, answering as Answering)
    this.#messenger.handle(verb, async ({ payload, from }) => {
      const request = decodeMessage<Q>(payload, FORMS[verb]!.request)
      if (this.#closed) throw new ReplicaFailure('NODE_DOWN', FailureReason.NODE_DOWN, 'this node is stopping')
      return encodeMessage(await answering(request, from))
    })
  }

  /** Hears what is said one way. */
  hear<Q>(verb: number, hearing: (message: Q) => void): void {
    this.#messenger.handle(verb, ({ payload }) => {
      if (!this.#closed) hearing(decodeMessage<Q>(payload, FORMS[verb]!.request))
      return undefined
    })
  }

  /** One way; it may be lost. */
  tell(to: Endpoint, verb: number, message: object): void {
    if (!this.#closed) this.#messenger.send(to, verb, encodeMessage(message))
  }

  ask<A>(to: Endpoint, verb: number, request: object, timeoutMs: number): Promise<A | null> {
    if (this.#closed) return Promise.resolve(null)
    if (to === this.self.endpoint) return this.#askSelf(verb, request)
    return new Promise((resolve) => {
      const giveUp = (): void => resolve(null)
      this.#asking.add(giveUp)
      this.#messenger.request(to, verb, encodeMessage(request), timeoutMs, {
        replied: (_, payload) => {
          this.#asking.delete(giveUp)
          try {
            resolve(decodeMessage<A>(payload, FORMS[verb]!.answer))
          } catch {
            resolve(null)
          }
        },
        failed: () => {
          this.#asking.delete(giveUp)
          resolve(null)
        },
      })
    })
  }

  /** Asks them all at once; `each` hears every answer, null for none, until it says that it has heard enough. */
  async gather<P extends { readonly endpoint: Endpoint }, A>(
    asked: readonly P[],
    ask: (participant: P) => Promise<A | null>,
    each: (participant: P, answer: A | null) => boolean,
  ): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      let missing = asked.length
      let isEnough = false
      if (missing === 0) resolve()
      for (const participant of asked)
        ask(participant).then((answer) => {
          missing -= 1
          if (!isEnough) isEnough = each(participant, answer)
          if (isEnough || missing === 0) resolve()
        }, reject)
    })
  }

  /** Ends all sleep(): what somebody waits for has come. */
  wake(): void {
    const sleeping = [...this.#sleeping]
    this.#sleeping.clear()
    for (const [timer, resolve] of sleeping) {
      timer[Symbol.dispose]()
      resolve()
    }
  }

  /** Resolves early when it is woken, or closed. */
  async sleep(delayMs: number): Promise<void> {
    if (this.#closed) return
    await new Promise<void>((resolve) => {
      const timer = this.clock.after(delayMs, () => {
        this.#sleeping.delete(timer)
        resolve()
      })
      this.#sleeping.set(timer, resolve)
    })
  }

  /** Between half of it and one and a half. */
  jitter(meanMs: number): number {
    return meanMs * (0.5 + this.random.float())
  }

  /** Nobody waits any longer. */
  close(): void {
    this.#closed = true
    for (const giveUp of this.#asking) giveUp()
    this.#asking.clear()
    this.wake()
  }

  /** As another would be answered: a failure is no answer. */
  async #askSelf<A>(verb: number, request: object): Promise<A | null> {
    try {
      return (await this.#local.get(verb)!(request as never, this.self)) as A
    } catch {
      return null
    }
  }
}
