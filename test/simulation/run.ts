/**
 * `npm run simulate`: whole clusters in one process, under faults, seed after seed; what clients were told is held against oracles.
 *
 *     npm run simulate -- [--seeds 100] [--seconds 60] [--first N] [--nodes N] [--workloads rows,sets] [--levels QUORUM/QUORUM] [--quiet]
 *     npm run simulate -- --seed N [--seconds 60] [--shrink] [--story]
 *     npm run simulate -- --plan FILE [--story]
 *     npm run simulate -- --plants [--only text]
 *
 * One seed in --twice runs a second time and must do exactly the same. --seed runs one alone; --shrink cuts its plan down to what still fails and
 * prints it, --plan runs a plan from a file, --story tells
 * what happened. --tally counts what happened in all of them: each kind of fault, and of request that was done. --quiet leaves the faults out; --joins takes only
 * clusters that a node joins in the run, --leaves such that a node leaves. --plants plants bugs, one after the other, and tells by which seed each is found.
 */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { readOptions } from '../../tools/support/options.ts'
import { WORKLOADS } from './workloads/index.ts'
import { drawPlan, type LevelName, type Levels, type Plan, type PlanOptions } from './world/plan.ts'
import { PLANTS } from './world/plants.ts'
import { shrinkPlan } from './world/shrink.ts'
import { Tally } from './world/tally.ts'
import { runPlan } from './world/world.ts'

const flags = readOptions('npm run simulate', 'whole clusters under faults, over virtual time, held against oracles', {
  seeds: { type: 'number', default: 100, describe: 'How many' },
  seconds: { type: 'number', default: 60, describe: 'Virtual time of each' },
  seed: { type: 'number', describe: 'This one alone' },
  first: { type: 'number', describe: 'The first seed; default: by chance' },
  nodes: { type: 'number', describe: 'Only clusters of so many' },
  workloads: { type: 'string', describe: 'Only these, like rows,sets' },
  levels: { type: 'string', describe: 'Writes/reads, like QUORUM/QUORUM' },
  twice: { type: 'number', default: 20, describe: 'One seed in so many runs a second time and must do the same' },
  quiet: { type: 'boolean', default: false, describe: 'Without faults' },
  joins: { type: 'boolean', default: false, describe: 'Only clusters that a node joins' },
  leaves: { type: 'boolean', default: false, describe: 'Only clusters that a node leaves' },
  shrink: { type: 'boolean', default: false, describe: 'Cuts a failing plan down to what still fails' },
  story: { type: 'boolean', default: false, describe: 'Tells what happened' },
  tally: { type: 'boolean', default: false, describe: 'Counts faults and requests of each kind' },
  failures: { type: 'number', default: 5, describe: 'After so many it ends' },
  plants: { type: 'boolean', default: false, describe: 'Plants bugs, each until it is found' },
  only: { type: 'string', default: '', describe: '--plants: those whose names contain it' },
  plan: { type: 'string', describe: 'Runs the plan in this file' },
})

const PLANT_SEEDS = 200
const PLANS = new URL('../../../test/golden/simulation/', import.meta.url)

const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const options: PlanOptions = {
  seconds: flags.seconds,
  nodes: flags.nodes ?? null,
  workloads: flags.workloads?.split(',') ?? Object.keys(WORKLOADS),
  levels: flags.levels === undefined ? null : levelsOf(flags.levels),
  quiet: flags.quiet,
  joins: flags.joins,
  leaves: flags.leaves,
}

if (flags.plants) await runPlants()
else await runSeeds()

function summary(plan: Plan): string {
  const { datacenters, replication, levels, clients, workloads, faults } = plan
  return `nodes ${datacenters.join('+')} RF ${replication.join('+')} ${levels.write}/${levels.read} clients ${clients} ${workloads.join(',')} faults ${faults.length}`
}

function levelsOf(both: string): Levels {
  const [write, read] = both.split('/') as [LevelName, LevelName]
  return { write, read, monotonic: write === read || read === 'ALL' }
}

async function explain(plan: Plan): Promise<void> {
  const least = await shrinkPlan(plan, print)
  const result = await runPlan(least)
  print(JSON.stringify(least))
  for (const line of result.story.slice(-60)) print(`  ${line}`)
}

