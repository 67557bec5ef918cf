/**
 * Requests of a traced statement, on their way to other nodes: each goes as TRACED, with the trace's id before it, and the node that gets it tells
 * what it does under that id itself. Source: Cassandra's tracing, which sends the id along with each message.
 * What follows from a request in the same turn belongs to its trace: a coordinator sends to replicas where the statement is executed, and what
 * it does about their answers where they come in. What goes on after a wait of its own (a later round of a lightweight transaction) does not.
 */
import { BytesError } from '../../lib/base/bytes.ts'
import type { Handler, Incoming, Messenger, MessengerCounts, Payload, ReplyHandler, Sender } from './messenger.ts'
import { Verb, verbName } from './verbs.ts'

/** One traced statement, as one node sees it. */
export interface Trace {
  /** 16 bytes. */
  readonly id: Uint8Array
  event(activity: string): void
}

export interface Traces {
  /** What this turn works for. */
  current: Trace | null
  /** The trace of another node's statement, from now on. `id` is kept. */
  follow(id: Uint8Array): Trace
}

const ID_BYTES = 16
const HEAD_BYTES = ID_BYTES + 1

export class TracedMessenger implements Messenger {
  readonly #messenger: Messenger
  readonly #traces: Traces
  readonly #handlers = new Map<number, Handler>()

  constructor(messenger: Messenger, traces: Traces) {
    this.#messenger = messenger
    this.#traces = traces
    messenger.handle(Verb.TRACED, (message) => this.#serve(message))
  }

  get self(): Sender {
    return this.#messenger.self
  }

  handle(verb: number, handler: Handler): void {
    this.#handlers.set(verb, handler)
    this.#messenger.handle(verb, handler)
  }

  send(to: string, verb: number, payload: Payload): boolean {
    return this.#messenger.send(to, verb, payload)
  }

  request(to: string, verb: number, payload: Payload, timeoutMs: number, reply: ReplyHandler): void {
    const trace = this.#traces.current
    if (trace === null) this.#messenger.request(to, verb, payload, timeoutMs, reply)
    else this.#requestTraced(trace, { to, verb, payload, timeoutMs, reply })
  }

  counts(): MessengerCounts {
    return this.#messenger.counts()
  }

  close(): Promise<void> {
    return this.#messenger.close()
  }

  #requestTraced(
    trace: Trace,
    request: { to: string; verb: number; payload: Payload; timeoutMs: number; reply: ReplyHandler },
  ): void {
    const { to, verb, payload, timeoutMs, reply } = request
    trace.event(`Sending ${verbName(verb)} message to /${to}`)
    const head = new Uint8Array(HEAD_BYTES)
    head.set(trace.id)
    head[ID_BYTES] = verb
    const parts = payload instanceof Uint8Array ? [head, payload] : [head, ...payload]
    this.#messenger.request(to, Verb.TRACED, parts, timeoutMs, {
      replied: (from, answer) => {
        trace.event(`Processing response from /${from}`)
        this.#within(trace, () => reply.replied(from, answer))
      },
      failed: (from, reason) => {
        trace.event(`Failure (${reason}) of /${from}`)
        this.#within(trace, () => reply.failed(from, reason))
      },
    })
  }

  #serve(message: Incoming): Payload | undefined | Promise<Payload | undefined> {
    const { payload, from } = message
    if (payload.length < HEAD_BYTES) throw new BytesError('a traced message without its head')
    const verb = payload[ID_BYTES]!
    const handler = this.#handlers.get(verb)
    if (!handler) throw new BytesError(`${verbName(verb)} is not traced`)
    const trace = this.#traces.follow(Uint8Array.from(payload.subarray(0, ID_BYTES)))
    trace.event(`${verbName(verb)} message received from /${from.endpoint}`)
    const answered = (): void => trace.event(`Enqueuing response to /${from.endpoint}`)
    const answer = this.#within(trace, () => handler({ ...message, verb, payload: payload.subarray(HEAD_BYTES) }))
    if (answer instanceof Promise) answer.then(answered, answered)
    else answered()
    return answer
  }

  #within<T>(trace: Trace, work: () => T): T {
    return within(this.#traces, trace, work)
  }
}

/** What `work` does until it returns belongs to the trace. */
export function within<T>(traces: Traces, trace: Trace, work: () => T): T {
  const before = traces.current
  traces.current = trace
  try {
    return work()
  } finally {
    traces.current = before
  }
}
