/**
 * Names of writes: a dot is an actor (8 bytes) and a counter. An actor is one run of one node, so that whoever forgot what it gave, in a crash, with a
 * lost disk or an old copy of it, is another one from then on.
 * Source: Preguiça et al., Dotted Version Vectors (2012); the counter is the µs of the node's hybrid clock, so that it says when, too.
 */
export interface Dots {
  /** Never all zero: that stands for what was written before a table kept versions. */
  readonly actor: Buffer
  /** Greater than `above`, and than all that it gave before; below 2^53. */
  next(above: number): number
}

/** An actor of versions, and that of elements (delta.ts): what differs in the last bit alone. */
export function twinsOf(actor: Buffer): readonly [Buffer, Buffer] {
  const versions = Buffer.from(actor)
  const elements = Buffer.from(actor)
  const last = actor.length - 1
  versions[last]! &= 0xfe
  elements[last]! |= 1
  return [versions, elements]
}

/** The dots of what conditional writes decide on. Rows are named by bytes that name no other; `state`, `delta`: as they are stored. */
export interface ConditionalWrites {
  /** For one write of the row, which holds what the level's writers agree on. */
  dotsFor(row: Buffer, level: number, state: Buffer | null): Dots
  /** What these dots were given to was written, or may have been. */
  written(row: Buffer, level: number, dots: Dots, delta: Buffer): void
}
