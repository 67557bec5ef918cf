/** Dots of an actor of one byte again and again, from 1 on. */
import type { Dots } from '../../storage/model/causal/dots.ts'

export function countedDots(byte = 1): Dots {
  let last = 0
  return {
    actor: Buffer.alloc(8, byte),
    next(above) {
      last = Math.max(last, above) + 1
      return last
    },
  }
}
