/**
 * The model check in short: random operations on a store, every answer held against a model that is slow and obvious. At length: `npm run model`.
 * TEST_SEED=<n> runs one seed alone.
 */
import t from 'tap'
import { checkSeed, explain } from '../support/model/check.ts'
import { testSeed } from '../support/random.ts'

const SEEDS = 50
const OPERATIONS = 200

t.test('whatever is written, flushed, lost and opened again, reads agree with the model', async (t) => {
  const first = testSeed()
  const count = process.env.TEST_SEED ? 1 : SEEDS
  const operations = process.env.TEST_SEED ? 1_000 : OPERATIONS
  for (let seed = first; seed < first + count; seed++) {
    const verdict = await checkSeed(seed, operations)
    if (verdict.problem !== null) {
      t.fail(`${operations} operations of TEST_SEED=${seed}: ${await explain(seed, operations)}`)
      return
    }
    if (seed % 10 !== 0) continue
    const again = await checkSeed(seed, operations)
    if (!t.equal(again.trace, verdict.trace, `TEST_SEED=${seed} does the same twice`)) return
  }
  t.pass(`seeds ${first} to ${first + count - 1}`)
})

/** What they found, so that it stays found. */
const SEEDS_THAT_FAILED = [
  {
    seed: 900064,
    operations: 1_000,
    because: 'a compaction asked for began with SSTables that a drop under way removed',
  },
]

t.test('seeds that failed once', async (t) => {
  for (const { seed, operations, because } of SEEDS_THAT_FAILED)
    t.equal((await checkSeed(seed, operations)).problem, null, `${seed}: ${because}`)
})
