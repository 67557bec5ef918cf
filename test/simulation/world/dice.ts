/** Chance for plans and clients, from a stream of a seeded generator. */
import type { Random } from '../../../lib/runtime/runtime.ts'
import type { Dice } from '../../support/random.ts'

export type { Dice }

export function diceOf(random: Random): Dice {
  const int = (below: number): number => Math.floor(random.float() * below)
  return {
    int,
    chance: (probability) => random.float() < probability,
    pick: (from) => from[int(from.length)]!,
  }
}
