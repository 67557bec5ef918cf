/**
 * `npm run powerloss`: a scripted load on a simulated disk that loses power at each of its operations, with none, half and all of what was
 * not synced surviving (and again during each recovery), while every strategy of compaction has its share of the script; then the same with each operation failing by EIO and by ENOSPC.
 * Then EMFILE likewise; and the process is killed at each operation, and the power lost in the start that follows.
 *
 *     npm run powerloss -- [--steps 1800] [--version-steps 450] [--error-steps 150] [--seed N]
 *
 * --version-steps: of the script on a table that keeps versions.
 */
import { readOptions, seedOr } from '../../tools/support/options.ts'
import { losePowerUnderVersions } from '../support/causal-power-loss.ts'
import { failEverywhere, killThenLosePower, losePowerEverywhere, type Outcome } from '../support/power-loss.ts'

const flags = readOptions(
  'npm run powerloss',
  'a scripted load loses power at each of its disk operations, or each fails; what was acknowledged must be found',
  {
    steps: { type: 'number', default: 1800, describe: 'Of the script' },
    'version-steps': { type: 'number', default: 450, describe: 'Of the script on a table that keeps versions' },
    'error-steps': { type: 'number', default: 150, describe: 'Of the script whose operations fail' },
    seed: { type: 'number', describe: 'Replays a run' },
  },
)
const seed = seedOr(flags.seed)
const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

let passed = 0
let failed = 0

async function prove(what: string, run: (report: (done: Outcome) => void) => Promise<Outcome>): Promise<void> {
  const began = performance.now()
  const { operations, inspected, compactions, problems } = await run((done) =>
    print(`  … ${done.inspected} disks opened, ${done.problems.length} wrong`),
  )
  for (const problem of problems.slice(0, 10)) print(`  ${problem}`)
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  print(
    `${what}: ${operations} disk operations, ${compactions} compactions, ${inspected} disks opened and compared, ${problems.length} wrong (${seconds} s)`,
  )
  passed += inspected - problems.length
  failed += problems.length
}

print(`seed ${seed}`)
const steps = flags.steps
await prove(`power loss at every operation of a script of ${steps} steps, 0, 50 and 100 % survival`, (report) =>
  losePowerEverywhere({ seed, steps }, report),
)
const versionSteps = flags['version-steps']
await prove(`power loss at every operation of a script of ${versionSteps} steps on rows that keep versions`, () =>
  losePowerUnderVersions({ seed, steps: versionSteps }),
)
const errorSteps = flags['error-steps']
for (const code of ['EIO', 'ENOSPC', 'EMFILE'] as const)
  await prove(`${code} at every operation of a script of ${errorSteps} steps`, (report) =>
    failEverywhere({ seed, steps: errorSteps }, code, 1, report),
  )
await prove(
  `kill -9 at every operation of a script of ${errorSteps} steps, and power loss in the start that follows`,
  (report) => killThenLosePower({ seed, steps: errorSteps }, 1, report),
)
print(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
