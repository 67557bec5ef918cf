/** `npm run races -- --seeds 100 --first 1`: schema races and foundings in virtual time, one seed after another; each failure with its seed. */
import { readOptions } from '../../tools/support/options.ts'
import { raceFounding } from '../support/founding-races.ts'
import { raceSchemas } from '../support/schema-races.ts'

const { seeds, first, sabotage } = readOptions(
  'npm run races',
  'schema races and foundings of clusters in virtual time',
  {
    seeds: { type: 'number', default: 100, describe: 'how many' },
    first: { type: 'number', default: 1, describe: 'the first one' },
    sabotage: {
      choices: ['acceptors forget', 'accepted hidden', 'progress hidden', 'vote before sync'] as const,
      describe: 'with a bug that must be found',
    },
  },
)

const sums = { statements: 0, applied: 0, refused: 0, unknown: 0, epochs: 0, kills: 0 }
let violations = 0
let foundingKills = 0
const began = process.hrtime.bigint()
for (let seed = first; seed < first + seeds; seed++) {
  const report = await raceSchemas(seed, sabotage)
  for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += report[name]
  const founding = await raceFounding(seed, sabotage)
  foundingKills += founding.kills
  for (const [what, { violation }] of Object.entries({ races: report, founding })) {
    if (violation === null) continue
    violations += 1
    process.stdout.write(`SEED=${seed} ${what}: ${violation}\n`)
  }
}
const seconds = Number((process.hrtime.bigint() - began) / 1_000_000n) / 1000
process.stdout.write(
  `${seeds} seeds in ${seconds.toFixed(1)} s: ${Object.entries(sums)
    .map(([name, sum]) => `${sum} ${name}`)
    .join(', ')}; ${foundingKills} kills while clusters were founded; ${violations} violations\n`,
)
process.exitCode = violations === 0 ? 0 : 1
