/** Dots of an actor of ones, from 1 on. */
import type { Dots } from '../../storage/model/causal/dots.ts'

export function countedDots(): Dots {
  let last = 0
  return {
    actor: Buffer.alloc(8, 1),
    next(above) {
      last = Math.max(last, above) + 1
      return last
    },
  }
}
