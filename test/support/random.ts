/** Random data from a printed seed: TEST_SEED=<n> replays what failed. */
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'

export interface Dice {
  /** A whole number in [0, below). */
  int(below: number): number
  chance(probability: number): boolean
  pick<T>(from: readonly T[]): T
}

export function createDice(seed: number): Dice {
  const random = createSeededRandom(seed)
  const int = (below: number): number => Math.floor(random.float() * below)
  return {
    int,
    chance: (probability) => random.float() < probability,
    pick: (from) => from[int(from.length)]!,
  }
}

/** The seed of this run: TEST_SEED or another each time. */
export function testSeed(): number {
  const given = process.env.TEST_SEED
  return given ? Number(given) : Math.floor(Math.random() * 0x7fffffff)
}

/** Runs `check` with many seeds that follow from one; a failure names the seed that replays it alone. */
export function forAll(runs: number, check: (dice: Dice) => void): void {
  const first = testSeed()
  const count = process.env.TEST_SEED ? 1 : runs
  for (let i = 0; i < count; i++) {
    try {
      check(createDice(first + i))
    } catch (error) {
      throw new Error(`TEST_SEED=${first + i} replays this`, { cause: error })
    }
  }
}
