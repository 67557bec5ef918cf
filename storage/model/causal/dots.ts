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
