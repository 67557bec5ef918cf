/**
 * Random histories of rows that keep versions against the model of causality (test/support/causal-history.ts), as many as one has time for.
 *   node dist/test/causal/run.js [--histories 1000000] [--seed 1]
 */
import { readOptions } from '../../tools/support/options.ts'
import { runHistory } from '../support/causal-history.ts'
import { createDice, testSeed } from '../support/random.ts'

const values = readOptions(
  'npm run causal',
  'random histories of rows that keep versions against the model of causality',
  {
    histories: { type: 'number', default: 1_000_000, describe: 'How many' },
    seed: { type: 'number', describe: 'Of the first one' },
  },
)
const histories = values.histories
const seed = values.seed === undefined ? testSeed() : values.seed
console.log(`seed ${seed}, ${histories} histories`)
const REPORTS = 10
let differing = 0
const began = Date.now()
for (let i = 0; i < histories; i++) {
  try {
    runHistory(createDice(seed + i))
  } catch (error) {
    differing++
    if (differing <= REPORTS) console.log(`TEST_SEED=${seed + i}: ${(error as Error).message}`)
  }
  if ((i + 1) % Math.ceil(histories / REPORTS) === 0)
    console.log(`${i + 1} histories, ${differing} differ, ${Math.round((Date.now() - began) / 1000)} s`)
}
process.exitCode = differing === 0 ? 0 : 1
