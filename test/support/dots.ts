/** Dots of an actor of one byte again and again, from 1 on. */
import { ConditionalDots } from '../../cluster/coordinator/conditional-dots.ts'
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

/** Actors of one byte, every other one from `byte` on. */
export function conditionalDots(byte = 101): ConditionalDots {
  let next = byte
  return new ConditionalDots(() => {
    const dots = countedDots(next)
    next += 2
    return dots
  })
}
