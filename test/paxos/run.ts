/**
 * npm run lwt [-- --operations n] [--seed n] [--plants]: lightweight transactions and serial reads of simulated clusters, judged for linearizability
 * key by key. --plants: each planted bug, until it is found.
 */
import { readOptions } from '../../tools/support/options.ts'
import { runPaxos } from '../support/paxos-cluster.ts'
import type { PaxosPlant } from '../support/paxos-plants.ts'

const PLANTS: readonly PaxosPlant[] = [
  'promise not persisted',
  'accepted not persisted',
  'in progress ignored',
  'ballot promised twice',
  'commit lost',
  'proposal without what was decided before it',
  'origin lost when proposed again',
  'read at one replica',
  'reads ignore what is in progress',
  'forgotten without a floor',
  'unfinished forgotten',
]
const OPERATIONS_EACH = 300
const SEEDS_PER_PLANT = 200

const options = readOptions(
  'npm run lwt',
  'lightweight transactions and serial reads of simulated clusters, judged for linearizability',
  {
    operations: { type: 'number', default: 100_000, describe: 'How many in all' },
    seed: { type: 'number', default: 1, describe: 'Of the first run; the next follow' },
    plants: { type: 'boolean', default: false, describe: 'Look for the planted bugs instead' },
  },
)

if (options.plants) await findPlants(options.seed)
else await runAll(options.operations, options.seed)

async function runAll(operations: number, firstSeed: number): Promise<void> {
  const began = performance.now()
  const counts = { applied: 0, refused: 0, reads: 0, unknown: 0, failed: 0 }
  let [done, crashes, violated, seed] = [0, 0, 0, firstSeed]
  for (; done < operations; seed++) {
    const found = await runPaxos({ seed, operations: OPERATIONS_EACH })
    done += found.operations
    crashes += found.crashes
    for (const name of Object.keys(counts) as (keyof typeof counts)[]) counts[name] += found.counts[name]
    for (const { key, what } of found.violations) process.stdout.write(`SEED=${seed} ${key}: ${what}\n`)
    if (found.violations.length > 0) violated += 1
  }
  const told = Object.entries(counts).map(([name, count]) => `${count} ${name}`)
  process.stdout.write(
    `SEED=${firstSeed} to ${seed - 1}: ${done} operations (${told.join(', ')}), ${crashes} crashes, ${violated} runs with violations, ` +
      `${((performance.now() - began) / 1000).toFixed(1)} s\n`,
  )
  if (violated > 0) process.exitCode = 1
}

async function findPlants(firstSeed: number): Promise<void> {
  for (const plant of PLANTS) {
    let seed = firstSeed
    while (seed < firstSeed + SEEDS_PER_PLANT) {
      const { violations } = await runPaxos({ seed, operations: OPERATIONS_EACH, plant })
      if (violations.length > 0) break
      seed++
    }
    const isFound = seed < firstSeed + SEEDS_PER_PLANT
    process.stdout.write(`${plant}: ${isFound ? `found at SEED=${seed}` : 'NOT FOUND'}\n`)
    if (!isFound) process.exitCode = 1
  }
}
