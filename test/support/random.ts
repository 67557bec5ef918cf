/** Random data from a printed seed: TEST_SEED=<n> replays what failed, TEST_RUNS=<n> tries so many seeds where a test tries several. */
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

/** So many seeds that follow from one; or that of TEST_SEED alone. */
export function* testSeeds(runs: number): Generator<number> {
  const first = testSeed()
  const count = process.env.TEST_SEED ? 1 : Number(process.env.TEST_RUNS ?? runs)
  for (let seed = first; seed < first + count; seed++) yield seed
}

/** Runs `check` with many seeds; a failure names the one that replays it alone. */
export function forAll(runs: number, check: (dice: Dice) => void): void {
  for (const seed of testSeeds(runs)) {
    try {
      check(createDice(seed))
    } catch (error) {
      throw new Error(`TEST_SEED=${seed} replays this`, { cause: error })
    }
  }
}
