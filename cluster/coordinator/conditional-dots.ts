/**
 * The dots of versions that conditional writes decide on. A coordinator reads the row from those who agree on it, and need not hold it itself: that
 * the row says all that this node gave it is Paxos' promise, which holds among writes of one serial level that somebody still remembers. SERIAL and
 * LOCAL_SERIAL do not order each other, and a decision whose fate nobody told may turn up later.
 *
 * So each level has an actor of its own, and the last dot of each of the rows written last is remembered: a row that does not have it gets another
 * actor, for the next dot of the same one would claim to have seen what lies between.
 * Always: of what is remembered, no dot claims another of its actor that its writer did not see.
 */
import { murmur3Token } from '../../lib/base/hash/murmur3.ts'
import {
  coversContext,
  joinContexts,
  lastCounter,
  makeContext,
  NO_CONTEXT,
} from '../../storage/model/causal/context.ts'
import { type ConditionalWrites, type Dots, twinsOf } from '../../storage/model/causal/dots.ts'
import { RowReader } from '../../storage/model/row.ts'

const ROWS_MAX = 65_536

interface Given {
  readonly dots: Dots
  /** The last dots of the row: of versions, and of elements. */
  readonly last: Buffer
}

export class ConditionalDots implements ConditionalWrites {
  readonly #draw: () => Dots
  readonly #rowsMax: number
  readonly #byLevel = new Map<number, Dots>()
  /** By a hash of row and level, the one written last at the end. Rows of one hash forget each other. */
  readonly #given = new Map<number, Given>()
  readonly #hash = new Int32Array(2)

  /** `draw`: dots of an actor that nobody has had. */
  constructor(draw: () => Dots, rowsMax: number = ROWS_MAX) {
    this.#draw = draw
    this.#rowsMax = rowsMax
  }

  dotsFor(row: Buffer, level: number, state: Buffer | null): Dots {
    const given = this.#given.get(this.#nameOf(row, level))
    if (given === undefined) return this.#common(level)
    return coversContext(contextOf(state), given.last) ? given.dots : this.#draw()
  }

  written(row: Buffer, level: number, dots: Dots, delta: Buffer): void {
    const name = this.#nameOf(row, level)
    const context = contextOf(delta)
    let last: Buffer = NO_CONTEXT
    const before = this.#given.get(name)
    for (const actor of twinsOf(dots.actor)) {
      const own = lastCounter(context, actor)
      const counter = own > 0 || before?.dots !== dots ? own : lastCounter(before.last, actor)
      if (counter > 0) last = joinContexts(last, makeContext(actor, counter - 1, counter))
    }
    this.#given.delete(name)
    this.#given.set(name, { dots, last })
    if (this.#given.size > this.#rowsMax) this.#forgetOldest()
  }

  /** The row goes back to its level's actor, which must not be the one that it was lacking dots of. */
  #forgetOldest(): void {
    const [name, { dots }] = this.#given.entries().next().value!
    this.#given.delete(name)
    const level = name % LEVELS
    if (this.#byLevel.get(level) !== dots) this.#byLevel.delete(level)
  }

  #common(level: number): Dots {
    let dots = this.#byLevel.get(level % LEVELS)
    if (dots === undefined) {
      dots = this.#draw()
      this.#byLevel.set(level % LEVELS, dots)
    }
    return dots
  }

  /** 48 bits of a hash, and the level. */
  #nameOf(row: Buffer, level: number): number {
    murmur3Token(row, 0, row.length, this.#hash)
    return ((this.#hash[0]! >>> 0) * HASH_LOW + (this.#hash[1]! >>> 16)) * LEVELS + (level % LEVELS)
  }
}

/** All that the row says was seen of it. */
function contextOf(row: Buffer | null): Buffer {
  if (row === null) return NO_CONTEXT
  const { hasContext, contextStart, contextEnd } = new RowReader().reset(row)
  return hasContext ? row.subarray(contextStart, contextEnd) : NO_CONTEXT
}

const HASH_LOW = 2 ** 16
/** More than there are levels. */
const LEVELS = 16
