/**
 * One connection's requests that are being executed, and their answers in whatever order they come.
 * Always: what was counted when a request was taken is given back once, however it ended and whether or not its client is still there.
 */

import type { MetadataCache } from '../../protocol/metadata.ts'
import type { ClientState } from '../cql/statement.ts'
import type { Clock } from '../runtime/runtime.ts'
import { answer, type Exchange, execute, type Outcome } from './exchange.ts'
import { answerFailure, type FailureContext, overloaded } from './failure.ts'
import type { AddressAccount, ClientLimits, RequestBudget } from './limits.ts'
import type { Outbox } from './outbox.ts'
import type { Processor, Tracer } from './processor.ts'

export interface InFlightContext extends FailureContext {
  readonly clock: Clock
  readonly processor: Processor
  readonly tracer: Tracer | null
  readonly limits: ClientLimits
  readonly budget: RequestBudget
  readonly metadata: MetadataCache
}

export interface InFlightOwner {
  /** Nobody waits for answers any more. */
  isOver(): boolean
  /** As many requests as there may be (or no longer so): take no more of them, go on taking them. */
  setFull(isFull: boolean): void
  /** As many bytes as there may be, of all connections or of those from one address. */
  setExhausted(isExhausted: boolean): void
  /** The last request in flight was answered. */
  idle(): void
}

export class InFlight {
  /** Whose requests these are. */
  client: ClientState
  /** The client wants to be told OVERLOADED rather than not to be read. */
  throwOnOverload = false
  /** What is new is refused. */
  isDraining = false
  #count = 0
  readonly #context: InFlightContext
  readonly #outbox: Outbox
  readonly #account: AddressAccount
  readonly #owner: InFlightOwner
  readonly #retry = (): void => this.#lookAtBudget()

  constructor(
    client: ClientState,
    account: AddressAccount,
    outbox: Outbox,
    context: InFlightContext,
    owner: InFlightOwner,
  ) {
    this.client = client
    this.#context = context
    this.#outbox = outbox
    this.#account = account
    this.#owner = owner
  }

  get count(): number {
    return this.#count
  }

  /** Answers at once where the processor does. Never throws. */
  execute(exchange: Exchange, isTraced: boolean): void {
    const { processor, tracer, clock } = this.#context
    const { request } = exchange
    try {
      this.#checkLoad()
      if (request.kind === 'execute') exchange.prepared = processor.prepared(request.id) ?? null
      if (isTraced && tracer !== null) {
        exchange.startedMs = clock.monotonicMs()
        exchange.trace = tracer.begin(this.client, request, exchange.prepared)
      }
      const outcome =
        exchange.trace === null
          ? execute(exchange, processor, this.client)
          : exchange.trace.run(() => execute(exchange, processor, this.client))
      if (outcome instanceof Promise) this.#await(exchange, outcome)
      else this.#answer(exchange, outcome)
    } catch (error) {
      this.#fail(exchange, error)
    }
  }

  /** The connection is closed: it waits for nothing any more. */
  close(): void {
    this.#context.budget.forget(this.#retry)
  }

  /** Throws OVERLOADED where the request would be one too many and its client wants to be told. */
  #checkLoad(): void {
    if (this.isDraining) throw overloaded('Server is shutting down')
    if (!this.throwOnOverload) return
    const { limits, budget, counters } = this.#context
    if (this.#count < limits.requestsMax && !budget.isExhausted(this.#account)) return
    counters.overloaded += 1
    throw overloaded('Server is in overloaded state. Cannot accept more requests at this point')
  }

  #await(exchange: Exchange, outcome: Promise<Outcome>): void {
    const { limits, budget } = this.#context
    this.#count += 1
    budget.take(this.#account, exchange.bytes)
    if (!this.throwOnOverload) {
      if (this.#count >= limits.requestsMax) this.#owner.setFull(true)
      if (budget.isExhausted(this.#account)) this.#lookAtBudget()
    }
    outcome.then(
      (value) => this.#settle(exchange, value, null),
      (error: unknown) => this.#settle(exchange, null, error),
    )
  }

  #settle(exchange: Exchange, outcome: Outcome | null, error: unknown): void {
    const { limits, budget } = this.#context
    this.#count -= 1
    if (!this.#owner.isOver()) {
      if (outcome === null) this.#fail(exchange, error)
      else this.#answer(exchange, outcome)
      this.#outbox.flushSoon()
      if (this.#count === 0) this.#owner.idle()
      if (this.#count < limits.requestsMax) this.#owner.setFull(false)
    }
    budget.give(this.#account, exchange.bytes)
  }

  /** Waits while there are too many bytes in flight, and goes on when there are not. */
  #lookAtBudget(): void {
    const { budget } = this.#context
    const mustWait = !this.#owner.isOver() && budget.isExhausted(this.#account)
    if (mustWait) budget.wait(this.#retry)
    this.#owner.setExhausted(mustWait)
  }

  #answer(exchange: Exchange, outcome: Outcome): void {
    if (outcome.kind === 'set_keyspace') this.client.keyspace = outcome.keyspace
    try {
      this.#endTrace(exchange)
      answer(this.#outbox.encoder, this.#context.metadata, exchange, outcome)
    } catch (error) {
      this.#fail(exchange, error)
    }
  }

  #fail(exchange: Exchange, error: unknown): void {
    try {
      this.#endTrace(exchange)
    } finally {
      const { version, stream, trace } = exchange
      answerFailure(this.#outbox.encoder, this.#context, version, stream, error, trace?.id ?? null)
    }
  }

  #endTrace(exchange: Exchange): void {
    if (exchange.trace === null || exchange.isTraceEnded) return
    exchange.isTraceEnded = true
    exchange.trace.end(Math.round((this.#context.clock.monotonicMs() - exchange.startedMs) * 1000))
  }
}
