/**
 * `npm run model`: random operations on a store with a simulated disk, held against a slow obvious model, seed after seed.
 *
 *     npm run model -- [--seeds 2000] [--operations 1000] [--seed N] [--twice 20]
 *
 * --seed N runs that one alone. One seed in --twice runs a second time and must do exactly the same. What fails is cut down to the least
 * list of operations that still fails, and printed.
 */
import { parseArgs } from 'node:util'
import { checkSeed, explain } from '../support/model/check.ts'

const { values: flags } = parseArgs({
  options: {
    seeds: { type: 'string', default: '2000' },
    operations: { type: 'string', default: '1000' },
    seed: { type: 'string' },
    twice: { type: 'string', default: '20' },
  },
})
const operations = Number(flags.operations)
const count = flags.seed === undefined ? Number(flags.seeds) : 1
const first = flags.seed === undefined ? Math.floor(Math.random() * 2 ** 30) : Number(flags.seed)
const twice = Number(flags.twice)
const FAILURES_MAX = 5

const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

print(`seeds ${first} to ${first + count - 1}, ${operations} operations each`)
const began = performance.now()
let failed = 0
let reads = 0
let diskOperations = 0
let done = 0
for (let i = 0; i < count && failed < FAILURES_MAX; i++) {
  const seed = first + i
  const verdict = await checkSeed(seed, operations)
  reads += verdict.reads
  diskOperations += verdict.diskOperations
  done++
  if (verdict.problem !== null) {
    failed++
    print(`TEST_SEED=${seed} failed at operation ${verdict.at}: ${verdict.problem}`)
    print(await explain(seed, operations))
  } else if (twice > 0 && i % twice === 0) {
    const again = await checkSeed(seed, operations)
    if (again.trace !== verdict.trace) {
      failed++
      print(`TEST_SEED=${seed} did not do the same twice: trace ${verdict.trace}, then ${again.trace}`)
    }
  }
  if (done % 100 === 0) print(`  … ${done} seeds, ${failed} failed, ${rate()} seeds/s`)
}
print(`${reads} reads compared, ${diskOperations} disk operations, ${rate()} seeds/s`)
print(`${done - failed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

function rate(): string {
  return (done / ((performance.now() - began) / 1000)).toFixed(1)
}
