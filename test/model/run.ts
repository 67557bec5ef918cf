/**
 * `npm run model`: random operations on a store with a simulated disk, held against a slow obvious model, seed after seed.
 *
 *     npm run model -- [--seeds 2000] [--operations 1000] [--seed N] [--twice 20] [--jobs 2]
 *     npm run model -- --plants [--only text]
 *
 * --seed N runs that one alone. One seed in --twice runs a second time and must do exactly the same. What fails is cut down to the least
 * list of operations that still fails, and printed. --plants plants bugs, one after the other, and tells by which seed each is found; one that
 * 200 seeds do not find is a failure.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { readOptions } from '../../tools/support/options.ts'
import { checkSeed, explain } from '../support/model/check.ts'
import { PLANTS } from '../support/model/plants.ts'

const flags = readOptions(
  'npm run model',
  'random operations on a store with a simulated disk, held against a slow obvious model',
  {
    seeds: { type: 'number', default: 2000, describe: 'How many' },
    operations: { type: 'number', default: 1000, describe: 'Of each' },
    seed: { type: 'number', describe: 'This one alone' },
    first: { type: 'number', describe: 'The first seed; default: by chance' },
    twice: { type: 'number', default: 20, describe: 'One seed in so many runs a second time and must do the same' },
    jobs: { type: 'number', default: 1, describe: 'Processes' },
    plants: { type: 'boolean', default: false, describe: 'Plants bugs, each until it is found' },
    only: { type: 'string', default: '', describe: '--plants: those whose names contain it' },
    brief: { type: 'boolean', default: false, describe: '--seed: only whether it fails' },
  },
)
const operations = flags.operations
const twice = flags.twice
const jobs = flags.jobs
const FAILURES_MAX = 5
const PLANT_SEEDS = 200

const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

if (flags.plants) await runPlants()
else if (jobs > 1 && flags.seed === undefined) await runJobs()
else await runSeeds()

async function runSeeds(): Promise<void> {
  const count = flags.seed === undefined ? flags.seeds : 1
  const first = flags.seed ?? flags.first ?? Math.floor(Math.random() * 2 ** 30)
  const began = performance.now()
  const rate = (done: number): string => (done / ((performance.now() - began) / 1000)).toFixed(1)
  let failed = 0
  let reads = 0
  let diskOperations = 0
  let done = 0
  print(`seeds ${first} to ${first + count - 1}, ${operations} operations each`)
  for (let i = 0; i < count && failed < FAILURES_MAX; i++) {
    const seed = first + i
    const verdict = await checkSeed(seed, operations)
    reads += verdict.reads
    diskOperations += verdict.diskOperations
    done++
    if (verdict.problem !== null) {
      failed++
      print(`TEST_SEED=${seed} failed at operation ${verdict.at}: ${verdict.problem.split('\n')[0]}`)
      if (flags.brief) break
      print(await explain(seed, operations))
    } else if (twice > 0 && i % twice === 0) {
      const again = await checkSeed(seed, operations)
      if (again.trace !== verdict.trace) {
        failed++
        print(`TEST_SEED=${seed} did not do the same twice: trace ${verdict.trace}, then ${again.trace}`)
      }
    }
    if (done % 100 === 0) print(`  … ${done} seeds, ${failed} failed, ${rate(done)} seeds/s`)
  }
  print(`${reads} reads compared, ${diskOperations} disk operations, ${rate(done)} seeds/s`)
  print(`${done - failed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}

/** This program again, with other arguments; its lines are handed on. */
async function again(args: readonly string[], take: (line: string) => void, plant?: number): Promise<number> {
  const register = new URL('../support/model/plant-register.js', import.meta.url).href
  const hooks = plant === undefined ? [] : ['--import', register]
  const child = spawn(process.execPath, [...hooks, fileURLToPath(import.meta.url), ...args], {
    stdio: ['ignore', 'pipe', plant === undefined ? 'inherit' : 'pipe'],
    env: { ...process.env, MODEL_PLANT: String(plant) },
  })
  const closed = new Promise<number>((resolve) => {
    child.once('close', (code) => resolve(code ?? 1))
  })
  child.stderr?.on('data', (chunk: Buffer) => take(chunk.toString()))
  for await (const line of createInterface({ input: child.stdout! })) take(line)
  return closed
}

/** The seeds shared out to as many processes. */
async function runJobs(): Promise<void> {
  const seeds = flags.seeds
  const first = flags.first ?? Math.floor(Math.random() * 2 ** 30)
  const share = Math.ceil(seeds / jobs)
  let passed = 0
  let failed = 0
  await Promise.all(
    Array.from({ length: jobs }, async (_, job) => {
      const count = Math.min(share, seeds - job * share)
      const args = ['--seeds', count, '--first', first + job * share, '--operations', operations, '--twice', twice]
      const code = await again(args.map(String), (line) => {
        const end = /^(\d+) passed, (\d+) failed$/.exec(line)
        if (!end) return print(line)
        passed += Number(end[1])
        failed += Number(end[2])
      })
      if (code !== 0 && failed === 0) failed = 1
    }),
  )
  print(`${passed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}

/** Each planted bug must be found. */
async function runPlants(): Promise<void> {
  const first = flags.first ?? Math.floor(Math.random() * 2 ** 30)
  let missed = 0
  let tried = 0
  print(`${PLANT_SEEDS} seeds from ${first} for each plant`)
  for (const [index, plant] of PLANTS.entries()) {
    if (!plant.name.includes(flags.only)) continue
    tried++
    let found: string | null = null
    const other: string[] = []
    const args = [
      '--brief',
      '--seeds',
      String(PLANT_SEEDS),
      '--first',
      String(first),
      '--operations',
      String(operations),
      '--twice',
      '0',
    ]
    await again(
      args,
      (line) => {
        const seed = /^TEST_SEED=(\d+) failed at operation \d+: (.*)/.exec(line)
        if (seed) found = `by seed ${Number(seed[1]) - first + 1}: ${seed[2]!.slice(0, 100)}`
        else other.push(line)
      },
      index,
    )
    if (found === null) missed++
    print(
      `${found === null ? `NOT FOUND: ${other.join(' ').slice(0, 300)}` : 'found'} ${plant.name}${found === null ? '' : `, ${found}`}`,
    )
  }
  print(`${tried - missed} passed, ${missed} failed`)
  process.exitCode = missed === 0 ? 0 : 1
}
