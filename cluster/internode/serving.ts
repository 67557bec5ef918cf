/** Handlers by verb, and what becomes of what they return or throw, whoever asks: another node or this one. */
import { assert } from '../../lib/base/assert.ts'
import { BytesError } from '../../lib/base/bytes.ts'
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import type { Log } from '../../lib/runtime/runtime.ts'
import type { Handler, Incoming, Payload } from './messenger.ts'
import { VERB_MAX, verbName } from './verbs.ts'

const SOURCE = 'serving.ts'

/** Who waits for the answer of a request. One of the two is called, once. */
export interface Asker {
  answered(payload: Payload | undefined): void
  failed(reason: number): void
}

export class Serving {
  readonly #log: Log
  readonly #handlers: (Handler | undefined)[] = new Array(VERB_MAX + 1).fill(undefined)
  /** Handlers that have not ended yet, and the bytes that they were given. */
  count = 0
  bytes = 0

  constructor(log: Log) {
    this.#log = log
  }

  handle(verb: number, handler: Handler): void {
    assert(verb > 0 && verb <= VERB_MAX && this.#handlers[verb] === undefined, `verb ${verb} has one handler`)
    this.#handlers[verb] = handler
  }

  /** `asker` is null for what goes one way. Never throws. */
  serve(incoming: Incoming, asker: Asker | null): void {
    const { verb } = incoming
    const handler = this.#handlers[verb]
    if (!handler) {
      this.#log.debug(SOURCE, `Nobody here knows ${verbName(verb)}, which ${incoming.from.endpoint} sent`)
      asker?.failed(FailureReason.UNKNOWN)
      return
    }
    let answer: Payload | undefined | Promise<Payload | undefined>
    try {
      answer = handler(incoming)
    } catch (error) {
      this.#failed(verb, asker, error)
      return
    }
    if (answer instanceof Promise) this.#await(incoming, asker, answer)
    else asker?.answered(answer)
  }

  #await({ verb, payload: { length } }: Incoming, asker: Asker | null, answer: Promise<Payload | undefined>): void {
    this.count++
    this.bytes += length
    answer.then(
      (payload) => {
        this.count--
        this.bytes -= length
        asker?.answered(payload)
      },
      (error) => {
        this.count--
        this.bytes -= length
        this.#failed(verb, asker, error)
      },
    )
  }

  #failed(verb: number, asker: Asker | null, error: unknown): void {
    const known = error instanceof ReplicaFailure
    if (error instanceof BytesError) this.#log.warn(SOURCE, `${verbName(verb)} was not understood: ${error.message}`)
    else if (!known) this.#log.error(SOURCE, `${verbName(verb)} failed`, error)
    asker?.failed(known ? error.reasonCode : FailureReason.UNKNOWN)
  }
}
