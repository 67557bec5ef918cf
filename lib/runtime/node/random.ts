/** Chance from the operating system. Streams need not be told apart here: none can be predicted anyway. */
import { randomFillSync } from 'node:crypto'
import type { Random } from '../runtime.ts'

export function openNodeRandom(): Random {
  const random: Random = {
    float: () => Math.random(),
    fill: (target) => randomFillSync(target),
    stream: () => random,
  }
  return random
}
