/**
 * The dots of one actor. Always: no counter is given twice, each is greater than all before; the hybrid clock is not dragged along by what a row
 * says of the time, so that a context with a time of the future concerns that row alone.
 */
import { assert } from '../../lib/base/assert.ts'
import type { Random } from '../../lib/runtime/runtime.ts'
import type { Dots } from '../../storage/model/causal/dots.ts'

const ACTOR_BYTES = 8

export class ActorDots implements Dots {
  readonly actor: Buffer
  readonly #timestampMicros: () => number
  #last = 0

  /** `timestampMicros`: of the hybrid clock. */
  constructor(random: Pick<Random, 'fill'>, timestampMicros: () => number) {
    this.actor = random.fill(Buffer.alloc(ACTOR_BYTES))
    // One in 2^64; zero is nobody's.
    if (this.actor.every((byte) => byte === 0)) this.actor[0] = 1
    this.#timestampMicros = timestampMicros
  }

  next(above: number): number {
    const counter = Math.max(this.#timestampMicros(), above + 1, this.#last + 1)
    assert(Number.isSafeInteger(counter), 'the counters of an actor have come to their end')
    this.#last = counter
    return counter
  }
}
