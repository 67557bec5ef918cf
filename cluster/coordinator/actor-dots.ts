/**
 * The dots of one actor. Always: no counter is given twice. The clock is not dragged along by what a row says of the time, so that a context with a
 * time of the future concerns such rows alone. Whenever the node has forgotten something it is another actor: what it gave before and does not know
 * any more must not be taken for seen.
 */
import { assert } from '../../lib/base/assert.ts'
import type { Random } from '../../lib/runtime/runtime.ts'
import { ACTOR_BYTES } from '../../storage/model/causal/context.ts'
import type { Dots } from '../../storage/model/causal/dots.ts'

/** What differs in the last bit alone is one actor, and its twin (storage/model/causal/delta.ts). */
const TWINS = 0xfe

export class ActorDots implements Dots {
  readonly #random: Pick<Random, 'fill'>
  readonly #timestampMicros: () => number
  readonly #forgettings: () => number
  #actor: Buffer
  #forgot: number
  /** The last of those that the clock gave, and of those that it did not reach. */
  #last = 0
  #ahead = 0

  /** `timestampMicros`: of the hybrid clock; `forgettings`: how often the node has lost something that it held. */
  constructor(random: Pick<Random, 'fill'>, timestampMicros: () => number, forgettings: () => number = () => 0) {
    this.#random = random
    this.#timestampMicros = timestampMicros
    this.#forgettings = forgettings
    this.#forgot = forgettings()
    this.#actor = drawActor(random)
  }

  get actor(): Buffer {
    const forgot = this.#forgettings()
    if (forgot !== this.#forgot) {
      this.#forgot = forgot
      this.#actor = drawActor(this.#random)
    }
    return this.#actor
  }

  next(above: number): number {
    const now = Math.max(this.#timestampMicros(), this.#last + 1)
    if (above < now) {
      this.#last = now
      return now
    }
    const counter = Math.max(above, this.#ahead) + 1
    assert(Number.isSafeInteger(counter), 'the counters of an actor have come to their end')
    this.#ahead = counter
    return counter
  }
}

function drawActor(random: Pick<Random, 'fill'>): Buffer {
  const actor = random.fill(Buffer.alloc(ACTOR_BYTES))
  // One in 2^63; zero is nobody's, nor is its twin.
  if ((actor[ACTOR_BYTES - 1]! & TWINS) === 0 && actor.subarray(0, -1).every((byte) => byte === 0)) actor[0] = 1
  return actor
}