async function runSeeds(): Promise<void> {
  const count = flags.seed === undefined && flags.plan === undefined ? flags.seeds : 1
  const first = flags.seed ?? flags.first ?? Math.floor(Math.random() * 2 ** 30)
  const began = performance.now()
  let failed = 0
  let requests = 0
  let succeeded = 0
  let events = 0
  let virtualMs = 0
  let done = 0
  const tally = new Tally()
  print(`SEEDS ${first} to ${first + count - 1}, ${options.seconds} virtual seconds each`)
  for (let i = 0; i < count && failed < flags.failures; i++) {
    const seed = first + i
    const plan =
      flags.plan === undefined ? drawPlan(seed, options) : (JSON.parse(readFileSync(flags.plan, 'utf8')) as Plan)
    const result = await runPlan(plan)
    requests += result.requests
    succeeded += result.succeeded
    events += result.events
    tally.add(result.tally)
    virtualMs += result.virtualMs
    done++
    if (flags.story) for (const line of result.story) print(`  ${line}`)
    if (flags.story || flags.seed)
      print(
        `${summary(plan)}: ${result.requests} requests, ${result.succeeded} done, ${result.events} events, trace ${result.trace}`,
      )
    if (result.problems.length > 0) {
      failed++
      print(`SEED=${seed} failed (${summary(plan)}):`)
      for (const problem of result.problems.slice(0, 3)) print(`  ${problem}`)
      if (flags.shrink) await explain(plan)
    } else if (flags.twice > 0 && i % flags.twice === 0) {
      const again = await runPlan(plan)
      if (again.trace !== result.trace) {
        failed++
        print(`SEED=${seed} did not do the same twice: trace ${result.trace}, then ${again.trace}`)
      }
    }
    if (done % 20 === 0) print(`  … ${done} seeds, ${failed} failed`)
  }
  const seconds = (performance.now() - began) / 1000
  print(
    `${requests} requests, ${succeeded} done, ${events} events, ${(virtualMs / 1000).toFixed(0)} virtual seconds in ${seconds.toFixed(1)} s`,
  )
  if (flags.tally) for (const line of tally.lines) print(line)
  print(`${done - failed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}

/** Each planted bug must be found: this program again, with the bug in it. */
async function runPlants(): Promise<void> {
  const first = flags.first ?? Math.floor(Math.random() * 2 ** 30)
  const register = new URL('./world/plant-register.js', import.meta.url).href
  let missed = 0
  let tried = 0
  print(`${PLANT_SEEDS} seeds of ${options.seconds} virtual seconds from ${first} for each plant`)
  for (const [index, plant] of PLANTS.entries()) {
    if (!plant.name.includes(flags.only)) continue
    tried++
    const args = [
      '--seeds',
      PLANT_SEEDS,
      '--first',
      first,
      '--seconds',
      options.seconds,
      '--failures',
      1,
      '--twice',
      plant.twice ? 1 : 0,
    ].map(String)
    if (flags.nodes !== undefined) args.push('--nodes', String(flags.nodes))
    if (plant.leaves) args.push('--leaves')
    if (plant.joins) args.push('--joins')
    if (plant.plan !== undefined) args.push('--plan', fileURLToPath(new URL(plant.plan, PLANS)))
    const workloads = flags.workloads ?? plant.workloads
    if (workloads !== undefined) args.push('--workloads', workloads)
    const child = spawn(process.execPath, ['--import', register, fileURLToPath(import.meta.url), ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, SIMULATION_PLANT: String(index) },
    })
    let seed: number | null = null
    let why = ''
    let isComplete = false
    for await (const line of createInterface({ input: child.stdout })) {
      const failure = /^SEED=(\d+) (?:failed|did)/.exec(line)
      if (failure) seed = Number(failure[1]) - first + 1
      if (failure && line.includes('did not')) why = line
      else if (seed !== null && why === '' && !failure) why = line.trim()
      if (/^\d+ passed, \d+ failed$/.test(line)) isComplete = true
    }
    if (seed === null) missed++
    if (!isComplete) print(`${plant.name}: its run did not come to an end`)
    print(seed === null ? `NOT FOUND: ${plant.name}` : `found ${plant.name}, by seed ${seed}: ${why.slice(0, 120)}`)
  }
  print(`${tried - missed} passed, ${missed} failed`)
  process.exitCode = missed === 0 ? 0 : 1
}
